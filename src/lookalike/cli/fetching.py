"""What has to come from a hub before an encoder can be loaded."""

from __future__ import annotations

import sys

from lookalike.cli.app import warn

__all__ = ["fetch_named"]


def fetch_named(encoder: str, *, hidden: bool) -> None:
    """Fetch what of an encoder is on a hub and not here yet, and tell from where; nothing for other names."""
    from lookalike.encoders import fetch  # noqa: PLC0415

    fetch(encoder, warn, bars=not hidden and sys.stderr.isatty())
