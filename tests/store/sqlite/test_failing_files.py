"""Our own writing, renaming and syncing of files fails at the n-th time: test list 4.

What SQLite itself writes fails in test_faults.py, by a small disk and by its n-th statement.
"""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from lookalike.errors import StoreError
from lookalike.store import open_store
from lookalike.store.sqlite.backup import export, restore
from lookalike.store.sqlite.cache_files import Tuning
from lookalike.store.sqlite.repair import repair
from lookalike.store.sqlite.store import SqliteStore
from tests.store.child import do, model_after
from tests.store.making import columns_of, embedding, nearest, problems, space
from tests.store.sqlite.test_faults import contents, step_through, wanted_after

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_CALLS = ("write", "replace", "fsync")
_STEPS = 21


class Failing:
    """Lets the n-th of these calls fail that is made while it is in force: once, or from then on."""

    def __init__(self, at: int, *, for_ever: bool) -> None:
        self.left, self.for_ever = at, for_ever

    def __call__(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left == 0 or (self.for_ever and self.left < 0):
                raise OSError(errno.EIO, f"os.{name} that fails")
            return function(*arguments, **options)

        return counted


def put(place: Path) -> None:
    store = SqliteStore(place, create=space(), tuning=Tuning(columns_from=1))
    try:
        with store.writing():
            do(_STEPS, store, model_after(_STEPS))
        nearest(store, embedding(1), 3)  # and its cache is written
        columns_of(store)  # and theirs
    finally:
        store.close()


def create(place: Path) -> None:
    shutil.rmtree(place)
    open_store(place, create=space()).close()


def mend(place: Path) -> None:
    content = bytearray((place / "gallery.db").read_bytes())
    at = content.rindex(b"/photos/")
    content[at : at + 8] = b"/damaged"
    (place / "gallery.db").write_bytes(content)
    repair(place)


def bring_back(place: Path) -> None:
    restore(place.with_name("copy"), place, force=True)


def test_a_change_that_cannot_be_noted_is_made_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert loop(put, tmp_path, monkeypatch, {_STEPS, _STEPS + 1}) == 0


@pytest.mark.parametrize("use", [create, bring_back, lambda place: export(place, place.with_name("other"), force=True)])
def test_the_gallery_is_as_before_or_as_after(
    use: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert loop(use, tmp_path, monkeypatch, {0, _STEPS}) > 2


def test_a_repair_can_be_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert loop(mend, tmp_path, monkeypatch, None) > 2


def loop(
    use: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generations: set[int] | None
) -> int:
    """How often `use` failed, with each of its calls failing once and for ever; looks at what it left each time."""
    step_through(tmp_path / "before", _STEPS).close()
    export(tmp_path / "before", tmp_path / "copy")
    place, failures = tmp_path / "gallery", 0
    for for_ever in (False, True):
        for at in range(1, 60):
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(tmp_path / "before", place)
            failing = Failing(at, for_ever=for_ever)
            with monkeypatch.context() as patch:
                for name in _CALLS:
                    patch.setattr(os, name, failing(name, getattr(os, name)))
                try:
                    use(place)
                except StoreError:
                    failures += 1
            look(place, generations)
            if failing.left > 0:
                break
        else:
            pytest.fail("there is no end to the calls")
    return failures


def look(place: Path, generations: set[int] | None) -> None:
    assert not [path for path in place.parent.iterdir() if path.name.startswith((".lookalike", "other."))]
    if generations is None:
        repair(place)
    store = open_store(place, create=space())
    assert problems(store) == []
    if generations is None:
        assert contents(store).items() <= wanted_after(_STEPS).items()
    else:
        assert store.generation in generations
        assert contents(store) == wanted_after(store.generation)
    store.close()
