from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Run


def test_indexing_is_measured_against_its_parts(run: Run, make_photos: Callable[..., Path]) -> None:
    figures = run("bench", "index", make_photos(24), "--json").json
    assert figures["pictures"] == 24
    assert figures["ratio"] == figures["wall_seconds"] / figures["ideal_seconds"]
    assert min(figures[name] for name in ("decode_cpu_ms", "encode_cpu_ms", "encoding_share", "bare_rate")) > 0


def test_searching_is_measured_against_the_bare_product(run: Run) -> None:
    figures = run("bench", "search", "--pictures", "500", "--dim", "16", "--json").json
    assert (figures["pictures"], figures["dim"]) == (500, 16)
    assert min(figures["search_us"], figures["bare_us"], figures["ratio"]) > 0


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
