"""Text for a terminal."""

from __future__ import annotations

_LONGEST = 60  # characters of what somebody typed, in a message


def quoted(text: str) -> str:
    """What came instead of what was expected, in quotes; the beginning of it where it is long."""
    whole = repr(text)
    return whole if len(whole) <= _LONGEST else f"{whole[:_LONGEST]}..."


def shown(text: str) -> str:
    """One line that any terminal takes: names may hold line ends, control codes, and bytes that are no text."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
