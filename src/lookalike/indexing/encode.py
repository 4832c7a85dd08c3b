"""Files to embeddings: the seam that the update loop reads from, and the embedder of this machine."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import numpy as np

from lookalike.images.decode import DecodedPicture, Limits
from lookalike.images.pool import DecoderPool

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from lookalike.encoders import Encoder
    from lookalike.images.walk import Entry

    Known = Callable[[Collection[bytes]], set[bytes]]
    """Returns those among some digests whose embeddings are not needed."""

__all__ = ["BATCH", "Embedded", "Embedder", "LocalEmbedder", "encode_pictures"]

BATCH = 128  # pictures encoded at once and saved in one transaction: what a crash can lose; half a second of encoding


@dataclass(frozen=True, slots=True)
class Embedded:
    """What was found in one file that could be read.

    digest: SHA-256 of the whole file. width, height: pixels of the upright picture. format: as Pillow names it.
    taken_at, camera: as `lookalike.store.Record` has them. embedding: float32 (dim,); None where it was not needed.
    """

    digest: bytes
    width: int
    height: int
    format: str
    taken_at: datetime | None = None
    camera: str | None = None
    embedding: NDArray[np.float32] | None = None


class Embedder(Protocol):
    """Turns files into embeddings, on this machine or on many."""

    def embed(self, files: Iterable[Entry], known: Known) -> Generator[tuple[Entry, Embedded | str]]:
        """Yield every file once, with what is in it or with the reason why it cannot be read, in any order.

        files: taken lazily, in the thread that takes the results, and never more than a bounded number ahead of them:
        the list may be longer than memory. Each is read from `Entry.source`.
        known: asked in that thread too, before anything is encoded; a picture whose digest it returns comes without an
        embedding. Every other picture comes with one. Pictures of equal content should be encoded once where they are
        met together.
        Closing the generator stops the work; nothing of it is left then.
        A file that is damaged, too large, gone or the death of its decoder is a reason. Raises LookalikeError only
        for what no other file would survive either.
        """


class LocalEmbedder:
    """Decodes in worker processes and encodes in this one, in batches. The order is that of the files."""

    def __init__(
        self, encoder: Encoder, *, limits: Limits | None = None, workers: int | None = None, batch_size: int = BATCH
    ) -> None:
        """limits: for each file. workers: decoding processes, by default one for each core that has the memory."""
        self.encoder = encoder
        self.limits = limits or Limits()
        self.workers = workers
        self.batch_size = batch_size

    def embed(self, files: Iterable[Entry], known: Known) -> Generator[tuple[Entry, Embedded | str]]:
        """Yield every file with what is in it, or with the reason why it cannot be read."""
        with DecoderPool(self.encoder.view, limits=self.limits, workers=self.workers) as reader:
            under_way: deque[Entry] = deque()
            results = reader.read(_sources(files, under_way))
            while some := list(islice(results, self.batch_size)):
                batch = [(under_way.popleft(), result) for _, result in some]
                rows = self._encode([result for _, result in batch if isinstance(result, DecodedPicture)], known)
                yield from ((file, _embedded(result, rows)) for file, result in batch)

    def _encode(self, pictures: Sequence[DecodedPicture], known: Known) -> dict[bytes, NDArray[np.float32]]:
        """Embeddings by digest of those that are not known, each content once."""
        by_digest = {picture.digest: picture for picture in pictures}
        unneeded = known(by_digest.keys()) if by_digest else set()
        new = [picture for digest, picture in by_digest.items() if digest not in unneeded]
        rows = encode_pictures(self.encoder, new) if new else ()
        return {picture.digest: row for picture, row in zip(new, rows, strict=True)}


def encode_pictures(encoder: Encoder, pictures: Sequence[DecodedPicture]) -> NDArray[np.float32]:
    """Embeddings of decoded pictures, float32 (n, dim)."""
    side = encoder.view.size
    pixels = np.frombuffer(b"".join(picture.pixels for picture in pictures), np.uint8)
    return encoder.encode(pixels.reshape(len(pictures), side, side, 3))


def _sources(files: Iterable[Entry], under_way: deque[Entry]) -> Iterator[bytes]:
    """What to read for each file, which is remembered until its result comes, in the same order."""
    for file in files:
        under_way.append(file)
        yield file.source


def _embedded(result: DecodedPicture | str, rows: dict[bytes, NDArray[np.float32]]) -> Embedded | str:
    if isinstance(result, str):
        return result
    about = (result.digest, result.width, result.height, result.format, result.taken_at, result.camera)
    return Embedded(*about, embedding=rows.get(result.digest))
