"""Each test of this folder that asks for a store runs with every kind of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engines import marks_of, milvus_galleries
from tests.store.making import STORES, space

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lookalike.store import Space, Store

    Open = Callable[[Space | None], Store]


@pytest.fixture(params=[pytest.param(name, marks=marks_of(name)) for name in STORES])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Open the store of this test again; with a space, make it if it is not there."""
    yield lambda create: STORES[request.param](tmp_path / "gallery", create)
    if request.param.startswith("milvus"):
        milvus_galleries().give_back()


@pytest.fixture
def store(reopen: Open) -> Iterator[Store]:
    store = reopen(space())
    yield store
    store.close()
