"""What becomes of hits on the command line: pages, tables, folders, other programs and terminals."""

from __future__ import annotations

import base64
import csv
import io
import os
import pty
import re
import select
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from lookalike.cli.terminal import encode_image
from tests.conftest import make_picture

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run

TERMINAL = ("TERM", "TERM_PROGRAM", "KITTY_WINDOW_ID", "LC_TERMINAL", "TMUX")


def test_hits_are_written_as_a_page_that_is_renewed(run: Run, indexed: Path, tmp_path: Path) -> None:
    page = tmp_path / "hits.html"
    search = ("search", indexed / "000.jpg", "-i", indexed, "--html", page)
    for _ in range(2):
        done = run(*search, "-k", 3)
        assert done.status == 0
        assert f"page: {page}" in done.err
    assert page.read_text().count("<figure>") == 3
    page.write_text("mine")
    assert run(*search).status == 2
    assert page.read_text() == "mine"


def test_hits_are_printed_for_spreadsheets(run: Run, indexed: Path) -> None:
    search = ("search", indexed / "000.jpg", "-i", indexed, "-k", 3)
    hits = run(*search, "--json").json["hits"]
    for option, separator in (("--csv", ","), ("--tsv", "\t")):
        rows = list(csv.DictReader(io.StringIO(run(*search, option).out), delimiter=separator))
        assert [row["path"] for row in rows] == [hit["path"] for hit in hits]
    assert run(*search, "--csv", "--json").status == 2
    assert run(*search, "--tsv", "-0").status == 2


def test_hits_are_copied_or_linked(run: Run, indexed: Path, tmp_path: Path) -> None:
    search = ("search", indexed / "000.jpg", "-i", indexed, "-k", 3)
    assert "3 pictures copied" in run(*search, "--copy-to", tmp_path / "copies").err
    assert "3 there already" in run(*search, "--copy-to", tmp_path / "copies").err
    assert "3 pictures linked" in run(*search, "--link-to", tmp_path / "links").err
    assert len(list((tmp_path / "copies").iterdir())) == len(list((tmp_path / "links").iterdir())) == 3
    assert run(*search, "--copy-to", indexed / ".lookalike").status == 2
    next((tmp_path / "links").iterdir()).resolve().unlink()
    done = run(*search, "--copy-to", tmp_path / "others")
    assert (done.status, "not copied" in done.err) == (1, True)


@pytest.mark.skipif(sys.platform in {"darwin", "win32"}, reason="files are opened by other programs there")
def test_a_page_is_opened(run: Run, indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = ("search", indexed / "000.jpg", "-i", indexed, "--open")
    for name in ("WAYLAND_DISPLAY", "DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert "not a graphical session" in run(*search).err
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "xdg-open, which is not installed" in run(*search).err
    opener = tmp_path / "xdg-open"
    opener.write_text(f'#!/bin/sh\nprintf "%s\\n" "$1" >> {tmp_path}/opened\n')
    opener.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert run(*search, "--html", tmp_path / "a.html").status == 0
    assert run(*search, "--montage", tmp_path / "a.png").status == 0
    assert run(*search).status == 0
    opened = (tmp_path / "opened").read_text().splitlines()
    assert opened[:2] == [str(tmp_path / "a.html"), str(tmp_path / "a.png")]
    assert opened[2].endswith("hits.html")
    opener.write_text("#!/bin/sh\nexit 3\n")
    assert "status 3" in run(*search).err


def test_thumbnails_are_never_sent_to_what_is_not_a_terminal(
    run: Run, indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-kitty")
    done = run("search", indexed / "000.jpg", "-i", indexed, "-k", 2, "--thumbnails")
    assert done.status == 0
    assert "\x1b" not in done.out
    assert "not known to show pictures" in done.err


def in_terminal(arguments: list[Any], environment: dict[str, str], answer: bytes = b"") -> str:
    """What a command prints in a terminal that answers a question about itself."""
    ours, theirs = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name not in TERMINAL}
    command = [sys.executable, "-m", "lookalike", *map(str, arguments)]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env={**clean, **environment})
    os.close(theirs)
    printed = b""
    killer = threading.Timer(60, process.kill)
    killer.start()
    while process.poll() is None or select.select([ours], [], [], 0.2)[0]:
        try:
            read = os.read(ours, 1 << 16) if select.select([ours], [], [], 0.2)[0] else b""
        except OSError:  # the other end is closed
            break
        if b"\x1b[c" in read and answer:
            os.write(ours, answer)
        printed += read
    killer.cancel()
    process.wait()
    os.close(ours)
    return printed.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_terminal_shows_thumbnails_by_its_own_protocol(indexed: Path) -> None:
    search = ["search", indexed / "000.jpg", "-i", indexed, "-k", 2, "--thumbnails"]
    assert "\x1b_Ga=T,f=100" in in_terminal(search, {"TERM": "xterm-kitty"})
    assert "\x1b]1337;File=inline=1" in in_terminal(search, {"TERM_PROGRAM": "iTerm.app", "TERM": "xterm"})
    assert '\x1bPq"1;1;' in in_terminal(search, {"TERM": "xterm"}, b"\x1b[?62;4;22c")
    plain = in_terminal(search, {"TERM": "xterm"}, b"\x1b[?62;22c")
    assert "not known to show pictures" in plain
    assert "\x1bP" not in plain
    assert "\x1b_G" not in in_terminal(search, {"TERM": "screen", "KITTY_WINDOW_ID": "1"})
    assert "\x1b_G" not in in_terminal(search[:-1], {"TERM": "xterm-kitty"})


def test_sixels_are_the_picture() -> None:
    image = make_picture(3, (50, 40))
    text = encode_image(image, "sixel")
    few = image.quantize(128, dither=Image.Dither.NONE).convert("RGB")
    assert np.abs(decode_sixels(text)[:40].astype(int) - np.asarray(few)).max() <= 3  # percents are rounded


def decode_sixels(text: str) -> np.ndarray:
    """The pixels of a picture in sixels."""
    body = text.removeprefix("\x1bPq").removesuffix("\x1b\\")
    width, height = map(int, re.match(r'"1;1;(\d+);(\d+)', body).groups())  # type: ignore[union-attr]
    pixels, palette, top, left, colour = np.zeros((height + 6, width, 3), np.uint8), {}, 0, 0, 0
    for number, red, green, blue in re.findall(r"#(\d+);2;(\d+);(\d+);(\d+)", body):
        palette[int(number)] = [int(value) * 255 // 100 for value in (red, green, blue)]
    body = re.sub(r'"1;1;\d+;\d+|#\d+;2;\d+;\d+;\d+', "", body)
    for chosen, times, sixel, move in re.findall(r"#(\d+)|(?:!(\d+))?([?-~])|([$-])", body):
        if chosen:
            colour = int(chosen)
        elif move:
            top, left = top + 6 * (move == "-"), 0
        else:
            for row in range(6):
                if (ord(sixel) - 63) >> row & 1:
                    pixels[top + row, left : left + int(times or 1)] = palette[colour]
            left += int(times or 1)
    return pixels


def test_large_pictures_are_sent_to_kitty_in_pieces() -> None:
    image = Image.effect_noise((200, 100), 80).convert("RGB")
    pieces = re.findall("\x1b_G([^;]*);([^\x1b]*)\x1b\\\\", encode_image(image, "kitty"))
    assert len(pieces) > 1
    assert all(len(piece) <= 4096 for _, piece in pieces)
    assert [head[-1] for head, _ in pieces] == ["1"] * (len(pieces) - 1) + ["0"]
    with Image.open(io.BytesIO(base64.b64decode("".join(piece for _, piece in pieces)))) as sent:
        assert np.array_equal(np.asarray(sent), np.asarray(image))
