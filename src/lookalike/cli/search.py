"""`lookalike search`: by a picture, by a text, or with the pictures that a trained model has not seen."""

from __future__ import annotations

import itertools
import os
import sys
from dataclasses import dataclass, replace
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
from lookalike.cli.printing import note, note_far, path_fields, print_json, print_table
from lookalike.cli.results import Results, show_path_here
from lookalike.errors import UsageError, counted, name_in_errors
from lookalike.files import check_output
from lookalike.store.location import name_command

if TYPE_CHECKING:
    from collections.abc import Callable

    from lookalike import Gallery, Hits
    from lookalike.files import Protects
    from lookalike.training.held_out import Answer, Sample

__all__: list[str] = []

_MOST_BYTES = 512 << 20  # of standard input


@command(
    "search",
    "lookalike search beach.jpg",
    "lookalike search beach.jpg --top 20 --filter 'width:>1000' --montage hits.jpg",
    "lookalike search a.jpg + 2:b.jpg - c.jpg",
    "lookalike search beach.jpg --crop 10%,10%,50%,50%",
    "lookalike search --text boat",
    "lookalike search --color orange:2 --color '#003366'",
    panel=FIND,
)
def search(
    query: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGE",
            help="The picture to search with: a file, id:17 for a picture of the gallery, or - for standard input. "
            "Several can be combined, with weights: a.jpg + 2:b.jpg - c.jpg; text:WORDS and color:NAME can be among "
            "them.",
        ),
    ] = None,
    *,
    like: Annotated[
        list[str] | None, typer.Option(metavar="IMAGE", help="The same as + IMAGE, for scripts. Repeatable.")
    ] = None,
    unlike: Annotated[
        list[str] | None, typer.Option(metavar="IMAGE", help="The same as - IMAGE, for scripts. Repeatable.")
    ] = None,
    good: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IMAGE", help="A hit of this query that was right: rank pictures like it higher. Repeatable."
        ),
    ] = None,
    bad: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IMAGE", help="A hit of this query that was wrong: rank pictures like it lower. Repeatable."
        ),
    ] = None,
    clipboard: Annotated[bool, typer.Option("--clipboard", help="Search with the picture on the clipboard.")] = False,
    crop: Annotated[
        str | None,
        typer.Option(metavar="X,Y,W,H", help="Search with this part of IMAGE, in pixels or percent: 10%,10%,50%,50%."),
    ] = None,
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
            help="Search for a colour, alone or together with IMAGE: red, '#ff8800'; with a weight: red:2. Repeatable.",
        ),
    ] = None,
    palette: Annotated[
        str | None,
        typer.Option(metavar="IMAGE", help="Search for the colours of this picture, alone or together with IMAGE."),
    ] = None,
    color_weight: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="How much colours count when combined with IMAGE or --text, from 0 to 1 (default: 0.5).",
        ),
    ] = None,
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
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Random seed of --sample; change it to draw other pictures.")
    ] = 1,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder for the drawings of --sample (default: beside the folder of --model)."
        ),
    ] = None,
    top: Annotated[int, typer.Option("-k", "--top", metavar="N", min=1, help="How many hits to show.")] = 10,
    offset: Annotated[
        int, typer.Option(metavar="N", min=0, help="Skip the N nearest hits, to show the next page.")
    ] = 0,
    filepath_only: Annotated[
        bool, typer.Option("-f", "--filepath-only", help="Print only the paths of the hits, for other programs.")
    ] = False,
    null: Annotated[
        bool, typer.Option("-0", "--null", help="Print only the paths, unescaped, each followed by a NUL character.")
    ] = False,
    montage: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the query and its hits into this picture file.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the hits as one HTML file, with thumbnails and links.")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print the hits as CSV, for spreadsheets.")] = False,
    tsv: Annotated[bool, typer.Option("--tsv", help="Print the hits as tab-separated values.")] = False,
    copy_to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Copy the hits into this folder; existing files are kept.")
    ] = None,
    link_to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Make links to the hits in this folder; existing files are kept.")
    ] = None,
    open_: Annotated[
        bool, typer.Option("--open", help="Open the file of --html or --montage; without either, a temporary page.")
    ] = False,
    thumbnails: Annotated[
        bool,
        typer.Option(
            "--thumbnails", help="Show the hits in the terminal, if it can show pictures (kitty, iTerm2, sixel)."
        ),
    ] = False,
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
    least: Annotated[bool, typer.Option("--least", help="Show the least similar pictures, farthest first.")] = False,
    diverse: Annotated[
        bool, typer.Option("--diverse", help="Show hits that differ from each other, chosen from the nearest 200.")
    ] = False,
    diversity: Annotated[
        float | None,
        typer.Option(
            metavar="STRENGTH", min=0, max=1, help="How much the hits of --diverse differ, from 0 to 1 (default: 0.5)."
        ),
    ] = None,
    unique: Annotated[bool, typer.Option("--unique", help="Show copies of the same picture as one hit.")] = False,
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
            metavar="N",
            min=0,
            help="Show only hits so near that at most N pictures are expected to be as near by chance.",
        ),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compare with every picture, even in a very large gallery.")
    ] = False,
    force: ForceOption = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Find the pictures most like a given picture or description.

    The hits are listed nearest first, each with its rank, distance and path; a distance of 0 means identical. With
    --model and --sample instead of IMAGE, each held-out picture is drawn as query_N.jpg and its hits as results_N.jpg.
    """
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
        "--least": least,
        "--diverse": diverse or diversity is not None,
        "--offset": offset,
        "--crop": crop,
        "--good": good,
        "--bad": bad,
        "--html": html,
        "--csv": csv,
        "--tsv": tsv,
        "--copy-to": copy_to,
        "--link-to": link_to,
        "--open": open_,
        "--thumbnails": thumbnails,
    }
    results = Results(json, csv, tsv, filepath_only, null, montage, html, copy_to, link_to, open_, thumbnails, force)
    by_color: dict[str, object] = {"--color": colors, "--palette": palette}
    pictures = _Pictures(query or [], like or [], unlike or [], clipboard, crop)
    _require_one({"IMAGE": pictures.option, "--text": text, "--sample": sample}, by_color, bool(good or bad))
    if sample is not None:
        _refuse("--sample", of_one | of_pictures | by_color)
        _answer_sample(_Asked(gallery, model, sample, seed, top), output, force=force, as_json=json)
        return
    if text is not None:
        _refuse("--text", of_pictures | {"--crop": crop})
    asked = _build_query(pictures.build(), text, _Colors(colors or [], palette, color_weight))
    asked = _mark(asked, good or [], bad or [])
    with lookalike.Gallery.open(gallery or lookalike.find_gallery(near=pictures.near), encoder=model) as opened:
        results.check(opened)
        terms = [*(where or ()), *(f"-{term}" for term in exclude or ())]
        hits = opened.search(
            asked,
            top,
            where=terms,
            weights=_weights(weights or []),
            order=order,
            exact=exact,
            include_self=include_self,
            unique=unique,
            offset=offset,
            diverse=diversity if diversity is not None else diverse,
            least=least,
        )
        explained = opened.explain_filters(terms, has_hits=bool(hits))
        for sentence in [*explained, *opened.explain_text(text or "")]:
            note(sentence)
        _note_undescribed(opened, hits)
        _note_nothing(opened, hits, threshold, filtered=bool(terms), offset=offset)
        _note_strange(hits)
        _note_unjudged(hits, max_false_match)
        hits = hits.within(threshold).beyond_chance(max_false_match)
        _note_missing(opened, hits)
        results.print(hits)
        results.write(opened, hits)


def _note_nothing(gallery: Gallery, hits: Hits, threshold: float | None, *, filtered: bool, offset: int) -> None:
    """Say why there is nothing to show: an empty gallery, no other picture, or a threshold below the nearest hit."""
    add_more = name_command("index FOLDER", gallery.location)
    if len(gallery) == 0:
        note(f"the gallery is empty; add pictures: {add_more}")
    elif not hits and offset:
        note(f"there are no hits after the first {offset:,}")
    elif not hits and not filtered:
        note(f"the gallery has no other picture; add more: {add_more}")
    elif hits and threshold is not None and (nearest := min(hit.distance for hit in hits)) > threshold:
        note_far(threshold, nearest)


def _note_strange(hits: Hits) -> None:
    """Say that nothing good was found, and what is nearest."""
    if hits.nothing_good and hits:
        note(
            f"nothing good found: even the nearest, {show_path_here(hits[0].path)}, is farther away than 95 in 100 "
            "pictures of the gallery are from their nearest neighbour"
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
            f"no hit is near enough: {nearest.expected:.3g} pictures are expected to be as near as "
            f"{show_path_here(nearest.path)} by chance"
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


def _require_one(queries: dict[str, object], colors: dict[str, object], marked: bool) -> None:  # noqa: FBT001
    """Raise UsageError unless exactly one of the queries was given, or none but colours. marked: whether hits were."""
    given = [name if name != "IMAGE" else str(query) for name, query in queries.items() if query is not None]
    if len(given) > 1:
        both = queries["--text"] is not None and queries["IMAGE"] is not None
        raise UsageError(
            f"{given[0]} and {given[1]} cannot be combined",
            hint="for a picture and words: lookalike search IMAGE + text:WORDS" if both else "lookalike search --help",
        )
    if not given and not any(colors.values()):
        if marked:
            raise UsageError(
                "--good and --bad mark hits of a query, but no query was given",
                hint="repeat the query: lookalike search IMAGE --good HIT",
            )
        raise UsageError(
            "there is nothing to search for", hint="give IMAGE, --text, --color, --palette, --like or --clipboard"
        )


@dataclass(frozen=True)
class _Pictures:
    """The pictures that are asked for, as they were written."""

    words: list[str]
    like: list[str]
    unlike: list[str]
    clipboard: bool
    crop: str | None

    @property
    def option(self) -> str | None:
        """Where a picture was named; None if none was."""
        given = {"IMAGE": self.words, "--like": self.like, "--unlike": self.unlike, "--clipboard": self.clipboard}
        return next((name for name, value in given.items() if value), None)

    @property
    def near(self) -> str | None:
        """The first file that was named."""
        named = [word.partition(":")[2] if word[:1].isdigit() and ":" in word else word for word in self._all]
        return next((word for word in named if word not in {"+", "-"} and not word.startswith("id:")), None)

    @property
    def _all(self) -> list[str]:
        return [*self.words, *self.like, *self.unlike]

    def build(self) -> lookalike.Query | None:
        """The query; None if no picture is asked for."""
        from lookalike.search.clipboard import read_clipboard  # noqa: PLC0415  (only for pictures)
        from lookalike.search.expression import read_expression  # noqa: PLC0415  (the same)

        if self.option is None:
            self._check_crop([])
            return None
        parts = [(1.0, read_clipboard())] if self.clipboard else []
        read = _Stdin().read
        parts += read_expression(self.words, read)
        parts += [_read_named("--like", word, read) for word in self.like]
        unlike = [_read_named("--unlike", word, read) for word in self.unlike]
        parts += [(-weight, part) for weight, part in unlike]
        self._check_crop(parts)
        if self.crop is not None:
            parts = [(weight, _cut(part, self.crop)) for weight, part in parts]
        weight, first = parts[0]
        return (
            first
            if len(parts) == 1 and weight == 1
            else sum((weight * part for weight, part in parts[1:]), start=weight * first)
        )

    def _check_crop(self, parts: list[tuple[float, lookalike.Query]]) -> None:
        if self.crop is not None and len(parts) != 1:
            raise UsageError(
                f"--crop takes a part of one picture, but {len(parts)} were given",
                hint="lookalike search IMAGE --crop 10%,10%,50%,50%",
            )


def _mark(query: lookalike.Query, good: list[str], bad: list[str]) -> lookalike.Query:
    """The query with the hits that were marked."""
    if not good and not bad:
        return query
    from lookalike.search.feedback import mark_query  # noqa: PLC0415  (numpy)

    for word in good:
        if word in bad:
            raise UsageError(f"{word} is marked with --good and with --bad", hint="mark it once")
    options = (("--good", good), ("--bad", bad))
    marked = [[_read_named(option, word, _Stdin().read)[1] for word in words] for option, words in options]
    return mark_query(query, *marked, names="--{}")


def _read_named(option: str, word: str, read: Callable[[], lookalike.Query]) -> tuple[float, lookalike.Query]:
    """A part of the query with its weight, which errors call by the option that gave it."""
    from lookalike.search.expression import read_part  # noqa: PLC0415  (Pillow)

    with name_in_errors(option):
        weight, part = read_part(word, read)
    return weight, replace(part, name=option)


class _Stdin:
    """Standard input as a picture, read once."""

    def __init__(self) -> None:
        self._is_read = False

    def read(self) -> lookalike.Query:
        """The query for what is on standard input. Raises UsageError."""
        if self._is_read:
            raise UsageError("standard input is one picture; - was given twice")
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError("- reads a picture from standard input, which is a terminal", hint="search - < beach.jpg")
        self._is_read = True
        data = sys.stdin.buffer.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise UsageError(f"standard input has more than {_MOST_BYTES >> 20} MiB, too much for a picture")
        if not data:
            raise UsageError("standard input is empty", hint="search - < beach.jpg")
        return lookalike.Query.content(data, "standard input")


def _cut(part: lookalike.Query, crop: str) -> lookalike.Query:
    """The query for a part of a picture. Raises UsageError for what is not a picture."""
    from lookalike.search.query import PictureQuery, StoredQuery  # noqa: PLC0415  (Pillow)

    if isinstance(part, PictureQuery):
        return lookalike.Query.picture(part.source, crop=crop)
    if isinstance(part, StoredQuery):
        return lookalike.Query.stored(part.id, crop=crop)
    raise UsageError("--crop takes a part of a picture, but no picture was given")


@dataclass(frozen=True)
class _Colors:
    """The colours that are asked for, and how much they count beside something else."""

    colors: list[str]
    palette: str | None
    given_weight: float | None

    @property
    def weight(self) -> float:
        """How much colours count beside something else."""
        return 0.5 if self.given_weight is None else self.given_weight

    def build(self) -> lookalike.Query | None:
        """The query; None if no colour is asked for."""
        parts = [lookalike.Query.color(*self.colors)] if self.colors else []
        parts += [self._read_palette(self.palette)] if self.palette is not None else []
        return None if not parts else parts[0] if len(parts) == 1 else parts[0] + parts[1]

    def _read_palette(self, word: str) -> lookalike.Query:
        weight, picture = _read_named("--palette", word, _Stdin().read)
        with name_in_errors("--palette"):
            query = replace(lookalike.Query.palette(replace(picture, name="")), name="--palette")
        return query if weight == 1 else weight * query


def _build_query(image: lookalike.Query | None, text: str | None, colors: _Colors) -> lookalike.Query:
    """The query that was given: pictures, a text, colours, or one of the former with colours."""
    if not 0 <= colors.weight <= 1:  # also for nan
        raise typer.BadParameter(f"{colors.weight:g} is not between 0 and 1", param_hint="--color-weight")
    wanted = colors.build()
    if wanted is None and colors.given_weight is not None:
        raise UsageError(
            "--color-weight is the weight of colours, but no colour was given", hint="add --color or --palette"
        )
    if image is None and text is None and wanted is not None:
        return wanted
    like = image if image is not None else lookalike.Query.text(text or "")
    if wanted is None or colors.weight == 0:
        return like
    total = sum(weight for weight, _ in wanted.terms)
    share = sum(max(weight, 0.0) for weight, _ in like.terms) or 1.0
    if colors.weight == 1:
        return wanted
    return ((1 - colors.weight) / share) * like + (colors.weight / total) * wanted


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
        note(f"drawn into {output}: query_N.jpg and results_N.jpg, where N is the number")


def _names(answer: Answer, output: Path) -> tuple[Path, Path]:
    return output / f"query_{answer.number}.jpg", output / f"results_{answer.number}.jpg"


def _draw(answer: Answer, files: tuple[Path, Path], protects: Protects, *, force: bool) -> tuple[Path, Path]:
    from lookalike.images.drawing import write_drawing  # noqa: PLC0415  (Pillow)
    from lookalike.images.ground import on_ground  # noqa: PLC0415  (the same)

    try:
        files[0].parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{files[0].parent} cannot be made: {error.strerror or error}") from None
    for image, file in zip((on_ground(answer.hits.image), answer.hits.montage()), files, strict=True):
        write_drawing(image, file, force=force, protects=protects)
    return files


def _note_limits(sample: Sample, count: int) -> None:
    """Say where the queries come from if they were not held out, and how many could not be had."""
    if sample.kind == "trained on":
        note("the model was trained on all of its pictures, so some of them serve as queries")
    elif sample.kind == "of the gallery":
        note(
            "it is not known which pictures this imported model was trained on, so the queries are pictures of the "
            "gallery"
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
