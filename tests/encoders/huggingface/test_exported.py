"""Models as other tools export them, made into encoders."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto

from lookalike import View, load_encoder
from lookalike.encoders.huggingface.exported import adopt, adopt_new
from lookalike.encoders.onnx import Card
from lookalike.errors import EncoderError, UntrustedModel, UsageError
from tests.encoders.exports import PLAIN, SIDE, write_export, write_pair_export

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COLOUR = np.array([200, 100, 50], np.uint8)


def coloured() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.broadcast_to(COLOUR, (1, SIDE, SIDE, 3)).copy()


@pytest.mark.parametrize(
    ("outputs", "kind", "wanted"),
    [
        (["image_embeds"], "clip", COLOUR / 255),
        (["last_hidden_state", "image_embeds"], "clip_vision_model", COLOUR / 255),
        (["last_hidden_state"], "dinov2", COLOUR / 255),
        (["last_hidden_state", "pooler_output"], "vit", COLOUR / 255),
        (["last_hidden_state"], "swin", COLOUR / 255 - 0.1),
        (["last_hidden_state"], "", COLOUR / 255 - 0.1),
        (["maps"], "convnext", COLOUR / 255),
        (["last_hidden_state", "pooler_output"], "siglip", COLOUR / 255),
        (["pooler_output"], "bert", COLOUR / 255),
        (["logits"], "", COLOUR / 255),
    ],
)
def test_the_output_that_stands_for_the_whole_picture_is_taken(
    tmp_path: Path, outputs: list[str], kind: str, wanted: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> None:
    encoder = adopt_new(write_export(tmp_path / "export", outputs, kind=kind), tmp_path / "made", "mine")
    np.testing.assert_allclose(encoder.encode(coloured()), wanted[None], atol=1e-5)
    assert (encoder.name, encoder.dim) == ("mine", 3)
    assert load_encoder(tmp_path / "made").fingerprint == encoder.fingerprint


@pytest.mark.parametrize("file", ["model.onnx", "onnx/model.onnx", "vision_model.onnx", "onnx/vision_model.onnx"])
def test_the_network_may_lie_where_exporters_put_it(tmp_path: Path, file: str) -> None:
    write_export(tmp_path / "export", ["image_embeds"], file=file)
    assert adopt_new(tmp_path / "export", tmp_path / "made", "mine").dim == 3


@pytest.mark.parametrize(
    ("pictures", "size", "crop", "scaled"),
    [
        # What CLIP, DINOv2, ViT, ConvNeXt and the oldest files say.
        (
            {
                "size": {"shortest_edge": 8},
                "crop_size": {"height": 8, "width": 8},
                "do_center_crop": True,
                "image_mean": [0.4, 0.5, 0.6],
                "image_std": [0.2, 0.25, 0.3],
                "rescale_factor": 0.00392156862745098,
            },
            8,
            1.0,
            (COLOUR / 255 - [0.4, 0.5, 0.6]) / [0.2, 0.25, 0.3],
        ),
        (
            {**PLAIN, "size": {"shortest_edge": 10}, "crop_size": {"height": 8, "width": 8}, "do_center_crop": True},
            8,
            0.8,
            COLOUR / 255,
        ),
        (
            {"size": {"height": 8, "width": 8}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
            8,
            1.0,
            COLOUR / 127.5 - 1,
        ),
        ({**PLAIN, "size": {"shortest_edge": 8}, "crop_pct": 0.875}, 8, 0.875, COLOUR / 255),
        ({**PLAIN, "size": 8, "crop_size": 8, "do_center_crop": False}, 8, 1.0, COLOUR / 255),
        ({**PLAIN, "do_rescale": False}, 8, 1.0, COLOUR),
    ],
)
def test_pictures_are_cut_and_scaled_as_it_says(
    tmp_path: Path,
    pictures: dict[str, Any],
    size: int,
    crop: float,
    scaled: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> None:
    encoder = adopt_new(write_export(tmp_path / "export", ["image_embeds"], **pictures), tmp_path / "made", "mine")
    assert encoder.view.size == size
    assert encoder.view.crop == pytest.approx(crop)
    np.testing.assert_allclose(encoder.encode(coloured()), scaled[None], rtol=1e-4)


@pytest.mark.parametrize(("size", "crop"), [(224, 0.9), (384, 1.0)])
def test_a_share_that_is_cropped_to_holds_for_small_pictures(tmp_path: Path, size: int, crop: float) -> None:
    write_export(tmp_path / "export", ["image_embeds"], **{**PLAIN, "size": {"shortest_edge": size}, "crop_pct": 0.9})
    (tmp_path / "made").mkdir()
    adopt(tmp_path / "export", tmp_path / "made", "mine")
    assert Card.read(tmp_path / "made" / "encoder.json").view == View(size, crop)


@pytest.mark.parametrize(
    ("kind", "output", "texts", "card"),
    [
        ("clip", "text_embeds", {"max_position_embeddings": 77}, {"output": "text_embeds", "length": 77}),
        ("clip", "pooled", {}, {"output": "pooled"}),
        ("siglip", "pooler_output", {}, {"output": "pooler_output", "length": 64, "pad": 1}),
        (
            "siglip",
            "pooler_output",
            {"max_position_embeddings": 16, "pad_token_id": 0},
            {"output": "pooler_output", "length": 16, "pad": 0},
        ),
    ],
)
def test_a_pair_takes_texts(
    tmp_path: Path, kind: str, output: str, texts: dict[str, int], card: dict[str, Any]
) -> None:
    export = write_pair_export(tmp_path / "export", kind=kind, output=output, **texts)
    encoder = adopt_new(export, tmp_path / "made", "towers")
    assert json.loads((tmp_path / "made" / "encoder.json").read_text())["text"] == card
    loaded = load_encoder(tmp_path / "made")
    assert loaded.encode_texts is not None  # type: ignore[attr-defined]
    (text,) = loaded.encode_texts(["a red boat"])  # type: ignore[attr-defined]
    assert text.shape == (encoder.dim,)
    assert text.argmax() == 0


def without(file: str) -> Callable[[Path], object]:
    return lambda export: (export / file).unlink()


def saying(**fields: Any) -> Callable[[Path], object]:
    return lambda export: (export / "preprocessor_config.json").write_text(json.dumps({**PLAIN, **fields}))


def with_numbers_elsewhere(export: Path) -> None:
    path = export / "onnx" / "vision_model.onnx"
    model = ModelProto.FromString(path.read_bytes())
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (without("onnx/vision_model.onnx"), "has none of"),
        (without("preprocessor_config.json"), "how pictures are cut and scaled"),
        (without("tokenizer.json"), "no tokenizer"),
        (saying(size={"height": 8, "width": 9}), "is not a square"),
        (saying(size={}), "is not a square"),
        (saying(size="large"), "invalid literal"),
        (saying(do_flip_channel_order=True), "blue before red"),
        (saying(do_normalize=True), "image_mean"),
        (saying(rescale_factor=0), "division by zero"),
        (saying(size=float("inf")), "infinity"),
        (saying(do_normalize=True, image_mean=[0.5], image_std=[0.5]), "three numbers"),
        (lambda export: (export / "preprocessor_config.json").write_text("[]"), "is not a JSON object"),
        (lambda export: (export / "config.json").write_text("{"), "cannot be read"),
        (lambda export: (export / "onnx" / "vision_model.onnx").write_bytes(b"nonsense"), "not an ONNX file"),
        (with_numbers_elsewhere, "in other files"),
    ],
)
def test_what_cannot_be_an_encoder_is_refused_and_leaves_nothing(
    tmp_path: Path, spoil: Callable[[Path], object], why: str
) -> None:
    export = write_pair_export(tmp_path / "export")
    spoil(export)
    with pytest.raises((EncoderError, UntrustedModel), match=why):
        adopt_new(export, tmp_path / "out" / "made", "mine")
    assert not list((tmp_path / "out").glob("*"))


def test_nothing_is_written_over(tmp_path: Path) -> None:
    export = write_export(tmp_path / "export", ["image_embeds"])
    (tmp_path / "made").mkdir()
    with pytest.raises(UsageError, match="already exists"):
        adopt_new(export, tmp_path / "made", "mine")


def test_what_was_adopted_is_a_whole_card(tmp_path: Path) -> None:
    adopt_new(write_export(tmp_path / "export", ["image_embeds"]), tmp_path / "made", "mine")
    card = Card.read(tmp_path / "made" / "encoder.json")
    assert (card.layout, card.metric, card.trained_on) == ("NCHW", "cosine", "unknown")
