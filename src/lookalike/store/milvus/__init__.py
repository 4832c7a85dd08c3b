"""A gallery in Milvus: for collections that outgrow one server."""

from __future__ import annotations

import logging

from lookalike.errors import MissingExtra, how_to_install

try:
    import pymilvus as _pymilvus  # noqa: F401  (every module here needs it)
except ImportError as error:
    raise MissingExtra("a gallery in Milvus needs pymilvus", hint=how_to_install("lookalike[milvus]")) from error

# Its client writes every error with its traceback to stderr, even one that is expected or retried.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL + 1)
