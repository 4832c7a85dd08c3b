"""How a text should be compared with an adapted gallery: a pair of encoders, trained here, asked for classes by name.

    python benchmarks/words.py FOLDER SPLIT.csv

Half of the gallery's pictures teach the two encoders: linear over frozen features, with the contrastive loss of CLIP
(Radford et al. 2021), captions of a class's name, a word for the picture's tone and some that say nothing. The other
half is the gallery that is asked "a picture of NAME", "a TONE picture" and "a TONE picture of NAME". Only pictures of
the split's gallery are looked at. Each way of comparing is measured over several trainings; the gap is between the
means of both kinds of embeddings, of length 1 each.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookalike import View, load_encoder
from lookalike.adaptation.projection import fit_blends, fit_projection
from lookalike.datasets.labelled import read_split
from lookalike.images.decode import fit, open_file
from lookalike.metrics import average_precision, precision_at
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.datasets.labelled import LabelledPicture

_NAMES = {
    "coast": "coast", "forest": "forest", "highway": "highway", "insidecity": "city", "mountain": "mountain",
    "opencountry": "country", "street": "street", "tallbuilding": "skyscraper",
}  # fmt: skip
_TONES = ["dark", "dim", "bright", "glaring"]
_FILLERS = [
    "a",
    "an",
    "the",
    "of",
    "in",
    "on",
    "with",
    "picture",
    "photo",
    "view",
    "scene",
    "taken",
    "shot",
    "my",
    "our",
]
_WORDS = [*_NAMES.values(), *_TONES, *_FILLERS]
_DIM, _BATCH, _STEPS = 512, 128, 400


def tone_of(lights: np.ndarray) -> np.ndarray:
    """Which quarter of the pictures each belongs to by its brightness, 0 to 3."""
    return np.searchsorted(np.quantile(lights, [0.25, 0.5, 0.75]), lights)


def captions(classes: list[str], lights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each picture the shares of the words in a caption of it, (n, words)."""
    tones = tone_of(lights)
    made = np.zeros((len(classes), len(_WORDS)), np.float32)
    for row, name, tone in zip(made, classes, tones, strict=True):
        said = [_NAMES[name], _TONES[tone], *rng.choice(_FILLERS, 4)]
        np.add.at(row, [_WORDS.index(word) for word in said], 1 / len(said))
    return made


class Towers:
    """Two linear maps to unit length and a temperature, trained by Adam."""

    def __init__(self, width: int, rng: np.random.Generator) -> None:
        self.weights = [rng.normal(0, 1 / width**0.5, (width, _DIM)), rng.normal(0, 1, (len(_WORDS), _DIM))]
        self.weights = [part.astype(np.float32) for part in self.weights]
        self.moments = [(np.zeros_like(w), np.zeros_like(w)) for w in self.weights]
        self.temperature = 0.02

    def encode(self, which: int, rows: np.ndarray) -> np.ndarray:
        return unit((rows @ self.weights[which]).astype(np.float32))

    def step(self, number: int, *batches: np.ndarray) -> None:
        """One step of the symmetric loss; its gradient by hand."""
        raw = [rows @ w for rows, w in zip(batches, self.weights, strict=True)]
        lengths = [np.linalg.norm(r, axis=1, keepdims=True) for r in raw]
        one, other = (r / n for r, n in zip(raw, lengths, strict=True))
        logits = one @ other.T / self.temperature
        likely = [np.exp(part - part.max(axis=1, keepdims=True)) for part in (logits, logits.T)]
        likely = [part / part.sum(axis=1, keepdims=True) for part in likely]
        slope = (likely[0] + likely[1].T - 2 * np.eye(len(one))) / (2 * len(one) * self.temperature)
        for which, (own, pull) in enumerate([(one, slope @ other), (other, slope.T @ one)]):
            across = pull - own * (pull * own).sum(axis=1, keepdims=True)
            self._move(which, batches[which].T @ (across / lengths[which]), number)

    def _move(self, which: int, gradient: np.ndarray, number: int) -> None:
        first, second = self.moments[which]
        first += 0.1 * (gradient - first)
        second += 0.001 * (gradient**2 - second)
        step = (first / (1 - 0.9**number)) / (np.sqrt(second / (1 - 0.999**number)) + 1e-8)
        self.weights[which] -= 1e-3 * step


def ways(rows: np.ndarray, texts: np.ndarray, words: np.ndarray) -> dict[str, np.ndarray]:
    """The similarity of each text to each row, by each way; words: embeddings of any texts, whose mean is theirs."""
    made = {"raw cosine": texts @ rows.T}
    centre, other = rows.mean(axis=0), words.mean(axis=0)
    made["pictures centred on their mean, texts on it as well"] = unit(texts - centre) @ unit(rows - centre).T
    made["each centred on its own mean"] = unit(texts - other) @ unit(rows - centre).T
    projection = fit_projection([rows], _DIM, 64)
    made["PCA-64, as a picture would be"] = unit(projection.apply(texts)) @ unit(projection.apply(rows)).T
    wide = fit_projection([rows], _DIM, 224)
    blend = fit_blends(wide, [rows], [True], smoothed=[32], whitened=[224])
    made["blended, as a picture would be"] = blend.apply(texts) @ blend.apply(rows).T
    return made


def questions() -> list[tuple[str, str]]:
    """Names and tones that are asked for, one of them or both."""
    return [(name, tone) for name in ["", *_NAMES] for tone in ["", *_TONES] if name or tone]


def asked_for(question: tuple[str, str]) -> np.ndarray:
    """The shares of the words of a question, as `captions` has them."""
    name, tone = question
    said = [word for word in ("a", "picture", "of", tone, _NAMES.get(name, "")) if word]
    row = np.zeros(len(_WORDS), np.float32)
    row[[_WORDS.index(word) for word in said]] = 1 / len(said)
    return row


def measure(likeness: np.ndarray, classes: list[str], lights: np.ndarray) -> np.ndarray:
    """mAP, P@10 and top-1 of all questions that ten pictures answer."""
    tones = [_TONES[tone] for tone in tone_of(lights)]
    relevant = np.array(
        [
            [name in {"", own} and tone in {"", light} for own, light in zip(classes, tones, strict=True)]
            for name, tone in questions()
        ]
    )
    ranked = np.take_along_axis(relevant, np.argsort(-likeness, axis=1, kind="stable"), axis=1)
    ranked = ranked[relevant.sum(axis=1) >= 10]
    return np.array([average_precision(ranked).mean(), precision_at(ranked, 10).mean(), ranked[:, 0].mean()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("split", type=Path)
    parser.add_argument("--trainings", type=int, default=5)
    arguments = parser.parse_args()
    gallery = read_split(arguments.split, arguments.folder).gallery
    features, lights = look(gallery)
    classes = [picture.label for picture in gallery]
    found: dict[str, list[np.ndarray]] = {}
    gaps = []
    for seed in range(arguments.trainings):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(gallery))
        taught, asked = order[: len(order) // 2], order[len(order) // 2 :]
        towers = Towers(features.shape[1], rng)
        for number in range(1, _STEPS + 1):
            some = rng.choice(taught, _BATCH, replace=False)
            towers.step(number, features[some], captions([classes[n] for n in some], lights[some], rng))
        rows = towers.encode(0, features[asked])
        words = towers.encode(1, captions([classes[n] for n in taught], lights[taught], rng))
        texts = towers.encode(1, np.stack([asked_for(question) for question in questions()]))
        gaps.append(float(np.linalg.norm(rows.mean(axis=0) - words.mean(axis=0))))
        for way, likeness in ways(rows, texts, words).items():
            found.setdefault(way, []).append(measure(likeness, [classes[n] for n in asked], lights[asked]))
    print(f"gap between the means: {np.mean(gaps):.2f}")
    print("| way | mAP | P@10 | top-1 |\n|---|---|---|---|")
    for way, figures in found.items():
        print(f"| {way} | " + " | ".join(f"{figure:.3f}" for figure in np.mean(figures, axis=0)) + " |")


def look(gallery: Sequence[LabelledPicture]) -> tuple[np.ndarray, np.ndarray]:
    """The default's last features of every picture, and how bright it is."""
    encoder = load_encoder("efficientnet-lite0")
    rows, lights = [], []
    for picture in gallery:
        with open_file(os.path.realpath(picture.path), at_least=512) as image:
            pixels = np.asarray(fit(image, View(encoder.view.size, encoder.view.crop)))
        rows.append(encoder.encode(pixels[None])[0])
        lights.append(pixels.mean())
    return unit(np.stack(rows)) * np.float32(10), np.array(lights)


if __name__ == "__main__":
    main()
