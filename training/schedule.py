"""How a learning rate changes over a run."""

from __future__ import annotations

import math

DECAYS = ("constant", "cosine", "steps")


def rate_at(step: int, *, rate: float, decay: str, length: int, warmup_steps: int = 0) -> float:
    """The rate of that step, 0 and up, of a phase of that many steps: grown from 0 over warmup_steps, then by decay.

    constant: stays; cosine: falls as half a cosine to a hundredth; steps: a tenth after two thirds, then a hundredth
    in the last ninth. Raises ValueError for another word.
    """
    if decay not in DECAYS:
        raise ValueError(f"no decay is called {decay!r}: choose one of {', '.join(DECAYS)}")
    done = min(1.0, step / length)
    if decay == "cosine":
        rate *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
    elif decay == "steps":
        rate *= 1.0 if done < 2 / 3 else 0.1 if done < 8 / 9 else 0.01
    return rate * min(1.0, (step + 1) / warmup_steps) if warmup_steps else rate
