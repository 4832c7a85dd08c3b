"""The command line's frame: the application, what all commands share, and how results and errors are printed.

Results go to stdout, everything else to stderr. Nothing heavy is imported here: `lookalike --help` is read
far more often than anything is indexed.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = [
    "FollowLinksOption",
    "IndexOption",
    "JsonOption",
    "MegapixelsOption",
    "OrderOption",
    "ProgressOption",
    "WaitOption",
    "app",
    "as_json",
    "path_fields",
    "print_json",
    "print_paths",
    "print_table",
    "progress_bar",
    "warn",
]

app = typer.Typer(
    name="lookalike",
    help="Find the pictures in your own collection that look alike. Nothing leaves this machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # drawn by rich, the help alone costs twice the import of typer and rich
    context_settings={"help_option_names": ["-h", "--help"]},
)

IndexOption = Annotated[
    Path | None,
    typer.Option(
        "-i",
        "--index",
        metavar="DIR",
        envvar="LOOKALIKE_INDEX",
        help="The gallery's folder; by default the nearest .lookalike, here or above.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
FollowLinksOption = Annotated[bool, typer.Option("--follow-links", help="Follow links to files.")]
MegapixelsOption = Annotated[float, typer.Option("--max-megapixels", help="Skip larger pictures.")]
OrderOption = Annotated[
    Literal["distance", "diffusion"],
    typer.Option(help="Nearest first, or as pictures are reached through others that are alike: more of a kind."),
]
WaitOption = Annotated[float, typer.Option(min=0, help="Seconds to wait for another process to finish.")]
ProgressOption = Annotated[bool, typer.Option("--no-progress", help="Draw no progress bar.")]


def print_json(document: dict[str, Any]) -> None:
    """Print one document to stdout."""
    sys.stdout.write(as_json(document, indent=2) + "\n")


def as_json(document: dict[str, Any], *, indent: int | None = None) -> str:
    """A document as text that stdout can take, whatever its encoding."""
    is_any = sys.stdout.encoding.lower().replace("-", "") == "utf8"
    return json.dumps(document, ensure_ascii=not is_any, indent=indent)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under headings, numbers to the right: drawn in a terminal, plain text in a pipe."""
    cells = [[f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    right = [bool(rows) and all(isinstance(row[n], int | float) for row in rows) for n in range(len(columns))]
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


def _draw_table(columns: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool]) -> None:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415  (heavy, 0.07 s: only where somebody is looking)
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column, is_number in zip(columns, right, strict=True):
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    Console(highlight=False).print(table)


def warn(line: str) -> None:
    """Print one line to stderr."""
    sys.stderr.write(line + "\n")


@contextmanager
def progress_bar(label: str, *, hidden: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on stderr as a callback (done, total); None where nobody is watching."""
    if hidden or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def path_fields(path: bytes) -> dict[str, str]:
    """The two names of a path in JSON: `path` with bytes that are not UTF-8 percent-encoded, and `display`."""
    from lookalike.images.decode import show_path  # noqa: PLC0415  (Pillow)

    text = path.decode("utf-8", "surrogateescape")
    encoded = "".join(f"%{ord(c) - 0xDC00:02X}" if "\udc80" <= c <= "\udcff" else c for c in text)
    return {"path": encoded, "display": show_path(path)}


def print_paths(paths: Sequence[bytes], *, null: bool = False) -> None:
    """Print paths for other programs: as shown, a line each, or as they are with a NUL behind each."""
    from lookalike.images.decode import show_path  # noqa: PLC0415  (Pillow)

    if null:
        sys.stdout.buffer.write(b"".join(path + b"\0" for path in paths))
    else:
        sys.stdout.write("".join(f"{show_path(path)}\n" for path in paths))
