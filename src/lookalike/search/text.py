"""Text queries: the text encoder's embedding, compared with the embeddings that the image encoder gave the pictures.

Unlike pictures, texts are not compared with adapted vectors. A gallery's projection is fitted to pictures, and texts
lie elsewhere in the space (Liang et al. 2022, "Mind the gap"): seen from the pictures' mean, all texts point in the
same direction, and the two encoders were not trained to agree after centring, whitening or smoothing by neighbours
(docs/decisions.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookalike.encoders.hybrid import HybridEncoder
from lookalike.errors import NoTextEncoder, UsageError
from lookalike.store import SearchSpace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lookalike.encoders import Encoder
    from lookalike.encoders.onnx import EncodeTexts

__all__ = ["encode_text"]


def encode_text(encoder: Encoder, text: str) -> tuple[NDArray[np.float32], SearchSpace]:
    """The embedding of a text, float32 (1, w), and the space in which it is compared with pictures.

    A hybrid uses its first part that also understands text. Raises NoTextEncoder, MissingExtra, EncoderError;
    UsageError for an empty text.
    """
    if not text.strip():
        raise UsageError("an empty text describes no picture")
    found = _find_text_encoder(encoder)
    if found is None:
        raise NoTextEncoder(
            f"{encoder.name} has no text encoder: it understands only pictures",
            hint="a pair of encoders such as CLIP also takes text: lookalike index FOLDER -e MODEL -i GALLERY",
        )
    encode_texts, columns = found
    return encode_texts([text]), SearchSpace(raw=True, columns=(columns.start, columns.stop))


def _find_text_encoder(encoder: Encoder, start: int = 0) -> tuple[EncodeTexts, slice] | None:
    """The first text encoder in an encoder, and the dimensions of its image encoder in an embedding; None if missing.

    An encoder of another package has a text encoder if it has a method `encode_texts`.
    """
    if not isinstance(encoder, HybridEncoder):
        encode_texts: EncodeTexts | None = getattr(encoder, "encode_texts", None)
        return None if encode_texts is None else (encode_texts, slice(start, start + encoder.dim))
    for part in encoder.encoders:
        if found := _find_text_encoder(part, start):
            return found
        start += part.dim
    return None
