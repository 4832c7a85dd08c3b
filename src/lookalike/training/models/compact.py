"""A smaller autoencoder: principal components that generalise, and a small network for what they leave out.

The described network has 101 million parameters for 2,016 pictures, and each principal component of all pixels has
196,608 values: both overfit. This model learns from thumbnails, which have all that 192 dimensions can keep. Its
components are those of the pictures and of parts of them; the network starts by adding nothing to them and learns from
parts and mirror images only. docs/decisions.md has what each of these brings.

The encoder is one projection; the decoder is its transpose with residual blocks (He et al. 2016) on top.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lookalike.training.data import read_batches
from lookalike.training.export import write_compact
from lookalike.training.models.backend import load_keras
from lookalike.training.models.fitting import Fit
from lookalike.training.models.mirroring import halves, whole
from lookalike.training.models.thumbnails import cropping, enlarge, narrowing, thumbnails
from lookalike.training.models.trainable import Errors, Layer, measure_held_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from lookalike.training.data import Pictures
    from lookalike.training.models.trainable import OnBatch
    from lookalike.training.presets import Preset

    Matrix = NDArray[np.float32]

__all__ = ["Compact"]

_SIDE = 32  # pixels of a thumbnail: with 24 the error is 0.0001 larger, 48 bring nothing
_SMALLEST = 0.7  # the smallest part of a side that is cropped
_SQUARENESS = 0.1  # by how much the two sides of a part may differ
_PARTS = 8  # of each picture, from which the components are computed
_OWN = 0.2  # the weight of whole pictures in that
_WHOLE = 0.3  # the share of whole pictures among those that the network learns from
_FLAT = 1e-4  # the smallest deviation that a component is assumed to have
_FILTERS = 64


class Compact:
    """The compact autoencoder. See `lookalike.training.models.trainable.Trainable`."""

    ending = ".weights.h5"

    def __init__(self, preset: Preset) -> None:
        self._preset = preset
        self._side = min(_SIDE, preset.size) // 4 * 4
        self._narrow = narrowing(self._side, preset.size)
        self._fit = Fit(preset, lambda: _build(self._side, preset.latent_dim))
        self._left_out = 0.0

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        return self._fit.rate

    def layers(self) -> list[Layer]:
        """Its summary, from input to output."""
        size = self._preset.size
        ends = [Layer(name, kind, (size, size, 3), 0) for name, kind in (("picture", "Input"), ("whole", "Enlarge"))]
        return [ends[0], *self._fit.layers(), ends[1]]

    def learn(self, pictures: Pictures, epoch: int, on_batch: OnBatch) -> Errors:
        """Train for one epoch, on pictures and parts of them; the first epoch begins with finding the components.

        The errors are those on the parts that it was trained on, plus the mean of the detail that thumbnails leave out
        of whole pictures.
        """
        rng = np.random.default_rng((self._preset.seed, epoch))
        if epoch == 0:
            self._initialise(pictures, rng)
        order = rng.permutation(pictures.train)
        seed = int(rng.integers(1 << 32))
        steps = math.ceil(len(order) / self._preset.batch_size)
        learned = self._fit.learn(lambda: self._draw_batches(pictures, order, seed), steps, epoch, on_batch)
        return Errors(learned.loss + self._left_out, learned.mse + self._left_out)

    def measure(self, pictures: Pictures) -> Errors:
        """Measure the error of the held-out pictures, whole and at full size; NaN if there are none."""
        return measure_held_out(pictures, self._preset.batch_size, self.reconstruct)

    def state(self) -> Iterator[tuple[str, NDArray[np.generic]]]:
        """Weights, optimiser, and what thumbnails leave out."""
        yield "left_out", np.array(self._left_out)
        yield from self._fit.state()

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restore what `state` gave. Raises KeyError, ValueError for the state of another model."""
        self._left_out = float(cast("float", state["left_out"]))
        self._fit.restore(state)

    def save(self, path: str) -> None:
        """Write the weights."""
        self._fit.save(path)

    def load(self, path: str) -> None:
        """Read the weights. Raises OSError, KeyError, ValueError."""
        self._fit.load(path)

    def encode(self, batch: Matrix) -> Matrix:
        """(n, size, size, 3) in, (n, latent_dim) out: close embeddings for pictures that are close pixel by pixel."""
        kernel, bias = self._projection()
        small = thumbnails(batch, self._narrow, self._narrow)
        return cast("Matrix", small.reshape(len(batch), -1) @ kernel + bias)

    def seen(self, batch: Matrix) -> Matrix:
        """The whole picture."""
        return batch

    def reconstruct(self, batch: Matrix) -> Matrix:
        """(n, size, size, 3) in, its reconstruction out."""
        small = thumbnails(batch, self._narrow, self._narrow)
        output = np.asarray(self._fit.model.predict_on_batch(small), np.float32)
        return np.clip(enlarge(output, self._preset.size), 0, 1)

    def export(self, path: str) -> None:
        """Write the encoder as ONNX."""
        write_compact(path, self._preset, self._narrow, self._projection())

    def _projection(self) -> tuple[Matrix, Matrix]:
        """Kernel and bias of the encoder, each dimension scaled to its effect on the picture."""
        kernel, bias = self._fit.weights("embedding")
        back, _ = self._fit.weights("components")
        lengths = np.linalg.norm(back, axis=1)
        return kernel * lengths, bias * lengths

    def _initialise(self, pictures: Pictures, rng: np.random.Generator) -> None:
        """Start from the principal components, with a network that adds nothing to them."""
        mean, axes, spread, self._left_out = self._find_components(pictures, rng)
        embedding = self._fit.model.get_layer("embedding")
        embedding.set_weights([axes / spread, -(mean @ axes) / spread])
        self._fit.model.get_layer("components").set_weights([(axes * spread).T, mean])

    def _find_components(self, pictures: Pictures, rng: np.random.Generator) -> tuple[Matrix, Matrix, Matrix, float]:
        """Mean (d,), axes (d, latent_dim), their deviations (latent_dim,), and the mean square that thumbnails lose."""
        parts, left_out = 1 + self._preset.flip, 0.0
        length = self._side * self._side * 3 // parts
        means, products = np.zeros((parts, length)), np.zeros((parts, length, length))
        for batch in read_batches(pictures, pictures.train, self._preset.batch_size):
            own = thumbnails(batch, self._narrow, self._narrow)
            left_out += float(np.square(batch).mean(dtype=np.float64) - np.square(own).mean(dtype=np.float64)) * len(
                own
            )
            shares, some = self._weigh(batch, own, rng)
            for part, flat in enumerate(halves(some, flip=self._preset.flip)):
                means[part] += shares @ flat
                products[part] += (flat.T * shares) @ flat
        count = len(pictures.train)
        means[1:] = 0  # a picture and its mirror image have a symmetric mean
        mean, axes, spread = self._decompose(means / count, products / count)
        return mean, axes, spread, left_out / count

    def _decompose(self, means: NDArray[np.float64], products: NDArray[np.float64]) -> tuple[Matrix, Matrix, Matrix]:
        """Mean, axes and deviations from the results of `halves`: mean rows (parts, d), mean products (parts, d, d)."""
        found = [np.linalg.eigh(own - np.outer(mean, mean)) for mean, own in zip(means, products, strict=True)]
        spread = np.concatenate([values for values, _ in found])
        kept = np.argsort(-spread, kind="stable")[: self._preset.latent_dim]
        axes = np.concatenate([self._in_pixels(vectors, part) for part, (_, vectors) in enumerate(found)], axis=1)
        mean = self._in_pixels(means[0][:, None], 0)[:, 0]
        return mean, axes[:, kept], np.sqrt(np.maximum(spread[kept], _FLAT**2)).astype(np.float32)

    def _in_pixels(self, directions: NDArray[np.float64], part: int) -> Matrix:
        return whole(directions.astype(np.float32), part, self._side, flip=self._preset.flip)

    def _weigh(self, batch: Matrix, own: Matrix, rng: np.random.Generator) -> tuple[Matrix, Matrix]:
        """Weights (n,), which sum to the number of pictures, and thumbnails of whole pictures and of parts."""
        parts = [thumbnails(batch, *self._draw_part(rng)) for _ in range(_PARTS)]
        shares = np.repeat(np.array([_OWN, *[(1 - _OWN) / _PARTS] * _PARTS], np.float32), len(batch))
        return shares, np.concatenate([own, *parts])

    def _draw_part(self, rng: np.random.Generator) -> tuple[Matrix, Matrix]:
        """Draw a random part, as the matrices that turn pictures into thumbnails of it."""
        share = rng.uniform(_SMALLEST, 1)
        shares = np.clip(share * rng.uniform(1 - _SQUARENESS, 1 + _SQUARENESS, 2), _SMALLEST / 2, 1)
        rows, columns = (
            cropping(self._side, self._preset.size, float(rng.uniform(0, 1 - own)), float(own)) for own in shares
        )
        return rows, columns

    def _draw_batches(self, pictures: Pictures, order: NDArray[np.intp], seed: int) -> Iterator[tuple[Matrix]]:
        """The batches of an epoch: thumbnails of whole pictures and of parts, half of them mirrored."""
        rng = np.random.default_rng(seed)
        for batch in read_batches(pictures, order, self._preset.batch_size):
            whole = rng.random(len(batch)) < _WHOLE
            small = thumbnails(batch, *self._draw_part(rng))
            small[whole] = thumbnails(batch[whole], self._narrow, self._narrow)
            mirrored = rng.random(len(batch)) < self._preset.flip / 2
            small[mirrored] = small[mirrored, :, ::-1]
            yield (small,)


def _build(side: int, dim: int) -> Any:  # noqa: ANN401  (keras.Model: Keras has no types)
    """Build the model of thumbnails, (n, side, side, 3) in and out."""
    keras = load_keras()
    layers = keras.layers
    inputs = keras.Input((side, side, 3), name="thumbnail")
    embedding = layers.Dense(dim, name="embedding", dtype="float32")(layers.Flatten(name="flat")(inputs))
    linear = layers.Dense(side * side * 3, name="components", dtype="float32")(embedding)
    linear = layers.Reshape((side, side, 3), name="linear")(linear)
    added = _detail(layers, embedding, linear)
    return keras.Model(inputs, layers.Add(name="sum", dtype="float32")([linear, added]), name="compact")


def _detail(layers: Any, embedding: Any, linear: Any) -> Any:  # noqa: ANN401
    """What the network adds to the thumbnail from the components: zero at first.

    It works at a quarter of the thumbnail's side, then at half of it, where four pixels are twelve channels.
    """
    side = linear.shape[1]
    flow = layers.Dense(side * side * _FILTERS // 32, name="unfold")(embedding)
    flow = layers.Reshape((side // 4, side // 4, _FILTERS // 2), name="coarse")(flow)
    flow = _block(layers, layers.Conv2D(2 * _FILTERS, 3, padding="same", name="coarse_filters")(flow), "coarse")
    flow = layers.Conv2D(_FILTERS, 1, name="upwards")(layers.Activation("gelu", name="coarse_end")(flow))
    together = layers.Concatenate(name="together")([layers.UpSampling2D(2, name="up")(flow), _fold(layers, linear)])
    flow = layers.Conv2D(_FILTERS, 3, padding="same", name="fine_filters")(together)
    flow = _block(layers, _block(layers, flow, "fine0"), "fine1")
    flow = layers.Activation("gelu", name="fine_end")(flow)
    flow = layers.Conv2D(12, 3, padding="same", kernel_initializer="zeros", name="pixels")(flow)
    return _unfold(layers, flow)


def _block(layers: Any, flow: Any, name: str) -> Any:  # noqa: ANN401
    """A residual block that adds zero at first."""
    filters = flow.shape[-1]
    change = layers.Conv2D(filters, 3, padding="same", activation="gelu", name=f"{name}_first")(flow)
    last = layers.Conv2D(filters, 3, padding="same", kernel_initializer="zeros", name=f"{name}_last")
    return layers.Add(name=f"{name}_sum")([flow, last(change)])


def _fold(layers: Any, flow: Any) -> Any:  # noqa: ANN401
    """(n, s, s, c) in, (n, s / 2, s / 2, 4 c) out: every four pixels become one."""
    half, colours = flow.shape[1] // 2, flow.shape[3]
    parts = layers.Reshape((half, 2, half, 2 * colours), name="fold_pairs")(flow)
    return layers.Reshape((half, half, 4 * colours), name="folded")(layers.Permute((1, 3, 2, 4), name="fold")(parts))


def _unfold(layers: Any, flow: Any) -> Any:  # noqa: ANN401
    """The reverse of `_fold`."""
    half, colours = flow.shape[1], flow.shape[3] // 4
    pairs = layers.Permute((1, 3, 2, 4), name="unfolding")(
        layers.Reshape((half, half, 2, 2 * colours), name="unfold_pairs")(flow)
    )
    return layers.Reshape((2 * half, 2 * half, colours), name="added")(pairs)
