"""Whatever a client sends, it is answered, and never by a fault of the server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from starlette.testclient import TestClient

SHARED = settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NUMBERS = st.one_of(
    st.integers(-3, 15), st.integers(), st.floats(), st.sampled_from([0, 1e-320, 1e308, -0.0, 2**63, 2**64, 1e-3])
)
TEXTS = st.one_of(
    st.text(max_size=8), st.sampled_from(["red", "#ff8800", "boat", "folder:a", "\0", "tag:x", "name:[", "date:2024"])
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))
WEIGHTS = {"weight": NUMBERS}
SIMPLE = st.one_of(
    st.fixed_dictionaries({"id": st.integers(1, 12) | LEAVES}, optional=WEIGHTS),
    st.fixed_dictionaries({"text": TEXTS | LEAVES}, optional=WEIGHTS),
    st.fixed_dictionaries({"palette": st.fixed_dictionaries({"id": st.integers(1, 12)}) | JSON}, optional=WEIGHTS),
    st.fixed_dictionaries(
        {"colors": st.lists(st.fixed_dictionaries({"color": TEXTS}, optional=WEIGHTS), max_size=3) | JSON},
        optional=WEIGHTS,
    ),
)
QUERIES = st.one_of(SIMPLE, st.fixed_dictionaries({"sum": st.lists(SIMPLE, max_size=4)}), JSON)
OPTIONS = {
    "k": st.integers(1, 20) | LEAVES,
    "where": st.lists(TEXTS, max_size=2) | JSON,
    "order": st.sampled_from(["distance", "diffusion"]) | LEAVES,
    "exact": st.booleans() | LEAVES,
    "unique": st.booleans() | LEAVES,
    "weights": st.dictionaries(TEXTS, NUMBERS, max_size=2) | JSON,
}
DOCUMENTS = st.one_of(st.fixed_dictionaries({"query": QUERIES}, optional=OPTIONS), QUERIES)
PARAMETERS = st.dictionaries(
    st.sampled_from(
        ["k", "where", "order", "exact", "unique", "limit", "after", "like", "color", "text", "dropped", "x"]
    ),
    TEXTS | NUMBERS.map(str),
    max_size=4,
)


@SHARED
@given(document=DOCUMENTS)
def test_any_document_is_answered(api: TestClient, document: Any) -> None:
    content = json.dumps(document).encode("utf-8", "surrogatepass")
    answer = api.post("/api/v1/search", content=content, headers={"content-type": "application/json"})
    assert answer.status_code < 500, answer.text
    assert json.loads(answer.content)


@SHARED
@given(parameters=PARAMETERS)
def test_any_parameters_are_answered(browser: TestClient, parameters: dict[str, str]) -> None:
    some = {name: value.encode("utf-8", "replace") for name, value in parameters.items()}
    for path in ("/", "/api/v1/images", "/api/v1/images/3/similar", "/api/v1/skipped", "/pictures/3"):
        answer = browser.get(path, params=some)
        assert answer.status_code < 500, answer.text


@SHARED
@given(path=st.text(max_size=20), method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"]))
def test_any_address_is_answered(browser: TestClient, path: str, method: str) -> None:
    for place in ("/", "/api/v1/", "/api/v1/images/", "/thumbnails/", "/static/"):
        address = place + quote(path, errors="replace")
        assert browser.request(method, address).status_code < 500
