"""Encoders that are ONNX files: our own, those that `train` exports, and any other with a card beside it.

A card is a small JSON file of numbers with the model's name and the ending .json:

    {"name": "mine", "size": 224, "crop": 0.875, "mean": [127, 127, 127], "std": [128, 128, 128],
     "layout": "NCHW", "metric": "cosine"}

`output` is the name of the output to take, by default the first, and `pooling` ("mean", "max", "first") how it becomes
one row where it has numbers for each place of the picture. `beside`, {"histogram": 0.3}, names encoders of our own that
stand beside the model's numbers, with their shares of the similarity (`lookalike.encoders.hybrid`). `mean` and `std`
are in units of a pixel's 0..255 and apply to models that take float32; a model that takes uint8 does its own scaling.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import onnxruntime

from lookalike.errors import EncoderError
from lookalike.images.decode import View

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.vectors.metric import Metric

    EncodeTexts = Callable[[Sequence[str]], NDArray[np.float32]]
    """n texts in, float32 (n, dim) out: near to the embeddings of the pictures that they describe, by cosine."""

__all__ = ["STABLE", "Card", "EncodeTexts", "OnnxEncoder", "open_session", "output_of"]

Pooling = Literal["", "mean", "max", "first"]
"""How the numbers that a model gives for each place of a picture become one row; not at all: as they are."""

_MOST_DETAIL = 8.0
_BATCH = 4  # pictures in one run: more are no faster with a run on each core, and take more memory
STABLE = 1e-4  # what the same input may differ by from one run to the next


@dataclass(frozen=True, slots=True)
class Card:
    """What a model file does not say of itself: how its pictures are cut and scaled, and how it is compared."""

    name: str
    view: View
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (255.0, 255.0, 255.0)
    layout: Literal["NHWC", "NCHW"] = "NHWC"
    metric: Metric = "cosine"
    trained_on: str = ""
    beside: Mapping[str, float] = field(default_factory=dict)
    output: str = ""
    pooling: Pooling = ""

    @classmethod
    def read(cls, path: Path) -> Card:
        """Raises EncoderError for a card that is missing, no JSON, or has a number out of its range."""
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            view = View(int(fields["size"]), **{key: float(fields[key]) for key in ("crop", "detail") if key in fields})
            card = cls(
                name=str(fields["name"]),
                view=view,
                mean=_three(fields.get("mean", (0, 0, 0))),
                std=_three(fields.get("std", (255, 255, 255))),
                layout=fields.get("layout", "NHWC"),
                metric=fields.get("metric", "cosine"),
                trained_on=str(fields.get("trained_on", "")),
                beside={str(name): float(share) for name, share in dict(fields.get("beside", {})).items()},
                output=str(fields.get("output", "")),
                pooling=fields.get("pooling", ""),
            )
        except FileNotFoundError:
            raise EncoderError(f"the model has no card: {path} is missing") from None
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise EncoderError(f"{path} is no card: {type(error).__name__} {error}") from None
        card.check(path)
        return card

    def check(self, path: Path) -> None:
        """Raises EncoderError when a number is out of its range."""
        allowed = (
            1 <= self.view.size <= 4096,
            0 < self.view.crop <= 1,
            1 <= self.view.detail <= _MOST_DETAIL,
            all(np.isfinite(self.mean)) and all(np.isfinite(self.std)) and 0 not in self.std,
            self.layout in {"NHWC", "NCHW"},
            self.metric in {"cosine", "euclidean"},
            self.pooling in get_args(Pooling),
            all(share > 0 for share in self.beside.values()) and math.fsum(self.beside.values()) < 1,
        )
        if not all(allowed):
            raise EncoderError(f"{path}: a number or word is out of its range")

    def write(self, path: Path) -> None:
        """Write it as the JSON that `read` takes."""
        fields = asdict(self)
        fields.update(fields.pop("view"))
        path.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


def _three(values: Any) -> tuple[float, ...]:  # noqa: ANN401  (parsed JSON)
    numbers = tuple(float(value) for value in values)
    if len(numbers) != 3:
        raise ValueError("mean and std have three numbers each")
    return numbers


class OnnxEncoder:
    """An ONNX model and its card as an Encoder. See `lookalike.encoders.Encoder` for what its members mean."""

    def __init__(
        self,
        model: bytes,
        card: Card,
        *,
        dim: int | None = None,
        source: str = "",
        encode_texts: EncodeTexts | None = None,
    ) -> None:
        """dim: how many numbers it gives, if that is known; else it is tried out.

        source: what a model was made from that we made ourselves; any other is known by its own digest. encode_texts:
        of the text tower that it was trained with, if it has one; no part of the fingerprint, as no picture meets it.
        """
        self.card = card
        self.name = card.name
        self.view = card.view
        self.metric = card.metric
        self.trained_on = card.trained_on
        self.model = model
        self.encode_texts = encode_texts
        self._source = source or hashlib.sha256(model).hexdigest()
        self._session = open_session(model, f"model {card.name}")
        self._input = self._session.get_inputs()[0]
        self._output = output_of(self._session, card.output, f"model {card.name}")
        self._takes_bytes = self._input.type == "tensor(uint8)"
        self.dim = dim or self._try_out()

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the model and of every number of the card that changes an embedding."""
        numbers = asdict(self.card)
        del numbers["trained_on"], numbers["name"], numbers["beside"]
        for word in ("output", "pooling"):  # galleries are older than these
            if not numbers[word]:
                del numbers[word]
        if numbers["view"]["detail"] == View().detail:  # and than this
            del numbers["view"]["detail"]
        numbers["model"] = self._source
        return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (n, size, size, 3) in, float32 (n, dim) out; each core runs its own small batches."""
        most = 1 if self._input.shape[:1] == [1] else _BATCH  # exported for one picture at a time, as is the habit
        batches = [images[start : start + most] for start in range(0, len(images), most)]
        if not batches:
            return np.empty((0, self.dim), np.float32)
        if len(batches) == 1:
            return self._run(batches[0])
        return np.concatenate(list(self._threads.map(self._run, batches)))

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="encode")

    def _run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            (output,) = self._session.run([self._output], {self._input.name: self.feed(images)})
        except Exception as error:  # ONNX Runtime raises classes of its own extension module
            raise EncoderError(f"the model {self.name} failed: {error}") from error
        numbers = np.asarray(output, np.float32)
        if numbers.ndim == 0 or len(numbers) != len(images):
            raise EncoderError(
                f"the model {self.name} gives numbers of the shape {numbers.shape}, no row for a picture"
            )
        return _pooled(numbers, self.card)

    def feed(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """What the model takes for uint8 (n, size, size, 3): the same, or scaled float32 in its own layout."""
        if self._takes_bytes:
            return images
        scaled = (images - np.array(self.card.mean, np.float32)) / np.array(self.card.std, np.float32)
        if self.card.layout == "NCHW":
            scaled = scaled.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(scaled, np.float32)

    def _try_out(self) -> int:
        """Encode a grey picture twice: the numbers must be finite and the same. Returns how many there are."""
        grey = np.full((1, self.view.size, self.view.size, 3), 128, np.uint8)
        first = self._run(grey)
        if not np.isfinite(first).all() or np.abs(first - self._run(grey)).max(initial=0) > STABLE:
            raise EncoderError(f"the model {self.name} gives numbers that are not finite or not repeatable")
        if first.size == 0:
            raise EncoderError(f"the model {self.name} gives no numbers")
        return int(first.shape[1])


def _pooled(numbers: NDArray[np.float32], card: Card) -> NDArray[np.float32]:
    """(n, ...) in, (n, d) out; of (n, places, d), and of maps in the card's layout, over the places."""
    if not card.pooling or numbers.ndim < 3:
        return numbers.reshape(len(numbers), -1)
    if numbers.ndim == 4 and card.layout == "NCHW":
        numbers = numbers.transpose(0, 2, 3, 1)
    places = numbers.reshape(len(numbers), -1, numbers.shape[-1])
    pooled = {"mean": places.mean(axis=1), "max": places.max(axis=1), "first": places[:, 0]}
    return np.asarray(pooled[card.pooling])


def open_session(model: bytes, what: str) -> onnxruntime.InferenceSession:
    """A model ready to run, one thread a run: several runs side by side are faster than one run on all cores.

    what: how the model is called in the EncoderError that is raised when it cannot be loaded.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  (ONNX Runtime raises classes of its own extension module)
        raise EncoderError(f"the {what} cannot be loaded: {error}") from None


def output_of(session: onnxruntime.InferenceSession, wanted: str, what: str) -> str:
    """The name of a model's output: the one that is wanted, or the first. Raises EncoderError for one that is none."""
    names = [output.name for output in session.get_outputs()]
    if wanted and wanted not in names:
        raise EncoderError(f"the {what} has no output {wanted!r}, but {', '.join(names)}")
    return wanted or str(names[0])
