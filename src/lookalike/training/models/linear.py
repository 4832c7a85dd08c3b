"""The linear autoencoder: the principal components of the pixels, the baseline for every network.

They are found by subspace iteration (Halko, Martinsson & Tropp 2011, section 4.4): a pass over the pictures is an
epoch, and one batch and some 200 directions are in memory, however many pictures there are. After each pass the best
components so far are those of the Nyström approximation (the same paper, section 5.5).

With mirrored pictures as additional training pictures the covariance commutes with mirroring, so each component is
either symmetric or antisymmetric, and the two kinds are found separately (`mirroring`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np

from lookalike.training.data import read_batches
from lookalike.training.export import write_linear
from lookalike.training.folder import write_arrays
from lookalike.training.models.mirroring import halves, whole
from lookalike.training.models.trainable import Errors, Layer, measure_held_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from lookalike.training.data import Pictures
    from lookalike.training.models.trainable import OnBatch
    from lookalike.training.presets import Preset

    Matrix = NDArray[np.float32]

__all__ = ["Linear"]

_MORE = 24  # directions beyond those that are kept: they make the kept ones converge faster
_NOTHING = 1e-6  # of the largest eigenvalue: anything smaller is rounding
_ROWS = 8192  # in memory as float64 at a time


class Linear:
    """Principal components as a `Trainable`: the embedding of a picture is its projection."""

    ending = ".weights.npz"
    rate = 0.0

    def __init__(self, preset: Preset) -> None:
        self._preset = preset
        self._length = preset.size * preset.size * 3
        self._mean = np.zeros(self._length, np.float32)
        self._components = np.zeros((self._length, preset.latent_dim), np.float32)
        self._sought: list[Matrix] = []

    def layers(self) -> list[Layer]:
        """Its summary, from input to output."""
        side, dim = self._preset.size, self._preset.latent_dim
        return [
            Layer("picture", "Input", (side, side, 3), 0),
            Layer("mean", "Subtract", (side, side, 3), self._length),
            Layer("embedding", "Project", (dim,), self._components.size),
            Layer("reconstruction", "Project back", (side, side, 3), 0),
        ]

    def learn(self, pictures: Pictures, epoch: int, on_batch: OnBatch) -> Errors:
        """Make one pass; the error is that of the Nyström approximation, a little above that of the components."""
        chosen = pictures.train
        if epoch == 0:
            self._initialise(pictures, chosen)
        images, total = [np.zeros_like(sought) for sought in self._sought], 0.0
        steps = math.ceil(len(chosen) / self._preset.batch_size)
        for step, batch in enumerate(read_batches(pictures, chosen, self._preset.batch_size), 1):
            for number, part in enumerate(self._parts(batch)):
                images[number] += part.T @ (part @ self._sought[number])
                total += float(np.square(part).sum(dtype=np.float64))
            on_batch(step, steps, math.nan)
        found = [_nystrom(sought, image) for sought, image in zip(self._sought, images, strict=True)]
        kept = self._keep(found)
        mse = (total - kept) / (len(chosen) * self._length)
        return Errors(mse, mse)

    def measure(self, pictures: Pictures) -> Errors:
        """Measure the error of the held-out pictures; NaN if there are none."""
        return measure_held_out(pictures, self._preset.batch_size, self.reconstruct)

    def state(self) -> Iterator[tuple[str, NDArray[np.generic]]]:
        """The mean, the components and the directions with which the next pass begins."""
        yield from self._weights()
        for number, sought in enumerate(self._sought):
            yield f"sought{number}", sought

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restore what `state` gave. Raises KeyError, ValueError for the state of another model."""
        self._mean[:], self._components[:] = state["mean"], state["components"]
        self._sought = [cast("Matrix", state[f"sought{number}"]) for number in range(1 + self._preset.flip)]

    def save(self, path: str) -> None:
        """Write mean and components."""
        write_arrays(path, self._weights())

    def load(self, path: str) -> None:
        """Read mean and components. Raises OSError, KeyError, ValueError."""
        with np.load(path, allow_pickle=False) as saved:
            self._mean[:], self._components[:] = saved["mean"], saved["components"]

    def encode(self, batch: Matrix) -> Matrix:
        """(n, size, size, 3) in, (n, latent_dim) out."""
        return cast("Matrix", (batch.reshape(len(batch), -1) - self._mean) @ self._components)

    def seen(self, batch: Matrix) -> Matrix:
        """The whole picture."""
        return batch

    def reconstruct(self, batch: Matrix) -> Matrix:
        """(n, size, size, 3) in, its reconstruction out."""
        flat = self.encode(batch) @ self._components.T + self._mean
        return cast("Matrix", np.clip(flat, 0, 1).reshape(batch.shape))

    def export(self, path: str) -> None:
        """Write the encoder as ONNX."""
        write_linear(path, self._preset, self._mean, self._components)

    def _weights(self) -> Iterator[tuple[str, NDArray[np.generic]]]:
        yield "mean", self._mean
        yield "components", self._components

    def _initialise(self, pictures: Pictures, chosen: NDArray[np.intp]) -> None:
        """Compute the mean picture, and draw random directions."""
        total = np.zeros(self._length)
        for batch in read_batches(pictures, chosen, self._preset.batch_size):
            total += batch.reshape(len(batch), -1).sum(axis=0, dtype=np.float64)
        mean = (total / len(chosen)).reshape(self._preset.size, self._preset.size, 3)
        self._mean[:] = ((mean + mean[:, ::-1]) / 2 if self._preset.flip else mean).ravel()
        rng = np.random.default_rng(self._preset.seed)
        length = self._length // (1 + self._preset.flip)
        shape = length, min(self._preset.latent_dim + _MORE, length)
        self._sought = [
            _orthonormalise(rng.standard_normal(shape, np.float32))[0] for _ in range(1 + self._preset.flip)
        ]

    def _parts(self, batch: Matrix) -> list[Matrix]:
        """Pictures less their mean, flat; with mirroring, their symmetric and antisymmetric halves."""
        centred = batch.reshape(len(batch), -1) - self._mean
        return halves(centred.reshape(batch.shape), flip=self._preset.flip)

    def _keep(self, found: list[tuple[Matrix, NDArray[np.float64]]]) -> float:
        """Keep the directions of the largest eigenvalues as components; returns the sum of these eigenvalues.

        The next pass begins with the kept directions of either kind and a few more.
        """
        values = np.concatenate([values for _, values in found])
        parts = np.repeat(range(len(found)), [len(values) for _, values in found])
        taken = np.argsort(-values, kind="stable")[: self._preset.latent_dim]
        self._components[:] = 0
        first = 0
        for part, (directions, own) in enumerate(found):
            columns = np.flatnonzero(parts[taken] == part)
            chosen = directions[:, taken[columns] - first]
            self._components[:, columns] = whole(chosen, part, self._preset.size, flip=self._preset.flip)
            first += len(own)
        counts = [np.count_nonzero(parts[taken] == part) + _MORE for part in range(len(found))]
        self._sought = [
            np.ascontiguousarray(directions[:, :count]) for (directions, _), count in zip(found, counts, strict=True)
        ]
        return float(values[taken].sum())


def _orthonormalise(directions: Matrix) -> tuple[Matrix, NDArray[np.float64]]:
    """Return an orthonormal basis of the same space, and the matrix from it back to the directions.

    This is QR by two Cholesky factors (Yamamoto et al. 2015): eight times as fast as LAPACK's for 100,000 x 200.
    """
    back = np.eye(directions.shape[1])
    for _ in range(2):  # the second time removes rounding errors
        factor = np.linalg.cholesky(_inner(directions)).T
        directions = directions @ np.linalg.inv(factor).astype(np.float32)
        back = factor @ back
    return directions, back


def _inner(directions: Matrix) -> NDArray[np.float64]:
    """The products of all pairs of columns, in float64, some rows at a time."""
    total = np.zeros((directions.shape[1],) * 2)
    for start in range(0, len(directions), _ROWS):
        some = directions[start : start + _ROWS].astype(np.float64)
        total += some.T @ some
    return total


def _nystrom(sought: Matrix, image: Matrix) -> tuple[Matrix, NDArray[np.float64]]:
    """Approximate the eigenvectors and eigenvalues, largest first, of the matrix that maps `sought` to `image`.

    There are fewer than were sought if the matrix has a smaller rank, which is at most the number of pictures.
    """
    if not sought.shape[1]:
        return sought, np.empty(0)
    inner = (sought.T @ image).astype(np.float64)
    values, vectors = np.linalg.eigh((inner + inner.T) / 2)
    if values[-1] <= 0:  # all pictures are the same
        return sought[:, :0], np.empty(0)
    there = values > _NOTHING * values[-1]
    root = (vectors[:, there] / np.sqrt(values[there])).astype(np.float32)
    upright, back = _orthonormalise(image @ root)
    turned, sizes, _ = np.linalg.svd(back)
    return upright @ turned.astype(np.float32), np.square(sizes)
