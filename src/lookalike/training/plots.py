"""Plots of trainings and of their results (extra `plots`: matplotlib).

Each is written by `lookalike.files.write_output`: an existing file is replaced only if Lookalike made it, or with
`force`, and never if it is a picture of a gallery.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lookalike.errors import MissingExtra, how_to_install
from lookalike.files import MARK, write_output
from lookalike.gallery import protected
from lookalike.images.drawing import write_drawing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.training import Epoch, Layer

    LoggedEpoch = tuple[int, float, float | None]
    """An epoch in a log: its number, the loss with penalties, and the held-out one if it is logged."""

    Training = tuple[str, Sequence[Epoch], Sequence[LoggedEpoch]]
    """A title, what was measured after each epoch, and the log to compare it with."""

    Errors = tuple[str, float | None, float, Mapping[str, float]]
    """A title, the held-out and the trained error, and half the widths of their intervals where these are known."""


__all__ = [
    "draw_comparison",
    "draw_curves",
    "draw_errors",
    "draw_layers",
    "draw_losses",
    "draw_reconstructions",
    "draw_scaling",
]

_CURVES = (  # of `lookalike bench search`: field, factor to milliseconds, label
    ("write_seconds", 1e3, "writing all embeddings"),
    ("build_seconds", 1e3, "building the cache"),
    ("add_1000_seconds", 1e3, "adding 1,000 pictures"),
    ("cold_ms", 1.0, "opening and first search"),
    ("exact_us", 1e-3, "exact search"),
    ("bare_us", 1e-3, "matrix product alone"),
    ("search_us", 1e-3, "search"),
    ("batch_us", 1e-3, "search, per query in a batch of 200"),
)
_TRAIN, _HELD_OUT, _INK, _PALE = "#1f6f8b", "#d1495b", "#1a1a1a", "#d5e3e8"
_ACROSS = 4  # small plots in a row
_FEW = 15  # epochs: up to this number, each has a mark
_GAP, _HEAD = 6, 34
_TILE = 128  # the smallest side in pixels


def draw_losses(
    history: Sequence[Epoch],
    title: str,
    path: Path,
    *,
    final: Mapping[str, float | None] | None = None,
    force: bool = False,
) -> None:
    """Plot the error of every epoch, and faintly the losses with their penalties where they differ.

    final: `train_mse` and `held_out_mse` with the final weights. Those of an epoch are means while the weights change,
    for trained pictures, so that only these two can be compared.
    """
    figure, axes = _canvas(8, 4.5)
    _label(axes, title)
    epochs = [epoch.epoch for epoch in history]
    known = final or {}
    for of, colour, label, last in (
        ("", _TRAIN, "trained on, mean during the epoch", known.get("train_mse")),
        ("val_", _HELD_OUT, "held out, after the epoch", known.get("held_out_mse")),
    ):
        errors = np.array([getattr(epoch, f"{of}mse") for epoch in history])
        losses = np.array([getattr(epoch, f"{of}loss") for epoch in history])
        if not np.isfinite(errors).any():
            continue
        axes.plot(epochs, errors, color=colour, label=label, marker="o" if len(epochs) <= _FEW else None, markersize=5)
        end = errors[-1] if last is None else last
        if last is not None:
            axes.plot(epochs[-1:], [last], "D", color=colour, markersize=7, label=f"{label.split(',')[0]}, at the end")
        axes.annotate(f"{end:.4f}", (epochs[-1], end), (8, 0), textcoords="offset points", va="center")
        if not np.allclose(losses, errors, rtol=1e-2):
            axes.plot(epochs, losses, color=colour, alpha=0.45, linestyle=":", label=f"{label}, with penalties")
    axes.legend(frameon=False)
    _write(figure, path, force=force)


def draw_curves(groups: Sequence[Sequence[Training]], path: Path, *, force: bool = False) -> None:
    """Plot the errors of several trainings in a small panel each, on one scale for each group that can be compared.

    Where a log is given for comparison, the panel also has the losses with their penalties, ours and the logged ones.
    """
    columns = min(_ACROSS, max(map(len, groups)))
    rows = sum(-(-len(group) // columns) for group in groups)
    figure, _ = _canvas(3.2 * columns, 0.4 + 2.3 * rows, plots=0)
    grid, panels, row = figure.add_gridspec(rows, columns), [], 0
    for group in groups:
        first = None
        for number, (title, history, logged) in enumerate(group):
            axes = figure.add_subplot(grid[row + number // columns, number % columns], sharey=first)
            first = first or axes
            _draw_panel(axes, title, history)
            _draw_log(axes, history, logged)
            axes.set_ylabel("" if number % columns else "mean squared error", fontsize=7)
            panels.append(axes)
        row += -(-len(group) // columns)
    by_label = {line.get_label(): line for axes in panels for line in axes.lines if len(line.get_xdata()) != 1}
    figure.legend(by_label.values(), by_label.keys(), loc="outside upper right", ncols=3, frameon=False, fontsize=8)
    _write(figure, path, force=force)


def draw_errors(groups: Mapping[str, Sequence[Errors]], path: Path, *, force: bool = False) -> None:
    """Plot the held-out error of every row, if it has one, and the error of the trained pictures, with their intervals.

    groups: rows that can be compared, by what they have in common; each group has an axis of its own.
    """
    counts = [len(rows) for rows in groups.values()]
    figure, _ = _canvas(9, 0.5 + sum(0.9 + 0.28 * count for count in counts), plots=0)
    panels = figure.subplots(len(groups), squeeze=False, height_ratios=[count + 1 for count in counts]).ravel()
    for axes, (heading, rows) in zip(panels, groups.items(), strict=True):
        _draw_rows(axes, rows)
        axes.set_title(heading, loc="left", fontsize=9)
        axes.set_xlabel(f"mean squared error, {heading}", fontsize=8)
    found = [axes.get_legend_handles_labels() for axes in panels]
    by_label = {name: mark for marks, names in found for mark, name in zip(marks, names, strict=True)}
    figure.legend(by_label.values(), by_label.keys(), loc="outside upper right", ncols=2, frameon=False, fontsize=9)
    _write(figure, path, force=force)


def draw_scaling(figures: Sequence[Mapping[str, Any]], path: Path, *, force: bool = False) -> None:
    """Plot the times of `lookalike bench search` against the number of pictures, both on logarithmic axes.

    Dotted lines extrapolate the last two sizes to ten times as many pictures.
    """
    figure, axes = _canvas(8, 5)
    axes.set_title("Time against the number of pictures (dotted: extrapolated)", loc="left")
    sizes = [one["pictures"] for one in figures]
    for name, scale, label in _CURVES:
        times = [one[name] * scale for one in figures]
        (line,) = axes.plot(sizes, times, marker="o", markersize=4, label=label)
        if len(sizes) > 1:
            growth = math.log(times[-1] / times[-2]) / math.log(sizes[-1] / sizes[-2])
            ahead = times[-1] * 10**growth
            axes.plot([sizes[-1], 10 * sizes[-1]], [times[-1], ahead], color=line.get_color(), linestyle=":")
    axes.set(xscale="log", yscale="log", xlabel="pictures in the gallery", ylabel="milliseconds")
    axes.grid(axis="y", color="#e6e6e6")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    _write(figure, path, force=force)


def draw_layers(layers: Sequence[Layer], title: str, path: Path, *, force: bool = False) -> None:
    """Draw a model from input to output: a bar for each layer, as wide as the logarithm of its output size."""
    figure, axes = _canvas(8, 1.1 + 0.32 * len(layers))
    for x, side, heading in (
        (-0.54, "right", "layer"),
        (0, "center", "kind (width: logarithm of the output size)"),
        (0.54, "left", "output"),
        (1.16, "right", "parameters"),
    ):
        axes.text(x, -1, heading, ha=side, va="center", color=_INK, fontsize=8, style="italic")
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
    axes.set_ylim(len(layers) - 0.4, -1.5)
    axes.set_axis_off()
    total = sum(layer.parameters for layer in layers)
    axes.set_title(f"{title}, {total:,} parameters", loc="left")
    _write(figure, path, force=force)


def draw_reconstructions(
    originals: NDArray[np.float32], reconstructed: NDArray[np.float32], title: str, path: Path, *, force: bool = False
) -> None:
    """Draw pictures above their reconstructions, ten in a row; (n, h, w, 3) in [0, 1] each."""
    side = max(_TILE, originals.shape[1])
    columns = min(10, len(originals))
    band = 2 * (side + _GAP) + 2 * _GAP
    height = _HEAD + -(-len(originals) // columns) * band
    sheet = Image.new("RGB", (columns * (side + _GAP) + _GAP, height), "white")
    ImageDraw.Draw(sheet).text((_GAP, _GAP), title, _INK, ImageFont.load_default(18))
    for number, pair in enumerate(zip(originals, reconstructed, strict=True)):
        left = _GAP + number % columns * (side + _GAP)
        top = _HEAD + number // columns * band
        for row, values in enumerate(pair):
            sheet.paste(_image(values, side), (left, top + row * (side + _GAP)))
    write_drawing(sheet, path, force=force, protects=protected)


def draw_comparison(
    rows: Sequence[dict[str, Any]], figures: dict[str, str], path: Path, *, force: bool = False
) -> None:
    """Draw a band for each encoder with a mark for each of its figures in [0, 1], and their intervals below each other.

    figures: labels by field name.
    """
    shown = {figure: label for figure, label in figures.items() if any(figure in row for row in rows)}
    figure, axes = _canvas(10, 1.6 + (0.4 + 0.12 * len(shown)) * len(rows))
    offsets = np.linspace(-0.36, 0.36, len(shown)) if len(shown) > 1 else [0.0]
    for (name, label), mark, offset in zip(shown.items(), itertools.cycle("oDs^<>vP"), offsets, strict=False):
        colour = _TRAIN if name in {"mAP", "P@10", "top_1"} else _HELD_OUT
        hollow = name.endswith("_kept")
        values = [row.get(name, math.nan) for row in rows]
        axes.plot(
            values, np.arange(len(rows)) + offset, mark, color=colour, mfc="white" if hollow else colour, label=label
        )
        for number, row in enumerate(rows):
            if interval := row.get("intervals", {}).get(name):
                axes.plot(
                    interval,
                    [number + offset] * 2,
                    color=colour,
                    linewidth=3,
                    alpha=0.3,
                    solid_capstyle="butt",
                    zorder=1,
                )
    costs = [
        f"{row['name']}\n{row['dim']:,} dimensions, {row['rate']:.0f} pictures/s, {row['model_bytes'] / 1e6:.1f} MB"
        for row in rows
    ]
    axes.set_yticks(range(len(rows)), costs, fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(np.arange(len(rows) - 1) + 0.5, minor=True)
    axes.tick_params(axis="y", which="both", length=0)
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("quality (0 to 1, higher is better): means over the queries, with 95% intervals", fontsize=8)
    axes.grid(axis="x", color="#e6e6e6")
    axes.grid(axis="y", which="minor", color="#e6e6e6")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=min(_ACROSS, len(shown)), frameon=False, fontsize=8)
    _write(figure, path, force=force)


def _write(figure: Any, path: Path, *, force: bool) -> None:  # noqa: ANN401
    """Write a plot with the mark of Lookalike. Raises UsageError where `lookalike.files.write_output` does."""
    names = {".png": "Software", ".svg": "Creator", ".pdf": "Creator"}
    metadata = {name: MARK for ending, name in names.items() if path.suffix.lower() == ending}
    with write_output(path, force=force, protects=protected) as part:
        figure.savefig(part, metadata=metadata or None)


def _image(values: NDArray[np.float32], side: int) -> Image.Image:
    image = Image.fromarray(np.round(np.clip(values, 0, 1) * 255).astype(np.uint8))
    return image if image.width == side else image.resize((side, side), Image.Resampling.BICUBIC)


def _draw_rows(axes: Any, rows: Sequence[Errors]) -> None:  # noqa: ANN401
    """Draw a line for each row: the error of trained pictures and, with its value, that of held-out ones."""
    for number, (_, held_out, trained, margins) in enumerate(rows):
        apart = 0.15 if margins else 0.0  # so that two intervals do not lie on each other
        errors = {"held_out_mse": held_out, "train_mse": trained}
        marks = {
            "held_out_mse": (number - apart, _HELD_OUT, "held out"),
            "train_mse": (number + apart, _TRAIN, "trained on"),
        }
        if held_out is not None:
            axes.plot([trained, held_out], [number, number], color=_PALE, linewidth=3, zorder=1)
            at = (max(held_out, trained) + margins.get("held_out_mse", 0.0), number)
            axes.annotate(f"{held_out:.4f}", at, (9, 0), textcoords="offset points", va="center", fontsize=8)
        for name, (height, colour, label) in marks.items():
            if (error := errors[name]) is not None:
                axes.scatter([error], [height], color=colour, s=34, zorder=2, label=label)
                _draw_interval(axes, error, margins.get(name), height, colour)
    axes.set_yticks(range(len(rows)), [title for title, *_ in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="x", color="#e6e6e6")
    axes.set_axisbelow(True)
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0, labelsize=8)


def _draw_interval(axes: Any, middle: float, margin: float | None, height: float, colour: str) -> None:  # noqa: ANN401
    if margin is not None:
        ends = [middle - margin, middle + margin]
        axes.plot(ends, [height, height], "|-", color=colour, linewidth=1.2, label="95% interval of the mean")


def _draw_panel(axes: Any, title: str, history: Sequence[Epoch]) -> None:  # noqa: ANN401
    """Draw one panel: trained and held-out errors, and where the latter is smallest."""
    from matplotlib.patheffects import withStroke  # noqa: PLC0415
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter  # noqa: PLC0415

    epochs = [epoch.epoch for epoch in history]
    for name, colour, label in (("mse", _TRAIN, "trained on"), ("val_mse", _HELD_OUT, "held out")):
        errors = np.array([getattr(epoch, name) for epoch in history])
        if np.isfinite(errors).any():
            axes.plot(epochs, errors, color=colour, label=label, linewidth=1.4)
        if name == "val_mse" and np.isfinite(errors).any():
            best = int(np.nanargmin(errors))
            axes.plot(epochs[best : best + 1], errors[best : best + 1], "o", color=colour, markersize=4)
            axes.annotate(
                f"{errors[best]:.4f}",
                (epochs[best], errors[best]),
                (0, 7),
                textcoords="offset points",
                ha="center",
                fontsize=7,
                path_effects=[withStroke(linewidth=2.5, foreground="white")],  # to be read on top of a curve
                zorder=4,
            )
    axes.set_title(title, loc="left", fontsize=8)
    axes.set_xlabel("epoch", fontsize=7)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 1.5, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter(ScalarFormatter(useMathText=False))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=7)
    axes.xaxis.get_major_locator().set_params(integer=True, nbins=5)
    axes.grid(axis="y", color="#e6e6e6")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_log(axes: Any, history: Sequence[Epoch], logged: Sequence[LoggedEpoch]) -> None:  # noqa: ANN401
    """Draw the logged losses of the same experiment, and ours, both with their penalties."""
    epochs = [epoch.epoch for epoch in history]
    for column, name, colour, label in ((1, "loss", _TRAIN, "trained on"), (2, "val_loss", _HELD_OUT, "held out")):
        points = [(one[0], value) for one in logged if (value := one[column]) is not None]
        if points:
            ours = [getattr(epoch, name) for epoch in history]
            axes.plot(epochs, ours, ":", color=colour, linewidth=1.2, label=f"{label}, with penalties")
            axes.plot(*zip(*points, strict=True), ".", color=colour, markersize=3, label=f"{label}, as logged")


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


def _canvas(width: float, height: float, plots: int = 1) -> tuple[Any, Any]:
    """Create an empty figure that needs no screen, with a size in inches, and its axes if it has one plot."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  (0.3 s, and an extra)
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        raise MissingExtra("plots need the package matplotlib", hint=how_to_install("lookalike[plots]")) from None
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot() if plots else None
