"""The command line: parse, call, print. One module for each group of commands."""

from __future__ import annotations

import errno
import importlib
import logging
import os
import sys

from lookalike.cli.app import app
from lookalike.cli.printing import note, print_error, set_up_logging
from lookalike.cli.signals import end_in_order
from lookalike.cli.streams import prepare_streams, silence_output, why_output_fails
from lookalike.errors import LookalikeError

__all__ = ["main"]

_GONE, _ELSE_GO = "the current folder no longer exists", "change to one that does: cd ~"
_FAILED, _INTERRUPTED = 1, 130
_ELSEWHERE = "make room, or send the output elsewhere: lookalike ... > FILE"

for _group in (
    "index",
    "search",
    "words",
    "explore",
    "duplicates",
    "collection",
    "demo",
    "serve",
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
    prepare_streams()
    set_up_logging()
    end_in_order()
    status = _run()
    if (error := why_output_fails()) is not None:
        status = status or _explain(error)
    sys.exit(status)


def _run() -> int:
    """Run the command line; return its exit status."""
    try:
        app(prog_name="lookalike")  # also as `python -m lookalike`: the shell completes that name
    except LookalikeError as error:
        if _is_folder_there():
            print_error(str(error), error.hint)
        else:  # whatever else is missing is missing because of that
            print_error(_GONE, _ELSE_GO)
        return error.exit_code
    except SystemExit as leaving:
        if leaving.code == _INTERRUPTED:
            note("lookalike: interrupted; what was finished before is kept")
        return leaving.code if isinstance(leaving.code, int) else int(bool(leaving.code))
    except OSError as error:
        return _explain(error)
    except MemoryError:
        print_error("there is not enough memory for this", "ask for less at a time")
        return _FAILED
    return 0


def _explain(error: OSError) -> int:
    """Print what the system refused, if anything but the output; return the exit status."""
    logging.getLogger("lookalike").debug("the system refused", exc_info=error)
    if error.errno is None:
        raise error
    if (refused := why_output_fails(error)) is not None:
        silence_output()
        if refused.errno != errno.EPIPE:  # the other end of a pipe, such as `head`, has seen enough
            print_error(f"the results cannot be written: {refused.strerror or refused}", _ELSEWHERE)
    elif not _is_folder_there():
        print_error(_GONE, _ELSE_GO)
    else:
        about = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        print_error(f"{about}{error.strerror or error}", "-vv says where it happened")
    return _FAILED


def _is_folder_there() -> bool:
    try:
        os.getcwd()
    except OSError:
        return False
    return True
