"""How many copies `lookalike duplicates` finds among the pictures of 8 Scenes, and how many pairs it takes for copies.

    python benchmarks/duplicates.py SCENES [--overlaps CSV] [--copies 100] [--budget 20000] [-o duplicates.json]
    python benchmarks/duplicates.py --embeddings 100000

Every copy is made of another picture, so that no copy is found by way of a second one: `--copies` for each edit, and
four times as many with two edits. Recall is the share of copies in one group with their originals. Precision is the
share of true pairs among the proven pairs of kind "identical" and "same picture". The pairs of 8 Scenes that overlap
by themselves are left out of both; those that are listed as the same count as true. Pairs of pictures of 8 Scenes
that are found beyond the list are named, to be looked at, and left out with the copies of these two.

With `--embeddings` no picture is read: random vectors in clusters, 1% of them copies with a little noise, and the
seconds until all groups are listed.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from edits import EDITS, edit_twice
from house_driver import make_digest
from PIL import Image

from lookalike import Gallery, Limits
from lookalike.explore.duplicates import DuplicateOptions, find_duplicates
from lookalike.images.description import DESCRIPTION_SIZE
from lookalike.images.perceptual import HASH_SIZE
from lookalike.store import Record, Space, open_store

_COPIES = {"identical", "same picture"}
_BATCH = 5000
_FLIPPED = 0.05  # of the bits of a copy's hash


def make_copies(scenes: list[Path], folder: Path, copies: int, seed: int) -> dict[str, tuple[str, str]]:
    """Write copies into a folder; the original and the edit of each by its name."""
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(scenes)).tolist()
    made = {}
    for number, name in enumerate([*(name for name in EDITS for _ in range(copies)), *["two"] * (4 * copies)]):
        if number >= len(chosen):
            break
        with Image.open(scenes[chosen[number]]) as file:
            image = file.convert("RGB")
        copy, edit = edit_twice(image, random) if name == "two" else (EDITS[name](image, random), name)
        path = folder / f"{number:05d}-{edit}.jpg"
        copy.save(path, quality=90)
        made[str(path)] = str(scenes[chosen[number]]), edit
    return made


def read_overlaps(path: Path | None, scenes: Path) -> dict[frozenset[str], str]:
    if path is None:
        return {}
    with path.open(newline="") as file:
        return {frozenset(str(scenes / row[name]) for name in "ab"): row["kind"] for row in csv.DictReader(file)}


def measure(scenes: Path, overlaps: Path | None, copies: int, budget: int, seed: int) -> dict[str, Any]:
    listed = read_overlaps(overlaps, scenes)
    with tempfile.TemporaryDirectory() as folder:
        made = make_copies(sorted(scenes.glob("*/*.jpg")), Path(folder), copies, seed)
        with Gallery.open(Path(folder) / "gallery", create=True) as gallery:
            gallery.index(scenes, folder)
            start, cpu = time.perf_counter(), time.process_time()
            found = gallery.duplicates(budget=budget)
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
            pictures = len(gallery)
    return {
        "pictures": pictures,
        "copies": len(made),
        "compared": found.compared,
        "left": found.left,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        **judge_recall(found, made),
        **judge_precision(found, made, listed),
    }


def judge_recall(found: Any, made: dict[str, tuple[str, str]]) -> dict[str, Any]:
    group_of = {
        str(each.path): number
        for number, group in enumerate(found.groups)
        for each in group.pictures
        if group.kind in _COPIES
    }
    by_edit: dict[str, list[bool]] = defaultdict(list)
    missed = []
    for copy, (original, edit) in made.items():
        is_found = copy in group_of and group_of[copy] == group_of.get(original, -1)
        by_edit["two" if "+" in edit else edit].append(is_found)
        missed += [] if is_found else [Path(copy).name]
    hits = [each for some in by_edit.values() for each in some]
    recall = {edit: round(float(np.mean(some)), 4) for edit, some in by_edit.items()}
    return {"recall": round(float(np.mean(hits)), 4), "recall_by_edit": recall, "missed": missed}


def judge_precision(found: Any, made: dict[str, tuple[str, str]], listed: dict[frozenset[str], str]) -> dict[str, Any]:
    """Precision over the proven pairs. Pairs of originals beyond the list are named, and count nowhere."""
    pairs = [[str(each.path) for each in (pair.a, pair.b)] for pair in _copies(found)]
    bases = [frozenset(made.get(path, (path, ""))[0] for path in paths) for paths in pairs]
    beyond = {
        each for each, paths in zip(bases, pairs, strict=True) if not listed.get(each) and not set(paths) & made.keys()
    }
    beyond = {each for each in beyond if len(each) > 1}
    kinds = ["copy" if len(each) == 1 else listed.get(each, "beyond" if each in beyond else "") for each in bases]
    right = [each for each, kind in zip(bases, kinds, strict=True) if kind in {"copy", "same", "identical", "frames"}]
    wrong = [list(map(_shorten, paths)) for paths, kind in zip(pairs, kinds, strict=True) if not kind]
    wanted = [pair for pair, kind in listed.items() if kind in {"same", "identical"}]
    return {
        "true_pairs": len(right),
        "wrong_pairs": wrong,
        "precision": round(len(right) / max(len(right) + len(wrong), 1), 4),
        "listed_same": len(wanted),
        "listed_same_found": sum(pair in set(right) for pair in wanted),
        "listed_frames_called_copies": sum(pair in set(right) for pair, kind in listed.items() if kind == "frames"),
        "beyond_the_list": sorted(sorted(map(_shorten, pair)) for pair in beyond),
    }


def _copies(found: Any) -> list[Any]:
    return [pair for group in found.groups if group.kind in _COPIES and group.proven for pair in group.pairs]


def _shorten(path: str) -> str:
    return "/".join(Path(path).parts[-2:])


def time_groups(count: int, seed: int) -> dict[str, Any]:
    """Seconds until all groups of this many embeddings are listed, 1% of them copies; no file is there to be read."""
    random = np.random.default_rng(seed)
    copies, dim = count // 100, 256
    centres = random.normal(size=(count // 50, dim)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        space = Space("made-up", "made-up", dim, "cosine", "made-up")
        with closing(open_store(Path(folder) / "gallery", create=space)) as store:
            wanted = _fill(store, centres, count, copies, random)
            start, cpu = time.perf_counter(), time.process_time()
            found = find_duplicates(store, DuplicateOptions(limits=Limits()))
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
            listed = {frozenset((pair.a.id, pair.b.id)) for group in found.groups for pair in group.pairs}
    share = sum(pair in listed for pair in wanted) / len(wanted)
    return {
        "embeddings": count,
        "copies": copies,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "listed": round(share, 4),
        "groups": len(found.groups),
    }


def _fill(store: Any, centres: Any, count: int, copies: int, random: np.random.Generator) -> list[frozenset[int]]:
    """Put made-up pictures into a store; the ids of each original and its copy."""
    rows = centres[random.integers(len(centres), size=count)] + random.normal(size=(count, centres.shape[1]))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    notes = random.integers(0, 256, (count, DESCRIPTION_SIZE), np.uint8)
    chosen = random.permutation(count)[: 2 * copies]
    originals, made = chosen[:copies], chosen[copies:]
    rows[made] = rows[originals] + random.normal(size=(copies, rows.shape[1])) * 0.02 / rows.shape[1] ** 0.5
    flips = np.packbits(random.random((copies, 256)) < _FLIPPED, axis=1)
    notes[made, :HASH_SIZE] = notes[originals, :HASH_SIZE] ^ flips
    with store.writing():
        for start in range(0, count, _BATCH):
            numbers = range(start, min(count, start + _BATCH))
            digests = [make_digest(number) for number in numbers]
            records = [Record(b"/made-up/%07d.jpg" % number, 1, 1, make_digest(number), 9, 9) for number in numbers]
            store.put(
                records,
                dict(zip(digests, rows[start:], strict=False)),
                dict(zip(digests, map(bytes, notes[start:]), strict=False)),
            )
    ids = {record.path: record.id for record in store.scan()}
    return [
        frozenset(ids[b"/made-up/%07d.jpg" % number] for number in pair) for pair in zip(originals, made, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scenes", type=Path, nargs="?")
    parser.add_argument("--overlaps", type=Path)
    parser.add_argument("--copies", type=int, default=100)
    parser.add_argument("--budget", type=int, default=20_000)
    parser.add_argument("--embeddings", type=int)
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    results = {} if asked.output is None or not asked.output.exists() else json.loads(asked.output.read_text())
    if asked.scenes is not None:
        scenes = asked.scenes.resolve()
        results["scenes"] = measure(scenes, asked.overlaps, asked.copies, asked.budget, asked.seed)
    if asked.embeddings is not None:
        results["embeddings"] = time_groups(asked.embeddings, asked.seed)
    text = json.dumps(results, indent=1)
    print(text)
    if asked.output is not None:
        asked.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
