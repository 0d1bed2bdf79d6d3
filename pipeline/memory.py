"""Running out of memory: a bound that the system holds a worker process to, and errors that mean just that."""

from __future__ import annotations

import contextlib
import errno
import re
import sys
from pathlib import Path

# What nets, threads' stacks and libraries take or reserve while they work, besides the photos. Measured: 0.2 GiB for
# auto on 0.5 MP, 0.5 for Mask R-CNN R50, 4.3 for matting on 0.75 to 6 MP, for PyMatting reserves what it never touches.
_AT_WORK = 6 * 2**30
_LITTLE = 2**30  # with less left than this, a failure may come of it: decoders do not say why they fail
_FIRST_TO_GO = "500"  # of 1000; 0 is what processes begin with

# TensorFlow's and PyTorch's own errors, by their names: neither may be imported for this.
_NAMES = frozenset(("ResourceExhaustedError", "OutOfMemoryError"))
_TEXTS = re.compile(r"can't allocate memory|out of memory|bad_alloc|RESOURCE_EXHAUSTED|can't start new thread")
_OPENCV_NO_MEMORY = -4  # cv::Error::StsNoMem


def limit_photos(memory_bytes: int) -> None:
    """From here on this process may take memory_bytes more for photos, and what nets take at work; no more.

    Whatever asks for more gets a MemoryError, or its library's own error. Where the system cannot hold a process to
    that (it is Linux that can) nothing changes.
    """
    taken = _taken_bytes()
    if taken is None:
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)  # not the address space: nets reserve much that is not theirs
    bounds = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([taken + memory_bytes + _AT_WORK, *bounds]), hard))


def is_short() -> bool:
    """Whether this process has so little left of what it may take that a failure may come of it."""
    taken = _taken_bytes()
    if taken is None:
        return False
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return soft != resource.RLIM_INFINITY and soft - taken < _LITTLE


def _taken_bytes() -> int | None:
    """What the system counts against the bound; None where it does not count."""
    if sys.platform != "linux":
        return None
    found = re.search(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else None


def go_first() -> None:
    """Where the machine's memory ends, Linux ends this process before the one that started it, or the desktop."""
    with contextlib.suppress(OSError):  # another system, or one that does not allow it
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)


def ran_out(error: BaseException | None) -> bool:
    """Whether the error, or one that brought it about, says that there was no memory left, here or on the GPU."""
    while error is not None:
        if isinstance(error, MemoryError) or type(error).__name__ in _NAMES:
            return True
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return True
        if getattr(error, "code", None) == _OPENCV_NO_MEMORY and type(error).__module__ == "cv2":
            return True
        if isinstance(error, RuntimeError) and _TEXTS.search(str(error)):
            return True
        error = error.__cause__
    return False
