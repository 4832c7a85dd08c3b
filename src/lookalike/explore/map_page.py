"""A map as one HTML file that needs nothing else: data, styles, script, and all thumbnails in one WebP picture.

Names come from files, and may be made of markup. They stand in the page as JSON in which `<` is escaped, and the script
shows them as text only; the page's policy lets it load nothing from anywhere.
"""

from __future__ import annotations

import base64
import html
import io
import json
import os
from collections import Counter
from importlib import resources
from itertools import zip_longest
from string import Template
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from lookalike.errors import UsageError, counted
from lookalike.explore.thumbnails import read_thumbnails
from lookalike.files import MARK, check_output, write_output
from lookalike.images.paths import show_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lookalike.explore.map import Map, Point
    from lookalike.files import Protects
    from lookalike.images.pool import OnProgress

__all__ = ["write_page"]

_SIDES = ((4_096, 64), (16_384, 48), (10**9, 32))  # pixels of a thumbnail, by how many pictures there are at most
_MOST = 64_000_000  # pixels of the atlas: 256 MB in a browser's memory
_EXPECTED = 0.25  # bytes of WebP for each pixel of a photograph's thumbnail, for the first try
_QUALITY, _METHOD = 70, 2
_GROUND = (127, 127, 127)
_TRIES = 4


class _Atlas(NamedTuple):
    """Thumbnails in cells of a grid, the picture they make, and the size of each by its point's index."""

    sizes: dict[int, tuple[int, int]]
    webp: bytes
    side: int
    columns: int


def write_page(  # noqa: PLR0913  (by name, all but three)
    map_: Map,
    path: Path,
    megabytes: float,
    *,
    on_progress: OnProgress | None = None,
    force: bool = False,
    protects: Protects | None = None,
) -> int:
    """Write the page; return how many pictures have a thumbnail in it. See `lookalike.explore.map.Map.write_html`."""
    if not megabytes >= 0:
        raise UsageError(f"thumbnails cannot take {megabytes:g} MB", hint="choose a size of at least 0, such as 16")
    check_output(path, force=force, protects=protects)
    points = _take_turns(map_)
    atlas = _build_atlas(points, megabytes * 1e6, on_progress)
    with write_output(path, force=force, protects=protects) as part:
        part.write_text(_build_page(points, atlas), encoding="utf-8")
    return len(atlas.sizes)


def _take_turns(map_: Map) -> list[Point]:
    """The points, one of each group after the other: whatever there is room for shows something of every group."""
    groups: dict[str, list[Point]] = {}
    for point in map_:
        groups.setdefault(point.cluster, []).append(point)
    random = np.random.default_rng(0)
    mixed = [[some[index] for index in random.permutation(len(some))] for some in groups.values()]
    return [point for turn in zip_longest(*mixed) for point in turn if point is not None]


def _build_atlas(points: Sequence[Point], limit: float, on_progress: OnProgress | None) -> _Atlas:
    side = next(side for most, side in _SIDES if len(points) <= most)
    most = min(len(points), int(limit / (_EXPECTED * side**2)), _MOST // side**2)
    chosen = points[: max(0, most)]
    read = read_thumbnails([point.path for point in chosen], side, on_progress=on_progress)
    thumbnails = {index: thumbnail for index, thumbnail in enumerate(read) if thumbnail is not None}
    for _ in range(_TRIES):
        atlas = _draw_atlas(thumbnails, side)
        if len(atlas.webp) <= limit:
            return atlas
        kept = int(len(thumbnails) * 0.95 * limit / len(atlas.webp))
        thumbnails = dict([*thumbnails.items()][:kept])
    return _draw_atlas({}, side)


def _draw_atlas(thumbnails: dict[int, Image.Image], side: int) -> _Atlas:
    columns = max(1, round(len(thumbnails) ** 0.5 + 0.5))
    sizes = {index: thumbnail.size for index, thumbnail in thumbnails.items()}
    if not thumbnails:
        return _Atlas({}, b"", side, columns)
    sheet = Image.new("RGB", (columns * side, -(-len(thumbnails) // columns) * side), _GROUND)
    for number, thumbnail in enumerate(thumbnails.values()):
        sheet.paste(thumbnail, (number % columns * side, number // columns * side))
    memory = io.BytesIO()
    sheet.save(memory, "WEBP", quality=_QUALITY, method=_METHOD)
    return _Atlas(sizes, memory.getvalue(), side, columns)


def _build_page(points: Sequence[Point], atlas: _Atlas) -> str:
    texts = {name: _read_file(f"map.{name}") for name in ("html", "css", "js")}
    encoded = base64.b64encode(atlas.webp).decode("ascii")
    return Template(texts["html"]).substitute(
        mark=MARK,
        title=html.escape(f"Map of {counted(len(points), 'picture')}"),
        note=html.escape(_describe(len(points), len(atlas.sizes))),
        style=texts["css"],
        script=texts["js"],
        data=_escape(_collect(points, atlas)),
        atlas=f"data:image/webp;base64,{encoded}" if encoded else "",
    )


def _describe(count: int, with_thumbnail: int) -> str:
    """What the page says of pictures that are shown as points."""
    left = count - with_thumbnail
    return f"{left:,} of them shown as {'a point' if left == 1 else 'points'}" if left else ""


def _collect(points: Sequence[Point], atlas: _Atlas) -> dict[str, Any]:
    """What the script reads: columns with an entry for each picture, and the groups with their middles."""
    groups = [name for name, _ in Counter(point.cluster for point in points).most_common()]  # whose name has room first
    group_of = {name: number for number, name in enumerate(groups)}
    folders: dict[str, int] = {}
    cells = {index: number for number, index in enumerate(atlas.sizes)}
    sizes = [atlas.sizes.get(index, (0, 0)) for index in range(len(points))]
    group = [group_of[point.cluster] for point in points]
    return {
        "names": [show_path(os.fsencode(point.path.name)) for point in points],
        "x": [round(point.x, 5) for point in points],
        "y": [round(point.y, 5) for point in points],
        "group": group,
        "folder": [folders.setdefault(show_path(point.path.parent.name), len(folders)) for point in points],
        "folders": list(folders),
        "groups": _find_middles(points, np.array(group, int), groups),
        "cell": [cells.get(index, -1) for index in range(len(points))],
        "wide": [width for width, _ in sizes],
        "high": [height for _, height in sizes],
        "side": atlas.side,
        "columns": atlas.columns,
    }


def _find_middles(points: Sequence[Point], group: np.ndarray[Any, Any], names: list[str]) -> list[dict[str, Any]]:
    """The name of each group, and the place of the picture nearest to its median."""
    places = np.array([(point.x, point.y) for point in points]).reshape(-1, 2)
    found = []
    for number, name in enumerate(names):
        some = places[group == number]
        x, y = some[((some - np.median(some, axis=0)) ** 2).sum(axis=1).argmin()].tolist()
        found.append({"name": name, "x": round(x, 5), "y": round(y, 5)})
    return found


def _escape(document: dict[str, Any]) -> str:
    """JSON that ends no element and begins no comment, whatever names are in it."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def _read_file(name: str) -> str:
    return (resources.files("lookalike.explore") / "page_files" / name).read_text(encoding="utf-8")
