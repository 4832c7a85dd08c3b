"""Models on the hub that are worth fetching, in the layout of transformers.js. None of them was tested here."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["RECOMMENDED", "Model"]


class Model(NamedTuple):
    """A model to fetch by `name`, what it is for, whether it understands texts, and its licence."""

    name: str
    purpose: str
    takes_texts: bool
    licence: str


RECOMMENDED = (
    Model("hf:onnx-community/dinov2-small", "pictures of the same thing", takes_texts=False, licence="Apache-2.0"),
    Model(
        "hf:onnx-community/dinov3-vits16-pretrain-lvd1689m-ONNX",
        "the same, newer",
        takes_texts=False,
        licence="DINOv3 licence",
    ),
    Model("hf:Xenova/clip-vit-base-patch32", "texts, the best known", takes_texts=True, licence="MIT"),
    Model(
        "hf:onnx-community/siglip2-base-patch16-256-ONNX",
        "texts in many languages",
        takes_texts=True,
        licence="Apache-2.0",
    ),
    Model("hf:Xenova/mobileclip_s2", "texts, for small machines", takes_texts=True, licence="Apple licence"),
)
"""A handful, by what people look for; all of them are faster on a GPU."""
