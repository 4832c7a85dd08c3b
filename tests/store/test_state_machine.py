"""Any sequence of changes leaves a store that answers like a dict."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lookalike.adaptation.projection import Projection, fit_projection
from lookalike.explore.neighbours import neighbours
from lookalike.store import Maintained, Record, SearchSpace, Space, Store, open_store
from lookalike.store.filter import All, Condition, Filter, Not
from lookalike.store.filter import Any as AnyOf
from lookalike.store.keys import absolute, is_within, moved
from lookalike.store.postgresql.store import PostgresqlStore
from lookalike.store.sqlite.store import SqliteStore
from lookalike.store.sqlite.vector_cache import Tuning
from tests.engines import milvus_galleries, postgres
from tests.store.making import (
    DIM,
    assert_same_answer,
    columns_of,
    digest,
    embedding,
    expected,
    listed,
    nearest,
    problems,
    put,
    record,
    space,
    wanted_columns,
)

# Below the gallery's parent folder, which @ stands for, outside, and beside it under a name that begins as its own.
PLACES = ("@/a", "@/ab", "@", "@b/a", "/a", "/ab", "/\udcff", "@/\udcff")
KEYS = st.sampled_from([f"{folder}/{n}" for folder in PLACES for n in range(3)])
FOLDERS = st.sampled_from([*PLACES, "@/a/3", "/a/2", "@b"])
CONTENTS = st.one_of(st.none(), st.integers(0, 9))  # few, so that items share contents
FILTERS: dict[str, tuple[Filter, Any]] = {
    "label": (Condition("label", "=", "a"), lambda one: os.path.dirname(one.path).endswith(b"/a")),
    "folder": (Condition("folder", "=", "ab"), lambda one: b"/ab/" in one.path),
    "not": (Not(Condition("name", "=", "[01]")), lambda one: one.path[-2:] not in {b"/0", b"/1"}),
    "camera": (Condition("camera", "=", "camera 1"), lambda one: one.camera == "Camera 1"),
    "date": (
        All((Condition("date", ">=", "2024-05-06"), Condition("format", "=", "png"))),
        lambda one: one.taken_at is not None and one.taken_at.day >= 6,
    ),
    "none": (AnyOf((Condition("label", "=", "none"), Condition("width", ">", 3.0))), lambda _: False),
}
WEIGHTS = tuple(1.0 + n % 3 for n in range(DIM))
_numbers = itertools.count()


class StoreAsDict(RuleBasedStateMachine):
    """`model` is what the store must hold: content by path."""

    TUNING = Tuning()

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.base = absolute(self.folder.name) + b"/photos"
        self.store = self.open(space())
        self.model: dict[bytes, int | None] = {}
        self.ids: dict[bytes, int] = {}
        self.used: set[int] = set()
        self.projection: Projection | None = None
        self.roots: set[bytes] = set()
        self.generation = 0

    def open(self, create: Space | None = None) -> Store:
        return SqliteStore(os.fsdecode(self.base + b"/gallery"), create=create, tuning=self.TUNING)

    def path(self, name: str) -> bytes:
        return os.fsencode(name).replace(b"@", self.base)

    def teardown(self) -> None:
        found = problems(self.store)
        self.store.close()
        self.folder.cleanup()
        assert found == []

    @rule(names=st.dictionaries(KEYS, CONTENTS, min_size=1, max_size=6))
    def add_or_replace(self, names: dict[str, int | None]) -> None:
        batch = {self.path(name): content for name, content in names.items()}
        with self.store.writing():
            put(self.store, batch)
        self.model |= batch
        for path, known in self.store.find(batch).items():
            if path in self.ids:
                assert known.id == self.ids[path]
            else:
                assert known.id not in self.used
            self.ids[path] = known.id
            self.used.add(known.id)
        assert set(self.ids) == set(self.model)

    @rule(names=st.sets(KEYS, max_size=4))
    def remove(self, names: set[str]) -> None:
        there = {self.path(name) for name in names} & set(self.model)
        found = [known.id for known in self.store.find(map(self.path, names)).values()]
        with self.store.writing():
            assert self.store.remove(found) == len(there)
        for path in there:
            del self.model[path], self.ids[path]

    @precondition(lambda self: len(set(self.model.values()) - {None}) > 1)
    @rule(cut=st.integers(1, DIM))
    def project(self, cut: int) -> None:
        self.projection = fit_projection((rows for _, rows in self.store.embeddings()), DIM, cut)
        with self.store.writing():
            self.store.set_projection(self.projection)

    @rule()
    def take_the_projection_back(self) -> None:
        self.projection = None
        with self.store.writing():
            self.store.set_projection(None)

    @rule(names=st.tuples(FOLDERS, st.one_of(FOLDERS, st.sampled_from(["/a/new", "/new", "@/new", "@/a/new"]))))
    def rename(self, names: tuple[str, str]) -> None:
        old, new = map(self.path, names)
        there = {path: moved(path, old, new) for path in self.model}
        with self.store.writing():
            if len(set(there.values())) < len(there):
                with pytest.raises(ValueError, match="twice"):
                    self.store.rename(old, new)
                return
            assert self.store.rename(old, new) == sum(is_within(path, old) for path in there)
        self.move({**there, **{path: moved(path, old, new) for path in self.roots}})

    def move(self, there: dict[bytes, bytes]) -> None:
        self.model = {there[path]: content for path, content in self.model.items()}
        self.ids = {there[path]: id_ for path, id_ in self.ids.items()}
        self.roots = {there[path] for path in self.roots}

    @rule(names=st.sets(FOLDERS, max_size=3))
    def set_roots(self, names: set[str]) -> None:
        self.roots = set(map(self.path, names))
        with self.store.writing():
            self.store.set_roots({root: {"exclude": ["x"]} for root in self.roots})

    @rule()
    def compact(self) -> None:
        if isinstance(self.store, Maintained):
            with self.store.writing():
                self.store.compact()

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.open()

    @rule()
    def lose_the_cache(self) -> None:
        self.store.close()
        for file in Path(self.folder.name).glob("**/*.cache"):
            file.unlink()
        self.store = self.open()

    @rule(content=st.integers(0, 12), k=st.integers(1, 25), name=st.sampled_from([None, *FILTERS]))
    def search(self, content: int, k: int, name: str | None) -> None:
        where, fits = FILTERS[name] if name else (None, None)
        embedded = {path: number for path, number in self.model.items() if number is not None}
        rows = {self.ids[path]: number for path, number in embedded.items() if not fits or fits(record(path, number))}
        if name in {"camera", "date"} and not any(one.camera for one in self.store.scan()):
            return  # and is refused, as most likely misspelt
        assert set(self.store.ids(where).tolist()) == set(rows)
        wanted = expected(rows, embedding(content), k, projection=self.projection)
        assert_same_answer(nearest(self.store, embedding(content), k, where=where, exact=True), wanted)
        self.is_true(nearest(self.store, embedding(content), k, where=where), rows, content, k)

    @rule(content=st.integers(0, 12), k=st.integers(1, 25), weights=st.sampled_from([WEIGHTS, WEIGHTS[::-1]]))
    def search_by_weights(self, content: int, k: int, weights: tuple[float, ...]) -> None:
        if self.projection is not None:
            weights = weights[: self.projection.components.shape[1]]
            if self.store.vectors(self.store.ids().tolist()[:1]).shape[1] != len(weights):
                return
        by_weights = SearchSpace(weights=weights)
        found = nearest(self.store, embedding(content), k, space=by_weights)
        everything = nearest(self.store, embedding(content), 10**6, space=by_weights)
        assert found == everything[:k]
        assert {id_ for id_, _ in everything} == set(self.store.ids().tolist())

    @rule(content=st.integers(0, 12), k=st.integers(1, 25))
    def search_raw(self, content: int, k: int) -> None:
        rows = {self.ids[path]: number for path, number in self.model.items() if number is not None}
        found = nearest(self.store, embedding(content), k, space=SearchSpace(raw=True))
        assert_same_answer(found, expected(rows, embedding(content), k))

    @rule(name=st.one_of(FOLDERS, st.sampled_from(["", "/", "@/", "@/a/", "@/a/1", "@/zz", "/zz", "@/ab/"])))
    def scan(self, name: str) -> None:
        for cut in (0, 1, 2):
            prefix = self.path(name)[: len(self.path(name)) - cut]
            wanted = sorted(path for path in self.model if path.startswith(prefix))
            assert [known.path for known in self.store.scan(prefix)] == wanted

    @rule(k=st.integers(1, 5))
    def join(self, k: int) -> None:
        rows = {self.ids[path]: number for path, number in self.model.items() if number is not None}
        found = dict(neighbours(self.store, k, exact=True))
        assert set(found) == set(rows)
        for id_, near in found.items():
            others = {other: number for other, number in rows.items() if other != id_}
            assert_same_answer(near, expected(others, embedding(rows[id_]), k, projection=self.projection))

    def is_true(self, found: list[tuple[int, float]], rows: dict[int, int], content: int, k: int) -> None:
        """As many as there are, of those that were allowed, each as far as it is: what approximate answers keep."""
        wanted = dict(expected(rows, embedding(content), len(rows), projection=self.projection))
        assert len({id_ for id_, _ in found}) == len(found) == min(k, len(rows))
        assert found == sorted(found, key=lambda pair: (pair[1], pair[0]))
        for id_, distance in found:
            assert abs(distance - wanted[id_]) < 1e-5

    @invariant()
    def holds_what_was_put(self) -> None:
        items: dict[bytes, Record] = {known.path: known for known in self.store.scan()}
        wanted = {path: None if number is None else digest(number) for path, number in self.model.items()}
        assert {path: known.digest for path, known in items.items()} == wanted
        assert list(items) == sorted(self.model)
        assert {path: known.id for path, known in items.items()} == self.ids
        assert self.store.find(self.model) == items
        assert set(self.store.roots) == self.roots
        used = {number for number in self.model.values() if number is not None}
        assert self.store.known(digest(number) for number in range(13)) == {digest(number) for number in used}
        embedded = sum(number is not None for number in self.model.values())
        assert self.store.count() == (embedded, len(self.model) - embedded)

    @invariant()
    def never_goes_back(self) -> None:
        assert self.store.generation >= self.generation
        self.generation = self.store.generation


class StoreInFilesAsDict(StoreAsDict):
    """A gallery in a folder, which can also be moved, and whose columns can be looked at."""

    @rule(name=st.sampled_from([b"photos", b"photosb", b"holiday", b"a"]))
    def move_with_the_pictures(self, name: bytes) -> None:
        """The whole folder gets another name. Where pictures were expected there before, those that arrive count."""
        old, new = self.base, absolute(self.folder.name) + b"/" + name
        if old == new or any(is_within(root, new) for root in self.roots):
            return  # a root outside that would lie inside then: it stays where it was named, however often they move
        self.store.close()
        for path in self.model:  # what tells that they have moved
            if is_within(path, old):
                with contextlib.suppress(NotADirectoryError, FileExistsError, IsADirectoryError):
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    open(path, "ab").close()
        os.rename(old, new)
        self.base = new
        there = {path: moved(path, old, new) for path in self.model}
        covered = {
            path for path in there if is_within(path, new) and path in {there[one] for one in there if one != path}
        }
        for path in covered:
            del self.model[path], self.ids[path]
        self.move({path: moved(path, old, new) for path in [*self.model, *self.roots]})
        self.store = self.open()

    @rule()
    def tell(self) -> None:
        columns = listed(columns_of(self.store))
        assert columns == wanted_columns(self.store)
        assert set(columns) == {self.ids[path] for path, number in self.model.items() if number is not None}


class StoreInListsAsDict(StoreInFilesAsDict):
    """The same with lists and files of columns from the eighth item on, made again every few changes."""

    TUNING = Tuning(approximate_from=8, columns_from=8, added=4)


class StoreInMemoryAsDict(StoreAsDict):
    """The store that the others are compared with."""

    def __init__(self) -> None:
        self.location = f"memory:{next(_numbers)}"
        super().__init__()

    def open(self, create: Space | None = None) -> Store:
        return open_store(self.location, create=create)


class StoreInPostgresqlAsDict(StoreAsDict):
    """The same on a server, with an index from the eighth item on."""

    def __init__(self) -> None:
        self.name = f"s{os.getpid()}_{next(_numbers)}"
        super().__init__()

    def open(self, create: Space | None = None) -> Store:
        return PostgresqlStore(postgres().url(self.name), create=create, approximate_from=8)


class StoreInMilvusAsDict(StoreAsDict):
    """The same in Milvus, in a gallery that the next example gets empty."""

    def open(self, create: Space | None = None) -> Store:
        return milvus_galleries().open(Path(self.folder.name), create)

    def teardown(self) -> None:
        super().teardown()
        milvus_galleries().give_back()


_SETTINGS = settings(
    max_examples=20,
    stateful_step_count=25,
    deadline=None,  # a commit waits for the disk
    suppress_health_check=[HealthCheck.too_slow],
)
TestStoreInFilesAsDict = StoreInFilesAsDict.TestCase
TestStoreInFilesAsDict.settings = _SETTINGS
TestStoreInListsAsDict = StoreInListsAsDict.TestCase
TestStoreInListsAsDict.settings = _SETTINGS
TestStoreInMemoryAsDict = StoreInMemoryAsDict.TestCase
TestStoreInMemoryAsDict.settings = _SETTINGS
TestStoreInPostgresqlAsDict = pytest.mark.postgresql(StoreInPostgresqlAsDict.TestCase)
TestStoreInPostgresqlAsDict.settings = settings(_SETTINGS, max_examples=8)
TestStoreInMilvusAsDict = pytest.mark.milvus(StoreInMilvusAsDict.TestCase)
TestStoreInMilvusAsDict.settings = settings(_SETTINGS, max_examples=3)  # a projection takes 2 s
