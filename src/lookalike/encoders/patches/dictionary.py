"""A dictionary of whitened patches: what small pieces of pictures look like, learned without labels.

Patches are normalised for contrast, whitened (ZCA without its last rotation) and clustered by spherical k-means,
after Coates & Ng, "Learning Feature Representations with K-means" (2012).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CONTRAST", "Bank", "Grain", "learn_bank"]

CONTRAST = 10.0  # added to a patch's variance, in squared units of a pixel's 0..255: anything flatter is noise
_SPREAD = 0.1  # added to each direction's variance before whitening; a normalised patch has 1 in each dimension
_SAMPLE = 40_000  # patches of 108 values, 17 MB; 60,000 were no better
_ROUNDS = 15  # of k-means


@dataclass(frozen=True, slots=True)
class Grain:
    """One size of patches: side and stride in pixels, the number of atoms, and the threshold of a response."""

    patch: int
    stride: int
    atoms: int
    threshold: float


@dataclass(frozen=True, slots=True)
class Bank:
    """Filters float32 (atoms, 3, patch, patch), each of sum zero, and float32 (atoms,) to subtract from responses.

    The response of an atom to a patch is (filter . patch) / sqrt(variance + CONTRAST) - offset.
    """

    grain: Grain
    filters: NDArray[np.float32]
    offsets: NDArray[np.float32]


def learn_bank(pictures: NDArray[np.uint8], grain: Grain, rng: np.random.Generator) -> Bank:
    """Learn the atoms of pictures, uint8 (n, size, size, 3); the whitening is folded into the filters."""
    patches = _normalise(_sample(pictures, grain.patch, rng))
    mean = patches.mean(axis=0)
    whitening = _whitening(patches - mean)
    atoms = _spherical_means((patches - mean) @ whitening, grain.atoms, rng)
    weights = whitening @ atoms.T
    offsets = mean @ weights + grain.threshold
    filters = (weights - weights.mean(axis=0)).T.reshape(-1, grain.patch, grain.patch, 3).transpose(0, 3, 1, 2)
    return Bank(grain, np.ascontiguousarray(filters, np.float32), offsets.astype(np.float32))


def _sample(pictures: NDArray[np.uint8], side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Random patches, float32 (_SAMPLE, side * side * 3)."""
    windows = np.lib.stride_tricks.sliding_window_view(pictures, (side, side), axis=(1, 2))
    indices = [rng.integers(0, length, _SAMPLE) for length in windows.shape[:3]]
    return windows[tuple(indices)].transpose(0, 2, 3, 1).reshape(_SAMPLE, -1).astype(np.float32)


def _normalise(patches: NDArray[np.float32]) -> NDArray[np.float32]:
    """Subtract the mean of every patch and scale it to variance 1 unless it is flat."""
    centred = patches - patches.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + CONTRAST), np.float32)


def _whitening(centred: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (d, d): turns patches so that every direction with any spread has the same."""
    spread, directions = np.linalg.eigh((centred.T @ centred).astype(np.float64) / len(centred))
    return np.asarray(directions / np.sqrt(np.maximum(spread, 0) + _SPREAD), np.float32)


def _spherical_means(rows: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """float32 (count, d): directions of length 1 (or 0, if all rows are 0) around which rows cluster."""
    means = unit(rows[rng.choice(len(rows), count)])
    for _ in range(_ROUNDS):
        nearest = (rows @ means.T).argmax(axis=1)
        order = np.argsort(nearest, kind="stable")
        used, starts = np.unique(nearest[order], return_index=True)
        sums = rows[rng.choice(len(rows), count)]  # a centre without rows starts again at a random one
        sums[used] = np.add.reduceat(rows[order], starts)
        means = unit(sums)
    return means
