"""Search a gallery with pictures that its model has not seen, drawn at random: the described system's own search.

There the index held the pictures that were trained on, and the queries were taken from the others. Here a gallery may
hold both, so a held-out picture is never a hit: what is found was trained on, or the training never met it. Copies of
a picture are on the same side of the split, so none of them can be found either.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from lookalike.datasets.digests import file_digest
from lookalike.errors import DatasetError, UsageError
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
    """A query, its number among all that could have been drawn, counted from 0, and what it found."""

    number: int
    path: Path
    hits: Hits


@dataclass(frozen=True, slots=True)
class Sample:
    """Some answers, by their numbers; of which kind the queries are, and how many drawn ones could not be found."""

    kind: Kind
    answers: tuple[Answer, ...]
    missing: int


def search_sample(gallery: Gallery, home: Path, count: int, *, k: int = 10, seed: int = 1) -> Sample:
    """Search with `count` held-out pictures of the training in `home`, drawn with `seed`; fewer if there are fewer.

    A picture's number is its place among the held-out ones of `split.csv`, copies counted once. A training that holds
    none out is asked with pictures that it was trained on; of an imported model nobody knows, so any pictures of the
    gallery are drawn; either way a query and its copies are no hits of its own. Raises UsageError when nothing can be
    drawn or found, TrainingError for a folder that holds no training.
    """
    by_digest: dict[bytes, bytes] = {}
    copies: defaultdict[bytes, set[int]] = defaultdict(set)
    for item in gallery.pictures():
        if item.digest is not None:
            by_digest[item.digest] = item.path
            copies[item.digest].add(item.id)
    draw = _Draw(home, by_digest)
    hidden = draw.digests if draw.kind == "held out" else set()
    if not by_digest.keys() - hidden:
        raise UsageError("all pictures of the gallery are held out: there is nothing to be found", hint=_HINT)
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
        raise UsageError(f"none of the {len(draw.digests):,} pictures {draw.kind} can be found", hint=_HINT)
    return Sample(draw.kind, tuple(sorted(answers, key=lambda answer: answer.number)), missing)


_HINT = "index the folder that was trained on: lookalike index FOLDER -e MODEL"


class _Draw:
    """The pictures that may be drawn, by content, in their order."""

    def __init__(self, home: Path, by_digest: dict[bytes, bytes]) -> None:
        seen = seen_by(home)
        self._by_digest = by_digest
        self._below = Path(str(read_notes(home)["pictures"]))
        self._names = {} if seen is None else {digest: name for digest, (name, _) in seen.items()}
        self.kind: Kind = "of the gallery"
        self._order = list(by_digest)
        if seen is not None:
            held_out = [digest for digest, (_, is_train) in seen.items() if not is_train]
            self.kind = "held out" if held_out else "trained on"
            self._order = held_out or list(seen)
        self.digests = set(self._order)

    def at_random(self, seed: int) -> Iterator[tuple[int, bytes]]:
        """Every picture with its number, in an order by chance."""
        order = np.random.default_rng(seed).permutation(len(self._order))
        yield from ((int(number), self._order[number]) for number in order)

    def find(self, digest: bytes) -> bytes | None:
        """A file with this content: where the gallery or the training knows it to be, if it still is there."""
        places: Sequence[bytes | None] = (
            self._by_digest.get(digest),
            os.fsencode(self._below / self._names[digest]) if digest in self._names else None,
        )
        return next((path for path in places if path is not None and _holds(path, digest)), None)


def _holds(path: bytes, digest: bytes) -> bool:
    try:
        return file_digest(path) == digest
    except DatasetError:
        return False
