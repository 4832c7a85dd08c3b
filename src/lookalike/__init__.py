"""Lookalike finds the pictures in your own collection that look alike."""

__version__ = "0.1.0"
