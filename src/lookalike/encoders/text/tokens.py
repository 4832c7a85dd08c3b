"""Texts as token ids, by a `tokenizer.json` of Hugging Face's `tokenizers`; always in a child process.

Such a file is a program: rules that rewrite a text, expressions that split it. Thirty rules that double a letter take
2 kB and crash the process that follows them, and a file can be harmless with one text and not with another
(docs/decisions.md). So only a child process, bounded in time and memory, ever opens one.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from lookalike.errors import EncoderError, MissingExtra, UsageError, how_to_install
from lookalike.sandbox import ask, bound_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LONGEST", "Frame", "Tokens", "serve", "tokenize"]

LONGEST = 4096  # tokens of a text, at most
SECONDS = 30.0  # a file with 250,000 words takes 0.7 s of processor time
_MIB = 4096  # of address space
_CLIPS = 77  # tokens, as CLIP's text encoders take them: the length where neither card, model nor file says it


class Frame(NamedTuple):
    """How long a text is: at most `length` tokens; exactly that many if `is_full`, padded with the token `pad`.

    None stands for what the tokenizer's file says.
    """

    length: int | None
    pad: int | None
    is_full: bool


class Tokens(NamedTuple):
    """The token ids of a text, and for each of them 1, or 0 if it is padding."""

    ids: list[int]
    mask: list[int]


def tokenize(file: bytes, texts: Sequence[str], frame: Frame) -> list[Tokens]:
    """Return the tokens of each text, by the content of a `tokenizer.json`, truncated to the frame's length.

    Raises MissingExtra; UsageError for a text without a known word; EncoderError for a file that is not a tokenizer,
    fails, or exceeds 30 s or 4 GiB.
    """
    if importlib.util.find_spec("tokenizers") is None:
        raise MissingExtra("searching by text needs the package tokenizers", hint=how_to_install("lookalike[text]"))
    asked = json.dumps({"texts": list(texts), "frame": frame._asdict()}).encode() + b"\n"
    try:
        answer = ask("lookalike.encoders.text.tokens:serve", seconds=SECONDS, content=asked + file)
    except TimeoutError:
        raise EncoderError(f"the tokenizer took longer than {SECONDS:g} s for a text") from None
    except ChildProcessError as error:
        raise EncoderError(f"the tokenizer crashed the process that it ran in ({error})") from None
    if "problem" in answer:
        raise EncoderError(f"the tokenizer cannot be used: {answer['problem']}")
    return [_require_known(Tokens(*pair), text) for pair, text in zip(answer["tokens"], texts, strict=True)]


def serve() -> None:
    """In the child: read a line with the texts and then the file from stdin; write the tokens to stdout as JSON."""
    bound_memory(_MIB)
    asked = json.loads(sys.stdin.buffer.readline())
    file = sys.stdin.buffer.read()
    try:
        answer: dict[str, Any] = {"tokens": _tokens(file, asked["texts"], Frame(**asked["frame"]))}
    except BaseException as error:  # noqa: BLE001  (a panic in Rust is not an Exception)
        answer = {"problem": f"{type(error).__name__} {error}"[:500]}
    sys.stdout.write(json.dumps(answer) + "\n")


def _tokens(file: bytes, texts: list[str], frame: Frame) -> list[tuple[list[int], list[int]]]:
    from tokenizers import Tokenizer  # noqa: PLC0415  (an extra, and only here: see above)

    tokenizer = Tokenizer.from_buffer(file)
    own, cut = tokenizer.padding or {}, tokenizer.truncation or {}
    is_full = frame.is_full or own.get("length") is not None
    length = frame.length or own.get("length") or cut.get("max_length") or _CLIPS
    if not 1 <= length <= LONGEST:
        raise ValueError(f"texts of {length} tokens")
    tokenizer.enable_truncation(length)
    tokenizer.no_padding()
    if is_full:
        pad = own.get("pad_id", 0) if frame.pad is None else frame.pad
        tokenizer.enable_padding(direction=own.get("direction", "right"), pad_id=pad, length=length)
    encoded = [tokenizer.encode(text) for text in texts]
    return [(one.ids, one.attention_mask) for one in encoded]


def _require_known(tokens: Tokens, text: str) -> Tokens:
    if not any(tokens.mask):
        raise UsageError(f"the encoder knows no word of {text!r}")
    return tokens
