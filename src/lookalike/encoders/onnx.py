"""Encoders that are ONNX files: the built-in ones, those that `train` exports, and any other with a card.

A card is a small JSON file beside the model, with the same name and the ending .json:

    {"name": "mine", "size": 224, "crop": 0.875, "mean": [127, 127, 127], "std": [128, 128, 128],
     "layout": "NCHW", "metric": "cosine"}

`output` is the name of the model's output to use, the first by default. `pooling` ("mean", "max", "first") is how an
output with a feature for each position of the picture becomes one row. `beside`, as in {"histogram": 0.3}, names
built-in encoders to join with the model, with their shares of the similarity (`lookalike.encoders.hybrid`). `mean` and
`std` are in units of a pixel's 0..255 and apply to models that take float32; a model that takes uint8 scales by itself.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np
import onnxruntime

from lookalike.errors import EncoderError
from lookalike.images.decode import View

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.encoders.words import Vocabulary
    from lookalike.vectors.metric import Metric

    EncodeTexts = Callable[[Sequence[str]], NDArray[np.float32]]
    """n texts in, float32 (n, dim) out: close, by cosine, to the embeddings of the pictures that they describe."""

__all__ = ["STABLE", "Card", "EncodeTexts", "OnnxEncoder", "find_output", "open_session"]

Pooling = Literal["", "mean", "max", "first"]
"""How the features of all positions of a picture become one row; empty: they are laid out one after the other."""

_MOST_DETAIL = 8.0
_BATCH = 4  # pictures in one run: with a run on each core more are not faster, and take more memory
STABLE = 1e-4  # the largest difference between two runs on the same input


@dataclass(frozen=True, slots=True)
class Card:
    """What a model file does not say: how pictures are cut and scaled for it, and how its embeddings are compared."""

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
        """Read a card. Raises EncoderError if it is missing, not JSON, or has a value out of range."""
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            view = View(int(fields["size"]), **{key: float(fields[key]) for key in ("crop", "detail") if key in fields})
            card = cls(
                name=str(fields["name"]),
                view=view,
                mean=_parse_three(fields.get("mean", (0, 0, 0))),
                std=_parse_three(fields.get("std", (255, 255, 255))),
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
            raise EncoderError(f"{path} is not a card: {type(error).__name__} {error}") from None
        card.check(path)
        return card

    def check(self, path: Path) -> None:
        """Check every value. Raises EncoderError when one is out of range."""
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
            raise EncoderError(f"{path}: a value is out of range")

    def write(self, path: Path) -> None:
        """Write the card as the JSON that `read` takes."""
        fields = asdict(self)
        fields.update(fields.pop("view"))
        path.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


def _parse_three(values: Any) -> tuple[float, ...]:  # noqa: ANN401  (parsed JSON)
    parsed = tuple(float(value) for value in values)
    if len(parsed) != 3:
        raise ValueError("mean and std have three numbers each")
    return parsed


class OnnxEncoder:
    """An ONNX model and its card as an encoder. See `lookalike.encoders.Encoder` for its members."""

    is_thread_safe: Final = True  # as ONNX Runtime's sessions are

    def __init__(  # noqa: PLR0913  (by name, all but two)
        self,
        model: bytes,
        card: Card,
        *,
        dim: int | None = None,
        source: str = "",
        groups: Sequence[tuple[int, float]] = (),
        encode_texts: EncodeTexts | None = None,
        load_vocabulary: Callable[[], Vocabulary] | None = None,
    ) -> None:
        """dim: the dimensions of its embeddings if they are known; otherwise the model is tried.

        groups: how a gallery divides an embedding, as the dimensions and the share of each group; empty for one group.
        source: what a built-in model was made from; any other model is known by its digest. encode_texts: of the text
        encoder that the model was trained with, if any; not part of the fingerprint, as it never sees a picture. The
        same is true of load_vocabulary, which returns the words of a model that was trained to classify.
        """
        self.card = card
        self.name = card.name
        self.view = card.view
        self.metric = card.metric
        self.trained_on = card.trained_on
        self.model = model
        self.groups = tuple(groups)
        self.encode_texts = encode_texts
        self.load_vocabulary = load_vocabulary
        self._source = source or hashlib.sha256(model).hexdigest()
        self._session = open_session(model, f"model {card.name}")
        self._input = self._session.get_inputs()[0]
        self._output = find_output(self._session, card.output, f"model {card.name}")
        self._takes_bytes = self._input.type == "tensor(uint8)"
        self.dim = dim or self._try_out()

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the model and of every value of the card that changes an embedding."""
        fields = asdict(self.card)
        del fields["trained_on"], fields["name"], fields["beside"]
        for word in ("output", "pooling"):  # there are galleries that are older than these two
            if not fields[word]:
                del fields[word]
        if fields["view"]["detail"] == View().detail:  # and than this one
            del fields["view"]["detail"]
        fields["model"] = self._source
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (n, size, size, 3) in, float32 (n, dim) out; each core runs its own small batches."""
        most = 1 if self._input.shape[:1] == [1] else _BATCH  # many models are exported for one picture at a time
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
        features = np.asarray(output, np.float32)
        if features.ndim == 0 or len(features) != len(images):
            raise EncoderError(
                f"the model {self.name} gives output of the shape {features.shape}, not one row for each picture"
            )
        return _pool(features, self.card)

    def feed(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """Turn uint8 (n, size, size, 3) into the model's input: the same, or scaled float32 in its layout."""
        if self._takes_bytes:
            return images
        scaled = (images - np.array(self.card.mean, np.float32)) / np.array(self.card.std, np.float32)
        if self.card.layout == "NCHW":
            scaled = scaled.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(scaled, np.float32)

    def _try_out(self) -> int:
        """Encode a grey picture twice: the results must be finite and the same. Returns their dimensions."""
        grey = np.full((1, self.view.size, self.view.size, 3), 128, np.uint8)
        first = self._run(grey)
        if not np.isfinite(first).all() or np.abs(first - self._run(grey)).max(initial=0) > STABLE:
            raise EncoderError(f"the model {self.name} gives numbers that are not finite or not repeatable")
        if first.size == 0:
            raise EncoderError(f"the model {self.name} gives no output")
        return int(first.shape[1])


def _pool(features: NDArray[np.float32], card: Card) -> NDArray[np.float32]:
    """(n, ...) in, (n, d) out: (n, positions, d), or maps in the card's layout, are pooled over their positions."""
    if not card.pooling or features.ndim < 3:
        return features.reshape(len(features), -1)
    if features.ndim == 4 and card.layout == "NCHW":
        features = features.transpose(0, 2, 3, 1)
    positions = features.reshape(len(features), -1, features.shape[-1])
    pooled = {"mean": positions.mean(axis=1), "max": positions.max(axis=1), "first": positions[:, 0]}
    return np.asarray(pooled[card.pooling])


def open_session(model: bytes, what: str) -> onnxruntime.InferenceSession:
    """Load a model for runs of one thread each: several runs in parallel are faster than one run on all cores.

    what: what to call the model in the EncoderError that is raised when it cannot be loaded.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  (ONNX Runtime raises classes of its own extension module)
        raise EncoderError(f"the {what} cannot be loaded: {error}") from None


def find_output(session: onnxruntime.InferenceSession, wanted: str, what: str) -> str:
    """Return the name of the wanted output of a model, or of its first. Raises EncoderError for an unknown one."""
    names = [output.name for output in session.get_outputs()]
    if wanted and wanted not in names:
        raise EncoderError(f"the {what} has no output {wanted!r}, but {', '.join(names)}")
    return wanted or str(names[0])
