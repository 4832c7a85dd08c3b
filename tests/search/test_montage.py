from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageDraw

from lookalike.search.montage import draw_answers, draw_montage

if TYPE_CHECKING:
    from pathlib import Path

RED = (255, 0, 0)


def red_share(sheet: Image.Image) -> float:
    colours = {colour: count for count, colour in sheet.getcolors(1 << 24) or []}
    return colours.get(RED, 0) / (240 * 240)


@pytest.mark.parametrize(("size", "share"), [((300, 300), 1), ((600, 300), 0.5), ((1, 1), 1), ((3, 3000), 0.001)])
def test_a_picture_is_shown_whole_and_in_proportion(tmp_path: Path, size: tuple[int, int], share: float) -> None:
    Image.new("RGB", size, RED).save(tmp_path / "red.png")
    sheet = draw_montage((Image.new("RGB", (9, 9), "white"), "query"), [(tmp_path / "red.png", "1\nred")])
    assert red_share(sheet) == pytest.approx(share, abs=0.02)


def test_transparency_is_shown_on_white(tmp_path: Path) -> None:
    half = Image.new("RGBA", (200, 200), (0, 0, 0, 0))
    half.paste((*RED, 255), (0, 0, 100, 200))
    half.save(tmp_path / "half.png")
    sheet = draw_montage((Image.new("RGB", (9, 9), "white"), "query"), [(tmp_path / "half.png", "1")])
    assert red_share(sheet) == pytest.approx(0.5, abs=0.02)
    assert (0, 0, 0) not in {colour for _, colour in sheet.getcolors(1 << 24) or []}


def test_a_light_drawing_on_nothing_is_shown_on_a_ground_that_it_differs_from(tmp_path: Path) -> None:
    ring = Image.new("RGBA", (200, 200), (0, 0, 0, 0))
    ImageDraw.Draw(ring).ellipse((30, 30, 170, 170), outline="white", width=30)
    ring.save(tmp_path / "ring.png")
    for sheet in (
        draw_montage((ring, "query"), [(tmp_path / "ring.png", "1")]),
        draw_answers([((ring, "query"), [(tmp_path / "ring.png", "1")])]),
    ):
        colours = {colour: count for count, colour in sheet.getcolors(1 << 24) or []}
        assert colours[0, 0, 0] > 240 * 240  # the grounds of both


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_a_picture_that_cannot_be_read_leaves_a_frame(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "bad.png").write_bytes(content)
    sheet = draw_montage((Image.new("RGB", (9, 9), RED), "query"), [(tmp_path / "bad.png", "1\nbad")])
    assert sheet.size == (528, 648)


def test_any_caption_can_be_drawn(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9), RED).save(tmp_path / "red.png")
    captions = ["x" * 5000, "", "\n", "名前 \U0001f600", "a\nb\nc", "\\x1b[31m"]
    draw_montage((Image.new("RGB", (9, 9), RED), "q"), [(tmp_path / "red.png", caption) for caption in captions])
