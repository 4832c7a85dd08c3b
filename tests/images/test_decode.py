"""One file becomes pixels, or a reason."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
import stat
import subprocess
import sys
import tempfile
import threading
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.images.decode import FORMATS, Limits, Unreadable, View, decode, fit, open_rgb
from lookalike.images.paths import show_path
from tests import badfiles
from tests.badfiles import INDEXED, Case, encoded, picture, ramp, turned

VIEW = View(32)
LIMITS = Limits()

# All that a file can be skipped for; a reason that is none of these is a fault of ours.
REASONS = {
    "file is truncated",
    "file is damaged",
    "not an image",
    "metadata is too large",
    "pixels are not finite",
    "needs more memory than a worker may have",
}
REASONS_BEGIN = ("unsupported format (", "unsupported mode ")


def outcome(data: bytes, folder: Path, name: str = "file") -> str:
    path = os.fsencode(folder / name)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # to write over a file costs 3 ms, to make a new one none
    badfiles.write(path, data)
    try:
        decode(path, VIEW)
    except Unreadable as reason:
        return str(reason)
    return INDEXED


def pixels(data: bytes, view: View = VIEW) -> Image.Image:
    return fit(open_rgb(io.BytesIO(data), at_least=view.short_side), view)


def greys(data: bytes, count: int) -> list[int]:
    """The grey in the middle of each of `count` stripes."""
    image = open_rgb(io.BytesIO(data)).convert("L")
    step = image.width // count
    return [image.getpixel((step // 2 + step * number, 5)) for number in range(count)]  # type: ignore[misc]


@pytest.mark.parametrize("case", badfiles.FILES, ids=str)
def test_every_file_is_indexed_or_skipped_for_the_reason_that_is_promised(case: Case, tmp_path: Path) -> None:
    path = case.make(tmp_path)
    if case.promise != INDEXED:
        with pytest.raises(Unreadable) as caught:
            decode(path, VIEW)
        assert str(caught.value) == case.promise
        return
    decoded = decode(path, VIEW)
    assert len(decoded.pixels) == 32 * 32 * 3
    assert decoded.digest == hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).digest()


def test_a_picture_comes_with_its_own_size_and_the_format_of_its_content(tmp_path: Path) -> None:
    path = tmp_path / "named.jpg"
    path.write_bytes(encoded(picture(size=(300, 200)), "PNG"))
    decoded = decode(os.fsencode(path), VIEW)
    assert (decoded.width, decoded.height, decoded.format) == (300, 200, "PNG")


def test_the_size_of_a_picture_on_its_side_is_that_of_the_upright_one(tmp_path: Path) -> None:
    path = tmp_path / "side.jpg"
    path.write_bytes(turned(picture(size=(300, 200)), 6, "JPEG"))
    with Image.open(path) as stored:
        assert stored.size == (200, 300)
    assert (decode(os.fsencode(path), VIEW).width, decode(os.fsencode(path), VIEW).height) == (300, 200)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("format_", "options"),
    [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("JPEG", {"quality": 100, "subsampling": 0})],
)
def test_pictures_are_turned_upright(orientation: int, format_: str, options: dict[str, object]) -> None:
    upright = picture(size=(64, 48))
    data = turned(upright, orientation, format_, **options)
    opened = open_rgb(io.BytesIO(data))
    assert opened.size == upright.size
    difference = max(abs(a - b) for a, b in zip(opened.convert("RGB").tobytes(), upright.tobytes(), strict=True))
    assert difference <= (4 if format_ == "JPEG" else 0)


def test_an_orientation_is_obeyed_though_the_rest_of_the_metadata_is_broken() -> None:
    upright = picture(size=(64, 48))
    exif = b"MM\0*\0\0\0\x08\0\2\x01\x12\0\3\0\0\0\1\0\6\0\0\x87\x69\0\4\0\0\0\1\xff\xff\xff\xf0\0\0\0\0"
    data = encoded(upright.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    assert open_rgb(io.BytesIO(data)).tobytes() == upright.tobytes()


@pytest.mark.parametrize(("detail", "side"), [(1.0, 128), (2.0, 256), (4.0, 512)])
def test_no_more_of_a_large_picture_is_decoded_than_its_view_needs(detail: float, side: int) -> None:
    view = View(100, crop=0.8, detail=detail)
    large = encoded(Image.effect_noise((1024, 1024), 40).convert("RGB"), "JPEG", quality=90)
    image = open_rgb(io.BytesIO(large), at_least=view.short_side)
    assert image.size == (side, side)
    assert side >= view.short_side


@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_a_view_shows_the_same_whatever_is_decoded_for_it(format_: str) -> None:
    data = encoded(picture(size=(512, 512)), format_)
    little, much = (np.asarray(pixels(data, View(32, detail=detail)), np.float32) for detail in (1.0, 8.0))
    assert np.abs(little - much).mean() < 4


def test_transparency_is_laid_on_white() -> None:
    half = Image.new("RGBA", (20, 20), (0, 0, 0, 128))
    assert set(pixels(encoded(half, "PNG")).tobytes()) == {127}
    clear = Image.new("P", (20, 20), 0)
    clear.putpalette([200, 0, 0, 0, 0, 200])
    clear.putpixel((0, 0), 1)
    for format_ in ("PNG", "GIF"):
        assert set(pixels(encoded(clear, format_, transparency=0)).crop((16, 16, 32, 32)).tobytes()) == {255}


def test_the_colour_behind_full_transparency_does_not_shine_through() -> None:
    image = Image.new("RGBA", (400, 400), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 200, 400))
    reds = pixels(encoded(image, "PNG")).crop((17, 0, 32, 32))
    assert set(reds.tobytes()) == {255}


@pytest.mark.parametrize("name", ["animated.gif", "animated.png", "animated.webp", "pages.tif"])
def test_of_many_frames_the_first_is_seen(name: str, tmp_path: Path) -> None:
    (case,) = [case for case in badfiles.FILES if case.name == name.encode()]
    decoded = decode(case.make(tmp_path), VIEW)
    assert decoded.pixels == b"\xff\0\0" * (32 * 32)


def test_sixteen_bits_are_scaled_and_not_clipped_to_white() -> None:
    for format_ in ("PNG", "TIFF"):
        grey = greys(encoded(ramp("I", [0, 16384, 32768, 65535]).convert("I;16"), format_), 4)
        assert grey == pytest.approx([0, 64, 128, 255], abs=1)


def test_deep_integers_far_from_zero_keep_their_differences() -> None:
    low = 2**30
    grey = greys(encoded(ramp("I", [low, low + 100, low + 200]), "TIFF"), 3)
    assert grey == pytest.approx([0, 127, 255], abs=1)
    assert greys(encoded(ramp("I", [-(2**31), 0, 2**31 - 1]), "TIFF"), 3) == pytest.approx([0, 127, 255], abs=1)


def test_floats_are_scaled_by_their_range() -> None:
    assert greys(encoded(ramp("F", [-0.5, 0.0, 0.5]), "TIFF"), 3) == pytest.approx([0, 127, 255], abs=1)
    assert greys(encoded(ramp("F", [-3e38, 0.0, 3e38]), "TIFF"), 3) == pytest.approx([0, 127, 255], abs=1)
    assert greys(encoded(ramp("F", [7.0, 7.0]), "TIFF"), 2) == [128, 128]


def test_cmyk_and_grey_pictures_look_like_their_originals() -> None:
    image = Image.linear_gradient("L")
    wanted = list(pixels(encoded(image.convert("RGB"), "PNG")).tobytes())
    for other in (
        encoded(image.convert("CMYK"), "TIFF"),
        encoded(image.convert("CMYK"), "JPEG", quality=100),
        encoded(image, "PNG"),
        encoded(image.convert("LA"), "PNG"),
        encoded(image.convert("P"), "GIF"),
        encoded(image, "BMP"),
    ):
        assert list(pixels(other).tobytes()) == pytest.approx(wanted, abs=4)


def test_a_large_picture_is_made_smaller_without_a_shift() -> None:
    large = Image.linear_gradient("L").resize((2048, 2048)).convert("RGB")
    wanted = list(pixels(encoded(Image.linear_gradient("L").convert("RGB"), "PNG")).tobytes())
    for format_, options in (("PNG", {"compress_level": 1}), ("JPEG", {}), ("BMP", {})):
        assert list(pixels(encoded(large, format_, **options)).tobytes()) == pytest.approx(wanted, abs=3)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 3000), (3000, 1), (5, 70)])
@pytest.mark.parametrize("crop", [1.0, 0.875, 0.1])
def test_every_shape_is_cut_to_a_square(size: tuple[int, int], crop: float) -> None:
    image = Image.new("RGB", size, (10, 200, 30))
    assert fit(image, View(16, crop)).tobytes() == bytes((10, 200, 30)) * 256


def test_a_truncated_jpeg_is_noticed_though_it_is_decoded_at_an_eighth(tmp_path: Path) -> None:
    for options in ({}, {"progressive": True}):
        data = encoded(picture(size=(1600, 1200)), "JPEG", **options)
        assert outcome(data, tmp_path) == INDEXED
        assert outcome(data[: len(data) // 2], tmp_path) == badfiles.TRUNCATED
        assert outcome(data[:-2], tmp_path) == badfiles.TRUNCATED


def test_something_behind_the_end_mark_of_a_jpeg_is_no_fault(tmp_path: Path) -> None:
    assert outcome(encoded(picture(), "JPEG") + bytes(3_000_000), tmp_path) == INDEXED


def test_a_whole_picture_that_is_black_at_the_bottom_is_not_taken_for_truncated(tmp_path: Path) -> None:
    for colour, depth in ((0, 1), (0, 8), (2, 16), (3, 4), (4, 8), (6, 8)):
        bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
        extra = badfiles.chunk(b"PLTE", bytes(48)) if colour == 3 else b""
        rows = bytes((1 + -(-37 * bits // 8)) * 23)
        assert outcome(badfiles.png((37, 23), rows, depth=depth, colour=colour, extra=extra), tmp_path) == INDEXED
        short = badfiles.png((37, 23), rows[:-1], depth=depth, colour=colour, extra=extra)
        assert outcome(short, tmp_path) == badfiles.TRUNCATED


def test_no_cut_of_any_file_passes_for_a_picture(tmp_path: Path) -> None:
    for name, data in badfiles.good_files().items():
        kept = 5 if name.endswith(".gif") or name == "group4.tif" else 2  # end marks without a pixel, padding
        for cut in islice(range(len(data) - kept), 0, None, len(data) // 40):
            assert outcome(data[:cut], tmp_path) in REASONS, (name, cut)


def test_a_limit_that_is_raised_lets_a_larger_picture_in(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "large.png")
    badfiles.write(path, encoded(Image.new("1", (3000, 1000)), "PNG"))
    with pytest.raises(Unreadable, match=r"^3 MP, limit 2\.5 MP, raise with --max-megapixels$"):
        decode(path, VIEW, Limits(megapixels=2.5))
    assert decode(path, VIEW, Limits(megapixels=3)).width == 3000


def test_a_bomb_costs_no_memory(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="needs getrusage")
    path = os.fsencode(tmp_path / "bomb.png")
    badfiles.write(path, badfiles.bomb(13000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Unreadable, match="169 MP"):
        decode(path, VIEW)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_nothing_of_the_metadata_is_kept(tmp_path: Path) -> None:
    (case,) = [case for case in badfiles.FILES if case.name == b"talkative.jpg"]
    path = case.make(tmp_path)
    assert badfiles.SECRET in Path(os.fsdecode(path)).read_bytes()
    assert badfiles.SECRET not in repr(decode(path, VIEW)).encode()
    with open(path, "rb") as file:
        assert set(open_rgb(file).info) == {"original_size", "original_format", "hidden", "frames"}


def test_a_file_that_changes_while_it_is_read_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "growing.png"
    path.write_bytes(encoded(picture(size=(1500, 1500)), "PNG", compress_level=1))
    done = threading.Event()

    def grow() -> None:
        with path.open("ab", buffering=0) as file:
            while not done.wait(0.001):
                file.write(b"more")

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        with pytest.raises(Unreadable, match=r"^changed while it was read$"):
            decode(os.fsencode(path), VIEW)
    finally:
        done.set()
        writer.join()


def test_a_file_that_is_gone_has_vanished(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"^vanished$"):
        decode(os.fsencode(tmp_path / "gone.jpg"), VIEW)


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe.jpg", tmp_path / "link.jpg"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    reasons = []
    for path in (pipe, tmp_path, link):
        with pytest.raises(Unreadable) as caught:
            decode(os.fsencode(path), VIEW)
        reasons.append(str(caught.value))
    assert reasons == ["not a regular file", "not a regular file", "is a symbolic link"]


def test_a_device_is_not_read(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may make a device")
    path = os.fsencode(tmp_path / "zero.jpg")
    try:
        badfiles.make_device(path)
    except PermissionError:
        pytest.skip("this root may not make a device")
    with pytest.raises(Unreadable, match=r"^(not a regular file|permission denied)$"):
        decode(path, VIEW)


def test_a_file_without_permission_is_skipped_as_such() -> None:
    code = """if True:
        import os, sys
        from lookalike.images.decode import Unreadable, View, decode
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        try:
            decode(os.fsencode(sys.argv[1]), View())
        except Unreadable as reason:
            print(reason)
    """
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, stat.S_IRWXU | stat.S_IXGRP | stat.S_IXOTH)
        path = os.path.join(folder, "secret.jpg")
        badfiles.write(os.fsencode(path), encoded(picture(), "JPEG"))
        os.chmod(path, 0)
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout == "permission denied\n"


def test_decoders_outside_the_list_are_never_asked() -> None:
    default = ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "PPM", "HEIF"]
    assert [name for name in FORMATS if name != "JXL"] == default
    for format_ in ("TGA", "ICO", "PCX", "SGI"):
        with pytest.raises(Unreadable):
            open_rgb(io.BytesIO(encoded(picture(), format_)))


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"plain.jpg", "plain.jpg"),
        ("caf\u00e9.jpg".encode(), "caf\u00e9.jpg"),
        (b"a\nb\tc.jpg", "a\\nb\\tc.jpg"),
        (b"\x1b[31mred", "\\x1b[31mred"),
        (b"bad\xff", "bad\\xff"),
        ("x\u202ey".encode(), "x\\u202ey"),
    ],
)
def test_a_path_is_shown_as_one_harmless_line(path: bytes, shown: str) -> None:
    assert show_path(path) == shown
    assert show_path(path).isprintable()


def test_damaged_files_of_every_format_give_a_known_reason_in_time(tmp_path: Path) -> None:
    """LOOKALIKE_MUTATIONS=20000 for more; LOOKALIKE_SEED to see a failure again."""
    count = int(os.environ.get("LOOKALIKE_MUTATIONS", "8000"))
    seed = int(os.environ.get("LOOKALIKE_SEED", str(random.SystemRandom().randrange(2**32))))
    print(f"LOOKALIKE_SEED={seed}")  # noqa: T201  (shown when the test fails)
    seen = dict.fromkeys([INDEXED, badfiles.TRUNCATED, badfiles.DAMAGED], 0)
    for number, (name, data) in enumerate(islice(badfiles.mutations(seed), count)):
        start = time.monotonic()
        reason = outcome(data, tmp_path)
        seconds = time.monotonic() - start
        known = reason in REASONS | {INDEXED} or reason.startswith(REASONS_BEGIN) or reason.endswith("megapixels")
        assert known, f"mutation {number} of seed {seed}, {name}: {reason}"
        assert seconds < LIMITS.seconds, f"mutation {number} of seed {seed}, {name}: {seconds:.1f} s"
        with contextlib.suppress(KeyError):
            seen[reason] += 1
    assert min(seen.values()) > count // 50, seen
