"""The command line: parse, call, print. One module for each group of commands."""

from __future__ import annotations

import importlib
import io
import sys

from lookalike.cli.app import app
from lookalike.cli.printing import note, print_error, set_up_logging
from lookalike.cli.signals import end_in_order
from lookalike.errors import LookalikeError

__all__ = ["main"]

_INTERRUPTED = 130

for _group in (
    "index",
    "search",
    "explore",
    "demo",
    "maintain",
    "encoders",
    "train",
    "import_original",
    "evaluate",
    "experiments",
    "bench",
):  # in the order of `lookalike --help`
    importlib.import_module(f"lookalike.cli.{_group}")


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrongly asked, 75 busy, 130 interrupted, 143 or 129 ended.

    An error that Lookalike raises on purpose is one line and its hint; any other is a bug and keeps its traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that the locale cannot print is escaped
            stream.reconfigure(errors="backslashreplace")
    set_up_logging()
    end_in_order()
    try:
        app(prog_name="lookalike")  # also as `python -m lookalike`: the shell completes that name
    except LookalikeError as error:
        print_error(str(error), error.hint)
        sys.exit(error.exit_code)
    except SystemExit as leaving:
        if leaving.code == _INTERRUPTED:
            note("lookalike: interrupted; what was finished before is kept")
        raise
