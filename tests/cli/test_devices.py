"""The option --device, of every command that encodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lookalike.encoders.sessions import offered_devices
from tests.conftest import make_two_classes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run

LACKING = next(device for device in ("directml", "coreml", "cuda") if device not in offered_devices())


@pytest.fixture
def commands(indexed: Path, tmp_path: Path) -> list[list[object]]:
    """Commands that encode pictures."""
    labelled = make_two_classes(tmp_path / "labelled", 12)
    return [["index", indexed], ["search", indexed / "003.jpg"], ["evaluate", labelled, "-e", "histogram"]]


@pytest.mark.parametrize("number", range(3))
def test_a_device_that_is_not_there_is_a_usage_error(run: Run, commands: list[list[object]], number: int) -> None:
    done = run(*commands[number], "--device", LACKING)
    assert (done.status, done.out) == (2, "")
    assert f"ONNX Runtime has no device '{LACKING}' on this machine; it offers " in done.err
    assert "onnxruntime" in done.err.partition("hint: ")[2]


@pytest.mark.parametrize("number", range(3))
def test_the_processor_may_be_asked_for_by_its_name(run: Run, commands: list[list[object]], number: int) -> None:
    usual, named = (run(*commands[number], *option, "--json") for option in ([], ["--device", "cpu"]))
    assert (usual.status, named.status) == (0, 0), named.err
    assert usual.json.keys() == named.json.keys()


def test_an_unknown_device_is_a_usage_error_that_lists_the_known_ones(run: Run, commands: list[list[object]]) -> None:
    done = run(*commands[1], "--device", "tpu")
    assert done.status == 2
    assert all(f"'{device}'" in done.err for device in ("auto", "cpu", "cuda", "coreml", "directml"))
