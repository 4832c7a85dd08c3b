"""The checks that every request passes before anything else sees it, and the headers that every answer carries.

A page of another site that a browser has open may send requests here, and a name of its own may lead here (DNS
rebinding). So the Host must be a name of this server, even for GET; a request that changes anything must come from the
server's own page or from a program; and its pages may not run in a frame or load anything from elsewhere. There are no
cookies, and no other site is allowed to read answers (CORS).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import re
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from lookalike.web.problems import Problem
from lookalike.web.settings import MOST_BYTES, is_loopback

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from lookalike.web.settings import Settings

    Answer = Callable[[Scope, Problem], ASGIApp]

__all__ = ["Safety", "is_local"]

_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_ALWAYS = {
    b"content-security-policy": _POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(self), geolocation=(), microphone=()",
}
_NOT_KEPT = ((b"cache-control", b"no-cache"),)
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z._-]+)(:[0-9]{1,5})?", re.ASCII)
_BY_PROXIES = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
_SAFE = {"GET", "HEAD", "OPTIONS"}
_LONGEST_URL = 8192
_MOST_HEADERS, _HEADER_BYTES = 100, 16 << 10


class Safety:
    """The outermost application. answer: makes the answer that tells a client of a problem."""

    def __init__(self, app: ASGIApp, settings: Settings, answer: Answer) -> None:
        self._app, self._settings, self._answer = app, settings, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request and let it through, or answer why not."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        limited = _Limited(receive)
        carry = _carrying(send)
        try:
            self._check(scope, headers)
            await self._app(scope, limited, carry)
        except Problem as problem:
            await self._answer(scope, problem)(scope, receive, carry)

    def _check(self, scope: Scope, headers: Headers) -> None:
        host = _read_host(headers.getlist("host"))
        if not self._is_ours(host):
            raise Problem(400, "wrong_host", "this server does not answer to this host name")
        if len(scope.get("raw_path", b"")) + len(scope["query_string"]) > _LONGEST_URL:
            raise Problem(414, "long_url", f"the address is longer than {_LONGEST_URL:,} bytes")
        if (
            len(headers.raw) > _MOST_HEADERS
            or sum(map(len, (part for pair in headers.raw for part in pair))) > _HEADER_BYTES
        ):
            raise Problem(431, "long_headers", "the headers are too many or too long")
        if self._settings.token and not _knows(headers.get("authorization", ""), self._settings.token):
            ask = {"www-authenticate": 'Basic realm="Lookalike", charset="UTF-8"'}
            raise Problem(401, "unauthorized", "this server needs its token", headers=ask)
        if scope["method"] not in _SAFE:
            _check_origin(headers, scope["scheme"])
        _check_length(headers.getlist("content-length"))

    def _is_ours(self, host: str) -> bool:
        """Whether a Host is a name of this server. An address cannot be the name of another site."""
        if is_loopback(host) or host in self._settings.hosts:
            return True
        return not is_loopback(self._settings.host) and (host == self._settings.host or _is_address(host))


def is_local(scope: Scope) -> bool:
    """Whether a request comes from this machine, and not by way of a proxy: for a public name, or one that says so."""
    client, headers = scope.get("client"), Headers(scope=scope)
    if any(name in headers for name in _BY_PROXIES):
        return False
    return client is not None and is_loopback(client[0]) and is_loopback(_read_host(headers.getlist("host")))


def _read_host(values: list[str]) -> str:
    """The name or address in a Host header, in lower case without its port and brackets; "" for anything else."""
    found = _HOST.fullmatch(values[0]) if len(values) == 1 else None
    return found[1].strip("[]").lower().removesuffix(".") if found else ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _knows(authorization: str, token: str) -> bool:
    """Whether a client has sent the token: as a bearer, or as the password that a browser asks for."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(value.strip().encode(), token.encode())


def _check_origin(headers: Headers, scheme: str) -> None:
    """Raise Problem for a request that a page of another site has made; programs send neither header."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        is_own = site in {"same-origin", "none"}
    else:
        # A proxy speaks HTTPS with the browser and HTTP with this server; no page of a browser can add its header.
        outside = "https" if headers.get("x-forwarded-proto") == "https" else scheme
        is_own = origin is None or origin == f"{outside}://{headers.get('host')}"
    if not is_own:
        raise Problem(403, "other_site", "only Lookalike's own page and programs may do this")


def _check_length(values: list[str]) -> None:
    if values and values[0].isascii() and values[0].isdigit() and int(values[0][:20]) > MOST_BYTES:
        raise _too_large()


def _too_large() -> Problem:
    return Problem(
        413,
        "too_large",
        f"a picture may have at most {MOST_BYTES >> 20} MiB, and this one is larger",
        headers={"connection": "close"},
    )


class _Limited:
    """What a client sends, up to the limit."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._count = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._count += len(message.get("body", b""))
        if self._count > MOST_BYTES:
            raise _too_large()
        return message


def _carrying(send: Send) -> Callable[[Message], Awaitable[None]]:
    """Send answers with the headers that all of them have."""

    async def carry(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [pair for pair in message["headers"] if pair[0] not in _ALWAYS]
            is_kept = any(name == b"cache-control" for name, _ in own)
            message["headers"] = [*own, *_ALWAYS.items(), *(() if is_kept else _NOT_KEPT)]
        await send(message)

    return carry
