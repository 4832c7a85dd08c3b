"""Numbers and numpy arrays out of a pickle, read as data: nothing that the pickle names is ever run.

Eight of the names that a pickle may ask for mean something here, all of them ways of writing numpy's arrays and
numbers down (`lookalike.encoders.untrusted.pickles` refuses all others).
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.encoders.untrusted.pickles import Vocabulary, expect, read_pickle
from lookalike.errors import EncoderError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["read_plain"]

_KINDS = frozenset(("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"))
_MOST_SIDES = 4  # dimensions of an array


class _Kind:
    """A numpy dtype of plain numbers; its byte order comes later."""

    def __init__(self, code: str, *_: object) -> None:
        """code: as in "f4"; whether it is aligned and copied does not matter here."""
        expect(str, code)
        if code.lstrip("<>|=") not in _KINDS:
            raise ValueError(f"an array of {code!r}, which are not numbers")
        self.code = code.lstrip("<>|=")
        self.order = "<"

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.code)


class _Array:
    """A numpy array, which a pickle creates empty and then fills."""

    values: NDArray[Any]

    def __init__(self, *_: object) -> None:
        """Ignore the arguments: the shape and the dtype come with the values."""


def read_plain(data: bytes) -> Any:  # noqa: ANN401  (whatever it holds)
    """Return what a pickle holds, if that is plain values and numpy arrays and nothing else.

    Raises UntrustedModel when it asks for anything else by name, EncoderError when it is damaged or too long.
    """
    found = read_pickle(io.BytesIO(data), _VOCABULARY)
    try:
        return _finish(found)
    except (AttributeError, RecursionError):
        raise EncoderError("the pickle cannot be read: an array without its numbers") from None


def _build(target: object, state: object) -> None:
    """Set the byte order of a dtype, or put the numbers into an array."""
    parts = expect(tuple, state)
    if isinstance(target, _Kind):
        target.order = {"<": "<", ">": ">", "|": "|", "=": "<"}[parts[1]]
        if any(parts[2:5]):
            raise ValueError("an array of records, which are not numbers")
    else:
        _, shape, kind, by_columns, raw = parts
        expect(_Array, target).values = _fill(raw, kind, shape, "F" if by_columns else "C")


def _fill(raw: object, kind: _Kind, shape: tuple[int, ...], order: str) -> NDArray[Any]:
    """An array of exactly these bytes: its shape is believed only if it fits them."""
    if not isinstance(raw, bytes | bytearray) or len(shape) > _MOST_SIDES or min(shape, default=0) < 0:
        raise ValueError("something that is not an array of numbers")
    dtype = expect(_Kind, kind).dtype
    if len(raw) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"an array of shape {shape} in {len(raw):,} bytes")
    flat = np.frombuffer(raw, dtype)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _scalar(kind: _Kind, raw: bytes) -> Any:  # noqa: ANN401
    return _fill(raw, kind, (1,), "C")[0].item()


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError(f"bytes as {encoding}")
    return expect(str, text).encode("latin-1")  # type: ignore[no-any-return]


def _finish(value: Any) -> Any:  # noqa: ANN401
    """The value with its arrays in place, two levels deep: in a dict, and in the lists of that."""
    if isinstance(value, dict):
        return {key: _finish_list(part) for key, part in value.items()}
    return _finish_list(value)


def _finish_list(value: Any) -> Any:  # noqa: ANN401
    parts = [
        part.values if isinstance(part, _Array) else part for part in (value if isinstance(value, list) else [value])
    ]
    return parts if isinstance(value, list) else parts[0]


_NUMPY = ("numpy.core", "numpy._core")  # before and since numpy 2
_VOCABULARY = Vocabulary(
    what="a number",
    calls={
        "numpy.dtype": _Kind,
        "_codecs.encode": _encode,
        **{f"{core}.multiarray._reconstruct": _Array for core in _NUMPY},
        **{f"{core}.multiarray.scalar": _scalar for core in _NUMPY},
        **{f"{core}.numeric._frombuffer": _fill for core in _NUMPY},
    },
    types=frozenset(("numpy.ndarray",)),
    build=_build,
)
