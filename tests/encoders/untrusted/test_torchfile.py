from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from lookalike.encoders.efficientnet.weights import find_weights
from lookalike.encoders.untrusted.torchfile import read_tensors
from lookalike.errors import EncoderError, UntrustedModel

MAGIC = 0x1950A86A20F9469CFC6C


def weights_file(path: Path, tensors: dict[str, tuple[int, tuple[int, ...], tuple[int, ...]]], numbers: int) -> Path:
    """A file as PyTorch wrote it before 1.6, of one storage that counts up from 0."""
    pickled = b"\x80\x02ccollections\nOrderedDict\n)R("
    for name, (offset, shape, strides) in tensors.items():
        storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0sX\x03\0\0\0cpu" + whole(numbers) + b"NtQ"
        text = name.encode()
        pickled += b"X" + struct.pack("<I", len(text)) + text
        pickled += b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + whole(offset)
        pickled += b"(" + b"".join(map(whole, shape)) + b"t(" + b"".join(map(whole, strides)) + b"ttR"
    pickled += b"u}X\x09\0\0\0_metadata}sb."
    parts = [pickle.dumps(MAGIC, 2), pickle.dumps(1001, 2), pickle.dumps({}, 2), pickled, pickle.dumps(["s"], 2)]
    storage = struct.pack("<q", numbers) + np.arange(numbers, dtype="<f4").tobytes()
    path.write_bytes(b"".join(parts) + storage)
    return path


def whole(number: int) -> bytes:
    return pickle.dumps(number, 2)[2:-1]


def test_tensors_are_read_by_name_whatever_their_strides(tmp_path: Path) -> None:
    tensors = {"rows": (0, (2, 3), (3, 1)), "columns": (1, (3, 2), (1, 3)), "one": (5, (1,), (1,))}
    found = read_tensors(weights_file(tmp_path / "a.pth", tensors, 8))
    assert list(found) == list(tensors)
    np.testing.assert_array_equal(found["rows"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(found["columns"], [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(found["one"], [5])


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (1 << 40,), (0,)),  # 4 TiB out of one number
        (0, (1 << 62, 1 << 62), (0, 0)),
        (0, (3, 3), (3, 1)),
        (7, (2,), (1,)),
        (-1, (2,), (1,)),
        (4, (2,), (-1,)),
        (0, (-2, -2), (1, 1)),
        (0, (2, 2), (1,)),
    ],
)
def test_a_tensor_that_its_storage_does_not_hold_costs_nothing(
    tmp_path: Path, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    file = weights_file(tmp_path / "large.pth", {"w": (offset, shape, strides)}, 8)
    with pytest.raises(EncoderError, match=r"large\.pth"):
        read_tensors(file)


@pytest.mark.parametrize("claimed", [b"\xff" * 8, struct.pack("<q", 1 << 60), struct.pack("<q", 9)])
def test_a_storage_is_believed_only_if_its_numbers_are_there(tmp_path: Path, claimed: bytes) -> None:
    file = weights_file(tmp_path / "a.pth", {"w": (0, (8,), (1,))}, 8)
    content = file.read_bytes()
    file.write_bytes(content[: -8 - 32] + claimed + content[-32:])
    with pytest.raises(EncoderError, match=r"a\.pth"):
        read_tensors(file)


@pytest.mark.parametrize(
    "data",
    [
        b"\x8e" + struct.pack("<Q", 1 << 62) + b"a.",  # bytes of 4 EiB
        b"\x8d" + struct.pack("<Q", 1 << 40) + b"a.",
        b"Pevil\n.",
        b"K\x01Q.",
        b"(K\x01K\x02tQ.",
        b"ctorch\nFloatStorage\n)R.",
        b"ctorch\nDoubleStorage\n.",
        b"ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"]}b.",
    ],
    ids=range(9),
)
def test_what_is_not_a_weights_file_is_an_error_and_costs_nothing(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "bad.pth"
    file.write_bytes(pickle.dumps(MAGIC, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + data)
    with pytest.raises(EncoderError, match=r"bad\.pth"):
        read_tensors(file)


def test_a_damaged_weights_file_is_read_or_refused_and_nothing_else(tmp_path: Path) -> None:
    """1,000 files with some bytes changed: tensors, or an error of ours."""
    file = weights_file(tmp_path / "a.pth", {"w": (0, (2, 3), (3, 1)), "b": (6, (2,), (1,))}, 8)
    content, rng = file.read_bytes(), np.random.default_rng(3)
    for _ in range(1000):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), rng.integers(1, 4)):
            damaged[place] = rng.integers(0, 256)
        file.write_bytes(bytes(damaged))
        try:
            read_tensors(file)
        except EncoderError:
            continue


class Evil:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.canary,))


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_weights_file_that_names_a_function_is_refused_and_nothing_runs(tmp_path: Path, protocol: int) -> None:
    canary, file = tmp_path / "canary", tmp_path / "evil.pth"
    file.write_bytes(pickle.dumps(Evil(canary), protocol=protocol))
    with pytest.raises(UntrustedModel, match="which is not part of a tensor"):
        read_tensors(file)
    assert not canary.exists()


@pytest.mark.parametrize("keep", [0, 10, 1000, 100_000])
def test_a_truncated_weights_file_is_an_error_with_its_path(tmp_path: Path, keep: int) -> None:
    file = tmp_path / "short.pth"
    file.write_bytes(find_weights().read_bytes()[:keep])
    with pytest.raises(EncoderError, match=r"short\.pth"):
        read_tensors(file)
