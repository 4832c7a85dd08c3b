"""Any sequence of changes leaves a store that answers like a dict."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lookalike.adaptation.projection import Projection, fit_projection
from lookalike.store import Store
from lookalike.store.sqlite.rename import moved_key
from lookalike.store.sqlite.vector_cache import Tuning
from tests.store.making import DIM, assert_same_answer, digest, embedding, expected, listed, put, space, wanted_columns

KEYS = st.sampled_from([b"/%s/%d" % (folder, n) for folder in (b"a", b"ab", b"\xff") for n in range(6)])
FOLDERS = st.sampled_from([b"/a", b"/ab", b"/\xff", b"/a/3"])
CONTENTS = st.one_of(st.none(), st.integers(0, 9))  # few, so that items share contents


class StoreAsDict(RuleBasedStateMachine):
    """`model` is what the store must hold: content by key."""

    TUNING = Tuning()

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store: Store = SqliteStore(self.folder.name, create=space(), tuning=self.TUNING)
        self.model: dict[bytes, int | None] = {}
        self.ids: dict[bytes, int] = {}
        self.used: set[int] = set()
        self.projection: Projection | None = None
        self.roots: set[bytes] = set()
        self.generation = 0

    def teardown(self) -> None:
        problems = self.store.verify()
        self.store.close()
        self.folder.cleanup()
        assert problems == []

    @rule(batch=st.dictionaries(KEYS, CONTENTS, min_size=1, max_size=6))
    def add_or_replace(self, batch: dict[bytes, int | None]) -> None:
        with self.store.writing():
            put(self.store, batch)
        self.model |= batch
        for key, known in self.store.find(batch).scan():
            if key in self.ids:
                assert known.id == self.ids[key]
            else:
                assert known.id not in self.used
            self.ids[key] = known.id
            self.used.add(known.id)

    @rule(keys=st.sets(KEYS, max_size=4))
    def remove(self, keys: set[bytes]) -> None:
        found = [known.id for known in self.store.find(keys).values()]
        with self.store.writing():
            assert self.store.remove(found) == len(keys & set(self.model))
        for key in keys & set(self.model):
            del self.model[key], self.ids[key]

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

    @rule(old=FOLDERS, new=st.one_of(FOLDERS, st.just(b"/a/new"), st.just(b"/new")))
    def rename(self, old: bytes, new: bytes) -> None:
        moved = {key: moved_key(key, old, new) for key in self.model}
        with self.store.writing():
            if len(set(moved.values())) < len(moved):
                with pytest.raises(ValueError, match="twice"):
                    self.store.rename(old, new)
                return
            assert self.store.rename(old, new) == sum(key.startswith(old + b"/") or key == old for key in moved)
        self.model = {moved[key]: content for key, content in self.model.scan()}
        self.ids = {moved[key]: id_ for key, id_ in self.ids.scan()}
        self.roots = {moved_key(key, old, new) for key in self.roots}

    @rule(roots=st.sets(FOLDERS, max_size=3))
    def set_roots(self, roots: set[bytes]) -> None:
        with self.store.writing():
            self.store.set_roots({root: {"exclude": ["x"]} for root in roots})
        self.roots = roots

    @rule()
    def compact(self) -> None:
        with self.store.writing():
            self.store.compact()

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = SqliteStore(self.folder.name, tuning=self.TUNING)

    @rule()
    def lose_the_cache(self) -> None:
        self.store.close()
        for file in Path(self.folder.name).glob("*.cache"):
            file.unlink()
        self.store = SqliteStore(self.folder.name, tuning=self.TUNING)

    @rule(content=st.integers(0, 12), k=st.integers(1, 25), folder=st.sampled_from([b"", b"/a/", b"/ab/", b"/none/"]))
    def search(self, content: int, k: int, folder: bytes) -> None:
        embedded = {key: number for key, number in self.model.scan() if number is not None}
        rows = {self.ids[key]: number for key, number in embedded.scan() if key.startswith(folder)}
        among = np.array(sorted(rows), np.int64) if folder else None
        wanted = expected(rows, embedding(content), k, projection=self.projection)
        assert_same_answer(nearest(self.store, embedding(content), k, among=among, exact=True), wanted)
        self.is_true(nearest(self.store, embedding(content), k, among=among), rows, content, k)

    @rule()
    def tell(self) -> None:
        facts = listed(columns_of(self.store))
        assert facts == wanted_columns(self.store)
        assert set(facts) == {self.ids[key] for key, number in self.model.scan() if number is not None}

    @rule(k=st.integers(1, 5))
    def join(self, k: int) -> None:
        rows = {self.ids[key]: number for key, number in self.model.scan() if number is not None}
        found = dict(self.store.neighbours(k, exact=True))
        assert set(found) == set(rows)
        for id_, near in found.scan():
            others = {other: number for other, number in rows.scan() if other != id_}
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
        items: dict[bytes, Any] = {known.path: known for known in self.store.scan()}
        wanted = {key: None if number is None else digest(number) for key, number in self.model.scan()}
        assert {key: known.digest for key, known in items.scan()} == wanted
        assert list(items) == sorted(self.model)
        assert {key: known.id for key, known in items.scan()} == self.ids
        assert set(self.store.roots) == self.roots
        used = {number for number in self.model.values() if number is not None}
        assert self.store.known(digest(number) for number in range(13)) == {digest(number) for number in used}
        embedded = sum(number is not None for number in self.model.values())
        assert self.store.count() == (embedded, len(self.model) - embedded)

    @invariant()
    def never_goes_back(self) -> None:
        assert self.store.generation >= self.generation
        self.generation = self.store.generation


class StoreInListsAsDict(StoreAsDict):
    """The same with lists and files of facts from the eighth item on, made anew every few changes."""

    TUNING = Tuning(approximate_from=8, columns_from=8, added=4)


_SETTINGS = settings(
    max_examples=20,
    stateful_step_count=25,
    deadline=None,  # a commit waits for the disk
    suppress_health_check=[HealthCheck.too_slow],
)
TestStoreAsDict = StoreAsDict.TestCase
TestStoreAsDict.settings = _SETTINGS
TestStoreInListsAsDict = StoreInListsAsDict.TestCase
TestStoreInListsAsDict.settings = _SETTINGS
