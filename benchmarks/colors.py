"""How well pictures are ranked by colour from what a gallery keeps of them, against all of their pixels.

    python benchmarks/colors.py COLLECTION... [--most 200] [--json docs/results/colors.json]
    python benchmarks/colors.py --anchors

The figure is Spearman's rank correlation, over the pictures of a collection, between how near a picture is to a colour
by its histogram (`images.colors.find_near`) and by each pixel of its file, rounded to 6 bits a channel. --most: of a
collection, pictures spread evenly over it, but for the first collection, which is taken as a whole. --anchors prints
the anchors of the histogram: centres of k-means in DIN99o over the colours of 15 bits.
"""

from __future__ import annotations

import argparse
import base64
import json
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from lookalike.datasets.labelled import load_labelled
from lookalike.images.colors import ciede2000, count_colors, find_near, parse_color, to_din99o, to_lab
from lookalike.images.sample import take_sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

COLORS = (
    *("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "beige", "black", "white", "gray"),
    *("turquoise", "navy"),
)
REACH = 20.0  # as in `images.colors`
LARGEST = 1024  # pixels of the longer side of which all are counted; of larger pictures some are left out
LEVELS = 64  # of a channel, by which pixels are counted


def make_lattice(levels: int) -> Numbers:
    """The colours whose channels have this many levels, in CIELAB, float64 (levels ** 3, 3)."""
    one = (np.arange(levels) + 0.5) * (256 / levels) - 0.5
    return to_lab(np.stack(np.meshgrid(one, one, one, indexing="ij"), axis=-1).reshape(-1, 3))


def weigh_lattice(lattice: Numbers) -> NDArray[np.float32]:
    """How near each colour of a lattice is to each of COLORS, float32 (n, c)."""
    wanted = [to_lab(np.array(list(bytes.fromhex(parse_color(name)[1:])), np.float64)) for name in COLORS]
    near = [np.exp(-np.square(ciede2000(color, lattice) / REACH)) for color in wanted]
    return np.stack(near, axis=1).astype(np.float32)


def read(path: bytes) -> Image.Image:
    image = Image.open(path).convert("RGB")
    step = -(-max(image.size) // LARGEST)
    return image.resize((-(-image.width // step), -(-image.height // step)), Image.Resampling.NEAREST)


def measure(paths: Sequence[bytes], weights: NDArray[np.float32]) -> list[float]:
    """The rank correlation for each of COLORS."""
    exact, histograms = np.empty((len(paths), len(COLORS))), []
    for n, path in enumerate(paths):
        image = read(path)
        pixels = np.asarray(image).reshape(-1, 3).astype(np.intp) // (256 // LEVELS)
        exact[n] = weights[(pixels[:, 0] * LEVELS + pixels[:, 1]) * LEVELS + pixels[:, 2]].mean(axis=0)
        histograms += count_colors([take_sample(image)])
    rows = np.frombuffer(b"".join(histograms), np.uint8).reshape(len(paths), -1)
    return [correlate(exact[:, n], find_near(rows, parse_color(name))) for n, name in enumerate(COLORS)]


def correlate(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Spearman's rank correlation; ties in their order, of which there are hardly any."""
    ranks = [np.argsort(np.argsort(some, kind="stable"), kind="stable") for some in (one, other)]
    first, second = (some - some.mean() for some in ranks)
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


def time_search(pictures: int) -> float:
    """Milliseconds for one colour over this many histograms, the median of 50."""
    rows = np.random.default_rng(0).integers(0, 40, (pictures, 256), np.uint8)
    times = []
    for _ in range(50):
        start = time.perf_counter()
        find_near(rows, "#ff8800")
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e3


def find_anchors(count: int = 256, steps: int = 60) -> list[str]:
    """The anchors, as `images.colors.ANCHORS` holds them."""
    colors = to_din99o(make_lattice(32))
    cells = np.unique(np.floor(colors / 6).astype(int), axis=0, return_inverse=True, return_counts=True)
    weights = 1 / cells[2][cells[1].ravel()]  # the same for all parts of the space, not of the lattice
    weights *= 1 + 3 * np.exp(-np.square(np.hypot(colors[:, 1], colors[:, 2]) / 12))
    rng = np.random.default_rng(0)
    centres = colors[rng.choice(len(colors), count, replace=False, p=weights / weights.sum())]
    for _ in range(steps):
        squares = (colors**2).sum(axis=1)[:, None] - 2 * colors @ centres.T + (centres**2).sum(axis=1)
        nearest = squares.argmin(axis=1)
        sums = [np.bincount(nearest, weights * column, count) for column in colors.T]
        centres = np.stack(sums, axis=1) / np.maximum(np.bincount(nearest, weights, count), 1e-9)[:, None]
    squares = (centres**2).sum(axis=1)[:, None] - 2 * centres @ colors.T + (colors**2).sum(axis=1)
    codes = np.sort(squares.argmin(axis=1)).astype(">u2")
    return textwrap.wrap(base64.b64encode(codes.tobytes()).decode(), 104)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", type=Path, nargs="*", metavar="COLLECTION")
    parser.add_argument("--anchors", action="store_true")
    parser.add_argument("--most", type=int, default=200, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    if options.anchors:
        print("\n".join(find_anchors()))
    weights, found = weigh_lattice(make_lattice(LEVELS)), []
    for number, folder in enumerate(options.collections):
        paths = [picture.path for picture in load_labelled(folder)]
        paths = paths[:: max(1, len(paths) // options.most)] if number else paths
        rho = dict(zip(COLORS, measure(paths, weights), strict=True))
        found.append({"collection": folder.name, "pictures": len(paths), "rank_correlation": rho})
        print(f"{folder.name:14} {len(paths):5}", *(f"{name} {value:.3f}" for name, value in rho.items()), flush=True)
    if options.collections:
        speed = {str(count): time_search(count) for count in (2_688, 1_000_000)}
        print("ms for one colour:", speed)
        if options.json:
            options.json.write_text(json.dumps({"milliseconds": speed, "collections": found}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
