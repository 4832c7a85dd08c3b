"""Phrases that a native speaker would not write, in anything that people read.

That is: messages, help texts, docstrings and comments of the package; the pages of the documentation; and the comments
of benchmarks and scripts.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
OTHERS = sorted([*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "scripts").glob("*.py")])
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TRANSLATED = re.compile(
    r"(?<![Tt]here )\bis no (?!longer|more |better |worse )|(?<![Tt]here )\b(?:is|are) none\b(?! of)"
    r"|\banew\b|\bat most so\b"
    r"|\b[Ss]omebody\b|\bnobody knows\b|\bof ours\b|\bgo(?:es)? on (?:with|from)\b|\bgo(?:es)? on by itself\b"
    r"|\b(?:is|are|was|were|be|been) told\b|\bwhat \w+ makes of\b|\bin mid-\w+|\blikest\b|\bfor who\b|\btowers\b"
    r"|\bnumbers (?:a|of a|per) picture\b|\bas ever\b|\bof then\b|\bvouch\b"
    r"|(?:^|[.:] )Of (?!course\b|the same\b)(?=[\w`*])",
    re.MULTILINE,
)
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def comments(text: str) -> list[str]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT]


def strings(text: str) -> list[str]:
    nodes = ast.walk(ast.parse(text))
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def docstrings(text: str) -> list[str]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [ast.get_docstring(node) for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
    return [each for each in found if each]


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: "/".join(file.parts[-2:]))
def test_no_text_sounds_translated(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not [each for each in strings(text) + comments(text) if TRANSLATED.search(each)]


@pytest.mark.parametrize("file", OTHERS, ids=lambda file: file.name)
def test_no_comment_of_a_benchmark_or_script_sounds_translated(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not [each for each in docstrings(text) + comments(text) if TRANSLATED.search(each)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_sounds_translated(page: Path) -> None:
    prose = CODE.sub("``", page.read_text(encoding="utf-8"))
    found = [(prose.count("\n", 0, match.start()) + 1, match.group()) for match in TRANSLATED.finditer(prose)]
    assert not found


def test_the_phrases_are_recognised() -> None:
    for text in (
        "photos is no folder",
        "it is none",
        "read anew",
        "goes on with the next",
        "it cannot be told",
        "Of the database, all.",
        "Nothing. Of these, two.",
        "two towers",
        "a fault of ours",
        "256 numbers a picture",
    ):
        assert TRANSLATED.search(text), text
    for text in (
        "there is no folder",
        "There is no gallery here",
        "the file is no longer there",
        "Of course.",
        "it is no better than before",
    ):
        assert not TRANSLATED.search(text), text
