"""Hits as documents: one HTML page with thumbnails and links, and CSV for spreadsheets."""

from __future__ import annotations

import csv
import html
import io
import os
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes

from lookalike.files import MARK
from lookalike.images.paths import is_remote, path_fields, show_path, to_bytes
from lookalike.search.notebook import find_thumbnail, find_uri

if TYPE_CHECKING:
    from lookalike.search.hits import Hit, Hits

__all__ = ["draw_sheet", "write_csv"]

_COLUMNS = ("rank", "distance", "path", "folder", "name", "id", "chance", "expected", "missing")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet takes for the beginning of one
_SIDE = 320  # pixels of a thumbnail's long side: sharp on dense screens
_STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.4 system-ui,sans-serif;margin:24px;max-width:1500px}
h1{font-size:20px;margin:0 0 16px;overflow-wrap:anywhere}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(190px,1fr));gap:20px;margin-top:24px}
figure{margin:0}
a{color:inherit;text-decoration:none}a:hover .name,a:focus .name{text-decoration:underline}
.box{height:190px;display:flex;align-items:center;justify-content:center;background:#8881;border-radius:6px}
.box img{max-width:100%;max-height:190px}
.gone{color:#888;font-style:italic}
figcaption{padding-top:6px;overflow-wrap:anywhere}
.name{font-weight:600}.folder,.rank{color:#777;font-size:13px}
header .box{width:240px}
"""


def draw_sheet(hits: Hits, title: str) -> str:
    """A page of HTML that needs no other file: the query and its hits, each a link to its picture on this machine.

    Names are shown as text, whatever they contain, and the page runs no scripts.
    """
    heading = html.escape(title)
    query = _box(find_uri(hits, _SIDE), "the query has no picture that can be shown")
    figures = "\n".join(_figure(hit) for hit in hits) or "<p>No hits.</p>"
    count = f"{len(hits)} hit{'' if len(hits) == 1 else 's'} by {html.escape(hits.encoder)}"
    note = "<p>Nothing good found: even the nearest hit is far away.</p>" if hits.nothing_good else ""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="generator" content="{MARK}">\n'
        f'<meta name="viewport" content="width=device-width">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{heading}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<header><h1>{heading}</h1>{query}<p class="rank">{count}</p>{note}</header>\n'
        f"<main>\n{figures}\n</main>\n</body>\n</html>\n"
    )


def write_csv(hits: Hits, separator: str = ",") -> str:
    """The hits as a table with a heading. What a spreadsheet would take for a formula begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows([_guard(cell) for cell in _cells(hit)] for hit in hits)
    return text.getvalue()


def _cells(hit: Hit) -> list[object]:
    fields = path_fields(os.fsencode(hit.path))
    folder, name = (path_fields(os.fsencode(part))["path"] for part in (hit.path.parent, hit.path.name))
    judged = ["" if value is None else value for value in (hit.chance, hit.expected)]
    return [hit.rank, hit.distance, fields["path"], folder, name, hit.id, *judged, "yes" if hit.is_missing else ""]


def _guard(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _figure(hit: Hit) -> str:
    path = to_bytes(hit.path)
    link = f"file://{quote_from_bytes(path)}" if os.name == "posix" else hit.path.as_uri()
    link = os.fsdecode(path) if is_remote(path) else link
    name, folder = (html.escape(show_path(part)) for part in (os.path.basename(path), os.path.dirname(path)))
    folder = folder.replace("/", "/<wbr>")
    caption = (
        f'<span class="rank">{hit.rank} &middot; {hit.distance:.4f}</span><br>'
        f'<span class="name">{name}</span><br><span class="folder">{folder}</span>'
    )
    box = _box(find_thumbnail(hit, _SIDE), "file not found" if hit.is_missing else "the file cannot be read")
    return f'<figure><a href="{html.escape(link)}">{box}<figcaption>{caption}</figcaption></a></figure>'


def _box(source: str | None, why: str) -> str:
    shown = f'<img src="{source}" alt="" loading="lazy">' if source else f'<span class="gone">{html.escape(why)}</span>'
    return f'<div class="box">{shown}</div>'
