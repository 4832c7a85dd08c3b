"""How a gallery is served."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache

from lookalike.errors import UsageError

__all__ = ["MOST_BYTES", "MOST_HITS", "MOST_OFFSET", "Settings", "is_loopback"]

MOST_BYTES = 32 << 20
"""The largest upload, as in Qdrant by default."""
MOST_HITS = 1000
MOST_OFFSET = 10_000
"""The most hits that can be left out for a later page."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a gallery is served and to whom.

    token: what a client has to know; needed for every address but that of this machine. hosts: further names by which
    clients may reach the server, such as that of a reverse proxy. allow_write: whether clients may index and move
    duplicates; it needs a token on this machine too, where other programs and users could reach the server.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str = ""
    hosts: tuple[str, ...] = ()
    allow_write: bool = False

    def __post_init__(self) -> None:
        if self.allow_write and not self.token:
            raise UsageError(
                "--allow-write needs a token, which clients must send",
                hint="LOOKALIKE_TOKEN=$(openssl rand -hex 16) lookalike serve ... --allow-write",
            )
        if not is_loopback(self.host) and not self.token:
            raise UsageError(
                f"serving on {self.host} lets other machines in, so it needs a token, which they must send",
                hint="LOOKALIKE_TOKEN=$(openssl rand -hex 16) lookalike serve ..., or keep --host 127.0.0.1",
            )


@lru_cache(64)  # 6 us, three times for each request
def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine to itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
