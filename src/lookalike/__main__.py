"""The command `lookalike`, also as `python -m lookalike`."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    # Late: every worker process imports the main module, and a decoder needs no command line (0.1 s, 12 MB each).
    from lookalike.cli import main as run  # noqa: PLC0415

    run()


if __name__ == "__main__":
    main()
