"""Two collections to try Lookalike on: 8 Scenes from its authors' site, and what scikit-image ships.

Nothing of 8 Scenes (Oliva & Torralba 2001) is part of Lookalike: its pictures carry no free licence. They are
fetched by the person who wants them, checked against a digest, and kept in that person's cache folder.
"""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

import platformdirs
from PIL import Image

from lookalike.datasets import content_digest
from lookalike.errors import DatasetError, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable

    Progress = Callable[[int, int], None]
    """Called with how many bytes have come and how many there are."""

__all__ = ["SCENES8_URL", "cut_crops", "fetch_scenes8", "fetch_zip", "unpack_by_prefix"]

SCENES8_URL = (
    "https://people.csail.mit.edu/torralba/code/spatialenvelope/spatial_envelope_256x256_static_8outdoorcategories.zip"
)
_SCENES8_DIGEST = "40aae5846b404825b74425bef121d7a2fc929e9200ddcdc04112c134ac06d0f5"
_TIMEOUT = 8.0  # seconds without a byte
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


def fetch_scenes8(progress: Progress | None = None) -> Path:
    """The folder of 8 Scenes, one folder for each class; fetched once, 124 MB.

    Raises DatasetError when it cannot be reached or is not what was published.
    """
    cache = Path(platformdirs.user_cache_dir("lookalike"))
    folder = cache / "scenes8"
    if not folder.is_dir():
        archive = fetch_zip(SCENES8_URL, cache / "scenes8.zip", progress=progress)
        unpack_by_prefix(archive, folder, _SCENES8_DIGEST)
        archive.unlink()
    return folder


def fetch_zip(url: str, target: Path, *, progress: Progress | None = None) -> Path:
    """Download `url` to `target`, going on where an earlier attempt was broken off.

    Raises DatasetError when it cannot be reached; what has come is kept beside the target.
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        start = part.stat().st_size if part.exists() else 0
        request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})  # noqa: S310
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310  (the callers' URL is ours)
            if answer.status != 206:  # the server sends it from the beginning
                start = 0
            _receive(answer, part, start, progress)
        return part.replace(target)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left to ask for: it was all there
            return part.replace(target)
        raise DatasetError(f"{url} cannot be fetched: {error.code} {error.reason}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise DatasetError(f"{url} cannot be fetched: {reason}") from None


def unpack_by_prefix(archive: Path, folder: Path, digest: str) -> None:
    """Unpack a flat archive of `class_name.jpg` files into one folder for each class, all or nothing.

    Raises DatasetError for anything that is no such archive, or of another content than `digest` says.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="unpacking-") as temporary:
        fresh = Path(temporary) / folder.name
        names = _unpack(archive, fresh)
        found = content_digest(fresh, names)
        if found != digest:
            archive.unlink()
            raise DatasetError(f"{archive.name} is not what was published: content {found}, expected {digest}")
        fresh.rename(folder)


def cut_crops(folder: Path) -> Path:
    """Overlapping crops of the photographs in scikit-image's package, one folder for each photograph.

    Neighbouring crops show half the same: what a picture's lookalikes are is known. Raises MissingExtra.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for name in _PHOTOGRAPHS:
        photograph = _photograph(name)
        home = folder / name
        home.mkdir(parents=True)
        side = round(min(photograph.size) * _SHARE)
        for row in range(_CROPS):
            for column in range(_CROPS):
                left = (photograph.width - side) * column // (_CROPS - 1)
                top = (photograph.height - side) * row // (_CROPS - 1)
                crop = photograph.crop((left, top, left + side, top + side))
                crop.save(home / f"{name}-{row}{column}.jpg", quality=92)
    return folder


def _photograph(name: str) -> Image.Image:
    try:
        data = importlib.import_module("skimage.data")
    except ImportError:
        raise MissingExtra("the package scikit-image is missing", hint='pip install "lookalike[demo]"') from None
    return Image.fromarray(getattr(data, name)()).convert("RGB")


def _receive(answer: IO[bytes], part: Path, start: int, progress: Progress | None) -> None:
    headers = getattr(answer, "headers", {})
    total = start + int(headers.get("Content-Length") or 0)
    with part.open("r+b" if start else "wb") as file:
        file.seek(start)
        while block := answer.read(_BLOCK):
            file.write(block)
            if progress is not None:
                progress(file.tell(), total)
            if file.tell() > _MOST_BYTES:
                raise ValueError("it is larger than it can be")
        if file.tell() < total:
            raise ValueError("the transfer was broken off; the next attempt goes on from there")


def _unpack(archive: Path, folder: Path) -> list[str]:
    """Only plain names are unpacked, and no more than an archive of that size can honestly hold."""
    names = []
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [m for m in opened.infolist() if m.filename.lower().endswith(".jpg")]
            if sum(member.file_size for member in members) > _MOST_BYTES:
                raise DatasetError(f"{archive.name} unpacks to more than it can")
            for member in members:
                plain = os.path.basename(member.filename)
                target = folder / plain.partition("_")[0] / plain
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(opened.read(member))
                names.append(f"{target.parent.name}/{plain}")
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise DatasetError(f"{archive.name} cannot be unpacked: {error}") from None
    return names
