"""`Gallery.search` takes anything: it answers, or raises an error that names what is wrong and how to give it."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lookalike import Gallery, IndexOptions, Query
from lookalike.errors import ClosedGallery, LookalikeError, UnreadableImage, UsageError
from tests.conftest import make_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    MakePhotos = Callable[..., Path]

GREY = np.asarray(make_picture(3).convert("L"))
RGB = np.asarray(make_picture(3))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    folder = tmp_path_factory.mktemp("shared")
    for seed in range(6):
        make_picture(seed).save(folder / f"{seed}.png")
    with Gallery.open(folder / "gallery", encoder="histogram", create=True) as gallery:
        gallery.index(folder, options=IndexOptions(workers=1))
        yield gallery


@pytest.mark.parametrize(
    "array",
    [GREY, GREY[..., None], RGB, np.dstack([RGB, np.full_like(GREY, 255)]), RGB[::2, ::-1], np.asfortranarray(RGB)],
)
def test_arrays_of_bytes_are_pictures_whatever_their_channels(shared: Gallery, array: np.ndarray[Any, Any]) -> None:
    assert len(shared.search(array, 2)) == 2


def test_a_channel_of_its_own_changes_nothing(shared: Gallery) -> None:
    assert [hit.distance for hit in shared.search(GREY)] == [hit.distance for hit in shared.search(GREY[..., None])]


@pytest.mark.parametrize(
    "array",
    [
        GREY / 255,
        RGB.astype(np.float32),
        np.moveaxis(RGB, -1, 0),
        np.moveaxis(RGB, -1, 0) / 255.0,
        GREY[None],
        GREY > 128,
        RGB.astype(np.uint16) * 256,
        RGB.astype(np.int64),
        RGB[None],
        np.where(GREY > 9, GREY / 255, np.nan),
        RGB.astype(np.float16) - 40,
    ],
)
def test_the_hint_for_any_other_array_leads_to_one_that_is_accepted(
    shared: Gallery, array: np.ndarray[Any, Any]
) -> None:
    with pytest.raises(UnreadableImage, match="is not a picture") as error:
        shared.search(array)
    names: dict[str, Any] = {"x": array, "np": np}
    for step in error.value.hint.removeprefix("convert it: ").split(", then "):
        exec(step.partition(", or")[0], names)
    assert len(shared.search(names["x"], 2)) == 2


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 3, 3), np.uint8),
        np.zeros((4, 0), np.uint8),
        np.zeros(7, np.uint8),
        np.uint8(3),
        np.array(["a", "b"]),
        np.array([object()]),
        np.zeros((5, 5), complex),
        np.zeros((4, 4), "datetime64[s]"),
        np.zeros((2, 3, 4, 5, 6), np.uint8),
        np.broadcast_to(np.uint8(0), (40_000, 40_000)),
        np.full((4, 4), np.nan),
    ],
)
def test_arrays_that_are_no_pictures_are_refused_by_name(shared: Gallery, array: Any) -> None:
    with pytest.raises(UsageError):
        shared.search(array)


def test_the_content_of_a_file_is_not_taken_for_its_name(shared: Gallery) -> None:
    memory = io.BytesIO()
    make_picture(1).save(memory, "PNG")
    with pytest.raises(UsageError, match="content") as error:
        shared.search(memory.getvalue())
    assert "BytesIO" in error.value.hint
    assert len(shared.search(Image.open(memory), 2)) == 2


@pytest.mark.parametrize(
    "query", [None, 7, 7.5, True, [], {}, {"path": "a"}, object(), Gallery, [RGB], memoryview(b"abc"), "", "\0", b"\0"]
)
def test_objects_that_are_no_pictures_are_refused_by_name(shared: Gallery, query: Any) -> None:
    with pytest.raises(UsageError):
        shared.search(query)


@pytest.mark.parametrize("k", [0, -1, 1.5, float("nan"), "10", None, True, [3]])
def test_a_number_of_hits_that_is_none_is_refused(shared: Gallery, k: Any) -> None:
    with pytest.raises(UsageError, match="k is"):
        shared.search(RGB, k)


@pytest.mark.parametrize("k", [7, 1000, 2**31, 10**30, np.int64(9)])
def test_more_hits_than_pictures_are_all_pictures(shared: Gallery, k: int) -> None:
    assert len(shared.search(RGB, k)) == 6
    assert len(shared.search(RGB, k, unique=True)) == 6


ANY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.binary(max_size=30),
    st.complex_numbers(),
)
QUERIES = st.one_of(
    ANY,
    st.lists(ANY, max_size=3),
    st.dictionaries(st.text(max_size=5), ANY, max_size=2),
    st.builds(Path, st.text(st.characters(exclude_characters="\0"), max_size=20)),
    st.builds(
        np.ones,
        st.lists(st.integers(0, 6), max_size=5).map(tuple),
        st.sampled_from(["u1", "i1", "u2", "i8", "f2", "f4", "f8", "?", "c8", "O", "U3", "S2", "M8[s]", "V4"]),
    ),
    st.builds(
        Image.new,
        st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16"]),
        st.tuples(st.integers(0, 5), st.integers(0, 5)),
    ),
)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    query=QUERIES,
    k=st.one_of(st.just(3), ANY),
    where=st.one_of(st.just(()), ANY, st.lists(ANY, max_size=2)),
    weights=st.one_of(st.none(), ANY, st.dictionaries(st.text(max_size=5), ANY, max_size=2)),
    order=st.one_of(st.just("distance"), ANY),
)
def test_whatever_it_is_given_a_search_answers_or_names_the_fault(
    shared: Gallery, query: Any, k: Any, where: Any, weights: Any, order: Any
) -> None:
    each: list[dict[str, Any]] = [{}, {"where": where}, {"weights": weights}, {"order": order}, {"unique": True}]
    for arguments in each:
        with contextlib.suppress(LookalikeError):
            shared.search(query, k, **arguments)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(value=ANY, weight=ANY)
def test_so_does_every_kind_of_query(shared: Gallery, value: Any, weight: Any) -> None:
    for make in (
        Query.picture,
        Query.stored,
        Query.text,
        lambda v: 2 * Query.stored(1) - v,
        lambda _: Query.stored(1) * weight,
    ):
        with contextlib.suppress(LookalikeError):
            shared.search(make(value))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_is_told_to_open_the_gallery_again(shared: Gallery) -> None:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            shared.search(RGB, 2)
        except ClosedGallery as error:
            status = 0 if error.hint else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(shared.search(RGB, 2)) == 2
