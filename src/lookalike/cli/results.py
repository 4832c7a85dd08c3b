"""The output of a search: hits printed, drawn, written, gathered in a folder, or opened."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lookalike.cli.printing import note, path_fields, print_json, print_paths, print_table
from lookalike.errors import UsageError, counted
from lookalike.files import check_output, write_output
from lookalike.images.paths import to_bytes
from lookalike.images.viewer import OPENER, find_viewer, has_screen, open_file
from lookalike.store.location import FOLDER

if TYPE_CHECKING:
    from lookalike import Gallery, Hits
    from lookalike.search.gather import Gathered

__all__ = ["Results", "show_path_here"]


@dataclass(frozen=True)
class Results:
    """The results that are asked for."""

    as_json: bool
    as_csv: bool
    as_tsv: bool
    filepath_only: bool
    null: bool
    montage: Path | None
    html: Path | None
    copy_to: Path | None
    link_to: Path | None
    opened: bool
    thumbnails: bool
    force: bool

    def check(self, gallery: Gallery) -> None:
        """Raise UsageError for what cannot be done, before anything is searched."""
        printed = {
            "--json": self.as_json,
            "--csv": self.as_csv,
            "--tsv": self.as_tsv,
            "--filepath-only": self.filepath_only or self.null,
        }
        given = [name for name, value in printed.items() if value]
        if len(given) > 1:
            raise UsageError(f"{given[0]} and {given[1]} cannot be combined: only one is printed")
        for file in (self.montage, self.html):
            if file is not None:
                check_output(file, force=self.force, protects=gallery.protects)
        for folder in (self.copy_to, self.link_to):
            if folder is not None and _is_inside(folder, gallery):
                raise UsageError(f"{folder} is part of a gallery's own folder", hint="choose another folder")
        if self.opened:
            _check_viewer()

    def write(self, gallery: Gallery, hits: Hits) -> None:
        """Write the files that are asked for, and say where they are."""
        from lookalike.images.drawing import write_drawing  # noqa: PLC0415  (Pillow)

        if self.montage is not None:
            write_drawing(hits.montage(), self.montage, force=self.force, protects=gallery.protects)
            note(f"montage: {self.montage}")
        page = self.html
        if page is None and self.opened and self.montage is None:
            page = Path(tempfile.mkdtemp(prefix="lookalike-")) / "hits.html"
        if page is not None:
            with write_output(page, force=self.force, protects=gallery.protects) as part:
                part.write_text(hits.to_html(), encoding="utf-8", errors="replace")
            note(f"page: {page}")
        for folder, link in ((self.copy_to, False), (self.link_to, True)):
            if folder is not None:
                _note_gathered(hits.copy_to(folder, link=link), link=link)
        if self.opened and (shown := page or self.montage) is not None:
            open_file(shown)

    def print(self, hits: Hits) -> None:
        """Print the hits as they are asked for."""
        if self.as_json:
            print_json(hits.to_dict())
        elif self.as_csv or self.as_tsv:
            sys.stdout.write(hits.to_csv("\t" if self.as_tsv else ","))
        elif self.filepath_only or self.null:
            print_paths([to_bytes(hit.path) for hit in hits], null=self.null)
        else:
            if self.thumbnails:
                _print_thumbnails(hits)
            rows = [(hit.rank, hit.distance, show_path_here(hit.path)) for hit in hits]
            print_table(["rank", "distance", "path"], rows)


def show_path_here(path: Path) -> str:
    """A path as it is shown: one below the current folder is relative to it."""
    try:
        here = Path.cwd()
    except OSError:  # deleted meanwhile
        here = Path("/nowhere")
    below = path.relative_to(here) if path.is_relative_to(here) else path
    return path_fields(os.fsencode(below))["display"]


def _is_inside(folder: Path, gallery: Gallery) -> bool:
    """Whether a folder is that of a gallery, or in it."""
    place = Path(os.path.realpath(folder))
    return FOLDER in place.parts or place.is_relative_to(os.path.realpath(gallery.location))


def _note_gathered(done: Gathered, *, link: bool) -> None:
    """Say what was put into a folder. Raises Exit with status 1 if some of it could not be."""
    verb = "linked" if link else "copied"
    there = f", {done.present:,} there already" if done.present else ""
    note(f"{counted(len(done.added), 'picture')} {verb} to {path_fields(done.folder)['display']}{there}")
    for path, reason in done.failed:
        note(f"not {verb}: {path_fields(path)['display']}: {reason}")
    if done.failed:
        raise typer.Exit(1)


def _print_thumbnails(hits: Hits) -> None:
    from lookalike.cli.terminal import draw_strip, find_protocol  # noqa: PLC0415  (Pillow)

    protocol = find_protocol()
    if protocol is None:
        note("this terminal is not known to show pictures; --html FILE and --open show them in a browser")
    elif hits:
        sys.stdout.write(draw_strip(hits, protocol))
        sys.stdout.flush()


def _check_viewer() -> None:
    """Raise UsageError if there is no program that opens files, or nowhere to show one."""
    if not has_screen():
        raise UsageError("--open: this is not a graphical session", hint="write the page with --html FILE")
    if find_viewer() is None:
        raise UsageError(f"--open needs {OPENER}, which is not installed", hint="write the page with --html FILE")
