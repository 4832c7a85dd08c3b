"""Commands that make a gallery and search it."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

import lookalike
from lookalike.cli.app import (
    FollowLinksOption,
    IndexOption,
    JsonOption,
    MegapixelsOption,
    OrderOption,
    ProgressOption,
    WaitOption,
    app,
    path_fields,
    print_json,
    print_paths,
    print_table,
    progress_bar,
    warn,
)
from lookalike.cli.fetching import fetch_named
from lookalike.cli.reports import print_line, print_report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike import Gallery, Hits, IndexOptions, Report

__all__: list[str] = []

EncoderOption = Annotated[
    str | None,
    typer.Option(
        "-e",
        "--encoder",
        metavar="NAME|FILE",
        help="An encoder's name, a model file or folder, or hf:OWNER/NAME@COMMIT.",
    ),
]


@app.command()
def index(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER...]", help="Folders, or single pictures; by default all that are known."),
    ] = None,
    *,
    gallery: IndexOption = None,
    encoder: EncoderOption = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Leave out names or paths like this pattern.")] = None,
    follow_links: FollowLinksOption = False,
    max_megapixels: MegapixelsOption = 100.0,
    batch_size: Annotated[int, typer.Option(min=1, max=4096, help="Pictures committed at once.")] = 128,
    wait: WaitOption = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done; write nothing.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on when the folders change, until Ctrl-C.")] = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Bring a gallery up to date with folders of pictures: new, changed, renamed and vanished files.

    Without --index the gallery is the nearest .lookalike in the first folder or above it, else a new one in it. Folders
    and their --exclude and --follow-links are remembered: without FOLDER all that are known are brought up to date.
    """
    if not folders and (exclude or follow_links):
        raise typer.BadParameter("--exclude and --follow-links are about folders: name them")
    if watch and dry_run:
        raise typer.BadParameter("--watch is no dry run")
    options = lookalike.IndexOptions(
        rules=lookalike.Rules(exclude=tuple(exclude or ()), follow_links=follow_links),
        limits=lookalike.Limits(megapixels=max_megapixels),
        batch_size=batch_size,
        dry_run=dry_run,
    )
    place = gallery or _place_for(folders)
    with (
        _opened(place, folders or [], encoder, options, hidden=no_progress or json) as opened,
        progress_bar("indexing", hidden=no_progress or json) as progress,
    ):
        report = opened.index(*folders or (), options=options, progress=progress, wait=wait)
        pictures = len(opened)
    if watch:
        _watch(place, report, options, in_json=json)
    print_report(report, place, in_json=json)
    if dry_run:
        warn("a dry run: nothing was written")
    elif not json:
        rate = report.added / report.seconds if report.seconds else 0.0
        warn(f"{pictures:,} pictures in {place}, {report.seconds:.1f} s, {rate:.0f} new ones a second")


@app.command()
def search(
    query: Annotated[Path | None, typer.Argument(metavar="IMAGE", help="The picture to look for.")] = None,
    *,
    text: Annotated[
        str | None, typer.Option(help="Look for what this describes, instead of IMAGE; needs a pair of towers.")
    ] = None,
    gallery: IndexOption = None,
    model: Annotated[Path | None, typer.Option("-m", "--model", help="A training's folder; the gallery's own.")] = None,
    sample: Annotated[
        int | None, typer.Option("-s", "--sample", min=1, help="Search with N pictures that --model holds out.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draw other pictures for --sample.")] = 1,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where --sample draws; by default beside --model.")
    ] = None,
    top: Annotated[int, typer.Option("-k", "--top", help="How many hits.")] = 10,
    filepath_only: Annotated[
        bool, typer.Option("-f", "--filepath-only", help="Print nothing but paths, for other programs.")
    ] = False,
    null: Annotated[bool, typer.Option("-0", "--null", help="With -f: raw paths with a NUL behind each.")] = False,
    montage: Annotated[Path | None, typer.Option(help="Draw the query and its hits into this picture file.")] = None,
    weights: Annotated[
        list[str] | None, typer.Option("--weight", metavar="NAME=SHARE", help="Of a hybrid's parts: histogram=0.3.")
    ] = None,
    order: OrderOption = "distance",
    include_self: Annotated[bool, typer.Option("--include-self", help="Let the query be its own hit.")] = False,
    where: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="FIELD:VALUE", help="Only such pictures: folder:beach, width:>1000."),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="FIELD:VALUE", help="No such pictures: label:forest, name:*_thumb.*.")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Only hits at most so far.")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Compare with every picture, however many.")] = False,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Find the pictures most like one picture, or best described by a --text, nearest first.

    With --model and --sample instead of IMAGE: search with pictures that the model has not seen, and draw each into
    query_N.jpg and its hits into results_N.jpg.
    """
    if sample is not None:
        from lookalike.cli.sample import answer_sample  # noqa: PLC0415  (numpy)

        one_only: dict[str, object] = {
            "IMAGE": query,
            "--text": text,
            "--montage": montage,
            "--filepath-only": filepath_only,
            "--null": null,
        }
        one_only |= {"--filter": where, "--exclude": exclude, "--threshold": threshold, "--exact": exact}
        one_only["--order"] = order != "distance"
        given = [name for name, value in one_only.items() if value]
        if model is None or given:
            raise typer.BadParameter(f"not with {given[0]}" if given else "needs a --model", param_hint="--sample")
        answer_sample(gallery, model, sample, seed=seed, top=top, output=output or model.parent, as_json=json)
        return
    asked = _asked(query, text, {"--weight": weights, "--include-self": include_self, "--order": order != "distance"})
    with lookalike.Gallery.open(gallery, encoder=model) as opened:
        opened.exact = exact
        terms = [*(where or ()), *(f"-{term}" for term in exclude or ())]
        if isinstance(asked, str):
            hits = opened.search_text(asked, top, where=terms)
        else:
            hits = opened.search(
                asked,
                top,
                include_self=include_self,
                where=terms,
                weights=_weights(weights or []),
                order=order,
            )
        encoder = opened.store.space.encoder
    hits = hits.within(threshold)
    if montage is not None:
        _save(hits, montage)
    if json:
        print_json(_hits_fields(hits, asked, encoder))
    elif filepath_only or null:
        print_paths([os.fsencode(hit.path) for hit in hits], null=null)
    else:
        print_table(["rank", "distance", "path"], [(hit.rank, hit.distance, _shown(hit.path)) for hit in hits])
        if montage is not None:
            warn(f"montage: {montage}")


def _place_for(folders: list[Path] | None) -> Path:
    """Where the gallery of a folder is: the nearest one upward from it, else a new one inside it."""
    if not folders:
        return lookalike.find_gallery()
    inside = folders[0] if folders[0].is_dir() else folders[0].parent
    try:
        return lookalike.find_gallery(inside)
    except lookalike.LookalikeError:
        return inside / ".lookalike"


@contextmanager
def _opened(
    place: Path, folders: list[Path], encoder: str | None, options: IndexOptions, *, hidden: bool
) -> Iterator[Gallery]:
    """The gallery, made if it is not there; an encoder that has to be learned is learned from the folders first.

    For a dry run where there is no gallery, one that is gone afterwards.
    """
    with ExitStack() as stack:
        is_new = not (place / "gallery.db").exists()
        if encoder is not None and not options.dry_run:
            fetch_named(encoder, hidden=hidden)
        if is_new and options.dry_run:
            place = Path(stack.enter_context(TemporaryDirectory(prefix="lookalike-")))
        if is_new and encoder is not None:
            from lookalike.indexing.learned import learn  # noqa: PLC0415

            with progress_bar("learning", hidden=hidden) as progress:
                learn(encoder, folders, place, options=options, progress=progress)
        yield stack.enter_context(lookalike.Gallery.open(place, encoder=encoder, create=True))


def _weights(texts: list[str]) -> dict[str, float]:
    """`histogram=0.3` as {"histogram": 0.3}; the name may have a `=` in it."""
    weights = {}
    for text in texts:
        name, _, share = text.rpartition("=")
        try:
            weights[name] = float(share)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is not NAME=SHARE", param_hint="--weight") from None
    return weights


def _watch(place: Path, first: Report, options: IndexOptions, *, in_json: bool) -> None:
    """Print a line for the first run and for each that follows; ends by Ctrl-C."""
    from lookalike.indexing.watch import watch  # noqa: PLC0415  (watchfiles, 0.06 s)

    print_line(first, in_json=in_json)
    with lookalike.Gallery.open(place) as opened:
        places = ", ".join(path_fields(root.path)["display"] for root in opened.roots)
        warn(f"watching {places}; Ctrl-C ends it")
        watch(opened, lambda report: print_line(report, in_json=in_json), options=options)


def _asked(query: Path | None, text: str | None, of_pictures: dict[str, object]) -> Path | str:
    """The picture or the text that is searched with: one of them; a text has no options that are about pictures."""
    if query is not None and text is None:
        return query
    if text is None or query is not None:
        raise typer.BadParameter("a picture, --text or --sample: one of them", param_hint="IMAGE")
    given = [name for name, value in of_pictures.items() if value]
    if given:
        raise typer.BadParameter(f"not with {given[0]}", param_hint="--text")
    return text


def _hits_fields(hits: Hits, query: Path | str, encoder: str) -> dict[str, Any]:
    rows = [
        {"rank": hit.rank, **path_fields(os.fsencode(hit.path)), "distance": hit.distance, "id": hit.id} for hit in hits
    ]
    asked = path_fields(os.fsencode(query)) if isinstance(query, Path) else {"text": query}
    return {"query": asked, "hits": rows, "encoder": encoder}


def _shown(path: Path) -> str:
    """Below the current folder a path is shown from there."""
    below = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return path_fields(os.fsencode(below))["display"]


def _save(hits: Hits, file: Path) -> None:
    try:
        hits.montage().save(file)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"the montage cannot be written to {file}: {error}") from None
