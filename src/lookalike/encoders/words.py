"""Words that an encoder knows without a text encoder: the classes it was trained on, and what these are kinds of.

A classifier compares the features of a picture with one direction for each of its classes. The same directions find
pictures by name: those of a word are those of all classes with that name, or of all classes of that kind, and a picture
is as near to the word as to the nearest of them (docs/decisions.md). A word with several meanings takes all of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Kind", "Vocabulary", "find_close", "plain", "read_kinds"]

_BEFORE = re.compile(
    r"(?:(?:(?:an?|the|some|my|our) )?(?:photos?|photographs?|pictures?|images?) of )?(?:(?:an?|the|some) )?"
)
_ENDINGS = (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("men", "man"), ("es", ""), ("s", ""))
_IRREGULAR = {
    "mice": "mouse", "geese": "goose", "feet": "foot", "teeth": "tooth", "oxen": "ox", "people": "person",
    "children": "child", "fungi": "fungus", "cacti": "cactus", "octopi": "octopus", "buffaloes": "buffalo",
}  # fmt: skip
_CLOSE, _NAMED = 0.75, 5


class Kind(NamedTuple):
    """One meaning: its id, the ids of what it is a kind of, its names, and the number of its class if it is one."""

    id: str
    above: list[str]
    names: list[str]
    number: int | None


def read_kinds(text: str) -> list[Kind]:
    """Parse lines of tab-separated columns, as scripts/make_words.py writes them; `#` begins a comment.

    Raises ValueError for anything else.
    """
    kinds = []
    for line in text.splitlines():
        if not line.startswith("#"):
            number, id_, above, names = line.split("\t")
            each = [name.removeprefix("+") for name in names.split("|")]
            kinds.append(Kind(id_, above.split(), each, None if number == "-" else int(number)))
    return kinds


class Vocabulary:
    """The words of a classifier's classes.

    kinds: their names and what they are kinds of. load: returns the direction of each class, float32 (classes, w), in
    the first w dimensions of an encoder's embeddings; it is called when a word is first looked up.
    """

    def __init__(self, kinds: Iterable[Kind], load: Callable[[], NDArray[np.float32]]) -> None:
        self._kinds = list(kinds)
        self._load = load

    @property
    def words(self) -> list[str]:
        """Every word that is known, in alphabetical order."""
        return sorted({name for kind in self._kinds for name in kind.names}, key=lambda name: (name.casefold(), name))

    @property
    def class_names(self) -> dict[int, str]:
        """The first name of each class, by its number."""
        return {kind.number: kind.names[0] for kind in self._kinds if kind.number is not None}

    @cached_property
    def directions(self) -> NDArray[np.float32]:
        """The direction of each class, float32 (classes, w), of length 1."""
        return self._load()

    def count_classes(self, text: str) -> int:
        """The number of classes that a text means; 0 if it is not known."""
        return len(self._find(text))

    def find(self, text: str) -> NDArray[np.float32] | None:
        """The directions of the classes that a text means, float32 (n, w), of length 1; None if it is not known.

        Case, hyphens, accents, plurals, a leading article and a leading "picture of" make no difference.
        """
        numbers = sorted(self._find(text))
        return self.directions[numbers] if numbers else None

    def suggest(self, text: str, *, only_close: bool = False) -> list[str]:
        """The known words nearest to an unknown text: those that it contains first, then those spelt like it.

        only_close: leave out words that are spelt quite differently, even if nothing is left.
        """
        known = {key: names[0] for key, names in self._names.items()}
        contained = [known[key] for key in map(self._known_form, _sequences(plain(text))) if key is not None]
        close = find_close(text, known.values())
        if not (close or only_close):
            close = find_close(text, known.values(), cutoff=0.0)
        return list(dict.fromkeys([*contained, *close]))[:_NAMED]

    def _find(self, text: str) -> set[int]:
        key = self._known_form(plain(text))
        return set() if key is None else self._classes[key]

    def _known_form(self, text: str) -> str | None:
        return next((form for form in _forms(text) if form in self._classes), None)

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        """The spellings of each word by its plain form."""
        names: defaultdict[str, list[str]] = defaultdict(list)
        for kind in self._kinds:
            for name in kind.names:
                names[plain(name)].append(name)
        return names

    @cached_property
    def _classes(self) -> dict[str, set[int]]:
        """The numbers of the classes of each word, by its plain form."""
        by_id = {kind.id: kind for kind in self._kinds}
        classes: defaultdict[str, set[int]] = defaultdict(set)
        for kind in self._kinds:
            if kind.number is not None:
                for each in _find_above(kind, by_id):
                    for name in each.names:
                        classes[plain(name)].add(kind.number)
        return classes


def plain(text: str) -> str:
    """A text without regard to case, accents and hyphens, with single blanks."""
    apart = unicodedata.normalize("NFKD", text).casefold()
    letters = "".join(each for each in apart if not unicodedata.combining(each))
    return " ".join(re.sub("[-_'\u2019]", " ", letters).split())


def find_close(text: str, known: Iterable[str], *, cutoff: float = _CLOSE) -> list[str]:
    """The known names spelt most like a text, the best first; cutoff: how alike, from 0 to 1."""
    by_form: dict[str, str] = {}
    for name in known:
        by_form.setdefault(plain(name), name)
    close = get_close_matches(plain(text), by_form, n=_NAMED, cutoff=cutoff)
    return [by_form[form] for form in close]


def _find_above(kind: Kind, by_id: dict[str, Kind]) -> Iterator[Kind]:
    """A kind and all that it is a kind of, each once."""
    seen, waiting = {kind.id}, [kind]
    while waiting:
        at = waiting.pop()
        yield at
        fresh = [one for one in at.above if one not in seen]
        seen.update(fresh)
        waiting += [by_id[one] for one in fresh]


def _forms(text: str) -> Iterator[str]:
    """A plain text as it is, without what may stand before a word, and with its last word in the singular."""
    for form in dict.fromkeys((text, _BEFORE.sub("", text, count=1))):
        yield form
        before, blank, last = form.rpartition(" ")
        if last in _IRREGULAR:
            yield f"{before}{blank}{_IRREGULAR[last]}"
        yield from (form.removesuffix(end) + new for end, new in _ENDINGS if form.endswith(end))


def _sequences(text: str) -> Iterator[str]:
    """The words of a text and the sequences of them, the longest first."""
    words: Sequence[str] = text.split()
    for length in range(len(words), 0, -1):
        yield from (" ".join(words[start : start + length]) for start in range(len(words) - length + 1))
