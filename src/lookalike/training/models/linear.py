"""The linear autoencoder: the principal components of the pixels. The bar that every network has to clear.

Found by subspace iteration (Halko, Martinsson & Tropp 2011, section 4.4): a pass over the pictures is an epoch, and
what is in memory is one batch and some 200 directions, however many pictures there are. After each pass the best
components of what was seen are those of the Nyström approximation (the same, section 5.5).

With mirrored pictures as further training pictures the covariance commutes with mirroring, so that each component
is either symmetric or antisymmetric, and the two kinds are found apart (`mirroring`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np

from lookalike.training.data import batches
from lookalike.training.export import write_linear
from lookalike.training.folder import write_arrays
from lookalike.training.models.learner import Errors, Layer, held_out_errors
from lookalike.training.models.mirroring import halves, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from lookalike.training.data import Pictures
    from lookalike.training.models.learner import Told
    from lookalike.training.presets import Preset

    Matrix = NDArray[np.float32]

__all__ = ["Linear"]

_MORE = 24  # directions sought beyond those that are kept: they make the kept ones come out sooner
_NOTHING = 1e-6  # of the largest eigenvalue: what is smaller is rounding
_ROWS = 8192  # that are in memory as float64


class Linear:
    """Principal components as a `Learner`: the code of a picture is its projection."""

    ending = ".weights.npz"
    rate = 0.0

    def __init__(self, preset: Preset) -> None:
        self._preset = preset
        self._length = preset.size * preset.size * 3
        self._mean = np.zeros(self._length, np.float32)
        self._components = np.zeros((self._length, preset.latent_dim), np.float32)
        self._sought: list[Matrix] = []

    def layers(self) -> list[Layer]:
        """Its summary, in the order of the flow."""
        side, numbers = self._preset.size, self._preset.latent_dim
        return [
            Layer("picture", "Input", (side, side, 3), 0),
            Layer("mean", "Subtract", (side, side, 3), self._length),
            Layer("embedding", "Project", (numbers,), self._components.size),
            Layer("reconstruction", "Project back", (side, side, 3), 0),
        ]

    def learn(self, pictures: Pictures, epoch: int, told: Told) -> Errors:
        """One pass; the error is that of the Nyström approximation, which is a little above that of the components."""
        chosen = pictures.train
        if epoch == 0:
            self._begin(pictures, chosen)
        images, total = [np.zeros_like(sought) for sought in self._sought], 0.0
        steps = math.ceil(len(chosen) / self._preset.batch_size)
        for step, batch in enumerate(batches(pictures, chosen, self._preset.batch_size), 1):
            for number, part in enumerate(self._parts(batch)):
                images[number] += part.T @ (part @ self._sought[number])
                total += float(np.square(part).sum(dtype=np.float64))
            told(step, steps, math.nan)
        found = [_nystrom(sought, image) for sought, image in zip(self._sought, images, strict=True)]
        kept = self._keep(found)
        mse = (total - kept) / (len(chosen) * self._length)
        return Errors(mse, mse)

    def measure(self, pictures: Pictures) -> Errors:
        """The error of the pictures that are held out, NaN if there are none."""
        return held_out_errors(pictures, self._preset.batch_size, self.reconstruct)

    def state(self) -> Iterator[tuple[str, NDArray[np.generic]]]:
        """The mean, the components and the directions that the next pass begins with."""
        yield from self._weights()
        for number, sought in enumerate(self._sought):
            yield f"sought{number}", sought

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take up what `state` gave. Raises KeyError, ValueError for that of another model."""
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
        """All of it."""
        return batch

    def reconstruct(self, batch: Matrix) -> Matrix:
        """(n, size, size, 3) in, what is left of it out."""
        flat = self.encode(batch) @ self._components.T + self._mean
        return cast("Matrix", np.clip(flat, 0, 1).reshape(batch.shape))

    def export(self, path: str) -> None:
        """Write the encoder as ONNX."""
        write_linear(path, self._preset, self._mean, self._components)

    def _weights(self) -> Iterator[tuple[str, NDArray[np.generic]]]:
        yield "mean", self._mean
        yield "components", self._components

    def _begin(self, pictures: Pictures, chosen: NDArray[np.intp]) -> None:
        """The mean picture, and directions at random."""
        total = np.zeros(self._length)
        for batch in batches(pictures, chosen, self._preset.batch_size):
            total += batch.reshape(len(batch), -1).sum(axis=0, dtype=np.float64)
        mean = (total / len(chosen)).reshape(self._preset.size, self._preset.size, 3)
        self._mean[:] = ((mean + mean[:, ::-1]) / 2 if self._preset.flip else mean).ravel()
        rng = np.random.default_rng(self._preset.seed)
        length = self._length // (1 + self._preset.flip)
        shape = length, min(self._preset.latent_dim + _MORE, length)
        self._sought = [_upright(rng.standard_normal(shape, np.float32))[0] for _ in range(1 + self._preset.flip)]

    def _parts(self, batch: Matrix) -> list[Matrix]:
        """Pictures less their mean, flat; with mirroring, their symmetric and antisymmetric halves."""
        centred = batch.reshape(len(batch), -1) - self._mean
        return halves(centred.reshape(batch.shape), flip=self._preset.flip)

    def _keep(self, found: list[tuple[Matrix, NDArray[np.float64]]]) -> float:
        """Take the directions of the largest eigenvalues for components; the sum of those.

        Of either kind of directions the next pass seeks those that were taken and a few more.
        """
        values = np.concatenate([values for _, values in found])
        parts = np.repeat(range(len(found)), [len(values) for _, values in found])
        taken = np.argsort(-values, kind="stable")[: self._preset.latent_dim]
        self._components[:] = 0
        first = 0
        for part, (directions, own) in enumerate(found):
            numbers = np.flatnonzero(parts[taken] == part)
            chosen = directions[:, taken[numbers] - first]
            self._components[:, numbers] = whole(chosen, part, self._preset.size, flip=self._preset.flip)
            first += len(own)
        counts = [np.count_nonzero(parts[taken] == part) + _MORE for part in range(len(found))]
        self._sought = [
            np.ascontiguousarray(directions[:, :count]) for (directions, _), count in zip(found, counts, strict=True)
        ]
        return float(values[taken].sum())


def _upright(directions: Matrix) -> tuple[Matrix, NDArray[np.float64]]:
    """The same space by directions of length 1, each at a right angle to all others, and what takes these back.

    QR by two Cholesky factors (Yamamoto et al. 2015): eight times as fast as LAPACK's for 100,000 x 200.
    """
    back = np.eye(directions.shape[1])
    for _ in range(2):  # the second time for what rounding left
        factor = np.linalg.cholesky(_inner(directions)).T
        directions = directions @ np.linalg.inv(factor).astype(np.float32)
        back = factor @ back
    return directions, back


def _inner(directions: Matrix) -> NDArray[np.float64]:
    """Products of all pairs of columns, in float64, some rows at a time."""
    total = np.zeros((directions.shape[1],) * 2)
    for start in range(0, len(directions), _ROWS):
        some = directions[start : start + _ROWS].astype(np.float64)
        total += some.T @ some
    return total


def _nystrom(sought: Matrix, image: Matrix) -> tuple[Matrix, NDArray[np.float64]]:
    """Eigenvectors and eigenvalues, falling, of the matrix that takes `sought` to `image`, as far as that tells.

    Fewer than were sought if the matrix has fewer: as many pictures as there are have no more directions.
    """
    if not sought.shape[1]:
        return sought, np.empty(0)
    inner = (sought.T @ image).astype(np.float64)
    values, vectors = np.linalg.eigh((inner + inner.T) / 2)
    if values[-1] <= 0:  # all pictures are the same
        return sought[:, :0], np.empty(0)
    there = values > _NOTHING * values[-1]
    root = (vectors[:, there] / np.sqrt(values[there])).astype(np.float32)
    upright, back = _upright(image @ root)
    turned, sizes, _ = np.linalg.svd(back)
    return upright @ turned.astype(np.float32), np.square(sizes)
