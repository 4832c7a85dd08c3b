"""Pictures in a terminal, by the protocols of kitty, of iTerm2, or as sixels."""

from __future__ import annotations

import base64
import io
import os
import re
import select
import shutil
import sys
import time
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from lookalike import Hits

    Protocol = Literal["kitty", "iterm", "sixel"]

__all__ = ["draw_strip", "encode_image", "find_protocol"]

_TILE, _GAP = 120, 8  # pixels
_CELL = 9  # pixels that a column of a terminal has at least
_COLOURS = 128
_WAIT = 0.3  # seconds for a terminal to say what it can do
_CHUNK = 4096  # bytes of base64 that kitty takes at once
_SIXEL = b"4"  # among the attributes that a terminal answers with


def find_protocol() -> Protocol | None:
    """How this terminal shows pictures; None where stdout is not a terminal, or it is not known to show any.

    Known names are looked up in the environment; another terminal is asked for sixels, and has 0.3 s to answer.
    """
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return None
    if os.environ.get("TMUX") or os.environ.get("TERM", "").startswith(("screen", "tmux")):
        return None  # they pass on none of these
    program, term = os.environ.get("TERM_PROGRAM", ""), os.environ.get("TERM", "")
    if os.environ.get("KITTY_WINDOW_ID") or term == "xterm-kitty" or program.lower() == "ghostty":
        return "kitty"
    if program in {"iTerm.app", "WezTerm", "mintty"} or os.environ.get("LC_TERMINAL") == "iTerm2":
        return "iterm"
    return "sixel" if _SIXEL in _ask_attributes() else None


def draw_strip(hits: Hits, protocol: Protocol) -> str:
    """The thumbnails of as many hits as fit side by side, in their order, in lines of the terminal's width."""
    from lookalike.search.montage import draw_thumbnails  # noqa: PLC0415  (Pillow)

    columns = max(1, (shutil.get_terminal_size().columns * _CELL + _GAP) // (_TILE + _GAP))
    strips = [hits[start : start + columns] for start in range(0, len(hits), columns)]
    return "".join(
        encode_image(draw_thumbnails([(hit.path, str(hit.rank)) for hit in strip], _TILE, _GAP), protocol) + "\n"
        for strip in strips
    )


def encode_image(image: Image.Image, protocol: Protocol) -> str:
    """What makes a terminal show a picture, RGB."""
    if protocol == "sixel":
        return _encode_sixels(image)
    memory = io.BytesIO()
    image.save(memory, "PNG")
    data = base64.b64encode(memory.getvalue()).decode("ascii")
    if protocol == "iterm":
        return f"\x1b]1337;File=inline=1;size={len(memory.getvalue())};width={image.width}px:{data}\x07"
    chunks = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    heads = ["a=T,f=100,q=2,"] + [""] * (len(chunks) - 1)
    return "".join(
        f"\x1b_G{head}m={int(number < len(chunks))};{chunk}\x1b\\"
        for number, (head, chunk) in enumerate(zip(heads, chunks, strict=True), 1)
    )


def _encode_sixels(image: Image.Image) -> str:
    """A picture in bands of six rows: in each, every colour says which of the six pixels of each column it has."""
    few = image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    palette = np.array(few.getpalette(), int).reshape(-1, 3)
    pixels = np.pad(np.asarray(few), ((0, -image.height % 6), (0, 0)), constant_values=255)
    text = [f'\x1bPq"1;1;{image.width};{image.height}']
    text += [
        "#{};2;{};{};{}".format(number, *(colour * 100 // 255)) for number, colour in enumerate(palette[:_COLOURS])
    ]
    bits = 1 << np.arange(6)[:, None]
    for band in pixels.reshape(-1, 6, image.width):
        for number in np.unique(band[band < _COLOURS]).tolist():
            columns = ((band == number) * bits).sum(axis=0) + 63
            text.append(f"#{number}{_repeat(columns)}$")
        text.append("-")
    return "".join([*text, "\x1b\\"])


def _repeat(columns: np.ndarray[tuple[int], np.dtype[np.int64]]) -> str:
    """Sixels as text; runs are counted."""
    starts = np.flatnonzero(np.diff(columns, prepend=-1))
    lengths = np.diff(starts, append=len(columns))
    runs = zip(columns[starts].tolist(), lengths.tolist(), strict=True)
    return "".join(f"!{length}{chr(sixel)}" if length > 3 else chr(sixel) * length for sixel, length in runs)


def _ask_attributes() -> list[bytes]:
    """The attributes that a terminal answers with; empty where it cannot be asked."""
    if not sys.stdin or not sys.stdin.isatty():
        return []
    try:
        import termios  # noqa: PLC0415  (not on Windows)
        import tty  # noqa: PLC0415
    except ImportError:
        return []
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)
        sys.stdout.write("\x1b[c")
        sys.stdout.flush()
        answer = _read_answer(number)
    finally:
        termios.tcsetattr(number, termios.TCSANOW, before)
    found = re.search(rb"\x1b\[\?([\d;]*)c", answer)
    return found[1].split(b";") if found else []


def _read_answer(number: int) -> bytes:
    answer, end = b"", time.monotonic() + _WAIT
    while not answer.endswith(b"c") and (left := end - time.monotonic()) > 0:
        if select.select([number], [], [], left)[0]:
            answer += os.read(number, 64)
    return answer
