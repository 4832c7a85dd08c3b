"""A Ray cluster of two nodes on this machine for tests, with one core each.

They listen on the machine's own address: Ray takes 127.0.0.1 for that.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import warnings
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="not installed: ray (`make test` installs locks/cluster.txt)"
)
_STORE = 80 << 20  # bytes of shared memory for each node
_TRIES = 3


class Nodes:
    """The cluster, with what tests do to it."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self.address: str = cluster.address
        self.second: Any = None

    def add(self) -> None:
        """Start the second node."""
        self.second = self._cluster.add_node(num_cpus=1, object_store_memory=_STORE)

    def remove(self) -> None:
        """Kill the second node, all its processes at once."""
        self._cluster.remove_node(self.second, allow_graceful=False)
        self.second = None


@contextlib.contextmanager
def start_cluster() -> Iterator[Nodes]:
    """Start two nodes; nothing of them is left afterwards."""
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    try:
        yield _start_patiently(before)
    finally:
        _end(before)
        logging.getLogger("ray").handlers.clear()


def _start_patiently(before: set[int]) -> Nodes:
    """Start the nodes, again if need be: Ray gives each 30 s, and on a busy machine the first may take longer."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(Exception):  # of that very class
            return _start()
        _end(before)
    return _start()


def _start() -> Nodes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": _STORE}
        nodes = Nodes(Cluster(initialize_head=True, head_node_args=head))
        nodes.add()
    return nodes


def _end(before: set[int]) -> None:
    """Kill all processes of Ray that were started since."""
    for child in psutil.Process().children(recursive=True):
        if child.pid not in before and "ray" in " ".join(_command(child)):
            child.kill()


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def workers() -> list[psutil.Process]:
    """The processes of actors on this machine that have loaded an encoder."""
    found = (child for child in psutil.process_iter() if any("_Reader" in word for word in _command(child)))
    return [child for child in found if child.is_running()]
