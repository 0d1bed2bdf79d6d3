"""Several threads' calls of one net in one pass: what comes while a pass runs waits, and goes together in the next.

Nobody waits for others to come: a thread that is alone is served at once, as by the net itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import optree
from numpy.typing import NDArray

Structure = Any  # arrays, or dicts and lists of them


class SharedPasses:
    """A net for several threads: `net(arrays)` gives what the net gives, as NumPy arrays.

    net: a function of a structure of arrays (N, ...) that gives a structure of arrays (N, ...), each of the N treated
        alone. It is never called by two threads at once.
    most: of the N in a pass, unless one call alone brings more.
    """

    def __init__(self, net: Callable[[Structure], Structure], *, most: int):
        if most < 1:
            raise ValueError(f"most must be 1 or more, got {most}")
        self._net, self._most = net, most
        self._turn = threading.Condition()
        self._waiting: list[_Call] = []
        self._is_running = False

    def __call__(self, arrays: Structure) -> Structure:
        """What the net gives for these arrays. What it raises comes to every thread whose arrays were in the pass."""
        call = _Call(arrays)
        with self._turn:
            self._waiting.append(call)
            self._turn.wait_for(lambda: call.is_done or not self._is_running)
            if call.is_done:
                return call.answer()
            self._is_running = True
            together = self._taken_with(call)
        try:
            _run(self._net, together)
        finally:
            with self._turn:
                self._is_running = False
                self._turn.notify_all()
        return call.answer()

    def _taken_with(self, call: _Call) -> list[_Call]:
        """The call, and those waiting that fit into a pass with it, in the order in which they came."""
        self._waiting.remove(call)
        together, count = [call], call.count
        for other in list(self._waiting):
            if other.shapes == call.shapes and count + other.count <= self._most:
                self._waiting.remove(other)
                together.append(other)
                count += other.count
        return together


class _Call:
    """One thread's arrays, and what becomes of them."""

    def __init__(self, arrays: Structure):
        self.arrays = arrays
        leaves = [np.asarray(leaf) for leaf in optree.tree_leaves(arrays)]
        self.count = len(leaves[0])
        self.shapes = [(leaf.shape[1:], leaf.dtype) for leaf in leaves]
        self.outputs: Structure = None
        self.error: BaseException | None = None
        self.is_done = False

    def answer(self) -> Structure:
        if self.error is not None:
            raise self.error
        return self.outputs


def _run(net: Callable[[Structure], Structure], calls: list[_Call]) -> None:
    """Gives each of the calls its outputs, or the error that the net raised."""

    def joined(*parts: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    try:
        inputs = optree.tree_map(joined, *(call.arrays for call in calls))
        outputs = optree.tree_map(np.asarray, net(inputs))
        start = 0
        for call in calls:
            rows = slice(start, start + call.count)
            call.outputs = optree.tree_map(lambda array, rows=rows: array[rows], outputs)
            start = rows.stop
    except BaseException as error:
        for call in calls:
            call.error = error
    finally:
        for call in calls:
            call.is_done = True
