"""A running mean of the net's variables: what is validated and exported, since single steps jump about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

EVERY = 5  # steps between two updates: a mean over a thousand steps needs no finer ones, and they cost time


class WeightAverage:
    """The mean of variables by name, weighting step n with decay**(age of n in steps); young means forget faster."""

    def __init__(self, variables: Mapping[str, Any], decay: float) -> None:
        """decay: 0 to 1, a step; 0 keeps the latest values only."""
        self._variables, self._decay = variables, decay
        self._means = {name: ops.copy(variable) for name, variable in variables.items()}

    def update(self, step: int) -> None:
        """Takes in the values that the variables have after that step (the first step is 1)."""
        if step % EVERY:
            return
        updates = step // EVERY
        decay = min(self._decay**EVERY, (1 + updates) / (10 + updates)) if self._decay else 0.0
        for name, variable in self._variables.items():
            self._means[name] = self._means[name] * decay + ops.convert_to_tensor(variable) * (1 - decay)

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Inside, the variables have their mean values; afterwards their own again."""
        if not self._decay:
            yield
            return
        own = {name: ops.copy(variable) for name, variable in self._variables.items()}
        try:
            for name, variable in self._variables.items():
                variable.assign(self._means[name])
            yield
        finally:
            for name, variable in self._variables.items():
                variable.assign(own[name])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The means as arrays, by name."""
        return {name: np.array(ops.convert_to_numpy(mean)) for name, mean in self._means.items()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Takes the means from arrays. Raises KeyError if one is missing."""
        self._means = {name: ops.convert_to_tensor(arrays[name]) for name in self._variables}
