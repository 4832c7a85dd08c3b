"""List a bucket that has keys which obstore refuses: one such key costs it the whole page of a thousand.

A key is any text, and those with a control character, or with a part that is empty, `.` or `..`, cannot be paths. They
are reported as skipped, which needs their names, and the other keys of their page must not be lost.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
import os
import re
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_plus, urlsplit

from lookalike.errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["has_leading_slashes", "is_plain", "list_keys"]

_SECONDS = 30.0  # for one page
_TRIES, _PAUSE = 6, 0.2  # of a page, and seconds after the first
_MOST = 1 << 24  # bytes of a page; a thousand keys of 1,024 bytes, each of them written as %XX, have 3 MB
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ITEM = re.compile(r"<Contents>(.*?)</Contents>", re.DOTALL)
_EMPTY = hashlib.sha256().hexdigest()


def is_plain(key: str) -> bool:
    """Whether a key is a path that obstore and a file system would take."""
    return _CONTROL.search(key) is None and not {"", ".", ".."} & set(key.split("/"))


def has_leading_slashes(bucket: str) -> bool:
    """Whether keys of a bucket begin with a slash, which obstore hides; False where only obstore has credentials."""
    if not _can_sign():
        return False
    try:
        page = _get_page(bucket, {"list-type": "2", "prefix": "/", "max-keys": "1"}, tries=2)
    except Unreachable:  # the listing itself says why
        return False
    return _ITEM.search(page) is not None


def list_keys(bucket: str, prefix: str, *, after: str = "") -> Iterator[dict[str, Any]]:
    """Yield path, size, last_modified and e_tag of every object whose key is behind `after`, markers of folders aside.

    Credentials are those of the environment. Raises Unreachable, also where there are none.
    """
    query = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
    if after:
        query["start-after"] = after
    while True:
        page = _get_page(bucket, query)
        for item in _ITEM.findall(page):
            found = _read_item(item)
            if not found["path"].endswith("/") or found["size"]:
                yield found
        token = _find(page, "NextContinuationToken")
        if not token:
            return
        query = {"list-type": "2", "encoding-type": "url", "prefix": prefix, "continuation-token": token}


def _read_item(item: str) -> dict[str, Any]:
    changed = datetime.fromisoformat(_find(item, "LastModified"))
    key = unquote_plus(_find(item, "Key"), errors="surrogateescape")
    return {"path": key, "size": int(_find(item, "Size")), "last_modified": changed, "e_tag": _find(item, "ETag")}


def _find(text: str, name: str) -> str:
    """The text of the first element of this name, or an empty one."""
    found = re.search(rf"<{name}>([^<]*)</{name}>", text)
    return importlib.import_module("html").unescape(found[1]) if found else ""


def _can_sign() -> bool:
    return _is_anonymous() or bool(os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY"))


def _is_anonymous() -> bool:
    return os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in {"1", "true"}


def _get_page(bucket: str, query: Mapping[str, str], *, tries: int = _TRIES) -> str:
    """One page of a listing, asked for again after a pause where that may help. Raises Unreachable."""
    why = ""
    for attempt in range(tries):
        request = _sign(bucket, query)
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310  (http or https: `_endpoint`)
                return str(answer.read(_MOST).decode())
        except urllib.error.HTTPError as error:
            why = f"the server answers {error.code}"
            if error.code < 500:
                break
        except (OSError, ValueError):
            why = "the server does not answer"
        time.sleep(_PAUSE * 2**attempt)
    raise Unreachable(f"s3://{bucket} cannot be listed past a key that cannot be a path: {why}")


def _sign(bucket: str, query: Mapping[str, str]) -> urllib.request.Request:
    """The request for a page with AWS Signature Version 4, or without one where AWS_SKIP_SIGNATURE says so."""
    url = _endpoint(bucket)
    now = datetime.now(UTC)
    text = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query.items()))
    headers = {"host": url.netloc, "x-amz-content-sha256": _EMPTY, "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ")}
    if token := os.environ.get("AWS_SESSION_TOKEN"):
        headers["x-amz-security-token"] = token
    if not _is_anonymous():
        headers["authorization"] = _authorize(url.path, text, headers, now)
    return urllib.request.Request(f"{url.geturl()}?{text}", headers=headers)  # noqa: S310  (http or https)


def _endpoint(bucket: str) -> Any:  # noqa: ANN401  (SplitResult)
    given = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT")
    url = urlsplit(f"{(given or f'https://s3.{_region()}.amazonaws.com').rstrip('/')}/{quote(bucket)}")
    if url.scheme not in {"http", "https"}:
        raise Unreachable(f"s3://{bucket}: the address of its server is neither http nor https")
    return url


def _region() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def _authorize(path: str, query: str, headers: Mapping[str, str], now: datetime) -> str:
    key, secret = (os.environ.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    if not key or not secret:
        raise Unreachable(
            "a key in the bucket cannot be a path, and listing the others needs credentials in the environment",
            hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or rename the key",
        )
    day, scope = now.strftime("%Y%m%d"), f"{now:%Y%m%d}/{_region()}/s3/aws4_request"
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = hashlib.sha256(f"GET\n{path}\n{query}\n{lines}\n{names}\n{_EMPTY}".encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{canonical}"
    signing = f"AWS4{secret}".encode()
    for part in (day, _region(), "s3", "aws4_request", to_sign):
        signing = hmac.digest(signing, part.encode(), "sha256")
    return f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, Signature={signing.hex()}"
