"""What all tests share: no network, a cache folder of their own, small generated pictures."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from lookalike import Gallery, IndexOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCENES8 = Path(__file__).parents[2] / "shared" / "data" / "scenes8"


SLOW = (
    *(
        "cli/test_bench.py",
        "cli/test_collection.py",
        "cli/test_demo.py",
        "cli/test_encoders.py",
        "cli/test_experiments.py",
        "cli/test_faults.py",
        "cli/test_hints.py",
    ),
    *("cli/test_import_original.py", "cli/test_train.py", "encoders/huggingface", "encoders/test_patches.py"),
    *("encoders/test_selfsup.py", "encoders/untrusted", "evaluation", "indexing/test_adapt_to_labels.py"),
    *("indexing/test_badfiles.py", "indexing/test_objects.py", "indexing/test_ray.py", "indexing/test_update.py"),
    *("indexing/test_watch.py", "store/sqlite", "web/test_browser.py", "web/test_load.py", "web/test_openapi.py"),
    *("store/test_state_machine.py", "test_documentation.py", "test_signals.py", "training", "web/test_guard.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of these folders and files, which take three quarters of the time of all, and put them first.

    So no process is still busy with a long file when the others have nothing left to do.
    """
    folder = Path(__file__).parent
    for item in items:
        path = item.path.relative_to(folder).as_posix()
        if any(path == slow or path.startswith(f"{slow}/") for slow in SLOW):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Converted models go into a folder of this run; child processes inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("LOOKALIKE_INDEX", raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_signals() -> Iterator[None]:
    """SIGINT and SIGTERM do what they do in a terminal, for this process and for the children that inherit it.

    A shell without job control starts what is in the background with SIGINT ignored, and programs rightly leave it so.
    SIGHUP stays as it is: `nohup` ignores it for the suite's own sake.
    """
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    terminate = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, terminate)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forbid any connection outside loopback."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            host = address[0]
            if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
                raise AssertionError(f"a test tried to reach {host}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def scenes8() -> Path:
    """The 8 Scenes photographs beside the checkout; they carry no free licence and are not part of it."""
    if not SCENES8.is_dir():
        pytest.skip(f"the 8 Scenes photographs are not at {os.path.relpath(SCENES8)}")
    return SCENES8


def make_picture(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A smooth picture of a few colours, different for each seed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC)


def make_two_classes(folder: Path, count: int) -> Path:
    """Small pictures in the folders `a` and `b` of a folder, which is made; returns it."""
    for seed in range(count):
        home = folder / ("a" if seed % 2 else "b")
        home.mkdir(parents=True, exist_ok=True)
        make_picture(seed, (20, 16)).save(home / f"{seed:02}.png")
    return folder


@pytest.fixture(scope="module")
def few_patches() -> Iterator[None]:
    """A tenth of the patches, so that a fit takes a tenth of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lookalike.encoders.patches.dictionary._SAMPLE", 4000)
        patch.setattr("lookalike.encoders.patches.dictionary._ROUNDS", 5)
        yield


@pytest.fixture
def make_photos(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder of `count` small JPEGs, 000.jpg and so on; returns it."""

    def make(count: int, name: str = "photos", first: int = 0) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        for seed in range(first, first + count):
            make_picture(seed).save(folder / f"{seed:03}.jpg", quality=90)
        return folder

    return make


@pytest.fixture
def photos(make_photos: Callable[..., Path]) -> Path:
    """A folder of twelve pictures."""
    return make_photos(12)


@pytest.fixture
def gallery(photos: Path, tmp_path: Path) -> Iterator[Gallery]:
    """A gallery of `photos`."""
    with Gallery.open(tmp_path / "gallery", encoder="histogram", create=True) as gallery:
        gallery.index(photos, options=IndexOptions(workers=1))
        yield gallery


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, and another that is the current one."""
    for name in ("home", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"
