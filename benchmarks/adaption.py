"""Does adapting the embeddings to a gallery help, with how many numbers, and from how many pictures on?

Cross-validated inside the gallery: every gallery picture is looked for among the others. The query pictures of the
split are not touched.

    python benchmarks/adaption.py FOLDER SPLIT.csv
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from lookalike import Gallery
from lookalike.datasets import read_split
from lookalike.distance import unit
from lookalike.evaluation import average_precision, precision_at
from lookalike.store.projection import fit_projection


def leave_one_out(rows: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """mAP, P@10 and top-1 of every row against all others, by cosine."""
    likeness = unit(rows) @ unit(rows).T
    np.fill_diagonal(likeness, -np.inf)
    order = np.argsort(-likeness, axis=1, kind="stable")[:, :-1]
    relevant = labels[order] == labels[:, None]
    return (
        float(average_precision(relevant).mean()),
        float(precision_at(relevant, 10).mean()),
        float(precision_at(relevant, 1).mean()),
    )


def adapted(rows: np.ndarray, numbers: int) -> np.ndarray:
    return fit_projection([rows], rows.shape[1], numbers).apply(rows)


def line(name: str, figures: tuple[float, float, float]) -> None:
    print(f"| {name} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("split", type=Path)
    parser.add_argument("-e", "--encoder", default="efficientnet-lite0")
    arguments = parser.parse_args()
    pictures = read_split(arguments.split, arguments.folder).gallery
    gallery = Gallery.open(Path("/tmp") / "adaption.gallery", encoder=arguments.encoder, create=True)
    embedded = dict(gallery.embed_files(picture.path for picture in pictures))
    rows = np.stack([embedded[picture.path] for picture in pictures])
    labels = np.array([picture.label for picture in pictures])

    print("| numbers | mAP | P@10 | top-1 |\n|---|---|---|---|")
    line(f"{rows.shape[1]}, raw", leave_one_out(rows, labels))
    line(f"{rows.shape[1]}, raw, float16", leave_one_out(rows.astype(np.float16).astype(np.float32), labels))
    line(f"{rows.shape[1]}, centred", leave_one_out(rows - rows.mean(axis=0), labels))
    for numbers in (8, 16, 32, 48, 64, 96, 128, 256):
        line(f"{numbers}, adapted", leave_one_out(adapted(rows, numbers), labels))

    print(
        "\n| pictures | raw mAP | adapted mAP | raw P@10 | adapted P@10 | adapted is better in |\n|---|---|---|---|---|---|"
    )
    rng = np.random.default_rng(0)
    for count in (20, 50, 100, 200, 400, 800):
        some = []
        for _ in range(20):
            chosen = rng.choice(len(rows), count, replace=False)
            raw = leave_one_out(rows[chosen], labels[chosen])
            fitted = leave_one_out(adapted(rows[chosen], 64), labels[chosen])
            some.append((raw[0], fitted[0], raw[1], fitted[1], fitted[0] > raw[0]))
        means = np.mean(some, axis=0)
        print(
            f"| {count} | " + " | ".join(f"{mean:.3f}" for mean in means[:4]) + f" | {means[4]:.0%} of 20 |", flush=True
        )


if __name__ == "__main__":
    main()
