"""Find pictures by what is said of them: the text tower of a pair, against the embeddings as the image tower gave them.

Not against what a gallery's own searches compare. Its projection was fitted on pictures, and texts lie elsewhere in the
space (Liang et al. 2022, "Mind the gap"): measured from the pictures' mean, all texts point the same way, and neither
centring, nor whitening, nor neighbours are what the towers were trained to agree in (docs/decisions.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookalike.encoders.hybrid import HybridEncoder
from lookalike.errors import NoTextEncoder, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lookalike.encoders import Encoder
    from lookalike.encoders.onnx import EncodeTexts
    from lookalike.store import Near, Store

__all__ = ["nearest_to_text"]


def nearest_to_text(
    store: Store, encoder: Encoder, text: str, k: int, *, among: NDArray[np.int64] | None = None
) -> Near:
    """The k pictures nearest to a text by cosine, of all or of those with an id in `among`; always exact.

    Of a hybrid, by its first part that has a text tower. Raises NoTextEncoder, MissingExtra, EncoderError; UsageError
    for an empty text.
    """
    if not text.strip():
        raise UsageError("an empty text describes no picture")
    found = _text_tower(encoder)
    if found is None:
        raise NoTextEncoder(
            f"{encoder.name} has no text encoder: it takes pictures only",
            hint="a pair of encoders such as CLIP takes texts: lookalike index FOLDER -e PAIR -i GALLERY",
        )
    encode_texts, columns = found
    return store.search_as_put(encode_texts([text])[0], k, columns, among=among)


def _text_tower(encoder: Encoder, start: int = 0) -> tuple[EncodeTexts, slice] | None:
    """The first text tower of an encoder, and where the numbers of its image tower stand in a row; None if it has none.

    Encoders of other packages have one by a method `encode_texts`.
    """
    if not isinstance(encoder, HybridEncoder):
        encode_texts: EncodeTexts | None = getattr(encoder, "encode_texts", None)
        return None if encode_texts is None else (encode_texts, slice(start, start + encoder.dim))
    for part in encoder.encoders:
        if found := _text_tower(part, start):
            return found
        start += part.dim
    return None
