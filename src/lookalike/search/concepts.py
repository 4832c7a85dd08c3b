"""Names that a gallery was taught by examples: teaching and forgetting them, finding pictures by them, their tags.

The examples are kept as embeddings, before adaptation. The direction that finds their like is fitted when it is asked
for, to the vectors that the gallery compares at that moment: adapting the gallery again, or adding pictures, leaves
nothing to be done.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from weakref import WeakKeyDictionary

import numpy as np

from lookalike.adaptation.concept import Background, fit_direction
from lookalike.encoders.words import find_close
from lookalike.errors import UnknownWord, UsageError
from lookalike.search.query import PictureQuery, StoredQuery, as_query
from lookalike.search.text import find_vocabulary
from lookalike.store import SearchSpace
from lookalike.store.concepts import Concept, normalise
from lookalike.store.filter import All, Among, Condition, Not
from lookalike.store.filter import Any as AnyOf
from lookalike.vectors.metric import unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from lookalike.encoders import Encoder
    from lookalike.search.query import Query, Source
    from lookalike.store import Store
    from lookalike.store.filter import Filter

    Rows = NDArray[np.float32]
    Load = Callable[[], Encoder]

__all__ = [
    "Probe",
    "Taught",
    "Word",
    "check_name",
    "explain_text",
    "find_concept",
    "find_tagged",
    "forget",
    "list_taught",
    "list_words",
    "probe",
    "resolve_tags",
    "suggest_words",
    "teach",
]

_SAMPLE = 2048  # pictures that tell how a gallery varies
# By store, with its generation: 0.1 s of a search in a gallery of 1,881 pictures with 256 dimensions.
_BACKGROUNDS: WeakKeyDictionary[Store, tuple[int, Background]] = WeakKeyDictionary()
_FIRST = 1024  # pictures that are looked at for a tag; more, as long as all of them carry it
_LONGEST = 200  # characters of a name
_ROUNDING = 1e-6  # an example that is a picture of the gallery is compared after rounding


class Word(str):
    """A word that `search --text` takes: known to the encoder, or taught by examples."""

    __slots__ = ("is_taught",)
    is_taught: bool

    def __new__(cls, text: str, *, is_taught: bool = False) -> Self:
        """Make a word of a text."""
        word = super().__new__(cls, text)
        word.is_taught = is_taught
        return word


@dataclass(frozen=True, slots=True)
class Taught:
    """What a gallery has learned: a name, by how many examples, and which of its pictures carry it as a tag.

    threshold: the distance up to which a picture carries the tag. tagged: how many pictures do. hides_word: whether the
    encoder knows a word of this name, which is not searched for any more.
    """

    name: str
    like: int
    unlike: int
    threshold: float
    tagged: int
    hides_word: bool

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON-compatible values."""
        return {name: getattr(self, name) for name in self.__slots__}


class Probe(NamedTuple):
    """How a concept is searched for: a vector, float32 (1, w), in a space, and the largest distance of its tag."""

    vector: Rows
    space: SearchSpace
    threshold: float


def teach(  # noqa: PLR0913  (by name, all but three)
    store: Store,
    load: Load,
    name: str,
    *,
    like: Sequence[Query | Source],
    unlike: Sequence[Query | Source] = (),
    wait: float = 0.0,
) -> Taught:
    """Teach a gallery a name by pictures that show it, and by pictures that do not; see `lookalike.Gallery.teach`."""
    shown, key = check_name(name), normalise(name)
    if not like and key not in store.concepts:
        raise UsageError(
            f"{shown!r} has no example", hint=f"name pictures that show it: lookalike teach '{shown}' IMAGES"
        )
    if not like and not unlike:
        raise UsageError("nothing to teach: no picture was named", hint=f"lookalike teach '{shown}' IMAGES")
    rows = _embed(store, load, [*like, *unlike])
    new = Concept(shown, rows[: len(like)], rows[len(like) :])
    with store.writing(wait=wait):
        known = store.concepts
        concept = _add(known.get(key), new)
        store.set_concepts({**known, key: concept}.values())
    with store.reading():
        threshold, tagged = probe(store, concept).threshold, len(find_tagged(store, concept))
    return Taught(shown, len(concept.like), len(concept.unlike), threshold, tagged, _is_known(load, shown))


def forget(store: Store, name: str, *, wait: float = 0.0) -> None:
    """Remove a taught name. Raises UnknownWord, naming the nearest ones."""
    with store.writing(wait=wait):
        known = dict(store.concepts)
        if known.pop(normalise(name), None) is None:
            raise _not_taught(name, known.values())
        store.set_concepts(known.values())


def list_words(store: Store, load: Load) -> list[Word]:
    """Every word that can be searched for, the taught ones first. With a text encoder, which takes any, only these."""
    taught = {key: Word(concept.name, is_taught=True) for key, concept in store.concepts.items()}
    vocabulary = find_vocabulary(load())
    known = [] if vocabulary is None else vocabulary.words
    return [*taught.values(), *(Word(word) for word in known if normalise(word) not in taught)]


def suggest_words(store: Store, load: Load, text: str) -> list[str]:
    """The words that an unknown text may mean: taught ones spelt like it, words that it contains, others like it."""
    vocabulary = find_vocabulary(load())
    known = [] if vocabulary is None else vocabulary.suggest(text, only_close=True)
    return list(dict.fromkeys([*find_close(text, list_taught(store)), *known]))


def list_taught(store: Store) -> list[str]:
    """The names that the gallery was taught, as they are shown."""
    return [concept.name for concept in store.concepts.values()]


def explain_text(store: Store, load: Load, text: str) -> list[str]:
    """A sentence if a text is a taught name that hides a word of the encoder's; otherwise an empty list."""
    concept = find_concept(store, text)
    if concept is None or not _is_known(load, text):
        return []
    return [f"{concept.name!r} is searched for as it was taught here, not as the word that the encoder knows"]


def find_concept(store: Store, text: str) -> Concept | None:
    """The concept of this name, if the gallery was taught one."""
    return store.concepts.get(normalise(text))


def probe(store: Store, concept: Concept) -> Probe:
    """How a concept is searched for now; call it inside `store.reading()`, as the vectors may change."""
    background = _read_background(store)
    if store.space.metric == "cosine":
        space = SearchSpace(compared=True)
        like, unlike = (store.adapt(rows) for rows in (concept.like, concept.unlike))
    else:  # their cosine is compared, before adaptation: a direction has no distance
        space, like, unlike = SearchSpace(raw=True), unit(concept.like), unit(concept.unlike)
    found = fit_direction(like, unlike, background)
    return Probe(found.vector[None], space, 1.0 - found.threshold)


def find_tagged(store: Store, concept: Concept) -> list[int]:
    """The ids of the pictures that carry a concept as a tag, in ascending order."""
    with store.reading():
        wanted, most, total = probe(store, concept), _FIRST, store.count()[0]
        while True:
            near = store.search(wanted.vector, most, space=wanted.space, exact=True)[0]
            tagged = [id_ for id_, distance in near if distance <= wanted.threshold + _ROUNDING]
            if len(tagged) < most or most >= total:
                return sorted(tagged)
            most *= 4


def resolve_tags(store: Store, where: Filter) -> Filter:
    """The filter with the pictures that carry a tag instead of its name. Raises UnknownWord for one not taught."""
    match where:
        case All(parts):
            return All(tuple(resolve_tags(store, part) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(resolve_tags(store, part) for part in parts))
        case Not(part):
            return Not(resolve_tags(store, part))
        case Condition("tag", _, name):
            concept = find_concept(store, str(name))
            if concept is None:
                raise _not_taught(str(name), store.concepts.values())
            return Among(tuple(find_tagged(store, concept)))
    return where


def check_name(name: str) -> str:
    """A name as it is shown: with composed accents and single blanks. Raises UsageError if it is not a name."""
    if not isinstance(name, str):
        raise UsageError(f"a name is text, not {type(name).__name__}")
    shown = " ".join(unicodedata.normalize("NFC", name).split())
    if not shown:
        raise UsageError("a concept needs a name", hint="lookalike teach 'our boat' a.jpg b.jpg c.jpg")
    if len(shown) > _LONGEST or any(unicodedata.category(each) in {"Cc", "Cs"} for each in shown):
        raise UsageError(
            f"{shown!r:.60} is not a name", hint=f"at most {_LONGEST} characters, without control characters"
        )
    return shown


def _is_known(load: Load, text: str) -> bool:
    """Whether the encoder knows a text as a word, without a text encoder."""
    vocabulary = find_vocabulary(load())
    return vocabulary is not None and vocabulary.count_classes(text) > 0


def _embed(store: Store, load: Load, pictures: Sequence[Query | Source]) -> Rows:
    """The embeddings of examples, float32 (n, dim), as the gallery has them. Raises UnreadableImage, UsageError."""
    from lookalike.search.engine import read_queries  # noqa: PLC0415  (the engine searches for concepts)

    queries = [as_query(picture) for picture in pictures]
    if any(not isinstance(query, PictureQuery | StoredQuery) for query in queries):
        raise UsageError("an example is a picture", hint="a path, a PIL image, an array or Query.stored(id)")
    asked = read_queries(store, load, queries)
    rows = [one.embeddings if one.stored is None else _read_embeddings(store, [one.stored]) for one in asked]
    return np.stack([views[0] for views in rows if views is not None])


def _add(known: Concept | None, new: Concept) -> Concept:
    """A concept with more examples, each of them once. Raises UsageError for a picture that is like and unlike."""
    like, unlike = new.like, new.unlike
    if known is not None:
        like, unlike = np.concatenate([known.like, like]), np.concatenate([known.unlike, unlike])
    like, unlike = (
        np.array(list({row.tobytes(): row for row in rows}.values()), np.float32) for rows in (like, unlike)
    )
    if {row.tobytes() for row in like} & {row.tobytes() for row in unlike}:
        raise UsageError(f"the same picture is an example of {new.name!r} and of what it is not")
    return Concept(new.name, like, unlike.reshape(-1, like.shape[1]))


def _read_background(store: Store) -> Background:
    """How the vectors of a gallery vary, or its embeddings if these are what concepts are compared with."""
    known = _BACKGROUNDS.get(store)
    generation = store.generation
    if known is None or known[0] != generation:
        ids = store.ids()
        sample = ids[:: -(-len(ids) // _SAMPLE) or 1].tolist()
        rows = store.vectors(sample) if store.space.metric == "cosine" else unit(_read_embeddings(store, sample))
        _BACKGROUNDS[store] = known = generation, Background(rows)
    return known[1]


def _read_embeddings(store: Store, ids: Sequence[int]) -> Rows:
    parts = [rows for _, rows in store.embeddings(ids)]
    return np.concatenate(parts) if parts else np.empty((0, store.space.dim), np.float32)


def _not_taught(name: str, known: Iterable[Concept]) -> UnknownWord:
    names = [concept.name for concept in known]
    close = find_close(name, names) or names
    nearest = f"; the nearest names: {', '.join(close[:5])}" if close else ""
    return UnknownWord(
        f"this gallery was not taught {name!r}{nearest}",
        hint="to list them: lookalike words; to add one: lookalike teach NAME IMAGES",
    )
