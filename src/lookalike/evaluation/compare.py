"""Compare encoders on a collection, each in a temporary gallery of its own.

With labels, by the protocol (docs/evaluation.md). Without, by searching with altered pictures: a part of a picture,
recompressed and with another tone, and the mirrored picture must find the original first. In either case, by how many
of the first ten hits stay when the query is paler, lighter or darker. On several collections, also by the means over
them, in which all count alike.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lookalike.datasets.labelled import Dataset
from lookalike.encoders import DEFAULT, encoder_names, learned_names
from lookalike.encoders.hybrid import HybridEncoder
from lookalike.encoders.onnx import OnnxEncoder
from lookalike.errors import DatasetError, LookalikeError
from lookalike.evaluation.collections import describe_failed, label_work
from lookalike.evaluation.figures import Figures, average
from lookalike.evaluation.retrieval import measure_gallery
from lookalike.gallery import Gallery
from lookalike.images.augment import TONES, cut_part, mirror
from lookalike.images.decode import Unreadable
from lookalike.images.ground import on_ground
from lookalike.images.origins import open_picture
from lookalike.indexing.learned import learn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from lookalike.encoders import Encoder
    from lookalike.evaluation.collections import Collection, Failed, OpenProgress

    Progress = Callable[[int, int], None]
    """Called with the number of encoders tried so far and in total."""

    Found = list[list[bytes]]
    """For each query the digests of its hits, nearest first."""

    Values = NDArray[np.float64]
    """A figure for each query."""

__all__ = ["CANDIDATES", "Comparison", "ComparisonOfMany", "compare_encoders", "compare_on_collections"]

CANDIDATES = (*encoder_names(), *learned_names(), f"hybrid:{DEFAULT}=0.8+histogram=0.2")
_QUERIES = 200  # gallery pictures that are altered and searched with, at most
_HITS = 10


@dataclass(frozen=True, slots=True)
class Comparison:
    """A row for each encoder, the name of the recommended one, and the figures that recommend it."""

    rows: list[dict[str, Any]]
    recommended: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """The document of a comparison, as `lookalike encoders compare --json` prints it."""
        return {"encoders": self.rows, "recommended": self.recommended, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class ComparisonOfMany:
    """Comparisons on each collection that could be used, that of the means over them, and the errors of the others."""

    each: list[tuple[Collection, Comparison]]
    mean: Comparison | None
    failed: Failed

    def to_dict(self) -> dict[str, Any]:
        """The document of a comparison on several folders: that of the means, and those of the folders."""
        mean = self.mean.to_dict() if self.mean is not None else {"encoders": [], "recommended": None, "reason": None}
        each = [{**collection.to_dict(), **compared.to_dict()} for collection, compared in self.each]
        return {**mean, "collections": each, "failed": describe_failed(self.failed)}


def compare_encoders(
    data: Dataset | Sequence[bytes], names: Sequence[str] = CANDIDATES, *, on_progress: Progress | None = None
) -> Comparison:
    """Measure encoders on a labelled collection, or on the files of one without labels.

    The row of an encoder that cannot be used has a `reason` instead of figures. Raises DatasetError when none can be
    measured.
    """
    return _recommend([_to_row(tried) for tried in _try_encoders(data, names, on_progress)])


def compare_on_collections(
    collections: Sequence[Collection],
    load: Callable[[Collection], Dataset | Sequence[bytes]],
    names: Sequence[str] = CANDIDATES,
    *,
    open_progress: OpenProgress,
) -> ComparisonOfMany:
    """Measure encoders on several collections; one that fails leaves the others as they are.

    load: the labelled pictures of a collection, or its files. The means are those of the figures that all collections
    have, of the encoders that could be used on all of them.
    """
    each: list[tuple[Collection, Comparison]] = []
    tried: list[dict[str, _Tried]] = []
    failed: Failed = []
    for number, collection in enumerate(collections, 1):
        with open_progress(label_work(collection, number, len(collections))) as on_progress:
            try:
                found = _try_encoders(load(collection), names, on_progress)
                each.append((collection, _recommend([_to_row(one) for one in found])))
                tried.append({one.name: one for one in found})
            except LookalikeError as error:
                failed.append((collection, error))
    rows = [_average(name, [one[name] for one in tried]) for name in dict.fromkeys(names)] if tried else []
    is_any = any("reason" not in row for row in rows)
    return ComparisonOfMany(each, _recommend(rows) if is_any else None, failed)


class _Tried(NamedTuple):
    """What was measured with an encoder on one collection, or the reason why nothing was."""

    name: str
    figures: Figures | None
    reason: str = ""


def _to_row(tried: _Tried) -> dict[str, Any]:
    if tried.figures is None:
        return {"name": tried.name, "reason": tried.reason}
    return {"name": tried.name, **tried.figures.to_dict()}


def _average(name: str, tried: Sequence[_Tried]) -> dict[str, Any]:
    """The row of the means of one encoder."""
    measured = [one.figures for one in tried if one.figures is not None]
    if len(measured) < len(tried):
        reasons = dict.fromkeys(one.reason for one in tried if one.figures is None)
        return {"name": name, "reason": "; ".join(reasons)}
    pictures = sum(figures.facts["n_gallery"] for figures in measured)
    seconds = sum(figures.facts["n_gallery"] / figures.facts["rate"] for figures in measured)
    costs = {"dim": max(figures.facts["dim"] for figures in measured), "rate": pictures / seconds}
    return {"name": name, **costs, "model_bytes": measured[0].facts["model_bytes"], **average(measured)}


def _recommend(rows: list[dict[str, Any]]) -> Comparison:
    """The best encoder by the mean of two figures; the fastest of those within a hundredth of the best.

    The figures are mAP and P@10, or where there are no classes, how often altered pictures find their original.
    """
    measured = [row for row in rows if "reason" not in row]
    if not measured:
        raise DatasetError(f"no encoder could be measured: {rows[0]['reason'] if rows else 'none was named'}")
    by = ("mAP", "P@10") if "mAP" in measured[0] else ("part_found", "mirrored_found")
    quality = {row["name"]: sum(row[figure] for figure in by) / 2 for row in measured}
    near = [row for row in measured if quality[row["name"]] > max(quality.values()) - 0.01]
    chosen = max(near, key=lambda row: row["rate"])
    figures = ", ".join(f"{figure.replace('_', ' ')} {chosen[figure]:.3f}" for figure in by)
    return Comparison(rows, chosen["name"], f"{figures}, {chosen['rate']:.0f} pictures a second")


def _try_encoders(data: Dataset | Sequence[bytes], names: Sequence[str], on_progress: Progress | None) -> list[_Tried]:
    tried = []
    for done, name in enumerate(names):
        if on_progress is not None:
            on_progress(done, len(names))
        tried.append(_try_encoder(name, data))
    return tried


def _try_encoder(name: str, data: Dataset | Sequence[bytes]) -> _Tried:
    paths = [picture.path for picture in data.gallery] if isinstance(data, Dataset) else list(data)
    with tempfile.TemporaryDirectory(prefix="lookalike-") as folder:
        try:
            learn(name, paths, Path(folder))
            with Gallery.open(folder, encoder=name, create=True) as gallery:
                costs = _measure_costs(gallery, gallery.index(*paths).seconds)
                found = Figures(costs, _measure_robustness(gallery))
                return _Tried(name, found.join(measure_gallery(gallery, data)) if isinstance(data, Dataset) else found)
        except LookalikeError as error:
            return _Tried(name, None, str(error))


def _measure_costs(gallery: Gallery, seconds: float) -> dict[str, Any]:
    return {
        "dim": gallery.info()["dim"],
        "rate": len(gallery) / max(seconds, 1e-9),
        "model_bytes": _count_model_bytes(gallery.encoder),
        "n_gallery": len(gallery),
    }


def _count_model_bytes(encoder: Encoder) -> int:
    if isinstance(encoder, HybridEncoder):
        return sum(map(_count_model_bytes, encoder.encoders))
    return len(encoder.model) if isinstance(encoder, OnnxEncoder) else 0


def _measure_robustness(gallery: Gallery) -> dict[str, Values]:
    """Whether each altered picture finds its original first, and what share of its first hits stays; in [0, 1]."""
    rng = np.random.default_rng(0)
    digests, images = _sample(gallery)
    if not images:
        raise DatasetError("no picture of the gallery can be read")
    plain = _hits(gallery, images)
    figures = {
        "part_found": _measure_first(_hits(gallery, [cut_part(image, rng) for image in images]), digests),
        "mirrored_found": _measure_first(_hits(gallery, map(mirror, images)), digests),
    }
    for tone, alter in TONES.items():
        found = _hits(gallery, map(alter, images))
        figures[f"{tone}_kept"] = np.array(
            [_measure_overlap(*each) for each in zip(plain, found, digests, strict=True)], np.float64
        )
    return figures


def _sample(gallery: Gallery) -> tuple[list[bytes], list[Image.Image]]:
    """Digests and images of up to _QUERIES pictures, spread evenly over the gallery."""
    known = list(gallery.pictures())
    digests, images, side = [], [], 4 * gallery.encoder.view.size
    for item in known[:: -(-len(known) // _QUERIES) or 1]:
        try:
            with open_picture(item.path, at_least=side) as image:
                images.append(on_ground(image))
                digests.append(item.digest or b"")
        except Unreadable:  # it has gone since it was indexed
            continue
    return digests, images


def _hits(gallery: Gallery, images: Iterable[Image.Image]) -> Found:
    """The first hits of each, one more than are compared: a picture may be its own."""
    return [_digests(gallery, looks) for looks in gallery.encode_views(list(images))]


def _digests(gallery: Gallery, looks: NDArray[np.float32]) -> list[bytes]:
    ids = [id_ for id_, _ in gallery.nearest([looks], _HITS + 1)[0]]
    items = gallery.store.get(ids)
    return [items[id_].digest or b"" for id_ in ids]


def _measure_first(found: Found, digests: Sequence[bytes]) -> Values:
    return np.array([hits[0] == own for hits, own in zip(found, digests, strict=True)], np.float64)


def _measure_overlap(plain: Sequence[bytes], altered: Sequence[bytes], own: bytes) -> float:
    """The share of the first ten hits, without the picture itself, that are found both times."""
    first, second = ({digest for digest in hits if digest != own} for hits in (plain, altered))
    return len(first & second) / max(1, min(len(first), _HITS))
