"""Phrases that a native speaker would not write, in anything that people read: messages, help texts and docstrings."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

SOURCES = sorted((Path(__file__).parents[1] / "src").rglob("*.py"))
TRANSLATED = re.compile(
    r"(?<![Tt]here )\bis no (?!longer)|(?<![Tt]here )\b(?:is|are) none\b|\banew\b|\bat most so\b|\bsomebody\b"
    r"|\bnobody knows\b|\bof ours\b|\bgo(?:es)? on (?:with|from)\b|\b(?:is|are|was|were|be) told\b"
    r"|\bwhat \w+ makes of\b",
)


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: "/".join(file.parts[-2:]))
def test_no_text_sounds_translated(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert not [text for text in texts if TRANSLATED.search(text)]


def test_the_phrases_are_recognised() -> None:
    for text in ("photos is no folder", "it is none", "read anew", "goes on with the next", "it cannot be told"):
        assert TRANSLATED.search(text), text
    for text in ("there is no folder", "There is no gallery here", "the file is no longer there"):
        assert not TRANSLATED.search(text), text
