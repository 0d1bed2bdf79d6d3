"""How much strangers may use. Every number has a flag of `python -m demo`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_UNITS = {"": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30}


@dataclass(frozen=True)
class Limits:
    """Defaults for a small machine that anybody may open. An address is a visitor: there is no better name for one."""

    file_bytes: int = 50 * 2**20  # of one uploaded photo
    requests_a_minute: int = 240  # of one address; 0: any number. A hasty person makes about 60
    queue: int = 64  # requests that wait, of all visitors together
    queue_of_one: int = 16  # of one address
    memory_bytes: int = 4 * 2**30  # photos and undo steps of all visitors; who was away longest loses his first
    disk_bytes: int = 4 * 2**30  # uploads and results of all visitors
    kept_seconds: int = 3600  # sessions and files of visitors who do nothing
    strip_metadata: bool = True  # downloads are without place, time, camera and names


def size_in_bytes(text: str) -> int:
    """The number of bytes that a size such as 50mb, 1.5gb or 4096 names. Raises ValueError if it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]b|)", text.strip().lower())
    if not found or float(found[1]) * _UNITS[found[2]] < 1:
        raise ValueError(f"expected a size such as 50mb or 1.5gb, got {text!r}")
    return int(float(found[1]) * _UNITS[found[2]])
