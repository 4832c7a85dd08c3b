"""Hits as HTML, for notebooks: thumbnails that are encoded here, names that are escaped."""

from __future__ import annotations

import base64
import html
import io
import os
from typing import TYPE_CHECKING

from lookalike.errors import UnreadableImage
from lookalike.images.decode import Unreadable
from lookalike.images.ground import on_ground
from lookalike.images.origins import open_picture
from lookalike.images.paths import show_path

if TYPE_CHECKING:
    from PIL import Image

    from lookalike.search.hits import Hit, Hits

__all__ = ["draw_html", "find_thumbnail", "find_uri"]

_THUMBNAIL = 128  # pixels of the long side


def draw_html(hits: Hits, title: str) -> str:
    """The query, with its title, and its hits side by side; a hit whose file is gone says so."""
    query = _figure(find_uri(hits), html.escape(title))
    each = [_figure(find_thumbnail(hit), f"{hit.rank} &middot; {hit.distance:.4f}<br>{_name(hit)}") for hit in hits]
    return f'<div style="display:flex;flex-wrap:wrap;gap:12px">{query}{"".join(each)}</div>'


def _figure(source: str | None, caption: str) -> str:
    side = f"width:{_THUMBNAIL}px"
    shown = f'<img src="{source}" style="max-{side};max-height:{_THUMBNAIL}px">' if source else "<i>file not found</i>"
    text = f'<figcaption style="font-size:small;overflow-wrap:anywhere">{caption}</figcaption>'
    return f'<figure style="margin:0;{side}">{shown}{text}</figure>'


def _name(hit: Hit) -> str:
    return html.escape(show_path(os.fsencode(hit.path.name)))


def find_thumbnail(hit: Hit, side: int = _THUMBNAIL) -> str | None:
    """The picture as a `data:` address, encoded again; None where its file cannot be read any more."""
    try:
        with open_picture(hit.path, at_least=side) as image:
            return _data_uri(image, side)
    except Unreadable:
        return None


def find_uri(hits: Hits, side: int = _THUMBNAIL) -> str | None:
    """The query's picture as a `data:` address; None where its file cannot be read any more."""
    try:
        return _data_uri(hits.image, side)
    except UnreadableImage:
        return None


def _data_uri(image: Image.Image, side: int) -> str:
    small = on_ground(image)
    small.thumbnail((side, side))
    memory = io.BytesIO()
    small.save(memory, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(memory.getvalue()).decode('ascii')}"
