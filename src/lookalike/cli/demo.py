"""`lookalike demo`, behind `make demo`: index a collection, search it and draw the hits."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import lookalike
from lookalike.cli.app import FIND, ProgressOption, command
from lookalike.cli.printing import note, path_fields, print_table, progress_bar
from lookalike.errors import UsageError, counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike import Gallery, Hits, Report

__all__: list[str] = []

_QUERIES = 3
_HITS = 5
_NAMED = 5  # skipped files
_HERE = Path("demo")


@command("demo", "lookalike demo", "lookalike demo Photos", panel=FIND)
def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER", help="Your own pictures (default: the collection 8 Scenes, 124 MB, downloaded once)."
        ),
    ] = None,
    *,
    no_progress: ProgressOption = False,
) -> None:
    """Index a sample collection, search it and draw the hits.

    The gallery and the montages are written into the folder ./demo, and a download into the cache. If 8 Scenes cannot
    be downloaded, crops of a few photographs are used instead.
    """
    _make_home()
    photos = folder or _sample(hidden=no_progress)
    with (
        lookalike.Gallery.open(_gallery_of(photos), create=True) as gallery,
        progress_bar("indexing", hidden=no_progress) as progress,
    ):
        report = gallery.index(photos, on_progress=progress)
        size, new = counted(len(gallery), "picture"), f"{report.added:,} of them new"
        note(f"{size} of {_shown(photos)}, {new}, in {report.seconds:.1f} s")
        _note_skipped(report)
        queries = _spread(gallery, _QUERIES)
        answers = [gallery.search(query, k=_HITS) for query in queries]
    if not answers:
        raise lookalike.LookalikeError(f"no picture in {_shown(photos)} can be read", hint="make demo PHOTOS=folder")
    _print_answers(queries, answers)
    print(_drawn(answers))  # noqa: T201  (a result)


def _note_skipped(report: Report) -> None:
    for path, reason in report.skipped[:_NAMED]:
        note(f"skipped {path_fields(path)['display']}: {reason}")
    if len(report.skipped) > _NAMED:
        note(f"... and {len(report.skipped) - _NAMED:,} more")


def _print_answers(queries: Sequence[bytes], answers: Sequence[Hits]) -> None:
    rows = [
        (_name(query) if hit.rank == 1 else "", hit.rank, hit.distance, _name(os.fsencode(hit.path)))
        for query, hits in zip(queries, answers, strict=True)
        for hit in hits
    ]
    print_table(["query", "rank", "distance", "hit"], rows)


def _drawn(answers: Sequence[Hits]) -> Path:
    from lookalike.gallery import protected  # noqa: PLC0415  (Pillow, numpy)
    from lookalike.images.drawing import write_drawing  # noqa: PLC0415

    sheet = _HERE / "montage.jpg"
    try:
        write_drawing(lookalike.draw_searches(answers), sheet, protects=protected)
    except UsageError as error:
        raise UsageError(str(error), hint="run it in another folder") from None
    return sheet


def _make_home() -> None:
    try:
        _HERE.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"./{_HERE} cannot be made: {error.strerror}", hint="run it in a folder that you can write to"
        ) from None


def _gallery_of(photos: Path) -> Path:
    """One gallery for each collection, so that no other folder called Photos is searched too."""
    return _HERE / f"gallery-{zlib.crc32(os.fsencode(photos.resolve())):08x}"


def _spread(gallery: Gallery, count: int) -> list[bytes]:
    """Some pictures of the gallery, as far apart in the order of their paths as they can be."""
    total = len(gallery)
    wanted = {(2 * n + 1) * total // (2 * count) for n in range(count)} if total else set()
    return [item.path for number, item in enumerate(gallery.pictures()) if number in wanted]


def _shown(path: Path) -> str:
    return path_fields(os.fsencode(path))["display"]


def _name(path: bytes) -> str:
    return path_fields(os.path.basename(path))["display"]


def _sample(*, hidden: bool) -> Path:
    """The folder of 8 Scenes; without a network, one of crops of photographs."""
    from lookalike.datasets import samples  # noqa: PLC0415  (Pillow)

    try:
        with progress_bar("fetching 8 Scenes", hidden=hidden) as progress:
            return samples.fetch_scenes8(progress)
    except lookalike.LookalikeError as error:
        note(f"{error}; using crops of the photographs in scikit-image instead of 8 Scenes")
        return samples.cut_crops(_HERE / "photographs")
