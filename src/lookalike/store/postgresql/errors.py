"""Translate the errors of PostgreSQL and its client into those of `lookalike.errors`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from lookalike.errors import Corrupt, DiskFull, NoGallery, StoreError
from lookalike.store.location import name_command

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["corrupt", "is_lost", "is_starting", "no_gallery", "translate"]

_STARTING = {"57P03", "53300"}  # the server starts or stops, or has too many connections just now
_LOST = {"57P01", "57P02", "57P05", "40001", "40P01", "25P03"}  # it ended the session, or chose it to give way


def is_starting(error: psycopg.Error) -> bool:
    """Whether a server answered that it cannot take a connection yet."""
    text = str(error)
    return error.sqlstate in _STARTING or "starting up" in text or "shutting down" in text or "recovery mode" in text


def is_lost(error: psycopg.Error) -> bool:
    """Whether the same statement may succeed on a new connection: the old one broke, or the server gave it up."""
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    state = error.sqlstate
    return state is None or state.startswith("08") or state in _LOST | _STARTING


def no_gallery(location: str) -> NoGallery:
    """The error for a database without a gallery of this name."""
    return NoGallery(f"there is no gallery at {location}", hint=name_command("index PHOTOS", location))


def corrupt(location: str, what: str) -> Corrupt:
    """The error for a damaged row; `what` says which."""
    return Corrupt(f"{location}: {what}", hint=f"see what is damaged: {name_command('verify', location)}")


def translate(error: psycopg.Error, location: str) -> StoreError | NoGallery:
    """The error to raise in place of one of PostgreSQL's."""
    state, text = error.sqlstate or "", _text(error)
    for prefix, make in _KINDS:
        if state.startswith(prefix):
            return make(location, text)
    if "password" in text or "authentication" in text or "pg_hba" in text:
        return _refused(location, text)
    if 'database "' in text and "does not exist" in text:
        return _no_database(location, text)
    return StoreError(
        f"{location}: {text}", hint="check that the server is running and can be reached, then run it again"
    )


def _text(error: psycopg.Error) -> str:
    """What happened, in one line; libpq names hosts and users, never passwords."""
    lines = [line.strip() for line in (error.diag.message_primary or str(error)).splitlines()]
    return next((line for line in lines if line), type(error).__name__)


def _full(location: str, text: str) -> StoreError:
    return DiskFull(f"{location}: {text}; what was saved before is safe", hint="make room on the server's disk")


def _refused(location: str, text: str) -> StoreError:
    hint = "give the password in PGPASSWORD or in ~/.pgpass, and sslmode and sslrootcert in the URL"
    return StoreError(f"{location}: {text}", hint=hint)


def _no_database(location: str, text: str) -> NoGallery:
    return NoGallery(f"{location}: {text}", hint="create the database first: createdb NAME")


def _forbidden(location: str, text: str) -> StoreError:
    return StoreError(f"{location}: {text}", hint="ask for the rights that docs/team.md lists")


def _too_slow(location: str, text: str) -> StoreError:
    return StoreError(
        f"{location}: the server did not answer in time ({text})",
        hint="run it again, or allow more with ?timeout=SECONDS in the URL",
    )


_KINDS: tuple[tuple[str, Callable[[str, str], StoreError | NoGallery]], ...] = (
    ("53100", _full),
    ("28", _refused),
    ("3D000", _no_database),
    ("42501", _forbidden),
    ("25006", _forbidden),
    ("57014", _too_slow),
    ("55P03", _too_slow),
    ("XX001", corrupt),
    ("XX002", corrupt),
)
