"""The first run of a foreign model: in a process of its own, with limits on time and memory.

A model without control flow and foreign operators (`foreign.check_model`) can still ask for more than a machine has.
What has passed is remembered by its digest in the user's cache folder, so that it costs a second once.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import platformdirs

from lookalike.encoders.onnx import Card, OnnxEncoder
from lookalike.encoders.text import TextCard, TextTower
from lookalike.errors import EncoderError, LookalikeError
from lookalike.files import replace_file
from lookalike.images.decode import View
from lookalike.sandbox import ask, bound_memory

__all__ = ["SECONDS", "serve", "try_in_child"]

SECONDS = 60.0  # to be loaded and run twice on one grey picture or one text; the default encoder needs 0.3
_MIB = 4096  # of address space, and what follows for each byte of the model
_EACH = 6


def try_in_child(model: bytes, card: Card | TextCard, *, again: bool = False) -> int:
    """How many numbers the model gives for a picture, or a text tower for a text: finite, and the same twice.

    again: even if it has passed before. Raises EncoderError when it fails, or exceeds 60 s or some 4 GiB.
    """
    kept = _kept(model, card)
    if not again:
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            return int(json.loads(kept.read_text())["dim"])
    dim = _tried(model, card)
    with contextlib.suppress(OSError):  # a read-only home: tried again next time
        kept.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(kept, sync=False) as part:
            part.write_text(json.dumps({"dim": dim}))
    return dim


def serve(kind: str, fields: dict[str, Any]) -> None:
    """In the child: the model comes on stdin, what is to be said of it goes to stdout as one line of JSON."""
    model = sys.stdin.buffer.read()
    bound_memory(_MIB + _EACH * len(model) // (1 << 20))
    try:
        answer: dict[str, Any] = {"dim": _dim(model, kind, fields)}
    except LookalikeError as error:
        answer = {"problem": str(error)}
    except MemoryError:
        answer = {"problem": f"the model {fields.get('name')} asks for more memory than it may have"}
    sys.stdout.write(json.dumps(answer) + "\n")


def _dim(model: bytes, kind: str, fields: dict[str, Any]) -> int:
    if kind == TextCard.__name__:
        return TextTower(model, TextCard(**fields)).dim
    return OnnxEncoder(model, Card(view=View(**fields.pop("view")), **fields)).dim


def _tried(model: bytes, card: Card | TextCard) -> int:
    described = (type(card).__name__, asdict(card))
    try:
        answer = ask("lookalike.encoders.untrusted.trial:serve", *described, seconds=SECONDS, content=model)
    except TimeoutError:
        raise EncoderError(f"the model {card.name} took longer than {SECONDS:g} s for one picture or text") from None
    except ChildProcessError as error:
        raise EncoderError(f"the model {card.name} ended the process that tried it ({error})") from None
    if "problem" in answer:
        raise EncoderError(answer["problem"])
    return int(answer["dim"])


def _kept(model: bytes, card: Card | TextCard) -> Path:
    """Where it is written that this model with this card has passed, under this version of ONNX Runtime."""
    known = json.dumps([asdict(card), importlib.metadata.version("onnxruntime")], sort_keys=True).encode()
    digest = hashlib.sha256(hashlib.sha256(model).digest() + known).hexdigest()
    return Path(platformdirs.user_cache_dir("lookalike")) / "checked" / f"{digest}.json"
