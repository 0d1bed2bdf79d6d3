"""Writes requirements.lock from requirements.txt: exact versions with hashes, for every platform.

torch has a version and no hashes: its CPU and CUDA builds share a version.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCH = "torch==2.13.0"
MMCV = "mmcv==2.1.0"
# What torch needs besides its CUDA libraries, which its own metadata pins.
NEEDED_BY_TORCH = ("filelock", "fsspec", "jinja2", "networkx", "sympy", "typing-extensions")
# The set that was measured to live together; without a pin here the newest that fits is taken.
KEPT = ("tensorflow==2.21.0", "keras==3.15.1", "gradio==6.31.0", "numpy==2.4.6", "opencv-python==5.0.0.93")


def main() -> None:
    direct = (ROOT / "requirements.txt").read_text()
    hashed = re.sub(r"^(torch|mmcv)\b.*\n", "", direct, flags=re.MULTILINE)
    entries = [TORCH, compiled(MMCV, "--no-deps"), compiled("\n".join([hashed, *NEEDED_BY_TORCH, *KEPT]))]
    head = "# Written by `make lock`; installed by `make install` (tools/install.py says why in three steps).\n"
    (ROOT / "requirements.lock").write_text(head + "\n".join(entry.strip() for entry in entries) + "\n")


def compiled(requirements: str, *options: str) -> str:
    """The lock entries of those requirements and, without --no-deps, of all that they need."""
    command = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"]
    with tempfile.TemporaryDirectory() as folder:
        wanted, locked = Path(folder) / "wanted.txt", Path(folder) / "locked.txt"
        wanted.write_text(requirements)
        files = [str(wanted), "--output-file", str(locked)]
        subprocess.run([sys.executable, "-m", *command, "--no-header", "--no-annotate", *options, *files], check=True)
        return locked.read_text()


if __name__ == "__main__":
    main()
