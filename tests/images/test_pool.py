"""Decode in worker processes: whatever a file does to its worker, the others come through."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from PIL import Image

from lookalike.errors import LookalikeError
from lookalike.images.decode import DecodedPicture, Limits, View, decode
from lookalike.images.perceptual import BRIGHTNESS_SIZE
from lookalike.images.pool import DecoderPool, _receive
from lookalike.images.sample import SIZE as SAMPLE_SIZE
from lookalike.images.whole import SIZE as WHOLE_SIZE
from tests import badfiles
from tests.badfiles import encoded, picture
from tests.deadly import DEATHS, decode_once_or_die, decode_or_die
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

VIEW = View(32)
HURRIED = Limits(seconds=2)
ROOT = Path(__file__).parents[2]


def make(folder: Path, *names: bytes | str) -> list[bytes]:
    paths = [os.path.join(os.fsencode(folder), os.fsencode(name)) for name in names]
    for number, path in enumerate(paths):
        badfiles.write(path, encoded(picture(number), "JPEG"))
    return paths


def children() -> list[psutil.Process]:
    """The workers; servers that other tests have started in this process are not among them."""
    return [child for child in psutil.Process().children(recursive=True) if "sys.argv[1]" in _line(child)]


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    """After every test no process of ours is left, not even a zombie."""
    before = {child.pid for child in children()}
    yield
    assert [child for child in children() if child.pid not in before] == []


def test_pictures_come_in_order_and_equal_those_decoded_here(tmp_path: Path) -> None:
    paths = make(tmp_path, *(f"{number}.jpg" for number in range(50)))
    with DecoderPool(VIEW, workers=2) as reader:
        assert list(reader.read(paths)) == [(path, decode(path, VIEW)) for path in paths]


def test_a_reader_may_be_used_again_and_for_nothing(tmp_path: Path) -> None:
    paths = make(tmp_path, "a.jpg")
    with DecoderPool(VIEW, workers=1) as reader:
        assert list(reader.read([])) == []
        first, second = list(reader.read(paths)), list(reader.read(paths))
    assert first == second


def test_no_process_is_started_when_there_is_nothing_to_read() -> None:
    before = len(children())
    with DecoderPool(VIEW, workers=2) as reader:
        assert list(reader.read([])) == []
        assert len(children()) == before


def test_an_endless_list_is_read_only_a_little_ahead(tmp_path: Path) -> None:
    (path,) = make(tmp_path, "a.jpg")
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        for path_again in repeat(path):
            taken += 1
            yield path_again

    with DecoderPool(VIEW, workers=2) as reader:
        results = reader.read(endless())
        for _ in range(100):
            next(results)
        results.close()
    assert taken < 250


@pytest.mark.parametrize("name", DEATHS, ids=os.fsdecode)
def test_a_file_that_kills_its_worker_is_named_and_all_others_are_read(name: bytes, tmp_path: Path) -> None:
    good = [f"{number}.jpg" for number in range(20)]
    paths = make(tmp_path, *good[:5], name, *good[5:])
    with DecoderPool(VIEW, workers=2, decoder=decode_or_die) as reader:
        results = dict(reader.read(paths))
    bad = os.path.join(os.fsencode(tmp_path), name)
    assert results.pop(bad) == DEATHS[name]
    assert len(results) == 20
    assert all(isinstance(result, DecodedPicture) for result in results.values())


_ANSWER = {
    "width": 3,
    "height": 2,
    "format": "JPEG",
    "digest": "00" * 32,
    "taken_at": None,
    "camera": None,
    "whole": "00" * WHOLE_SIZE,
}
_WRONG: dict[str, list[object]] = {
    "width": [0, -1, 1.5, "3", True, None, float("inf"), 1 << 40],
    "format": ["a\nb", "\x1b[31m", 5, None],
    "digest": ["", "00", "00" * 33, "zz" * 32, 5, None],
    "whole": ["", "00", "zz" * WHOLE_SIZE, 5, None],
    "taken_at": ["", "now", "2021-05-17", "1500-01-01T00:00:00", 5, []],
    "camera": ["", "M" * 65, "a\x1b[31m", "x\u202ey", 5, {}],
    "reason": ["two\nlines", "\x1b[31m", 5, None, {}],
}
_LIES: list[object] = [
    *({**_ANSWER, name: value} for name, values in _WRONG.items() for value in values),
    *({name: value for name, value in _ANSWER.items() if name != left_out} for left_out in _ANSWER),
    *(5, None, "reason", ["reason"], []),
]


@pytest.mark.parametrize("lie", _LIES, ids=repr)
def test_an_answer_that_no_decoder_gives_is_not_believed(lie: object) -> None:
    answers = io.BytesIO(json.dumps(lie).encode() + b"\n" + bytes(18 + SAMPLE_SIZE + BRIGHTNESS_SIZE))
    with pytest.raises((ValueError, LookupError, TypeError)):
        _receive(answers, 18)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff\n",
        b"[" * 4000 + b"\n",
        b" " * 5000 + b"{}\n",
        json.dumps(_ANSWER).encode() + b"\n" + bytes(17),
        json.dumps(_ANSWER).encode() + b"\n" + bytes(18 + SAMPLE_SIZE + BRIGHTNESS_SIZE - 1),
    ],
)
def test_half_an_answer_or_an_endless_one_is_not_an_answer(data: bytes) -> None:
    with pytest.raises((EOFError, ValueError, LookupError)):
        _receive(io.BytesIO(data), 18)


def test_a_whole_answer_is_believed() -> None:
    sample, brightness = bytes(SAMPLE_SIZE - 1) + b"s", bytes(BRIGHTNESS_SIZE - 1) + b"b"
    answer = json.dumps(_ANSWER).encode() + b"\n" + b"p" * 18 + sample + brightness + b"next"
    picture = _receive(io.BytesIO(answer), 18)
    assert isinstance(picture, DecodedPicture)
    assert (picture.pixels, picture.sample, picture.brightness) == (b"p" * 18, sample, brightness)


def test_no_more_than_one_line_of_an_endless_answer_is_read() -> None:
    answers = io.BytesIO(b"x" * 1_000_000)
    with pytest.raises(EOFError):
        _receive(answers, 18)
    assert answers.tell() < 10_000


def test_many_deaths_in_a_row_stop_nothing(tmp_path: Path) -> None:
    names = [name for name in DEATHS for _ in range(3)]
    paths = [make(tmp_path, name)[0] for name in names] + make(tmp_path, "good.jpg")
    with DecoderPool(VIEW, workers=2, decoder=decode_or_die) as reader:
        outcomes = [outcome for _, outcome in reader.read(paths)]
    assert outcomes[:-1] == [DEATHS[name] for name in names]
    assert isinstance(outcomes[-1], DecodedPicture)


def test_a_file_is_not_blamed_for_one_death_of_its_worker(tmp_path: Path) -> None:
    paths = make(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    with DecoderPool(VIEW, workers=1, decoder=decode_once_or_die) as reader:
        outcomes = [outcome for _, outcome in reader.read(paths)]
    assert (tmp_path / "a.jpg.tried").exists()
    assert all(isinstance(outcome, DecodedPicture) for outcome in outcomes)


def test_a_worker_killed_between_two_reads_costs_nothing(tmp_path: Path) -> None:
    paths = make(tmp_path, "a.jpg")
    with DecoderPool(VIEW, workers=1) as reader:
        before = list(reader.read(paths))
        (worker,) = children()
        worker.kill()
        wait_for(lambda: worker.status() == psutil.STATUS_ZOMBIE)
        assert list(reader.read(paths)) == before


def test_a_file_that_takes_too_long_is_named_and_costs_the_others_no_time_limit(tmp_path: Path) -> None:
    good = [f"{number}.jpg" for number in range(20)]
    paths = make(tmp_path, *good[:3], "sleep.jpg", *good[3:])
    start = time.monotonic()
    with DecoderPool(VIEW, limits=HURRIED, workers=1, decoder=decode_or_die) as reader:
        results = dict(reader.read(paths))
    assert time.monotonic() - start < len(good) * HURRIED.seconds
    assert results.pop(os.fsencode(tmp_path / "sleep.jpg")) == "took longer than 2 s"
    assert all(isinstance(result, DecodedPicture) for result in results.values())


def test_reasons_of_the_decoder_come_through(tmp_path: Path) -> None:
    empty, gone = tmp_path / "empty.jpg", tmp_path / "gone.jpg"
    empty.touch()
    with DecoderPool(VIEW, workers=1) as reader:
        outcomes = [outcome for _, outcome in reader.read([os.fsencode(empty), os.fsencode(gone)])]
    assert outcomes == ["not an image", "vanished"]


def test_names_of_every_kind_of_byte_come_through(tmp_path: Path) -> None:
    paths = make(tmp_path, *badfiles.NAMES)
    with DecoderPool(VIEW, workers=1) as reader:
        results = list(reader.read(paths))
    assert [path for path, _ in results] == paths
    assert all(isinstance(outcome, DecodedPicture) for _, outcome in results)


def test_what_decoders_print_is_seen_nowhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = badfiles.good_files()["group4.tif"]
    loud = []
    for cut in range(len(data) - 100, len(data)):
        loud += make(tmp_path, f"{cut}.tif")
        badfiles.write(loud[-1], data[:cut])
    with DecoderPool(VIEW, workers=1, decoder=decode_or_die) as reader:
        assert len(list(reader.read(loud + make(tmp_path, "talks.jpg")))) == 101
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_a_picture_of_a_hundred_megapixels_is_read_within_the_bounds(format_: str, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "large")
    if format_ == "PNG":
        badfiles.write(path, badfiles.bomb(10_000))
    else:
        badfiles.write(path, encoded(Image.new("1", (10_000, 10_000)), "TIFF", compression="group4"))
    with DecoderPool(VIEW, workers=1) as reader:
        ((_, outcome),) = reader.read([path])
    assert isinstance(outcome, DecodedPicture)
    assert (outcome.width, outcome.height) == (10_000, 10_000)


def test_a_picture_that_needs_more_memory_than_a_worker_has_is_skipped(tmp_path: Path) -> None:
    (path,) = make(tmp_path, "large.jpg")
    code = """if True:
        import os, resource, sys
        from lookalike.images.decode import Limits, Unreadable, View, decode
        from lookalike.sandbox import bound_memory
        bound_memory(300)
        assert resource.getrlimit(resource.RLIMIT_AS)[0] == 300 << 20
        try:
            decode(os.fsencode(sys.argv[1]), View(32))
        except Unreadable as reason:
            print(reason)
    """
    badfiles.write(path, badfiles.bomb(9_900))
    done = subprocess.run([sys.executable, "-c", code, os.fsdecode(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "needs more memory than a worker may have\n"


def test_there_are_no_more_workers_than_the_memory_holds() -> None:
    with DecoderPool(VIEW) as reader:
        assert 1 <= reader.workers <= (os.cpu_count() or 1)
    with DecoderPool(VIEW, limits=Limits(megapixels=1e6)) as reader:
        assert reader.workers == 1


def test_a_worker_imports_nothing_but_pillow_and_the_standard_library() -> None:
    code = "import sys; import lookalike.images.worker; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    packages = {name.partition(".")[0] for name in done.stdout.split()} - sys.stdlib_module_names
    allowed = {"PIL", "lookalike", "pillow_heif", "_pillow_heif", "pillow_jxl", "packaging", "__mp_main__"}
    assert {name for name in packages if "site" not in name and not name.startswith("_")} <= allowed


@pytest.mark.parametrize("program", ["/nonexistent/python", "/bin/false"])
def test_a_worker_that_cannot_be_started_is_an_error_and_no_reason(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    with DecoderPool(VIEW, workers=2) as reader, pytest.raises(LookalikeError, match="decoding process"):
        list(reader.read(make(tmp_path, "a.jpg")))


def test_a_reader_left_in_the_middle_ends_its_workers_at_once(tmp_path: Path) -> None:
    paths = make(tmp_path, "a.jpg", *["sleep.jpg"] * 3)
    start = time.monotonic()
    with DecoderPool(VIEW, workers=2, decoder=decode_or_die) as reader:
        for _ in reader.read(chain(paths[:1] * 8, paths)):
            break
        assert children()
    assert time.monotonic() - start < 30  # they sleep for a minute


def test_what_was_read_ahead_is_given_up_with_its_iterator(tmp_path: Path) -> None:
    good = make(tmp_path, *(f"{number}.jpg" for number in range(8)))
    sleeping = [*good[:7], *make(tmp_path, "sleep.jpg")]
    with DecoderPool(VIEW, limits=Limits(seconds=4), workers=1, decoder=decode_or_die) as reader:
        results = reader.read(good + sleeping * 3)
        next(results)
        results.close()
        start = time.monotonic()
        assert len(list(reader.read(good))) == 8
    assert time.monotonic() - start < 11  # one file that was begun, not three


def test_the_limit_on_pixels_is_the_only_one(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "large.png")
    badfiles.write(path, badfiles.bomb(13_500))  # Pillow's own limit is 179 MP
    with DecoderPool(VIEW, limits=Limits(megapixels=182), workers=1) as reader:
        ((_, outcome),) = reader.read([path])
    assert isinstance(outcome, str)
    assert outcome.startswith("182.25 MP, limit 182 MP")
    with DecoderPool(VIEW, limits=Limits(megapixels=183), workers=1) as reader:
        ((_, outcome),) = reader.read([path])
    assert isinstance(outcome, DecodedPicture)


def test_closing_twice_is_closing() -> None:
    reader = DecoderPool(VIEW, workers=1)
    reader.close()
    reader.close()


def test_a_script_needs_no_main_guard(tmp_path: Path) -> None:
    (path,) = make(tmp_path, "a.jpg")
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, os\n"
        "from lookalike.images.decode import View\n"
        "from lookalike.images.pool import DecoderPool\n"
        "print('run')\n"
        "with DecoderPool(View(8), workers=1) as reader:\n"
        "    ((_, picture),) = reader.read([os.fsencode(sys.argv[1])])\n"
        "print(picture.width)\n"
    )
    done = subprocess.run([sys.executable, script, path], capture_output=True, text=True, check=True)
    assert done.stdout == "run\n61\n"


def test_modules_in_the_folder_of_the_pictures_are_not_imported(tmp_path: Path) -> None:
    (path,) = make(tmp_path, "a.jpg")
    for name in ("json", "hashlib", "PIL"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w')")
    code = "import os, sys; from lookalike.images.pool import *; from lookalike.images.decode import View\n"
    code += "with DecoderPool(View(8), workers=1) as reader: print(len(list(reader.read([os.fsencode(sys.argv[1])]))))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, path], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == "1\n"
    assert not (tmp_path / "owned").exists()


_SLEEPER = """
import os, sys
from lookalike.images.decode import Limits, View
from lookalike.images.pool import DecoderPool, _receive
from tests.deadly import decode_or_die
with DecoderPool(View(8), limits=Limits(seconds=float(sys.argv[2])), workers=2, decoder=decode_or_die) as reader:
    results = reader.read([os.fsencode(sys.argv[1])] * 20)
    next(results)
"""


def _sleeper(path: bytes, seconds: float, **options: Any) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A process whose two workers are both in the middle of a file."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SLEEPER, path, str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        **options,
    )

    def find_both() -> list[psutil.Process]:
        workers = [child for child in psutil.Process(process.pid).children() if "worker:serve" in _line(child)]
        return workers if len(workers) == 2 else []

    workers = wait_for(find_both)
    time.sleep(1)  # until both have begun
    return process, workers


def _gone(processes: list[psutil.Process], seconds: float) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_an_interrupt_ends_the_workers_and_they_say_nothing(tmp_path: Path) -> None:
    (path,) = make(tmp_path, "sleep.jpg")
    process, workers = _sleeper(path, 60, start_new_session=True)
    assert len(workers) == 2
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1
    assert re.search(r"KeyboardInterrupt\s*$", errors)
    assert _gone(workers, 5)


def test_workers_end_by_themselves_when_their_parent_is_killed(tmp_path: Path) -> None:
    (path,) = make(tmp_path, "sleep.jpg")
    process, workers = _sleeper(path, 2)
    process.kill()
    process.communicate()
    assert len(workers) == 2
    assert _gone(workers, 12)


def test_a_system_without_a_limit_of_memory_is_said_to_have_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for platform, says in (("darwin", True), ("win32", True), ("linux", False)):
        caplog.clear()
        monkeypatch.setattr(sys, "platform", platform)
        with caplog.at_level("INFO", "lookalike"), DecoderPool(VIEW, workers=1):
            assert ("does not limit the memory" in caplog.text) == says
