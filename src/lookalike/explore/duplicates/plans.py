"""A plan of moves written down: as a table for a spreadsheet, or as a shell script."""

from __future__ import annotations

import csv
import io
import os
from typing import TYPE_CHECKING

from lookalike.errors import UsageError
from lookalike.files import MARK, check_output, replace_file
from lookalike.images.paths import path_fields, show_path

if TYPE_CHECKING:
    from pathlib import Path

    from lookalike.explore.duplicates.groups import Duplicates, Picture
    from lookalike.explore.duplicates.keep import Move, Plan
    from lookalike.files import Protects

__all__ = ["as_csv", "as_script", "write_plan"]

_FACTS = ["id", "size", "width", "height"]
_COLUMNS = ["group", "kind", "proven", "action", "path", "display", *_FACTS, "kept", "found", "sure"]
_HEAD = f"""#!/bin/sh
# {MARK}: a plan of `lookalike duplicates`. Read it before you run it: sh FILE
# Copies are moved, never deleted and never over another file; nothing is moved if it or the picture that is kept is
# missing or has changed. A file of the same name in the trash stops that move, where `lookalike duplicates --apply`
# gives it a number. What this script has moved is not brought back by `lookalike duplicates undo`.
set -u
""".encode()
# The rules keep the folder from being indexed if it lies among the pictures.
_MOVE = b"""mkdir -p -- "$trash" || exit 1
[ -e "$trash/.lookalikeignore" ] || echo '*' > "$trash/.lookalikeignore" || exit 1
is_same() { [ "$({ sha256sum || shasum -a 256; } 2>/dev/null < "$1" | cut -c 1-64)" = "$2" ]; }
leave() { printf '%s: %s\\n' "$1" "$2" >&2; }
move() {
    if [ ! -f "$1" ] || [ ! -f "$2" ] || [ -h "$2" ] || [ "$1" -ef "$2" ]; then leave "left" "$2"; return; fi
    if ! is_same "$1" "$4"; then leave "left, since the picture that is kept has changed" "$2"; return; fi
    if ! is_same "$2" "$5"; then leave "left, since it has changed" "$2"; return; fi
    if [ -e "$trash/$3" ]; then leave "left, since the trash has a file of its name" "$2"; return; fi
    mv -n -- "$2" "$trash/$3"
}
"""


def write_plan(  # noqa: PLR0913  (by name, all but two)
    duplicates: Duplicates,
    plan: Plan,
    *,
    path: Path,
    trash: Path,
    force: bool = False,
    protects: Protects | None = None,
) -> None:
    """Write a plan as `.csv` or `.sh`, by the ending of the path. Raises UsageError."""
    if path.suffix.lower() not in {".csv", ".sh"}:
        raise UsageError(f"{path}: a plan is a .csv or a .sh file", hint="--plan plan.csv")
    place = check_output(path, force=force, protects=protects, mark=None)
    is_script = path.suffix.lower() == ".sh"
    data = as_script(plan, trash) if is_script else as_csv(duplicates, plan).encode()
    try:
        with replace_file(place) as part:
            part.write_bytes(data)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error


def as_csv(duplicates: Duplicates, plan: Plan) -> str:
    """All groups as a table, a line for each picture; `action` says `keep`, `move`, or nothing."""
    moves = {(move.group, move.copy): move for move in plan.moves}
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for number, group in enumerate(duplicates.groups, 1):
        for picture in group.pictures:
            move = moves.get((number, picture))
            action = "move" if move else "keep" if plan.kept.get(number) == picture else ""
            found = [number, group.kind, "yes" if group.proven else "no", action]
            table.writerow([*found, *_describe(picture), *_explain(move)])
    return text.getvalue()


def _describe(picture: Picture) -> list[object]:
    names = path_fields(os.fsencode(picture.path))
    facts = [picture.id, picture.size, picture.width, picture.height]
    return [names["path"], names["display"], *("" if fact is None else fact for fact in facts)]


def _explain(move: Move | None) -> list[object]:
    if move is None:
        return ["", "", ""]
    kept = path_fields(os.fsencode(move.kept.path))["path"]
    return [kept, ", ".join(move.evidence.found), f"{move.evidence.sure:.4f}"]


def as_script(plan: Plan, trash: Path) -> bytes:
    """The moves as a shell script, which takes any name that a file can have."""
    lines = [_HEAD, b"trash=" + _quote(os.fsencode(os.path.abspath(trash))) + b"\n", _MOVE]
    taken: set[bytes] = set()
    for move in plan.moves:
        name = _free_name(os.fsencode(move.copy.path.name), taken)
        words = [_quote(each) for each in (os.fsencode(move.kept.path), os.fsencode(move.copy.path), name)]
        shown = show_path(os.fsencode(move.copy.path))
        words += [each.digest.hex().encode() for each in (move.kept, move.copy)]
        lines.append(f"# group {move.group}, {move.kind}: {shown}\n".encode() + b"move " + b" ".join(words) + b"\n")
    return b"".join(lines)


def _quote(text: bytes) -> bytes:
    """A word that a shell reads as exactly these bytes."""
    return b"'" + text.replace(b"'", b"'\\''") + b"'"


def _free_name(name: bytes, taken: set[bytes]) -> bytes:
    stem, ending = os.path.splitext(name)
    found, number = name, 1
    while found in taken:
        number += 1
        found = b"%b (%d)%b" % (stem, number, ending)
    taken.add(found)
    return found
