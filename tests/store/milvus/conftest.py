"""Tests of this folder use galleries of Milvus one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engines import milvus_galleries
from tests.store.making import space

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lookalike.store.milvus.store import MilvusStore

    Open = Callable[..., MilvusStore]


@pytest.fixture
def open_again(tmp_path: Path) -> Iterator[Open]:
    """Open the gallery of this test, which is made if it is not there. options: of its URL."""
    galleries, opened = milvus_galleries(), list["MilvusStore"]()

    def open_again(options: str = "") -> MilvusStore:
        opened.append(galleries.open(tmp_path, space(), options=options))
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()
    galleries.give_back()


@pytest.fixture
def store(open_again: Open) -> MilvusStore:
    return open_again()
