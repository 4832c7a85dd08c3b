"""What a run of indexing did, as a document and as lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from lookalike.cli.app import as_json, path_fields, print_json, print_table, warn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lookalike import Report

__all__ = ["print_line", "print_report", "report_fields", "skipped_fields", "warn_of_missing"]

_LISTED = 20  # skipped files named after a run; `lookalike skipped` names them all


def print_report(report: Report, place: Path | None, *, in_json: bool) -> None:
    """Print counts to stdout, and to stderr which files were skipped and which roots are not there."""
    if in_json:
        print_json(report_fields(report))
    else:
        counts = (report.added, report.unchanged, report.renamed, report.removed, len(report.skipped))
        print_table(["added", "unchanged", "renamed", "removed", "skipped"], [counts])
        _warn_of_skipped(report.skipped, place)
    warn_of_missing(report)


def print_line(report: Report, *, in_json: bool) -> None:
    """Print what one of many runs did, on one line."""
    if in_json:
        sys.stdout.write(as_json(report_fields(report)) + "\n")
    else:
        counts = ("added", "unchanged", "renamed", "removed")
        parts = [f"{getattr(report, name):,} {name}" for name in counts] + [f"{len(report.skipped):,} skipped"]
        sys.stdout.write(", ".join(parts) + "\n")
    sys.stdout.flush()
    warn_of_missing(report)


def report_fields(report: Report) -> dict[str, Any]:
    """The document that scripts rely on."""
    return {
        "added": report.added,
        "unchanged": report.unchanged,
        "renamed": report.renamed,
        "removed": report.removed,
        "skipped": skipped_fields(report.skipped),
        "missing": [path_fields(root) for root in report.missing],
        "seconds": round(report.seconds, 3),
    }


def skipped_fields(found: Sequence[tuple[bytes, str]]) -> list[dict[str, str]]:
    """Files and reasons for a document."""
    return [{**path_fields(path), "reason": reason} for path, reason in found]


def warn_of_missing(report: Report) -> None:
    """Name the roots that are not there."""
    for root in report.missing:
        warn(f"warning: {path_fields(root)['display']} is not there; its pictures stay in the gallery")


def _warn_of_skipped(skipped: Sequence[tuple[bytes, str]], place: Path | None) -> None:
    for path, reason in skipped[:_LISTED]:
        warn(f"skipped {path_fields(path)['display']}: {reason}")
    if len(skipped) > _LISTED:
        where = f" -i {place}" if place else ""
        warn(f"... and {len(skipped) - _LISTED} more: lookalike skipped{where}")
