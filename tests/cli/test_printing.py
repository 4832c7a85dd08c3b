"""Counts, rates and plurals as people read them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from lookalike import Report
from lookalike.cli.printing import note_passed_over, summarize
from lookalike.errors import counted

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
        (Report(changed=1, seconds=1), 12, "12 pictures, 1 changed in 1.0 s (1.0/s)"),
        (Report(added=1, seconds=300), 12, "12 pictures, 1 added in 300.0 s"),
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


@pytest.mark.parametrize(
    ("report", "shown"),
    [
        (Report(), ""),
        (
            Report(passed_over={".PSD": 1100, ".MOV": 104}),
            "1,204 files passed over, of kinds that are not read: .PSD 1,100, .MOV 104\n",
        ),
        (Report(passed_over={"": 1}), "1 file passed over, of a kind that is not read: other names 1\n"),
        (
            Report(passed_over={f".{n}": 2 for n in range(10)}),
            (
                "20 files passed over, of kinds that are not read: "
                ".0 2, .1 2, .2 2, .3 2, .4 2, .5 2, .6 2, .7 2, others 4\n"
            ),
        ),
        (Report(folders_passed_over={"@eaDir": 1}), "1 folder of other programs passed over: @eaDir 1\n"),
        (
            Report(without_effect=["a b", "c/"]),
            (
                "warning: --exclude 'a b' excludes nothing: no file or folder matches it\n"
                "warning: --exclude c/ excludes nothing: no file or folder matches it\n"
            ),
        ),
    ],
)
def test_what_was_passed_over_is_said(report: Report, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    note_passed_over(report)
    assert capsys.readouterr().err == shown
