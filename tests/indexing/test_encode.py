"""What every Embedder promises, and that a gallery comes out the same whichever of them is used."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike import IndexOptions, Limits
from lookalike.images.walk import Root, walk
from lookalike.indexing.encode import Embedded, LocalEmbedder
from lookalike.indexing.update import update
from lookalike.store import Space, open_store
from tests.conftest import make_picture
from tests.tiles import TilesEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Iterator
    from pathlib import Path

    from lookalike.images.walk import Entry
    from lookalike.indexing.encode import Embedder, Known
    from lookalike.indexing.update import Report
    from lookalike.store import Store

_AHEAD = 64  # files that the embedders here may take before their results are taken


class ShufflingEmbedder:
    """Gathers a few results of the local embedder and gives them in another order, as many machines would."""

    def __init__(self, encoder: TilesEncoder, seed: int = 1) -> None:
        self._local = LocalEmbedder(encoder, encoder.dim, limits=Limits(megapixels=1), workers=1, batch_size=3)
        self._rng = random.Random(seed)

    def embed(self, files: Iterable[Entry], known: Known) -> Generator[tuple[Entry, Embedded | str]]:
        """Yield every file with what is in it, or with the reason why it cannot be read."""
        gathered: list[tuple[Entry, Embedded | str]] = []
        for result in self._local.embed(files, known):
            gathered.append(result)
            if len(gathered) == 9:
                yield from self._in_another_order(gathered)
                gathered = []
        yield from self._in_another_order(gathered)

    def _in_another_order(self, results: list[tuple[Entry, Embedded | str]]) -> Iterator[tuple[Entry, Embedded | str]]:
        self._rng.shuffle(results)
        return iter(results)


def local(encoder: TilesEncoder) -> Embedder:
    return LocalEmbedder(encoder, encoder.dim, limits=Limits(megapixels=1), workers=1, batch_size=3)


@pytest.fixture(params=[local, ShufflingEmbedder], ids=["local", "shuffling"])
def make(request: pytest.FixtureRequest) -> Callable[[TilesEncoder], Embedder]:
    chosen: Callable[[TilesEncoder], Embedder] = request.param
    return chosen


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_photos_with_faults(tmp_path / "photos", 20)


def make_photos_with_faults(folder: Path, count: int) -> Path:
    """A folder of so many different pictures, three copies of one of them, one damaged and one too large."""
    folder.mkdir()
    for seed in range(count):
        make_picture(seed, (20, 16)).save(folder / f"{seed:02}.png")
    for name in ("a.png", "k.png", "z.png"):
        (folder / name).write_bytes((folder / "07.png").read_bytes())
    (folder / "bad.png").write_bytes(b"no picture")
    make_picture(90, (1500, 1000)).save(folder / "large.png")
    return folder


def none_known(_: Collection[bytes]) -> set[bytes]:
    return set()


def entries(folder: Path) -> list[Entry]:
    return list(walk(os.fsencode(folder)))


class TestContract:
    def test_every_file_comes_back_once(self, make: Callable[[TilesEncoder], Embedder], photos: Path) -> None:
        files = entries(photos)
        found = [entry for entry, _ in make(TilesEncoder()).embed(files, none_known)]
        assert sorted(found, key=lambda entry: entry.path) == sorted(files, key=lambda entry: entry.path)

    def test_each_has_its_own_embedding_and_facts(self, make: Callable[[TilesEncoder], Embedder], photos: Path) -> None:
        encoder = TilesEncoder()
        alone = dict(LocalEmbedder(encoder, encoder.dim, workers=1, batch_size=1).embed(entries(photos), none_known))
        for entry, result in make(encoder).embed(entries(photos), none_known):
            if os.path.basename(entry.path).startswith((b"large", b"bad")):
                assert isinstance(result, str)
                continue
            expected = alone[entry]
            assert isinstance(result, Embedded)
            assert isinstance(expected, Embedded)
            np.testing.assert_array_equal(result.embedding, expected.embedding)
            assert replace(result, embedding=None) == replace(expected, embedding=None)
            assert (result.width, result.height, result.format) == (20, 16, "PNG")

    def test_what_is_known_is_not_encoded(self, make: Callable[[TilesEncoder], Embedder], photos: Path) -> None:
        encoder = TilesEncoder()
        results = [result for _, result in make(encoder).embed(entries(photos), set)]
        assert all(isinstance(result, str) or result.embedding is None for result in results)
        assert encoder.encoded == 0

    def test_copies_that_are_met_together_are_encoded_once(
        self, make: Callable[[TilesEncoder], Embedder], photos: Path
    ) -> None:
        encoder = TilesEncoder()
        copies = [entry for entry in entries(photos) if entry.path[-5:-4] in b"akz"]
        results = [result for _, result in make(encoder).embed(copies, none_known)]
        assert all(isinstance(result, Embedded) and result.embedding is not None for result in results)
        assert (len(results), encoder.encoded) == (3, 1)

    def test_files_are_taken_as_they_are_needed(self, make: Callable[[TilesEncoder], Embedder], photos: Path) -> None:
        entry, taken = next(iter(walk(os.fsencode(photos / "03.png")))), 0

        def endless() -> Iterator[Entry]:
            nonlocal taken
            while True:
                taken += 1
                yield entry

        results = make(TilesEncoder()).embed(endless(), none_known)
        for _ in range(10):
            next(results)
        assert taken <= 10 + _AHEAD
        results.close()

    def test_a_file_that_went_away_is_a_reason(self, make: Callable[[TilesEncoder], Embedder], photos: Path) -> None:
        files = entries(photos)
        (photos / "05.png").unlink()
        results = dict(make(TilesEncoder()).embed(files, none_known))
        gone = [result for entry, result in results.items() if entry.path.endswith(b"05.png")]
        assert gone == ["vanished"]


def index(store: Store, embedder: Embedder, folder: Path) -> Report:
    options = IndexOptions(batch_size=4, limits=Limits(megapixels=1))
    with store.writing():
        return update(store, embedder, [Root(os.fsencode(folder))], options=options)


def content(store: Store) -> dict[bytes, tuple[object, ...]]:
    """Everything that a store keeps, by path, without ids."""
    rows = {int(id_): row.tobytes() for ids, some in store.embeddings() for id_, row in zip(ids, some, strict=True)}
    return {record.path: (record._replace(id=0), rows.get(record.id)) for record in store.scan()}


def new_store(location: Path) -> Store:
    encoder = TilesEncoder()
    return open_store(location, create=Space("tiles", encoder.fingerprint, encoder.dim, encoder.metric, "tiles"))


@pytest.mark.parametrize("seed", range(3))
def test_the_gallery_is_the_same_in_whatever_order_results_come(photos: Path, tmp_path: Path, seed: int) -> None:
    encoder, stores = TilesEncoder(), [new_store(tmp_path / "one"), new_store(tmp_path / "two")]
    embedders = [local(encoder), ShufflingEmbedder(encoder, seed)]

    def both() -> list[Report]:
        reports = [index(store, embedder, photos) for store, embedder in zip(stores, embedders, strict=True)]
        assert content(stores[0]) == content(stores[1])
        return [replace(report, seconds=0) for report in reports]

    first, second = both()
    assert first == second
    assert (first.added, len(first.skipped)) == (23, 2)
    (photos / "01.png").rename(photos / "moved.png")
    (photos / "02.png").unlink()
    make_picture(60, (20, 16)).save(photos / "03.png")
    (photos / "04.png").rename(photos / "between")
    (photos / "05.png").rename(photos / "04.png")
    (photos / "between").rename(photos / "05.png")
    for name in ("04.png", "05.png"):
        os.utime(photos / name, ns=(1, 1))
    first, second = both()
    assert first == second
    assert (first.renamed, first.removed) == (1, 1)
    for store in stores:
        store.close()


class LateEmbedder:
    """Asks what is known long before its results are saved: everything is read before anything is given."""

    def __init__(self, encoder: TilesEncoder) -> None:
        self._local = local(encoder)

    def embed(self, files: Iterable[Entry], known: Known) -> Generator[tuple[Entry, Embedded | str]]:
        """Yield every file with what is in it, in the order of the names."""
        yield from sorted(self._local.embed(files, known), key=lambda result: result[0].path)


def test_an_embedding_that_was_known_and_is_gone_when_it_is_needed_is_computed_again(
    photos: Path, tmp_path: Path
) -> None:
    """One picture is overwritten, its old content comes in under another name, and saving the first drops it."""
    encoder, store = TilesEncoder(), new_store(tmp_path / "gallery")
    index(store, local(encoder), photos)
    (photos / "zz.png").write_bytes((photos / "00.png").read_bytes())
    for seed in range(5):  # 00.png and zz.png are saved in different batches
        make_picture(100 + seed, (20, 16)).save(photos / f"{seed:02}.png")
    report = index(store, LateEmbedder(encoder), photos)
    assert (report.added, report.changed, report.removed) == (1, 5, 0)
    assert len(list(store.scan())) == 26
    again = new_store(tmp_path / "again")
    index(again, local(encoder), photos)
    assert content(store) == content(again)
    store.close()
