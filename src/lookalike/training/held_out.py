"""Search a gallery with random pictures that its model has not seen, as the original system did.

Its index had the pictures that were trained on, and the queries were taken from the others. Here a gallery may have
both, so held-out pictures are never hits: every hit was trained on, or was not part of the training. Copies of a
picture are on the same side of the split, so they are not hits either.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from lookalike.datasets.digests import file_digest
from lookalike.errors import DatasetError, UsageError, counted
from lookalike.files import expands_home
from lookalike.training import seen_by
from lookalike.training.folder import read_notes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lookalike.gallery import Gallery
    from lookalike.search.hits import Hits

    Kind = Literal["held out", "trained on", "of the gallery"]

__all__ = ["Answer", "Sample", "search_sample"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A query, its number among all that could have been drawn, from 0, and its hits."""

    number: int
    path: Path
    hits: Hits


@dataclass(frozen=True, slots=True)
class Sample:
    """Answers sorted by number, the kind of the queries, and how many drawn pictures are missing on disk."""

    kind: Kind
    answers: tuple[Answer, ...]
    missing: int


@expands_home
def search_sample(gallery: Gallery, run: Path, count: int, *, k: int = 10, seed: int = 1) -> Sample:
    """Search with `count` held-out pictures of the training in `run`, drawn with `seed`, or fewer if there are fewer.

    A picture's number is its index among the held-out ones of `split.csv`, with copies counted once. If no pictures are
    held out, queries are drawn from those trained on; for an imported model, from the whole gallery. In both cases a
    query and its copies are not among its own hits. Raises UsageError when nothing can be drawn or found, TrainingError
    for a folder without a training.
    """
    by_digest: dict[bytes, bytes] = {}
    copies: defaultdict[bytes, set[int]] = defaultdict(set)
    for item in gallery.pictures():
        if item.digest is not None:
            by_digest[item.digest] = item.path
            copies[item.digest].add(item.id)
    draw = _Draw(run, by_digest)
    hidden = draw.digests if draw.kind == "held out" else set()
    if not by_digest.keys() - hidden:
        raise UsageError("all pictures of the gallery are held out: there is nothing to find", hint=_HINT)
    hidden_ids = {id_ for digest in copies.keys() & hidden for id_ in copies[digest]}
    answers: list[Answer] = []
    missing = 0
    for number, digest in draw.at_random(seed):
        if len(answers) == count:
            break
        path = draw.find(digest)
        if path is None:
            missing += 1
        else:
            ids = hidden_ids if hidden else copies[digest]
            hits = gallery.search(path, k + len(ids)).without(ids, k)
            answers.append(Answer(number, Path(os.fsdecode(path)), hits))
    if not answers:
        raise UsageError(f"none of {counted(len(draw.digests), 'picture')} {draw.kind} can be found", hint=_HINT)
    return Sample(draw.kind, tuple(sorted(answers, key=lambda answer: answer.number)), missing)


_HINT = "index the folder that was trained on: lookalike index FOLDER -e MODEL"


class _Draw:
    """The pictures that may be drawn, by content, in order."""

    def __init__(self, run: Path, by_digest: dict[bytes, bytes]) -> None:
        seen = seen_by(run)
        self._by_digest = by_digest
        self._below = Path(str(read_notes(run)["pictures"]))
        self._names = {} if seen is None else {digest: name for digest, (name, _) in seen.items()}
        self.kind: Kind = "of the gallery"
        self._order = list(by_digest)
        if seen is not None:
            held_out = [digest for digest, (_, is_train) in seen.items() if not is_train]
            self.kind = "held out" if held_out else "trained on"
            self._order = held_out or list(seen)
        self.digests = set(self._order)

    def at_random(self, seed: int) -> Iterator[tuple[int, bytes]]:
        """All pictures with their numbers, in random order."""
        order = np.random.default_rng(seed).permutation(len(self._order))
        yield from ((int(number), self._order[number]) for number in order)

    def find(self, digest: bytes) -> bytes | None:
        """Find a file with this content: where the gallery or the training last saw it, if it is still there."""
        paths: Sequence[bytes | None] = (
            self._by_digest.get(digest),
            os.fsencode(self._below / self._names[digest]) if digest in self._names else None,
        )
        return next((path for path in paths if path is not None and _has_content(path, digest)), None)


def _has_content(path: bytes, digest: bytes) -> bool:
    try:
        return file_digest(path) == digest
    except DatasetError:
        return False
