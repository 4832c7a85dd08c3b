"""A gallery as a table for other programs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lookalike.errors import MissingExtra, UsageError
from lookalike.store import Store, open_store
from lookalike.store.parquet import write_parquet
from tests.store.making import DIM, digest, embedding, put, space

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "gallery", create=space())
    with store.writing():
        put(store, {b"/\xff/%03d" % n: n % 500 for n in range(700)}, stamp="12:-345")
        put(store, {b"/skipped": None})
    yield store
    store.close()


def test_every_picture_has_its_row_with_what_is_known_of_it(store: Store, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    assert write_parquet(store, tmp_path / "table.parquet") == 700
    table = parquet.read_table(tmp_path / "table.parquet")
    assert table.column_names == [
        "path", "id", "size", "mtime_ns", "width", "height", "format", "taken_at", "camera", "digest", "embedding",
    ]  # fmt: skip
    assert table.schema.metadata[b"lookalike.encoder"] == b"test"
    rows = table.to_pylist()
    assert [row["path"] for row in rows] == [b"/\xff/%03d" % n for n in range(700)]
    assert (rows[3]["size"], rows[3]["mtime_ns"], rows[3]["width"], rows[3]["height"]) == (12, -345, 3, 2)
    assert [row["camera"] for row in rows[:4]] == [None, "Camera 1", None, "Camera 0"]
    assert [row["taken_at"] for row in rows[:2]] == [None, "2024-05-02T10:00:00"]
    assert rows[3]["digest"] == digest(3)
    matrix = np.array(table["embedding"].to_pylist(), np.float32)
    assert matrix.shape == (700, DIM)
    assert (matrix == np.stack([embedding(n % 500) for n in range(700)])).all()
    assert not list(tmp_path.glob("*.part"))


def test_nothing_is_replaced_without_being_told(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    (tmp_path / "table").write_bytes(b"precious")
    with pytest.raises(UsageError, match="already"):
        write_parquet(store, tmp_path / "table")
    assert (tmp_path / "table").read_bytes() == b"precious"
    assert write_parquet(store, tmp_path / "table", force=True) == 700


def test_without_the_extra_it_says_how_to_get_it(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra) as missing:
        write_parquet(store, tmp_path / "table")
    assert "lookalike[parquet]" in missing.value.hint
