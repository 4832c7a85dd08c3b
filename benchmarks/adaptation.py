"""Does adapting the embeddings to a gallery help, with how many numbers, and from how many pictures on?

Cross-validated inside the gallery: what is searched for is neither in the gallery that is searched nor in what the
projection is fitted on. The query pictures of the split are not touched.

    python benchmarks/adaptation.py FOLDER SPLIT.csv [-e ENCODER]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from lookalike import Gallery
from lookalike.adaptation.projection import fit_projection
from lookalike.datasets.labelled import read_split
from lookalike.metrics import average_precision, precision_at
from lookalike.vectors.metric import unit

FOLDS = 5
GALLERIES = 40  # random ones of each size
SEARCHES = 400  # in each of them
KEPT = 64


def embed(folder: Path, split: Path, encoder: str) -> tuple[np.ndarray, np.ndarray]:
    """float32 (n, dim) and labels (n,) of the split's gallery pictures."""
    pictures = read_split(split, folder).gallery
    with tempfile.TemporaryDirectory() as place, Gallery.open(place, encoder=encoder, create=True) as gallery:
        embedded = dict(gallery.embed_files(picture.path for picture in pictures))
    return np.stack([embedded[p.path] for p in pictures]), np.array([p.label for p in pictures])


def measure(rows: np.ndarray, queries: np.ndarray, labels: np.ndarray, wanted: np.ndarray) -> list[float]:
    """mAP, P@10 and top-1 by cosine, over the queries whose class is in the gallery."""
    order = np.argsort(-(unit(queries) @ unit(rows).T), axis=1, kind="stable")
    relevant = (labels[order] == wanted[:, None])[np.isin(wanted, labels)]
    measures = average_precision(relevant), precision_at(relevant, 10), precision_at(relevant, 1)
    return [float(measure.mean()) for measure in measures]


def in_folds(rows: np.ndarray, labels: np.ndarray) -> None:
    fold = np.random.default_rng(0).permutation(len(rows)) % FOLDS
    figures: dict[str, list[list[float]]] = {}
    for number in range(FOLDS):
        rest, out = fold != number, fold == number
        own, asked = rows[rest], rows[out]
        projection = fit_projection([own], own.shape[1], 256)
        fitted, turned = projection.apply(own), projection.apply(asked)
        kinds = {
            f"{own.shape[1]}, raw": (own, asked),
            f"{own.shape[1]}, raw, stored as float16": (own.astype(np.float16).astype(np.float32), asked),
            f"{own.shape[1]}, centred": (own - own.mean(axis=0), asked - own.mean(axis=0)),
            **{f"{n}, adapted": (fitted[:, :n], turned[:, :n]) for n in (8, 16, 32, 48, 64, 96, 128, 256)},
        }
        coarse = own.astype(np.float16).astype(np.float32)
        again = fit_projection([coarse], own.shape[1], KEPT)
        kinds[f"{KEPT}, adapted, stored as float16"] = again.apply(coarse), again.apply(asked)
        for name, (left, right) in kinds.items():
            figures.setdefault(name, []).append(measure(left, right, labels[rest], labels[out]))
    table(["numbers", "mAP", "P@10", "top-1"], [[name, *np.mean(parts, axis=0)] for name, parts in figures.items()])


def by_size(rows: np.ndarray, labels: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    lines = []
    for count in (20, 50, 100, 200, 400, 800):
        pairs = []
        for _ in range(GALLERIES):
            order = rng.permutation(len(rows))
            own, out = order[:count], order[count : count + SEARCHES]
            projection = fit_projection([rows[own]], rows.shape[1], KEPT)
            raw = measure(rows[own], rows[out], labels[own], labels[out])
            turned = projection.apply(rows[own]), projection.apply(rows[out])
            pairs.append((raw, measure(*turned, labels[own], labels[out])))
        raw, adapted = np.array(pairs).transpose(1, 0, 2)  # each (galleries, measures)
        beside = np.stack([raw.mean(axis=0), adapted.mean(axis=0)], axis=1).ravel()
        won = [f"{share:.0%}" for share in (adapted > raw).mean(axis=0)]
        lines.append([str(count), *beside, " / ".join(won)])
    names = [f"{kind} {name}" for name in ("mAP", "P@10", "top-1") for kind in ("raw", "adapted")]
    table(["pictures", *names, "adapted is better in"], lines)


def table(columns: list[str], lines: list[list[str | float]]) -> None:
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for line in lines:
        print("| " + " | ".join(cell if isinstance(cell, str) else f"{cell:.3f}" for cell in line) + " |")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("split", type=Path)
    parser.add_argument("-e", "--encoder", default="efficientnet-lite0")
    arguments = parser.parse_args()
    rows, labels = embed(arguments.folder, arguments.split, arguments.encoder)
    in_folds(rows, labels)
    by_size(rows, labels)


if __name__ == "__main__":
    main()
