"""Names taught by 1, 3, 5 and 10 examples: how well they find the others of a class, and how good their tags are.

    python benchmarks/concepts.py COLLECTIONS SCENES8 [FILE] [--galleries DIR]

COLLECTIONS: a folder of labelled folders. SCENES8: the folder of 8 Scenes. FILE: where the figures are written as JSON.
DIR: where the galleries are kept. Only the gallery's side of each split is looked at. For each class, of at most 30 in
a collection, examples are drawn three times; all other pictures of the gallery are ranked. P@10 is the share of the
class among the first ten, or among as many as the class has left. `two unlike`: the first two wrong hits are taught as
unlike; they are left out of this ranking and of that of `the same, not taught`. The tag's figures are means over draws.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from measuring import gallery_of, write_figures

from lookalike.adaptation.concept import Background, fit_direction
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike import Gallery

_EXAMPLES, _CLASSES, _DRAWS, _BACKGROUND = (1, 3, 5, 10), 30, 3, 2048
Figures = dict[str, float]


def measure(gallery: Gallery) -> dict[int, Figures]:
    """The mean figures of a collection by the number of examples."""
    labels, raw, vectors = read(gallery)
    background = Background(vectors[:: -(-len(vectors) // _BACKGROUND)])
    rng = np.random.default_rng(0)
    classes = np.unique(labels)
    chosen = rng.choice(classes, min(_CLASSES, len(classes)), replace=False)
    found: defaultdict[int, list[Figures]] = defaultdict(list)
    for label in chosen:
        for count in _EXAMPLES:
            own = np.flatnonzero(labels == label)
            for _ in range(_DRAWS if len(own) > count else 0):
                shown = rng.choice(own, count, replace=False)
                found[count].append(try_out(labels == label, raw, vectors, shown, background))
    return {count: _mean(figures) for count, figures in found.items()}


def read(gallery: Gallery) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The label of each picture, its embedding of length 1, and its vector."""
    parts = list(gallery.store.embeddings())
    ids = [id_ for some, _ in parts for id_ in some.tolist()]
    records = gallery.store.get(ids)
    labels = np.array([Path(records[id_].path.decode()).parent.name for id_ in ids])
    return labels, unit(np.concatenate([rows for _, rows in parts])), gallery.store.vectors(ids)


def try_out(
    relevant: np.ndarray, raw: np.ndarray, vectors: np.ndarray, shown: np.ndarray, background: Background
) -> Figures:
    """What one draw of examples gives."""
    others = np.setdiff1d(np.arange(len(relevant)), shown)
    none = np.empty((0, vectors.shape[1]), np.float32)
    taught = fit_direction(vectors[shown], none, background)
    scores = vectors @ taught.vector
    wrong = [index for index in others[np.argsort(-scores[others], kind="stable")] if not relevant[index]][:2]
    against = fit_direction(vectors[shown], vectors[wrong], background)
    rest = np.setdiff1d(others, wrong)
    return {
        "taught": precision(scores, relevant, others),
        "nearest mean of vectors": precision(vectors @ vectors[shown].mean(axis=0), relevant, others),
        "nearest mean of embeddings": precision(raw @ raw[shown].mean(axis=0), relevant, others),
        "two unlike": precision(vectors @ against.vector, relevant, rest),
        "the same, not taught": precision(scores, relevant, rest),
        **tags(scores[others] >= taught.threshold, relevant[others]),
    }


def precision(scores: np.ndarray, relevant: np.ndarray, among: np.ndarray) -> float:
    """P@10 among some pictures."""
    ranked = relevant[among][np.argsort(-scores[among], kind="stable")]
    return float(ranked[: min(10, int(ranked.sum()))].mean())


def tags(carries: np.ndarray, relevant: np.ndarray) -> Figures:
    """How good a tag is."""
    right = float((carries & relevant).sum())
    return {
        "tag F1": 2 * right / float(carries.sum() + relevant.sum()),
        "tag precision": right / float(max(1, carries.sum())),
        "tag recall": right / float(relevant.sum()),
    }


def _mean(figures: list[Figures]) -> Figures:
    return {name: float(np.mean([each[name] for each in figures])) for name in figures[0]}


@contextlib.contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("collections", type=Path)
    parser.add_argument("scenes8", type=Path)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--galleries", type=Path)
    arguments = parser.parse_args()
    sources = [arguments.scenes8, *sorted(path for path in arguments.collections.iterdir() if path.is_dir())]
    found: dict[str, dict[int, Figures]] = {}
    with _folder(arguments.galleries) as folder:
        for source in sources:
            with gallery_of(source, folder / source.name) as gallery:
                found[source.name] = measure(gallery)
    means: dict[int, Any] = {
        count: _mean([figures[count] for figures in found.values() if count in figures]) for count in _EXAMPLES
    }
    write_figures(arguments.file, __file__, {"mean": means, "collections": found})


if __name__ == "__main__":
    main()
