"""Models by a name on the Hugging Face hub, `hf:OWNER/NAME@COMMIT`: fetched once, when they are asked for.

Only `fetch` uses a network. What it has fetched lies in the user's cache folder, with the SHA-256 of each file beside
it, and is looked for nowhere else from then on; a folder that was put there by hand is as good. A branch or a tag can
be moved to other files, and two galleries would be made by two encoders of one name; a commit cannot.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import platformdirs

from lookalike.encoders import CARD, MODEL, TEXT, TOKENIZER
from lookalike.encoders.huggingface.exported import CONFIG, MODELS, PICTURES, adopt, text_of
from lookalike.encoders.untrusted import JSON_BYTES, MOST_BYTES
from lookalike.errors import EncoderError, FetchFailed, LookalikeError, MissingExtra, UnknownEncoder
from lookalike.files import stage_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from huggingface_hub import HfFileMetadata

    Told = Callable[[str], None]
    """Called with each address before it is asked for a file, and how large that is."""

__all__ = ["fetch", "fetched", "place_of"]

_FILES = {MODEL: True, CARD: True, TEXT: False, TOKENIZER: False}  # whether a model is none without it
_NAME = re.compile(r"hf:([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)@([0-9a-f]{40})", re.ASCII)
_SUMS = "sha256.json"
_PAGE = "https://huggingface.co"


class _Named(NamedTuple):
    """The parts of a name: `OWNER/NAME` and 40 digits of a commit."""

    repository: str
    commit: str

    @classmethod
    def read(cls, name: str) -> _Named:
        match = _NAME.fullmatch(name)
        if match is None:
            hint = "hf:OWNER/NAME@COMMIT with the 40 digits of a commit, as the model's page has them under History"
            raise UnknownEncoder(f"{name!r} is no model of the hub", hint=hint)
        return cls(*match.groups())


def place_of(name: str) -> Path:
    """The folder where a model of this name is kept, whether it is there or not. Raises UnknownEncoder."""
    repository, commit = _Named.read(name)
    return Path(platformdirs.user_cache_dir("lookalike")) / "models" / repository / commit


def fetched(name: str) -> Path:
    """The folder of a model that was fetched, or put there by hand; no network is used.

    Raises UnknownEncoder if it is not there, EncoderError if a file is not what it was when it came.
    """
    place = place_of(name)
    if not (place / MODEL).is_file():
        raise UnknownEncoder(f"{name} has not been fetched", hint=f"lookalike encoders fetch {name}")
    sums = _sums(place)
    try:
        known = json.loads((place / _SUMS).read_text(encoding="utf-8"))
    except FileNotFoundError:  # put there by hand
        with contextlib.suppress(OSError):
            _note(place)
        return place
    except (OSError, ValueError):
        known = None
    if known != sums:
        raise EncoderError(f"the files in {place} are not those that were fetched", hint=f"remove {place}")
    return place


def fetch(name: str, told: Told, *, bars: bool = False) -> Path:
    """The folder of a model, fetched from the hub unless it is there already.

    bars: whether huggingface_hub may draw bars on stderr. Raises UnknownEncoder, MissingExtra, EncoderError;
    FetchFailed without a network, and for what the hub does not have or gives otherwise than it announced.
    """
    place = place_of(name)
    if (place / MODEL).is_file():
        return fetched(name)
    if importlib.util.find_spec("huggingface_hub") is None:
        raise MissingExtra(f"fetching {name} needs huggingface_hub", hint='pip install "lookalike[hub]"')
    try:
        with stage_folder(place) as staging:
            _download(name, staging, told, bars=bars)
            shutil.rmtree(staging / ".cache", ignore_errors=True)  # huggingface_hub's own notes
            _note(staging)
            _put(staging, place)
    except OSError as error:
        raise FetchFailed(f"{place} cannot be written: {error.strerror}") from error
    return fetched(name)


def _note(folder: Path) -> None:
    """Write beside a model's files what their SHA-256 is."""
    (folder / _SUMS).write_text(json.dumps(_sums(folder), indent=2) + "\n", encoding="utf-8")


def _put(staging: Path, place: Path) -> None:
    try:
        os.rename(staging, place)
    except OSError:
        if not (place / MODEL).is_file():  # else somebody was first
            raise


def _download(name: str, folder: Path, told: Told, *, bars: bool) -> None:
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]  # noqa: PLC0415

    if not bars:
        disable_progress_bars()
    if not _fetch_file(name, MODEL, folder, told):
        _download_export(name, folder, told)
        return
    for file, is_needed in _FILES.items():
        if file != MODEL and not _fetch_file(name, file, folder, told) and is_needed:
            raise _lacks(name, file)


def _download_export(name: str, folder: Path, told: Told) -> None:
    """Fill a folder with what is made from another tool's export."""
    export = folder / "export"
    model = next((file for file in MODELS if _fetch_file(name, file, export, told)), None)
    if model is None:
        raise _lacks(name, f"{MODEL}, and none of {', '.join(MODELS)}")
    needed = [PICTURES]
    if text_of(model) and _fetch_file(name, text_of(model), export, told):
        needed.append(TOKENIZER)
    for file in needed:
        if not _fetch_file(name, file, export, told):
            raise _lacks(name, file)
    _fetch_file(name, CONFIG, export, told)
    adopt(export, folder, _Named.read(name).repository.partition("/")[2], put=shutil.move)
    shutil.rmtree(export)


def _lacks(name: str, file: str) -> FetchFailed:
    return FetchFailed(f"{name} has no {file}", hint=f"see {_page(name)}")


def _fetch_file(name: str, file: str, folder: Path, told: Told) -> bool:
    """Fetch a file of a model into a folder; whether there is such a file. Raises FetchFailed."""
    from huggingface_hub.errors import (  # noqa: PLC0415  (an extra, 0.4 s)
        EntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        _download_file(_Named.read(name), file, folder, told)
    except LookalikeError:
        raise
    except EntryNotFoundError:
        return False
    except (RepositoryNotFoundError, RevisionNotFoundError):
        raise FetchFailed(f"the hub has no {name}, or not for everybody", hint=f"see {_page(name)}") from None
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise FetchFailed(f"{name} cannot be fetched: {reason}", hint=_by_hand(name)) from error
    return True


def _download_file(named: _Named, file: str, folder: Path, told: Told) -> None:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url  # noqa: PLC0415

    url, most = hf_hub_url(named.repository, file, revision=named.commit), _most_bytes(file)
    metadata = get_hf_file_metadata(url)
    if metadata.commit_hash != named.commit:
        raise FetchFailed(f"{url} is of the commit {metadata.commit_hash}")
    if metadata.size is None or metadata.size > most:
        raise FetchFailed(f"{url} has {metadata.size} bytes; at most {most} are taken")
    told(f"fetching {url} ({metadata.size:,} bytes)")
    hf_hub_download(named.repository, file, revision=named.commit, local_dir=folder)
    if not _is_announced(folder / file, metadata):
        raise FetchFailed(f"what came from {url} is not what was announced")


def _most_bytes(file: str) -> int:
    return MOST_BYTES.get(file, MOST_BYTES[MODEL] if file.endswith(".onnx") else JSON_BYTES)


def _is_announced(path: Path, metadata: HfFileMetadata) -> bool:
    """Whether a file has the size and the digest of its announcement: SHA-256 of a large one, git's own of others."""
    content = path.read_bytes()
    blob = f"blob {len(content)}\0".encode() + content
    digests = {hashlib.sha256(content).hexdigest(), hashlib.sha1(blob, usedforsecurity=False).hexdigest()}
    return len(content) == metadata.size and metadata.etag in digests


def _sums(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of a model that is in a folder. Raises EncoderError."""
    try:
        there = [file for file in _FILES if (folder / file).is_file()]
        return {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in there}
    except OSError as error:
        raise EncoderError(f"{folder} cannot be read: {error.strerror}") from None


def _page(name: str) -> str:
    repository, commit = _Named.read(name)
    return f"{_PAGE}/{repository}/tree/{commit}"


def _by_hand(name: str) -> str:
    """How a model comes here without a network."""
    return f"put {', '.join(_FILES)} (the last two if there are any) of {_page(name)} into {place_of(name)}"
