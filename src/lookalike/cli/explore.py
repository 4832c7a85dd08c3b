"""`lookalike neighbours`: every picture's nearest others."""

from __future__ import annotations

import json as json_
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

import lookalike
from lookalike.cli.app import IndexOption, JsonOption, ProgressOption, app, path_fields, print_json, progress_bar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike import Gallery

__all__: list[str] = []


@app.command()
def neighbours(
    *,
    gallery: IndexOption = None,
    top: Annotated[int, typer.Option("-k", "--top", help="How many neighbours of each picture.")] = 10,
    threshold: Annotated[
        float | None, typer.Option(help="Only neighbours at most so far; pictures without one are left out.")
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Also where the gallery is very large.")] = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Every picture with those most like it: a JSON document on each line, or one of all with --json.

    No list of all pairs is made; a gallery of a million takes minutes and little memory.
    """
    with (
        lookalike.Gallery.open(gallery) as opened,
        progress_bar("comparing", hidden=no_progress) as progress,
    ):
        opened.exact = exact
        lines = _lines(opened, top, threshold)
        if json:
            print_json({"pictures": list(lines)})
            return
        for done, line in enumerate(lines, 1):
            sys.stdout.write(json_.dumps(line, ensure_ascii=False) + "\n")
            if progress is not None:
                progress(done, len(opened))


def _lines(gallery: Gallery, top: int, threshold: float | None) -> Iterator[dict[str, Any]]:
    for path, hits in gallery.neighbours(top):
        near = [hit for hit in hits if threshold is None or hit.distance <= threshold]
        if near or threshold is None:
            rows = [{**path_fields(os.fsencode(hit.path)), "distance": hit.distance} for hit in near]
            yield {**path_fields(os.fsencode(path)), "neighbours": rows}
