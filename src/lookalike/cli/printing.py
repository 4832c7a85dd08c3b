"""How results, progress and warnings are printed: results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import logging
import math
import re
import shlex
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from lookalike.errors import counted, how_to_install
from lookalike.images.paths import path_fields, show_path, show_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from lookalike import Gallery, Report
    from lookalike.errors import LookalikeError
    from lookalike.evaluation.collections import Collection

__all__ = [
    "exit_if_failed",
    "note",
    "note_far",
    "note_passed_over",
    "path_fields",
    "plus_minus",
    "print_error",
    "print_fields",
    "print_json",
    "print_json_line",
    "print_line",
    "print_paths",
    "print_report",
    "print_table",
    "print_text",
    "progress_bar",
    "saying_what_is_saved",
    "set_up_logging",
    "show_figure",
    "skipped_fields",
    "summarize",
]

_ALWAYS = ("added", "unchanged", "renamed", "removed", "skipped")
_IF_ANY = ("changed", "excluded")
_SLOWEST = 0.05  # pictures a second: a lower rate would be printed as 0.0
_KINDS = 8  # kinds of files that are named in a line
_LISTED = 20  # skipped files named after a run; `lookalike skipped` names them all
_MISSING = re.compile(r"install (lookalike\[\w+\])")  # the extra that reads a skipped file


class _Stderr(logging.Handler):
    """Print log lines to whatever stderr is at that moment: a progress bar puts its own in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(self.format(record) + "\n")


class _OneLine(logging.Formatter):
    """Every message as one printable line; a traceback has its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (the name in `logging`)
        return show_text(super().formatMessage(record))


def set_up_logging() -> None:
    """Print warnings of the library to stderr until -v or -q says otherwise."""
    handler = _Stderr()
    handler.setFormatter(_OneLine("%(name)s: %(message)s"))
    logger = logging.getLogger("lookalike")
    logger.handlers = [handler]
    logger.setLevel(logging.WARNING)


def note(line: str) -> None:
    """Print one line to stderr: what was done, or a warning. With -q it is left out."""
    if logging.getLogger("lookalike").isEnabledFor(logging.WARNING):
        sys.stderr.write(show_text(line) + "\n")


def print_error(message: str, hint: str = "") -> None:
    """Print an error to stderr as one line, and the command that fixes it on another."""
    sys.stderr.write(f"lookalike: {show_text(message)}\n" + (f"  hint: {show_text(hint)}\n" if hint else ""))


def print_json(document: dict[str, Any]) -> None:
    """Print one document to stdout."""
    sys.stdout.write(_as_json(document, indent=2) + "\n")


def print_json_line(document: dict[str, Any]) -> None:
    """Print one of many documents to stdout, on one line."""
    sys.stdout.write(_as_json(document) + "\n")


def _as_json(document: dict[str, Any], *, indent: int | None = None) -> str:
    """A document as text that stdout can take, whatever its encoding."""
    is_any = sys.stdout.encoding.lower().replace("-", "") == "utf8"
    return json.dumps(document, ensure_ascii=not is_any, indent=indent)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under headings, numbers to the right: drawn in a terminal, plain text in a pipe."""
    cells = [[f"{cell:.4f}" if isinstance(cell, float) else show_text(str(cell)) for cell in row] for row in rows]
    right = [_is_numeric([row[n] for row in rows]) for n in range(len(columns))]
    if sys.stdout.isatty():
        _draw_table(columns, cells, right)
        return
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for line in (columns, *cells):
        aligned = [
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(line, widths, right, strict=True)
        ]
        sys.stdout.write("  ".join(aligned).rstrip() + "\n")


def _is_numeric(column: Sequence[object]) -> bool:
    """Whether a column has numbers, and nothing else but empty cells."""
    filled = [cell for cell in column if cell != ""]
    return bool(filled) and all(isinstance(cell, int | float) for cell in filled)


def _draw_table(columns: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool]) -> None:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415  (heavy, 0.07 s: only for a terminal)
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column, is_number in zip(columns, right, strict=True):
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    Console(highlight=False).print(table)


def print_text(line: str) -> None:
    """Print one line to stdout, such as an explanation of a table's columns."""
    sys.stdout.write(line + "\n")


def show_figure(figures: dict[str, Any], name: str, spread: dict[str, Any] | None = None) -> str:
    """A figure with half the width of its interval, or with its spread, such as `0.865 ±0.011`."""
    value = f"{figures[name]:.3f}"
    if spread is not None:
        return value if spread[name] is None else f"{value} {plus_minus()}{spread[name]:.3f}"
    if (interval := figures.get("intervals", {}).get(name)) is None:
        return value
    return f"{value} {plus_minus()}{(interval[1] - interval[0]) / 2:.3f}"


def plus_minus() -> str:
    """The sign ±, or `+-` where stdout cannot print it."""
    try:
        "±".encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return "+-"
    return "±"


def exit_if_failed(failed: Sequence[tuple[Collection, LookalikeError]], count: int) -> None:
    """Name the collections that could not be measured. Raises Exit with status 1 if there are any."""
    for collection, error in failed:
        place = path_fields(collection.folder)["display"]
        print_error(str(error) if place in str(error) else f"{place}: {error}", error.hint)
    if failed:
        note(f"{len(failed)} of {count} folders could not be measured")
        raise typer.Exit(1)


def print_fields(fields: dict[str, Any]) -> None:
    """Print names and values, a line each; the underscores of JSON names become spaces."""
    print_table(["", ""], [(name.replace("_", " "), str(value)) for name, value in fields.items()])


def print_paths(paths: Sequence[bytes], *, null: bool = False) -> None:
    """Print paths for other programs: as shown, a line each, or unchanged with a NUL after each."""
    if null:
        sys.stdout.buffer.write(b"".join(path + b"\0" for path in paths))
    else:
        sys.stdout.write("".join(f"{show_path(path)}\n" for path in paths))


@contextmanager
def progress_bar(label: str, *, hidden: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on stderr as a callback (done, total); None where it is hidden or stderr is not a terminal."""
    if hidden or not sys.stderr.isatty() or not logging.getLogger("lookalike").isEnabledFor(logging.WARNING):
        yield None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    # The elapsed time moves even while a slow file holds up all others.
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *times)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def saying_what_is_saved(gallery: Gallery) -> Iterator[None]:
    """When a signal ends a run, say how far it has got."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        note(f"{counted(len(gallery), 'picture')} saved; the same command continues from here")
        raise


def note_far(threshold: float, nearest: float) -> None:
    """Say that nothing is within a threshold, and which one the nearest would pass."""
    note(f"no picture is within {threshold:g}: the nearest is at {math.ceil(nearest * 1e4) / 1e4:.4f}")


def print_report(report: Report, gallery: str | Path | None, *, in_json: bool) -> None:
    """Print counts to stdout, and to stderr which files were skipped and which folders are missing."""
    if in_json:
        print_json(report.to_dict())
    else:
        counts = {
            name: _count(report, name) for name in (*_ALWAYS, *_IF_ANY) if name in _ALWAYS or _count(report, name)
        }
        print_table(list(counts), [list(counts.values())])
        _warn_of_skipped(report.skipped, gallery)
    note_passed_over(report)
    _warn_of_missing(report, gallery)


def _count(report: Report, name: str) -> int:
    value = getattr(report, name)
    return value if isinstance(value, int) else len(value)


def print_line(report: Report, gallery: str | Path | None, *, in_json: bool) -> None:
    """Print what one of many runs did, on one line."""
    if in_json:
        print_json_line(report.to_dict())
    else:
        changed = [f"{report.changed:,} changed"] if report.changed else []
        parts = [*(f"{_count(report, name):,} {name}" for name in _ALWAYS), *changed]
        sys.stdout.write(", ".join(parts) + "\n")
    sys.stdout.flush()
    _warn_of_missing(report, gallery)


def summarize(report: Report, pictures: int) -> str:
    """What a run did, such as `438 pictures, 438 added in 2.9 s (152/s)`."""
    counts = ("added", "changed", "renamed", "removed")
    changed = [f"{getattr(report, name):,} {name}" for name in counts if getattr(report, name)]
    parts = ", ".join([counted(pictures, "picture"), *(changed or ["nothing changed"])])
    rate = (report.added + report.changed) / report.seconds if report.seconds else 0.0
    shown = f" ({rate:,.{0 if rate >= 10 else 1}f}/s)" if rate >= _SLOWEST else ""
    return f"{parts} in {report.seconds:.1f} s{shown}"


def skipped_fields(found: Sequence[tuple[Path, str]]) -> list[dict[str, str]]:
    """Files and reasons for a document."""
    return [{**path_fields(path), "reason": reason} for path, reason in found]


def note_passed_over(report: Report) -> None:
    """Say which files are of kinds that are not read, and which patterns have excluded nothing."""
    if files := sum(report.passed_over.values()):
        kinds = "of a kind that is" if files == 1 else "of kinds that are"
        note(f"{counted(files, 'file')} passed over, {kinds} not read: {_list_counts(report.passed_over)}")
    if folders := sum(report.folders_passed_over.values()):
        note(f"{counted(folders, 'folder')} of other programs passed over: {_list_counts(report.folders_passed_over)}")
    for pattern in report.without_effect:
        note(f"warning: --exclude {shlex.quote(show_path(pattern))} excludes nothing: no file or folder matches it")


def _list_counts(counts: dict[str, int]) -> str:
    """Names and how many there are of each: `.PSD 1,100, .MOV 104`."""
    named = [f"{show_path(name) or 'other names'} {count:,}" for name, count in [*counts.items()][:_KINDS]]
    rest = sum([*counts.values()][_KINDS:])
    return ", ".join([*named, *([f"others {rest:,}"] if rest else [])])


def _warn_of_missing(report: Report, gallery: str | Path | None) -> None:
    for root in report.missing:
        note(f"warning: {path_fields(root)['display']} is not there; its pictures stay in the gallery")
    for old, new in report.moved:
        before, now = (path_fields(path)["display"] for path in (old, new))
        move = f"lookalike relocate {shlex.quote(before)} {shlex.quote(now)}{_of(gallery)}"
        note(f"{before} seems to be {now} now: {move}")


def _warn_of_skipped(skipped: Sequence[tuple[Path, str]], gallery: str | Path | None) -> None:
    for path, reason in skipped[:_LISTED]:
        note(f"skipped {path_fields(path)['display']}: {reason}")
    if len(skipped) > _LISTED:
        note(f"... and {len(skipped) - _LISTED:,} more: lookalike skipped{_of(gallery)}")
    for extra in sorted({found[1] for _, reason in skipped if (found := _MISSING.search(reason))}):
        note(f"hint: {how_to_install(extra)}, then index again")


def _of(gallery: str | Path | None) -> str:
    return f" -i {shlex.quote(str(gallery))}" if gallery else ""
