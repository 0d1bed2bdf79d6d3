"""What the long tests share: a bound on time for each, and a line that says what was done in it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

SECONDS = float(os.environ.get("CLICKAWAY_TORTURE_SECONDS", "60"))


class Bounded:
    """A long test: `within` ends it when its time is over, `say` prints what came of it."""

    def __init__(self, name: str, printing: Callable[[], Any]):
        self._name, self._printing = name, printing
        self._start = time.perf_counter()
        self._done = self._all = 0

    def within(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items, as many as there is time for; the first one always."""
        items = list(items)
        self._all = len(items)
        for item in items:
            if self._done and time.perf_counter() - self._start > SECONDS:
                return
            yield item
            self._done += 1

    def say(self, what: str) -> None:
        """what: the cases, such as "files with flipped bits"."""
        seconds = time.perf_counter() - self._start
        cut = f" of {self._all}: its {SECONDS:g} s were over" if self._done < self._all else ""
        with self._printing():
            print(f"\n{self._name}: {self._done} {what}{cut}, {seconds:.1f} s", end="", flush=True)


@pytest.fixture
def bounded(request, capsys):
    """The test's time, CLICKAWAY_TORTURE_SECONDS (60), and its voice."""
    return Bounded(request.node.name, capsys.disabled)
