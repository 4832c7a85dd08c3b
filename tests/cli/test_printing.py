"""Counts, rates and plurals as people read them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from lookalike import Report
from lookalike.cli.printing import counted, summarize

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import MakePhotos, Run


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 pictures"), (1, "1 picture"), (2, "2 pictures"), (2688, "2,688 pictures")]
)
def test_one_picture_is_not_in_the_plural(count: int, shown: str) -> None:
    assert counted(count, "picture") == shown


@pytest.mark.parametrize(
    ("report", "pictures", "shown"),
    [
        (Report(added=438, seconds=2.88), 438, "438 pictures, 438 added in 2.9 s (152/s)"),
        (Report(added=1, seconds=0.5), 1, "1 picture, 1 added in 0.5 s (2.0/s)"),
        (Report(added=3, seconds=10), 2000, "2,000 pictures, 3 added in 10.0 s (0.3/s)"),
        (Report(unchanged=12, seconds=0.04), 12, "12 pictures, nothing changed in 0.0 s"),
        (Report(renamed=2, removed=1, seconds=0.1), 9, "9 pictures, 2 renamed, 1 removed in 0.1 s"),
        (Report(added=5), 5, "5 pictures, 5 added in 0.0 s"),
    ],
)
def test_a_run_is_summarized_in_one_line(report: Report, pictures: int, shown: str) -> None:
    assert summarize(report, pictures) == shown


def test_indexing_ends_with_what_the_gallery_holds_and_what_changed(
    run: Run, make_photos: MakePhotos, tmp_path: Path
) -> None:
    photos, gallery = make_photos(1), tmp_path / "gallery"
    first = run("index", photos, "-i", gallery, "-e", "histogram").err.splitlines()[-1]
    assert re.fullmatch(rf"{re.escape(str(gallery))}: 1 picture, 1 added in \d\.\d s \([\d.]+/s\)", first)
    second = run("index", photos, "-i", gallery).err.splitlines()[-1]
    assert re.fullmatch(rf"{re.escape(str(gallery))}: 1 picture, nothing changed in \d\.\d s", second)
