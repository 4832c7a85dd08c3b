"""`lookalike neighbours` and `inspect`: every picture's nearest others, and what two pictures have in common."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import lookalike
from lookalike.cli.app import FIND, ForceOption, IndexOption, JsonOption, ProgressOption, ThresholdOption, command
from lookalike.cli.printing import note, note_far, print_json, print_json_line, print_table, progress_bar
from lookalike.files import check_output
from lookalike.store.location import name_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike import Gallery

__all__: list[str] = []


@command("neighbours", "lookalike neighbours --top 3", "lookalike neighbours --threshold 0.05 --json", panel=FIND)
def neighbours(
    *,
    gallery: IndexOption = None,
    top: Annotated[
        int, typer.Option("-k", "--top", metavar="N", min=1, help="How many neighbours to list for each picture.")
    ] = 10,
    threshold: ThresholdOption = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compare with every picture, even in a very large gallery.")
    ] = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """List every picture with the pictures most like it.

    Each line is one picture with its neighbours, as a JSON document; with --json there is a single document for all.
    With --threshold, pictures without a neighbour within that distance are left out. A gallery of a million pictures
    takes minutes, but little memory.
    """
    with (
        lookalike.Gallery.open(gallery) as opened,
        progress_bar("comparing", hidden=no_progress) as progress,
    ):
        if not len(opened):
            note(f"the gallery is empty; add pictures: {name_command('index FOLDER', opened.location)}")
        lines = _lines(opened, top, math.inf if threshold is None else threshold, exact=exact)
        if json:
            print_json({"pictures": list(lines)})
            return
        for done, line in enumerate(lines, 1):
            print_json_line(line)
            if progress is not None:
                progress(done, len(opened))


def _lines(gallery: Gallery, top: int, threshold: float, *, exact: bool) -> Iterator[dict[str, Any]]:
    """A document for each picture with a neighbour within the threshold; says so if there is none."""
    nearest = math.inf
    for each in gallery.neighbours(top, exact=exact):
        near = [hit for hit in each.hits if hit.distance <= threshold]
        nearest = min([nearest, *(hit.distance for hit in each.hits[:1])])
        if near or threshold == math.inf:
            yield each._replace(hits=near).to_dict()
    if threshold < nearest < math.inf:
        note_far(threshold, nearest)


@command("inspect", "lookalike inspect beach.jpg Photos/beach.jpg -o heat.png", panel=FIND)
def inspect_match(
    query: Annotated[Path, typer.Argument(metavar="QUERY", help="The first picture.")],
    hit: Annotated[Path, typer.Argument(metavar="HIT", help="The second picture, usually a search hit.")],
    *,
    gallery: IndexOption = None,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Picture file to draw into.")] = Path(
        "heat.png"
    ),
    force: ForceOption = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Draw which parts of two pictures match.

    Each part of both pictures is covered in turn: it matters if the pictures become less similar without it. In the
    drawing, red parts match more than the rest of their picture, blue parts less.
    """
    from lookalike.images.drawing import write_drawing  # noqa: PLC0415  (Pillow)

    with lookalike.Gallery.open(gallery or lookalike.find_gallery(near=query)) as opened:
        check_output(output, force=force, protects=opened.protects)
        found = opened.explain(query, hit)
        write_drawing(found.draw(), output, force=force, protects=opened.protects)
    if json:
        print_json({**found.to_dict(), "output": str(output)})
    else:
        print_table(["distance", "drawing"], [(found.distance, str(output))])
