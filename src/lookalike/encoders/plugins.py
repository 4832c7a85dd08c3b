"""Encoders of other packages: entry points of the group `lookalike.encoders`, each a function that returns an encoder.

    [project.entry-points."lookalike.encoders"]
    mine = "my_package.encoder:make"

Installing a package means trusting it; none of it is imported before its encoder is asked for by name.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from lookalike.errors import EncoderError, LookalikeError

if TYPE_CHECKING:
    from lookalike.encoders import Encoder

__all__ = ["GROUP", "load_plugin", "plugin_names"]

GROUP = "lookalike.encoders"
_MEMBERS = ("name", "view", "dim", "metric", "trained_on", "fingerprint", "encode")


def plugin_names() -> list[str]:
    """Names of the encoders in installed packages, sorted."""
    return sorted(entry_points(group=GROUP).names)


def load_plugin(name: str) -> Encoder | None:
    """Load the encoder of this name; None if no package has one. Raises EncoderError when it cannot be created."""
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        return None
    try:
        encoder: Encoder = found[0].load()()
        missing = [member for member in _MEMBERS if not hasattr(encoder, member)]
    except LookalikeError:
        raise
    except Exception as error:
        raise EncoderError(f"the encoder {name} ({found[0].value}) cannot be created: {error}") from error
    if missing:
        raise EncoderError(f"the encoder {name} ({found[0].value}) has no {', '.join(missing)}")
    return encoder
