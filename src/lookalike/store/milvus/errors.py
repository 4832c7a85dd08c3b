"""Translate the errors of Milvus and its client into those of `lookalike.errors`."""

from __future__ import annotations

import re

import grpc
from pymilvus.exceptions import MilvusException

from lookalike.errors import Corrupt, DiskFull, NoGallery, StoreError
from lookalike.store.location import name_command

__all__ = ["FAILURES", "corrupt", "is_lost", "is_missing", "is_there", "no_gallery", "translate"]

FAILURES = (MilvusException, grpc.RpcError)
_MISSING, _ALIAS_EXISTS = 100, 1602
_AWAY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.ABORTED}
_SLOW = {grpc.StatusCode.DEADLINE_EXCEEDED}
# What a server says while it starts, stops, is too busy, or moves a collection from one node to another.
_PASSING = re.compile(
    r"fail connecting|server unavailable|not ready|not healthy|channel not available|no available|node offline|"
    r"not fully loaded|not loaded|node not found|not found in delegator|channel not found|no shard leader|"
    r"rate limit|queue is full|StatusCode\.UNAVAILABLE|connection refused|context canceled|not serving|unsubscribed|"
    r"mismatch|lag|etcdserver|retry run out",
    re.IGNORECASE,
)


def is_missing(error: Exception) -> bool:
    """Whether an error says that a collection or alias is not there."""
    return isinstance(error, MilvusException) and (
        error.code == _MISSING or "can't find collection" in str(error) or "collection not found" in str(error)
    )


def is_there(error: Exception) -> bool:
    """Whether an error says that an alias is taken."""
    return isinstance(error, MilvusException) and (error.code == _ALIAS_EXISTS or "alias already exist" in str(error))


def is_lost(error: Exception) -> bool:
    """Whether the same request may succeed a little later."""
    if is_missing(error) or is_there(error) or _is_slow(error) or _refusal(error):
        return False
    if isinstance(error, grpc.RpcError):
        return _code(error) in _AWAY
    return _code(error) in _AWAY or bool(_PASSING.search(str(error)))


def no_gallery(location: str) -> NoGallery:
    """The error for a server without a gallery of this name."""
    return NoGallery(f"there is no gallery at {location}", hint=name_command("index PHOTOS", location))


def corrupt(location: str, what: str) -> Corrupt:
    """The error for a damaged row; `what` says which."""
    return Corrupt(f"{location}: {what}", hint=f"see what is damaged: {name_command('verify', location)}")


def translate(error: Exception, location: str) -> StoreError:
    """The error to raise in place of one of Milvus's."""
    if refused := _refusal(error):
        hint = "give the right user in the URL and the password in MILVUS_PASSWORD, or a token in MILVUS_TOKEN"
        return StoreError(f"{location}: the server refuses this user and password ({_text(refused)})", hint=hint)
    text = _text(error)
    if _is_slow(error):
        return StoreError(
            f"{location}: the server did not answer in time ({text})",
            hint="run it again, or allow more with ?timeout=SECONDS in the URL",
        )
    if "permission" in text.lower() or "privilege" in text.lower():
        return StoreError(f"{location}: {text}", hint="use a user with the rights that docs/team.md lists")
    if "disk" in text.lower() and ("quota" in text.lower() or "exhausted" in text.lower()):
        return DiskFull(f"{location}: {text}; what was saved before is safe", hint="make room on the server's disk")
    return StoreError(
        f"{location}: {text}", hint="check that the server is running and can be reached, then run it again"
    )


def _refusal(error: BaseException) -> BaseException | None:
    """What the server says to a wrong password, which the client turns into "Fail connecting"; None otherwise."""
    for one in (error, error.__context__):
        is_refusal = isinstance(one, grpc.RpcError) and _code(one) is grpc.StatusCode.UNAUTHENTICATED
        if is_refusal:
            return one
    return None


def _code(error: BaseException) -> object:
    code = getattr(error, "code", None)
    return code() if callable(code) else code


def _is_slow(error: Exception) -> bool:
    return _code(error) in _SLOW or "DEADLINE_EXCEEDED" in str(error) or "deadline exceeded" in str(error).lower()


def _text(error: BaseException) -> str:
    """What happened, in one line. The client names hosts, never passwords."""
    details = getattr(error, "details", None)
    text = details() if callable(details) else getattr(error, "message", None) or str(error)
    return " ".join(str(text or type(error).__name__).split())[:300]
