"""`lookalike serve`: the page and the HTTP API of a gallery."""

from __future__ import annotations

import os
from typing import Annotated

import typer

import lookalike
from lookalike.cli.app import FIND, DeviceOption, IndexOption, ProgressOption, command
from lookalike.cli.printing import note, print_text
from lookalike.errors import MissingExtra, UsageError, how_to_install

__all__: list[str] = []

_GOOD_TOKEN = 16  # characters


@command("serve", "lookalike serve Photos", "lookalike serve -i gallery --port 9000 --no-open", panel=FIND)
def serve(
    folder: Annotated[
        str | None, typer.Argument(metavar="FOLDER", help="The folder of pictures, or the folder of its gallery.")
    ] = None,
    *,
    gallery: IndexOption = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; any but the default needs --token.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="Port to listen on; 0 picks a free one.")
    ] = 8765,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open a browser.")] = False,
    token: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            envvar="LOOKALIKE_TOKEN",
            help="Password that clients must send; required for any address but 127.0.0.1.",
        ),
    ] = "",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Another name of this server, such as that of a reverse proxy. Repeatable."),
    ] = None,
    allow_write: Annotated[
        bool, typer.Option("--allow-write", help="Let clients index and move duplicates; needs --token.")
    ] = False,
    device: DeviceOption = "auto",
    no_progress: ProgressOption = False,
) -> None:
    """Serve a web page to search the collection, and an HTTP API.

    By default, the page is for one person on this machine: other machines cannot reach it unless you give another
    --host, and it changes nothing unless you give --allow-write. Ctrl-C stops the server.
    """
    if folder is not None and gallery is not None:
        raise UsageError("give the folder either as FOLDER or with --index", hint="lookalike serve --help")
    _leave_cores_to_requests()
    try:
        from lookalike.web.server import serve as run  # noqa: PLC0415  (0.2 s)
        from lookalike.web.settings import Settings  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"serving needs a package that is missing: {error.name}", hint=how_to_install("lookalike[web]")
        ) from None
    settings = Settings(host, port, _check_token(token), tuple(name.lower() for name in allow_host or ()), allow_write)
    with lookalike.Gallery.open(folder or gallery) as opened:
        run(opened, settings, on_address=_print_address, open_browser=not no_open)


def _leave_cores_to_requests() -> None:
    """Let each search run in one thread, unless the environment says otherwise: requests are what runs in parallel.

    With two cores and other programs at work, a search through 2,688 pictures took 8 ms of processor time in two
    threads of OpenBLAS, which wait for each other, and 1 ms in one. To be called before numpy is imported.
    """
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ.setdefault(name, "1")


def _print_address(address: str) -> None:
    print_text(address)
    typer.get_text_stream("stdout").flush()
    note("Ctrl-C stops it")


def _check_token(token: str) -> str:
    """The token; a warning if it can be guessed. Raises UsageError for one that no client can send."""
    if not token.isascii() or not token.isprintable() or token != token.strip():
        raise UsageError("the token may contain only printable ASCII characters", hint="openssl rand -hex 16")
    if 0 < len(token) < _GOOD_TOKEN:
        note(f"warning: a token of {len(token)} characters can be guessed; a good one: openssl rand -hex 16")
    return token
