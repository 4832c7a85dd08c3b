"""The first run of a foreign model: in a child process, with limits on time and memory.

A model without control flow and custom operators (`untrusted.check_model`) can still ask for more than a machine has.
A model that has passed is remembered by its digest in the user's cache folder, so this costs a second only once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import platformdirs

from lookalike.encoders.onnx import Card, OnnxEncoder
from lookalike.encoders.sessions import runtime_version
from lookalike.encoders.text import TextCard, TextEncoder
from lookalike.errors import EncoderError, LookalikeError
from lookalike.files import replace_file
from lookalike.images.decode import View
from lookalike.sandbox import ask, bound_memory

__all__ = ["SECONDS", "serve", "try_in_child"]

SECONDS = 60.0  # to load it and run it twice on a grey picture or a text; the default encoder needs 0.3
_MIB, _EACH = 4096, 6  # of address space: a constant part, and bytes for each byte of the model


def try_in_child(model: bytes, card: Card | TextCard, *, again: bool = False) -> int:
    """Run the model twice, on a picture or a text, and return the dimensions of its embeddings.

    again: even if it has passed before. Raises EncoderError when it fails, exceeds 60 s or some 4 GiB, or gives
    embeddings that are not finite or not the same.
    """
    passed = _cache_file(model, card)
    if not again:
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            return int(json.loads(passed.read_text())["dim"])
    dim = _try(model, card)
    with contextlib.suppress(OSError):  # a read-only cache folder: tried again next time
        passed.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(passed, sync=False) as part:
            part.write_text(json.dumps({"dim": dim}))
    return dim


def serve(kind: str, fields: dict[str, Any]) -> None:
    """In the child: read the model from stdin, write its dimensions or its problem to stdout as a line of JSON."""
    model = sys.stdin.buffer.read()
    bound_memory(_MIB + _EACH * len(model) // (1 << 20))
    try:
        answer: dict[str, Any] = {"dim": _measure_dim(model, kind, fields)}
    except LookalikeError as error:
        answer = {"problem": str(error)}
    except MemoryError:
        answer = {"problem": f"the model {fields.get('name')} needs more memory than it is allowed"}
    sys.stdout.write(json.dumps(answer) + "\n")


def _measure_dim(model: bytes, kind: str, fields: dict[str, Any]) -> int:
    if kind == TextCard.__name__:
        return TextEncoder(model, TextCard(**fields)).dim
    return OnnxEncoder(model, Card(view=View(**fields.pop("view")), **fields)).dim


def _try(model: bytes, card: Card | TextCard) -> int:
    described = (type(card).__name__, asdict(card))
    try:
        answer = ask("lookalike.encoders.untrusted.trial:serve", *described, seconds=SECONDS, content=model)
    except TimeoutError:
        raise EncoderError(f"the model {card.name} took longer than {SECONDS:g} s for one picture or text") from None
    except ChildProcessError as error:
        raise EncoderError(f"the model {card.name} crashed the process that tried it ({error})") from None
    if "problem" in answer:
        raise EncoderError(answer["problem"])
    return int(answer["dim"])


def _cache_file(model: bytes, card: Card | TextCard) -> Path:
    """The file that exists if this model with this card has passed under this version of ONNX Runtime."""
    known = json.dumps([asdict(card), runtime_version()], sort_keys=True).encode()
    digest = hashlib.sha256(hashlib.sha256(model).digest() + known).hexdigest()
    return Path(platformdirs.user_cache_dir("lookalike")) / "checked" / f"{digest}.json"
