"""Models by their name on the Hugging Face hub, `hf:OWNER/NAME@COMMIT`: fetched once, on request.

Only `fetch` and `pin` use a network. The files that were fetched stay in the user's cache folder, with the SHA-256 of
each, and every later use reads them there; a folder that was put there by hand works as well. An encoder has a name
with a commit, because a branch or a tag can move to other files, and two galleries could have two encoders with the
same name; `pin` asks the hub for the newest one (`newest`).
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
from lookalike.encoders.huggingface.exported import CONFIG, MODELS, PICTURES, adopt, find_text_model
from lookalike.encoders.huggingface.inline import has_data, name_data
from lookalike.encoders.huggingface.newest import ask_newest
from lookalike.encoders.untrusted import JSON_BYTES, MODEL_BYTES, MOST_BYTES
from lookalike.errors import EncoderError, FetchFailed, LookalikeError, MissingExtra, UnknownEncoder, how_to_install
from lookalike.files import stage_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from huggingface_hub import HfFileMetadata

    OnMessage = Callable[[str], None]
    """Called before each file is fetched, with its address and its size."""

__all__ = ["cache_folder", "fetch", "find_model", "pin"]

_FILES = {MODEL: True, CARD: True, TEXT: False, TOKENIZER: False}  # whether every model has it
_NAME = re.compile(r"hf:([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([0-9a-f]{40}))?", re.ASCII)
_SUMS = "sha256.json"
_PAGE = "https://huggingface.co"


class _Named(NamedTuple):
    """The parts of a name: `OWNER/NAME` and 40 digits of a commit."""

    repository: str
    commit: str

    @classmethod
    def read(cls, name: str) -> _Named:
        repository, commit = _split(name)
        if not commit:
            hint = f"lookalike encoders fetch {name}, which prints the name with the newest commit"
            raise UnknownEncoder(f"{name} is not the name of one encoder: it has no commit", hint=hint)
        return cls(repository, commit)


def _split(name: str) -> tuple[str, str]:
    """The repository of a name and its commit, which may be empty. Raises UnknownEncoder."""
    match = _NAME.fullmatch(name)
    if match is None:
        hint = "hf:OWNER/NAME, or hf:OWNER/NAME@COMMIT with the 40 digits that the model's page has under History"
        raise UnknownEncoder(f"{name!r} is not the name of a model on the hub", hint=hint)
    return match[1], match[2] or ""


def pin(name: str, on_message: OnMessage) -> str:
    """Return the name with a commit: its own, or the newest, for which the hub is asked.

    Raises UnknownEncoder, MissingExtra, FetchFailed.
    """
    repository, commit = _split(name)
    if commit:
        return name
    _require_hub(name)
    pinned = f"hf:{repository}@{ask_newest(repository, on_message)}"
    on_message(f"the newest commit is {pinned}")
    return pinned


def cache_folder(name: str) -> Path:
    """Return the folder for a model of this name, which need not exist yet. Raises UnknownEncoder."""
    repository, commit = _Named.read(name)
    return Path(platformdirs.user_cache_dir("lookalike")) / "models" / repository / commit


def find_model(name: str) -> Path:
    """Return the folder of a model that was fetched, or put there by hand; uses no network.

    Raises UnknownEncoder if it is not there, EncoderError if a file has changed since it was fetched.
    """
    folder = cache_folder(name)
    if not (folder / MODEL).is_file():
        raise UnknownEncoder(f"{name} has not been fetched", hint=f"lookalike encoders fetch {name}")
    sums = _sums(folder)
    try:
        known = json.loads((folder / _SUMS).read_text(encoding="utf-8"))
    except FileNotFoundError:  # put there by hand
        with contextlib.suppress(OSError):
            _note(folder)
        return folder
    except (OSError, ValueError):
        known = None
    if known != sums:
        raise EncoderError(
            f"the files in {folder} have changed since they were fetched",
            hint=f"remove {folder} and fetch the model again",
        )
    return folder


def fetch(name: str, on_message: OnMessage, *, bars: bool = False) -> Path:
    """Fetch a model from the hub unless it is there already; returns its folder.

    bars: whether huggingface_hub may draw progress bars on stderr. Raises UnknownEncoder, MissingExtra, EncoderError;
    FetchFailed without a network, and for files that the hub does not have or that differ from their announcement.
    """
    folder = cache_folder(name)
    if (folder / MODEL).is_file():
        return find_model(name)
    _require_hub(name)
    try:
        with stage_folder(folder) as staging:
            _download(name, staging, on_message, bars=bars)
            shutil.rmtree(staging / ".cache", ignore_errors=True)  # huggingface_hub's own notes
            _note(staging)
            _put(staging, folder)
    except OSError as error:
        raise FetchFailed(f"{folder} cannot be written: {error.strerror}") from error
    return find_model(name)


def _require_hub(name: str) -> None:
    if importlib.util.find_spec("huggingface_hub") is None:
        raise MissingExtra(f"fetching {name} needs the package huggingface_hub", hint=how_to_install("lookalike[hub]"))


def _note(folder: Path) -> None:
    """Write the SHA-256 of each file of a model into its folder."""
    (folder / _SUMS).write_text(json.dumps(_sums(folder), indent=2) + "\n", encoding="utf-8")


def _put(staging: Path, folder: Path) -> None:
    try:
        os.rename(staging, folder)
    except OSError:
        if not (folder / MODEL).is_file():  # otherwise another process was first
            raise


def _download(name: str, folder: Path, on_message: OnMessage, *, bars: bool) -> None:
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]  # noqa: PLC0415

    if not bars:
        disable_progress_bars()
    if not _fetch_file(name, MODEL, folder, on_message):
        _download_export(name, folder, on_message)
        return
    for file, is_needed in _FILES.items():
        if file != MODEL and not _fetch_file(name, file, folder, on_message) and is_needed:
            raise _missing(name, file)


def _download_export(name: str, folder: Path, on_message: OnMessage) -> None:
    """Fetch another tool's export and convert it in a folder."""
    export = folder / "export"
    model = next((file for file in MODELS if _fetch_file(name, file, export, on_message)), None)
    if model is None:
        raise _missing(name, f"{MODEL}, and none of {', '.join(MODELS)}")
    needed = [PICTURES]
    if find_text_model(model) and _fetch_file(name, find_text_model(model), export, on_message):
        needed.append(TOKENIZER)
    needed += [name_data(file) for file in (model, find_text_model(model)) if _is_split(export / file)]
    for file in needed:
        if not _fetch_file(name, file, export, on_message):
            raise _missing(name, file)
    _fetch_file(name, CONFIG, export, on_message)
    adopt(export, folder, _Named.read(name).repository.partition("/")[2], put=shutil.move)
    shutil.rmtree(export)


def _is_split(path: Path) -> bool:
    return path.is_file() and has_data(path)


def _missing(name: str, file: str) -> FetchFailed:
    return FetchFailed(f"{name} has no {file}", hint=f"see {_page(name)}")


def _fetch_file(name: str, file: str, folder: Path, on_message: OnMessage) -> bool:
    """Fetch a file of a model into a folder; returns whether it exists. Raises FetchFailed."""
    from huggingface_hub.errors import (  # noqa: PLC0415  (an extra, 0.4 s)
        EntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        _download_file(_Named.read(name), file, folder, on_message)
    except LookalikeError:
        raise
    except EntryNotFoundError:
        return False
    except (RepositoryNotFoundError, RevisionNotFoundError):
        raise FetchFailed(f"the hub has no public model {name}", hint=f"see {_page(name)}") from None
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise FetchFailed(f"{name} cannot be fetched: {reason}", hint=_by_hand(name)) from error
    return True


def _download_file(named: _Named, file: str, folder: Path, on_message: OnMessage) -> None:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url  # noqa: PLC0415

    url, most = hf_hub_url(named.repository, file, revision=named.commit), _most_bytes(file)
    metadata = get_hf_file_metadata(url)
    if metadata.commit_hash != named.commit:
        raise FetchFailed(f"{url} is at the commit {metadata.commit_hash}")
    if metadata.size is None or metadata.size > most:
        raise FetchFailed(f"{url} has {metadata.size} bytes; at most {most} are accepted")
    on_message(f"fetching {url} ({metadata.size:,} bytes)")
    hf_hub_download(named.repository, file, revision=named.commit, local_dir=folder)
    if not _is_announced(folder / file, metadata):
        raise FetchFailed(f"the file from {url} is not the one that was announced")


def _most_bytes(file: str) -> int:
    return MOST_BYTES.get(file, MODEL_BYTES if file.endswith((".onnx", name_data(".onnx"))) else JSON_BYTES)


def _is_announced(path: Path, metadata: HfFileMetadata) -> bool:
    """Whether a file has the announced size and digest: a SHA-256 for large files, git's digest for others."""
    content = path.read_bytes()
    blob = f"blob {len(content)}\0".encode() + content
    digests = {hashlib.sha256(content).hexdigest(), hashlib.sha1(blob, usedforsecurity=False).hexdigest()}
    return len(content) == metadata.size and metadata.etag in digests


def _sums(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of a model in a folder. Raises EncoderError."""
    try:
        files = [file for file in _FILES if (folder / file).is_file()]
        return {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in files}
    except OSError as error:
        raise EncoderError(f"{folder} cannot be read: {error.strerror}") from None


def _page(name: str) -> str:
    repository, commit = _Named.read(name)
    return f"{_PAGE}/{repository}/tree/{commit}"


def _by_hand(name: str) -> str:
    """How to get a model without a network."""
    return f"put {', '.join(_FILES)} (the last two if they exist) of {_page(name)} into {cache_folder(name)}"
