"""Make the file of words of the shipped classifier: its thousand classes, their names, and what they are kinds of.

    python scripts/make_words.py WORDNET SYNSETS > src/lookalike/encoders/efficientnet/data/words.tsv

WORDNET: the folder with `data.noun` of WordNet 3.0, which Debian's package `wordnet-base` puts into
/usr/share/wordnet. SYNSETS: a text file with the synsets of ILSVRC 2012, one in a line and in ascending order, such as
n01440764 in the first; the package `timm` has one, `timm/data/_info/imagenet_synsets.txt`. The order of the classes is
that of their synsets. The digest that is printed on stderr goes into `lookalike/encoders/efficientnet/shipped.py`.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import NamedTuple

HEADER = """\
# The words of ImageNet's thousand classes (ILSVRC 2012), for Lookalike's `search --text`.
# Names and kinds are from WordNet 3.0, Copyright 2006 by Princeton University, under the licence in LICENSE-WORDNET;
# made by scripts/make_words.py, which also adds a few everyday names (marked with +).
# Columns: the number of the class, or - for a kind of things; its synset; the synsets it is a kind of; its names.
"""
MOST = 500  # classes of a kind: what is more general, such as "object", describes no picture
EVERYDAY = {
    4070727: ["fridge"],
    4404412: ["tv", "tv set", "telly"],
    9428293: ["beach", "seaside"],
    9193705: ["snowy mountain"],
    9332890: ["lake", "pond"],
    2084071: ["puppy", "doggy"],
    2121620: ["kitten", "kitty"],
    2992529: ["smartphone"],
    3594945: ["off-road vehicle"],
    2690373: ["passenger plane"],
    3877845: ["chateau"],
    2980441: ["fortress"],
}


class Synset(NamedTuple):
    """One meaning: its names, and the offsets of the meanings that it is a kind of."""

    names: list[str]
    above: list[int]


def read_nouns(file: Path) -> dict[int, Synset]:
    """The nouns of WordNet by their offsets, in the format of wndb(5WN)."""
    nouns = {}
    for line in file.read_text(encoding="ascii").splitlines():
        if line.startswith(" "):  # the licence
            continue
        fields = line.partition(" | ")[0].split()
        count = int(fields[3], 16)
        names = [name.replace("_", " ") for name in fields[4 : 4 + 2 * count : 2]]
        pointers = fields[5 + 2 * count :]
        above = [
            int(pointers[n + 1]) for n in range(0, 4 * int(fields[4 + 2 * count]), 4) if pointers[n] in {"@", "@i"}
        ]
        nouns[int(fields[0])] = Synset(names, above)
    return nouns


def find_kinds(nouns: dict[int, Synset], classes: list[int]) -> dict[int, set[int]]:
    """The classes below each meaning, their own meanings included."""
    kinds: dict[int, set[int]] = {}
    for number, offset in enumerate(classes):
        waiting = [offset]
        while waiting:
            at = waiting.pop()
            if number not in kinds.setdefault(at, set()):
                kinds[at].add(number)
                waiting += nouns[at].above
    return {offset: below for offset, below in kinds.items() if len(below) <= MOST}


def main(wordnet: Path, synsets: Path) -> None:
    """Write the file to stdout."""
    nouns = read_nouns(wordnet / "data.noun")
    classes = [int(line[1:]) for line in synsets.read_text(encoding="ascii").split()]
    if len(classes) != 1000 or classes != sorted(classes):
        sys.exit(f"{synsets} does not list a thousand synsets in ascending order")
    kinds, number_of = find_kinds(nouns, classes), {offset: n for n, offset in enumerate(classes)}
    lines = []
    for offset in sorted(kinds):
        above = " ".join(f"n{one:08}" for one in nouns[offset].above if one in kinds)
        names = "|".join([*nouns[offset].names, *(f"+{name}" for name in EVERYDAY.get(offset, ()))])
        lines.append(f"{number_of.get(offset, '-')}\tn{offset:08}\t{above}\t{names}\n")
    content = HEADER + "".join(lines)
    sys.stdout.write(content)
    print(hashlib.sha256(content.encode()).hexdigest(), file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
