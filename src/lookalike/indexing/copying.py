"""Copy a gallery to another place: what its store holds, and the encoders that were learned for it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.encoders import CARD, MODEL, learned_parts
from lookalike.errors import UsageError
from lookalike.files import replace_file
from lookalike.store import is_folder, locate, open_store
from lookalike.store.copy import copy_store

if TYPE_CHECKING:
    from lookalike.images.pool import OnProgress
    from lookalike.store import Store

__all__ = ["copy_gallery"]


def copy_gallery(
    source: Store, target: str | Path, *, force: bool = False, wait: float = 0.0, on_progress: OnProgress | None = None
) -> tuple[int, str]:
    """Copy a gallery to a location, and check the copy; return the number of pictures, and the location.

    See `lookalike.store.copy.copy_store` for force and errors. Raises UsageError where an encoder that was learned from
    the gallery's pictures cannot go along, and for the gallery itself as its own target.
    """
    place = locate(target, create=True)
    _check_target(source, place)
    with contextlib.closing(open_store(place, create=source.space)) as opened:
        if is_folder(opened.location):
            _copy_encoders(source, Path(opened.location))
        return copy_store(source, opened, force=force, wait=wait, on_progress=on_progress), opened.location


def _check_target(source: Store, place: str | Path) -> None:
    if str(place) == source.location or (is_folder(place) and Path(place).resolve() == _folder_of(source)):
        raise UsageError(f"{place} is the gallery itself", hint="name another place")
    learned = learned_parts(source.space.source)
    if learned and not is_folder(place):
        raise UsageError(
            f"{learned[0]} was learned from this gallery's pictures and is kept in its folder, but {place} is not a "
            "folder",
            hint="index the pictures there with an encoder that is not learned, by --encoder",
        )


def _folder_of(store: Store) -> Path | None:
    return Path(store.location).resolve() if is_folder(store.location) else None


def _copy_encoders(source: Store, target: Path) -> None:
    for part in learned_parts(source.space.source):
        for name in (MODEL, CARD):
            (target / part).mkdir(exist_ok=True)
            with replace_file(target / part / name) as new:
                new.write_bytes((Path(source.location) / part / name).read_bytes())
