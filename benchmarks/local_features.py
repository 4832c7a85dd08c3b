"""Very many real embeddings from a few thousand pictures: what `efficientnet-lite0` sees at each place of each picture.

    python benchmarks/local_features.py FOLDER OUT.npy [COUNT] [DIM]

The features before the average, 7 x 7 a picture, of several crops of every picture; centred and cut to DIM principal
directions. They are as clustered as a network's embeddings of a real collection are, with near-duplicates (neighbouring
places, overlapping crops) and with loners, which made-up data are not. float32 (COUNT, DIM) goes to OUT.npy, shuffled.
"""

from __future__ import annotations

import os
import sys
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
from PIL import Image

from lookalike.adaptation.projection import fit_projection
from lookalike.encoders import load_encoder
from lookalike.images.walk import walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_BATCH = 16
_SIDE = 224
_ROWS = 65536  # of one step of the projection


def main(folder: str, out: str, count: int = 1_000_000, dim: int = 128) -> None:
    session, name = _without_average()
    paths = [entry.path for entry in walk(os.fsencode(os.path.abspath(folder)))]
    features = np.concatenate(list(_features(session, name, _crops(paths), count)))[:count]
    starts = range(0, len(features), _ROWS)
    sample = features[:: max(1, len(features) // _ROWS)].astype(np.float32)
    projection = fit_projection([sample], features.shape[1], dim)
    rows = np.concatenate([projection.apply(features[n : n + _ROWS].astype(np.float32)) for n in starts])
    np.random.default_rng(0).shuffle(rows)
    np.save(out, rows)
    print(f"{rows.shape} in {out}")


def _without_average() -> tuple[Any, str]:
    """`efficientnet-lite0` with one output more: what goes into its average."""
    model = onnx.load_from_string(load_encoder("efficientnet-lite0").model)  # type: ignore[attr-defined]
    (pool,) = [node for node in model.graph.node if node.op_type == "GlobalAveragePool"]
    model.graph.output.append(onnx.helper.make_tensor_value_info(pool.input[0], onnx.TensorProto.FLOAT, None))
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]), pool.input[0]


def _crops(paths: list[bytes]) -> Iterator[NDArray[np.uint8]]:
    """Every picture once, then another crop of each, for ever."""
    rng = np.random.default_rng(0)
    while True:
        for path in paths:
            with Image.open(path) as image:
                picture = image.convert("RGB")
            side = min(picture.size) * rng.uniform(0.5, 1.0)
            left, top = rng.uniform(0, picture.width - side), rng.uniform(0, picture.height - side)
            box = (left, top, left + side, top + side)
            yield np.asarray(picture.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR, box=box))


def _features(session: Any, name: str, crops: Iterator[NDArray[np.uint8]], count: int) -> Iterator[NDArray[np.float16]]:
    """Square roots, which tame the few large ones, as float16 (n, channels)."""
    done = 0
    while done < count:
        (maps,) = session.run([name], {"images": np.stack(list(islice(crops, _BATCH)))})
        rows = np.sqrt(np.maximum(maps, 0)).transpose(0, 2, 3, 1).reshape(-1, maps.shape[1])
        done += len(rows)
        yield rows.astype(np.float16)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
