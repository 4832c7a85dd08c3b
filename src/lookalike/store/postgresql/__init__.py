"""A gallery in PostgreSQL with pgvector: for a team, or for more than one machine."""

from __future__ import annotations

from lookalike.errors import MissingExtra, how_to_install

try:
    import psycopg as _psycopg  # noqa: F401  (every module here needs it)
except ImportError as error:
    raise MissingExtra("a gallery in PostgreSQL needs psycopg", hint=how_to_install("lookalike[postgresql]")) from error
