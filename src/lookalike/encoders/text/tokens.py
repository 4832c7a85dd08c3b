"""Texts as the numbers of their tokens, by a file of Hugging Face's `tokenizers`; always in a process of its own.

Such a file is a program: rules that rewrite a text, expressions that cut it. Thirty rules that double a letter take
2 kB and end the process that follows them, and a file may be harmless with one text and not with another
(docs/decisions.md). So no process but a child, bounded in time and memory, ever opens one.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from lookalike.errors import EncoderError, MissingExtra, UsageError
from lookalike.sandbox import ask, bound_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LONGEST", "Frame", "Tokens", "serve", "tokenize"]

LONGEST = 4096  # tokens of a text, at most
SECONDS = 30.0  # a file with 250,000 words takes 0.7 s of processor time
_MIB = 4096  # of address space
_CLIPS = 77  # tokens that CLIP's text towers take: what is cut to where neither card, model nor file says it


class Frame(NamedTuple):
    """How long a text is: at most `length` tokens, exactly so many if it is_full, filled up with the token `pad`.

    None: as the tokenizer's file says.
    """

    length: int | None
    pad: int | None
    is_full: bool


class Tokens(NamedTuple):
    """The numbers of a text's tokens, and for each 1 or, if it fills the text up, 0."""

    ids: list[int]
    mask: list[int]


def tokenize(file: bytes, texts: Sequence[str], frame: Frame) -> list[Tokens]:
    """Each text's tokens by the content of a `tokenizer.json`, cut to the frame's length.

    Raises MissingExtra; UsageError for a text of which it knows no word; EncoderError for a file that is none, fails,
    or exceeds 30 s or 4 GiB.
    """
    if importlib.util.find_spec("tokenizers") is None:
        raise MissingExtra("searching by a text needs tokenizers", hint='pip install "lookalike[text]"')
    asked = json.dumps({"texts": list(texts), "frame": frame._asdict()}).encode() + b"\n"
    try:
        answer = ask("lookalike.encoders.text.tokens:serve", seconds=SECONDS, content=asked + file)
    except TimeoutError:
        raise EncoderError(f"the tokenizer took longer than {SECONDS:g} s for a text") from None
    except ChildProcessError as error:
        raise EncoderError(f"the tokenizer ended the process that it ran in ({error})") from None
    if "problem" in answer:
        raise EncoderError(f"the tokenizer cannot be used: {answer['problem']}")
    return [_known(Tokens(*pair), text) for pair, text in zip(answer["tokens"], texts, strict=True)]


def serve() -> None:
    """In the child: a line with the texts and the file come on stdin, the tokens go to stdout as one line of JSON."""
    bound_memory(_MIB)
    asked = json.loads(sys.stdin.buffer.readline())
    file = sys.stdin.buffer.read()
    try:
        answer: dict[str, Any] = {"tokens": _tokens(file, asked["texts"], Frame(**asked["frame"]))}
    except BaseException as error:  # noqa: BLE001  (what panics in Rust is no Exception)
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


def _known(tokens: Tokens, text: str) -> Tokens:
    if not any(tokens.mask):
        raise UsageError(f"the encoder knows no word of {text!r}")
    return tokens
