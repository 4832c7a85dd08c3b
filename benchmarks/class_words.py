"""How well the words of the shipped classifier find the pictures of a class: P@10 on labelled collections.

    python benchmarks/class_words.py COLLECTIONS SCENES8 [FILE]

COLLECTIONS: a folder of labelled folders (flowers12, grocery81, furniture7, ucmerced21). SCENES8: the folder of the
8 Scenes. FILE: where the figures are written as JSON. For each word the pictures of the classes named
beside it are relevant; a word that the collection has no class for is not asked. Only the gallery's side of each split
is looked at. The words are compared as in a search, and next to that by other scores of the same classifier.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from measuring import gallery_of, relevant_share, write_figures

from lookalike import Query
from lookalike.encoders.efficientnet.classifier import load_classifier
from lookalike.search.text import find_vocabulary
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from lookalike import Gallery

FRUIT = (
    "Anjou Avocado Banana Cantaloupe Conference Galia-Melon Golden-Delicious Granny-Smith Honeydew-Melon Kaiser Kiwi "
    "Lemon Lime Mango Nectarine Orange Papaya Passion-Fruit Peach Pineapple Pink-Lady Plum Pomegranate Red-Delicious "
    "Red-Grapefruit Royal-Gala Satsumas Watermelon"
)
VEGETABLES = (
    "Asparagus Aubergine Beef-Tomato Brown-Cap-Mushroom Cabbage Carrots Cucumber Floury-Potato Garlic Ginger "
    "Green-Bell-Pepper Leek Orange-Bell-Pepper Red-Beet Red-Bell-Pepper Regular-Tomato Solid-Potato Sweet-Potato "
    "Vine-Tomato Yellow-Bell-Pepper Yellow-Onion Zucchini"
)
WORDS = {
    "flowers12": {"daisy": "daisy"},
    "grocery81": {
        "banana": "Banana",
        "lemon": "Lemon",
        "orange": "Orange",
        "pineapple": "Pineapple",
        "pomegranate": "Pomegranate",
        "cucumber": "Cucumber",
        "zucchini": "Zucchini",
        "cabbage": "Cabbage",
        "mushroom": "Brown-Cap-Mushroom",
        "Granny Smith": "Granny-Smith",
        "bell pepper": "Green-Bell-Pepper Orange-Bell-Pepper Red-Bell-Pepper Yellow-Bell-Pepper",
        "apple": "Golden-Delicious Granny-Smith Pink-Lady Red-Delicious Royal-Gala",
        "citrus": "Lemon Lime Orange Red-Grapefruit Satsumas",
        "fruit": FRUIT,
        "vegetable": VEGETABLES,
    },
    "scenes8": {"seashore": "coast", "coast": "coast", "beach": "coast", "alp": "mountain", "mountain": "mountain"},
    "furniture7": {
        "chair": "chair",
        "bed": "bed",
        "sofa": "sofa",
        "table": "table",
        "fridge": "fridge",
        "tv": "tv",
        "wardrobe": "cupboard",
    },
    "ucmerced21": {"airplane": "airplane", "seashore": "beach", "mobile home": "mobilehomepark", "dock": "harbor"},
}


def measure(gallery: Gallery, word: str, classes: set[str]) -> dict[str, float]:
    """P@10 of a word as it is searched for, and by other scores."""
    found = {"search": relevant_share([hit.path for hit in gallery.search(Query.text(word))], classes)}
    paths = {record.id: Path(record.path.decode()) for record in gallery.pictures()}
    parts = list(gallery.store.embeddings())
    names = [paths[id_] for ids, _ in parts for id_ in ids.tolist()]
    features = unit(np.concatenate([rows for _, rows in parts])[:, :1280])
    vocabulary = find_vocabulary(gallery.encoder)
    assert vocabulary is not None
    numbers = sorted(vocabulary._find(word))
    for name, scores in _other_scores(features, numbers).items():
        best = np.argsort(-scores, kind="stable")[:10]
        found[name] = relevant_share([names[index] for index in best], classes)
    return found


def _other_scores(features: np.ndarray, numbers: list[int]) -> dict[str, np.ndarray]:
    """Scores of pictures for a union of classes; 25 is about the length of features before they are scaled to 1."""
    weights, biases = load_classifier()
    logits = 25 * features @ weights.T + biases
    likely = np.exp(logits - logits.max(axis=1, keepdims=True))
    likely /= likely.sum(axis=1, keepdims=True)
    centred = unit(weights - weights.mean(axis=0))[numbers]
    return {
        "sum of probabilities": likely[:, numbers].sum(axis=1),
        "largest probability": likely[:, numbers].max(axis=1),
        "largest logit": logits[:, numbers].max(axis=1),
        "mean direction": features @ unit(centred.mean(axis=0)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("collections", type=Path)
    parser.add_argument("scenes8", type=Path)
    parser.add_argument("file", type=Path, nargs="?")
    arguments = parser.parse_args()
    found: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, words in WORDS.items():
            source = arguments.scenes8 if name == "scenes8" else arguments.collections / name
            with gallery_of(source, Path(folder) / name) as gallery:
                found[name] = {word: measure(gallery, word, set(classes.split())) for word, classes in words.items()}
    ways = list(found["flowers12"]["daisy"])
    each = [figures for words in found.values() for figures in words.values()]
    means = {way: float(np.mean([figures[way] for figures in each])) for way in ways}
    write_figures(arguments.file, __file__, {"measure": "P@10", "mean": means, "collections": found})


if __name__ == "__main__":
    main()
