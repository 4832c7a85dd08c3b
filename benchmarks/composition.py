"""How the groups of an embedding are weighed: mAP, P@10 and top-1 of each collection, and their means.

Cross-validated in three folds inside the gallery pictures of each collection, with the projection and its blends fitted
on the other two; the query pictures of the protocol are not touched. Each picture is encoded once for all variants.

    python benchmarks/composition.py FOLDER... [-e ENCODER]
"""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lookalike.adaptation import expansion
from lookalike.adaptation.plan import Plan, fit_plan
from lookalike.datasets.labelled import load_labelled, read_split, split_by_content
from lookalike.encoders import DEFAULT, composition, load_encoder
from lookalike.encoders.groups import EncoderGroup, groups_of
from lookalike.images.pool import DecoderPool
from lookalike.metrics import average_precision, precision_at

FOLDS = 3


class Variant(NamedTuple):
    """The shares of the encoder's groups, the exponent of their values, the layout's share, and the smoothed and
    whitened dimensions of each group with the share of the whitened ones; whether each gallery chooses its shares.
    """

    shares: tuple[float, ...] = (0.6, 0.4)
    exponent: float = 0.7
    layout: float = 0.05
    whitened_share: float = 0.33
    dims: tuple[int, int] = (116, 16)
    is_chosen: bool = False


VARIANTS = {
    "as built": Variant(is_chosen=True),
    "shares 0.6 / 0.4 in every gallery": Variant(),
    "the encoder's embedding as one group": Variant(shares=(1.0,)),
    "without the layout": Variant(layout=0.0),
    "layout 0.1": Variant(layout=0.1),
    "exponent 1": Variant(exponent=1.0),
    "exponent 0.5": Variant(exponent=0.5),
    "shares 0.75 / 0.25": Variant(shares=(0.75, 0.25)),
    "shares 0.55 / 0.45": Variant(shares=(0.55, 0.45)),
    "shares 0.37 / 0.63": Variant(shares=(0.37, 0.63)),
    "whitened 0.25": Variant(whitened_share=0.25),
    "whitened 0.5": Variant(whitened_share=0.5),
    "256 dimensions a group": Variant(dims=(256, 64)),
    "64 dimensions a group": Variant(dims=(64, 16)),
}


class Collection(NamedTuple):
    rows: np.ndarray  # float32 (n, dim), as the encoder gave them
    wholes: list[bytes]
    labels: np.ndarray


def load(folder: Path, encoder: Any) -> Collection:
    """The gallery pictures of a collection by the protocol."""
    split = next(folder.glob("*_split.csv"), None)
    pictures = (read_split(split, folder) if split else split_by_content(load_labelled(folder))).gallery
    labels = {picture.path: picture.label for picture in pictures}
    rows, wholes, known = [], [], []
    with DecoderPool(encoder.view) as pool:
        for path, found in pool.read(labels):
            if isinstance(found, str):
                continue
            size = encoder.view.size
            rows.append(encoder.encode(np.frombuffer(found.pixels, np.uint8).reshape(1, size, size, 3))[0])
            wholes.append(found.whole)
            known.append(labels[path])
    return Collection(np.stack(rows), wholes, np.array(known))


def measure(collection: Collection, encoder: Any, variant: Variant) -> np.ndarray:
    """The mean mAP, P@10 and top-1 of a collection in folds."""
    rows = compose(collection, encoder, variant)
    groups = composition.divide(encoder, rows.shape[1])
    blends = [group.encoder is not None for group in groups]
    most: list[int | None] = [variant.dims[0] if blend else variant.dims[1] for blend in blends]
    if len(variant.shares) == 1:
        most[0] = 2 * variant.dims[0]
    fold, figures = np.random.default_rng(0).permutation(len(rows)) % FOLDS, []
    for number in range(FOLDS):
        own, asked = fold != number, fold == number
        shares = composition.choose_shares(encoder, rows[own]) if variant.is_chosen else [one.share for one in groups]
        plan = Plan([group.dim for group in groups], shares, blends, most)
        projection = fit_plan(plan, functools.partial(np.split, rows[own], 1))
        similarity = projection.apply(rows[asked]) @ projection.apply(rows[own]).T
        order = np.argsort(-similarity, axis=1, kind="stable")
        relevant = collection.labels[own][order] == collection.labels[asked][:, None]
        relevant = relevant[relevant.any(axis=1)]
        figures.append([average_precision(relevant), precision_at(relevant, 10), precision_at(relevant, 1)])
    return np.asarray(np.concatenate(figures, axis=1).mean(axis=1))


def compose(collection: Collection, encoder: Any, variant: Variant) -> np.ndarray:
    """The embeddings of this variant; the constants under test are set where the package has them."""
    dims = encoder.layers if len(variant.shares) > 1 else (encoder.dim,)
    encoder.groups = [
        EncoderGroup(dim, share, variant.exponent) for dim, share in zip(dims, variant.shares, strict=True)
    ]
    composition._LAYOUT_SHARE, expansion._SHARE = variant.layout, variant.whitened_share
    dim = composition.composed_dim(encoder)
    return np.asarray(composition.compose(encoder, collection.rows, collection.wholes, dim))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("-e", "--encoder", default=DEFAULT)
    arguments = parser.parse_args()
    encoder: Any = load_encoder(arguments.encoder)
    encoder.layers = [group.dim for group in groups_of(encoder)]
    collections = {folder.name: load(folder, encoder) for folder in arguments.folders}
    print("| variant | " + " | ".join([*collections, "mean"]) + " |\n" + "|---" * (len(collections) + 2) + "|")
    for name, variant in VARIANTS.items():
        found = [measure(collection, encoder, variant) for collection in collections.values()]
        cells = [" / ".join(f"{value:.3f}" for value in row) for row in [*found, np.mean(found, axis=0)]]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
