"""Loads the files that it is given, in a process of its own, and says of each what came of it, in how much memory.

    python -m tests.files.watched FILE ...

A line of JSON for each: "picture" (height and width) or "line" (the message), "trace" where neither came; "kib" that
the process took more at its peak than before, "seconds". Nothing else may be printed.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any


def main() -> None:
    warnings.simplefilter("ignore")  # as the command does
    from pipeline import image_io

    for name in sys.argv[1:2]:  # so that the libraries' own memory is not the first file's
        image_io.load(name)
    for name in sys.argv[1:]:
        print(json.dumps({"file": name, **loaded(Path(name))}), flush=True)


def loaded(path: Path) -> dict[str, Any]:
    from pipeline import image_io
    from pipeline.photo import PhotoError

    before, start = _status("VmRSS"), time.perf_counter()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    said: dict[str, Any]
    try:
        said = {"picture": image_io.load(path).hw}
    except PhotoError as error:
        said = {"line": str(error)}
    except Exception as error:
        said = {"trace": repr(error)}
    return {**said, "kib": _status("VmHWM") - before, "seconds": time.perf_counter() - start}


def _status(name: str) -> int:
    text = Path("/proc/self/status").read_text()
    return int(text.split(f"{name}:")[1].split()[0])


if __name__ == "__main__":
    main()
