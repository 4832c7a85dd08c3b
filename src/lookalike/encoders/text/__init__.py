"""Text encoders: the other half of a CLIP-like pair, an ONNX model that maps a text near the pictures it describes.

Its input is the token ids of a text, int32 or int64 (1, tokens); an attention mask and token types are optional. What
the model file does not say can be written into the card of the image encoder. Every field is optional:

    "text": {"length": 77, "pad": 0, "output": "text_embeds"}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.encoders.onnx import STABLE
from lookalike.encoders.sessions import find_output, open_session
from lookalike.encoders.text.tokens import LONGEST, Frame, Tokens
from lookalike.errors import EncoderError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["TextCard", "TextEncoder"]

_KINDS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_TRIED = 8  # tokens of the text with which a model that takes any length is tried


@dataclass(frozen=True, slots=True)
class TextCard:
    """What the file of a text encoder does not say.

    name: of the pair. length: the largest number of tokens; None: what the model's input has, or the tokenizer
    truncates to. pad: the id of the token that fills a text up to that length; None: no padding, unless the model or
    the tokenizer requires it. output: the name of the model's output; the first by default.
    """

    name: str
    length: int | None = None
    pad: int | None = None
    output: str = ""

    @classmethod
    def read(cls, path: Path) -> TextCard:
        """Read the `text` of a card. Raises EncoderError for a value that is out of range."""
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            card = cls(str(fields["name"]), **fields.get("text", {}))
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise EncoderError(f"{path} is not a card: {type(error).__name__} {error}") from None
        allowed = (
            card.length is None or (type(card.length) is int and 1 <= card.length <= LONGEST),
            card.pad is None or (type(card.pad) is int and 0 <= card.pad < 2**31),
            isinstance(card.output, str),
        )
        if not all(allowed):
            raise EncoderError(f"{path}: a value of its text encoder is out of range")
        return card


class TextEncoder:
    """A text model, ready to run. `dim`: the dimensions of its embeddings; `frame`: how long its texts are."""

    def __init__(self, model: bytes, card: TextCard, *, dim: int | None = None) -> None:
        """dim: if it is known; otherwise the model is tried. Raises EncoderError for a model with other inputs."""
        self._name = f"text encoder of {card.name}"
        self._session = open_session(model, self._name)
        self._inputs = self._session.get_inputs()
        self._output = find_output(self._session, card.output, self._name)
        self.frame = self._frame(card)
        self.dim = dim or self._try_out()

    def encode(self, tokens: Tokens) -> NDArray[np.float32]:
        """float32 (dim,), finite. Raises EncoderError when the model fails."""
        rows = {"ids": tokens.ids, "mask": tokens.mask, "type": [0] * len(tokens.ids)}
        given = {one.name: np.array([rows[_role(one)]], _KINDS[one.type]) for one in self._inputs}
        try:
            output = np.asarray(self._session.run([self._output], given)[0], np.float32)
        except Exception as error:  # ONNX Runtime raises classes of its own extension module
            raise EncoderError(f"the {self._name} failed: {error}") from error
        if output.ndim != 2 or len(output) != 1 or output.size == 0:
            raise EncoderError(f"the {self._name} gives output of the shape {output.shape}, not one row for a text")
        if not np.isfinite(output).all():
            raise EncoderError(f"the {self._name} gives numbers that are not finite")
        return np.asarray(output[0])

    def _frame(self, card: TextCard) -> Frame:
        """How long a text is, by the model's input or its card. Raises EncoderError for inputs of other kinds."""
        ids = [given for given in self._inputs if _role(given) == "ids"]
        if len(ids) != 1 or any(one.type not in _KINDS or len(one.shape) != 2 for one in self._inputs):
            kinds = ", ".join(f"{one.name} {one.type} {one.shape}" for one in self._inputs)
            raise EncoderError(f"the {self._name} does not take tokens, a mask and types, but {kinds}")
        tokens: Any = ids[0].shape[1]
        if not isinstance(tokens, int):
            return Frame(card.length, card.pad, is_full=card.pad is not None)
        if not 1 <= tokens <= LONGEST or card.length not in {None, tokens}:
            raise EncoderError(f"the {self._name} takes {tokens} tokens; at most {card.length or LONGEST} are allowed")
        return Frame(tokens, card.pad, is_full=True)

    def _try_out(self) -> int:
        """Encode a text twice: the results must be finite and the same. Returns their dimensions."""
        some = [0] * (self.frame.length or _TRIED)
        first, second = (self.encode(Tokens(some, [1] * len(some))) for _ in range(2))
        if np.abs(first - second).max() > STABLE:
            raise EncoderError(f"the {self._name} gives numbers that are not repeatable")
        return len(first)


def _role(given: Any) -> str:  # noqa: ANN401  (ONNX Runtime has no types)
    """What an input of a text model is for, by the names that exporters use: input_ids, attention_mask, ..."""
    name = given.name.lower()
    return "mask" if "mask" in name else "type" if "type" in name else "ids"
