"""From files to embeddings: the protocol that the update loop consumes, and the embedder of this machine."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from lookalike.encoders.composition import encode_whole
from lookalike.images.decode import DecodedPicture, Limits
from lookalike.images.description import describe
from lookalike.images.pool import DecoderPool

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from lookalike.encoders import Encoder
    from lookalike.images.walk import Entry

    Known = Callable[[Collection[bytes]], set[bytes]]
    """Returns those of some digests whose embeddings are not needed."""

__all__ = ["BATCH", "Embedded", "Embedder", "LocalEmbedder", "batched", "encode_pictures", "to_embedded"]

_Item = TypeVar("_Item")

_LONGEST = 1.0  # seconds for which pictures are gathered before they are encoded and saved
BATCH = 128  # pictures encoded at once and saved in one transaction: half a second of encoding, which a crash can lose


@dataclass(frozen=True, slots=True)
class Embedded:
    """The result for one file that could be read.

    digest: SHA-256 of the whole file. width, height: the size of the upright picture in pixels. format: as Pillow names
    it. taken_at, camera: as in `lookalike.store.Record`. embedding: float32 (dim,); None if it was not needed.
    description: as `lookalike.images.description` makes it, whether or not the embedding was needed.
    """

    digest: bytes
    width: int
    height: int
    format: str
    taken_at: datetime | None = None
    camera: str | None = None
    embedding: NDArray[np.float32] | None = None
    description: bytes | None = None


class Embedder(Protocol):
    """Turns files into embeddings, on this machine or on many."""

    def embed(self, files: Iterable[Entry], known: Known) -> Generator[tuple[Entry, Embedded | str]]:
        """Yield every file once, in any order, with its content or with the reason why it cannot be read.

        files: consumed lazily, in the thread that consumes the results, and never more than a bounded number ahead of
        them, because the list may not fit in memory. Each file is read from `Entry.source`.
        known: called in the same thread, before anything is encoded. A picture whose digest it returns comes without an
        embedding, and every other picture comes with one. Pictures with equal content should be encoded only once if
        they are processed together.
        Closing the generator stops all work and leaves nothing behind.
        A file that is damaged, too large, gone or fatal to its decoder is reported with a reason. Raises LookalikeError
        only for a problem that would affect every other file as well.
        """


class LocalEmbedder:
    """Decodes in worker processes and encodes in this process, in batches; results keep the order of the files."""

    def __init__(
        self,
        encoder: Encoder,
        dim: int,
        *,
        limits: Limits | None = None,
        workers: int | None = None,
        batch_size: int = BATCH,
    ) -> None:
        """Embed with this encoder, into embeddings of `dim` dimensions: see `lookalike.encoders.composition`.

        limits: the limits for each file. workers: the number of decoding processes, by default one for each core that
        has enough memory. batch_size: the number of pictures encoded at once.
        """
        self.encoder = encoder
        self.dim = dim
        self.limits = limits or Limits()
        self.workers = workers
        self.batch_size = batch_size

    def embed(self, files: Iterable[Entry], known: Known) -> Generator[tuple[Entry, Embedded | str]]:
        """Yield every file with its content, or with the reason why it cannot be read."""
        with DecoderPool(self.encoder.view, limits=self.limits, workers=self.workers) as reader:
            under_way: deque[Entry] = deque()
            results = reader.read(_sources(files, under_way))
            for some in batched(results, self.batch_size):
                batch = [(under_way.popleft(), result) for _, result in some]
                pictures = [result for _, result in batch if isinstance(result, DecodedPicture)]
                embeddings, descriptions = self._encode(pictures, known), iter(describe(pictures))
                for file, result in batch:
                    if isinstance(result, DecodedPicture):
                        embedding = embeddings.get(result.digest)
                        yield file, to_embedded(result, embedding, next(descriptions))
                    else:
                        yield file, result

    def _encode(self, pictures: Sequence[DecodedPicture], known: Known) -> dict[bytes, NDArray[np.float32]]:
        """Embeddings by digest of the pictures that are not known, each content encoded once."""
        by_digest = {picture.digest: picture for picture in pictures}
        unneeded = known(by_digest.keys()) if by_digest else set()
        new = [picture for digest, picture in by_digest.items() if digest not in unneeded]
        embeddings = encode_pictures(self.encoder, new, self.dim) if new else ()
        return {picture.digest: embedding for picture, embedding in zip(new, embeddings, strict=True)}


def batched(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Lists of `size` items, or of those that came within a second: so that slow files show progress and are saved."""
    batch: list[_Item] = []
    due = 0.0
    for item in items:
        due = due if batch else time.monotonic() + _LONGEST
        batch.append(item)
        if len(batch) >= size or time.monotonic() >= due:
            yield batch
            batch = []
    if batch:
        yield batch


def encode_pictures(encoder: Encoder, pictures: Sequence[DecodedPicture], dim: int) -> NDArray[np.float32]:
    """Encode decoded pictures into embeddings, float32 (n, dim)."""
    side = encoder.view.size
    pixels = np.frombuffer(b"".join(picture.pixels for picture in pictures), np.uint8)
    images = pixels.reshape(len(pictures), side, side, 3)
    return encode_whole(encoder, images, [picture.whole for picture in pictures], dim)


def _sources(files: Iterable[Entry], under_way: deque[Entry]) -> Iterator[bytes]:
    """The path to read for each file; the file is remembered until its result arrives, in the same order."""
    for file in files:
        under_way.append(file)
        yield file.source


def to_embedded(result: DecodedPicture, embedding: NDArray[np.float32] | None, description: bytes) -> Embedded:
    """The result for a picture that was decoded, with its embedding if that was needed, and its description."""
    about = (result.digest, result.width, result.height, result.format, result.taken_at, result.camera)
    return Embedded(*about, embedding, description)
