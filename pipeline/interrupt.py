"""SIGTERM, as a service manager or `kill` sends it, taken as Ctrl-C: what is half done is cleared away."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def on_sigterm() -> Iterator[None]:
    """In it SIGTERM raises KeyboardInterrupt. For the main thread alone, as Python has it."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt
