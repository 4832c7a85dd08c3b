"""Convert models as other tools export them into a folder with `encoder.onnx`, its card and, for pairs, a text encoder.

An export in Hugging Face's layout has how pictures are cut and scaled in `preprocessor_config.json` (transformers
writes it) and the network in `onnx/model.onnx`, or in `onnx/vision_model.onnx` and `onnx/text_model.onnx` for a pair of
an image encoder and a text encoder (Optimum and transformers.js write these). All files may also be in one folder; the
weights of a large model are in a second file beside it (`inline`). No model is run for the conversion: its file is
parsed for the names of its outputs.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

from lookalike.encoders import CARD, MODEL, TEXT, TOKENIZER
from lookalike.encoders.huggingface.inline import has_data, inline_data, name_data
from lookalike.encoders.untrusted import load_onnx, load_text, output_names
from lookalike.errors import EncoderError, UsageError
from lookalike.files import expands_home, stage_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lookalike.encoders import Encoder

    Fields = dict[str, Any]
    """Parsed JSON."""
    Put = Callable[[Path, Path], object]
    """Moves or copies a file into place."""

__all__ = ["CONFIG", "MODELS", "PICTURES", "adopt", "adopt_new", "find_text_model"]

MODELS = ("onnx/vision_model.onnx", "vision_model.onnx", "onnx/model.onnx", "model.onnx")
"""Where the image encoder may be; the first that exists is used."""
PICTURES = "preprocessor_config.json"
CONFIG = "config.json"

# Vision transformers whose first output token stands for the whole picture.
_WITH_CLASS_TOKEN = {"clip", "clip_vision_model", "deit", "dinov2", "dinov2_with_registers", "dinov3_vit", "vit"}
_PADDED = {"siglip", "siglip2"}  # trained with texts that are always padded
_CROPPED_BELOW = 384  # pixels: ConvNeXt's `crop_pct` applies to smaller pictures only


def find_text_model(model: str) -> str:
    """Return where the text encoder for one of MODELS would be; empty if it cannot have one."""
    return model.replace("vision_model", "text_model") if "vision_model" in model else ""


def adopt(export: Path, folder: Path, name: str, *, put: Put = shutil.copyfile) -> None:
    """Convert the export in the folder `export` into an encoder called `name`, in the existing `folder`.

    put: moves or copies a file into place; copies by default. Raises EncoderError for an export that is incomplete, or
    with settings that a card cannot express.
    """
    found = next((model for model in MODELS if (export / model).is_file()), None)
    if found is None:
        raise EncoderError(f"{export} has none of {', '.join(MODELS)}")
    pictures, config = _read_json(export / PICTURES), _read_json(export / CONFIG, is_needed=False)
    kind = str(config.get("model_type", ""))
    files = {MODEL: export / found}
    if find_text_model(found) and (export / find_text_model(found)).is_file():
        files |= {TEXT: export / find_text_model(found), TOKENIZER: export / TOKENIZER}
        if not files[TOKENIZER].is_file():
            raise EncoderError(f"{export} has a text encoder, but no {TOKENIZER}")
    outputs = {file: _put_model(source, folder / file, put) for file, source in files.items()}
    try:
        card = {
            "name": name,
            **_image_fields(pictures),
            **_output_fields(outputs[MODEL], kind),
            "layout": "NCHW",
        }
        card["trained_on"] = "unknown"
        if TEXT in files:
            card["text"] = _text_fields(outputs[TEXT], config, kind)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise EncoderError(f"{export / PICTURES}: {type(error).__name__} {error}") from None
    (folder / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def _put_model(source: Path, target: Path, put: Put) -> list[str]:
    """Put a file of an export into place, a model as a single file; returns the names of a model's outputs."""
    if source.suffix != ".onnx":
        put(source, target)
        return []
    if not has_data(source):
        names = output_names(source)
        put(source, target)
        return names
    put(source, target)
    inline_data(target, source.with_name(name_data(source.name)))
    return output_names(target)


@expands_home
def adopt_new(export: Path, folder: Path, name: str) -> Encoder:
    """`adopt` into a new folder, which is created only if the encoder works. Raises EncoderError, UsageError."""
    if os.path.lexists(folder):
        raise UsageError(f"{folder} already exists")
    try:
        with stage_folder(folder) as new:
            adopt(export, new, name)
            encoder = load_onnx(new / MODEL)
            if encoder.encode_texts is not None:
                load_text(new, encoder.dim)
            os.rename(new, folder)
    except OSError as error:
        raise EncoderError(f"{folder} cannot be written: {error.strerror}") from None
    return load_onnx(folder / MODEL)


def _read_json(path: Path, *, is_needed: bool = True) -> Fields:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if is_needed:
            raise EncoderError(f"{path} is missing: it says how pictures are cut and scaled") from None
        return {}
    except (OSError, ValueError) as error:
        raise EncoderError(f"{path} cannot be read: {error}") from None
    if not isinstance(fields, dict):
        raise EncoderError(f"{path} is not a JSON object")
    return fields


def _image_fields(pictures: Fields) -> Fields:
    """The card's fields for how a picture is cut and scaled."""
    if pictures.get("do_flip_channel_order"):
        raise ValueError("the model takes blue before red")
    size, share = _parse_side(pictures["size"]), 1.0
    if pictures.get("do_center_crop") and "crop_size" in pictures:
        cut = _parse_side(pictures["crop_size"])
        size, share = cut, min(1.0, cut / size)
    elif "crop_pct" in pictures and size < _CROPPED_BELOW:
        share = float(pictures["crop_pct"] or 1.0)
    unit = 1 / float(pictures.get("rescale_factor", 1 / 255)) if pictures.get("do_rescale", True) else 1.0
    is_normal = pictures.get("do_normalize", True)
    mean, std = (pictures["image_mean"], pictures["image_std"]) if is_normal else ([0.0] * 3, [1.0] * 3)
    return {"size": size, "crop": share, "mean": [unit * m for m in mean], "std": [unit * s for s in std]}


def _parse_side(size: Any) -> int:  # noqa: ANN401  (parsed JSON)
    """A side in pixels: a number, or the shortest edge, or height and width, which must be the same."""
    if not isinstance(size, dict):
        return int(size)
    sides = {int(size[key]) for key in ("shortest_edge", "height", "width") if key in size}
    if len(sides) != 1:
        raise ValueError(f"the size {size} is not a square")
    return sides.pop()


def _output_fields(outputs: list[str], kind: str) -> Fields:
    """The card's fields for which output describes the whole picture, and how it becomes one row."""
    if "image_embeds" in outputs:
        return {"output": "image_embeds"}
    if "pooler_output" in outputs and (kind in _PADDED or "last_hidden_state" not in outputs):
        return {"output": "pooler_output"}
    if "last_hidden_state" in outputs:  # many models have no trained weights for the pooling above it
        return {"output": "last_hidden_state", "pooling": "first" if kind in _WITH_CLASS_TOKEN else "mean"}
    return {"output": outputs[0]}


def _text_fields(outputs: list[str], config: Fields, kind: str) -> Fields:
    """The card's fields for the input of the text encoder."""
    texts = dict(config.get("text_config") or {})
    fields: Fields = {
        "output": next((name for name in ("text_embeds", "pooler_output") if name in outputs), outputs[0])
    }
    if "max_position_embeddings" in texts or kind in _PADDED:
        fields["length"] = int(texts.get("max_position_embeddings", 64))
    if kind in _PADDED:
        fields["pad"] = int(texts.get("pad_token_id", 1))
    return fields
