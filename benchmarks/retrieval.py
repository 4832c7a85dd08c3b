"""How well the pretrained line finds: cross-validated inside the gallery, or once on the queries of the split.

    python benchmarks/retrieval.py FOLDER SPLIT.csv [-e ENCODER ...] [--test]

Without a split file every picture of FOLDER is the gallery, its first folder the class. Also looks for gallery
pictures by a part of them (60% of the area, anywhere; other brightness, contrast and saturation; JPEG at 60) and
counts how many of the first ten hits stay when the query is paler, lighter or darker. With --twice a query is
embedded both by the encoder's view and whole, and a picture is as near as it is to the nearer of the two.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookalike import load_encoder
from lookalike.adaptation.expansion import concat, expand, fit_blend, whiten
from lookalike.adaptation.projection import fit_projection
from lookalike.datasets.labelled import load_labelled, read_split
from lookalike.images.augment import TONES, cut_part
from lookalike.images.decode import View, fit, open_file
from lookalike.images.ground import on_ground
from lookalike.metrics import average_precision, precision_at
from lookalike.search.rerank import CANDIDATES, diffused
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL import Image

    from lookalike.encoders import Encoder

    Method = Callable[[np.ndarray, np.ndarray], np.ndarray]  # projected gallery and queries in, similarities out
    Ranking = Callable[[np.ndarray, np.ndarray], np.ndarray]  # the same of the views of queries, (views, m, d)

_CUT = 512
_FOLDS = 5
_PARTS = 400  # gallery pictures that are looked for by a part


def pca(numbers: int) -> Method:
    return lambda rows, queries: unit(queries[:, :numbers]) @ unit(rows[:, :numbers]).T


def smoothed(numbers: int, k: int) -> Method:
    def likeness(rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
        first = unit(rows[:, :numbers])
        return expand(queries[:, :numbers], first, k=k) @ expand(first, first, k=k).T

    return likeness


def whitened(numbers: int) -> Method:
    def likeness(rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
        deviations = rows[:, :numbers].std(axis=0, dtype=np.float64)
        return whiten(queries[:, :numbers], deviations) @ whiten(rows[:, :numbers], deviations).T

    return likeness


def beside_whitened(numbers: int, share: float) -> Method:
    """Without smoothing: what the whitened half does alone."""

    def likeness(rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
        deviations = rows.std(axis=0, dtype=np.float64)
        left, right = (
            concat(unit(part[:, :numbers]), whiten(part, deviations), share=share) for part in (queries, rows)
        )
        return left @ right.T

    return likeness


def built_in(rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    made = fit_blend(rows, smoothed=32, whitened=224)
    return made.apply(queries) @ made.apply(rows).T


def blend(*, k: int = 20, share: float = 0.5, numbers: int = 256, kept: float = 1.0) -> Method:
    """What is built in, otherwise: 64 smoothed and `numbers` whitened, the share `kept` of the rows as anchors."""

    def likeness(rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
        deviations = rows[:, : min(numbers, len(rows) // 4)].std(axis=0, dtype=np.float64)
        first = unit(rows[:, :64])
        anchors = first[np.random.default_rng(3).permutation(len(first))[: round(kept * len(first))]]
        left, right = (
            concat(expand(part[:, :64], anchors, k=k), whiten(part[:, : len(deviations)], deviations), share=share)
            for part in (queries, rows)
        )
        return left @ right.T

    return likeness


def most_alike(method: Method) -> Ranking:
    """The similarity of the most similar view of every query."""
    return lambda rows, views: np.max([method(rows, view) for view in views], axis=0)


def in_diffusion_order(rows: np.ndarray, views: np.ndarray) -> np.ndarray:
    """What is built in, in the order that `search --order diffusion` gives: minus the places."""
    made = fit_blend(rows, smoothed=32, whitened=224)
    own = made.apply(rows)
    likeness = np.max([made.apply(view) @ own.T for view in views], axis=0)
    ranked = np.empty_like(likeness)
    for one, place in zip(likeness, ranked, strict=True):
        near = np.argsort(-one, kind="stable")
        first, rest = np.split(near, [CANDIDATES])
        order = np.concatenate([first[diffused(own[first], 2.0 - 2.0 * one[first].astype(np.float64))], rest])
        place[order] = -np.arange(len(order))
    return ranked


_BY_VIEW: dict[str, Method] = {
    **{f"PCA-{numbers}": pca(numbers) for numbers in (16, 32, 64, 128, 512)},
    "whitened 512": whitened(512),
    **{f"PCA-{numbers}, smoothed {k}": smoothed(numbers, k) for numbers in (32, 64) for k in (10, 20, 50)},
    "PCA-64, whitened 512 beside it, share 0.5": beside_whitened(64, 0.5),
    "blend, as it is built in": built_in,
    **{f"blend, {k} neighbours, share {s}": blend(k=k, share=s) for k in (10, 20, 50) for s in (0.3, 0.4, 0.5)},
    **{f"blend, {numbers} whitened": blend(numbers=numbers) for numbers in (64, 128, 512)},
    **{f"blend, 1/{part} kept": blend(kept=1 / part) for part in (2, 4, 8)},
}
METHODS: dict[str, Ranking] = {
    **{title: most_alike(method) for title, method in _BY_VIEW.items()},
    "blend, in the order of diffusion": in_diffusion_order,
}


def project(rows: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    projection = fit_projection([rows], rows.shape[1], _CUT)
    return [projection.apply(part) for part in (rows, *others)]


def measure(likeness: np.ndarray, labels: np.ndarray, wanted: np.ndarray) -> list[float]:
    """mAP, P@10 and top-1 of queries that want a class, over those whose class the gallery has."""
    order = np.argsort(-likeness, axis=1, kind="stable")
    relevant = (labels[order] == wanted[:, None])[np.isin(wanted, labels)]
    return [
        float(f.mean()) for f in (average_precision(relevant), precision_at(relevant, 10), precision_at(relevant, 1))
    ]


def changed(image: Image.Image, rng: np.random.Generator) -> dict[str, Image.Image]:
    """A part of a picture, altered; and the whole paler, lighter, darker."""
    return {"part": cut_part(image, rng), **{tone: alter(image) for tone, alter in TONES.items()}}


def opened(path: bytes, encoder: Encoder) -> Image.Image:
    with open_file(path, at_least=4 * encoder.view.size) as image:
        return on_ground(image)


def embed(images: Sequence[Image.Image], encoder: Encoder, views: Sequence[View]) -> np.ndarray:
    """float32 (views, n, dim)."""
    return np.stack([encoder.encode(np.stack([np.asarray(fit(image, view)) for image in images])) for view in views])


def embed_files(paths: Sequence[bytes], encoder: Encoder, views: Sequence[View]) -> np.ndarray:
    parts = [paths[start : start + 64] for start in range(0, len(paths), 64)]
    return np.concatenate([embed([opened(path, encoder) for path in part], encoder, views) for part in parts], axis=1)


def stay(likeness: np.ndarray, unchanged: np.ndarray) -> float:
    """The share of the first ten hits that are the unchanged query's too."""
    first, second = (np.argsort(-part, axis=1)[:, :10] for part in (likeness, unchanged))
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(first.tolist(), second.tolist(), strict=True)]))


class Bench:
    """One encoder's embeddings of the gallery and of what is looked for in it: (views, n, dim) each."""

    def __init__(self, name: str, paths: Sequence[bytes], queries: Sequence[bytes], *, twice: bool) -> None:
        encoder = load_encoder(name)
        views = [encoder.view, View(encoder.view.size)] if twice else [encoder.view]
        start = time.perf_counter()
        self.gallery = embed_files(paths, encoder, views)
        rate = len(paths) * len(views) / (time.perf_counter() - start)
        print(f"\n{name}: {rate:.0f} pictures a second, {encoder.dim} numbers\n")
        self.queries = embed_files(queries, encoder, views) if queries else self.gallery[:, :0]
        rng = np.random.default_rng(7)
        self.pick = rng.permutation(len(paths))[:_PARTS]
        altered = [changed(opened(paths[place], encoder), rng) for place in self.pick]
        rows = np.concatenate([self.gallery, self.queries], axis=1)
        self.whole, unchanged, *rest = project(
            rows[0], rows[:, self.pick], *(embed([one[kind] for one in altered], encoder, views) for kind in altered[0])
        )
        self.unchanged, self.altered = unchanged, dict(zip(altered[0], rest, strict=True))

    def pairs(self, labels: np.ndarray, wanted: np.ndarray | None) -> list[tuple[np.ndarray, ...]]:
        """Projected gallery and queries with their labels: of the test, or of every fold."""
        if wanted is not None:
            return [(*project(self.gallery[0], self.queries), labels, wanted)]
        fold = np.random.default_rng(0).permutation(len(labels)) % _FOLDS
        parts = [(fold != number, fold == number) for number in range(_FOLDS)]
        return [
            (*project(self.gallery[0, rest], self.gallery[:, out]), labels[rest], labels[out]) for rest, out in parts
        ]

    def robustness(self, ranking: Ranking) -> list[float]:
        unchanged = ranking(self.whole, self.unchanged)
        found = {kind: ranking(self.whole, rows) for kind, rows in self.altered.items()}
        top = float((found.pop("part").argmax(axis=1) == self.pick).mean())
        return [top, *(stay(likeness, unchanged) for likeness in found.values())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("split", type=Path, nargs="?")
    parser.add_argument("-e", "--encoder", nargs="+", default=["efficientnet-lite0", "efficientnet-lite0-layers"])
    parser.add_argument("-m", "--method", nargs="+", choices=list(METHODS), default=list(METHODS), metavar="METHOD")
    parser.add_argument("--test", action="store_true", help="look at the queries of the split, once, at the end")
    parser.add_argument("--twice", action="store_true", help="embed a query by the encoder's view and whole")
    arguments = parser.parse_args()
    if arguments.split:
        dataset = read_split(arguments.split, arguments.folder)
        gallery, queries = dataset.gallery, dataset.queries
    else:
        gallery, queries = tuple(load_labelled(arguments.folder)), ()
    labels = np.array([picture.label for picture in gallery])
    wanted = np.array([picture.label for picture in queries]) if arguments.test and queries else None
    for name in arguments.encoder:
        bench = Bench(
            name, [os.fsencode(p.path) for p in gallery], [os.fsencode(p.path) for p in queries], twice=arguments.twice
        )
        pairs = bench.pairs(labels, wanted)
        print(
            "| method | mAP | P@10 | top-1 | part found | paler | lighter | darker |\n|---|---|---|---|---|---|---|---|"
        )
        for title in arguments.method:
            ranking = METHODS[title]
            figures = np.mean([measure(ranking(rows, q), own, want) for rows, q, own, want in pairs], axis=0)
            row = [*figures, *bench.robustness(ranking)]
            print(f"| {title} | " + " | ".join(f"{figure:.3f}" for figure in row) + " |", flush=True)


if __name__ == "__main__":
    main()
