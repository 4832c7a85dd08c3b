"""Programs that the tests start, kill, starve and race: `python -m tests.store.child NAME ARGUMENT...`.

Every line on stdout is an acknowledgement: what it names was on disk before it was printed.
"""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.errors import ClosedGallery, Corrupt, NoGallery, StoreError
from lookalike.store import SearchSpace, Store, open_store
from lookalike.store.sqlite.backup import export, restore
from lookalike.store.sqlite.repair import repair
from lookalike.store.sqlite.store import SqliteStore
from lookalike.store.sqlite.vector_cache import Tuning
from tests.store.making import columns_of, embedding, listed, nearest, put, space

if TYPE_CHECKING:
    from collections.abc import Callable

_KEYS = 400
_TUNING = Tuning(columns_from=1)


def say(word: object) -> None:
    os.write(1, f"{word}\n".encode())


def change(step: int, model: dict[bytes, int | None]) -> tuple[dict[bytes, int | None], list[bytes]]:
    """What step number `step` puts into a store that holds `model`, and what it removes: one of both."""
    rng = random.Random(step)
    if step % 4 == 3:
        return {}, rng.sample(sorted(model), min(len(model), rng.randrange(8)))
    keys = [b"/photos/%d" % rng.randrange(_KEYS) for _ in range(rng.randrange(1, 40))]
    return {key: rng.choice([None, *range(60)]) for key in keys}, []


def model_after(steps: int) -> dict[bytes, int | None]:
    """What a store holds after so many steps: the same for one that was never killed."""
    model: dict[bytes, int | None] = {}
    for step in range(steps):
        apply(change(step, model), model)
    return model


def apply(changes: tuple[dict[bytes, int | None], list[bytes]], model: dict[bytes, int | None]) -> None:
    added, removed = changes
    model |= added
    for key in removed:
        del model[key]


def do(step: int, store: Store, model: dict[bytes, int | None]) -> None:
    """One step in the store and in the model."""
    added, removed = changes = change(step, model)
    if added:
        put(store, added)
    else:
        store.remove([known.id for known in store.find(removed).values()])
    apply(changes, model)


def care(folder: str, copy: str) -> None:
    """Move, compact, export, import and mend a gallery over and over; its content stays but for where it is."""
    place = Path(folder)
    say("ready")
    while True:
        for old, new in ((b"/photos", b"/moved"), (b"/moved", b"/photos")):
            store = SqliteStore(place)
            with store.writing(wait=5):
                store.rename(old, new)
                store.compact()
            store.close()
        export(place, Path(copy), force=True)
        restore(Path(copy), place, force=True)
        _forget_a_checksum(place)
        repair(place)
        say("round")


def _forget_a_checksum(place: Path) -> None:
    """Damage that costs nothing but a repair."""
    db = sqlite3.connect(place / "gallery.db")
    db.execute("UPDATE meta SET crc = 1 WHERE key = 'next_id'")
    db.commit()
    db.close()


def create(folder: str) -> None:
    """Create a store when a line comes in."""
    say("ready")
    sys.stdin.readline()
    open_store(folder, create=space()).close()
    say("created")


def steps(folder: str, last: str = "1000000") -> None:
    """Go on from where the store is; its generation is the number of steps that were done. Then wait to be killed."""
    store = open_store(folder, create=space())
    with store.writing(wait=5):
        first = store.generation
        model = model_after(first)
        say(first)
        for step in range(first, int(last)):
            do(step, store, model)
            say(store.generation)
        sys.stdin.readline()
    store.close()


def batches(folder: str, count: str) -> None:
    """Put batches of 50 items as one of many writers that take turns with a reader."""
    store = open_store(folder)
    with store.writing():
        for batch in range(int(count)):
            put(store, {b"%04d/%02d" % (batch, n): n for n in range(50)})
            say(batch)
    store.close()


def single(folder: str, name: str, count: str) -> None:
    """So many transactions, ten for each time of holding the lock."""
    store = open_store(folder)
    say("ready")
    sys.stdin.readline()
    for first in range(0, int(count), 10):
        with store.writing(wait=60):
            for n in range(first, first + 10):
                put(store, {f"{name}{n}".encode(): n % 9})
                say(n)
    store.close()


def hold(folder: str) -> None:
    """Be the writer until a line comes in, and a little longer."""
    store = open_store(folder)
    with store.writing():
        say("held")
        sys.stdin.readline()
        time.sleep(0.3)
    store.close()


def fork(folder: str) -> None:
    """Use a store in a fork, which must be refused there and do no harm here."""
    store = open_store(folder)
    process = os.fork()
    if process == 0:
        try:
            store.count()
        except ClosedGallery:
            os._exit(0)
        os._exit(1)
    say("refused" if os.waitpid(process, 0)[1] == 0 else "accepted")
    say(store.count())


def unprivileged(folder: str, other: str) -> None:
    """Search and write as somebody who may only read."""
    wanted = answer(other)  # what it imports may be out of reach later
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    say(outcome(lambda: _compare(answer(folder), wanted)))
    say(outcome(lambda: write(folder)))


def mutate(folder: str, first: str, count: str, approximate_from: str = "30000") -> None:
    """Damage copies of the gallery at `folder`, each by its own seed, and say what came of each."""
    global _TUNING  # noqa: PLW0603  (of this process)
    _TUNING = Tuning(approximate_from=int(approximate_from), columns_from=1)
    source, wanted = Path(folder), answer(f"{folder}.sound")
    for seed in range(int(first), int(first) + int(count)):
        place = source.with_name("mutated")
        _copy_files(source, place)
        what = damage(place, random.Random(seed))
        say("\t".join((str(seed), what, *_used(str(place), wanted))))


def _used(folder: str, wanted: object) -> tuple[str, str]:
    return outcome(lambda: _compare(answer(folder), wanted)), outcome(lambda: look_after(folder))


def answer(folder: str) -> object:
    """All that a gallery can be asked; what is approximate must be true, if not the same each time."""
    store = SqliteStore(folder, tuning=_TUNING)
    try:
        with store.reading():
            found = [nearest(store, embedding(n), 9, exact=True) for n in range(4)]
            for n in range(4):
                if not set(nearest(store, embedding(n), 3)) <= set(nearest(store, embedding(n), 10**6)):
                    raise AssertionError("not as near as was said")
            keys = store.get({id_ for hits in found for id_, _ in hits})
            if missing := {id_ for hits in found for id_, _ in hits} - set(keys):
                raise Corrupt(f"{missing} are not there")
            named = [[(keys[id_].path, distance) for id_, distance in hits] for hits in found]
            items = [(known.path, known.digest, known.size, known.mtime_ns) for known in store.scan()]
            as_put = nearest(store, embedding(1), 9, space=SearchSpace(raw=True))
            return named, store.count(), items, store.roots, listed(columns_of(store)), as_put
    finally:
        store.close()


def write(folder: str) -> None:
    store = open_store(folder)
    try:
        with store.writing():
            put(store, {b"new": 1, b"/photos/1": 2})
            store.remove([3])
    finally:
        store.close()


def look_after(folder: str) -> None:
    """Check, then write."""
    store = SqliteStore(folder)
    try:
        store.verify()
    finally:
        store.close()
    write(folder)


def outcome(use: Callable[[], object]) -> str:
    """`StoreError` for any of its kinds (and for no gallery at all), `ok`, or what should not have been."""
    try:
        use()
    except (StoreError, NoGallery):
        return "StoreError"
    except BaseException as error:  # noqa: BLE001  (whatever it is, the test shall see it)
        return f"{type(error).__name__}: {error}"
    return "ok"


def damage(folder: Path, rng: random.Random) -> str:
    """Damage one file as disks, transfers and people do; what was done."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    file = rng.choice([*files, *[path for path in files if path.name.startswith("gallery.db")] * 3])
    data = bytearray(file.read_bytes())
    at = rng.randrange(len(data) + 1)
    page = 1 << rng.choice([9, 12, 14])
    kinds: dict[str, Callable[[], bytes]] = {
        "bit": lambda: _overwritten(data, at, bytes([(data[at : at + 1] or b"\0")[0] ^ 1 << rng.randrange(8)])),
        "byte": lambda: _overwritten(data, at, rng.randbytes(1)),
        "header": lambda: _overwritten(data, at % 200, rng.randbytes(2)),
        "run": lambda: _overwritten(data, at, rng.randbytes(rng.randrange(1, 200))),
        "zeros": lambda: _overwritten(data, at // page * page, bytes(page)),
        "page elsewhere": lambda: _overwritten(
            data, rng.randrange(len(data) + 1) // page * page, bytes(data[at // page * page :][:page])
        ),
        "cell pointers": lambda: _overwritten(data, at // 16384 * 16384 + rng.randrange(40), rng.randbytes(1)),
        "cut": lambda: bytes(data[:at]),
        "cut at a page": lambda: bytes(data[: at // page * page]),
        "longer": lambda: bytes(data) + rng.randbytes(rng.randrange(1, 5000)),
        "empty": lambda: b"",
    }
    kind = rng.choice([*kinds, "gone"])
    if kind == "gone":
        file.unlink()
    else:
        file.write_bytes(kinds[kind]())
    return f"{kind} of {file.name}"


def _overwritten(data: bytearray, at: int, by: bytes) -> bytes:
    return bytes(data[:at] + by + data[at + len(by) :])


def _copy_files(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for old in target.iterdir():
        old.unlink()
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())


def _compare(got: object, wanted: object) -> None:
    if got != wanted:
        raise AssertionError("another answer")


PROGRAMS: dict[str, Callable[..., None]] = {
    program.__name__: program for program in (create, care, steps, batches, single, hold, fork, unprivileged, mutate)
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
