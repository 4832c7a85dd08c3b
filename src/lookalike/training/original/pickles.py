"""Read a pickle as data. Unpickling calls what a pickle names; here nothing is called, whatever it names.

The instructions are taken one by one from `pickletools` and followed on a stack of plain values: numbers, texts,
bytes, lists, tuples, dicts with texts for keys. Of the names that a pickle may ask for seven mean something, all of
them ways of writing numpy's arrays and numbers down; what they mean is done here. Any other name, and any
instruction that makes an object, ends the reading.
"""

from __future__ import annotations

import math
import pickletools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lookalike.errors import EncoderError, UntrustedModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["read_plain"]

_MOST_STEPS = 10_000_000  # instructions: a list of that many numbers, and what half a gigabyte holds of lists
_KINDS = frozenset(("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"))
_MOST_SIDES = 4  # dimensions of an array
_MARK = object()


class _Name(NamedTuple):
    """Something that a pickle asks for by name."""

    name: str


class _Kind:
    """A numpy dtype of plain numbers; its byte order comes later."""

    def __init__(self, code: str) -> None:
        if code.lstrip("<>|=") not in _KINDS:
            raise ValueError(f"an array of {code!r}, which are no numbers")
        self.code = code.lstrip("<>|=")
        self.order = "<"

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.code)


class _Array:
    """A numpy array that is written down in two steps: that it is one, and what is in it."""

    values: NDArray[Any]


def read_plain(data: bytes) -> Any:  # noqa: ANN401  (whatever it holds)
    """What a pickle holds, if that is plain values and numpy arrays and nothing else.

    Raises UntrustedModel when it asks for anything else by name, EncoderError when it is damaged or too long.
    """
    try:
        return _finished(_followed(data))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise EncoderError(f"the pickle cannot be read: {error}") from None


def _followed(data: bytes) -> Any:  # noqa: ANN401
    machine = _Machine()
    for step, (instruction, argument, _) in enumerate(pickletools.genops(data)):
        if step > _MOST_STEPS:
            raise EncoderError(f"the pickle has more than {_MOST_STEPS:,} instructions")
        machine.follow(instruction.name, argument)
    return machine.stack.pop()


class _Machine:
    """A stack and a memory, as the instructions expect them."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._memory: dict[int, Any] = {}

    def follow(self, name: str, argument: Any) -> None:  # noqa: ANN401
        """Do what one instruction says. Raises UntrustedModel for one that makes objects."""
        if name in _VALUES:
            self.push(argument)
        elif name in _CONSTANTS:
            self.push(_CONSTANTS[name]())
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in _NOTHING:
            raise UntrustedModel(f"the pickle makes an object ({name}), which is no number")

    def push(self, value: Any) -> None:  # noqa: ANN401
        self.stack.append(value)

    def taken(self, count: int) -> list[Any]:
        """The uppermost values, which go; in the order in which they came."""
        if len(self.stack) < count:
            raise ValueError("it takes more than there is")
        found = self.stack[-count:]
        del self.stack[-count:]
        return found

    def since_mark(self) -> list[Any]:
        """Everything above the last mark, which goes too."""
        found: list[Any] = []
        while (value := self.stack.pop()) is not _MARK:
            found.append(value)
        return found[::-1]

    def extend(self, values: list[Any]) -> None:
        _as(list, self.stack[-1]).extend(values)

    def enter(self, pairs: list[Any]) -> None:
        _entered(_as(dict, self.stack[-1]), pairs)

    def put(self, number: int | None) -> None:
        self._memory[len(self._memory) if number is None else number] = self.stack[-1]

    def get(self, number: int) -> None:
        self.push(self._memory[number])

    def ask(self, name: str) -> None:
        """A name that means something is no more than its text."""
        if name not in _CALLS and name not in _TYPES:
            raise UntrustedModel(f"the pickle asks for {name}, which is no number")
        self.push(_Name(name))

    def reduce(self, name: object, arguments: object) -> None:
        """Make a number or an array of what is known to write one down."""
        known = _as(_Name, name).name
        if known not in _CALLS:
            raise UntrustedModel(f"the pickle calls {known}, which is no way of writing numbers down")
        self.push(_CALLS[known](*_as(tuple, arguments)))

    def build(self, state: object) -> None:
        """Say of the dtype on top in which order its bytes are, or put its numbers into the array on top."""
        target, parts = self.stack[-1], _as(tuple, state)
        if isinstance(target, _Kind):
            target.order = {"<": "<", ">": ">", "|": "|", "=": "<"}[parts[1]]
            if any(parts[2:5]):
                raise ValueError("an array of records, which are no numbers")
        else:
            _, shape, kind, by_columns, raw = parts
            _as(_Array, target).values = _filled(raw, kind, shape, "F" if by_columns else "C")


def _entered(target: dict[str, Any], pairs: list[Any]) -> dict[str, Any]:
    """Keys and values in turn, put into a dict. Only texts are keys: numbers that collide can take for ever."""
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        target[_as(str, key)] = value
    return target


def _as(kind: type[Any], value: Any) -> Any:  # noqa: ANN401
    if not isinstance(value, kind):
        raise TypeError(f"{type(value).__name__} where {kind.__name__} is expected")
    return value


def _filled(raw: object, kind: _Kind, shape: tuple[int, ...], order: str) -> NDArray[Any]:
    """An array of exactly these bytes: its shape is believed only if it fits them."""
    if not isinstance(raw, bytes | bytearray) or len(shape) > _MOST_SIDES or min(shape, default=0) < 0:
        raise ValueError("an array that is no array of numbers")
    dtype = _as(_Kind, kind).dtype
    if len(raw) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"an array of shape {shape} in {len(raw):,} bytes")
    flat = np.frombuffer(raw, dtype)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _scalar(kind: _Kind, raw: bytes) -> Any:  # noqa: ANN401
    return _filled(raw, kind, (1,), "C")[0].item()


def _encoded(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError(f"bytes as {encoding}")
    return _as(str, text).encode("latin-1")  # type: ignore[no-any-return]


def _finished(value: Any) -> Any:  # noqa: ANN401
    """The value with its arrays in place, two levels deep: in a dict, and in the lists of that."""
    if isinstance(value, dict):
        return {key: _finished_list(part) for key, part in value.items()}
    return _finished_list(value)


def _finished_list(value: Any) -> Any:  # noqa: ANN401
    parts = [
        part.values if isinstance(part, _Array) else part for part in (value if isinstance(value, list) else [value])
    ]
    return parts if isinstance(value, list) else parts[0]


_TYPES = frozenset(("numpy.ndarray",))
_CALLS: dict[str, Callable[..., Any]] = {
    "numpy.dtype": lambda code, *_: _Kind(_as(str, code)),  # whether it is aligned and copied is of no interest
    "_codecs.encode": _encoded,
}
for _core in ("numpy.core", "numpy._core"):  # before and after numpy 2
    _CALLS[f"{_core}.multiarray._reconstruct"] = lambda *_: _Array()
    _CALLS[f"{_core}.multiarray.scalar"] = _scalar
    _CALLS[f"{_core}.numeric._frombuffer"] = _filled

_VALUES = frozenset((
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8",
))  # fmt: skip
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "MARK": lambda: _MARK,
    "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict,
}  # fmt: skip
_NOTHING = frozenset(("PROTO", "FRAME", "STOP"))
_STEPS: dict[str, Callable[[_Machine, Any], object]] = {
    "POP": lambda m, _: m.stack.pop(),
    "POP_MARK": lambda m, _: m.since_mark(),
    "DUP": lambda m, _: m.push(m.stack[-1]),
    "LIST": lambda m, _: m.push(m.since_mark()),
    "TUPLE": lambda m, _: m.push(tuple(m.since_mark())),
    "TUPLE1": lambda m, _: m.push(tuple(m.taken(1))),
    "TUPLE2": lambda m, _: m.push(tuple(m.taken(2))),
    "TUPLE3": lambda m, _: m.push(tuple(m.taken(3))),
    "APPEND": lambda m, _: m.extend(m.taken(1)),
    "APPENDS": lambda m, _: m.extend(m.since_mark()),
    "DICT": lambda m, _: m.push(_entered({}, m.since_mark())),
    "SETITEM": lambda m, _: m.enter(m.taken(2)),
    "SETITEMS": lambda m, _: m.enter(m.since_mark()),
    "PUT": lambda m, number: m.put(number),
    "BINPUT": lambda m, number: m.put(number),
    "LONG_BINPUT": lambda m, number: m.put(number),
    "MEMOIZE": lambda m, _: m.put(None),
    "GET": lambda m, number: m.get(number),
    "BINGET": lambda m, number: m.get(number),
    "LONG_BINGET": lambda m, number: m.get(number),
    "GLOBAL": lambda m, name: m.ask(name.replace(" ", ".", 1)),
    "STACK_GLOBAL": lambda m, _: m.ask(".".join(_as(str, part) for part in m.taken(2))),
    "REDUCE": lambda m, _: m.reduce(*m.taken(2)),
    "BUILD": lambda m, _: m.build(*m.taken(1)),
}
