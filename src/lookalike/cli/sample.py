"""`lookalike search --sample`: the described system's search with pictures that were set aside."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import lookalike
from lookalike.cli.app import path_fields, print_json, print_table, warn
from lookalike.errors import UsageError
from lookalike.images.decode import on_white

if TYPE_CHECKING:
    from pathlib import Path

    from lookalike.training.held_out import Answer, Sample

__all__ = ["answer_sample"]


def answer_sample(
    place: Path | None, model: Path, count: int, *, seed: int, top: int, output: Path, as_json: bool
) -> None:
    """Search with `count` pictures that the model in `model` has not seen; draw and print what they find."""
    from lookalike.training.held_out import search_sample  # noqa: PLC0415  (numpy)

    with lookalike.Gallery.open(place, encoder=model) as gallery:
        sample = search_sample(gallery, model, count, k=top, seed=seed)
        encoder = gallery.store.space.encoder
    drawn = [_draw(answer, output) for answer in sample.answers]
    _tell(sample, count)
    if as_json:
        searches = [_fields(answer, files) for answer, files in zip(sample.answers, drawn, strict=True)]
        print_json({"queries": sample.kind, "missing": sample.missing, "searches": searches, "encoder": encoder})
    else:
        print_table(["number", "query", "rank", "distance", "hit"], _rows(sample))
        warn(f"drawn into {output}: query_N.jpg and results_N.jpg, N the number")


def _draw(answer: Answer, output: Path) -> tuple[Path, Path]:
    files = output / f"query_{answer.number}.jpg", output / f"results_{answer.number}.jpg"
    try:
        output.mkdir(parents=True, exist_ok=True)
        on_white(answer.hits.query).save(files[0], quality=92)
        answer.hits.montage().save(files[1], quality=92)
    except OSError as error:
        raise UsageError(f"{output} cannot be drawn into: {error.strerror or error}") from None
    return files


def _tell(sample: Sample, count: int) -> None:
    if sample.kind == "trained on":
        warn("the model was trained on all of its pictures: it is asked with some of them")
    elif sample.kind == "of the gallery":
        warn(
            "the model was imported, and nobody knows what it was trained on: it is asked with pictures of the gallery"
        )
    if sample.missing:
        warn(f"warning: {sample.missing} pictures that were drawn are not where they were; others took their place")
    if len(sample.answers) < count:
        warn(f"warning: only {len(sample.answers)} pictures {sample.kind} can be found")


def _fields(answer: Answer, files: tuple[Path, Path]) -> dict[str, Any]:
    hits = [
        {"rank": hit.rank, **path_fields(os.fsencode(hit.path)), "distance": hit.distance, "id": hit.id}
        for hit in answer.hits
    ]
    query = path_fields(os.fsencode(answer.path))
    return {"number": answer.number, "query": query, "hits": hits, "drawn": [str(file) for file in files]}


def _rows(sample: Sample) -> list[tuple[object, ...]]:
    return [
        (answer.number, _name(answer.path), hit.rank, hit.distance, _name(hit.path))
        for answer in sample.answers
        for hit in answer.hits
    ]


def _name(path: Path) -> str:
    return path_fields(os.fsencode(path.name))["display"]
