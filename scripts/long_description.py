"""The project's page in a package index: README.md, in which every relative link and picture has its whole address."""

from __future__ import annotations

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

RELATIVE = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#|mailto:)([^)\s]+)\)")


class LongDescription(MetadataHookInterface):
    """Fills in the field `readme` whenever the project is built."""

    def update(self, metadata: dict[str, object]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        urls = metadata["urls"]
        assert isinstance(urls, dict)
        metadata["readme"] = {"content-type": "text/markdown", "text": with_addresses(text, urls["Homepage"])}


def with_addresses(text: str, repository: str) -> str:
    """Markdown whose links lead to the files of the repository: `blob` shows a file, `raw` is a picture itself."""
    return RELATIVE.sub(
        lambda found: f"{found[1]}[{found[2]}]({repository}/{'raw' if found[1] else 'blob'}/main/{found[3]})", text
    )
