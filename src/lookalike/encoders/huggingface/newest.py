"""Ask the Hugging Face hub for the newest commit of a model: one request, whose answer is checked in every part."""

from __future__ import annotations

import json
import os
import re
import time
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from lookalike.errors import FetchFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from http.client import HTTPResponse

__all__ = ["ask_newest"]

_HUB = "https://huggingface.co"
_SECONDS = 15.0  # for the whole answer
_BYTES = 16 << 20  # of the answer, which lists every file of the model
_CHUNK = 1 << 16
_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
_MISSING = {401, 403, 404}  # the hub does not say of a private model that it exists


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:  # noqa: ANN401  (urllib's signature)
        """Follow nothing: a model that was renamed, or an answer from elsewhere, is the user's to decide on."""


def ask_newest(repository: str, on_message: Callable[[str], None]) -> str:
    """Return the 40 digits of the newest commit of OWNER/NAME. Raises FetchFailed.

    The hub is at HF_ENDPOINT, as for huggingface_hub, whose token for private models is sent along.
    """
    url = f"{os.environ.get('HF_ENDPOINT') or _HUB}".rstrip("/") + f"/api/models/{repository}"
    on_message(f"asking {url}")
    try:
        fields = json.loads(_get(url))
    except HTTPError as error:
        with error:  # it holds the connection
            raise _refused(repository, url, error) from None
    except (URLError, HTTPException, OSError) as error:
        raise _failed(repository, _reason(url, error)) from None
    except ValueError:
        raise _failed(repository, f"the answer from {url} is not JSON") from None
    commit = fields.get("sha") if isinstance(fields, dict) else None
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise _failed(repository, f"the answer from {url} names no commit")
    return commit


def _get(url: str) -> bytes:
    from huggingface_hub import get_token  # noqa: PLC0415  (an extra, 0.4 s)
    from huggingface_hub.constants import HF_HUB_OFFLINE  # noqa: PLC0415

    if HF_HUB_OFFLINE:
        raise OSError("HF_HUB_OFFLINE is set")
    deadline = time.monotonic() + _SECONDS
    request = Request(url, headers={"User-Agent": "lookalike"})  # noqa: S310  (the hub's address)
    if token := get_token():
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    with build_opener(_NoRedirect).open(request, timeout=_SECONDS) as response:
        return _read(response, deadline)


def _read(response: HTTPResponse, deadline: float) -> bytes:
    """The whole answer. Raises TimeoutError, and HTTPException for one that is cut off or too long."""
    content = b""
    while chunk := response.read1(_CHUNK):
        content += chunk
        if time.monotonic() > deadline:
            raise TimeoutError
        if len(content) > _BYTES:
            raise HTTPException(f"it has more than {_BYTES >> 20} MiB")
    announced = response.headers["Content-Length"]
    if announced is not None and int(announced) != len(content):
        raise HTTPException(f"it was cut off after {len(content):,} of {int(announced):,} bytes")
    return content


def _refused(repository: str, url: str, error: HTTPError) -> FetchFailed:
    if error.code in _MISSING:
        return FetchFailed(f"the hub has no public model hf:{repository}", hint=f"see {_HUB}/{repository}")
    if 300 <= error.code < 400:
        place = error.headers["Location"] or "nowhere"
        return _failed(repository, f"{url} is redirected to {place}: the model may have another name now")
    return _failed(repository, f"{url} answered {error.code} {error.reason}")


def _failed(repository: str, reason: str) -> FetchFailed:
    hint = f"or name the commit yourself, as {_HUB}/{repository}/commits has it: hf:{repository}@COMMIT"
    return FetchFailed(f"the newest commit of hf:{repository} cannot be found: {reason}", hint=hint)


def _reason(url: str, error: Exception) -> str:
    if isinstance(error, HTTPException):
        return f"the answer from {url} is not whole: {error}"
    if isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError):
        return f"{url} did not answer within {_SECONDS:g} s"
    return f"{url} cannot be reached: {getattr(error, 'reason', error)}"
