"""Which photos a run keeps out of training: decided by a hash of their names, the same on every machine."""

from __future__ import annotations

import hashlib


def hash_share(name: str, salt: str) -> float:
    """A number in 0..1 that depends on the name and the salt only."""
    digest = hashlib.sha256(f"{salt}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def is_held_out(name: str, validation_fraction: float) -> bool:
    """Whether the photo of that name is for validation. More photos never move one from one side to the other."""
    return hash_share(name, "validate") < validation_fraction
