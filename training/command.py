"""How a trainer's command ends: whole, stopped by a signal after the step in progress, or with one line."""

from __future__ import annotations

import signal
import sys
from typing import Protocol


class TrainingStopped(RuntimeError):
    """The run cannot go on. The message says at which step, why, and where the last checkpoint is."""


class Stoppable(Protocol):
    """A run that saves its state and ends after the step in progress once stop_requested is set."""

    stop_requested: bool

    def run(self) -> None:
        """Trains to the end. Raises TrainingStopped."""


def run_to_end(run: Stoppable, program: str) -> int:
    """Runs it; Ctrl+C and SIGTERM ask it to stop. Returns the exit status."""

    def stop(*_: object) -> None:
        run.stop_requested = True

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    try:
        run.run()
    except TrainingStopped as error:
        return fail(program, error)
    return 0


def fail(program: str, error: Exception) -> int:
    """Prints the one line that says what is wrong. Returns the exit status."""
    print(f"{program}: {error}", file=sys.stderr)
    return 1
