"""Models whose weights are in a second file, as large ones are exported."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from lookalike import load_encoder
from lookalike.encoders.huggingface.exported import adopt_new
from lookalike.encoders.huggingface.hub import cache_folder
from lookalike.encoders.huggingface.inline import has_data
from lookalike.errors import EncoderError, UntrustedModel
from tests.encoders.exports import split, write_export, write_pair_export
from tests.encoders.huggingface.test_hub import lookalike
from tests.hubs import COMMIT, serving
from tests.pairs import paint

if TYPE_CHECKING:
    from pathlib import Path


def test_weights_in_a_second_file_are_put_into_the_first(tmp_path: Path) -> None:
    plain = adopt_new(write_export(tmp_path / "plain", ["last_hidden_state"]), tmp_path / "one", "mine")
    export = write_export(tmp_path / "export", ["last_hidden_state"])
    split(export / "onnx" / "model.onnx")
    assert has_data(export / "onnx" / "model.onnx")
    before = {path: path.read_bytes() for path in export.rglob("*") if path.is_file()}
    assert adopt_new(export, tmp_path / "two", "mine").fingerprint == plain.fingerprint
    assert {path: path.read_bytes() for path in export.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["encoder.json", "encoder.onnx"]


def test_a_repository_of_such_models_is_fetched_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    export = write_pair_export(tmp_path / "served")
    split(export / "onnx" / "text_model.onnx", least=8)
    with serving({"someone/large": export}) as hub:
        index = ["index", paint(tmp_path / "painted"), "-e", "hf:someone/large", "-i", tmp_path / "g", "--json"]
        done = lookalike(hub, *index)
        assert json.loads(done.stdout)["added"] == 20, done.stderr
        assert "onnx/text_model.onnx_data (" in done.stderr
        assert "vision_model.onnx_data" not in done.stderr
    hits = json.loads(lookalike(hub, "search", "--text", "green", "-k", 4, "-i", tmp_path / "g", "--json").stdout)
    assert {hit["display"].rsplit("/")[-1][:5] for hit in hits["hits"]} == {"green"}
    files = {"encoder.onnx", "encoder.json", "text.onnx", "tokenizer.json", "sha256.json"}
    assert {path.name for path in cache_folder(f"hf:someone/large@{COMMIT}").iterdir()} == files


def test_a_repository_without_the_second_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    export = write_export(tmp_path / "served", ["last_hidden_state"])
    split(export / "onnx" / "model.onnx")
    (export / "onnx" / "model.onnx_data").unlink()
    with serving({"someone/large": export}) as hub:
        done = lookalike(hub, "encoders", "fetch", "hf:someone/large")
    assert (done.returncode, done.stdout) == (1, "")
    assert "has no onnx/model.onnx_data" in done.stderr


@pytest.mark.parametrize(
    ("changes", "error", "why"),
    [
        ({"location": "/etc/passwd"}, UntrustedModel, "in '/etc/passwd', not in model.onnx_data"),
        ({"location": "../model.onnx_data"}, UntrustedModel, "not in model.onnx_data"),
        ({"location": "onnx/model.onnx_data"}, UntrustedModel, "not in model.onnx_data"),
        ({"offset": "-1"}, EncoderError, "not within"),
        ({"offset": "1000000"}, EncoderError, "not within"),
        ({"length": "1000000"}, EncoderError, "not within"),
        ({"length": "-5"}, EncoderError, "not within"),
        ({"length": "many"}, EncoderError, "not within"),
    ],
)
def test_a_model_that_names_other_bytes_is_refused_and_leaves_nothing(
    tmp_path: Path, changes: dict[str, str], error: type[EncoderError], why: str
) -> None:
    export = write_export(tmp_path / "export", ["last_hidden_state"])
    split(export / "onnx" / "model.onnx", changes)
    with pytest.raises(error, match=why):
        adopt_new(export, tmp_path / "made", "mine")
    assert not (tmp_path / "made").exists()


def test_a_weight_of_the_wrong_length_is_refused(tmp_path: Path) -> None:
    export = write_export(tmp_path / "export", ["last_hidden_state"])
    split(export / "onnx" / "model.onnx", {"length": "1"})
    with pytest.raises(EncoderError):
        adopt_new(export, tmp_path / "made", "mine")
    assert not (tmp_path / "made").exists()


def test_an_export_that_misses_its_second_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    export = write_export(tmp_path / "export", ["last_hidden_state"])
    split(export / "onnx" / "model.onnx")
    (export / "onnx" / "model.onnx_data").unlink()
    with pytest.raises(EncoderError, match=r"in other files, and .*model\.onnx_data cannot be read: No such file"):
        adopt_new(export, tmp_path / "made", "mine")


def test_a_model_that_is_used_as_it_is_still_has_one_file(tmp_path: Path) -> None:
    adopt_new(write_export(tmp_path / "export", ["last_hidden_state"]), tmp_path / "made", "mine")
    split(tmp_path / "made" / "encoder.onnx")
    with pytest.raises(UntrustedModel, match="keeps weights in other files"):
        load_encoder(tmp_path / "made")
