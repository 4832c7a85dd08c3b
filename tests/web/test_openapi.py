"""What is made of the API's own description, by schemathesis, is answered, and never by a fault of the server."""

from __future__ import annotations

import contextlib
import json
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

schemathesis = pytest.importorskip("schemathesis")

if TYPE_CHECKING:
    from starlette.testclient import TestClient

EXAMPLES = 8
WAITS = "/api/v1/events"  # it ends when its client leaves: tests/web/test_changes.py


def read_schema(port: int) -> Any:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/openapi.json")
    document = json.loads(connection.getresponse().read())
    connection.close()
    return schemathesis.openapi.from_dict(document)


@pytest.mark.parametrize("mode", [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE])
def test_whatever_the_description_allows_or_forbids_is_answered(port: int, mode: Any) -> None:
    for result in read_schema(port).get_all_operations():
        operation = result.ok()
        if operation.path != WAITS:
            press(operation, mode, f"http://127.0.0.1:{port}")


def press(operation: Any, mode: Any, address: str) -> None:
    """Send some requests of one kind."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        answer = case.call(base_url=address, timeout=30)
        assert answer.status_code < 500 or answer.status_code == 503, (case, answer.status_code, answer.text)
        if answer.status_code >= 400:
            assert set(answer.json()) == {"error"} or operation.method == "head"

    with contextlib.suppress(Unsatisfiable):  # a request without parameters forbids nothing
        run()


def test_every_example_of_the_description_is_one_that_works(api: TestClient) -> None:
    for path, methods in api.get("/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            some = [one["value"] for one in content.get("examples", {}).values()]
            for example in [*some, *([content["example"]] if "example" in content else [])]:
                answer = api.request(method, path, json=example)
                assert answer.status_code in {200, 403, 422}, (path, answer.text)


def test_every_answer_is_described(api: TestClient) -> None:
    for path, methods in api.get("/openapi.json").json()["paths"].items():
        for operation in methods.values():
            assert operation["description"], path
            for status, answer in operation["responses"].items():
                assert answer["description"] or status == "200"
                for content in answer.get("content", {}).values():
                    assert content.get("schema"), (path, status)
