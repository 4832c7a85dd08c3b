from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image

from lookalike.errors import how_to_install
from tests.encoders.exports import write_pair_export
from tests.encoders.test_onnx import means, save
from tests.pairs import write_pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Run

FIGURES = {"name", "dim", "rate", "model_bytes", "part_found", "mirrored_found", "paler_kept", "lighter_kept"}


pytestmark = pytest.mark.usefixtures("few_patches")


def test_encoders_are_listed_with_what_they_are(run: Run) -> None:
    rows = {row["name"]: row for row in run("encoders", "--json").json["encoders"]}
    default = rows["efficientnet-lite0"]
    assert (default["dim"], default["trained_on"], default["available"]) == (1280, "ImageNet", True)
    assert rows["histogram"]["trained_on"] == ""
    assert (rows["patches"]["dim"], rows["patches"]["trained_on"]) == (None, "your own pictures")
    assert "efficientnet-lite0" in run("encoders").out


def test_models_to_fetch_are_listed_with_what_they_are_for_and_that_they_are_not_tested(run: Run) -> None:
    listed = run("encoders", "--json").json["recommended"]
    assert {model["tested"] for model in listed} == {False}
    words = " ".join(model["name"].lower() for model in listed)
    assert all(word in words for word in ("dinov2", "dinov3", "clip", "siglip2", "mobileclip"))
    shown = run("encoders").out
    assert "not tested here" in shown
    for model in listed:
        assert model["name"].startswith("hf:")
        assert model["purpose"]
        assert model["licence"]
        assert model["name"] in shown


def test_a_variant_that_needs_an_extra_is_listed_with_how_to_install_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("lookalike.encoders.efficientnet.weights._PACKAGE", "a_package_that_is_not_installed")
    rows = {row["name"]: row for row in run("encoders", "--json").json["encoders"]}
    assert rows["efficientnet-lite0"]["hint"] == how_to_install("lookalike[float]")
    assert rows["efficientnet-lite0-int8"]["available"]
    assert how_to_install("lookalike[float]") in run("encoders").err


def test_encoders_are_compared_by_the_protocol_where_there_are_classes(run: Run, labelled: Path) -> None:
    done = run("encoders", "compare", labelled, "-e", "histogram", "-e", "patches", "--json").json
    assert [row["name"] for row in done["encoders"]] == ["histogram", "patches"]
    assert all(set(row) > FIGURES | {"mAP", "P@10", "top_1"} for row in done["encoders"])
    same = run("evaluate", labelled, "-e", "histogram", "--json").json
    assert done["encoders"][0]["mAP"] == same["mAP"]
    assert done["recommended"] in {"histogram", "patches"}


def test_encoders_are_compared_by_finding_pictures_again_where_there_are_none(
    run: Run, make_photos: Callable[..., Path]
) -> None:
    photos = make_photos(12)
    done = run("encoders", "compare", photos, "-e", "histogram", "--json")
    row = done.json["encoders"][0]
    assert set(row) >= FIGURES
    assert "mAP" not in row
    assert row["lighter_kept"] <= 1
    assert row["part_found"] > 0.5
    assert "no class folders" in done.err


def test_labels_may_be_set_aside(run: Run, labelled: Path) -> None:
    done = run("encoders", "compare", labelled, "-e", "histogram", "--no-labels")
    assert "mAP" not in done.out
    assert "recommended: histogram" in done.err


def test_an_encoder_that_cannot_be_used_spoils_nothing(run: Run, labelled: Path) -> None:
    done = run("encoders", "compare", labelled, "-e", "nonsense", "-e", "histogram")
    assert done.status == 0
    assert "unknown encoder 'nonsense'" in done.err
    assert "recommended: histogram" in done.err
    assert run("encoders", "compare", labelled, "-e", "nonsense").status == 1


def test_encoders_are_compared_on_several_folders_by_the_means(
    run: Run, labelled: Path, make_photos: Callable[..., Path], tmp_path: Path
) -> None:
    make_photos(8, "land/flat", first=30)
    make_photos(8, "land/steep", first=40)
    done = run("encoders", "compare", labelled, tmp_path / "land", tmp_path / "gone", "-e", "histogram", "--json")
    assert done.status == 1
    assert [each["collection"] for each in done.json["collections"]] == ["set", "land"]
    assert [each["collection"] for each in done.json["failed"]] == ["gone"]
    (mean,), rows = done.json["encoders"], [each["encoders"][0] for each in done.json["collections"]]
    assert set(mean) > FIGURES | {"mAP", "P@10", "top_1", "intervals"}
    for figure in ("mAP", "part_found"):
        assert mean[figure] == pytest.approx(sum(row[figure] for row in rows) / 2)
    assert done.json["recommended"] == "histogram"
    shown = run("encoders", "compare", labelled, tmp_path / "land", "-e", "histogram", "-e", "nonsense")
    assert shown.status == 0
    assert [line.split()[0] for line in shown.out.splitlines()[:4]] == ["collection", "set", "land", "mean"]
    assert "nonsense on land: unknown encoder" in shown.err


def test_the_comparison_is_drawn(run: Run, labelled: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert run("encoders", "compare", labelled, "-e", "histogram", "--draw", tmp_path / "c.png").status == 0
    with Image.open(tmp_path / "c.png") as drawn:
        assert drawn.width > 500


def test_patches_are_indexed_searched_and_evaluated_by_their_name(run: Run, labelled: Path) -> None:
    assert run("index", labelled, "-e", "patches", "--json").json["added"] == 16
    assert run("index", labelled, "-e", "patches", "--json").json["unchanged"] == 16
    gallery = labelled / ".lookalike"
    assert len(run("search", labelled / "one" / "000.jpg", "-i", gallery, "-k", 3, "--json").json["hits"]) == 3
    assert run("evaluate", labelled, "-e", "patches", "--json").json["n_gallery"] == 12


def test_an_indexed_folder_does_not_become_one_of_patches(run: Run, labelled: Path) -> None:
    run("index", labelled, "-e", "histogram")
    done = run("index", labelled, "-e", "patches")
    assert done.status == 2
    assert "made by histogram, not by patches" in done.err


def test_patches_are_trained_into_a_folder_like_any_preset(run: Run, labelled: Path, tmp_path: Path) -> None:
    home = tmp_path / "out" / "mine"
    done = run("train", labelled, "--preset", "patches", "--output", home, "--json").json
    assert done["output"] == str(home)
    assert run("index", labelled, "-e", home, "-i", tmp_path / "g", "--json").json["added"] == 16
    assert run("train", labelled, "--preset", "patches", "--output", home).status == 2
    assert run("train", labelled, "--preset", "patches", "--output", home, "--fresh").status == 0


def test_the_command_checks_a_model_and_says_what_it_is(run: Run, tmp_path: Path) -> None:
    model = save(tmp_path, means([1, 2]))
    fields = run("encoders", "check", model, "--json").json
    assert (fields["name"], fields["dim"], fields["size"]) == ("means", 3, 8)
    assert "means" in run("encoders", "check", model).out
    model.write_bytes(b"nonsense")
    done = run("encoders", "check", model)
    assert (done.status, done.out) == (1, "")
    assert "not an ONNX file" in done.err


def test_an_export_of_another_tool_becomes_an_encoder(run: Run, labelled: Path, tmp_path: Path) -> None:
    export = write_pair_export(tmp_path / "colours")
    done = run("encoders", "adopt", export, "-o", tmp_path / "made", "--json").json
    assert (done["name"], done["dim"], done["size"]) == ("colours", 3, 8)
    assert run("index", labelled, "-e", tmp_path / "made", "-i", tmp_path / "g", "--json").json["added"] == 16
    again = run("encoders", "adopt", export, "-o", tmp_path / "made")
    assert (again.status, again.out) == (2, "")
    assert "already exists" in again.err
    other = run("encoders", "adopt", export, "-o", tmp_path / "other", "--name", "mine")
    assert other.out.splitlines()[1].split()[:2] == ["mine", "3"]
    assert run("encoders", "adopt", labelled, "-o", tmp_path / "none").status == 1


def test_both_towers_are_checked(run: Run, tmp_path: Path) -> None:
    pair = write_pair(tmp_path / "pair")
    assert run("encoders", "check", pair, "--json").json["texts"] is True
    assert "texts" in run("encoders", "check", pair).out
    (pair / "tokenizer.json").write_text("{}")
    done = run("encoders", "check", pair)
    assert (done.status, done.out) == (1, "")
    assert "tokenizer cannot be used" in done.err
