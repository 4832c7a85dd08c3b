"""Encoders that are learned from the pictures they are for: which pictures, and where the model is kept.

A learned encoder is a folder of its name with a model and its card, in the gallery that it was learned for. It is
made once, before the first picture is indexed, and stays as it is when the gallery grows: what is stored was made by
it. Whoever is first keeps theirs: a folder that is there is never written again.
"""

from __future__ import annotations

import contextlib
import math
import os
from typing import TYPE_CHECKING

import numpy as np

from lookalike.encoders import CARD, MODEL, find_learner, learned_parts
from lookalike.errors import UsageError
from lookalike.files import stage_folder
from lookalike.images.decode import DecodedPicture
from lookalike.images.paths import show_path
from lookalike.images.pool import DecoderPool
from lookalike.images.walk import walk
from lookalike.indexing.update import IndexOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from lookalike.encoders import Shown
    from lookalike.images.decode import View
    from lookalike.images.pool import OnProgress

    Roots = Sequence[str | bytes | os.PathLike[str]]

__all__ = ["forget", "learn", "learn_into"]

_MOST = 2000  # pictures that are learned from; twice as many take twice as long


def learn(  # noqa: PLR0913  (what, from what, where; the rest is optional)
    name: str | Path,
    roots: Roots,
    folder: Path,
    *,
    labels: Mapping[bytes, str] | None = None,
    options: IndexOptions | None = None,
    on_progress: OnProgress | None = None,
) -> None:
    """Learn what an encoder of this name needs to be loaded from `folder`, from pictures below these folders and files.

    From all of them, or from 2,000 that are spread evenly over the walk. What is in `folder` already, and an encoder
    that needs nothing, is left as it is. labels: classes of some or all pictures by their absolute paths, for encoders
    that make anything of them. Raises UsageError when there is no such folder, EncoderError when the pictures are too
    few.
    """
    for part in learned_parts(name):
        if not (folder / part / MODEL).is_file():
            learn_into(folder / part, part, roots, labels=labels, options=options, on_progress=on_progress)


def learn_into(  # noqa: PLR0913  (see above)
    folder: Path,
    name: str,
    roots: Roots,
    *,
    labels: Mapping[bytes, str] | None = None,
    options: IndexOptions | None = None,
    on_progress: OnProgress | None = None,
) -> None:
    """Learn one encoder as `learn` does; `folder`, one that is empty or not there, is then one to load it from."""
    options, learner = options or IndexOptions(), find_learner(name)
    paths = _sample([os.path.abspath(os.fsencode(root)) for root in roots], options)
    with _folder_for(folder) as made:
        learner.learn(_shown(paths, labels or {}, learner.view, options, on_progress), made)


def forget(folder: Path) -> None:
    """Remove what `learn_into` put there, and nothing else."""
    for name in (MODEL, CARD):
        (folder / name).unlink(missing_ok=True)


@contextlib.contextmanager
def _folder_for(folder: Path) -> Iterator[Path]:
    """A folder to write into; what is written is at `folder` afterwards as a whole, unless a model was there first."""
    with stage_folder(folder) as made:
        yield made
        _put(made, folder)


def _put(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError:  # there is such a folder, and something in it
        if not (folder / MODEL).is_file():
            for file in sorted(made.iterdir()):  # the card, then the model that makes it one
                file.replace(folder / file.name)


def _shown(
    paths: Sequence[bytes],
    labels: Mapping[bytes, str],
    view: View,
    options: IndexOptions,
    on_progress: OnProgress | None,
) -> Iterator[Shown]:
    """Every file that can be read, and its class."""
    with DecoderPool(view, limits=options.limits, workers=options.workers) as reader:
        for done, (path, result) in enumerate(reader.read(paths), 1):
            if on_progress is not None:
                on_progress(done, len(paths))
            if isinstance(result, DecodedPicture):
                picture = np.frombuffer(result.pixels, np.uint8).reshape(view.size, view.size, 3)
                yield picture, labels.get(path, "")


def _sample(roots: Sequence[bytes], options: IndexOptions) -> list[bytes]:
    """Paths, at most _MOST, spread evenly over all that the walk meets in the order of their names."""
    there = [root for root in roots if os.path.lexists(root)]
    if not there:
        raise UsageError(f"no such file or folder: {', '.join(map(show_path, roots))}")
    found = sorted(entry.source for root in there for entry in walk(root, options.rules) if not entry.problem)
    return found[:: max(1, math.ceil(len(found) / _MOST))]
