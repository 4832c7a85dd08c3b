"""Text queries: in the space of a text encoder, or of the classes that an image encoder was trained on.

A text encoder's embedding is compared with the embeddings that the image encoder gave the pictures. An encoder without
one may still know words (`lookalike.encoders.words`): a picture is as near to a word as to the nearest of its
classes, by the cosine of its embedding and the class's direction.

Unlike pictures, texts are not compared with adapted vectors. A gallery's projection is fitted to pictures, and texts
lie elsewhere in the space (Liang et al. 2022, "Mind the gap"): seen from the pictures' mean, all texts point in the
same direction, and the two encoders were not trained to agree after centring, whitening or smoothing by neighbours
(docs/decisions.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from lookalike.encoders.hybrid import HybridEncoder
from lookalike.encoders.words import find_close
from lookalike.errors import NoTextEncoder, UnknownWord, UsageError
from lookalike.store import SearchSpace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from lookalike.encoders import Encoder
    from lookalike.encoders.onnx import EncodeTexts
    from lookalike.encoders.words import Vocabulary

__all__ = ["encode_text", "find_classes", "find_vocabulary", "reads_texts"]

_T = TypeVar("_T")

_BRING_A_PAIR = (
    "for any words, use an encoder such as CLIP: lookalike encoders adopt EXPORT -o clip, "
    "then: lookalike index FOLDER -e clip"
)


def encode_text(
    encoder: Encoder, text: str, list_taught: Callable[[], Iterable[str]] = list
) -> tuple[NDArray[np.float32], SearchSpace]:
    """The embeddings of a text, float32 (n, w), and the space in which they are compared with pictures.

    A picture's distance is the one to the nearest of them. A hybrid uses its first part that has a text encoder, or
    the first that knows words. list_taught: returns the taught names; those that are spelt like an unknown text are
    named in the error. Raises NoTextEncoder, UnknownWord, MissingExtra, EncoderError; UsageError for an empty
    text.
    """
    if not text.strip():
        raise UsageError("an empty text describes no picture")
    for encode_texts, columns in _parts(encoder, _text_encoder):
        return encode_texts([text]), _space(columns)
    for load_vocabulary, (start, _) in _parts(encoder, _vocabulary):
        directions = _find_word(load_vocabulary(), text, list_taught)
        return directions, _space((start, start + directions.shape[1]))
    close = find_close(text, list_taught())
    raise NoTextEncoder(
        f"{encoder.name} has no text encoder: it understands only pictures"
        + (f"; the nearest names that it was taught: {', '.join(close)}" if close else ""),
        hint="an encoder such as CLIP also understands text: lookalike index FOLDER -e MODEL -i GALLERY; "
        "or teach the gallery this name by examples: lookalike teach NAME IMAGES",
    )


def reads_texts(encoder: Encoder) -> bool:
    """Whether an encoder has a text encoder, which takes any words."""
    return any(True for _ in _parts(encoder, _text_encoder))


def find_vocabulary(encoder: Encoder) -> Vocabulary | None:
    """The words that an encoder knows without a text encoder; None if it knows none, or takes any words."""
    if reads_texts(encoder):
        return None
    return next((load() for load, _ in _parts(encoder, _vocabulary)), None)


def find_classes(encoder: Encoder) -> tuple[Vocabulary, slice] | None:
    """The words of the first part of an encoder that was trained to classify, and the dimensions that they compare."""
    for load_vocabulary, (start, _) in _parts(encoder, _vocabulary):
        vocabulary = load_vocabulary()
        return vocabulary, slice(start, start + vocabulary.directions.shape[1])
    return None


def _find_word(vocabulary: Vocabulary, text: str, list_taught: Callable[[], Iterable[str]]) -> NDArray[np.float32]:
    found = vocabulary.find(text)
    if found is None:
        taught = find_close(text, list_taught())
        close = list(dict.fromkeys([*taught, *vocabulary.suggest(text, only_close=bool(taught))]))
        nearest = f"; the nearest known words: {', '.join(close)}" if close else ""
        raise UnknownWord(
            f"the encoder does not know {text!r}{nearest}",
            hint=f"to list all: lookalike words; to add your own: lookalike teach NAME IMAGES; {_BRING_A_PAIR}",
        )
    return found


def _space(columns: tuple[int, int]) -> SearchSpace:
    return SearchSpace(raw=True, columns=columns)


def _text_encoder(encoder: Encoder) -> EncodeTexts | None:
    """The text encoder of an encoder; one of another package has one if it has a method `encode_texts`."""
    return getattr(encoder, "encode_texts", None)


def _vocabulary(encoder: Encoder) -> Callable[[], Vocabulary] | None:
    return getattr(encoder, "load_vocabulary", None)


def _parts(
    encoder: Encoder, find: Callable[[Encoder], _T | None], start: int = 0
) -> Iterator[tuple[_T, tuple[int, int]]]:
    """What `find` finds in an encoder or in the parts of a hybrid, with the dimensions [start, stop) of each part."""
    if not isinstance(encoder, HybridEncoder):
        if (found := find(encoder)) is not None:
            yield found, (start, start + encoder.dim)
        return
    for part in encoder.encoders:
        yield from _parts(part, find, start)
        start += part.dim
