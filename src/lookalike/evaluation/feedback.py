"""How much it helps to mark hits: a simulated user marks hits as good or bad and searches again.

The queries are pictures of the gallery side of a collection, searched for among the others of that side, so that the
method can be tuned without the queries of the collection. The user sees ten pictures at a time, marks the first right
and the first wrong one ("few") or all ten ("all"), and asks for ten more. The figures are the shares of right pictures
among the ten best that are not marked yet: with the marks, and by the first search alone.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lookalike.errors import DatasetError
from lookalike.gallery import Gallery
from lookalike.search.query import Query

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lookalike.datasets.labelled import Dataset
    from lookalike.images.pool import OnProgress

    User = Literal["few", "all"]

__all__ = ["measure_feedback"]

_USERS: tuple[User, ...] = ("few", "all")
_PAGE = 10
_SEED = 1


@dataclass(frozen=True, slots=True)
class _Round:
    """The shares of right pictures among the next ten: with the marks, and by the first search."""

    marked: float
    plain: float


def measure_feedback(
    dataset: Dataset,
    encoder: str | Path | None = None,
    *,
    queries: int = 120,
    rounds: int = 3,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """The P@10 before and after each round of marks, with them and without, for users who mark few hits or all.

    queries: how many pictures are searched for, drawn at random but always the same. One whose class is used up before
    the last round is left out, and counted. Raises DatasetError if none remains.
    """
    labels = {picture.path: picture.label for picture in dataset.gallery}
    with (
        tempfile.TemporaryDirectory(prefix="lookalike-") as folder,
        Gallery.open(folder, encoder=encoder, create=True) as gallery,
    ):
        gallery.index(*labels, on_progress=on_progress)
        label_of = {record.id: labels[record.path] for record in gallery.pictures()}
        drawn = np.random.default_rng(_SEED).permutation(sorted(label_of))[:queries].tolist()
        simulated = [(user, _simulate(gallery, label_of, drawn, user, rounds)) for user in _USERS]
        return {"pictures": len(gallery), "encoder": gallery.store.space.encoder, "users": dict(simulated)}


def _simulate(
    gallery: Gallery, label_of: dict[int, str], queries: Sequence[int], user: User, rounds: int
) -> dict[str, Any]:
    """The mean P@10 of each round, and of how many queries."""
    each = [found for id_ in queries if (found := _search(gallery, label_of, id_, user, rounds)) is not None]
    if not each:
        raise DatasetError("no class has enough pictures for that many rounds", hint="ask for fewer: --rounds 1")
    marked, plain = (
        np.mean([[getattr(one, name) for one in found] for found in each], axis=0).tolist()
        for name in ("marked", "plain")
    )
    return {"queries": len(each), "with_marks": marked, "without": plain}


def _search(gallery: Gallery, label_of: dict[int, str], id_: int, user: User, rounds: int) -> list[_Round] | None:
    """What one query finds in each round, the first before anything is marked; None if its class is used up."""
    session, marked = gallery.feedback(Query.stored(id_)), {id_}
    first = [hit.id for hit in gallery.search(Query.stored(id_), len(label_of))]
    found: list[_Round] = []
    for number in range(rounds + 1):
        left = [other for other in first if other not in marked]
        if not any(label_of[other] == label_of[id_] for other in left):
            return None
        page = [hit.id for hit in session.search(_PAGE)]
        right = [other for other in page if label_of[other] == label_of[id_]]
        wrong = [other for other in page if label_of[other] != label_of[id_]]
        plain = sum(label_of[other] == label_of[id_] for other in left[:_PAGE])
        found.append(_Round(len(right) / len(page), plain / len(left[:_PAGE])))
        if number < rounds:
            good, bad = (right[:1], wrong[:1]) if user == "few" else (right, wrong)
            session.good(*good).bad(*bad)
            marked |= {*good, *bad}
    return found
