"""How a query is written on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lookalike import Query
from lookalike.errors import UsageError
from lookalike.search.expression import read_expression, read_part

if TYPE_CHECKING:
    from pathlib import Path


def read(*words: str) -> list[tuple[float, Any]]:
    """The weights of a query with the last word of each part."""
    parts = read_expression(words, lambda: Query.content(b"", "stdin"))
    return [(weight, _name(part.to_dict())) for weight, part in parts]


def _name(fields: dict[str, Any]) -> Any:
    return fields.get("path") or fields.get("text") or fields.get("id") or fields.get("colors") or "stdin"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a", [(1, "a")]),
        ("a + b - c", [(1, "a"), (1, "b"), (-1, "c")]),
        ("2:a - .5:b", [(2, "a"), (-0.5, "b")]),
        ("-", [(1, "stdin")]),
        ("- + a", [(1, "stdin"), (1, "a")]),
        ("- - a", [(1, "stdin"), (-1, "a")]),
        ("- a", [(-1, "a")]),
        ("+ a", [(1, "a")]),
        ("a + -", [(1, "a"), (1, "stdin")]),
        ("a - -", [(1, "a"), (-1, "stdin")]),
        ("a - - + b", [(1, "a"), (-1, "stdin"), (1, "b")]),
        ("3:- + a", [(3, "stdin"), (1, "a")]),
        ("id:17 + 2:id:3", [(1, 17), (2, 3)]),
        ("a + text:boat", [(1, "a"), (1, "boat")]),
        ("./2:a + 1e:b", [(1, "./2:a"), (1, "1e:b")]),
    ],
)
def test_a_query_is_read_as_it_is_meant(written: str, meant: list[tuple[float, Any]]) -> None:
    assert read(*written.split()) == meant


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("a b", "no \\+ or - before 'b'"),
        ("a +", "ends with \\+"),
        ("a -", "ends with -"),
        ("a + + b", "between them"),
        ("a - - b", "between them"),
        ("0:a", "weight of '0:a'"),
        ("-1:a", "weight of '-1:a'"),
        ("a + nan:b", "^part 2 of the query: the weight of 'nan:b'"),
        ("a - 1e400:b", "^part 2 of the query: the weight of '1e400:b'"),
        ("2:", "nothing follows the weight in '2:'"),
        ("id:x", "'id:x'"),
        ("a + id:-3", "'id:-3'"),
        ("a + color:reed", "reed"),
    ],
)
def test_an_error_names_the_part_that_is_wrong(written: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read(*written.split())


def test_a_file_wins_over_what_its_name_could_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("2:a.jpg", "id:17"):
        (tmp_path / name).touch()
        weight, part = read_part(name, lambda: Query.text(""))
        assert (weight, part.to_dict()["path"]) == (1, name)
