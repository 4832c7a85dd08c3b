"""Counts of the requests that were served, in the format of Prometheus."""

from __future__ import annotations

import bisect
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lookalike.web.served_gallery import ServedGallery

__all__ = ["Counters"]

_EDGES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Counters:
    """Requests by route and status, and their seconds. Used by the event loop alone."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets = [0] * (len(_EDGES) + 1)
        self._seconds = 0.0

    def count(self, route: str, status: int, seconds: float) -> None:
        """Count one request. route: one of a few names, never a path that a client chose."""
        self._requests[route, status] += 1
        self._buckets[bisect.bisect_left(_EDGES, seconds)] += 1
        self._seconds += seconds

    def write(self, served: ServedGallery) -> str:
        """All counts in Prometheus' text format."""
        lines = ["# TYPE lookalike_requests_total counter"]
        for (route, status), count in sorted(self._requests.items()):
            lines.append(f'lookalike_requests_total{{route="{route}",status="{status}"}} {count}')
        lines += ["# TYPE lookalike_request_seconds histogram", *self._write_histogram()]
        for name, kind in (("under_way", "gauge"), ("refused", "counter")):
            ending = "_total" if kind == "counter" else ""
            lines.append(f"# TYPE lookalike_{name}{ending} {kind}")
            lines += [
                f'lookalike_{name}{ending}{{kind="{workers.name}"}} {getattr(workers, name)}'
                for workers in served.all_workers
            ]
        lines += ["# TYPE lookalike_pictures gauge", f"lookalike_pictures {len(served.gallery)}"]
        lines += ["# TYPE lookalike_ready gauge", f"lookalike_ready {int(served.is_ready)}"]
        lines += ["# TYPE process_start_time_seconds gauge", f"process_start_time_seconds {served.started:.2f}"]
        return "\n".join(lines) + "\n"

    def _write_histogram(self) -> list[str]:
        lines, total = [], 0
        for edge, count in zip([*map(str, _EDGES), "+Inf"], self._buckets, strict=True):
            total += count
            lines.append(f'lookalike_request_seconds_bucket{{le="{edge}"}} {total}')
        return [
            *lines,
            f"lookalike_request_seconds_sum {self._seconds:.6f}",
            f"lookalike_request_seconds_count {total}",
        ]
