"""Models as other tools export them, made into folders of ours: `encoder.onnx` and its card, a text tower beside it.

A folder of Hugging Face's kind has how pictures are cut and scaled in `preprocessor_config.json` (transformers writes
it) and the network in `onnx/model.onnx`, or in `onnx/vision_model.onnx` and `onnx/text_model.onnx` where pictures and
texts have a tower each (Optimum and transformers.js write these); all of them may lie beside the others as well.
Nothing of a model is run for that: its file is parsed for the names of its outputs.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

from lookalike.encoders import CARD, MODEL, TEXT, TOKENIZER
from lookalike.encoders.untrusted import load_onnx, load_text, read_model
from lookalike.errors import EncoderError, UsageError
from lookalike.files import stage_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from onnx import ModelProto

    from lookalike.encoders import Encoder

    Fields = dict[str, Any]
    """Parsed JSON."""

__all__ = ["CONFIG", "MODELS", "PICTURES", "adopt", "adopt_new", "text_of"]

MODELS = ("onnx/vision_model.onnx", "vision_model.onnx", "onnx/model.onnx", "model.onnx")
"""Where the network for pictures may be: the first that is there is it."""
PICTURES = "preprocessor_config.json"
CONFIG = "config.json"

# Vision transformers whose first row of numbers is a token that stands for the whole picture.
_WITH_CLASS_TOKEN = {"clip", "clip_vision_model", "deit", "dinov2", "dinov2_with_registers", "dinov3_vit", "vit"}
_PADDED = {"siglip", "siglip2"}  # whose texts were always filled up when they were trained
_CROPPED_BELOW = 384  # pixels: ConvNeXt's `crop_pct` does not hold for larger pictures


def text_of(model: str) -> str:
    """Where the text tower beside one of MODELS is, if it has one; empty if it cannot have any."""
    return model.replace("vision_model", "text_model") if "vision_model" in model else ""


def adopt(export: Path, folder: Path, name: str, *, put: Callable[[Path, Path], object] = shutil.copyfile) -> None:
    """Make `folder`, which is there, an encoder called `name` from what was exported into `export`.

    put: how a file gets there; copied by default. Raises EncoderError for an export that is not whole, or says
    something that no card can.
    """
    found = next((model for model in MODELS if (export / model).is_file()), None)
    if found is None:
        raise EncoderError(f"{export} has none of {', '.join(MODELS)}")
    pictures, config = _read(export / PICTURES), _read(export / CONFIG, is_needed=False)
    kind = str(config.get("model_type", ""))
    files = {MODEL: export / found}
    if text_of(found) and (export / text_of(found)).is_file():
        files |= {TEXT: export / text_of(found), TOKENIZER: export / TOKENIZER}
        if not files[TOKENIZER].is_file():
            raise EncoderError(f"{export} has a text tower, but no {TOKENIZER}")
    try:
        card = {"name": name, **_seen(pictures), **_given(read_model(files[MODEL]), kind), "layout": "NCHW"}
        card["trained_on"] = f"what {name} was trained on"
        if TEXT in files:
            card["text"] = _told(read_model(files[TEXT]), config, kind)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise EncoderError(f"{export / PICTURES}: {type(error).__name__} {error}") from None
    (folder / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    for file, source in files.items():
        put(source, folder / file)


def adopt_new(export: Path, folder: Path, name: str) -> Encoder:
    """`adopt` into a folder that is not there yet: it is made if the encoder works. Raises EncoderError, UsageError."""
    if os.path.lexists(folder):
        raise UsageError(f"{folder} is there already")
    try:
        with stage_folder(folder) as made:
            adopt(export, made, name)
            encoder = load_onnx(made / MODEL)
            if encoder.encode_texts is not None:
                load_text(made, encoder.dim)
            os.rename(made, folder)
    except OSError as error:
        raise EncoderError(f"{folder} cannot be written: {error.strerror}") from None
    return load_onnx(folder / MODEL)


def _read(path: Path, *, is_needed: bool = True) -> Fields:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if is_needed:
            raise EncoderError(f"{path} is missing: it says how pictures are cut and scaled") from None
        return {}
    except (OSError, ValueError) as error:
        raise EncoderError(f"{path} cannot be read: {error}") from None
    if not isinstance(fields, dict):
        raise EncoderError(f"{path} is no list of names and values")
    return fields


def _seen(pictures: Fields) -> Fields:
    """How a picture is cut and scaled, as a card has it."""
    if pictures.get("do_flip_channel_order"):
        raise ValueError("the model takes blue before red")
    size, share = _side(pictures["size"]), 1.0
    if pictures.get("do_center_crop") and "crop_size" in pictures:
        cut = _side(pictures["crop_size"])
        size, share = cut, min(1.0, cut / size)
    elif "crop_pct" in pictures and size < _CROPPED_BELOW:
        share = float(pictures["crop_pct"] or 1.0)
    unit = 1 / float(pictures.get("rescale_factor", 1 / 255)) if pictures.get("do_rescale", True) else 1.0
    is_normal = pictures.get("do_normalize", True)
    mean, std = (pictures["image_mean"], pictures["image_std"]) if is_normal else ([0.0] * 3, [1.0] * 3)
    return {"size": size, "crop": share, "mean": [unit * m for m in mean], "std": [unit * s for s in std]}


def _side(size: Any) -> int:  # noqa: ANN401  (parsed JSON)
    """Pixels of a side: a number, or the shortest of any picture, or height and width, which must be the same."""
    if not isinstance(size, dict):
        return int(size)
    sides = {int(size[key]) for key in ("shortest_edge", "height", "width") if key in size}
    if len(sides) != 1:
        raise ValueError(f"a size of {size} is none of a square")
    return sides.pop()


def _given(model: ModelProto, kind: str) -> Fields:
    """Which output of the model describes the whole picture, and how its numbers become one row."""
    outputs = [output.name for output in model.graph.output]
    if "image_embeds" in outputs:
        return {"output": "image_embeds"}
    if "pooler_output" in outputs and (kind in _PADDED or "last_hidden_state" not in outputs):
        return {"output": "pooler_output"}
    if "last_hidden_state" in outputs:  # not what is pooled above it: many models come without trained weights for it
        return {"output": "last_hidden_state", "pooling": "first" if kind in _WITH_CLASS_TOKEN else "mean"}
    return {"output": outputs[0]}


def _told(model: ModelProto, config: Fields, kind: str) -> Fields:
    """How a text is put to the text tower, as a card has it."""
    outputs = [output.name for output in model.graph.output]
    texts = dict(config.get("text_config") or {})
    fields: Fields = {
        "output": next((name for name in ("text_embeds", "pooler_output") if name in outputs), outputs[0])
    }
    if "max_position_embeddings" in texts or kind in _PADDED:
        fields["length"] = int(texts.get("max_position_embeddings", 64))
    if kind in _PADDED:
        fields["pad"] = int(texts.get("pad_token_id", 1))
    return fields
