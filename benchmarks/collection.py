"""How well the map, the groups, the outliers and the wrong labels of labelled collections are found.

    python benchmarks/collection.py FOLDER... [-o docs/results/explore/collection.json]

map: the share of the 10 nearest that are among the 10 nearest on the map, and trustworthiness (Venna & Kaski 2001).
groups: normalized mutual information with the classes. outliers: pictures of the other collections planted, 1%; the
precision at as many as were planted. labels: 3% of them replaced by a random other class, measured in the same way.
What umap-learn, openTSNE and leidenalg do is measured where they are installed; the package needs none of them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from lookalike import Gallery
from lookalike.explore import communities
from lookalike.explore.clusters import group_collection
from lookalike.explore.collection import read_collection
from lookalike.explore.confusions import find_confusions
from lookalike.explore.layout import NEIGHBOURS, lay_out
from lookalike.explore.outliers import find_outliers
from lookalike.store import Record, Space, open_store
from lookalike.vectors.graph import build_graph

PLANTED, WRONG, REPEATS = 0.01, 0.03, 3


class Measured:
    """A collection that was indexed: its vectors, embeddings and classes."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        with Gallery.open("memory:", create=True) as gallery:
            gallery.index(folder)
            self.space = gallery.store.space
            self.collection = read_collection(gallery.store)
            ids = [picture.id for picture in self.collection.pictures]
            self.embeddings = np.concatenate([rows for _, rows in gallery.store.embeddings(ids)])
        self.labels = np.array([picture.path.parent.name for picture in self.collection.pictures])

    def graph(self, k: int = NEIGHBOURS) -> Any:
        return build_graph(self.collection.vectors, k, self.collection.metric)


def measure_map(one: Measured) -> dict[str, Any]:
    rows, graph = one.collection.vectors, one.graph()
    centred = rows - rows.mean(axis=0)
    methods: dict[str, Any] = {
        "as built": lambda: lay_out(rows, graph),
        "principal components": lambda: centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T,
    }
    if (umap := find("umap")) is not None:
        methods["umap-learn"] = lambda: umap.UMAP(metric="cosine", random_state=0).fit_transform(rows)
    if (tsne := find("openTSNE")) is not None:
        methods["openTSNE"] = lambda: np.asarray(tsne.TSNE(metric="cosine", random_state=0, n_jobs=2).fit(rows))
    return {name: timed(make, lambda points: rate_points(rows, graph, points)) for name, make in methods.items()}


def rate_points(rows: np.ndarray, graph: Any, points: np.ndarray) -> dict[str, float]:
    near = build_graph(np.ascontiguousarray(points, np.float32), 10, "euclidean").indices
    pairs = zip(graph.indices[:, :10].tolist(), near.tolist(), strict=True)
    kept = float(np.mean([len({*one} & {*other}) / 10 for one, other in pairs]))
    return {"kept": kept, "trustworthiness": find_trustworthiness(rows, near)}


def find_trustworthiness(rows: np.ndarray, near: np.ndarray, k: int = 10, sample: int = 1000) -> float:
    count, lost = len(rows), 0
    chosen = np.random.default_rng(0).choice(count, min(sample, count), replace=False)
    for index in chosen:
        similarity = rows @ rows[index]
        similarity[index] = 2
        rank = np.empty(count, int)
        rank[np.argsort(-similarity, kind="stable")] = np.arange(count)
        lost += np.maximum(rank[near[index]] - k, 0).sum()
    return float(1 - 2 * lost / (len(chosen) * k * (2 * count - 3 * k - 1)))


def measure_groups(one: Measured) -> dict[str, Any]:
    classes = np.unique(one.labels, return_inverse=True)[1]
    count, rows = int(classes.max()) + 1, one.collection.vectors
    methods: dict[str, Any] = {
        "as built": lambda: group_collection(one.collection)[0],
        "as built, as many as classes": lambda: group_collection(one.collection, count)[0],
        "k-means, as many as classes": lambda: find_by_kmeans(rows, count),
    }
    if find("leidenalg") is not None:
        methods["leidenalg"] = lambda: find_by_leiden(one)
    return {
        name: timed(make, lambda found: {"groups": int(found.max()) + 1, "nmi": find_nmi(classes, found)})
        for name, make in methods.items()
    }


def find_by_kmeans(rows: np.ndarray, count: int) -> np.ndarray:
    means = faiss.Kmeans(rows.shape[1], count, niter=30, spherical=True, seed=1, nredo=3, min_points_per_centroid=1)
    means.train(rows)
    return np.asarray(means.index.search(rows, 1)[1][:, 0])


def find_by_leiden(one: Measured) -> np.ndarray:
    igraph, leidenalg = find("igraph"), find("leidenalg")
    edges = communities._read_edges(one.collection.graph)
    once = edges.start < edges.end
    graph = igraph.Graph(n=edges.points, edges=np.stack([edges.start[once], edges.end[once]], 1).tolist())
    kind, weights = leidenalg.ModularityVertexPartition, edges.weight[once].tolist()
    return np.array(leidenalg.find_partition(graph, kind, weights=weights, seed=0, n_iterations=-1).membership)


def find_nmi(one: np.ndarray, other: np.ndarray) -> float:
    table = np.zeros((one.max() + 1, other.max() + 1))
    np.add.at(table, (one, other), 1 / len(one))
    rows, columns, there = table.sum(axis=1), table.sum(axis=0), table > 0
    mutual = (table[there] * np.log(table[there] / np.outer(rows, columns)[there])).sum()
    entropy = sum(-(share[share > 0] * np.log(share[share > 0])).sum() for share in (rows, columns))
    return float(2 * mutual / entropy)


def measure_outliers(one: Measured, others: list[Measured]) -> float | None:
    if not others:
        return None
    found = []
    for seed in range(REPEATS):
        random = np.random.default_rng(seed)
        each = max(1, round(PLANTED * len(one.labels) / len(others)))
        foreign = [other.embeddings[random.choice(len(other.labels), each, replace=False)] for other in others]
        store = make_store(one, np.concatenate([one.embeddings, *foreign]))
        wanted = each * len(others)
        found.append(np.mean([int(hit.path.name) >= len(one.labels) for hit in find_outliers(store, wanted)]))
    return float(np.mean(found))


def measure_labels(one: Measured) -> float:
    classes, found = np.unique(one.labels), []
    for seed in range(REPEATS):
        random = np.random.default_rng(seed)
        wrong = random.choice(len(one.labels), round(WRONG * len(one.labels)), replace=False)
        labels = np.unique(one.labels, return_inverse=True)[1]
        labels[wrong] = (labels[wrong] + random.integers(1, len(classes), len(wrong))) % len(classes)
        store = make_store(one, one.embeddings)
        known = {b"/%06d" % index: str(label) for index, label in enumerate(labels)}
        listed = find_confusions(store, known, least=-2.0).wrong_labels[: len(wrong)]
        found.append(np.mean([int(each.path.name) in {*wrong.tolist()} for each in listed]))
    return float(np.mean(found))


def make_store(one: Measured, embeddings: np.ndarray) -> Any:
    space = Space("planted", "planted", embeddings.shape[1], one.space.metric, "planted")
    store = open_store("memory:", create=space)
    records = [Record(b"/%06d" % index, size=1, digest=index.to_bytes(32, "big")) for index in range(len(embeddings))]
    rows = {record.digest: row for record, row in zip(records, embeddings, strict=True) if record.digest}
    with store.writing():
        store.put(records, rows)
    return store


def timed(make: Any, rate: Any) -> dict[str, Any]:
    start = time.process_time()
    made = make()
    seconds = time.process_time() - start
    return {**rate(made), "cpu_seconds": round(seconds, 2)}


def find(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path)
    chosen = parser.parse_args()
    measured = [Measured(folder.resolve()) for folder in chosen.folders]
    results: dict[str, Any] = {}
    for one in measured:
        others = [other for other in measured if other is not one]
        results[one.name] = {
            "pictures": len(one.labels),
            "map": measure_map(one),
            "groups": measure_groups(one),
            "outliers": measure_outliers(one, others),
            "wrong labels": measure_labels(one),
        }
        print(one.name, json.dumps(results[one.name], indent=2), flush=True)
    if chosen.output is not None:
        chosen.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
