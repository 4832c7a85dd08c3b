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
import logging
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from lookalike.encoders.devices import count_threads, wanted_device
from lookalike.encoders.groups import EncoderGroup
from lookalike.encoders.sessions import find_output, offered_devices, open_session
from lookalike.errors import EncoderError
from lookalike.images.decode import View
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.encoders.words import Vocabulary
    from lookalike.vectors.metric import Metric

    EncodeTexts = Callable[[Sequence[str]], NDArray[np.float32]]
    """n texts in, float32 (n, dim) out: close, by cosine, to the embeddings of the pictures that they describe."""

__all__ = ["AGREE", "STABLE", "Card", "EncodeTexts", "OnnxEncoder"]

Pooling = Literal["", "mean", "max", "first"]
"""How the features of all positions of a picture become one row; empty: they are laid out one after the other."""

_MOST_DETAIL = 8.0
_BATCH = 4  # pictures in one run: with a run on each core more are not faster, and take more memory
_BATCH_ELSEWHERE = 16  # pictures in one run on another device, which takes one run at a time
STABLE = 1e-4  # the largest difference between two runs on the same input
AGREE = 1e-3  # the largest difference between two devices, in an embedding of length 1
_log = logging.getLogger(__name__)


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
        groups: Sequence[EncoderGroup] = (),
        choose_shares: Callable[[NDArray[np.float32]], Sequence[float]] | None = None,
        encode_texts: EncodeTexts | None = None,
        load_vocabulary: Callable[[], Vocabulary] | None = None,
        suits_cpu: bool = False,
    ) -> None:
        """dim: the dimensions of its embeddings if they are known; otherwise the model is tried.

        groups: how a gallery divides an embedding; empty for one group. choose_shares: as in
        `lookalike.encoders.groups.Weighing`; without it, each group has its usual share.
        source: what a built-in model was made from; any other model is known by its digest. encode_texts: of the text
        encoder that the model was trained with, if any; not part of the fingerprint, as it never sees a picture. The
        same is true of load_vocabulary, which returns the words of a model that was trained to classify.
        suits_cpu: whether the model stays on the processor unless another device is asked for by its name.
        """
        self.card = card
        self.name = card.name
        self.view = card.view
        self.metric = card.metric
        self.trained_on = card.trained_on
        self.model = model
        self._choose_shares = choose_shares
        self.encode_texts = encode_texts
        self.load_vocabulary = load_vocabulary
        self._source = source or hashlib.sha256(model).hexdigest()
        self.device = "cpu"
        self._turn: threading.Lock | nullcontext[None] = nullcontext()  # for devices that take one run at a time
        self._session = open_session(model, f"model {card.name}")
        self._input = self._session.get_inputs()[0]
        self._output = find_output(self._session, card.output, f"model {card.name}")
        self._takes_bytes = self._input.type == "tensor(uint8)"
        self.dim = dim or self._try_out()
        self.groups = tuple(groups) or (EncoderGroup(self.dim),)
        device = wanted_device()
        if device == "auto":
            device = "cpu" if suits_cpu else offered_devices()[0]
        if device != "cpu":
            self.move_to(device)

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

    def choose_shares(self, embeddings: NDArray[np.float32]) -> Sequence[float]:
        """The share of each group in a gallery of these pictures; see `lookalike.encoders.groups.Weighing`."""
        return self._choose_shares(embeddings) if self._choose_shares else [group.share for group in self.groups]

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (n, size, size, 3) in, float32 (n, dim) out; each core runs its own small batches."""
        most = _BATCH if self.device == "cpu" else _BATCH_ELSEWHERE
        if self._input.shape[:1] == [1]:  # many models are exported for one picture at a time
            most = 1
        batches = [images[start : start + most] for start in range(0, len(images), most)]
        if not batches:
            return np.empty((0, self.dim), np.float32)
        if len(batches) == 1:
            return self._run(batches[0])
        run = self._threads.map if self.device == "cpu" else map
        return np.concatenate(list(run(self._run, batches)))

    def move_to(self, device: str) -> None:
        """Run on another device from now on, if that works there and gives the same embeddings.

        Otherwise a warning is logged, and the encoder stays where it is. device: one of `lookalike.encoders.devices`,
        without `auto`.
        """
        picture = np.random.default_rng(0).integers(0, 256, (1, self.view.size, self.view.size, 3), np.uint8)
        expected, before = unit(self._run(picture)), self._session
        try:
            self._session = open_session(self.model, f"model {self.name}", device)
            apart = float(np.abs(unit(self._run(picture)) - expected).max())
            problem = "" if apart <= AGREE else f"its embeddings differ by {apart:.2g}"
        except EncoderError as error:
            problem = str(error)
        if problem:
            self._session = before
            _log.warning("%s runs on the %s, not on %s: %s", self.name, self.device, device, problem)
            return
        self.device, self._turn = device, nullcontext() if device == "cpu" else threading.Lock()
        _log.info("%s runs on %s", self.name, device)

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(count_threads(), thread_name_prefix="encode")

    def _run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            with self._turn:
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
