"""Figures of quality with the values of each query behind them: for intervals, and for means over collections."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.metrics import find_interval, resample_means

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Interval = tuple[float, float]

    Tree = Mapping[str, Any]
    """Numbers by name, and such trees by name."""

__all__ = ["Figures", "average"]

_FEWEST = 2  # queries: of one, a bootstrap draws only itself


@dataclass(frozen=True)
class Figures:
    """Figures that are means over queries.

    facts: what else is known, such as the encoder. values: of each query by the name of the figure, float64 (queries,);
    figures of as many queries are of the same ones.
    parts: figures of the same queries in other galleries, by name. repeats: the same figures for other splits.
    """

    facts: Mapping[str, Any]
    values: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    parts: Mapping[str, Figures] = field(default_factory=dict)
    repeats: tuple[Figures, ...] = ()

    @property
    def means(self) -> dict[str, float]:
        """The figures by name."""
        return {name: float(values.mean()) for name, values in self.values.items()}

    def resample(self, seed: int | Sequence[int] = 0) -> dict[str, NDArray[np.float64]]:
        """The bootstrapped means of each figure, float64 (resamples,); without those of fewer than two queries."""
        counts = {len(values) for values in self.values.values()} - set(range(_FEWEST))
        found: dict[str, NDArray[np.float64]] = {}
        for count in sorted(counts):
            together = {name: values for name, values in self.values.items() if len(values) == count}
            means = resample_means(np.stack(list(together.values()), axis=1), seed)
            found |= dict(zip(together, means.T, strict=True))
        return {name: found[name] for name in self.values if name in found}

    @functools.cached_property
    def intervals(self) -> dict[str, Interval]:
        """The 95% interval of each figure, by a bootstrap over the queries."""
        return _find_intervals(self.resample())

    def with_part(self, name: str, part: Figures) -> Figures:
        """These figures with another part."""
        return replace(self, parts={**self.parts, name: part})

    def join(self, other: Figures) -> Figures:
        """These figures and others in one document."""
        return replace(other, facts={**self.facts, **other.facts}, values={**self.values, **other.values})

    def to_dict(self) -> dict[str, Any]:
        """The document of these figures, as `lookalike evaluate --json` prints it."""
        intervals = {"intervals": _to_lists(self.intervals)} if self.values else {}
        parts = {name: part.to_dict() for name, part in self.parts.items()}
        return {**self.facts, **self.means, **intervals, **parts, **self._describe_repeats()}

    def to_tree(self) -> dict[str, Any]:
        """The means, and those of each part by its name."""
        return {**self.means, **{name: part.to_tree() for name, part in self.parts.items()}}

    def _describe_repeats(self) -> dict[str, Any]:
        if not self.repeats:
            return {}
        trees = [each.to_tree() for each in self.repeats]
        return {"repeats": {**_summarize(trees), "splits": [each.to_dict() for each in self.repeats]}}


def average(collections: Sequence[Figures]) -> dict[str, Any]:
    """The document of the mean over collections, which all count alike, of every figure that each of them has.

    The queries of each collection are resampled on their own, so that an interval says how the mean would vary with
    other queries in the same collections. Empty without collections.
    """
    if not collections:
        return {}
    shared = {name: collections[0].facts[name] for name in ("encoder", "order") if name in collections[0].facts}
    return {"n_collections": len(collections), **shared, **_average(collections), **_average_repeats(collections)}


def _average(collections: Sequence[Figures]) -> dict[str, Any]:
    """The means with their intervals, and the same for each part that all have."""
    samples = [each.resample((0, number)) for number, each in enumerate(collections)]
    means = {name: np.mean([sample[name] for sample in samples], axis=0) for name in _shared(samples)}
    parts = {name: _average([each.parts[name] for each in collections]) for name in _shared_parts(collections)}
    figures = _merge([each.means for each in collections], statistics.fmean)
    intervals = {"intervals": _to_lists(_find_intervals(means))} if figures else {}
    return {**figures, **intervals, **parts}


def _average_repeats(collections: Sequence[Figures]) -> dict[str, Any]:
    """How the mean over the collections varies when each of them is split in another way."""
    count = min(len(each.repeats) for each in collections)
    if not count:
        return {}
    trees = [_merge([each.repeats[n].to_tree() for each in collections], statistics.fmean) for n in range(count)]
    return {"repeats": {**_summarize(trees), "splits": trees}}


def _summarize(trees: Sequence[Tree]) -> dict[str, Any]:
    """How many splits there are, with the means over them and the sample standard deviations (None for one split)."""
    spread: Callable[[Sequence[float]], float | None] = statistics.stdev if len(trees) > 1 else lambda _: None
    return {"n": len(trees), "mean": _merge(trees, statistics.fmean), "spread": _merge(trees, spread)}


def _merge(trees: Sequence[Tree], merge: Callable[[Sequence[float]], Any]) -> dict[str, Any]:
    """One tree of what all of these have."""
    columns = {name: [tree[name] for tree in trees] for name in _shared(trees)}
    return {
        name: _merge(column, merge) if isinstance(column[0], Mapping) else merge(column)
        for name, column in columns.items()
    }


def _shared(mappings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names that all of these have, in the order of the first."""
    return [name for name in mappings[0] if all(name in each for each in mappings)]


def _shared_parts(collections: Sequence[Figures]) -> list[str]:
    return _shared([each.parts for each in collections])


def _find_intervals(samples: Mapping[str, NDArray[np.float64]]) -> dict[str, Interval]:
    return {name: find_interval(means) for name, means in samples.items()}


def _to_lists(intervals: Mapping[str, Interval]) -> dict[str, list[float]]:
    return {name: list(interval) for name, interval in intervals.items()}
