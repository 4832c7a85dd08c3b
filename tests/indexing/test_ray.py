"""Encoding on a real Ray cluster of two nodes: the contract of every Embedder, and what dies during a run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lookalike import Gallery, IndexOptions, Limits
from lookalike.errors import EncoderMismatch, Unreachable
from lookalike.indexing.encode import Embedded, LocalEmbedder
from lookalike.indexing.ray import RayEmbedder
from tests.clusters import needs_ray, start_cluster, workers
from tests.conftest import make_picture
from tests.indexing.test_encode import (
    content,
    entries,
    index,
    local,
    make_photos_with_faults,
    new_store,
    none_known,
)
from tests.slow_tiles import OtherEncoder, SlowEncoder, load_from
from tests.tiles import TilesEncoder
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from lookalike.images.walk import Entry
    from tests.clusters import Nodes

pytestmark = [needs_ray, pytest.mark.timeout(400), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with start_cluster() as nodes:
        yield nodes


@pytest.fixture(scope="module")
def connected(nodes: Nodes) -> Iterator[Nodes]:
    """One connection for all embedders of this process: a connection takes a second."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray

        ray.init(address=nodes.address, log_to_driver=False, configure_logging=False, namespace="lookalike")
        yield nodes
        ray.shutdown()


def on_ray(nodes: Nodes, encoder: Any = None, load: Any = TilesEncoder, batch_size: int = 3) -> RayEmbedder:
    encoder = encoder or TilesEncoder()
    limits = Limits(megapixels=1)
    return RayEmbedder(load, encoder, encoder.dim, address=nodes.address, limits=limits, batch_size=batch_size)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_photos_with_faults(tmp_path / "photos", 40)


def test_the_contract_of_every_embedder_holds(connected: Nodes, photos: Path) -> None:
    encoder, files = TilesEncoder(), entries(photos)
    alone = dict(LocalEmbedder(encoder, encoder.dim, limits=Limits(megapixels=1), workers=1).embed(files, none_known))
    found = list(on_ray(connected).embed(files, none_known))
    assert sorted(entry.path for entry, _ in found) == sorted(entry.path for entry in files)
    for entry, result in found:
        expected = alone[entry]
        if isinstance(expected, str):
            assert result == expected
            continue
        assert isinstance(result, Embedded)
        np.testing.assert_array_equal(result.embedding, expected.embedding)
        assert replace(result, embedding=None) == replace(expected, embedding=None)
    known = [result for _, result in on_ray(connected, batch_size=64).embed(files, set)]
    assert all(isinstance(result, str) or result.embedding is None for result in known)


def test_what_is_known_is_asked_for_in_the_thread_that_takes_the_results(connected: Nodes, photos: Path) -> None:
    threads = set()

    def known(_: Collection[bytes]) -> set[bytes]:
        threads.add(threading.get_ident())
        return set()

    assert len(list(on_ray(connected, batch_size=64).embed(entries(photos), known))) == 45
    assert threads == {threading.get_ident()}


def test_files_are_taken_as_they_are_needed_and_closing_ends_the_actors(connected: Nodes, photos: Path) -> None:
    (entry, *_), taken = entries(photos), 0

    def endless() -> Iterator[Entry]:
        nonlocal taken
        while True:
            taken += 1
            yield entry

    results = on_ray(connected).embed(endless(), none_known)
    for _ in range(10):
        next(results)
    assert taken <= 10 + 64
    assert workers()
    results.close()
    wait_for(lambda: not workers())


def test_the_gallery_is_the_same_as_that_of_one_process(connected: Nodes, photos: Path, tmp_path: Path) -> None:
    one, two = new_store(tmp_path / "one"), new_store(tmp_path / "two")

    def both() -> None:
        reports = [index(one, local(TilesEncoder()), photos), index(two, on_ray(connected), photos)]
        assert replace(reports[0], seconds=0) == replace(reports[1], seconds=0)
        assert content(one) == content(two)

    both()
    (photos / "01.png").rename(photos / "moved.png")
    (photos / "02.png").unlink()
    make_picture(60, (20, 16)).save(photos / "03.png")
    both()
    one.close()
    two.close()


def test_few_files_start_no_more_actors_than_they_have_batches(connected: Nodes, photos: Path) -> None:
    results = on_ray(connected, batch_size=64).embed(entries(photos), none_known)
    next(results)
    assert len(workers()) == 1
    results.close()


def test_an_actor_that_is_killed_loses_nothing(connected: Nodes, photos: Path, tmp_path: Path) -> None:
    kill = _when_busy(_kill_an_actor)
    _check_undisturbed(connected, photos, tmp_path)
    kill.join()


def test_a_node_that_dies_in_mid_run_and_comes_back_loses_nothing(
    connected: Nodes, photos: Path, tmp_path: Path
) -> None:
    kill = _when_busy(connected.remove)
    _check_undisturbed(connected, photos, tmp_path)
    kill.join()
    assert connected.second is None
    connected.add()
    assert len(list(on_ray(connected).embed(entries(photos), none_known))) == 45


def _kill_an_actor() -> None:
    workers()[0].kill()


def _when_busy(act: Any) -> threading.Thread:
    """Do something half a second after both actors have started."""

    def wait() -> None:
        wait_for(lambda: len(workers()) >= 2)
        time.sleep(0.5)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def _check_undisturbed(nodes: Nodes, photos: Path, tmp_path: Path) -> None:
    one, two = new_store(tmp_path / "one"), new_store(tmp_path / "two")
    expected = index(one, local(TilesEncoder()), photos)
    report = index(two, on_ray(nodes, load=SlowEncoder, batch_size=2), photos)
    assert replace(report, seconds=0) == replace(expected, seconds=0)
    assert content(one) == content(two)
    one.close()
    two.close()


def test_a_run_that_is_killed_is_resumed_without_encoding_again_what_was_saved(
    nodes: Nodes, photos: Path, tmp_path: Path
) -> None:
    code = (
        "import sys; from lookalike import *; from pathlib import Path\n"
        f"g = Gallery.open({os.fspath(tmp_path / 'g')!r}, encoder='histogram', create=True)\n"
        f"g.index({os.fspath(photos)!r}, options=IndexOptions(batch_size=2, ray={nodes.address!r}),"
        " on_progress=lambda done, _: done >= 12 and __import__('os')._exit(9))\n"
    )
    killed = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert killed.returncode == 9, killed.stderr
    with (
        Gallery.open(tmp_path / "g") as gallery,
        Gallery.open(tmp_path / "undisturbed", encoder="histogram", create=True) as other,
    ):
        saved = len(gallery)
        assert 0 < saved < 44
        report = gallery.index(photos, options=IndexOptions(ray=nodes.address))
        assert (report.unchanged, report.added) == (saved, 44 - saved)
        other.index(photos, options=IndexOptions(workers=1))
        assert content(gallery.store) == content(other.store)


def test_the_command_takes_an_address(nodes: Nodes, photos: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lookalike", "index", str(photos), "-i", str(tmp_path / "g"), "-e", "histogram"]
    done = subprocess.run([*command, "--ray", nodes.address], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "44 pictures" in done.stderr
    again = subprocess.run([*command, "--ray", "127.0.0.1:1"], capture_output=True, text=True)
    assert again.returncode == 0, "nothing is left to encode, so no cluster is needed"
    retry = [sys.executable, "-m", "lookalike", "retry", "-i", str(tmp_path / "g"), "--ray", "127.0.0.1:1"]
    failed = subprocess.run(retry, capture_output=True, text=True)
    assert (failed.returncode, "no Ray cluster can be reached at 127.0.0.1:1" in failed.stderr) == (1, True), (
        failed.stderr
    )


def test_a_cluster_that_is_not_there_is_named_with_the_remedy(photos: Path) -> None:
    code = (
        "from lookalike.indexing.ray import _connected\nfrom lookalike.errors import Unreachable\n"
        "try:\n    with _connected('127.0.0.1:1'): pass\n"
        "except Unreachable as error: print(error, '|', error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert "no Ray cluster can be reached at 127.0.0.1:1" in done.stdout, done.stderr
    assert "ray start --head" in done.stdout


def test_another_encoder_on_a_node_is_refused(connected: Nodes, photos: Path) -> None:
    with pytest.raises(EncoderMismatch, match="another version of the encoder"):
        list(on_ray(connected, load=OtherEncoder, batch_size=64).embed(entries(photos), none_known))


def test_an_encoder_that_no_node_can_load_is_one_error(connected: Nodes, photos: Path, tmp_path: Path) -> None:
    load = partial(load_from, tmp_path / "nowhere")
    with pytest.raises(Unreachable, match="cannot start the encoder"):
        list(on_ray(connected, load=load, batch_size=64).embed(entries(photos), none_known))


def test_files_that_a_node_does_not_see_are_not_taken_for_deleted_ones(connected: Nodes, photos: Path) -> None:
    """A descriptor of this process is a file that no other process sees."""
    with (photos / "01.png").open("rb") as file:
        os.dup2(file.fileno(), 900)
    hidden = replace(entries(photos)[0], target=b"/proc/self/fd/900")
    try:
        ((_, reason),) = on_ray(connected).embed([hidden], none_known)
    finally:
        os.close(900)
    assert isinstance(reason, str)
    assert reason.startswith("cannot be read: the Ray node")


def test_files_that_are_gone_are_gone(connected: Nodes, photos: Path) -> None:
    files = entries(photos)
    (photos / "05.png").unlink()
    found = on_ray(connected, batch_size=64).embed(files, none_known)
    gone = [result for entry, result in found if entry.path.endswith(b"05.png")]
    assert gone == ["vanished"]
