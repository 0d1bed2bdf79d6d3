"""What this machine has: cores, memory, GPUs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

_UNKNOWN_MEMORY = 4 * 2**30


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory_bytes() -> int:
    """What this machine, or this container, has left; 4 GiB where the system does not say."""
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return _UNKNOWN_MEMORY
    found = re.search(r"MemAvailable:\s+(\d+) kB", text)
    free = int(found[1]) * 1024 if found else _UNKNOWN_MEMORY
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text().strip()
    except OSError:
        return free
    return min(free, int(limit) - int(used)) if limit.isdigit() else free


def gpus(device: str | None) -> int:
    """How many GPUs there are to share among workers; 0 where there is no choice, or the device is one of them."""
    if device not in (None, "cuda") or "CUDA_VISIBLE_DEVICES" in os.environ:
        return 0
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return 0
    count = len(listed.stdout.splitlines())
    return count if count > 1 else 0
