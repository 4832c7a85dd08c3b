"""`vectors` and `adaptation` can be used without the rest of Lookalike."""

from __future__ import annotations

import doctest
import json
import pkgutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import lookalike.adaptation
import lookalike.vectors

if TYPE_CHECKING:
    from types import ModuleType

PACKAGES = [lookalike.vectors, lookalike.adaptation]
IDS = [package.__name__ for package in PACKAGES]

LIST_MODULES = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.parametrize("package", PACKAGES, ids=IDS)
def test_the_example_of_the_package_is_right(package: ModuleType) -> None:
    found = doctest.testmod(package)
    assert found.attempted > 5
    assert found.failed == 0


@pytest.mark.parametrize("package", PACKAGES, ids=IDS)
def test_a_package_of_numbers_loads_no_store_and_no_pictures(package: ModuleType) -> None:
    name, path = package.__name__, package.__path__
    modules = [f"{name}.{module.name}" for module in pkgutil.iter_modules(path)]
    assert len(modules) >= 5
    done = subprocess.run([sys.executable, "-c", LIST_MODULES, *modules], check=True, capture_output=True)
    loaded = json.loads(done.stdout)
    assert set(modules) <= set(loaded)
    assert {"sqlite3", "PIL", "onnxruntime", "tensorflow"}.isdisjoint(loaded)
    own = {module.split(".")[1] for module in loaded if module.startswith("lookalike.")}
    assert own <= {"vectors", "adaptation", "metrics", "errors", "files"}
