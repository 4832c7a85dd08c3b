"""What all requests share: how it becomes ready."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lookalike import Gallery
from lookalike.web.served_gallery import ServedGallery

if TYPE_CHECKING:
    from pathlib import Path


def test_once_a_desk_has_settled_nothing_that_it_started_is_under_way(tmp_path: Path) -> None:
    called = []
    with Gallery.open("memory:", encoder="histogram", create=True) as gallery:
        served = ServedGallery(gallery, cache=tmp_path)
        served.when_ready.append(lambda: called.append(threading.current_thread().name))
        served.start()
        served.settle()
        assert called == ["lookalike-start"]
        assert served.is_ready
        assert "lookalike-start" not in {thread.name for thread in threading.enumerate()}
        served.close()


def test_what_is_added_after_the_start_is_never_called_in_the_background(tmp_path: Path) -> None:
    """FastAPI hides warnings while it is built, for the whole process: it must not be built in a thread by chance."""
    called = []
    with Gallery.open("memory:", encoder="histogram", create=True) as gallery:
        served = ServedGallery(gallery, cache=tmp_path)
        held = threading.Event()
        served.when_ready.append(lambda: held.wait(10))
        served.start()
        served.when_ready.append(lambda: called.append("late"))
        held.set()
        served.settle()
        served.close()
    assert not called
