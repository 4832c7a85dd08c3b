"""Read a pickle as data: nothing that it names is ever run.

Unpickling calls whatever functions a pickle names. Here the instructions are taken one by one from `pickletools` and
followed on a stack of plain values: numbers, texts, bytes, lists, tuples and dicts whose keys are texts. A pickle may
use only the names in its reader's `Vocabulary`, and each of them stands for a function of the reader. Any other name,
and any instruction that creates an object, ends the reading.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from lookalike.errors import EncoderError, UntrustedModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Name", "Vocabulary", "expect", "read_pickle"]

_MOST_STEPS = 10_000_000  # instructions: a list of that many numbers, and what half a gigabyte holds of lists
_MARK = object()


class Name(NamedTuple):
    """Something that a pickle asks for by name, as "module.name"; nothing but this text."""

    name: str


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names that a pickle may use, as "module.name", and what the reader does for them.

    what: the things that the pickle may hold, for messages: "a number". calls: the reader's own function for each name
    that may be called. types: names that may only be arguments of a call, which receives them as `Name`. build: fills
    an object that a call has returned from the state that the pickle has for it, in place. load_persistent: returns
    the object with a persistent id; without it such ids are refused.
    """

    what: str
    calls: Mapping[str, Callable[..., Any]]
    types: frozenset[str]
    build: Callable[[Any, Any], None]
    load_persistent: Callable[[Any], Any] | None = None


def read_pickle(stream: IO[bytes], vocabulary: Vocabulary) -> Any:  # noqa: ANN401  (whatever it holds)
    """Return what the next pickle in a stream holds, and leave the stream behind it.

    The stream should be a `BytesIO`: a file would set aside as much memory as a damaged length asks for. Raises
    UntrustedModel for a name that is not in the vocabulary, EncoderError for a pickle that is damaged or too long.
    """
    machine = _Machine(vocabulary)
    try:
        for step, (instruction, argument, _) in enumerate(pickletools.genops(stream)):
            if step > _MOST_STEPS:
                raise EncoderError(f"the pickle has more than {_MOST_STEPS:,} instructions")
            machine.follow(instruction.name, argument)
        return machine.stack.pop()
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise EncoderError(f"the pickle cannot be read: {error}") from None


def expect(kind: type[Any], value: Any) -> Any:  # noqa: ANN401
    """Return the value if it is of this kind. Raises TypeError."""
    if not isinstance(value, kind):
        raise TypeError(f"{type(value).__name__} where {kind.__name__} is expected")
    return value


class _Machine:
    """A stack and a memory, as the instructions expect them."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.stack: list[Any] = []
        self._memory: dict[int, Any] = {}
        self._vocabulary = vocabulary

    def follow(self, name: str, argument: Any) -> None:  # noqa: ANN401
        """Carry out one instruction. Raises UntrustedModel for one that creates objects."""
        if name in _VALUES:
            self.push(argument)
        elif name in _CONSTANTS:
            self.push(_CONSTANTS[name]())
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in _NOTHING:
            raise self._refusal(f"creates an object ({name})")

    def push(self, value: Any) -> None:  # noqa: ANN401
        self.stack.append(value)

    def pop(self, count: int) -> list[Any]:
        """Remove the uppermost values; return them in the order in which they came."""
        if len(self.stack) < count:
            raise ValueError("it takes more values than there are")
        found = self.stack[-count:]
        del self.stack[-count:]
        return found

    def pop_to_mark(self) -> list[Any]:
        """Remove the last mark and everything above it; return what was above."""
        found: list[Any] = []
        while (value := self.stack.pop()) is not _MARK:
            found.append(value)
        return found[::-1]

    def extend(self, values: list[Any]) -> None:
        expect(list, self.stack[-1]).extend(values)

    def enter(self, pairs: list[Any]) -> None:
        _enter(expect(dict, self.stack[-1]), pairs)

    def put(self, number: int | None) -> None:
        self._memory[len(self._memory) if number is None else number] = self.stack[-1]

    def get(self, number: int) -> None:
        self.push(self._memory[number])

    def name(self, name: str) -> None:
        """Push a name of the vocabulary, which is nothing but its text."""
        if name not in self._vocabulary.calls and name not in self._vocabulary.types:
            raise self._refusal(f"asks for {name}")
        self.push(Name(name))

    def reduce(self, name: object, arguments: object) -> None:
        """Push what the vocabulary's function for a name returns."""
        known = expect(Name, name).name
        if known not in self._vocabulary.calls:
            raise self._refusal(f"calls {known}")
        self.push(self._vocabulary.calls[known](*expect(tuple, arguments)))

    def build(self, state: object) -> None:
        """Fill the object on top of the stack."""
        self._vocabulary.build(self.stack[-1], state)

    def load_persistent(self, number: object) -> None:
        """Push the object with a persistent id."""
        if self._vocabulary.load_persistent is None:
            raise self._refusal(f"asks for an object from elsewhere ({str(number)[:80]})")
        self.push(self._vocabulary.load_persistent(number))

    def _refusal(self, act: str) -> UntrustedModel:
        return UntrustedModel(f"the pickle {act}, which is not {self._vocabulary.what}")


def _enter(target: dict[str, Any], pairs: list[Any]) -> dict[str, Any]:
    """Put keys and values, given in turn, into a dict. Only texts are keys: numbers that collide can take for ever."""
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        target[expect(str, key)] = value
    return target


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
    "POP_MARK": lambda m, _: m.pop_to_mark(),
    "DUP": lambda m, _: m.push(m.stack[-1]),
    "LIST": lambda m, _: m.push(m.pop_to_mark()),
    "TUPLE": lambda m, _: m.push(tuple(m.pop_to_mark())),
    "TUPLE1": lambda m, _: m.push(tuple(m.pop(1))),
    "TUPLE2": lambda m, _: m.push(tuple(m.pop(2))),
    "TUPLE3": lambda m, _: m.push(tuple(m.pop(3))),
    "APPEND": lambda m, _: m.extend(m.pop(1)),
    "APPENDS": lambda m, _: m.extend(m.pop_to_mark()),
    "DICT": lambda m, _: m.push(_enter({}, m.pop_to_mark())),
    "SETITEM": lambda m, _: m.enter(m.pop(2)),
    "SETITEMS": lambda m, _: m.enter(m.pop_to_mark()),
    "PUT": lambda m, number: m.put(number),
    "BINPUT": lambda m, number: m.put(number),
    "LONG_BINPUT": lambda m, number: m.put(number),
    "MEMOIZE": lambda m, _: m.put(None),
    "GET": lambda m, number: m.get(number),
    "BINGET": lambda m, number: m.get(number),
    "LONG_BINGET": lambda m, number: m.get(number),
    "GLOBAL": lambda m, name: m.name(name.replace(" ", ".", 1)),
    "STACK_GLOBAL": lambda m, _: m.name(".".join(expect(str, part) for part in m.pop(2))),
    "REDUCE": lambda m, _: m.reduce(*m.pop(2)),
    "BUILD": lambda m, _: m.build(*m.pop(1)),
    "PERSID": lambda m, number: m.load_persistent(number),
    "BINPERSID": lambda m, _: m.load_persistent(*m.pop(1)),
}
