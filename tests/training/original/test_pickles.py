from __future__ import annotations

import contextlib
import os
import pickle
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lookalike.errors import EncoderError, UntrustedModel
from lookalike.training.original.pickles import read_plain

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


class Evil:
    """An object whose unpickling calls something."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.call = call
        self.arguments = arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "features",
    [ROWS, list(ROWS), ROWS.tolist(), np.asfortranarray(ROWS), ROWS.astype(">f8"), ROWS[:, :2], list(ROWS[0])],
)
def test_an_index_is_read_as_pickle_itself_reads_it(features: Any, protocol: int) -> None:
    data = pickle.dumps({"indexes": list(range(4)), "features": features}, protocol=protocol)
    expected, found = pickle.loads(data), read_plain(data)
    assert found["indexes"] == expected["indexes"]
    assert type(found["features"]) is type(expected["features"])
    np.testing.assert_array_equal(np.asarray(found["features"]), np.asarray(expected["features"]))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value",
    [0, -1, 300, 1 << 70, -1.5, "é", "", b"\x00\xff", None, True, (), (1,), (1, 2), (1, 2, 3, 4), [[], {}], {"a": [1]}],
)
def test_plain_values_are_what_they_were(value: Any, protocol: int) -> None:
    assert read_plain(pickle.dumps(value, protocol=protocol)) == value


def test_what_python_2_wrote_is_read_too() -> None:
    assert read_plain(b"(dp0\nS'indexes'\np1\n(lp2\nI0\naI1\nas.") == {"indexes": [0, 1]}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("where", ["alone", "in a list", "as a key", "in an array"])
def test_nothing_that_a_pickle_names_is_called(tmp_path: Path, where: str, protocol: int) -> None:
    canary = tmp_path / "canary"
    for call, arguments in (
        (os.system, (f"touch {canary}",)),
        (exec, (f"open({str(canary)!r}, 'w').close()",)),
        (Path.touch, (canary,)),
        (os.mkdir, (str(canary),)),
    ):
        evil: Any = Evil(call, *arguments)
        if where == "in a list":
            evil = {"indexes": [0], "features": [evil]}
        elif where == "as a key":
            evil = {"features": {evil: 1}}
        elif where == "in an array":
            evil = {"indexes": [0], "features": np.array([evil], object)}
        data = pickle.dumps(evil, protocol=protocol)
        with pytest.raises(EncoderError):
            read_plain(data)
        assert not canary.exists()
        with contextlib.suppress(TypeError):  # at the worst after it has been run
            pickle.loads(data)  # it is what it is taken for
        assert canary.exists()
        canary.rmdir() if canary.is_dir() else canary.unlink()


@pytest.mark.parametrize(
    "data",
    [
        b"cos\nsystem\n(S'touch canary'\ntR.",  # a name
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",  # the same from the stack
        b"(S'touch canary'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'touch canary'\no.",  # OBJ
        b"cnumpy\nndarray\n)\x81.",  # NEWOBJ
        b"cnumpy\nndarray\n)}\x92.",  # NEWOBJ_EX
        b"Pevil\n.",  # persistent
        b"\x82\x01.",  # of a registry
        b"\x80\x05\x97.",  # a buffer from elsewhere
        b"cnumpy\nndarray\n(tR.",  # a type that means something, but is not to be called
        b"cnumpy.core.multiarray\n_reconstruct.__globals__\n.",
    ],
)
def test_an_object_ends_the_reading_whatever_way_it_is_made(data: bytes) -> None:
    with pytest.raises(UntrustedModel):
        read_plain(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        b"\x80\x04\x95",
        b"\x8e" + struct.pack("<Q", 1 << 62) + b"a.",  # bytes of 4 EiB
        b"\x8d" + struct.pack("<Q", 1 << 40) + b"a.",
        b"\x8b" + struct.pack("<I", 1 << 30) + b"a.",
        b"Ir" + b"\xff" * 4 + b".",
        b"I1\nr\xff\xff\xff\x7fh\x01.",  # a memory of 2^31 places, of which one was never filled
        b"h\x07.",
        b"0.",
        b"t.",
        b"K\x01K\x02s.",
        b"}K\x01K\x02s.",  # a number for a key
        b"](K\x01u.",
        b"I" + b"9" * 100_000 + b"\n.",
        b"K\x01e.",
    ],
    ids=range(16),
)
def test_nonsense_is_an_error_and_costs_nothing(data: bytes) -> None:
    with pytest.raises(EncoderError):
        read_plain(data)


def test_an_array_is_believed_only_if_its_bytes_are_there() -> None:
    data = pickle.dumps(ROWS, protocol=2)
    assert data.count(b"K\x04K\x03\x86") == 1
    for shape in (b"K\xffK\x03\x86", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", b"J\xff\xff\xff\xffK\xff\x86"):
        with pytest.raises(EncoderError, match="array"):
            read_plain(data.replace(b"K\x04K\x03\x86", shape))
    with pytest.raises(EncoderError):
        read_plain(data.replace(b"f4", b"O8"))


def test_a_list_in_itself_and_a_thousandfold_one_are_what_they_are() -> None:
    itself = read_plain(b"]q\x00h\x00a.")
    assert itself[0][0] is itself[0]
    deep = read_plain(b"]" * 100_000 + b"a" * 99_999 + b".")
    assert len(deep) == 1


def test_more_instructions_than_any_index_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.encoders.untrusted.pickles._MOST_STEPS", 1000)
    with pytest.raises(EncoderError, match="instructions"):
        read_plain(b"]" * 2000 + b".")


def test_a_cut_or_damaged_index_is_read_as_it_was_or_not_at_all() -> None:
    """Every cut, and 2,000 pickles with some bytes changed: an answer or an error of ours, and nothing else."""
    data = pickle.dumps({"indexes": [0, 1, 2, 3], "features": ROWS})
    for end in range(len(data)):
        with pytest.raises(EncoderError):
            read_plain(data[:end])
    rng = np.random.default_rng(5)
    for _ in range(2000):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            damaged[place] = rng.integers(0, 256)
        try:
            read_plain(bytes(damaged))
        except EncoderError:
            continue
