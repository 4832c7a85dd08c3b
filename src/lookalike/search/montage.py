"""Draw pictures side by side with captions."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from lookalike.images.decode import VANISHED, Unreadable
from lookalike.images.drawing import as_drawing
from lookalike.images.ground import on_ground
from lookalike.images.origins import open_picture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["draw_answers", "draw_montage", "draw_text", "draw_thumbnails"]

_TILE = 240  # pixels of a tile's side
_GAP = 16
_CAPTION, _LINE = 44, 19  # two lines, and each after them
_PAPER, _INK, _FAINT, _RULE = "#ffffff", "#1a1a1a", "#6a6a6a", "#d8d8d8"


def draw_montage(query: tuple[Image.Image, str], hits: Sequence[tuple[Path, str]], *, columns: int = 5) -> Image.Image:
    """Draw a sheet with the query on top and the hits below it in rows; captions have up to three lines.

    A hit whose file can no longer be read is drawn as an empty frame with the reason.
    """
    columns = max(1, min(columns, len(hits)))
    rows = -(-len(hits) // columns)
    cell = _TILE + _measure_captions([query[1], *(text for _, text in hits)]) + _GAP
    width = max(columns, 2) * (_TILE + _GAP) + _GAP
    sheet = Image.new("RGB", (width, (rows + 1) * cell + 3 * _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    _paste(sheet, query[0], (_GAP, _GAP))
    _caption(draw, query[1], (_GAP, _GAP + _TILE))
    line = cell + _GAP
    draw.line((_GAP, line, width - _GAP, line), fill=_RULE)
    for number, (path, caption) in enumerate(hits):
        left = _GAP + number % columns * (_TILE + _GAP)
        top = line + _GAP + number // columns * cell
        _hit(sheet, path, caption, (left, top))
    return as_drawing(sheet)


def draw_answers(answers: Sequence[tuple[tuple[Image.Image, str], Sequence[tuple[Path, str]]]]) -> Image.Image:
    """Draw a sheet with one row for each query: the query, a line, and its hits beside it."""
    most = max((len(hits) for _, hits in answers), default=0)
    texts = [text for query, hits in answers for _, text in (query, *hits)]
    cell, first = _TILE + _measure_captions(texts) + _GAP, _TILE + 3 * _GAP
    sheet = Image.new("RGB", (first + most * (_TILE + _GAP) + _GAP, len(answers) * cell + 2 * _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, (query, hits) in enumerate(answers):
        top = _GAP + row * cell
        _paste(sheet, query[0], (_GAP, top))
        _caption(draw, query[1], (_GAP, top + _TILE))
        for column, (path, caption) in enumerate(hits):
            _hit(sheet, path, caption, (first + _GAP + column * (_TILE + _GAP), top))
    line = _TILE + 2.5 * _GAP
    draw.line((line, _GAP, line, sheet.height - 2 * _GAP), fill=_RULE, width=2)
    return as_drawing(sheet)


def draw_thumbnails(pictures: Sequence[tuple[Path, str]], side: int, gap: int) -> Image.Image:
    """Draw small pictures side by side, each with a short text in its corner; one that cannot be read is grey."""
    sheet = Image.new("RGB", (len(pictures) * (side + gap) - gap, side), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for number, (path, text) in enumerate(pictures):
        left = number * (side + gap)
        try:
            with open_picture(path, at_least=side) as image:
                small = on_ground(image)
                small.thumbnail((side, side))
                sheet.paste(small, (left + (side - small.width) // 2, (side - small.height) // 2))
        except Unreadable:
            draw.rectangle((left, 0, left + side - 1, side - 1), fill=_RULE)
        width = draw.textlength(text, font)
        draw.rectangle((left, 0, left + width + 7, 18), fill=_PAPER)
        draw.text((left + 4, 1), text, fill=_INK, font=font)
    return sheet


def draw_text(text: str) -> Image.Image:
    """Draw a text as a picture of one tile, wrapped; text that does not fit is left out."""
    tile = Image.new("RGB", (_TILE, _TILE), _PAPER)
    draw, font = ImageDraw.Draw(tile), ImageFont.load_default(20)
    draw.rectangle((0, 0, _TILE - 1, _TILE - 1), outline=_RULE)
    lines = textwrap.wrap(text, 20)[:8]
    draw.multiline_text((_TILE / 2, _TILE / 2), "\n".join(lines), fill=_INK, font=font, anchor="mm", align="center")
    return tile


def _hit(sheet: Image.Image, path: Path, caption: str, corner: tuple[int, int]) -> None:
    draw = ImageDraw.Draw(sheet)
    left, top = corner
    try:
        with open_picture(path, at_least=2 * _TILE) as image:
            _paste(sheet, image, corner)
    except Unreadable as reason:
        draw.rectangle((left, top, left + _TILE, top + _TILE), outline=_FAINT)
        why = "file not found" if str(reason) == VANISHED else str(reason)
        draw.text((left + 8, top + 8), why, fill=_FAINT, font=ImageFont.load_default(14))
    _caption(draw, caption, (left, top + _TILE))


def _paste(sheet: Image.Image, picture: Image.Image, corner: tuple[int, int]) -> None:
    """Paste the whole picture, scaled, into the middle of a tile; transparent parts show the ground that suits it."""
    scale = _TILE / max(picture.size)
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    small = on_ground(picture).resize((size[0], size[1]), Image.Resampling.LANCZOS, reducing_gap=3.0)
    left = corner[0] + (_TILE - size[0]) // 2
    top = corner[1] + (_TILE - size[1]) // 2
    sheet.paste(small, (left, top))


def _caption(draw: ImageDraw.ImageDraw, text: str, corner: tuple[int, int]) -> None:
    for number, line in enumerate(text.split("\n")[:3]):
        font = ImageFont.load_default(15 if number == 0 else 13)
        fill = _FAINT if number == 2 else _INK
        cut = _cut_front if number == 2 else _shorten
        draw.text((corner[0], corner[1] + 4 + _LINE * number), cut(draw, line, font), fill=fill, font=font)


def _measure_captions(texts: Sequence[str]) -> int:
    """The pixels that captions need: at least two lines, at most three."""
    most = max((text.count("\n") + 1 for text in texts), default=0)
    return _CAPTION + _LINE * (most > 2)


def _cut_front(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Leave out the beginning of a folder's path that is wider than a tile: its last names tell it from others."""
    shown, names = text, text.split("/")
    while draw.textlength(shown, font) > _TILE and len(names) > 1:
        names = names[1:]
        shown = "…/" + "/".join(names)
    return _shorten(draw, shown, font)


def _shorten(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Leave out the middle of a name that is wider than a tile."""
    keep = len(text)
    shown = text
    while draw.textlength(shown, font) > _TILE and keep > 4:
        keep -= 2
        shown = f"{text[: keep // 2]}…{text[-(keep // 2) :]}"
    return shown
