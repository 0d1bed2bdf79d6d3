"""Text for a terminal."""

from __future__ import annotations


def shown(text: str) -> str:
    """One line that any terminal takes: names may hold line ends, control codes, and bytes that are no text."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
