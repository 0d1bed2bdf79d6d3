"""What kinds of values a configuration of strangers may hold."""

from __future__ import annotations

from typing import Any


def is_like(value: object, usual: object) -> bool:
    """Whether a value out of JSON is of the usual one's kind: a list for a tuple, a whole number for a float too."""
    kinds: Any = {tuple: list, float: (int, float)}.get(type(usual), type(usual))
    return isinstance(value, kinds) and isinstance(value, bool) == isinstance(usual, bool)
