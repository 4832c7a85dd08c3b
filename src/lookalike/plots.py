"""Pictures of how a training went (extra `train`: matplotlib)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lookalike.errors import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.training import Epoch, Layer

__all__ = ["draw_layers", "draw_losses", "draw_reconstructions"]

_TRAIN, _HELD_OUT, _INK, _PALE = "#1f6f8b", "#d1495b", "#1a1a1a", "#d5e3e8"
_FEW = 15  # epochs up to which each has its mark
_GAP, _HEAD = 6, 34
_TILE = 128  # pixels of a side, at least


def draw_losses(history: Sequence[Epoch], title: str, path: Path) -> None:
    """Bare errors of every epoch, and faintly the losses with their penalties where they differ."""
    figure, axes = _canvas(8, 4.5)
    _label(axes, title)
    epochs = [epoch.epoch for epoch in history]
    for of, colour, label in (("", _TRAIN, "trained on"), ("val_", _HELD_OUT, "held out")):
        errors = np.array([getattr(epoch, f"{of}mse") for epoch in history])
        losses = np.array([getattr(epoch, f"{of}loss") for epoch in history])
        if not np.isfinite(errors).any():
            continue
        axes.plot(epochs, errors, color=colour, label=label, marker="o" if len(epochs) <= _FEW else None, markersize=5)
        axes.annotate(f"{errors[-1]:.4f}", (epochs[-1], errors[-1]), (8, 0), textcoords="offset points", va="center")
        if not np.allclose(losses, errors, rtol=1e-2):
            axes.plot(epochs, losses, color=colour, alpha=0.45, linestyle=":", label=f"{label}, with penalties")
    axes.legend(frameon=False)
    figure.savefig(path)


def draw_layers(layers: Sequence[Layer], title: str, path: Path) -> None:
    """A model as it flows from top to bottom: a bar for each layer, as wide as the logarithm of what it gives."""
    figure, axes = _canvas(8, 0.8 + 0.32 * len(layers))
    most = max(math.log2(math.prod(layer.shape)) for layer in layers)
    for row, layer in enumerate(layers):
        width = math.log2(max(2, math.prod(layer.shape))) / most
        axes.barh(row, width, left=-width / 2, height=0.82, color=_TRAIN if layer.parameters else _PALE)
        ink = "white" if layer.parameters else _INK
        axes.text(0, row, layer.kind, ha="center", va="center", color=ink, fontsize=8)
        axes.text(-0.54, row, layer.name, ha="right", va="center", color=_INK, fontsize=8)
        axes.text(0.54, row, " x ".join(map(str, layer.shape)), ha="left", va="center", color=_INK, fontsize=8)
        count = f"{layer.parameters:,}" if layer.parameters else ""
        axes.text(1.16, row, count, ha="right", va="center", color=_INK, fontsize=8)
    axes.set_xlim(-0.85, 1.18)
    axes.set_ylim(len(layers) - 0.4, -0.6)
    axes.set_axis_off()
    total = sum(layer.parameters for layer in layers)
    axes.set_title(f"{title}, {total:,} parameters", loc="left")
    figure.savefig(path)


def draw_reconstructions(originals: NDArray[np.float32], made: NDArray[np.float32], title: str, path: Path) -> None:
    """Pictures above what the model makes of them, ten in a row; (n, h, w, 3) in [0, 1] each."""
    side = max(_TILE, originals.shape[1])
    columns = min(10, len(originals))
    band = 2 * (side + _GAP) + 2 * _GAP
    height = _HEAD + -(-len(originals) // columns) * band
    sheet = Image.new("RGB", (columns * (side + _GAP) + _GAP, height), "white")
    ImageDraw.Draw(sheet).text((_GAP, _GAP), title, _INK, ImageFont.load_default(18))
    for number, pair in enumerate(zip(originals, made, strict=True)):
        left = _GAP + number % columns * (side + _GAP)
        top = _HEAD + number // columns * band
        for row, values in enumerate(pair):
            sheet.paste(_image(values, side), (left, top + row * (side + _GAP)))
    sheet.save(path)


def _image(values: NDArray[np.float32], side: int) -> Image.Image:
    image = Image.fromarray(np.round(np.clip(values, 0, 1) * 255).astype(np.uint8))
    return image if image.width == side else image.resize((side, side), Image.Resampling.BICUBIC)


def _label(axes: Any, title: str) -> None:  # noqa: ANN401
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter  # noqa: PLC0415

    axes.set_title(title, loc="left")
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean squared error")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 1.5, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter(ScalarFormatter(useMathText=False))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="y", color="#e6e6e6")
    axes.set_axisbelow(True)
    axes.margins(x=0.08)
    axes.spines[["top", "right"]].set_visible(False)


def _canvas(width: float, height: float) -> tuple[Any, Any]:
    """An empty plot that needs no screen; in inches."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  (heavy, and an extra)
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        raise MissingExtra("plots need matplotlib", hint='pip install "lookalike[train]"') from None
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()
