"""The command line: parse, call, print. One module for each group of commands."""

from __future__ import annotations

import importlib
import io
import sys

from lookalike.cli.app import app, warn
from lookalike.errors import LookalikeError

__all__ = ["main"]

_INTERRUPTED = 130

for _group in (
    "collection",
    "explore",
    "changes",
    "care",
    "evaluate",
    "encoders",
    "train",
    "experiments",
    "import_original",
    "bench",
    "demo",
):  # in the order of `lookalike --help`
    importlib.import_module(f"lookalike.cli.{_group}")


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrongly asked, 75 busy, 130 interrupted.

    An error that Lookalike raises on purpose is one line and its hint; any other is a bug and keeps its traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # in a locale that lacks a letter of a name it is escaped
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except LookalikeError as error:
        warn(f"lookalike: {error}")
        if error.hint:
            warn(f"  hint: {error.hint}")
        sys.exit(error.exit_code)
    except SystemExit as leaving:
        if leaving.code == _INTERRUPTED:
            warn("lookalike: interrupted; what was finished before is kept")
        raise
