"""Every error the library raises on purpose.

    LookalikeError                 message: what, which file, which limit; hint: the command that fixes it
    ├── UsageError                 the caller asked for something impossible (exit status 2)
    │   ├── NoGallery              no gallery exists at this location
    │   ├── UnknownEncoder         no encoder has this name, and no model file is at this path
    │   ├── EncoderMismatch        the gallery was made with a different encoder
    │   ├── NoTextEncoder          the encoder understands only pictures, not text
    │   ├── UnknownWord            the encoder, or the gallery, does not know a word
    │   ├── UnreadableImage        the query picture cannot be read
    │   ├── NoClipboard            there is no clipboard, or no picture on it
    │   └── MissingExtra           an optional dependency is not installed
    ├── EncoderError               a model file cannot be used
    │   └── UntrustedModel         a model file asks for more than arithmetic
    ├── Unreachable                an object store or a cluster does not answer, or refuses
    ├── FetchFailed                a model could not be downloaded from a hub
    ├── DatasetError               a labelled folder, split or download is not what it claims to be
    ├── TrainingError              a training run cannot continue
    └── StoreError                 the gallery's database cannot be used
        ├── NewerFormat            written by a newer version of Lookalike
        ├── Corrupt                a row does not match its checksum
        ├── DiskFull               no disk space is left; what was committed is safe
        ├── ClosedGallery          the gallery was closed, or opened before this process was forked
        └── StoreBusy              another process is writing (exit status 75, EX_TEMPFAIL: try again later)

A single bad file in a collection is data rather than an error: see `lookalike.gallery.Report.skipped`.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class LookalikeError(Exception):
    """The base class of every error that the library raises on purpose.

    hint: one line that says how to fix the problem, or an empty string. exit_code: the exit status of the command line.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@contextmanager
def name_in_errors(where: str) -> Iterator[None]:
    """Put what was being read, such as "part 2 of the query", before the message of every error raised inside."""
    try:
        yield
    except LookalikeError as error:
        error.args = (f"{where}: {error}",)
        raise


class UsageError(LookalikeError):
    """The caller asked for something impossible."""

    exit_code = 2


class NoGallery(UsageError):
    """No gallery exists at this location."""


class UnknownEncoder(UsageError):
    """No encoder has this name, and no model file is at this path."""


class EncoderMismatch(UsageError):
    """The gallery was made with a different encoder, so its embeddings cannot be compared with this one's."""


class NoTextEncoder(UsageError):
    """The encoder understands only pictures, not text."""


class UnknownWord(UsageError):
    """The encoder does not know a word, or the gallery was not taught a name."""


class UnreadableImage(UsageError):
    """The query picture cannot be read."""


class NoClipboard(UsageError):
    """There is no clipboard, or no picture on it."""


class MissingExtra(UsageError):
    """An optional dependency is not installed."""


class EncoderError(LookalikeError):
    """A model file cannot be used."""


class UntrustedModel(EncoderError):
    """A model file asks for more than arithmetic: external files, loops or custom operators."""


class Unreachable(LookalikeError):
    """An object store or a cluster does not answer, or refuses; what was saved before is safe."""


class FetchFailed(LookalikeError):
    """A model could not be downloaded from a hub: no network, no such model, or not the announced content."""


class DatasetError(LookalikeError):
    """A labelled folder, split or download is not what it claims to be."""


class TrainingError(LookalikeError):
    """A training run cannot continue."""


class StoreError(LookalikeError):
    """The gallery's database cannot be used."""


class NewerFormat(StoreError):
    """The gallery was written by a newer version of Lookalike, so none of it is read."""


class Corrupt(StoreError):
    """A row does not match its checksum."""


class DiskFull(StoreError):
    """No disk space is left; what was committed before is safe."""


class ClosedGallery(StoreError):
    """The gallery was closed, or was opened before this process was forked and has to be opened again here."""


class StoreBusy(StoreError):
    """Another process is writing to this gallery."""

    exit_code = 75


def counted(count: int, noun: str) -> str:
    """A number and its noun: `1 picture`, `2,688 pictures`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def how_to_install(requirement: str) -> str:
    """The command that installs a package, such as `lookalike[train]`, into the environment that this process runs in.

    It is the one of the tool that made the environment: `pip install` alone may lead into another, or be forbidden. But
    in one that `uv tool install` made it is `uv pip install`: `uv tool install lookalike --with PACKAGE` would remove
    the packages of an earlier `--with`.
    """
    import importlib.util  # noqa: PLC0415  (these three only where something is missing: 5 ms)
    import shlex  # noqa: PLC0415

    quoted, python = f'"{requirement}"' if "[" in requirement else requirement, shlex.quote(sys.executable or "python")
    if _is_in_prefix("pipx_metadata.json"):
        return f"pipx inject lookalike {quoted}"
    if _is_managed_by_the_system():
        return f"{python} -m venv ~/lookalike-env && ~/lookalike-env/bin/pip install lookalike {quoted}"
    if importlib.util.find_spec("pip") is not None:
        return f"{python} -m pip install {quoted}"
    if (uv := _find_uv()) is not None:
        return f"{shlex.quote(uv)} pip install --python {python} {quoted}"
    return f"{python} -m ensurepip && {python} -m pip install {quoted}"


def how_to_upgrade() -> str:
    """The command that upgrades Lookalike in the environment that this process runs in."""
    if _is_in_prefix("pipx_metadata.json"):
        return "pipx upgrade lookalike"
    if _is_in_prefix("uv-receipt.toml"):
        return "uv tool upgrade lookalike"
    return how_to_install("--upgrade lookalike")


def _is_in_prefix(name: str) -> bool:
    return os.path.exists(os.path.join(sys.prefix, name))


def _is_managed_by_the_system() -> bool:
    """Whether packages of this Python belong to the operating system (PEP 668)."""
    import sysconfig  # noqa: PLC0415

    marker = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
    return sys.prefix == sys.base_prefix and os.path.exists(marker)


def _find_uv() -> str | None:
    import shutil  # noqa: PLC0415

    if shutil.which("uv"):
        return "uv"
    return shutil.which("uv", path=os.path.dirname(sys.executable))
