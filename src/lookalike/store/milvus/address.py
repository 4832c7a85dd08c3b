"""Where a gallery in Milvus is: `milvus://USER@HOST:PORT/NAME`, with limits on time and TLS as parameters."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from lookalike.errors import UsageError
from lookalike.store.secrets import hide_secrets, secrets_of
from lookalike.store.server.client import read_seconds

__all__ = ["Address", "read_address"]

_PORT = 19530
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,80}")
_KNOWN = {"timeout", "patience", "database", "tls", "ca", "certificate", "key", "server_name"}
_FILES = {"ca": "ca_pem_path", "certificate": "client_pem_path", "key": "client_key_path", "server_name": "server_name"}


@dataclass(frozen=True, slots=True)
class Address:
    """A gallery's address.

    location: the URL, without a password. parameters: for pymilvus. name: what the gallery's collections begin with.
    timeout: the seconds that one request may take. patience: the seconds that a lost server is waited for.
    """

    location: str
    parameters: dict[str, Any]
    name: str
    timeout: float
    patience: float


def read_address(location: str) -> Address:
    """The address that a URL names: `milvus://USER@HOST:PORT/NAME?timeout=60&patience=30&database=default&tls=true`.

    Raises UsageError for a parameter, a port or a name that cannot be.
    """
    clean = hide_secrets(location)
    parts = urlsplit(clean)
    asked = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(asked.keys() - _KNOWN):
        raise UsageError(f"{clean}: unknown parameter {unknown[0]!r}", hint=f"known: {', '.join(sorted(_KNOWN))}")
    name = parts.path.strip("/")
    if name and not _NAME.fullmatch(name):
        raise UsageError(f"{clean}: {name!r} is not a name", hint="use small letters, digits and _: /holiday")
    parameters = _read_parameters(clean, parts.username, asked)
    seconds = [read_seconds(asked, word, default) for word, default in (("timeout", 60.0), ("patience", 30.0))]
    return Address(clean, parameters, f"lookalike_{name}" if name else "lookalike", *seconds)


def _read_parameters(clean: str, user: str | None, asked: dict[str, str]) -> dict[str, Any]:
    parts, secrets = urlsplit(clean), secrets_of(clean)
    try:
        port = parts.port or _PORT
    except ValueError:
        raise UsageError(f"{clean}: the port is not a number", hint="milvus://HOST:19530/NAME") from None
    is_secure = asked.get("tls", "false") == "true" or bool(asked.keys() & _FILES.keys())
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or "127.0.0.1"
    found: dict[str, Any] = {"uri": f"{'https' if is_secure else 'http'}://{host}:{port}"}
    if user:
        password = secrets.get("password", os.environ.get("MILVUS_PASSWORD", ""))
        found |= {"user": unquote(user), "password": password}
    if token := secrets.get("token", os.environ.get("MILVUS_TOKEN", "")):
        found["token"] = token
    if "database" in asked:
        found["db_name"] = asked["database"]
    found |= {"secure": True} if is_secure else {}
    return found | {_FILES[word]: asked[word] for word in _FILES if word in asked}
