from __future__ import annotations

import marshal
import os
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from lookalike import sandbox as child
from lookalike.errors import EncoderError, UntrustedModel
from lookalike.training.original import import_model
from lookalike.training.original import weights as module
from lookalike.training.original.weights import read_weights
from tests.training.original.keras2 import SMALL, described_config, write_model

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore")  # of Keras's own making


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_model(tmp_path / "model.h5", SMALL)
    return tmp_path / "model.h5"


def test_every_array_is_read_with_its_layer_and_its_name(file: Path, tmp_path: Path) -> None:
    found = read_weights(file, tmp_path)
    assert found.names[:2] == [("layer_0", "layer_0/kernel:0"), ("layer_0", "layer_0/bias:0")]
    with h5py.File(file) as opened:
        for (layer, name), array in zip(found.names, found.arrays, strict=True):
            np.testing.assert_array_equal(array, opened["model_weights"][layer][name])
    assert "LeakyReLU" in found.config


def replace(file: Path, make: Any, place: str = "layer_0/layer_0/kernel:0") -> None:
    """Put something else where an array of the model was: make(group, name)."""
    with h5py.File(file, "r+") as opened:
        group, _, name = f"model_weights/{place}".rpartition("/")
        del opened[group][name]
        make(opened[group], name)


def test_links_to_elsewhere_are_refused(file: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "other.h5", SMALL)
    outside = str(tmp_path / "other.h5")
    makers = (
        lambda group, name: group.__setitem__(
            name, h5py.ExternalLink(outside, "model_weights/layer_0/layer_0/kernel:0")
        ),
        lambda group, name: group.__setitem__(name, h5py.SoftLink("/model_weights/layer_2/layer_2/kernel:0")),
        lambda group, name: group.__setitem__(name, h5py.SoftLink("/nowhere")),
    )
    for make in makers:
        replace(file, make)
        with pytest.raises(UntrustedModel, match="link to elsewhere"):
            read_weights(file, tmp_path)


def test_a_link_in_the_place_of_a_whole_layer_is_refused(file: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "other.h5", SMALL)
    link = h5py.ExternalLink(str(tmp_path / "other.h5"), "model_weights/layer_0")
    replace(file, lambda group, name: group.__setitem__(name, link), "layer_0")
    with pytest.raises(UntrustedModel, match="link to elsewhere"):
        read_weights(file, tmp_path)


def test_numbers_in_other_files_are_refused(file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(os.urandom(3 * 3 * 3 * 4 * 4))
    shape = (3, 3, 3, 4)
    replace(file, lambda group, name: group.create_dataset(name, shape, "<f4", external=[(str(secret), 0, 432)]))
    with pytest.raises(UntrustedModel, match="other files"):
        read_weights(file, tmp_path)
    layout = h5py.VirtualLayout(shape, "<f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", shape)
    replace(file, lambda group, name: group.create_virtual_dataset(name, layout))
    with pytest.raises(UntrustedModel, match="other files"):
        read_weights(file, tmp_path)


@pytest.mark.parametrize(
    "make",
    [
        lambda group, name: group.create_dataset(name, (1 << 15, 1 << 15, 1 << 15), "<f4", chunks=(1, 1, 1024)),
        lambda group, name: group.create_dataset(name, data=np.zeros((3, 3, 3, 4), "<f4"), compression="gzip"),
        lambda group, name: group.create_dataset(name, data=np.zeros((3, 3, 3, 4), int)),
        lambda group, name: group.create_dataset(name, data="text"),
        lambda group, name: group.create_dataset(name, data=h5py.Empty("<f4")),
        lambda group, name: group.create_dataset(name, data=np.zeros((1, 1, 1, 1, 1), "<f4")),
        lambda group, name: group.create_group(name),
        lambda group, name: None,
    ],
    ids=["shape of 2^45", "packed", "whole numbers", "text", "empty", "five sides", "a group", "nothing"],
)
def test_what_is_no_plain_array_is_refused_before_it_is_read(file: Path, tmp_path: Path, make: Any) -> None:
    replace(file, make)
    assert file.stat().st_size < 1 << 20
    with pytest.raises(EncoderError):
        read_weights(file, tmp_path)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x89HDF\r\n\x1a\n" + b"\xff" * 1000])
def test_what_is_no_hdf5_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.h5").write_bytes(content)
    with pytest.raises(EncoderError, match=r"model\.h5"):
        read_weights(tmp_path / "model.h5", tmp_path)


def test_hdf5_of_another_kind_is_an_error(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.create_group("layers/conv2d/vars")  # as Keras 3 writes weights
    with pytest.raises(EncoderError, match="no layers as Keras 2"):
        read_weights(tmp_path / "other.h5", tmp_path)


@pytest.mark.parametrize(
    "names", [np.zeros(3), np.array([b"x"] * 8000), np.array([b"nowhere"]), np.array([b"layer_0/../x"])]
)
def test_names_that_are_none_are_an_error(file: Path, tmp_path: Path, names: Any) -> None:
    with h5py.File(file, "r+", libver="latest") as opened:
        del opened["model_weights"].attrs["layer_names"]
        opened["model_weights"].attrs["layer_names"] = names
    with pytest.raises(EncoderError):
        read_weights(file, tmp_path)


def test_one_text_named_a_thousand_times_floods_no_memory(file: Path, tmp_path: Path) -> None:
    """Texts of variable length are references: a small file can name one long text for every element."""
    with h5py.File(file, "r+", libver="latest") as opened:
        del opened["model_weights"].attrs["layer_names"]
        opened["model_weights"].attrs.create("layer_names", ["x" * 3_000_000] * 3, dtype=h5py.string_dtype())
    with pytest.raises(EncoderError, match="longer than they can be"):
        read_weights(file, tmp_path)


def test_a_reader_that_crashes_or_hangs_is_an_error(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "_BOOT", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(EncoderError, match="reading it crashed"):
        read_weights(file, tmp_path)
    monkeypatch.setattr(child, "_BOOT", "import time; time.sleep(60)")
    monkeypatch.setattr(module, "_SECONDS", 1)
    with pytest.raises(EncoderError, match="longer than 1 s"):
        read_weights(file, tmp_path)


def test_a_damaged_file_is_read_as_it_was_or_not_at_all(file: Path, tmp_path: Path) -> None:
    """Some cuts and changed bytes: an answer or an error of ours, whatever becomes of the process that reads."""
    data = file.read_bytes()
    rng = np.random.default_rng(7)
    variants = [data[: int(end)] for end in rng.integers(1, len(data), 4)]
    for _ in range(8):
        damaged = bytearray(data)
        for place in rng.integers(0, 4000, 6):
            damaged[place] = rng.integers(0, 256)
        variants.append(bytes(damaged))
    for variant in variants:
        file.write_bytes(variant)
        try:
            read_weights(file, tmp_path)
        except EncoderError:
            continue


def test_no_code_in_a_description_of_layers_is_run(tmp_path: Path) -> None:
    """A Lambda layer as Keras 2 writes it, whose code makes a canary when it is called, and an object by name."""
    canary = tmp_path / "canary"
    code = compile(f"open({str(canary)!r}, 'w').close()", "evil", "exec")
    exec(marshal.loads(marshal.dumps(code)))  # it is what it is taken for
    assert canary.exists()
    canary.unlink()
    text = marshal.dumps(code).hex()
    for number, extra in enumerate(
        (
            {"class_name": "Lambda", "config": {"function": [text, None, None], "function_type": "lambda"}},
            {"class_name": "__main__>system", "config": {"module": "os", "registered_name": "system"}},
            {"class_name": "Conv2D", "config": {"activation": {"module": "os", "class_name": "system", "config": "x"}}},
        )
    ):
        write_model(tmp_path / f"{number}.h5", SMALL, config=described_config(SMALL, extra=(extra,)))
        with pytest.raises(EncoderError, match="not a model of the original system"):
            import_model(tmp_path / f"{number}.h5", tmp_path / "home")
    assert not canary.exists()
    assert not list((tmp_path / "home").iterdir())
