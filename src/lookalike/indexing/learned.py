"""Encoders that are learned from a gallery's own pictures: which pictures are used, and where the model is kept.

A learned encoder is a folder with its name that holds a model and its card, in the gallery that it was learned for. It
is learned once, before the first picture is indexed, and does not change when the gallery grows, because the stored
embeddings were made with it. If two processes learn it at once, the first one wins: an existing model is never
overwritten.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

import numpy as np

from lookalike.encoders import CARD, MODEL, find_learner, learned_parts, on_device
from lookalike.errors import UsageError
from lookalike.files import expands_home, stage_folder
from lookalike.images.decode import DecodedPicture
from lookalike.images.origins import exists, walk_root
from lookalike.images.paths import show_path
from lookalike.images.pool import DecoderPool
from lookalike.images.walk import Root, Rules
from lookalike.indexing.patterns import localize_rules
from lookalike.indexing.update import IndexOptions
from lookalike.store.keys import absolute

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from lookalike.encoders import Shown
    from lookalike.images.decode import View
    from lookalike.images.pool import OnProgress

    Roots = Sequence[str | bytes | os.PathLike[str]]

__all__ = ["forget", "learn", "learn_into"]

_MOST = 2000  # pictures to learn from; twice as many take twice as long


@expands_home
def learn(  # noqa: PLR0913  (what, from what, where; the rest is optional)
    name: str | Path,
    roots: Roots,
    folder: Path,
    *,
    labels: Mapping[bytes, str] | None = None,
    options: IndexOptions | None = None,
    on_progress: OnProgress | None = None,
) -> None:
    """Learn the encoder of this name from the pictures in these folders and files, so that `folder` can load it.

    All pictures are used, or 2,000 that are spread evenly over the walk. Models already in `folder` are kept, and an
    encoder that needs no learning is left alone. labels: the classes of some or all pictures, by absolute path, for
    encoders that use them. Raises UsageError when none of the roots exists, EncoderError when there are too few
    pictures.
    """
    for part in learned_parts(name):
        if not (folder / part / MODEL).is_file():
            learn_into(folder / part, part, roots, labels=labels, options=options, on_progress=on_progress)


@expands_home
def learn_into(  # noqa: PLR0913  (see above)
    folder: Path,
    name: str,
    roots: Roots,
    *,
    labels: Mapping[bytes, str] | None = None,
    options: IndexOptions | None = None,
    on_progress: OnProgress | None = None,
) -> None:
    """Learn one encoder as `learn` does and write it to `folder`, which must be empty or not exist yet."""
    options, learner = options or IndexOptions(), find_learner(name)
    paths = _sample([absolute(root) for root in roots], options)
    with _stage(folder) as staged, on_device("cpu"):  # the same encoder on every machine
        learner.learn(_read_pictures(paths, labels or {}, learner.view, options, on_progress), staged)


def forget(folder: Path) -> None:
    """Remove the files that `learn_into` wrote to a folder, and nothing else."""
    for name in (MODEL, CARD):
        (folder / name).unlink(missing_ok=True)


@contextlib.contextmanager
def _stage(folder: Path) -> Iterator[Path]:
    """Yield a folder to write into, which becomes `folder` afterwards as a whole, unless that has a model by then."""
    with stage_folder(folder) as staged:
        yield staged
        _move(staged, folder)


def _move(staged: Path, folder: Path) -> None:
    try:
        staged.rename(folder)
    except OSError:  # the folder exists and is not empty
        if not (folder / MODEL).is_file():
            for file in sorted(staged.iterdir()):  # the card first, because the model makes the encoder complete
                file.replace(folder / file.name)


def _read_pictures(
    paths: Sequence[bytes],
    labels: Mapping[bytes, str],
    view: View,
    options: IndexOptions,
    on_progress: OnProgress | None,
) -> Iterator[Shown]:
    """Yield the pixels, uint8 (side, side, 3), and the class of every file that can be read."""
    with DecoderPool(view, limits=options.limits, workers=options.workers) as reader:
        for done, (path, result) in enumerate(reader.read(paths), 1):
            if on_progress is not None:
                on_progress(done, len(paths))
            if isinstance(result, DecodedPicture):
                picture = np.frombuffer(result.pixels, np.uint8).reshape(view.size, view.size, 3)
                yield picture, labels.get(path, "")


def _sample(roots: Sequence[bytes], options: IndexOptions) -> list[bytes]:
    """At most _MOST paths, spread evenly over all files that the walk finds, in the order of their names."""
    existing = [root for root in roots if exists(root)]
    if not existing:
        raise UsageError(f"no such file or folder: {', '.join(map(show_path, roots))}")
    rules = options.rules or Rules()
    entries = (entry for root in existing for entry in walk_root(Root(root, localize_rules(rules, root))))
    found = sorted(entry.source for entry in entries if not entry.problem)
    return found[:: max(1, math.ceil(len(found) / _MOST))]
