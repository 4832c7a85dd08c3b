"""Which gallery is meant, and whether an encoder is its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.encoders import lasting_name, learned_parts, load_encoder
from lookalike.errors import EncoderMismatch, NoGallery

if TYPE_CHECKING:
    from lookalike.encoders import Encoder
    from lookalike.store import Space, Store

__all__ = ["FOLDER", "check_encoder", "find_gallery", "own_encoder"]

FOLDER = ".lookalike"
_ANOTHER = "index into another gallery: lookalike index PHOTOS -e ENCODER -i FOLDER"


def find_gallery(start: str | Path | None = None) -> Path:
    """The nearest `.lookalike` in `start`, by default the current folder, or in a folder above it.

    Raises NoGallery.
    """
    here = Path(start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / FOLDER).is_dir():
            return folder / FOLDER
    raise NoGallery(f"no gallery in {here} or above it", hint="make one: lookalike index FOLDER")


def check_encoder(encoder: Encoder, space: Space) -> None:
    """Raise EncoderMismatch unless the embeddings of `space` are this encoder's."""
    if encoder.fingerprint == space.fingerprint:
        return
    if encoder.name == space.encoder:
        message = f"the gallery was made by {space.encoder}, which has changed since"
    else:
        message = f"the gallery was made by {space.encoder}, not by {encoder.name}"
    raise EncoderMismatch(f"{message}: their embeddings cannot be compared", hint=_ANOTHER)


def own_encoder(encoder: str | Path, store: Store, folder: Path) -> Encoder:
    """The encoder of this name; one that was not learned for this gallery cannot be its own. Closes it on errors."""
    try:
        if not learned_parts(encoder) or lasting_name(encoder) == store.space.source:
            return load_encoder(encoder, folder)
    except BaseException:
        store.close()
        raise
    store.close()
    raise EncoderMismatch(f"the gallery was made by {store.space.encoder}, not by {encoder}", hint=_ANOTHER)
