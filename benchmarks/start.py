"""`python -m benchmarks.start`: how long it takes until something happens.

`clickaway --help`; a first erase, once with Python's files out of the system's cache ("cold", as far as a user may put
them out of it, on Linux) and with them in it ("warm"); the next photo of the same run; the demo, until its page is
there. And what the time goes into: the packages that are imported, by their own seconds (`python -X importtime`).
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measure

PACKAGES = ("keras", "tensorflow", "gradio", "opencv-python", "numpy")
ROOT = Path(__file__).parent.parent
BOX = ("--box", "200,150,300,250")
ERASES = {
    "erase --box, telea": (*BOX, "--inpainter", "telea"),
    "erase --at, grabcut and telea": ("--at", "250,200", "--segmenter", "grabcut", "--inpainter", "telea"),
    "erase --at, clicknet and pconv": ("--at", "250,200", "--segmenter", "clicknet", "--inpainter", "pconv"),
}
DEMOS = {"demo, grabcut and telea": "--segmenter grabcut --inpainter telea", "demo as it comes": ""}
SHOWN = 10  # packages in the table of imports


def write_photo(file: Path) -> None:
    """A drawn photo of 640x480 with a disk at BOX's middle."""
    import cv2
    from PIL import Image

    photo = np.random.default_rng(0).normal((90, 120, 90), 6, (480, 640, 3)).clip(0, 255).astype(np.uint8)
    cv2.circle(photo, (250, 200), 40, (200, 60, 40), cv2.FILLED)
    Image.fromarray(photo).save(file, quality=92)


def command(words: Sequence[str], photo: Path) -> list[str]:
    """The command line of a row of ERASES; its result lies beside the photo."""
    return ["erase", str(photo), *words, "-o", str(photo.with_name("erased.jpg")), "--overwrite", "--offline"]


def _run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """`python words`, compiled modules kept as a user's are. Raises RuntimeError with its last line if it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=ROOT, env=environment)
    if done.returncode:
        raise RuntimeError(f"python {' '.join(words)[:60]}: {measure.why(done)}")
    return done


def timed(words: Sequence[str]) -> float:
    """Seconds that `python -m pipeline ...` takes."""
    started = time.perf_counter()
    _run(["-m", "pipeline", *words])
    return time.perf_counter() - started


def put_out_of_cache() -> bool:
    """Asks the system to forget Python's files. False where it knows no such thing."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for folder in {Path(sys.prefix, "lib"), Path(sys.base_prefix, "lib"), ROOT / "weights"}:
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):
                if path.suffix in (".py", ".pyc", ".so", ".npz", ".onnx") or ".so." in path.name:
                    descriptor = os.open(path, os.O_RDONLY)
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                    os.close(descriptor)
    return True


def second_erase(words: Sequence[str], photo: Path) -> float:
    """Seconds of the second of two photos in one process: reading, selecting, filling and saving."""
    with tempfile.TemporaryDirectory(dir=photo.parent) as folder:
        for name in ("1.jpg", "2.jpg"):
            shutil.copy(photo, Path(folder, name))
        out = Path(folder, "out")
        photos = [str(Path(folder, name)) for name in ("1.jpg", "2.jpg")]
        _run(["-m", "pipeline", "erase", *photos, *words, "--out", str(out), "--workers", "0", "--offline", "--quiet"])
        with (out / "report.csv").open(newline="", encoding="utf-8") as file:
            return float(list(csv.DictReader(file))[-1]["seconds"])


def demo_ready(arguments: Sequence[str], folder: Path) -> float:
    """Seconds until the demo's page is there."""
    from benchmarks.load import start_demo

    started = time.perf_counter()
    url, server = start_demo(arguments, folder)
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is on this machine
        with opener.open(url, timeout=60) as page:
            page.read()
        return time.perf_counter() - started
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)


def imports(words: Sequence[str]) -> Counter[str]:
    """Package -> microseconds that its modules took by themselves."""
    return packages_in(_run(["-X", "importtime", "-m", "pipeline", *words]).stderr)


def packages_in(importtime: str) -> Counter[str]:
    """As imports, of what `-X importtime` wrote."""
    taken: Counter[str] = Counter()
    for found in re.finditer(r"^import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)$", importtime, re.MULTILINE):
        taken[found[2].partition(".")[0]] += int(found[1])
    return taken


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="the least counts (default: %(default)s)")
    parser.add_argument("--erases", default=",".join(map(str, range(len(ERASES)))), metavar="N,N", help="which of them")
    parser.add_argument("--no-cold", action="store_true", help="leave the system's cache alone")
    parser.add_argument("--no-demo", action="store_true", help="leave the demo out")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where start.md goes")
    options = parser.parse_args(arguments)
    if not options.no_demo and (missing := measure.not_installed("gradio")):
        return measure.fail("start", f"{missing} is not installed: run `make install`, or give --no-demo")
    erases = {list(ERASES)[int(number)]: list(ERASES.values())[int(number)] for number in options.erases.split(",")}
    try:
        with tempfile.TemporaryDirectory(prefix="clickaway-start-") as folder:
            text = report(Path(folder), erases, options, arguments)
    except RuntimeError as error:
        return measure.fail("start", str(error))
    measure.write_report(options.out, "start", text)
    return 0


def report(folder: Path, erases: dict[str, Any], options: argparse.Namespace, arguments: Sequence[str] | None) -> str:
    photo = folder / "photo.jpg"
    write_photo(photo)
    for words in (["--help"], *(command(one, photo) for one in erases.values())):
        timed(words)  # compiles what was never imported before
    rows = [["--help", "-", f"{min(timed(['--help']) for _ in range(options.runs)):.2f}", "-"]]
    spent = {"--help": imports(["--help"])}
    for name, words in erases.items():
        cold = f"{timed(command(words, photo)):.2f}" if not options.no_cold and put_out_of_cache() else "-"
        warm = min(timed(command(words, photo)) for _ in range(options.runs))
        rows.append([name, cold, f"{warm:.2f}", f"{second_erase(words, photo):.2f}"])
        spent[name] = imports(command(words, photo))
    if not options.no_demo:
        for name, demo_options in DEMOS.items():
            ready = min(demo_ready(demo_options.split(), folder) for _ in range(options.runs))
            rows.append([f"{name}: page ready", "-", f"{ready:.2f}", "-"])
    most = []
    for name, taken in spent.items():
        packages = ", ".join(
            f"{package} {microseconds / 1e6:.2f}" for package, microseconds in taken.most_common(SHOWN)
        )
        most.append([name, f"{sum(taken.values()) / 1e6:.2f}", packages])
    return "\n\n".join(
        [
            measure.described(measure.command_line("benchmarks.start", arguments), PACKAGES),
            measure.markdown(["command", "cold, s", "warm, s", "the next photo, s"], rows),
            "Imports, one run of each under `-X importtime`, which slows them down:",
            measure.markdown(["command", "all imports, s", "packages by the seconds of their own modules"], most),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
