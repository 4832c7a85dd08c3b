from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Run


def test_indexing_is_measured_against_its_parts(run: Run, make_photos: Callable[..., Path]) -> None:
    figures = run("bench", "index", make_photos(24), "--json").json
    assert figures["pictures"] == 24
    assert figures["ratio"] == figures["wall_seconds"] / figures["ideal_seconds"]
    assert min(figures[name] for name in ("decode_cpu_ms", "encode_cpu_ms", "encoding_share", "bare_rate")) > 0


def test_searching_is_measured_at_every_size_that_is_asked_for(run: Run, tmp_path: Path) -> None:
    done = run("bench", "search", "--sizes", "300,500", "--dim", "16", "--draw", tmp_path / "curves.png", "--json")
    for figures, pictures in zip(done.json["galleries"], (300, 500), strict=True):
        assert (figures["pictures"], figures["dim"], figures["approximate"]) == (pictures, 16, False)
        assert figures["recall"] == figures["one_in_10_recall"] == 1.0
        assert min(value for name, value in figures.items() if name not in {"approximate", "memory_mib"}) > 0
    with Image.open(tmp_path / "curves.png") as drawn:
        assert drawn.width > 300


def test_searching_is_measured_on_embeddings_from_a_file(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).standard_normal((1500, 8), np.float32))
    done = run("bench", "search", "--rows", tmp_path / "rows.npy", "--sizes", "100")
    assert "search_us" in done.out
    for sizes, file, reason in (
        ("400", "rows.npy", "1,600 are needed"),
        ("5", "rows.npy", "from 20 to"),
        ("100", "no", "read"),
    ):
        wrong = run("bench", "search", "--rows", tmp_path / file, "--sizes", sizes)
        assert (wrong.status, reason in wrong.err) == (2, True)


def test_a_cold_search_is_measured_against_a_bare_embedding(
    run: Run, make_photos: Callable[..., Path], tmp_path: Path
) -> None:
    photos = make_photos(3)
    run("index", photos, "-i", tmp_path / "gallery")
    figures = run("bench", "cold", photos / "000.jpg", "-i", tmp_path / "gallery", "--rounds", "1", "--json").json
    assert min(figures["ratio"], figures["help_ratio"]) > 0


def test_a_folder_without_pictures_cannot_be_measured(run: Run, tmp_path: Path) -> None:
    done = run("bench", "index", tmp_path)
    assert done.status == 2
    assert "no picture" in done.err


def test_what_marks_gain_is_measured_with_a_simulated_user(run: Run, labelled: Path) -> None:
    asked = ("bench", "feedback", labelled, "-e", "histogram", "--queries", 4, "--rounds", 1)
    (found,) = run(*asked, "--json").json["collections"]
    assert set(found["users"]) == {"few", "all"}
    few = found["users"]["few"]
    assert len(few["with_marks"]) == len(few["without"]) == 2
    assert few["with_marks"][0] == few["without"][0]
    assert 0 < few["queries"] <= 4
    assert "with marks" in run(*asked).out
    done = run(*asked[:-1], 9)
    assert (done.status, "enough pictures" in done.err) == (1, True)
