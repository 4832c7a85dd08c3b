"""Fetching from a hub: from a stand-in on loopback, in processes of its own, as people do it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lookalike import Gallery, load_encoder
from lookalike.encoders import lasting_name
from lookalike.encoders.huggingface.hub import cache_folder, fetch
from lookalike.errors import EncoderError, MissingExtra, UnknownEncoder, how_to_install
from tests.encoders.exports import write_pair_export
from tests.encoders.test_onnx import means, save
from tests.hubs import COMMIT, Hub, serving, with_no_proxy
from tests.pairs import paint, write_pair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = f"hf:someone/colours@{COMMIT}"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    return tmp_path / "cache"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with serving({"someone/colours": write_pair(tmp_path / "served")}) as hub:
        yield hub


def lookalike(hub: Hub, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lookalike", *map(str, arguments)]
    return subprocess.run(command, env=with_no_proxy(hub.environment), capture_output=True, text=True)


def test_a_model_is_fetched_once_and_used_without_a_network_from_then_on(hub: Hub, tmp_path: Path) -> None:
    index = ["index", paint(tmp_path / "painted"), "-e", NAME, "-i", tmp_path / "g", "--json"]
    done = lookalike(hub, *index)
    assert json.loads(done.stdout)["added"] == 20, done.stderr
    for file in ("encoder.onnx", "encoder.json", "text.onnx", "tokenizer.json"):
        assert f"{hub.environment['HF_ENDPOINT']}/someone/colours/resolve/{COMMIT}/{file}" in done.stderr
    assert len(hub.asked) == 12  # its size, the same for huggingface_hub, and the file
    hub.asked.clear()
    assert json.loads(lookalike(hub, *index).stdout)["unchanged"] == 20
    hits = json.loads(lookalike(hub, "search", "--text", "green", "-k", 4, "-i", tmp_path / "g", "--json").stdout)
    assert {hit["display"].rsplit("/")[-1][:5] for hit in hits["hits"]} == {"green"}
    assert not hub.asked


def test_what_is_kept_is_what_was_served_with_its_sha_256(hub: Hub, tmp_path: Path) -> None:
    done = lookalike(hub, "encoders", "fetch", NAME, "--json")
    place = cache_folder(NAME)
    assert json.loads(done.stdout)["folder"] == str(place)
    served = {path.name: path.read_bytes() for path in (tmp_path / "served").iterdir()}
    sums = json.loads((place / "sha256.json").read_text())
    assert sums == {name: hashlib.sha256(content).hexdigest() for name, content in served.items()}
    assert {path.name for path in place.iterdir()} == {*served, "sha256.json"}
    assert [path.name for path in place.parent.iterdir()] == [COMMIT]
    assert load_encoder(NAME).fingerprint == load_encoder(tmp_path / "served").fingerprint


def test_a_model_without_a_text_tower_is_whole(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "served" / "text.onnx").unlink()
    (tmp_path / "served" / "tokenizer.json").unlink()
    assert lookalike(hub, "encoders", "fetch", NAME).returncode == 0
    assert set(json.loads((cache_folder(NAME) / "sha256.json").read_text())) == {"encoder.onnx", "encoder.json"}


def test_without_a_network_it_says_where_to_put_the_files_and_takes_them_from_there(tmp_path: Path) -> None:
    with serving({}) as gone:
        pass
    done = lookalike(gone, "index", paint(tmp_path / "painted"), "-e", NAME, "-i", tmp_path / "g")
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot be fetched" in done.stderr
    assert f"into {cache_folder(NAME)}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "g").exists()
    write_pair(cache_folder(NAME))
    assert lookalike(gone, "index", tmp_path / "painted", "-e", NAME, "-i", tmp_path / "g").returncode == 0
    assert (cache_folder(NAME) / "sha256.json").exists()


@pytest.mark.parametrize(
    ("name", "status", "why"),
    [
        (f"hf:someone/nothing@{COMMIT}", 1, "the hub has no public model hf:someone/nothing"),
        (f"hf:someone/colours@{COMMIT[::-1]}", 1, "the hub has no public model hf:someone/colours"),
        ("hf:someone/nothing", 1, "the hub has no public model hf:someone/nothing"),
        ("hf:someone/colours@main", 2, "is not the name of a model on the hub"),
        (f"hf:someone/colours@{COMMIT[:12]}", 2, "is not the name of a model on the hub"),
        (f"hf:../..@{COMMIT}", 2, "is not the name of a model on the hub"),
        (f"hf:someone/../colours@{COMMIT}", 2, "is not the name of a model on the hub"),
        (f"hf:/etc@{COMMIT}", 2, "is not the name of a model on the hub"),
    ],
)
def test_a_name_of_nothing_is_an_error(hub: Hub, name: str, status: int, why: str, cache: Path) -> None:
    done = lookalike(hub, "encoders", "fetch", name)
    assert (done.returncode, done.stdout) == (status, "")
    assert why in done.stderr
    assert "hint" in done.stderr
    assert not list(cache.rglob("encoder.onnx"))
    assert bool(hub.asked) == (status == 1)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"X-Repo-Commit": COMMIT[::-1]}, "is at the commit"),
        ({"X-Linked-Size": str(3 << 30)}, "bytes; at most"),
        ({"X-Linked-ETag": '"' + "0" * 64 + '"'}, "not the one that was announced"),
    ],
)
def test_what_is_otherwise_than_announced_is_not_kept(hub: Hub, said: dict[str, str], why: str) -> None:
    hub.headers = said
    done = lookalike(hub, "encoders", "fetch", NAME)
    assert (done.returncode, done.stdout) == (1, "")
    assert why in done.stderr
    assert not cache_folder(NAME).exists()


def test_a_file_that_was_exchanged_on_its_way_is_not_kept(hub: Hub, tmp_path: Path) -> None:
    model = (tmp_path / "served" / "encoder.onnx").read_bytes()
    hub.replaced["encoder.onnx"] = model[:-1] + bytes([model[-1] ^ 1])
    assert "not the one that was announced" in lookalike(hub, "encoders", "fetch", NAME).stderr
    assert not cache_folder(NAME).exists()


def test_a_cache_that_cannot_be_written_is_an_error(hub: Hub, cache: Path) -> None:
    cache.write_text("no folder")
    done = lookalike(hub, "encoders", "fetch", NAME)
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_fetched_model_is_checked_by_its_name(hub: Hub) -> None:
    assert lookalike(hub, "encoders", "check", NAME).returncode == 2
    assert lookalike(hub, "encoders", "fetch", NAME).returncode == 0
    assert json.loads(lookalike(hub, "encoders", "check", NAME, "--json").stdout)["texts"] is True


def test_a_repository_without_a_model_is_an_error(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "served" / "encoder.json").unlink()
    done = lookalike(hub, "encoders", "fetch", NAME)
    assert done.returncode == 1
    assert "has no encoder.json" in done.stderr


def test_a_repository_in_the_layout_of_other_tools_is_made_into_a_pair(tmp_path: Path) -> None:
    with serving({"someone/clip-tiny": write_pair_export(tmp_path / "served")}) as hub:
        name = f"hf:someone/clip-tiny@{COMMIT}"
        index = ["index", paint(tmp_path / "painted"), "-e", name, "-i", tmp_path / "g", "--json"]
        done = lookalike(hub, *index)
        assert json.loads(done.stdout)["added"] == 20, done.stderr
        hub.asked.clear()
        hits = json.loads(lookalike(hub, "search", "--text", "green", "-k", 4, "-i", tmp_path / "g", "--json").stdout)
        assert {hit["display"].rsplit("/")[-1][:5] for hit in hits["hits"]} == {"green"}
        assert not hub.asked
    assert hits["encoder"] == "clip-tiny"
    files = {"encoder.onnx", "encoder.json", "text.onnx", "tokenizer.json"}
    assert {path.name for path in cache_folder(name).iterdir()} == {*files, "sha256.json"}
    assert set(json.loads((cache_folder(name) / "sha256.json").read_text())) == files


@pytest.mark.parametrize(
    ("missing", "why"),
    [
        ("onnx/vision_model.onnx", "has no encoder.onnx, and none of onnx/vision_model.onnx"),
        ("preprocessor_config.json", "has no preprocessor_config.json"),
        ("tokenizer.json", "has no tokenizer.json"),
    ],
)
def test_a_repository_that_is_not_whole_is_an_error(tmp_path: Path, missing: str, why: str) -> None:
    export = write_pair_export(tmp_path / "served")
    (export / missing).unlink()
    with serving({"someone/colours": export}) as hub:
        done = lookalike(hub, "encoders", "fetch", NAME)
    assert (done.returncode, done.stdout) == (1, "")
    assert why in done.stderr
    assert not list(cache_folder(NAME).parent.glob("*"))


def test_what_was_fetched_is_as_foreign_as_any_model(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "served" / "encoder.onnx").write_bytes(b"nonsense")
    done = lookalike(hub, "encoders", "fetch", NAME)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not an ONNX file" in done.stderr


def test_a_file_that_has_changed_since_is_refused(tmp_path: Path) -> None:
    place = write_pair(cache_folder(NAME))
    load_encoder(NAME)
    (place / "encoder.json").write_text((place / "encoder.json").read_text() + " ")
    with pytest.raises(EncoderError, match="have changed since they were fetched") as raised:
        load_encoder(NAME)
    assert raised.value.hint == f"remove {place} and fetch the model again"
    shutil.rmtree(place)
    write_pair(place)
    (place / "sha256.json").write_text("nonsense")
    with pytest.raises(EncoderError, match="have changed since they were fetched"):
        load_encoder(NAME)


def test_loading_asks_nobody(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in hub.environment.items():
        monkeypatch.setenv(key, value)
    for name in (NAME, f"hybrid:{NAME}=0.5+histogram=0.5"):
        with pytest.raises(UnknownEncoder, match="has not been fetched") as raised:
            load_encoder(name)
        assert f"lookalike encoders fetch {NAME}" in raised.value.hint
        assert lasting_name(name) == name
    assert not hub.asked
    script = f"import sys, lookalike\ntry: lookalike.load_encoder({NAME!r})\nexcept Exception: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "lookalike.encoders.huggingface.hub" in done.stdout
    assert "huggingface_hub" not in done.stdout


def test_without_a_commit_it_is_the_newest_which_is_printed(hub: Hub) -> None:
    done = lookalike(hub, "encoders", "fetch", "hf:someone/colours", "--json")
    assert (json.loads(done.stdout)["model"], done.returncode) == (NAME, 0), done.stderr
    assert f"asking {hub.environment['HF_ENDPOINT']}/api/models/someone/colours\n" in done.stderr
    assert f"the newest commit is {NAME}\n" in done.stderr
    assert hub.asked[0] == "GET /api/models/someone/colours"
    assert load_encoder(NAME).name == "colours"


@pytest.mark.parametrize("form", ["{}", "hybrid:{}=0.5+histogram=0.5"])
def test_a_gallery_remembers_the_commit_and_asks_no_more(hub: Hub, tmp_path: Path, form: str) -> None:
    index = ["index", paint(tmp_path / "painted"), "-e", form.format("hf:someone/colours"), "-i", tmp_path / "g"]
    done = lookalike(hub, *index, "--json")
    assert json.loads(done.stdout)["added"] == 20, done.stderr
    with Gallery.open(tmp_path / "g") as gallery:
        assert gallery.store.space.source == form.format(NAME)
    hub.asked.clear()
    hub.newest = COMMIT[::-1]
    assert json.loads(lookalike(hub, *index, "--json").stdout)["unchanged"] == 20
    with Gallery.open(tmp_path / "g", encoder=form.format("hf:someone/colours")) as gallery:
        assert len(gallery) == 20
    assert not hub.asked


def test_loading_needs_the_commit_and_says_how_to_find_it() -> None:
    with pytest.raises(UnknownEncoder, match="it has no commit") as raised:
        load_encoder("hf:someone/colours")
    assert "lookalike encoders fetch hf:someone/colours" in raised.value.hint


def test_a_dry_run_fetches_nothing(hub: Hub, tmp_path: Path) -> None:
    done = lookalike(hub, "index", paint(tmp_path / "painted"), "-e", NAME, "-i", tmp_path / "g", "--dry-run")
    assert done.returncode == 2
    assert not hub.asked


def test_a_hybrid_may_have_parts_of_a_hub(hub: Hub, tmp_path: Path) -> None:
    name = f"hybrid:{NAME}=0.6+histogram=0.4"
    done = lookalike(hub, "index", paint(tmp_path / "painted"), "-e", name, "-i", tmp_path / "g", "--json")
    assert json.loads(done.stdout)["added"] == 20, done.stderr


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra) as raised:
        fetch(NAME, print)
    assert raised.value.hint == how_to_install("lookalike[hub]")


def test_a_model_of_our_own_makes_no_request(tmp_path: Path, hub: Hub) -> None:
    model = save(tmp_path, means([1, 2]))
    assert lookalike(hub, "index", paint(tmp_path / "painted", 1), "-e", model, "-i", tmp_path / "g").returncode == 0
    assert not hub.asked
