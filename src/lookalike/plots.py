"""Pictures of how a training went (extra `train`: matplotlib)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lookalike.errors import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.training.run import Epoch

__all__ = ["draw_losses", "draw_reconstructions"]

_TRAIN, _HELD_OUT, _FAINT = "#1f6f8b", "#d1495b", "#8a8a8a"
_GAP = 4
_SMALLEST = 128  # pixels of a side that a reconstruction is shown at: nobody sees anything at 48


def draw_losses(history: Sequence[Epoch], title: str, path: Path) -> None:
    """Bare errors of every epoch, and faintly the losses with their penalties where they differ."""
    figure, axes = _canvas()
    epochs = [epoch.epoch for epoch in history]
    for name, colour, label in (("mse", _TRAIN, "trained on"), ("val_mse", _HELD_OUT, "held out")):
        errors = [getattr(epoch, name) for epoch in history]
        if np.isfinite(errors).any():
            axes.plot(epochs, errors, color=colour, label=label, marker="o" if len(epochs) < 15 else None)
            axes.annotate(
                f"{errors[-1]:.4f}", (epochs[-1], errors[-1]), (6, 0), textcoords="offset points", va="center"
            )
    penalised = [epoch.loss for epoch in history]
    if not np.allclose(penalised, [epoch.mse for epoch in history], rtol=1e-2):
        axes.plot(epochs, penalised, color=_FAINT, linestyle=":", marker=".", label="trained on, with penalties")
    axes.set_xlabel("epoch")
    axes.locator_params(axis="x", integer=True, min_n_ticks=1)
    axes.set_ylabel("mean squared error")
    _count_in_decimals(axes)
    axes.set_title(title, loc="left")
    axes.legend(frameon=False)
    figure.savefig(path)


def draw_reconstructions(originals: NDArray[np.float32], made: NDArray[np.float32], path: Path) -> None:
    """Pictures above what the model makes of them, ten in a row; (n, size, size, 3) in [0, 1] each.

    Small ones are enlarged by a whole factor.
    """
    size = originals.shape[1] * max(1, -(-_SMALLEST // originals.shape[1]))
    columns = min(10, len(originals))
    bands = -(-len(originals) // columns)
    sheet = Image.new(
        "RGB",
        (columns * (size + _GAP) + _GAP, bands * (2 * (size + _GAP) + 3 * _GAP) + _GAP),
        "white",
    )
    for number in range(len(originals)):
        left = _GAP + number % columns * (size + _GAP)
        top = _GAP + number // columns * (2 * (size + _GAP) + 3 * _GAP)
        sheet.paste(_image(originals[number], size), (left, top))
        sheet.paste(_image(made[number], size), (left, top + size + _GAP))
    sheet.save(path)


def _image(values: NDArray[np.float32], size: int) -> Image.Image:
    image = Image.fromarray(np.round(np.clip(values, 0, 1) * 255).astype(np.uint8))
    return image if image.width == size else image.resize((size, size), Image.Resampling.NEAREST)


def _count_in_decimals(axes: Any) -> None:  # noqa: ANN401  (matplotlib.axes.Axes: an extra)
    """A logarithmic scale marked 0.01, 0.02, 0.05: the numbers of the history, not powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator  # noqa: PLC0415  (heavy, and an extra)

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _canvas() -> tuple[Any, Any]:
    """An empty plot that needs no screen."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  (heavy, and an extra)
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        raise MissingExtra("plots need matplotlib", hint='pip install "lookalike[train]"') from None
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6")
    axes.margins(x=0.06)
    return figure, axes
