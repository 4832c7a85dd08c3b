"""Galleries that version 0.1.0 wrote, by a writer that is frozen: they open, are sound and answer as they did."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lookalike import Gallery, IndexOptions
from lookalike.store import Record, Space, open_store
from lookalike.store.sqlite.store import SqliteStore
from tests.conftest import make_picture
from tests.store.format3 import Item3, Projection3, Space3, write_gallery

if TYPE_CHECKING:
    from lookalike.store import Store

DIM = 8
FORMATS = [1, 2, 3]
ROOTS: dict[bytes, dict[str, Any]] = {
    b"/photos": {"exclude": ["*_thumb.jpg"], "hidden": False, "follow_links": True},
    b"/gr\xfcn": {"hidden": True},
}
SCALES = (1e-12, 1e-8, 1e-4, 1.0, 1e4, 1e8, 1e12)
Floats = np.ndarray[Any, np.dtype[np.float32]]


def numbers(seed: int, *shape: int) -> Floats:
    """Eighths between -63 and 63, which float16 keeps exactly; the same wherever and with whatever numpy."""
    steps = (np.arange(1, 1 + int(np.prod(shape))) * (2 * seed + 1) * 7919 + 31 * seed) % 997
    return ((steps.reshape(shape) - 498) / 8).astype(np.float32)


def picture(n: int, key: bytes, embedding: Floats | None) -> Item3:
    info = {"width": 640 + n, "height": 480, "format": "JPEG" if n % 3 else "PNG"}
    return Item3(key, f"{1000 + n}:{1_700_000_000_123_456_789 + n}", n.to_bytes(32, "big"), info, embedding)


def items() -> list[Item3]:
    """Pictures, among them copies, bytes that are no text and numbers of any size; and files that were skipped."""
    found = [picture(n, b"/photos/%d/%02d.jpg" % (n % 3, n), numbers(n, DIM)) for n in range(60)]
    found += [picture(7, b"/photos/a copy.jpg", None), picture(7, b"/photos/another.jpg", numbers(7, DIM))]
    found.append(picture(60, b"/photos/\xff\n\xfe.png", np.zeros(DIM, np.float32)))
    for n, scale in enumerate(SCALES, 61):
        found.append(picture(n, b"/scaled/%d" % n, numbers(n, DIM) * np.float32(scale)))
    found.append(picture(80, b"/photos/third.jpg", np.full(DIM, 1 / 3, np.float32)))
    found.append(Item3(b"/photos/bad.jpg", "7:1795746108049400378:100", None, {"reason": "not an image"}, None))
    return [*found, Item3("/photos/grün.gif".encode(), "3:1", None, {"reason": "“grün”"}, None)]


BARE = Projection3(numbers(100, DIM), numbers(101, DIM, 5), 60)
CLASSES = BARE._replace(shares=(0.75, 0.25), classes=(0.5, -0.25))
ANCHORS = np.array([[0.6, 0.8, 0], [0.8, 0, 0.6], [0, -0.6, 0.8], [1, 0, 0]], np.float32)  # of length 1
BLEND = ANCHORS, np.array([2.5, 1.25, 0.5], np.float32)
PARTS = BARE._replace(shares=(0.25, 0.75), groups=(2, 3), blends=(None, BLEND))
WHOLE = BARE._replace(blends=(BLEND,))
PROJECTIONS = {"none": None, "bare": BARE, "classes": CLASSES, "blended parts": PARTS, "blended": WHOLE}


def write_today(folder: Path, projection: object) -> None:
    """The same gallery, by the code of today. projection: as a store gives it."""
    some = items()
    embeddings = {item.digest: item.embedding for item in some if item.digest and item.embedding is not None}
    store = open_store(folder, create=Space(**Space3()._asdict()))
    with store.writing():
        store.set_roots(ROOTS)
        store.put([record_of(item) for item in some], embeddings)
        if projection:
            store.set_projection(projection)  # type: ignore[arg-type]
    store.close()


def record_of(item: Item3) -> Record:
    """What is kept of an item today."""
    size, mtime_ns, *limit = item.stamp.split(":")
    return Record(
        item.key,
        int(size),
        int(mtime_ns),
        item.digest,
        width=item.info.get("width"),
        height=item.info.get("height"),
        format=item.info.get("format"),
        skipped_because=item.info.get("reason"),
        max_megapixels=float(limit[0]) if limit else None,
    )


def opened(folder: Path) -> tuple[list[str], object]:
    """What is wrong with a gallery, and all that it answers."""
    store = SqliteStore(folder)
    try:
        return store.verify(), answer(store)
    finally:
        store.close()


def answer(store: Store) -> object:
    found = [store.search(numbers(n, 1, DIM), 20, exact=True) for n in range(80, 90)]
    own = [store.search(item.embedding[None], 3, exact=True) for item in items() if item.embedding is not None]
    rows = [(some.tolist(), part.tobytes()) for some, part in store.embeddings()]
    return found, own, rows, list(store.scan()), store.count(), store.space, store.roots


def projection_of(folder: Path) -> object:
    store = open_store(folder)
    try:
        return store.projection
    finally:
        store.close()


def dump(path: Path) -> dict[str, Any]:
    """Every row of every table, as it is, and what the database says of itself."""
    db = sqlite3.connect(path)
    pragmas = ("application_id", "user_version", "page_size", "journal_mode", "encoding")
    found: dict[str, Any] = {pragma: db.execute(f"PRAGMA {pragma}").fetchone() for pragma in pragmas}
    found["sql"] = sorted(map(repr, db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")))
    for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        found[table] = sorted(map(repr, db.execute(f"SELECT * FROM {table}")))
    db.close()
    return found


@pytest.mark.parametrize("name", PROJECTIONS)
def test_every_row_is_the_one_that_the_store_writes(name: str, tmp_path: Path) -> None:
    """Of the format of today; of an older one, the row that it becomes."""
    path = write_gallery(tmp_path / "frozen", items(), roots=ROOTS, projection=PROJECTIONS[name])
    problems, said = opened(tmp_path / "frozen")
    write_today(tmp_path / "today", projection_of(tmp_path / "frozen"))
    assert problems == []
    assert opened(tmp_path / "today") == ([], said)
    assert dump(path) == dump(tmp_path / "today" / "gallery.db")


@pytest.mark.parametrize("version", FORMATS)
@pytest.mark.parametrize("name", PROJECTIONS)
def test_a_gallery_of_any_format_is_sound_and_answers_the_same(name: str, version: int, tmp_path: Path) -> None:
    projection = PROJECTIONS[name]
    if projection is not None and projection.since > version:
        with pytest.raises(ValueError, match=f"format {version} has no room"):
            write_gallery(tmp_path / "older", [], projection=projection, version=version)
        return
    roots = ROOTS if version > 1 else None
    path = write_gallery(tmp_path / "older", items(), roots=roots, projection=projection, version=version)
    assert dump(path)["user_version"] == (version,)
    write_gallery(tmp_path / "newest", items(), roots=roots, projection=projection)
    problems, said = opened(tmp_path / "older")
    assert problems == []
    assert ([], said) == opened(tmp_path / "newest")
    kept = projection_of(tmp_path / "older")
    assert (kept is None) == (projection is None)
    if projection is not None:
        _assert_same_projection(kept, projection)


def _assert_same_projection(kept: Any, wanted: Projection3) -> None:
    assert np.array_equal(kept.mean, wanted.mean)
    assert np.array_equal(kept.components, wanted.components)
    for name in ("fitted_on", "shares", "classes", "groups"):
        assert getattr(kept, name) == getattr(wanted, name)
    for got, blend in zip(kept.blends, wanted.blends, strict=True):
        assert (got is None) == (blend is None)
        if blend is not None:
            assert np.array_equal(got.anchors, blend[0])
            assert np.array_equal(got.deviations, blend[1])


def test_an_indexed_gallery_searches_the_same_when_it_is_written_frozen(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(60):
        make_picture(seed).save(photos / f"{seed:02}.png")
    with Gallery.open(tmp_path / "indexed", encoder="histogram", create=True) as gallery:
        gallery.index(photos, options=IndexOptions(workers=1))
        space, wanted = gallery.store.space, gallery.search(photos / "07.png")
        rows = {int(id_): row for ids, some in gallery.store.embeddings() for id_, row in zip(ids, some, strict=True)}
        known = sorted(gallery.store.scan(), key=lambda record: record.id)
        found = [Item3(*_item_of(record), rows[record.id]) for record in known]
        kept = gallery.store.projection
    assert kept is not None
    own = Space3(space.encoder, space.fingerprint, space.dim, space.metric, space.source)
    projection = Projection3(kept.mean, kept.components, kept.fitted_on, kept.shares, groups=kept.groups)
    write_gallery(tmp_path / "frozen", found, space=own, roots=ROOTS, projection=projection)
    with Gallery.open(tmp_path / "frozen") as gallery:
        assert gallery.verify() == []
        assert len(gallery) == 60
        got = gallery.search(photos / "07.png")
        assert [(hit.path, hit.distance) for hit in got] == [(hit.path, hit.distance) for hit in wanted]


def _item_of(record: Record) -> tuple[bytes, str, bytes | None, dict[str, Any]]:
    info = {"width": record.width, "height": record.height, "format": record.format}
    return record.path, f"{record.size}:{record.mtime_ns}", record.digest, info


# Of every row of a whole gallery; never to be changed, as galleries in the world are not.
FROZEN = {
    1: "ed36850ceda2959cb6beb7fcea9f2588eb0b86b04918883f3dcd0b565b6781ab",
    2: "3806de087187b6549fc49b5dc724eb87f6c7667b6b65b856eea368d8232a4927",
    3: "d05e4316c90e6a6acfe7b25658373dd1aab33bbb6335a737eab32afe09f277e1",
}


@pytest.mark.parametrize("version", FORMATS)
def test_what_is_written_never_changes(version: int, tmp_path: Path) -> None:
    roots, changes = ROOTS if version > 1 else None, [(2, 5), (2, 6)] if version > 2 else []
    projection = {1: BARE, 2: CLASSES, 3: PARTS}[version]
    path = write_gallery(tmp_path, items(), roots=roots, projection=projection, changes=changes, version=version)
    assert hashlib.sha256(repr(dump(path)).encode()).hexdigest() == FROZEN[version]


def test_what_a_format_has_no_room_for_is_refused(tmp_path: Path) -> None:
    for version, more in ((1, {"roots": ROOTS}), (2, {"changes": [(1, 1)]}), (0, {}), (4, {})):
        with pytest.raises(ValueError, match=f"format {version}"):
            write_gallery(tmp_path / "gallery", [], version=version, **more)
    assert not (tmp_path / "gallery").exists()


def test_the_frozen_writer_imports_nothing_of_the_package() -> None:
    code = (
        "import sys, tests.store.format3; sys.exit(any(name.partition('.')[0] == 'lookalike' for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    assert done.returncode == 0
