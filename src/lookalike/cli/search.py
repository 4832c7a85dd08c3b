"""`lookalike search`: by a picture, by a text, or with the pictures that a trained model has not seen."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import lookalike
from lookalike.cli.app import (
    FIND,
    DeviceOption,
    ForceOption,
    IndexOption,
    JsonOption,
    OrderOption,
    ProgressOption,
    ThresholdOption,
    command,
)
from lookalike.cli.printing import note, note_far, path_fields, print_json, print_paths, print_table
from lookalike.errors import UsageError, counted
from lookalike.files import check_output
from lookalike.store.location import name_command

if TYPE_CHECKING:
    from lookalike import Gallery, Hits
    from lookalike.files import Protects
    from lookalike.training.held_out import Answer, Sample

__all__: list[str] = []


@command(
    "search",
    "lookalike search beach.jpg",
    "lookalike search beach.jpg --top 20 --filter 'width:>1000' --montage hits.jpg",
    "lookalike search --text boat",
    "lookalike search --color orange:2 --color '#003366'",
    panel=FIND,
)
def search(
    query: Annotated[Path | None, typer.Argument(metavar="IMAGE", help="The picture to search with.")] = None,
    *,
    text: Annotated[
        str | None,
        typer.Option(
            metavar="WORDS",
            help="Search with words instead of IMAGE: a kind of thing, as `lookalike words` lists them, a name "
            "that was taught, or any description if the encoder also understands text, as CLIP and SigLIP do.",
        ),
    ] = None,
    colors: Annotated[
        list[str] | None,
        typer.Option(
            "--color",
            metavar="COLOR",
            help="Search for a colour, alone or beside IMAGE: red, '#ff8800'; with a weight: red:2. Repeatable.",
        ),
    ] = None,
    palette: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Search for the colours of this picture, alone or beside IMAGE.")
    ] = None,
    color_weight: Annotated[
        float, typer.Option(metavar="SHARE", help="How much colours count beside IMAGE or --text, from 0 to 1.")
    ] = 0.5,
    gallery: IndexOption = None,
    model: Annotated[
        Path | None,
        typer.Option("-m", "--model", metavar="DIR", help="Folder of the trained model that made the gallery."),
    ] = None,
    device: DeviceOption = "auto",
    sample: Annotated[
        int | None,
        typer.Option(
            "-s",
            "--sample",
            metavar="N",
            min=1,
            help="Search with N held-out pictures of --model, and draw each query and its hits.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Change it to draw another --sample.")] = 1,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where --sample draws (default: beside the folder of --model).")
    ] = None,
    top: Annotated[int, typer.Option("-k", "--top", metavar="N", min=1, help="How many hits to show.")] = 10,
    filepath_only: Annotated[
        bool, typer.Option("-f", "--filepath-only", help="Print only the paths of the hits, for other programs.")
    ] = False,
    null: Annotated[
        bool, typer.Option("-0", "--null", help="Print only the paths, unescaped, each followed by a NUL.")
    ] = False,
    montage: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the query and its hits into this picture file.")
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weight",
            metavar="NAME=SHARE",
            help="Weight of one part of a hybrid encoder, e.g. histogram=0.3. Repeatable.",
        ),
    ] = None,
    order: OrderOption = "distance",
    include_self: Annotated[
        bool, typer.Option("--include-self", help="Show the query itself too, if it is in the gallery.")
    ] = False,
    unique: Annotated[bool, typer.Option("--unique", help="Count copies of the same picture once.")] = False,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="FIELD:VALUE",
            help="Only pictures that match: folder:beach, width:>1000. Repeatable.",
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD:VALUE", help="Leave out pictures that match: label:forest, name:*_thumb.*. Repeatable."
        ),
    ] = None,
    threshold: ThresholdOption = None,
    max_false_match: Annotated[
        float | None,
        typer.Option(
            metavar="N", min=0, help="Show only hits so near that at most N pictures are expected there by chance."
        ),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compare with every picture, even in a very large gallery.")
    ] = False,
    force: ForceOption = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Find the pictures most like a picture or a description.

    The nearest come first. With --model and --sample instead of IMAGE, each held-out picture is drawn as query_N.jpg
    and its hits as results_N.jpg.
    """
    from lookalike.images.drawing import write_drawing  # noqa: PLC0415  (Pillow)

    of_pictures: dict[str, object] = {
        "--weight": weights,
        "--include-self": include_self,
        "--order": order != "distance",
    }
    of_one: dict[str, object] = {
        "--montage": montage,
        "--filepath-only": filepath_only,
        "--null": null,
        "--filter": where,
        "--exclude": exclude,
        "--threshold": threshold is not None,
        "--max-false-match": max_false_match is not None,
        "--exact": exact,
        "--unique": unique,
    }
    by_color: dict[str, object] = {"--color": colors, "--palette": palette}
    _require_one({"IMAGE": query, "--text": text, "--sample": sample}, by_color)
    if sample is not None:
        _refuse("--sample", of_one | of_pictures | by_color)
        _answer_sample(_Asked(gallery, model, sample, seed, top), output, force=force, as_json=json)
        return
    if text is not None:
        _refuse("--text", of_pictures)
    with lookalike.Gallery.open(gallery or lookalike.find_gallery(near=query), encoder=model) as opened:
        if montage is not None:
            check_output(montage, force=force, protects=opened.protects)
        terms = [*(where or ()), *(f"-{term}" for term in exclude or ())]
        hits = opened.search(
            _build_query(query, text, _Colors(colors or [], palette, color_weight)),
            top,
            where=terms,
            weights=_weights(weights or []),
            order=order,
            exact=exact,
            include_self=include_self,
            unique=unique,
        )
        explained = opened.explain_filters(terms, has_hits=bool(hits))
        for sentence in [*explained, *opened.explain_text(text or "")]:
            note(sentence)
        _note_undescribed(opened, hits)
        _note_nothing(opened, hits, threshold, filtered=bool(terms))
        _note_strange(hits)
        _note_unjudged(hits, max_false_match)
        hits = hits.within(threshold).beyond_chance(max_false_match)
        _note_missing(opened, hits)
        if montage is not None:
            write_drawing(hits.montage(), montage, force=force, protects=opened.protects)
            note(f"montage: {montage}")
    if json:
        print_json(hits.to_dict())
    elif filepath_only or null:
        print_paths([os.fsencode(hit.path) for hit in hits], null=null)
    else:
        print_table(["rank", "distance", "path"], [(hit.rank, hit.distance, _shown(hit.path)) for hit in hits])


def _note_nothing(gallery: Gallery, hits: Hits, threshold: float | None, *, filtered: bool) -> None:
    """Say why there is nothing to show: an empty gallery, no other picture, or a threshold below the nearest hit."""
    add_more = name_command("index FOLDER", gallery.location)
    if len(gallery) == 0:
        note(f"the gallery is empty; add pictures: {add_more}")
    elif not hits and not filtered:
        note(f"the gallery has no other picture; add more: {add_more}")
    elif hits and threshold is not None and (nearest := min(hit.distance for hit in hits)) > threshold:
        note_far(threshold, nearest)


def _note_strange(hits: Hits) -> None:
    """Say that nothing good was found, and what is nearest."""
    if hits.nothing_good and hits:
        note(
            f"nothing good found: even {_shown(hits[0].path)} is farther than the nearest other picture "
            "of 95 in 100 pictures of the gallery"
        )


def _note_unjudged(hits: Hits, max_false_match: float | None) -> None:
    """Say why a limit cuts nothing, or that it cuts everything and what is nearest."""
    if max_false_match is None or not hits:
        return
    if hits[0].expected is None:
        note(
            "--max-false-match has no effect: it needs a picture as the query and 20 different pictures in the gallery"
        )
    elif not hits.nothing_good and not hits.beyond_chance(max_false_match):
        nearest = min(hits, key=lambda hit: hit.expected or 0.0)
        note(
            f"no hit is near enough: {nearest.expected:.3g} pictures are expected by chance as near as "
            f"{_shown(nearest.path)}"
        )


def _note_missing(gallery: Gallery, hits: Hits) -> None:
    """Say how many of the hits have lost their files."""
    if count := hits.missing:
        verb = "is" if count == 1 else "are"
        update = name_command("index", gallery.location)
        note(f"{count:,} of {counted(len(hits), 'hit')} {verb} no longer there; update the gallery: {update}")


def _note_undescribed(gallery: Gallery, hits: Hits) -> None:
    """Say how many pictures a search by colour cannot find yet."""
    if count := hits.undescribed:
        has = "has" if count == 1 else "have"
        refresh = name_command("index --refresh", gallery.location)
        note(f"{counted(count, 'picture')} {has} no colour description yet; run: {refresh}")


def _require_one(queries: dict[str, object], colors: dict[str, object]) -> None:
    """Raise UsageError unless exactly one of the queries was given, or none but colours."""
    given = sum(query is not None for query in queries.values())
    if given > 1 or (not given and not any(colors.values())):
        raise UsageError(
            "give exactly one of IMAGE, --text or --sample, or --color or --palette", hint="lookalike search --help"
        )


@dataclass(frozen=True)
class _Colors:
    """The colours that are asked for, and how much they count beside something else."""

    colors: list[str]
    palette: Path | None
    weight: float

    def build(self) -> lookalike.Query | None:
        """The query; None if no colour is asked for."""
        parts = [lookalike.Query.color(*self.colors)] if self.colors else []
        parts += [lookalike.Query.palette(self.palette)] if self.palette is not None else []
        return None if not parts else parts[0] if len(parts) == 1 else parts[0] + parts[1]


def _build_query(image: Path | None, text: str | None, colors: _Colors) -> lookalike.Query:
    """The query that was given: a picture, a text, colours, or one of the former with colours."""
    if not 0 <= colors.weight <= 1:  # also for nan
        raise typer.BadParameter(f"{colors.weight:g} is not between 0 and 1", param_hint="--color-weight")
    wanted = colors.build()
    if image is None and text is None and wanted is not None:
        return wanted
    like = lookalike.Query.picture(image) if image is not None else lookalike.Query.text(text or "")
    if wanted is None or colors.weight == 0:
        return like
    total = sum(weight for weight, _ in wanted.terms)
    return wanted if colors.weight == 1 else (1 - colors.weight) * like + (colors.weight / total) * wanted


def _refuse(option: str, others: dict[str, object]) -> None:
    """Raise UsageError when one of the others was given: they mean nothing beside this option."""
    if given := [name for name, value in others.items() if value]:
        raise UsageError(f"{option} and {given[0]} cannot be combined")


def _weights(texts: list[str]) -> dict[str, float]:
    """`histogram=0.3` as {"histogram": 0.3}; the name may contain a `=`."""
    weights = {}
    for text in texts:
        name, _, share = text.rpartition("=")
        try:
            weights[name] = float(share)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is not NAME=SHARE", param_hint="--weight") from None
    return weights


def _shown(path: Path) -> str:
    """A path below the current folder is shown relative to it."""
    try:
        here = Path.cwd()
    except OSError:  # deleted meanwhile
        here = Path("/nowhere")
    below = path.relative_to(here) if path.is_relative_to(here) else path
    return path_fields(os.fsencode(below))["display"]


@dataclass(frozen=True)
class _Asked:
    """What `--sample` asks for."""

    gallery: str | None
    model: Path | None
    count: int
    seed: int
    top: int


def _answer_sample(asked: _Asked, output: Path | None, *, force: bool, as_json: bool) -> None:
    """Search with held-out pictures of a model; draw and print what they find."""
    from lookalike.training.held_out import search_sample  # noqa: PLC0415  (numpy)

    if asked.model is None:
        raise UsageError("--sample needs --model, the folder of the model that made the gallery")
    output = output or asked.model.parent
    with lookalike.Gallery.open(asked.gallery, encoder=asked.model) as gallery:
        sample = search_sample(gallery, asked.model, asked.count, k=asked.top, seed=asked.seed)
        encoder = gallery.store.space.encoder
        output_of = {answer.number: _names(answer, output) for answer in sample.answers}
        for file in itertools.chain(*output_of.values()):
            check_output(file, force=force, protects=gallery.protects)
        drawn = [_draw(answer, output_of[answer.number], gallery.protects, force=force) for answer in sample.answers]
    _note_limits(sample, asked.count)
    if as_json:
        searches = [_answer_fields(answer, files) for answer, files in zip(sample.answers, drawn, strict=True)]
        print_json({"queries": sample.kind, "missing": sample.missing, "searches": searches, "encoder": encoder})
    else:
        print_table(["number", "query", "rank", "distance", "hit"], _rows(sample))
        note(f"drawn into {output}: query_N.jpg and results_N.jpg, N the number")


def _names(answer: Answer, output: Path) -> tuple[Path, Path]:
    return output / f"query_{answer.number}.jpg", output / f"results_{answer.number}.jpg"


def _draw(answer: Answer, files: tuple[Path, Path], protects: Protects, *, force: bool) -> tuple[Path, Path]:
    from lookalike.images.drawing import write_drawing  # noqa: PLC0415  (Pillow)
    from lookalike.images.ground import on_ground  # noqa: PLC0415  (the same)

    try:
        files[0].parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{files[0].parent} cannot be drawn into: {error.strerror or error}") from None
    for image, file in zip((on_ground(answer.hits.image), answer.hits.montage()), files, strict=True):
        write_drawing(image, file, force=force, protects=protects)
    return files


def _note_limits(sample: Sample, count: int) -> None:
    """Say where the queries come from if they were not held out, and how many could not be had."""
    if sample.kind == "trained on":
        note("the model was trained on all of its pictures: some of them are the queries")
    elif sample.kind == "of the gallery":
        note(
            "it is not known which pictures this imported model was trained on: the queries are pictures of the gallery"
        )
    if sample.missing:
        note(f"warning: {counted(sample.missing, 'picture')} of the sample could not be found; others were drawn")
    if len(sample.answers) < count:
        note(f"warning: only {counted(len(sample.answers), 'picture')} {sample.kind} can be found")


def _answer_fields(answer: Answer, files: tuple[Path, Path]) -> dict[str, Any]:
    query = path_fields(os.fsencode(answer.path))
    drawn = [str(file) for file in files]
    return {"number": answer.number, "query": query, "hits": [hit.to_dict() for hit in answer.hits], "drawn": drawn}


def _rows(sample: Sample) -> list[tuple[object, ...]]:
    return [
        (answer.number, _name(answer.path), hit.rank, hit.distance, _name(hit.path))
        for answer in sample.answers
        for hit in answer.hits
    ]


def _name(path: Path) -> str:
    return path_fields(os.fsencode(path.name))["display"]
