"""`lookalike words`, `teach` and `forget`: the words that pictures are found by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import lookalike
from lookalike.cli.app import FIND, IndexOption, JsonOption, ProgressOption, WaitOption, command
from lookalike.cli.printing import note, print_json, print_table
from lookalike.errors import counted

if TYPE_CHECKING:
    from lookalike.search.concepts import Word

__all__: list[str] = []

_NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A name for what the pictures show, such as 'our boat'.")
]


@command("words", "lookalike words", "lookalike words boat", panel=FIND)
def words(
    part: Annotated[str | None, typer.Argument(metavar="PART", help="List only words that contain this text.")] = None,
    *,
    gallery: IndexOption = None,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """List the words that `search --text` understands.

    These are the names that you taught with `lookalike teach`, and the kinds of things that the gallery's encoder was
    trained to tell apart. An encoder that also understands text, such as CLIP, accepts any words.
    """
    with lookalike.Gallery.open(gallery) as opened:
        found = [word for word in opened.words() if part is None or part.casefold() in word.casefold()]
        encoder = opened.store.space.encoder
    if json:
        print_json({"words": found, "taught": [word for word in found if word.is_taught], "encoder": encoder})
        return
    print_table(["word", "known"], [(str(word), _origin(word)) for word in found])
    if all(word.is_taught for word in found) and part is None:
        note(f"{encoder} itself has no list of words; teach some: lookalike teach NAME IMAGES")


def _origin(word: Word) -> str:
    return "taught" if word.is_taught else "to the encoder"


@command(
    "teach",
    "lookalike teach 'our boat' a.jpg b.jpg c.jpg",
    "lookalike teach 'our boat' d.jpg --not ferry.jpg",
    panel=FIND,
)
def teach(
    name: _NameArgument,
    images: Annotated[
        list[Path] | None, typer.Argument(metavar="IMAGES", help="Pictures that show it, in the gallery or not.")
    ] = None,
    *,
    unlike: Annotated[
        list[Path] | None,
        typer.Option("--not", metavar="IMAGE", help="A picture that looks similar but does not show it. Repeatable."),
    ] = None,
    gallery: IndexOption = None,
    wait: WaitOption = 0.0,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Teach the gallery a name from three to ten examples.

    Afterwards `search --text NAME` finds such pictures and `--filter tag:NAME` selects them, including pictures that
    are added later. Teaching a name again adds examples; to start over, `forget` it first.
    """
    with lookalike.Gallery.open(gallery) as opened:
        taught = opened.teach(name, images or (), unlike=unlike or (), wait=wait)
    if taught.hides_word:
        note(f"{taught.name!r} is also a word that the encoder knows: searches now use what you taught")
    if json:
        print_json(taught.to_dict())
        return
    against = f" and {counted(taught.unlike, 'picture')} of what it is not" if taught.unlike else ""
    note(f"learned {taught.name!r} from {counted(taught.like, 'example')}{against}")
    tagged = counted(taught.tagged, "picture")
    note(f"{tagged} of the gallery, up to the distance {taught.threshold:.4f}: --filter 'tag:{taught.name}'")


@command("forget", "lookalike forget 'our boat'", panel=FIND)
def forget(
    name: _NameArgument,
    *,
    gallery: IndexOption = None,
    wait: WaitOption = 0.0,
    json: JsonOption = False,
    no_progress: ProgressOption = False,
) -> None:
    """Forget a name that was taught.

    No picture is changed or removed.
    """
    with lookalike.Gallery.open(gallery) as opened:
        opened.forget(name, wait=wait)
    if json:
        print_json({"forgotten": name})
    else:
        note(f"forgotten: {name!r}")
