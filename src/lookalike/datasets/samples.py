"""Two collections to try Lookalike on: 8 Scenes, from its authors' site, and crops of photographs in scikit-image.

Nothing of 8 Scenes (Oliva & Torralba 2001) is part of Lookalike: its pictures carry no free licence. They are
fetched by the person who wants them, checked against a digest, and kept in that person's cache folder.
"""

from __future__ import annotations

import errno
import http.client
import importlib
import os
import shutil
import threading
import urllib.error
import urllib.request
import zipfile
import zlib
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from PIL import Image

from lookalike.datasets.digests import content_digest
from lookalike.errors import DatasetError, MissingExtra, how_to_install
from lookalike.files import stage_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    Progress = Callable[[int, int], None]
    """Called with the bytes received so far and the bytes in total."""

__all__ = ["SCENES8_URL", "cut_crops", "fetch_scenes8", "fetch_zip", "unpack_by_prefix"]

SCENES8_URL = (
    "https://people.csail.mit.edu/torralba/code/spatialenvelope/spatial_envelope_256x256_static_8outdoorcategories.zip"
)
_SCENES8_DIGEST = "40aae5846b404825b74425bef121d7a2fc929e9200ddcdc04112c134ac06d0f5"
_TIMEOUT = 8.0  # seconds to an answer, and without a byte of it
_BLOCK = 1 << 18
_MOST_BYTES = 1 << 30  # of an archive, and of what it unpacks to

# Photographs of scikit-image that lie in its package, and are not fetched by it: 5 x 5 overlapping crops of each.
_PHOTOGRAPHS = (
    "astronaut",
    "chelsea",
    "coffee",
    "coins",
    "grass",
    "hubble_deep_field",
    "immunohistochemistry",
    "moon",
    "retina",
    "rocket",
)
_CROPS = 5
_SHARE = 0.5  # of the photograph's short side


def fetch_scenes8(on_progress: Progress | None = None) -> Path:
    """The folder of 8 Scenes, with one folder for each class; downloaded once, 124 MB.

    Raises DatasetError when it cannot be reached or is not what was published.
    """
    cache = Path(platformdirs.user_cache_dir("lookalike"))
    folder, archive = cache / "scenes8", cache / "scenes8.zip"
    if not folder.is_dir():
        if not archive.is_file():  # there when the disk was full at unpacking
            fetch_zip(SCENES8_URL, archive, on_progress=on_progress)
        unpack_by_prefix(archive, folder, _SCENES8_DIGEST)
        archive.unlink(missing_ok=True)
    return folder


def fetch_zip(url: str, target: Path, *, on_progress: Progress | None = None) -> Path:
    """Download `url` to `target`, continuing where an earlier attempt was interrupted.

    Raises DatasetError when there is no answer within 8 s, or no further byte for 8 s; what has been received is kept
    beside the target.
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        start = part.stat().st_size if part.exists() else 0
        with _answer(url, start) as answer:
            _receive(answer, part, start if answer.status == 206 else 0, on_progress)  # otherwise from the beginning
        return part.replace(target)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and part.exists():  # nothing is left to ask for: it was all there
            return part.replace(target)
        raise DatasetError(f"{url} cannot be fetched: {error.code} {error.reason}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise DatasetError(f"{url} cannot be fetched: {_reason(error)}") from None


def unpack_by_prefix(archive: Path, folder: Path, digest: str) -> None:
    """Unpack a flat archive of `class_name.jpg` files into one folder for each class, all or nothing.

    Raises DatasetError for any other file, and for content that does not have the digest; the archive is then removed,
    so that the next attempt downloads it again. It stays where only the disk is full.
    """
    try:
        with stage_folder(folder) as fresh:
            _check(fresh, _unpack(archive, fresh), digest)
            fresh.rename(folder)
    except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        if getattr(error, "errno", None) not in {errno.ENOSPC, errno.EDQUOT}:
            archive.unlink(missing_ok=True)
        raise DatasetError(f"{archive.name} cannot be unpacked: {_reason(error)}") from None


def cut_crops(folder: Path) -> Path:
    """Overlapping crops of the photographs in scikit-image's package, one folder for each photograph.

    Neighbouring crops show half the same: what a picture's lookalikes are is known. Raises MissingExtra.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for name in _PHOTOGRAPHS:
        photograph = _photograph(name)
        target = folder / name
        target.mkdir(parents=True)
        side = round(min(photograph.size) * _SHARE)
        for row in range(_CROPS):
            for column in range(_CROPS):
                left = (photograph.width - side) * column // (_CROPS - 1)
                top = (photograph.height - side) * row // (_CROPS - 1)
                crop = photograph.crop((left, top, left + side, top + side))
                crop.save(target / f"{name}-{row}{column}.jpg", quality=92)
    return folder


def _photograph(name: str) -> Image.Image:
    try:
        data = importlib.import_module("skimage.data")
    except ImportError:
        raise MissingExtra("the package scikit-image is missing", hint=how_to_install("lookalike[demo]")) from None
    return Image.fromarray(getattr(data, name)()).convert("RGB")


def _answer(url: str, start: int) -> http.client.HTTPResponse:
    """The beginning of an answer, the body from byte `start` on if the server can, within `_TIMEOUT`.

    In a thread: the time-out of a socket holds for every address of a name and every single byte, and not at all
    for the look-up of the name (30 s behind a router without a connection).
    """
    answer: Future[http.client.HTTPResponse] = Future()

    def ask() -> None:
        request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})  # noqa: S310
        try:
            answer.set_result(urllib.request.urlopen(request, timeout=_TIMEOUT))  # noqa: S310  (the URL is ours)
        except BaseException as error:  # noqa: BLE001  (it is raised in the caller's thread)
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answer.result(timeout=_TIMEOUT)
    except TimeoutError:
        raise OSError(f"no answer within {_TIMEOUT:g} s") from None


def _receive(answer: http.client.HTTPResponse, part: Path, start: int, on_progress: Progress | None) -> None:
    total = start + int(answer.headers.get("Content-Length") or 0)
    if total > _MOST_BYTES:
        raise ValueError("it is larger than expected")
    with part.open("r+b" if start else "wb") as file:
        file.seek(start)
        while block := answer.read(_BLOCK):
            file.write(block)
            if on_progress is not None:
                on_progress(file.tell(), total)
            if file.tell() > _MOST_BYTES:
                file.truncate(0)  # nothing that can be resumed
                raise ValueError("it is larger than expected")
        if file.tell() < total:
            raise ValueError("the transfer was interrupted; the next attempt resumes it")


def _unpack(archive: Path, folder: Path) -> list[str]:
    """Unpack into `folder`; the names below it, class/file.

    Only a file's own name counts, whatever folder the archive says, and only with a word for a class: nothing can
    be written elsewhere, and what archivers add (`__MACOSX/._coast_1.jpg`) is left out.
    """
    names = []
    with zipfile.ZipFile(archive) as opened:
        members = [m for m in opened.infolist() if m.filename.lower().endswith(".jpg")]
        if sum(member.file_size for member in members) > _MOST_BYTES:
            raise ValueError("it holds more than expected")
        for member in members:
            plain = os.path.basename(member.filename)
            label = plain.partition("_")[0]
            if label.isalnum():
                target = folder / label / plain
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(opened.read(member))
                names.append(f"{label}/{plain}")
    return names


def _check(folder: Path, names: list[str], digest: str) -> None:
    found = content_digest(folder, names)
    if found != digest:
        raise ValueError(f"it is not what was published: content {found}, expected {digest}")


def _reason(error: BaseException) -> str:
    """What went wrong, in one line."""
    cause = getattr(error, "reason", None) or error
    return " ".join(str(getattr(cause, "strerror", None) or cause).split()) or type(error).__name__
