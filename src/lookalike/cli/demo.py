"""`lookalike demo`, behind `make demo`: all of it on a collection that is at hand."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import lookalike
from lookalike.cli.app import ProgressOption, app, path_fields, print_table, progress_bar, warn
from lookalike.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike import Gallery, Hits, Report

__all__: list[str] = []

_QUERIES = 3
_HITS = 5
_NAMED = 5  # skipped files
_HERE = Path("demo")


@app.command()
def demo(
    folder: Annotated[Path | None, typer.Argument(help="Your own pictures; by default 8 Scenes.")] = None,
    *,
    no_progress: ProgressOption = False,
) -> None:
    """Index a collection, answer some queries and draw them, in the folder ./demo."""
    _make_home()
    photos = folder or _sample(hidden=no_progress)
    with (
        lookalike.Gallery.open(_gallery_of(photos), create=True) as gallery,
        progress_bar("indexing", hidden=no_progress) as progress,
    ):
        report = gallery.index(photos, progress=progress)
        warn(f"{len(gallery):,} pictures of {_shown(photos)}, {report.added:,} of them new, in {report.seconds:.1f} s")
        _warn_of(report)
        queries = _spread(gallery, _QUERIES)
        answers = [gallery.search(query, k=_HITS) for query in queries]
    if not answers:
        raise lookalike.LookalikeError(f"no picture in {_shown(photos)} can be read", hint="make demo PHOTOS=folder")
    _print_answers(queries, answers)
    print(_drawn(answers))  # noqa: T201  (a result)


def _warn_of(report: Report) -> None:
    for path, reason in report.skipped[:_NAMED]:
        warn(f"skipped {path_fields(path)['display']}: {reason}")
    if len(report.skipped) > _NAMED:
        warn(f"... and {len(report.skipped) - _NAMED:,} more")


def _print_answers(queries: Sequence[bytes], answers: Sequence[Hits]) -> None:
    rows = [
        (_name(query) if hit.rank == 1 else "", hit.rank, hit.distance, _name(os.fsencode(hit.path)))
        for query, hits in zip(queries, answers, strict=True)
        for hit in hits
    ]
    print_table(["query", "rank", "distance", "hit"], rows)


def _drawn(answers: Sequence[Hits]) -> Path:
    sheet = _HERE / "montage.jpg"
    try:
        lookalike.draw_searches(answers).save(sheet, quality=90)
    except OSError as error:
        raise lookalike.LookalikeError(f"{sheet} cannot be written: {error.strerror}") from None
    return sheet


def _make_home() -> None:
    try:
        _HERE.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"./{_HERE} cannot be made: {error.strerror}", hint="cd to a folder of yours") from None


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
    """8 Scenes, or what can be had without a network."""
    from lookalike.datasets import samples  # noqa: PLC0415  (Pillow)

    try:
        with progress_bar("fetching 8 Scenes", hidden=hidden) as progress:
            return samples.fetch_scenes8(progress)
    except lookalike.LookalikeError as error:
        warn(f"{error}; instead of 8 Scenes, crops of the photographs in scikit-image are taken")
        return samples.cut_crops(_HERE / "photographs")
