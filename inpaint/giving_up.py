"""Filling that is given up in its middle: who waits for it sets a check, and the long loops of this room ask it.

The check holds for what its own thread does within the block, so that no call need hand it on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_CHECK: ContextVar[Callable[[], None] | None] = ContextVar("check", default=None)


@contextmanager
def given_up_by(check: Callable[[], None]) -> Iterator[None]:
    """Within this block check is called between the steps of every fill: what it raises ends the fill."""
    before = _CHECK.set(check)
    try:
        yield
    finally:
        _CHECK.reset(before)


def go_on() -> None:
    """Raises what the check raises, if there is one."""
    check = _CHECK.get()
    if check is not None:
        check()
