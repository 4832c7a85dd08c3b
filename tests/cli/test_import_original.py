from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike import load_encoder
from tests.conftest import make_picture
from tests.training.original.keras2 import SMALL, write_model

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run

pytestmark = pytest.mark.filterwarnings("ignore")  # of Keras's own making


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The folder of an old project: pictures in classes, a model."""
    for seed in range(24):
        home = tmp_path / "old" / "photos" / ("one" if seed < 12 else "two")
        home.mkdir(parents=True, exist_ok=True)
        make_picture(seed, (16, 16)).save(home / f"{seed:02}.png")
    write_model(tmp_path / "old" / "final_model.h5", SMALL)
    return tmp_path / "old"


def test_an_old_model_and_index_are_converted_searched_and_evaluated(run: Run, old: Path, tmp_path: Path) -> None:
    home = tmp_path / "output" / "final"
    done = run("import-original", old / "final_model.h5", "-o", home, "--json")
    assert done.status == 0, done.err
    assert (done.json["encoder"], done.json["relu"], done.json["slope"]) == ("original-6", True, 0.2)
    pixels = np.stack([np.asarray(make_picture(seed, (16, 16))) for seed in range(24)])
    rows = load_encoder(home).encode(pixels)
    (old / "features.pkl").write_bytes(pickle.dumps({"indexes": list(range(24)), "features": rows}))
    both = ("import-original", old / "features.pkl", old / "final_model.h5", "--pictures", old / "photos")
    done = run(*both, "-o", tmp_path / "output" / "both", "--json")
    assert done.status == 0, done.err
    assert (done.json["embeddings"], done.json["pictures"]) == (24, 24)
    search = run("search", "-m", home, "-i", done.json["gallery"], "-s", 2, "--json")
    assert "it is not known which pictures this imported model was trained on" in search.err
    assert (search.json["queries"], [len(found["hits"]) for found in search.json["searches"]]) == (
        "of the gallery",
        [10, 10],
    )
    figures = run("evaluate", old / "photos", "--model", home, "--json").json
    assert (figures["held_out_mse"], figures["n_unknown"], figures["n_queries_trained_on"]) == (None, 24, None)
    assert len(figures["retrieval"]) == 4


def test_an_index_alone_becomes_arrays(run: Run, tmp_path: Path) -> None:
    rows = np.ones((3, 2), np.float32)
    (tmp_path / "features.pkl").write_bytes(pickle.dumps({"indexes": [0, 1, 2], "features": rows}))
    done = run("import-original", tmp_path / "features.pkl", "-o", tmp_path / "out")
    assert done.status == 0, done.err
    assert ["embeddings", "3"] in [line.split() for line in done.out.splitlines()]
    assert (tmp_path / "out" / "features.npz").is_file()


def test_what_cannot_be_converted_is_told_in_a_line(run: Run, old: Path, tmp_path: Path) -> None:
    evil, canary = tmp_path / "evil.pkl", tmp_path / "canary"
    evil.write_bytes(b"cos\nsystem\n(S'touch " + bytes(canary) + b"'\ntR.")
    model = old / "final_model.h5"
    for arguments, status, said in (
        ((evil,), 1, "asks for os.system"),
        ((tmp_path / "nowhere.h5",), 2, "cannot be read"),
        ((model, model), 2, "one model and one index"),
        ((model, "--pictures", old / "photos"), 2, "a model and an index"),
    ):
        done = run("import-original", *arguments, "-o", tmp_path / "out")
        assert (done.status, done.out) == (status, ""), done.err
        assert said in done.err
        assert "Traceback" not in done.err
    assert not canary.exists()


def test_a_folder_that_cannot_be_made_is_named(run: Run, old: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "features.pkl").write_bytes(pickle.dumps({"indexes": [0], "features": [[1.0]]}))
    for file in (old / "final_model.h5", tmp_path / "features.pkl"):
        done = run("import-original", file, "-o", tmp_path / "file" / "out")
        assert (done.status, "cannot be written" in done.err) == (2, True), done.err
