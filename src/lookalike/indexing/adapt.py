"""Adapt a gallery to the pictures that it holds, with or without labels."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lookalike.adaptation.lda import MIN_PER_CLASS, Validation, cross_validate, fit_classes
from lookalike.adaptation.plan import Plan, adapts_at, fit_plan, is_blended
from lookalike.adaptation.projection import fit_projection
from lookalike.encoders.composition import choose_shares, divide
from lookalike.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.encoders import Encoder
    from lookalike.encoders.composition import Group
    from lookalike.store import Store

__all__ = ["adapt", "adapt_if_grown", "adapt_to_labels", "plan_for"]

_log = logging.getLogger(__name__)

_SAMPLE = 32768  # most embeddings that anything is fitted to, spread evenly over the gallery
_JUDGED = 2048  # most embeddings by which the shares of groups are chosen: their means move by less than 0.01
_TOGETHER = 232  # dimensions of the groups of one encoder, which with those of the whole picture are 256
_LAYOUT, _PIXELS = 16, 8  # of the layout of the whole picture: more change nothing (docs/decisions.md)
_DIM = 64  # dimensions of a vector in addition to those of its classes


def adapt_if_grown(store: Store, encoder: Encoder) -> None:
    """Adapt a gallery that has grown enough, unless it is adapted to labels: new pictures have none."""
    projection = store.projection
    if projection is not None and projection.classes:
        return
    if store.count()[0] >= adapts_at(projection):
        with contextlib.suppress(UsageError):  # copies of one picture leave no direction to keep
            adapt(store, encoder)


def adapt(store: Store, encoder: Encoder, *, dim: int | None = None, blend: bool | None = None) -> int:
    """Fit the projection of a store again, inside `store.writing()`; return the dimension of the vectors.

    dim: the most dimensions to keep for each part of the encoder. blend: whether to blend vectors; None keeps the
    earlier choice, or at first chooses what suits the encoder. Raises UsageError when nothing can be fitted.
    """
    plan = plan_for(store, encoder, dim, blend=blend)
    try:
        projection = fit_plan(plan, lambda: _sample(store))
    except ValueError as error:
        raise UsageError(f"the gallery cannot be adapted: {error}") from None
    # Counted in pictures, not in the sample: otherwise every run would find that a large gallery has grown since.
    projection = replace(projection, fitted_on=store.count()[0])
    store.set_projection(projection)
    _log.info("adapted to %d pictures: %d dimensions", projection.fitted_on, sum(projection.widths))
    return sum(projection.widths)


def plan_for(store: Store, encoder: Encoder, dim: int | None = None, *, blend: bool | None = None) -> Plan:
    """The plan by which `adapt` would fit the projection of this store."""
    groups = divide(encoder, store.space.dim)
    shares = _choose_shares(store, encoder) if len(groups) > 1 else []
    blends = _choose_blends(store, groups, blend=blend)
    return Plan([group.dim for group in groups], shares, blends, _choose_widths(groups, blends, dim))


def adapt_to_labels(
    store: Store, encoder: Encoder, labels: Mapping[bytes, str], *, dim: int | None = None, wait: float = 0.0
) -> Validation:
    """Adapt a gallery to the classes of some or all pictures, given by path, unless retrieval is better without them.

    Pictures without a label, and classes with fewer than five pictures, stay in the gallery but are not used for
    fitting. What is better is decided by cross-validation inside the gallery: how well pictures find others of their
    class. dim: dimensions in addition to those of the classes, by default 64. Raises UsageError for fewer than two
    classes with at least five pictures.
    """
    width = dim or _DIM
    with store.writing(wait=wait):
        embeddings, known = _collect_labelled(store, labels)
        classes = {label for label, count in Counter(known.tolist()).items() if count >= MIN_PER_CLASS}
        if len(classes) < 2:
            raise UsageError(
                f"adapting takes two classes of {MIN_PER_CLASS} pictures or more; the gallery has {len(classes)}"
            )
        enough = np.isin(known, sorted(classes))
        embeddings, known = embeddings[enough], known[enough]
        try:
            plan = plan_for(store, encoder, dim)
            choice = cross_validate(embeddings, known, dim=width, without=lambda some: fit_plan(plan, lambda: [some]))
            plain = fit_projection((some for _, some in store.embeddings()), embeddings.shape[1], width)
        except ValueError as error:
            raise UsageError(f"the gallery cannot be adapted: {error}") from None
        if choice.is_better:
            store.set_projection(fit_classes(embeddings, known, plain, choice))
            _log.info("adapted to %d classes of %d pictures", len(classes), len(embeddings))
        return choice


def _choose_shares(store: Store, encoder: Encoder) -> list[float]:
    sample = [np.empty((0, store.space.dim), np.float32), *_sample(store, _JUDGED)]
    return choose_shares(encoder, np.concatenate(sample))


def _choose_blends(store: Store, groups: Sequence[Group], *, blend: bool | None) -> list[bool]:
    known = store.projection
    if blend is None and known is not None and not known.classes:
        return [bool(each) for each in known.blends] or [False] * len(groups)
    return [group.encoder is not None and _suits(group.dim, group.encoder, blend=blend) for group in groups]


def _choose_widths(groups: Sequence[Group], blends: Sequence[bool], dim: int | None) -> list[int | None]:
    """The most dimensions of each group: together `dim` for one encoder, and `dim` for each part of a hybrid."""
    own, beside = [[group for group in groups if (group.encoder is None) == each] for each in (False, True)]
    widths = [_LAYOUT, _PIXELS] if dim is None else [max(1, min(_LAYOUT, dim // 8)), max(1, min(_PIXELS, dim // 16))]
    widths = widths[: len(beside)]
    if len({id(group.encoder) for group in own}) > 1:
        return [*[dim] * len(own), *widths]
    if dim is not None:
        return [*_spread(dim - sum(widths), len(own)), *widths]
    return [*(_spread(_TOGETHER if any(blends) else _DIM, len(own)) if len(own) > 1 else [None]), *widths]


def _spread(total: int, count: int) -> list[int]:
    """Divide a number as evenly as possible into `count` numbers of at least 1."""
    return [max(1, (total + number) // count) for number in reversed(range(count))]


def _suits(dim: int, encoder: Encoder, *, blend: bool | None) -> bool:
    return is_blended(dim, encoder.metric, encoder.trained_on) if blend is None else blend


def _sample(store: Store, most: int = _SAMPLE) -> Iterator[NDArray[np.float32]]:
    """At most `most` embeddings, spread evenly over the gallery, in chunks."""
    ids = store.ids()
    step = -(-len(ids) // most)
    # Reading by id fetches only the sample: a twentieth of a gallery of 700,000.
    return (embeddings for _, embeddings in store.embeddings(ids[::step].tolist() if step > 1 else None))


def _collect_labelled(store: Store, labels: Mapping[bytes, str]) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Embeddings with a label, and their labels, each content once: copies in both parts of a fold would flatter it."""
    by_content = {
        record.digest: record for record in store.scan() if record.digest is not None and labels.get(record.path)
    }
    chosen = list(by_content.values())[:: -(-len(by_content) // _SAMPLE) or 1]
    known = {record.id: labels[record.path] for record in chosen}
    parts = list(store.embeddings(sorted(known)))
    embeddings = np.concatenate([some for _, some in parts]) if parts else np.empty((0, store.space.dim), np.float32)
    return embeddings, np.array([known[id_] for ids, _ in parts for id_ in ids.tolist()], np.str_)
