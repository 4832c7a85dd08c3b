"""Drawings of what stands out: a sheet for each group, one of outliers, one of labels that are probably wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lookalike.errors import UsageError
from lookalike.explore.thumbnails import open_for_sheet
from lookalike.images.drawing import write_drawing
from lookalike.images.paths import show_path
from lookalike.search.montage import draw_montage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from PIL import Image

    from lookalike.explore.clusters import Cluster, Clusters
    from lookalike.explore.collection import Picture
    from lookalike.explore.confusions import WrongLabel
    from lookalike.explore.outliers import Outlier
    from lookalike.files import Protects

__all__ = ["draw_cluster", "draw_outliers", "draw_wrong_labels", "write_sheets"]

_SHOWN = 40  # pictures of a group below its most typical one
_UNSAFE = re.compile(r"[^\w-]+")


def write_sheets(
    clusters: Clusters, folder: Path, *, force: bool = False, protects: Protects | None = None
) -> list[Path]:
    """Write a sheet for each group into a folder, made if it is missing, and return their paths. Raises UsageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}", hint="name a folder") from error
    return list(_write_all(clusters, folder, force=force, protects=protects))


def _write_all(clusters: Clusters, folder: Path, *, force: bool, protects: Protects | None) -> Iterator[Path]:
    for number, each in enumerate(clusters, 1):
        path = folder / f"{number:03d}-{_UNSAFE.sub('-', each.name).strip('-')[:60] or 'group'}.jpg"
        write_drawing(draw_cluster(each), path, force=force, protects=protects)
        yield path


def draw_cluster(cluster: Cluster) -> Image.Image:
    """Draw a group: its most typical picture on top, and up to forty others below it, the most typical first."""
    first, *others = cluster.pictures
    count = len(cluster.pictures)
    more = f", {_SHOWN + 1} of them here" if count > _SHOWN + 1 else ""
    size = "1 picture" if count == 1 else f"{count:,} pictures{more}"
    top = open_for_sheet(first.path), f"{cluster.name}\n{size}"
    return draw_montage(top, [(each.path, f"{_name(each)}\n{_folder(each)}") for each in others[:_SHOWN]])


def draw_outliers(outliers: Sequence[Outlier]) -> Image.Image:
    """Draw one or more outliers, the farthest on top."""
    return _draw([(each, f"{each.times:.2f} x the median\n{_name(each)}\n{_folder(each)}") for each in outliers])


def draw_wrong_labels(labels: Sequence[WrongLabel]) -> Image.Image:
    """Draw one or more pictures whose labels are probably wrong, the surest case on top."""
    return _draw([(each, f"{each.suggested}?\nlabelled {each.label}\n{_name(each)}") for each in labels])


def _draw(pictures: Sequence[tuple[Picture, str]]) -> Image.Image:
    (first, text), *others = pictures
    return draw_montage((open_for_sheet(first.path), text), [(each.path, caption) for each, caption in others])


def _name(picture: Picture) -> str:
    return show_path(picture.path.name)


def _folder(picture: Picture) -> str:
    return show_path(picture.path.parent.name)
