"""Lookalike finds the pictures in your own collection that look alike.

from lookalike import Gallery

with Gallery.open("my.gallery", create=True) as gallery:
    gallery.index("Photos")
    hits = gallery.search("beach.jpg", k=10)
    print(hits)
    hits.montage().save("hits.jpg")
"""

from __future__ import annotations

import importlib
import logging
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookalike.encoders import Encoder, encoder_names, load_encoder
    from lookalike.errors import LookalikeError
    from lookalike.gallery import Gallery
    from lookalike.images.decode import Limits, View
    from lookalike.images.walk import Rules
    from lookalike.indexing.update import IndexOptions, Report
    from lookalike.search.hits import Hit, Hits, draw_searches
    from lookalike.search.query import Query
    from lookalike.store.location import find_gallery

__version__ = "0.1.0"

__all__ = [
    "Encoder",
    "Gallery",
    "Hit",
    "Hits",
    "IndexOptions",
    "Limits",
    "LookalikeError",
    "Query",
    "Report",
    "Rules",
    "View",
    "draw_searches",
    "encoder_names",
    "find_gallery",
    "load_encoder",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())

# From 1.29 on, ONNX Runtime keeps an identifier of the machine in the user's cache folder and sends usage data to
# Microsoft, unless this is set before it is imported; huggingface_hub reports how it is used. Nothing leaves this
# machine but the requests that `encoders fetch` prints.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

# Public names are imported when they are first used (PEP 562): `lookalike --help` needs none of them, and a
# worker process that decodes pictures needs no numpy.
_HOMES = {
    "Encoder": "encoders",
    "Gallery": "gallery",
    "Hit": "search.hits",
    "Hits": "search.hits",
    "IndexOptions": "indexing.update",
    "Limits": "images.decode",
    "LookalikeError": "errors",
    "Query": "search.query",
    "Report": "indexing.update",
    "Rules": "images.walk",
    "View": "images.decode",
    "draw_searches": "search.hits",
    "encoder_names": "encoders",
    "find_gallery": "store.location",
    "load_encoder": "encoders",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  (a module's attribute may be anything)
    if name not in _HOMES:
        raise AttributeError(f"module 'lookalike' has no attribute {name!r}")
    return getattr(importlib.import_module(f"lookalike.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
