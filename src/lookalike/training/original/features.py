"""The index of the original system: embeddings in the order of a list of pictures that it does not contain.

It becomes a gallery only if the list is given, and if every picture in it, encoded again by the imported model, has
the embedding at its index.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.encoders import load_encoder
from lookalike.errors import DatasetError, EncoderError, UsageError
from lookalike.files import expands_home, write_output
from lookalike.gallery import Gallery, protected
from lookalike.images.decode import DecodedPicture  # noqa: TC001
from lookalike.images.paths import show_path
from lookalike.images.pool import DecoderPool
from lookalike.images.walk import walk
from lookalike.indexing.encode import encode_pictures
from lookalike.store import Record, locate
from lookalike.training.folder import write_arrays, writing_to
from lookalike.training.original.pickles import read_plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from lookalike.encoders import Encoder
    from lookalike.images.pool import OnProgress
    from lookalike.images.walk import Entry

__all__ = ["Features", "make_gallery", "ordered_pictures", "read_features"]

_MAX_BYTES = 1 << 30
_BATCH = 128
_NEAR = 0.15  # of the spread of all embeddings: the largest distance of a picture to its own; others have 0.3 or more
_EXPECTED = 'an index is a pickle of {"indexes": [...], "features": array}; for pictures, use: lookalike index FOLDER'
_OTHER_FILES = (  # first bytes, what the file is, and what to do with it
    (rb"PK\x03\x04", "it is a zip file, as those of Keras 3 are", "only a pickle and an .h5 of Keras 2 are read"),
    (rb"\x1f\x8b", "it is compressed with gzip", "unpack it first: gunzip FILE"),
    (rb"BZh|\xfd7zXZ|\x28\xb5\x2f\xfd", "it is compressed", "unpack it first: bunzip2, unxz or unzstd FILE"),
    (rb"\x93NUMPY", "it is an array of numpy (.npy) without the order of its pictures", _EXPECTED),
    (rb"\s*<(!doctype|html|head|body|\?xml)", "it is a web page, not the file that was linked", "download it again"),
    (rb"\xff\xd8\xff|\x89PNG|GIF8", "it is a picture", _EXPECTED),
    (rb"\x89HDF", "it is an HDF5 file without a model of Keras 2", "only a pickle and an .h5 of Keras 2 are read"),
)
_ELSEWHERE = "the embedding at its index, which belongs to another picture or another model"
_ORDER = "give the list of pictures that was indexed with --list, or index them again: lookalike index"


@dataclass(frozen=True, slots=True)
class Features:
    """indexes: int64 (n,), indices into a list of pictures; embeddings: float32 (n, dim), in the same order."""

    indexes: NDArray[np.int64]
    embeddings: NDArray[np.float32]

    @expands_home
    def save(self, path: Path, *, force: bool = False) -> None:
        """Write both to an .npz file, as `indexes` and `features`. Raises UsageError if that fails.

        An existing file is replaced only if Lookalike made it, or with `force`.
        """
        arrays: list[tuple[str, NDArray[Any]]] = [("indexes", self.indexes), ("features", self.embeddings)]
        with writing_to(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with write_output(path, force=force, protects=protected) as part:
                write_arrays(part, arrays)


@expands_home
def read_features(path: Path) -> Features:
    """Read the pickled dict of `indexes` and `features` that the original system searches.

    Raises UntrustedModel for a pickle with anything but numbers, EncoderError for one that is not such a dict.
    """
    try:
        return _parse_features(read_plain(_read_bytes(path)))
    except EncoderError as error:
        raise type(error)(f"{path}: {error}", hint=error.hint) from None
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise EncoderError(f"{path} is not an index of the original system: {error}") from None


def _read_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > _MAX_BYTES:
        raise EncoderError("it is larger than an index can be")
    for start, what, hint in _OTHER_FILES:
        if re.match(start, data, re.DOTALL | re.IGNORECASE):
            raise EncoderError(what, hint=hint)
    if not data:
        raise EncoderError("it is empty", hint=_EXPECTED)
    return data


@expands_home
def ordered_pictures(folder: Path, listed: Path | None = None) -> list[Entry]:
    """List the picture files below a folder, sorted by path, or in the order of a text file with one path per line.

    Raises DatasetError for a listed file that does not exist, UsageError for a list that cannot be read.
    """
    found = {entry.path: entry for entry in walk(os.path.abspath(os.fsencode(folder))) if not entry.problem}
    if listed is None:
        return [found[path] for path in sorted(found)]
    try:
        lines = [line for line in listed.read_bytes().split(b"\n") if line.strip()]
    except OSError as error:
        raise UsageError(f"{listed} cannot be read: {error.strerror}") from None
    root = os.path.abspath(os.fsencode(folder))
    paths = [os.path.abspath(os.path.join(root, line.rstrip(b"\r"))) for line in lines]
    missing = [path for path in paths if path not in found]
    if missing:
        raise DatasetError(f"{len(missing):,} pictures of {listed} do not exist: {show_path(missing[0])}")
    return [found[path] for path in paths]


@expands_home
def make_gallery(
    target: Path, run: Path, features: Features, pictures: Sequence[Entry], *, on_progress: OnProgress | None = None
) -> int:
    """Create a gallery in `target` for the imported model in `run`; returns the number of pictures.

    Every picture is encoded again, and its result must be close to the embedding at its index, relative to the spread
    of all embeddings; otherwise no gallery is created. Raises DatasetError for a picture that differs or cannot be
    read, UsageError when there is a gallery already or the features are not those of the model.
    """
    encoder = load_encoder(run)
    if features.embeddings.shape[1] != encoder.dim:
        raise UsageError(
            f"features with {features.embeddings.shape[1]} dimensions are not from a model with {encoder.dim}"
        )
    if not 0 <= features.indexes.min() <= features.indexes.max() < len(pictures):
        raise DatasetError(f"the index names picture {features.indexes.max()}, but the list has only {len(pictures):,}")
    target = Path(locate(target, create=True))
    if (target / "gallery.db").exists():
        raise UsageError(f"there is a gallery in {target} already", hint="choose another --index")
    items = list(_verify(encoder, [pictures[number] for number in features.indexes], features.embeddings, on_progress))
    with Gallery.open(target, encoder=run, create=True) as gallery, gallery.store.writing():
        for start in range(0, len(items), _BATCH):
            part = items[start : start + _BATCH]
            gallery.store.put([item for item, _ in part], {item.digest: row for item, row in part if item.digest})
        return len(gallery)


def _verify(
    encoder: Encoder, entries: Sequence[Entry], embeddings: NDArray[np.float32], on_progress: OnProgress | None
) -> Iterator[tuple[Record, NDArray[np.float32]]]:
    """Yield every picture as an item of a gallery with its embedding, once that is verified."""
    waiting = iter(zip(entries, embeddings, strict=True))
    bound = _NEAR * _spread(embeddings)
    with DecoderPool(encoder.view) as reader:
        results = reader.read([entry.source for entry in entries])
        done = 0
        while some := [result for _, result in islice(results, _BATCH)]:
            expected = list(islice(waiting, len(some)))
            read = [_require_picture(result, entry) for result, (entry, _) in zip(some, expected, strict=True)]
            for picture, row, (entry, embedding) in zip(
                read, encode_pictures(encoder, read, encoder.dim), expected, strict=True
            ):
                if np.linalg.norm(row - embedding) > bound:
                    raise DatasetError(f"{show_path(entry.path)} does not have {_ELSEWHERE}", hint=_ORDER)
                yield _record(entry, picture), embedding
            done += len(some)
            if on_progress is not None:
                on_progress(done, len(entries))


def _require_picture(result: DecodedPicture | str, entry: Entry) -> DecodedPicture:
    if isinstance(result, str):
        raise DatasetError(f"{show_path(entry.path)} cannot be verified: {result}")
    return result


def _spread(embeddings: NDArray[np.float32]) -> float:
    """The root mean square distance of embeddings to their mean; for one alone, or equal ones, their length."""
    apart = np.linalg.norm(embeddings - embeddings.mean(axis=0), axis=1)
    return float(np.sqrt(np.square(apart).mean())) or float(np.linalg.norm(embeddings[0]))


def _record(entry: Entry, picture: DecodedPicture) -> Record:
    """The record that indexing would store, so that the next indexing finds the picture unchanged."""
    about = (picture.width, picture.height, picture.format, picture.taken_at, picture.camera)
    return Record(entry.path, entry.size, entry.mtime_ns, picture.digest, *about)


def _parse_features(found: Any) -> Features:  # noqa: ANN401  (whatever was pickled)
    if not isinstance(found, dict):
        what = "a bare array" if isinstance(found, np.ndarray) else f"a {type(found).__name__}"
        raise EncoderError(f"it holds {what} instead of the dict of an index", hint=_EXPECTED)
    if missing := [name for name in ("indexes", "features") if name not in found]:
        raise EncoderError(f"its dict has no {' and no '.join(missing)}", hint=_EXPECTED)
    indexes = np.asarray(found["indexes"])
    embeddings = np.asarray(found["features"])
    if indexes.ndim != 1 or indexes.dtype.kind not in "iu" or embeddings.dtype.kind != "f":
        raise ValueError("its indexes are not integers, or its features are not numbers")
    if embeddings.ndim != 2 or len(embeddings) != len(indexes) or not embeddings.size:
        raise ValueError(f"{len(indexes)} indexes and features of shape {embeddings.shape}")
    if not np.isfinite(embeddings).all():
        raise ValueError("features that are not finite")
    return Features(indexes.astype(np.int64), embeddings.astype(np.float32))
