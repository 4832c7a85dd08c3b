"""Create the store of a new gallery together with its encoder, which may have to be learned first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.encoders import lasting_name, learned_parts, load_encoder
from lookalike.encoders.composition import composed_dim
from lookalike.errors import UsageError
from lookalike.indexing.learned import learn
from lookalike.store import Space, is_folder, open_store
from lookalike.store.new_folder import make_folder

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from lookalike.encoders import Encoder
    from lookalike.images.pool import OnProgress
    from lookalike.indexing.update import IndexOptions
    from lookalike.store import Store

__all__ = ["create_store"]


def create_store(
    location: str | Path,
    name: str | Path,
    *,
    learn_from: Sequence[str | bytes | os.PathLike[str]] = (),
    options: IndexOptions | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[Store, Encoder]:
    """Create a store at `location` for the embeddings of the encoder with this name; return the store and the encoder.

    learn_from: folders and files with the pictures from which an encoder such as `patches` is learned, unless that has
    been done before; other encoders need none. options: how these are walked and read. Nothing is downloaded.
    Raises UsageError when none of them exists, or when there is no folder to keep the learned encoder in; EncoderError
    when there are too few pictures; UnknownEncoder, StoreError.
    """
    folder = Path(location) if is_folder(location) else None
    if learn_from and learned_parts(name):
        if folder is None:
            raise UsageError(
                f"{name} is learned from pictures and kept in the gallery's folder, but {location} is not a folder"
            )
        with make_folder(folder):
            learn(name, learn_from, folder, options=options, on_progress=on_progress)
            return _create(location, name, folder)
    return _create(location, name, folder)


def _create(location: str | Path, name: str | Path, folder: Path | None) -> tuple[Store, Encoder]:
    encoder = load_encoder(name, folder)
    space = Space(encoder.name, encoder.fingerprint, composed_dim(encoder), encoder.metric, lasting_name(name))
    return open_store(location, create=space), encoder
