"""A map as a picture: thumbnails beside each other, points where there is no room, and the names of the groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lookalike.errors import UsageError
from lookalike.explore.thumbnails import read_thumbnails
from lookalike.images.drawing import as_drawing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from lookalike.explore.map import Map, Point
    from lookalike.images.drawing import Drawing
    from lookalike.images.pool import OnProgress

__all__ = ["LARGEST", "SMALLEST", "draw_map"]

SMALLEST, LARGEST = 400, 8000
"""Pixels of a drawing's side."""

_PAPER, _INK, _FAINT = "#fbfbfa", "#1b1b1a", "#a3a3a0"
_MARGIN = 0.04  # of the side
_LEAST, _MOST = 24, 160  # pixels of a thumbnail's cell
_FILLED = 2.2  # cells for each picture: the points of a map stand in islands
_REACH = 2  # cells that a thumbnail may be moved by to find a free one
_GAP = 2  # pixels between two thumbnails
_NAMES = 40  # groups that are named


class _Cell(NamedTuple):
    column: int
    row: int


def draw_map(map_: Map, size: int = 2400, *, on_progress: OnProgress | None = None) -> Drawing:
    """Draw a map, its longer side of `size` pixels; thumbnails stand in a grid, at most two cells from their places.

    Pictures without a free cell nearby, and those that cannot be read, are points. Raises UsageError for a size that
    is too small or too large.
    """
    if not SMALLEST <= size <= LARGEST:
        raise UsageError(f"a map of {size:,} pixels cannot be drawn", hint=f"choose {SMALLEST} to {LARGEST:,}")
    places, (width, height) = _find_places(map_, size)
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    side = round(min(_MOST, max(_LEAST, size / (_FILLED * max(1, len(map_))) ** 0.5)))
    cells = _assign_cells(places, side, (width // side, height // side))
    for index in set(range(len(map_))) - cells.keys():
        _draw_point(draw, places[index])
    chosen = list(cells)
    thumbnails = read_thumbnails([map_[index].path for index in chosen], side - _GAP, on_progress=on_progress)
    for index, thumbnail in zip(chosen, thumbnails, strict=True):
        if thumbnail is None:
            _draw_point(draw, places[index])
        else:
            _paste(sheet, thumbnail, cells[index], side)
    _draw_names(draw, list(map_), places, sheet.size)
    return as_drawing(sheet)


def _find_places(map_: Map, size: int) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Where each picture is, in pixels from the top left, float64 (n, 2), and the size of the sheet."""
    points = np.array([(point.x, -point.y) for point in map_] or [(0.0, 0.0)], np.float64)
    extent = np.maximum(points.max(axis=0) - points.min(axis=0), 0.4)  # not a strip
    scale = size * (1 - 2 * _MARGIN) / extent.max()
    sheet = extent * scale + 2 * _MARGIN * size
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    return (points - middle) * scale + sheet / 2, (round(sheet[0]), round(sheet[1]))


def _assign_cells(places: NDArray[np.float64], side: int, counts: tuple[int, int]) -> dict[int, _Cell]:
    """A free cell near each picture's place, by the picture's index; none where all near ones are taken."""
    taken: set[_Cell] = set()
    found: dict[int, _Cell] = {}
    wanted = np.clip((places / side).astype(int), 0, np.array(counts) - 1)
    away = np.abs(places / side - wanted - 0.5).sum(axis=1)
    for index in np.argsort(away, kind="stable").tolist():
        cell = next((cell for cell in _cells_around(wanted[index], counts) if cell not in taken), None)
        if cell is not None:
            taken.add(cell)
            found[index] = cell
    return found


def _cells_around(wanted: NDArray[np.int64], counts: tuple[int, int]) -> Iterator[_Cell]:
    column, row = wanted.tolist()
    for right, down in _OFFSETS:
        if 0 <= column + right < counts[0] and 0 <= row + down < counts[1]:
            yield _Cell(column + right, row + down)


_OFFSETS = sorted(
    ((right, down) for right in range(-_REACH, _REACH + 1) for down in range(-_REACH, _REACH + 1)),
    key=lambda offset: (offset[0] ** 2 + offset[1] ** 2, offset),
)


def _draw_point(draw: ImageDraw.ImageDraw, place: NDArray[np.float64]) -> None:
    x, y = place.tolist()
    draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=_FAINT)


def _paste(sheet: Image.Image, thumbnail: Image.Image, cell: _Cell, side: int) -> None:
    left = cell.column * side + (side - thumbnail.width) // 2
    top = cell.row * side + (side - thumbnail.height) // 2
    sheet.paste(thumbnail, (left, top))


def _draw_names(
    draw: ImageDraw.ImageDraw, points: Sequence[Point], places: NDArray[np.float64], size: tuple[int, int]
) -> None:
    """Write the name of each large group at its middle, as long as names do not cover each other."""
    members: dict[str, list[int]] = {}
    for index, point in enumerate(points):
        members.setdefault(point.cluster, []).append(index)
    font = ImageFont.load_default(max(14, max(size) // 85))
    drawn: list[tuple[float, float, float, float]] = []
    for name, some in sorted(members.items(), key=lambda pair: -len(pair[1]))[:_NAMES]:
        x, y = _find_middle(places[some])
        box = _place_box(draw, _shorten(name), (x, y), font, size)
        if not any(_overlap(box, other) for other in drawn):
            drawn.append(box)
            draw.rounded_rectangle(box, 6, fill=_PAPER, outline="#d8d8d6")
            middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            draw.text(middle, _shorten(name), fill=_INK, font=font, anchor="mm")


def _find_middle(places: NDArray[np.float64]) -> tuple[float, float]:
    """The place of the picture nearest to the median: a mean may lie between two islands."""
    middle = np.median(places, axis=0)
    x, y = places[((places - middle) ** 2).sum(axis=1).argmin()].tolist()
    return x, y


def _place_box(
    draw: ImageDraw.ImageDraw,
    text: str,
    middle: tuple[float, float],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    size: tuple[int, int],
) -> tuple[float, float, float, float]:
    width, height = draw.textlength(text, font) + 16, max(14, max(size) // 85) * 1.7
    x, y = (
        min(max(at, half + 4), most - half - 4)
        for at, half, most in zip(middle, (width / 2, height / 2), size, strict=True)
    )
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _shorten(name: str) -> str:
    return name if len(name) <= 32 else f"{name[:16]}…{name[-15:]}"


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
