"""Kill a PostgreSQL server again and again, while it writes and while it answers, and compare with an undisturbed run.

    python benchmarks/killed_servers.py --rounds 20 > docs/results/postgresql-killed.json

Each round fills a gallery in batches, removes and renames some pictures, and searches all the while in another thread;
the server is killed with all its sessions (kill -9) at a random moment and started again after 0.3 s.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.engines import Postgres
from tests.store.making import embedding, nearest, problems, put, space

from lookalike.errors import StoreError
from lookalike.store.postgresql.store import PostgresqlStore

BATCHES = 25


def write(store):
    with store.writing():
        for n in range(BATCHES):
            put(store, {b"/%d/%d" % (n, m): 20 * n + m for m in range(20)})
            if n % 5 == 4:
                assert store.remove(store.ids().tolist()[:3]) == 3
                assert store.rename(b"/%d" % n, b"/moved %d" % n) == 20
            time.sleep(0.01)


def content(store):
    paths = {one.id: one.path for one in store.scan()}
    near = [[(paths[id_], far) for id_, far in nearest(store, embedding(n), 10)] for n in range(0, 500, 25)]
    return sorted(paths.values()), near, store.count()


def search(store, done, met):
    while not done.is_set():
        try:
            nearest(store, embedding(7), 5)
            met["answers"] += 1
        except StoreError as error:
            met["errors"].append(str(error).split(": ", 1)[-1][:80])


def kill(server, seconds):
    time.sleep(seconds)
    server.kill()
    time.sleep(0.3)
    server.start()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    server, rng = Postgres(options=()), random.Random(1)
    quiet = PostgresqlStore(server.url("quiet"), create=space())
    began = time.monotonic()
    write(quiet)
    took, expected = time.monotonic() - began, content(quiet)
    same = 0
    met: dict[str, Any] = {"answers": 0, "errors": []}
    for n in range(rounds):
        store = PostgresqlStore(server.url(f"g{n}"), create=space())
        done = threading.Event()
        threads = [
            threading.Thread(target=kill, args=(server, rng.uniform(0, took))),
            threading.Thread(target=search, args=(store, done, met)),
        ]
        for thread in threads:
            thread.start()
        write(store)
        threads[0].join()
        done.set()
        threads[1].join()
        same += content(store) == expected and problems(store) == []
        store.close()
    quiet.close()
    result = {
        "command": f"python benchmarks/killed_servers.py --rounds {rounds}",
        "server": server.version,
        "rounds": rounds,
        "same_as_undisturbed": same,
        "searches_answered": met["answers"],
        "searches_refused": sorted(met["errors"]),
    }
    server.remove()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
