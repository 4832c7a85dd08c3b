"""Problems as clients see them: one shape of answer, with words that reveal nothing to other users.

    {"error": {"code": "unreadable_image", "message": "damaged", "hint": "", "id": "5f2c..."}}

hint and id are there only if there is something to say: the id is also in the server's log.
"""

from __future__ import annotations

import logging
import secrets
from typing import Any

from lookalike import errors
from lookalike.errors import LookalikeError

__all__ = ["Problem", "to_problem"]

_log = logging.getLogger(__name__)

_KINDS: tuple[tuple[type[Exception], int, str], ...] = (
    (errors.UnreadableImage, 422, "unreadable_image"),
    (errors.NoTextEncoder, 422, "no_words"),
    (errors.UnknownWord, 422, "unknown_word"),
    (errors.EncoderMismatch, 503, "collection_unavailable"),
    (errors.UsageError, 422, "invalid_request"),
    (errors.StoreBusy, 503, "busy"),
    (errors.Corrupt, 503, "collection_damaged"),
    (errors.StoreError, 503, "collection_unavailable"),
    (errors.EncoderError, 503, "encoder_unavailable"),
)


class Problem(Exception):
    """An answer that says what is wrong. status: of HTTP."""

    def __init__(
        self, status: int, code: str, message: str, *, hint: str = "", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.hint = status, code, message, hint
        self.id = ""
        self.headers = headers or {}

    def to_dict(self) -> dict[str, Any]:
        """The document of an answer."""
        fields = {"code": self.code, "message": self.message, "hint": self.hint, "id": self.id}
        return {"error": {name: value for name, value in fields.items() if value or name in {"code", "message"}}}


def to_problem(error: Exception, *, is_local: bool) -> Problem:
    """What to answer after an error. is_local: whether the client is on this machine and may see paths."""
    if isinstance(error, Problem):
        return error
    for kind, status, code in _KINDS:
        if isinstance(error, kind):
            return _known(error, status, code, is_local=is_local)
    return _unexpected(error)


def _known(error: Exception, status: int, code: str, *, is_local: bool) -> Problem:
    hint = error.hint if isinstance(error, LookalikeError) else ""
    if is_local:
        return Problem(status, code, str(error), hint=hint)
    if status < 500 and "/" not in str(error):
        return Problem(status, code, str(error))
    problem = Problem(
        status, code, "the request cannot be answered" if status < 500 else "the collection cannot be read"
    )
    return _logged(problem, error)


def _unexpected(error: Exception) -> Problem:
    problem = _logged(Problem(500, "internal", "something went wrong"), error)
    _log.error("request %s failed", problem.id, exc_info=error)
    return problem


def _logged(problem: Problem, error: Exception) -> Problem:
    problem.id = secrets.token_hex(6)
    _log.warning("request %s: %s", problem.id, error)
    return problem
