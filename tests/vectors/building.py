"""Searchers over made-up vectors, with inverted lists or without, in files whose bytes can be damaged."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from lookalike.vectors.exact import BLOCK, Matrix, prepare_vectors
from lookalike.vectors.ivf import InvertedLists, calibrate, cluster, write_lists
from lookalike.vectors.mapped import Writer, open_segment, write_segment
from lookalike.vectors.searcher import Part, Searcher

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.vectors.metric import Metric

__all__ = ["damage", "make_vectors", "open_part", "open_searcher", "write_vectors"]


@cache
def make_vectors(count: int, dim: int, metric: Metric) -> NDArray[np.float32]:
    """Made-up vectors in clusters, float32 (count, dim rounded up to a multiple of 8), as they are compared."""
    rng = np.random.default_rng(count)
    centres = rng.standard_normal((max(1, count // 50), dim))
    rows = centres[rng.integers(0, len(centres), count)] + 0.3 * rng.standard_normal((count, dim))
    return prepare_vectors(rows.astype(np.float32), metric)


def write_vectors(path: Path, vectors: NDArray[np.float32], metric: Metric) -> None:
    """Write them list by list with their inverted lists; the id of a vector is its index in `vectors` + 1."""
    clusters = cluster(vectors, metric)
    probes, error = calibrate(vectors, clusters, metric)
    ordered = vectors[clusters.order]

    def write(writer: Writer) -> None:
        ends = np.append(np.arange(BLOCK, len(ordered), BLOCK), len(ordered)).astype(np.int64)
        writer.array("ids", clusters.order + 1)
        writer.blocks("vectors", [ordered], ordered.shape, ends)
        write_lists(writer, clusters, lambda: iter([ordered]), metric)
        writer.finish({"probes": probes, "error": error})

    write_segment(path, write)


def open_part(path: Path, metric: Metric) -> Part:
    """The part in a file that `write_vectors` wrote, of which nothing large has been checked yet."""
    segment = open_segment(path)
    assert segment is not None
    blocks = segment.blocks("vectors")
    matrix = Matrix(segment.array("ids"), blocks.array, metric, blocks=blocks)
    lists = InvertedLists(segment, metric)
    return Part(matrix, None, lists, segment.header["probes"], float(segment.header["error"]))


def open_searcher(path: Path, metric: Metric) -> Searcher:
    """A searcher over such a file."""
    return Searcher([open_part(path, metric)])


def damage(path: Path, name: str, fraction: float) -> None:
    """Change one bit of an array, at a fraction of its length in [0, 1)."""
    content = bytearray(path.read_bytes())
    array = json.loads(content[content.rindex(b'{"probes"') :])["arrays"][name]
    size = int(np.prod(array["shape"])) * int(array["type"][-1])
    content[array["offset"] + int(fraction * size)] ^= 0x40
    path.unlink()  # whoever has mapped the file keeps what it was
    path.write_bytes(content)
