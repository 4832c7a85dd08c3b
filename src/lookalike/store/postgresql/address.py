"""Where a gallery in PostgreSQL is: a URL as libpq reads it, with some parameters of Lookalike's own."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from lookalike.errors import UsageError
from lookalike.store.secrets import hide_secrets, secrets_of
from lookalike.store.server.client import read_seconds

__all__ = ["Address", "read_address"]

# For libpq: it notices a dead connection within half a minute, whatever it is waiting for.
_DEFAULTS: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "client_encoding": "UTF8",
}
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,40}")


@dataclass(frozen=True, slots=True)
class Address:
    """A gallery's address.

    location: the URL, without a password. parameters: for libpq. schema: the PostgreSQL schema with the tables.
    timeout: the seconds that one statement may take. patience: the seconds that a lost server is waited for.
    """

    location: str
    parameters: dict[str, Any]
    schema: str
    timeout: float
    patience: float


def read_address(location: str) -> Address:
    """The address that a URL names: `postgresql://USER@HOST:PORT/DATABASE?gallery=NAME&timeout=60&patience=30`.

    All other parameters are libpq's. Raises UsageError for one that neither knows.
    """
    clean = hide_secrets(location)
    place, _, query = clean.partition("?")
    own, others = {}, []
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in {"gallery", "timeout", "patience"}:
            own[name] = value
        else:
            others.append((name, value))
    try:
        given = conninfo_to_dict(place + (f"?{urlencode(others, safe='/')}" if others else ""))
    except psycopg.Error as error:
        raise UsageError(f"{clean}: {str(error).strip()}", hint="postgresql://USER@HOST:PORT/DATABASE") from None
    name = f"lookalike {os.getpid()} on {socket.gethostname()}"[:63]  # which others see while this process writes
    parameters = {**_DEFAULTS, "application_name": name, **given, **secrets_of(clean)}
    return Address(
        clean, parameters, _schema(own, clean), read_seconds(own, "timeout", 60), read_seconds(own, "patience", 30)
    )


def _schema(own: dict[str, str], location: str) -> str:
    name = own.get("gallery")
    if name is not None and not _NAME.fullmatch(name):
        raise UsageError(f"{location}: {name!r} is not a name", hint="use small letters, digits and _: gallery=holiday")
    return "lookalike" if name is None else f"lookalike_{name}"
