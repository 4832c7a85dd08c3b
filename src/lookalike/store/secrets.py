"""Passwords in the URLs of galleries: kept apart from the URLs, so that no message, log or hint can contain one."""

from __future__ import annotations

import re

from lookalike.errors import UsageError

__all__ = ["hide_secrets", "secrets_of"]

_NAMES = ("password", "sslpassword", "token")
_USER = re.compile(r"([a-z][a-z0-9+.-]*://)([^/?#:@]*):([^/?#]*)@")
_ODD = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@]*:(?!\d*(?:[/?#,]|$))[^@]*[/?#].*@")

_known: dict[str, dict[str, str]] = {}


def hide_secrets(location: str) -> str:
    """The URL without its passwords, which this process remembers; without any, those given before still count.

    Raises UsageError for a password that makes the URL ambiguous.
    """
    if "://" not in location:
        return location
    if _ODD.match(location):
        raise UsageError(
            "the password in the URL has characters that a URL cannot contain",
            hint="write / as %2F, ? as %3F and # as %23, or leave it to PGPASSWORD or ~/.pgpass",
        )
    clean, secrets = _take_from_user(location)
    clean, others = _take_from_parameters(clean)
    if secrets | others:
        _known[clean] = secrets | others
    return clean


def secrets_of(location: str) -> dict[str, str]:
    """The passwords that `hide_secrets` took from this URL, by the names of their parameters."""
    return dict(_known.get(location, {}))


def _take_from_user(location: str) -> tuple[str, dict[str, str]]:
    found = _USER.match(location)
    if found is None:
        return location, {}
    from urllib.parse import unquote  # noqa: PLC0415  (8 ms, and only for URLs)

    scheme, user, password = found.groups()
    return f"{scheme}{user}@{location[found.end() :]}", {"password": unquote(password)}


def _take_from_parameters(location: str) -> tuple[str, dict[str, str]]:
    address, mark, query = location.partition("?")
    if not mark:
        return location, {}
    from urllib.parse import parse_qsl, urlencode  # noqa: PLC0415  (as above)

    pairs = parse_qsl(query, keep_blank_values=True)
    secrets = {name: value for name, value in pairs if name in _NAMES}
    if not secrets:
        return location, {}
    rest = urlencode([pair for pair in pairs if pair[0] not in _NAMES], safe="/")
    return (f"{address}?{rest}" if rest else address), secrets
