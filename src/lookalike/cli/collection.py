"""Commands that make, search and care for a gallery."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import lookalike
from lookalike.cli.app import (
    IndexOption,
    JsonOption,
    ProgressOption,
    app,
    path_fields,
    print_json,
    print_paths,
    print_table,
    progress_bar,
    warn,
)

if TYPE_CHECKING:
    from lookalike import Gallery, Hits, IndexOptions, Report

__all__: list[str] = []

_SHOWN, _ROWS = ("mAP", "P@10", "top_1"), ("without_labels", "with_labels")
_LISTED = 20  # skipped files named after a run; `lookalike skipped` names them all

EncoderOption = Annotated[
    str | None,
    typer.Option(
        "-e", "--encoder", metavar="NAME|FILE", help="An encoder's name, a model file or a training's folder."
    ),
]


@app.command()
def index(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Folders, or single pictures.")],
    *,
    gallery: IndexOption = None,
    encoder: EncoderOption = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Leave out names or paths like this pattern.")] = None,
    follow_links: Annotated[bool, typer.Option("--follow-links", help="Follow links to files.")] = False,
    max_megapixels: Annotated[float, typer.Option(help="Skip larger pictures.")] = 100.0,
    batch_size: Annotated[int, typer.Option(min=1, max=4096, help="Pictures committed at once.")] = 128,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for another process to finish.")] = 0.0,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Bring a gallery up to date with folders of pictures: new, changed, renamed and vanished files.

    Without --index the gallery is the nearest .lookalike in the first folder or above it, else a new one in it.
    """
    options = lookalike.IndexOptions(
        rules=lookalike.Rules(exclude=tuple(exclude or ()), follow_links=follow_links),
        limits=lookalike.Limits(megapixels=max_megapixels),
        batch_size=batch_size,
    )
    place = gallery or _place_for(folders[0])
    with (
        _opened(place, folders, encoder, options, hidden=no_progress or json) as opened,
        progress_bar("indexing", hidden=no_progress or json) as progress,
    ):
        report = opened.index(*folders, options=options, progress=progress, wait=wait)
        if json:
            print_json(_report_fields(report))
        else:
            _print_report(report, opened, place)
    for root in report.missing:
        warn(f"warning: {path_fields(root)['display']} is not there; its pictures stay in the gallery")


@app.command()
def search(
    query: Annotated[Path | None, typer.Argument(metavar="IMAGE", help="The picture to look for.")] = None,
    *,
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
    """Find the pictures most like one picture, nearest first.

    With --model and --sample instead of IMAGE: search with pictures that the model has not seen, and draw each into
    query_N.jpg and its hits into results_N.jpg.
    """
    if sample is not None:
        from lookalike.cli.sample import answer_sample  # noqa: PLC0415  (numpy)

        one_only: dict[str, object] = {
            "IMAGE": query,
            "--montage": montage,
            "--filepath-only": filepath_only,
            "--null": null,
        }
        one_only |= {"--filter": where, "--exclude": exclude, "--threshold": threshold, "--exact": exact}
        given = [name for name, value in one_only.items() if value]
        if model is None or given:
            raise typer.BadParameter(f"not with {given[0]}" if given else "needs a --model", param_hint="--sample")
        answer_sample(gallery, model, sample, seed=seed, top=top, output=output or model.parent, as_json=json)
        return
    if query is None:
        raise typer.BadParameter("a picture, or --sample", param_hint="IMAGE")
    with lookalike.Gallery.open(gallery, encoder=model) as opened:
        opened.exact = exact
        terms = [*(where or ()), *(f"-{term}" for term in exclude or ())]
        hits = opened.search(query, top, include_self=include_self, where=terms, weights=_weights(weights or []))
        encoder = opened.store.space.encoder
    hits = hits.within(threshold)
    if montage is not None:
        _save(hits, montage)
    if json:
        print_json(_hits_fields(hits, query, encoder))
    elif filepath_only or null:
        print_paths([os.fsencode(hit.path) for hit in hits], null=null)
    else:
        print_table(["rank", "distance", "path"], [(hit.rank, hit.distance, _shown(hit.path)) for hit in hits])
        if montage is not None:
            warn(f"montage: {montage}")


@app.command()
def remove(
    path: Annotated[Path, typer.Argument(help="A picture, or a folder for all pictures below it.")],
    *,
    gallery: IndexOption = None,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Take a picture out of the gallery. Its file stays; indexing its folder again brings it back."""
    with lookalike.Gallery.open(gallery) as opened:
        removed = opened.remove(path)
    if json:
        print_json({"removed": removed})
    else:
        print_table(["removed"], [(removed,)])


@app.command()
def skipped(*, gallery: IndexOption = None, json: JsonOption = False, no_progress: ProgressOption = False) -> None:
    """List the files that were met but are no part of the gallery, with the reason."""
    with lookalike.Gallery.open(gallery) as opened:
        found = opened.skipped()
    if json:
        print_json({"skipped": _skipped_fields(found)})
    else:
        print_table(["path", "reason"], [(path_fields(path)["display"], reason) for path, reason in found])


@app.command()
def info(*, gallery: IndexOption = None, json: JsonOption = False, no_progress: ProgressOption = False) -> None:
    """Describe the gallery: how many pictures, which encoder, how large."""
    with lookalike.Gallery.open(gallery) as opened:
        fields = opened.info()
    if json:
        print_json(fields)
    else:
        print_table(["", ""], [(name.replace("_", " "), str(value)) for name, value in fields.items()])


@app.command()
def verify(*, gallery: IndexOption = None, json: JsonOption = False, no_progress: ProgressOption = False) -> None:
    """Check every stored row against its checksum. Exits with 1 if anything is wrong."""
    with lookalike.Gallery.open(gallery) as opened:
        problems = opened.verify()
        pictures = len(opened)
    if json:
        print_json({"problems": problems})
    elif problems:
        print_table(["problem"], [(problem,) for problem in problems])
    else:
        print_table(["verified"], [(f"{pictures} pictures, no problem",)])
    if problems:
        raise typer.Exit(1)


@app.command()
def adapt(
    *,
    gallery: IndexOption = None,
    numbers: Annotated[int, typer.Option("-n", "--numbers", min=1, max=128, help="Numbers kept for a picture.")] = 64,
    labels: Annotated[
        Path | None, typer.Option(metavar="FOLDER|CSV", help="Classes: their folders, or a file with file and class.")
    ] = None,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Fit the gallery's projection anew to the pictures that it holds now; with --labels to their classes, too."""
    with lookalike.Gallery.open(gallery) as opened:
        figures: dict[str, Any] = {"pictures": len(opened)}
        figures |= _adapted_to_labels(opened, labels, numbers) if labels else {"dim": opened.adapt(numbers=numbers)}
    if json:
        print_json(figures)
    elif labels:
        print_table(["cross-validated", *_SHOWN], [(row, *(figures[row][name] for name in _SHOWN)) for row in _ROWS])
        warn("kept: adapted to the labels" if figures["adapted"] else "not kept: it is no better with the labels")
    else:
        print_table(["pictures", "numbers"], [(figures["pictures"], figures["dim"])])


def _adapted_to_labels(gallery: Gallery, labels: Path, numbers: int) -> dict[str, Any]:
    from lookalike.labelling import adapt_to_labels, read_labels  # noqa: PLC0415

    choice = adapt_to_labels(gallery, read_labels(labels), numbers=numbers)
    rows = dict(zip(_ROWS, (choice.without, choice.with_labels), strict=True))
    return {"dim": gallery.info()["dim"], "adapted": choice.is_better, **rows}


def _place_for(folder: Path) -> Path:
    """Where the gallery of a folder is: the nearest one upward from it, else a new one inside it."""
    inside = folder if folder.is_dir() else folder.parent
    try:
        return lookalike.find_gallery(inside)
    except lookalike.LookalikeError:
        return inside / ".lookalike"


def _report_fields(report: Report) -> dict[str, Any]:
    return {
        "added": report.added,
        "unchanged": report.unchanged,
        "renamed": report.renamed,
        "removed": report.removed,
        "skipped": _skipped_fields(report.skipped),
        "missing": [path_fields(root) for root in report.missing],
        "seconds": round(report.seconds, 3),
    }


def _opened(place: Path, folders: list[Path], encoder: str | None, options: IndexOptions, *, hidden: bool) -> Gallery:
    """The gallery, made if it is not there; an encoder that has to be learned is learned from the folders first."""
    if encoder is None or (place / "gallery.db").exists():
        return lookalike.Gallery.open(place, encoder=encoder, create=True)
    from lookalike.learning import learn  # noqa: PLC0415

    with progress_bar("learning", hidden=hidden) as progress:
        learn(encoder, folders, place, options=options, progress=progress)
    return lookalike.Gallery.open(place, encoder=encoder, create=True)


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


def _skipped_fields(found: list[tuple[bytes, str]]) -> list[dict[str, str]]:
    return [{**path_fields(path), "reason": reason} for path, reason in found]


def _print_report(report: Report, gallery: Gallery, place: Path) -> None:
    counts = (report.added, report.unchanged, report.renamed, report.removed, len(report.skipped))
    print_table(["added", "unchanged", "renamed", "removed", "skipped"], [counts])
    for path, reason in report.skipped[:_LISTED]:
        warn(f"skipped {path_fields(path)['display']}: {reason}")
    if len(report.skipped) > _LISTED:
        warn(f"... and {len(report.skipped) - _LISTED} more: lookalike skipped -i {place}")
    rate = report.added / report.seconds if report.seconds else 0.0
    warn(f"{len(gallery):,} pictures in {place}, {report.seconds:.1f} s, {rate:.0f} new ones a second")


def _hits_fields(hits: Hits, query: Path, encoder: str) -> dict[str, Any]:
    rows = [
        {"rank": hit.rank, **path_fields(os.fsencode(hit.path)), "distance": hit.distance, "id": hit.id} for hit in hits
    ]
    return {"query": path_fields(os.fsencode(query)), "hits": rows, "encoder": encoder}


def _shown(path: Path) -> str:
    """Below the current folder a path is shown from there."""
    below = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return path_fields(os.fsencode(below))["display"]


def _save(hits: Hits, file: Path) -> None:
    try:
        hits.montage().save(file)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"the montage cannot be written to {file}: {error}") from None
