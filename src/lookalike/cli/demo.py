"""`lookalike demo`, behind `make demo`: all of it on a collection that is at hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import lookalike
from lookalike.cli.app import ProgressOption, app, path_fields, print_table, progress_bar, warn

if TYPE_CHECKING:
    from lookalike import Gallery

__all__: list[str] = []

_QUERIES = 3
_HITS = 5
_HERE = Path("demo")


@app.command()
def demo(
    folder: Annotated[Path | None, typer.Argument(help="Your own pictures; by default 8 Scenes.")] = None,
    *,
    no_progress: ProgressOption = False,
) -> None:
    """Index a collection, answer some queries and draw them, in the folder ./demo."""
    photos = folder or _sample(hidden=no_progress)
    place = _HERE / ("gallery" if folder is None else f"gallery-{folder.resolve().name}")
    with (
        lookalike.Gallery.open(place, create=True) as gallery,
        progress_bar("indexing", hidden=no_progress) as progress,
    ):
        report = gallery.index(photos, progress=progress)
        warn(f"{len(gallery):,} pictures of {photos}, {report.added:,} of them new, in {report.seconds:.1f} s")
        for path, reason in report.skipped[:5]:
            warn(f"skipped {path_fields(path)['display']}: {reason}")
        queries = _spread(gallery, _QUERIES)
        answers = [gallery.search(query, k=_HITS) for query in queries]
    if not answers:
        raise lookalike.LookalikeError(f"no picture in {photos} can be read", hint="make demo PHOTOS=folder")
    rows = [
        (_name(query) if hit.rank == 1 else "", hit.rank, hit.distance, _name(os.fsencode(hit.path)))
        for query, hits in zip(queries, answers, strict=True)
        for hit in hits
    ]
    print_table(["query", "rank", "distance", "hit"], rows)
    sheet = _HERE / "montage.jpg"
    lookalike.draw_searches(answers).save(sheet, quality=90)
    print(sheet)  # noqa: T201  (a result)


def _spread(gallery: Gallery, count: int) -> list[bytes]:
    """Some pictures of the gallery, as far apart in the order of their paths as they can be."""
    total = len(gallery)
    wanted = {(2 * n + 1) * total // (2 * count) for n in range(count)} if total else set()
    return [item.key for number, item in enumerate(gallery.pictures()) if number in wanted]


def _name(path: bytes) -> str:
    return path_fields(os.path.basename(path))["display"]


def _sample(*, hidden: bool) -> Path:
    """8 Scenes, or what can be had without a network."""
    from lookalike import samples  # noqa: PLC0415  (Pillow)

    try:
        with progress_bar("fetching 8 Scenes", hidden=hidden) as progress:
            return samples.fetch_scenes8(progress)
    except lookalike.LookalikeError as error:
        warn(f"{error}: taking crops of the photographs in scikit-image instead of 8 Scenes")
        return samples.cut_crops(_HERE / "photographs")
