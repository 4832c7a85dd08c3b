"""Encoders for actors of a cluster, which import this module: so it imports nothing that takes long."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.tiles import TilesEncoder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["OtherEncoder", "SlowEncoder", "load_from"]


class SlowEncoder(TilesEncoder):
    """Takes its time, so that something can die meanwhile."""

    def encode(self, images: Any) -> Any:
        time.sleep(0.2)
        return super().encode(images)


class OtherEncoder(TilesEncoder):
    """Not the one of the gallery."""

    fingerprint = "tiles-2"  # type: ignore[misc]


def load_from(path: Path) -> TilesEncoder:
    """An encoder that only nodes with this file can load."""
    path.read_bytes()
    return TilesEncoder()
