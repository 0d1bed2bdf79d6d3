"""Makes .venv with the exact versions of requirements.lock. Needs Python 3.11 or 3.12 and, once, a C++ compiler.

Three steps, because no single pip call can do it: everything that the lock has hashes for; torch, whose CPU and CUDA
builds share a version and so have no common hash; mmcv, which must be compiled after torch and without build
isolation (with it, mmcv installs without its compiled ops and fails only when mmdet imports them). The built mmcv wheel
is kept in the user's cache folder, so that a second environment takes seconds.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
MADE_HERE = ("torch", "mmcv")  # what the lock has no hashes for, or cannot install from


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="the environment to make")
    parser.add_argument("--torch-args", default="", help='pip options for torch alone, such as "--index-url URL"')
    options = parser.parse_args()

    if not (3, 11) <= sys.version_info[:2] < (3, 13):
        fail(f"Clickaway needs Python 3.11 or 3.12, this is {sys.version.split()[0]}: run make PYTHON=python3.11")
    stamp = options.venv / "installed-from"
    fingerprint = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == fingerprint:
        return
    pins = read_lock(LOCK)
    python = options.venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    started = time.monotonic()
    if not python.exists():
        say(1, f"making {options.venv.name}")
        run([sys.executable, "-m", "venv", str(options.venv)], "the venv module failed: install Python's venv package")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]

    hashed = "\n".join(entry for name, entries in pins.items() if name not in MADE_HERE for entry in entries)
    say(2, f"installing {len(pins) - len(MADE_HERE)} packages of {LOCK.name}")
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder) / "hashed.txt"
        listing.write_text(hashed)
        run([*pip, "install", "--no-deps", "--require-hashes", "-r", str(listing)], "pip could not install them")

    (torch,), (mmcv,) = pins["torch"], pins["mmcv"]
    say(3, f"installing {torch}")
    run([*pip, "install", *shlex.split(options.torch_args), torch], "pip could not install torch")

    say(4, f"installing {mmcv.split()[0]}")
    run(
        [*pip, "install", "--no-deps", "--force-reinstall", str(mmcv_wheel(python, pip, mmcv))],
        "pip could not install mmcv",
    )
    run([str(python), "-c", "import mmcv.ops"], "mmcv's compiled ops do not load: delete the kept wheel and try again")
    run([*pip, "check"], "the versions do not fit together: report this with your platform")

    say(5, "compiling the loops of patch_match")
    run(
        [str(python.absolute()), "-m", "tools.compile_loops"],
        "a first erase failed: the lines above say why",
        directory=ROOT,
    )
    stamp.write_text(fingerprint)
    print(f"ready after {time.monotonic() - started:.0f} s", flush=True)


def read_lock(path: Path) -> dict[str, list[str]]:
    """Package name -> its entries (version, marker, hashes) in the lock: one for each kind of platform."""
    entries: dict[str, list[str]] = {}
    for line in path.read_text().replace("\\\n", " ").splitlines():
        if line.strip() and not line.startswith("#"):
            entries.setdefault(line.split("==")[0], []).append(line.strip())
    return entries


def mmcv_wheel(python: Path, pip: list[str], pin: str) -> Path:
    """The wheel of mmcv for this Python and this torch: the kept one, or one compiled now and kept."""
    probe = "import torch, sysconfig; print(torch.__version__, sysconfig.get_platform())"
    torch_version, platform = subprocess.check_output([str(python), "-c", probe], text=True).split()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clickaway" / "wheels"
    key = f"torch-{torch_version}-py{sys.version_info.major}{sys.version_info.minor}-{platform}"
    version = pin.split()[0].replace("==", "-")
    kept = sorted((cache / key).glob(f"{version}-*.whl"))
    if kept:
        print(f"      the kept wheel {kept[0]}", flush=True)
        return kept[0]
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler) is None and shutil.which("g++") is None:
        fail("mmcv is compiled here once and no C++ compiler was found: install g++ (Debian: apt-get install g++)")
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        fail("mmcv is compiled here once and Python.h was not found: install Python's headers (Debian: python3-dev)")
    print("      compiling its ops, about 8 minutes on 2 cores; the wheel is kept for the next time", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder) / "mmcv.txt"
        listing.write_text(pin)
        # pip's own cache would give a wheel back that was built against another torch.
        options = ["--no-deps", "--no-build-isolation", "--no-cache-dir", "--require-hashes"]
        command = [*pip, "wheel", *options, "-w", folder, "-r", str(listing)]
        # The CPU ops suffice unless the caller asks for CUDA ones with FORCE_CUDA=1.
        environment = {"FORCE_CUDA": "0", **os.environ, "MMCV_WITH_OPS": "1"}
        with ticking():
            run(command, "mmcv did not compile: the lines above say why", environment=environment)
        built = next(Path(folder).glob("mmcv-*.whl"))
        (cache / key).mkdir(parents=True, exist_ok=True)
        whole = cache / key / built.name
        shutil.copyfile(built, whole.with_suffix(".partial"))
        whole.with_suffix(".partial").replace(whole)
    return whole


class ticking:
    """Prints the minutes that pass while its block runs, so that a long quiet step is not taken for a dead one."""

    def __enter__(self) -> None:
        self._done = threading.Event()
        threading.Thread(target=self._tick, args=(time.monotonic(),), daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def _tick(self, started: float) -> None:
        while not self._done.wait(60):
            print(f"      still compiling, {(time.monotonic() - started) / 60:.0f} min", flush=True)


def run(
    command: list[str], failure: str, environment: dict[str, str] | None = None, directory: Path | None = None
) -> None:
    if subprocess.run(command, env=environment, cwd=directory, check=False).returncode != 0:
        fail(failure)


def say(step: int, what: str) -> None:
    print(f"[{step}/5] {what}", flush=True)


def fail(message: str) -> None:
    sys.exit(f"install: {message}")


if __name__ == "__main__":
    main()
