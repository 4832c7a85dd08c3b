"""Eight threads that share what is searched get the answers that one thread gets, and find the same damage."""

from __future__ import annotations

import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

from lookalike.vectors.exact import prepare_vectors
from lookalike.vectors.mapped import Blocks, Damaged, Writer, open_segment, write_segment
from tests.vectors.building import damage, make_vectors, open_searcher, write_vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

    from numpy.typing import NDArray

    from lookalike.vectors.metric import Metric
    from lookalike.vectors.searcher import Searcher

THREADS = 8
COUNT = 6_000
DIM = 20
METRICS: list[Metric] = ["cosine", "euclidean"]

Answer = list[tuple[list[int], list[float]]] | str


class Job(NamedTuple):
    """One search: of which vectors, among which ids, with which weights."""

    start: int
    k: int
    among: NDArray[np.int64] | None
    weights: NDArray[np.float32] | None
    exact: bool


def make_jobs() -> list[Job]:
    """In such an order that threads ask for other filters and weights than the thread beside them."""
    rng = np.random.default_rng(1)
    filters = [np.sort(rng.choice(COUNT, count, replace=False)) + 1 for count in (5, 300, 2_000, 5_900)]
    weights = [rng.uniform(0.2, 2, 24).astype(np.float32) for _ in range(3)]
    jobs = [
        Job(int(rng.integers(COUNT - 3)), k, among, weight, exact)
        for among in (None, *filters)
        for weight in (None, None, *weights)
        for exact in (False, True)
        for k in (1, 10, 70)
    ]
    return [jobs[place] for place in rng.permutation(len(jobs))]


@pytest.fixture(params=METRICS)
def metric(request: pytest.FixtureRequest) -> Metric:
    chosen: Metric = request.param
    return chosen


@pytest.fixture
def file(tmp_path: Path, metric: Metric) -> Path:
    write_vectors(tmp_path / "vectors", make_vectors(COUNT, DIM, metric), metric)
    return tmp_path / "vectors"


@pytest.fixture(autouse=True)
def _frequent_switches() -> Iterator[None]:
    """Let threads take turns 500 times as often as usual."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


def in_threads(run: Callable[[int], object]) -> list[object]:
    """What `run` gives for each of eight numbers, all begun at the same moment."""
    start = threading.Barrier(THREADS)

    def begin(number: int) -> object:
        start.wait()
        return run(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begin, range(THREADS)))


def answer(searcher: Searcher, job: Job, metric: Metric) -> Answer:
    """What a search finds, or that it met damage."""
    queries = make_vectors(COUNT, DIM, metric)[job.start : job.start + 3]
    try:
        if job.weights is not None:
            searcher, queries = searcher.weighted(job.weights), prepare_vectors(queries * job.weights, metric)
        found = list(searcher.search(queries, job.k, among=job.among, exact=job.exact))
    except Damaged:
        return "damaged"
    return [(near.ids.tolist(), near.distances.tolist()) for near in found]


def assert_threads_agree(file: Path, metric: Metric) -> list[Answer]:
    """Every thread does all jobs, each from another one on; the answers of one thread."""
    jobs, alone = make_jobs(), open_searcher(file, metric)
    wanted = [answer(alone, job, metric) for job in jobs]
    shared = open_searcher(file, metric)

    def run(number: int) -> None:
        for place in range(len(jobs)):
            turned = (place + number * len(jobs) // THREADS) % len(jobs)
            assert answer(shared, jobs[turned], metric) == wanted[turned]

    in_threads(run)
    return wanted


def test_eight_threads_get_the_answers_of_one(file: Path, metric: Metric) -> None:
    """With filters, weights, exact and approximate, from vectors whose blocks no one has checked yet."""
    assert open_searcher(file, metric).approximate
    assert "damaged" not in assert_threads_agree(file, metric)


def test_threads_that_take_turns_at_every_instruction_do_not_get_each_others_choices(tmp_path: Path) -> None:
    """Python itself changes threads in few places, and in other ones in each version; so each instruction waits."""
    # Euclidean: weighted vectors are not scaled to length 1 again.
    write_vectors(tmp_path / "vectors", make_vectors(400, 8, "euclidean"), "euclidean")
    shared, query = open_searcher(tmp_path / "vectors", "euclidean"), make_vectors(400, 8, "euclidean")[:1]

    def run(number: int) -> None:
        among, weights = np.arange(number, 400, THREADS) + 1, np.full(8, number + 1, np.float32)
        sys.settrace(_yield_at_instructions)
        for _ in range(6):
            (near,) = shared.search(query, 20, among=among, exact=True)
            assert set(near.ids.tolist()) <= set(among.tolist())
            weighted = shared.weighted(weights).vectors(np.array([7]))
            np.testing.assert_array_equal(weighted, shared.vectors(np.array([7])) * weights)
        sys.settrace(None)

    in_threads(run)


def _yield_at_instructions(
    frame: FrameType, _event: str, _value: object
) -> Callable[[FrameType, str, object], Any] | None:
    if not frame.f_code.co_filename.endswith("searcher.py"):
        return None
    frame.f_trace_opcodes = True
    time.sleep(0)
    return _yield_at_instructions


@pytest.mark.parametrize("array", ["vectors", "codes"])
@pytest.mark.parametrize("fraction", [0.0, 0.37, 0.999])
def test_whoever_meets_damage_finds_it_whatever_others_have_checked(
    file: Path, metric: Metric, array: str, fraction: float
) -> None:
    sound = open_searcher(file, metric)
    damage(file, array, fraction)
    wanted = assert_threads_agree(file, metric)
    assert "damaged" in wanted or array == "codes"
    for job, found in zip(make_jobs(), wanted, strict=True):
        assert found == "damaged" or found == answer(sound, job, metric)


def test_an_exact_search_meets_every_damage_in_all_threads(file: Path, metric: Metric) -> None:
    damage(file, "vectors", 0.5)
    shared = open_searcher(file, metric)
    job = Job(0, 10, None, None, exact=True)
    assert in_threads(lambda _: [answer(shared, job, metric) for _ in range(20)]) == [["damaged"] * 20] * THREADS


def test_blocks_are_counted_once_whoever_checks_them() -> None:
    array = np.random.default_rng(0).integers(0, 256, (4_000, 2_000), np.uint8)
    ends = np.arange(5, 4_001, 5)
    checks = np.array([zlib.crc32(array[end - 5 : end].data) for end in ends], np.uint32)
    for turn in range(5):
        blocks = Blocks(array, ends, checks)

        def run(number: int, blocks: Blocks = blocks, turn: int = turn) -> None:
            rng = np.random.default_rng((turn, number))
            left = blocks.left
            for _ in range(60):
                blocks.check(rng.integers(0, len(ends), (2, 30)))
                assert 0 <= blocks.left <= left
                left = blocks.left
            blocks.check()
            assert blocks.left == 0

        in_threads(run)
        assert blocks.left == 0


def test_a_damaged_block_is_never_counted_as_checked() -> None:
    array = np.zeros((100, 100), np.uint8)
    checks = np.full(10, zlib.crc32(array[:10].data), np.uint32)
    array[55] = 1
    blocks = Blocks(array, np.arange(10, 101, 10), checks)

    def run(number: int) -> int:
        found = 0
        for place in np.random.default_rng(number).permutation(200) % 10:
            try:
                blocks.check(np.array([place]))
            except Damaged:
                found += 1
        return found

    assert in_threads(run) == [20] * THREADS
    assert blocks.left == 1


def test_threads_that_write_the_same_file_leave_one_whole_file(tmp_path: Path) -> None:
    def run(number: int) -> int:
        for _ in range(10):
            content = np.full(10_000 + number, number)

            def write(writer: Writer, content: NDArray[np.int64] = content) -> None:
                writer.array("content", content)
                writer.finish({})

            assert write_segment(tmp_path / "file", write).array("content").tolist() == content.tolist()
            found = open_segment(tmp_path / "file")
            assert found is not None
            assert len(set(found.array("content").tolist())) == 1
        return number

    in_threads(run)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
