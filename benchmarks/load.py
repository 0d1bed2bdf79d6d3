"""`python -m benchmarks.load`: many visitors at once, each checking that what it gets is its own.

    python -m benchmarks.load --minutes 10 --out out/load
    python -m benchmarks.load --minutes 2 --demo "--segmenter clicknet --inpainter auto"

Starts the demo in a process of its own, sends it programs (gradio_client), real headless browsers and visitors who
leave in the middle, and watches the server: memory, threads, files and bytes in the visitors' folder. Writes load.md
and load.png. Exit code 1 if anybody saw another's photo, click or result, if there was an error other than a polite
refusal, or if a photo was left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import measure
from benchmarks.visitors import Log, OwnPhoto, browser, leaver, program

DEMO = "--segmenter grabcut --inpainter telea"
WARM_UP = 0.25  # of the time: models, caches and arenas are being filled


@dataclass(frozen=True)
class Sample:
    """The server at a moment."""

    minutes: float
    resident_mib: float
    threads: int
    files: int
    disk_mib: float


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    log, samples = Log(), []
    with tempfile.TemporaryDirectory(prefix="clickaway-load-") as folder:
        server_folder = Path(folder, "server")
        server_folder.mkdir()
        url, server = start_demo(shlex.split(options.demo), server_folder)
        try:
            until = time.monotonic() + 60 * options.minutes
            threads = send(url, options, Path(folder, "visitors"), log, until)
            started = time.monotonic()
            while any(thread.is_alive() for thread in threads):
                if server.poll() is not None:
                    log.errors.append(f"the server ended with {server.returncode}")
                    break
                samples.append(sample(server.pid, server_folder, (time.monotonic() - started) / 60))
                time.sleep(options.every)
            time.sleep(options.settle)
            if server.poll() is None:
                samples.append(sample(server.pid, server_folder, (time.monotonic() - started) / 60))
            left_after_visits = photos_in(server_folder)
        finally:
            server.send_signal(signal.SIGTERM)
            output = server.communicate(timeout=60)[0]
    stopped = [line for line in output.splitlines() if line.startswith(("Traceback", "ERROR"))]
    log.errors += [f"the server's log: {line}" for line in stopped]
    text = report(options, log, samples, left_after_visits)
    measure.write_report(options.out, "load", text)
    draw(options.out, samples)
    return 1 if log.errors or log.mix_ups or left_after_visits else 0


def start_demo(arguments: Sequence[str], folder: Path) -> tuple[str, subprocess.Popen[str]]:
    """The demo on a free port with its temporary files below that folder: its address and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "demo", "--no-browser", "--port", str(port), *arguments],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert server.stdout is not None
    line = server.stdout.readline()
    if "Clickaway is on" not in line:
        raise RuntimeError(f"the demo did not start: {line}{server.communicate(timeout=30)[0]}")
    return f"http://127.0.0.1:{port}", server


def send(url: str, options: argparse.Namespace, folder: Path, log: Log, until: float) -> list[threading.Thread]:
    """Sends all visitors, each in a thread of its own that ends soon after that time.monotonic()."""
    visits = [program] * options.visitors + [leaver] * options.leavers
    visits += [partial(browser, executable=options.chromium)] * options.browsers
    threads = []
    for number, visit in enumerate(visits):
        arguments = (url, OwnPhoto.of(number), folder / str(number), log, until)
        thread = threading.Thread(target=_survives, args=(visit, arguments, log), daemon=True)
        thread.start()
        threads.append(thread)
    return threads


def _survives(visit: Callable[..., None], arguments: tuple[object, ...], log: Log) -> None:
    try:
        visit(*arguments)
    except Exception as error:  # a visitor that falls over is an error of the run, not the end of it
        log.errors.append(f"a visitor: {type(error).__name__}: {error}".splitlines()[0])


def sample(pid: int, folder: Path, minutes: float) -> Sample:
    """The server now. Needs Linux's /proc."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    sizes = []
    for path in _files_below(folder):
        with contextlib.suppress(FileNotFoundError):  # deleted since it was listed: what this is to see
            sizes.append(path.stat().st_size)
    return Sample(
        minutes, int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"]), len(sizes), sum(sizes) / 2**20
    )


def photos_in(folder: Path) -> list[str]:
    """The visitors' files that are still there; the page's own thumbnails are none."""
    return sorted(str(path.relative_to(folder)) for path in _files_below(folder) if path.suffix == ".png")


def _files_below(folder: Path) -> list[Path]:
    return [Path(inside, name) for inside, _, names in os.walk(folder) for name in names]


def report(options: argparse.Namespace, log: Log, samples: Sequence[Sample], left: Sequence[str]) -> str:
    """What happened, in Markdown."""
    warm = [one for one in samples if one.minutes >= WARM_UP * options.minutes] or list(samples)
    if not warm:
        return "\n".join(["The server was never seen alive.", *(f"- {line}" for line in log.errors[:30])])
    slope = np.polyfit([one.minutes for one in warm], [one.resident_mib for one in warm], 1)[0] if warm[1:] else 0.0
    rows = [
        [kind, str(len(taken)), f"{np.median(taken):.2f}", f"{np.percentile(taken, 95):.2f}", str(log.polite[kind])]
        for kind, taken in sorted(log.seconds.items())
    ]
    memory = [
        ["after the warm-up", f"{warm[0].minutes:.1f}", *_cells(warm[0])],
        [
            "largest",
            f"{max(warm, key=lambda one: one.resident_mib).minutes:.1f}",
            *_cells(max(warm, key=lambda one: one.resident_mib)),
        ],
        ["at the end, all gone", f"{warm[-1].minutes:.1f}", *_cells(warm[-1])],
    ]
    lines = [
        f"{options.visitors} programs, {options.browsers} browsers and {options.leavers} who leave early, "
        f"{options.minutes:g} minutes, demo with `{options.demo}`",
        "",
        measure.markdown(["what", "done", "median s", "95 % s", "refused politely"], rows),
        "",
        measure.markdown(["server", "minute", "memory MiB", "threads", "files", "disk MiB"], memory),
        "",
        f"Memory after the warm-up: {slope:+.2f} MiB a minute. Left in the middle: {log.left}.",
        f"Mixed up: {len(log.mix_ups)}. Errors: {len(log.errors)}. Photos left behind: {len(left)}.",
        *(f"- {line}" for line in [*log.mix_ups, *log.errors, *left][:30]),
    ]
    return "\n".join(lines)


def _cells(one: Sample) -> list[str]:
    return [f"{one.resident_mib:.0f}", str(one.threads), str(one.files), f"{one.disk_mib:.1f}"]


def draw(out: Path, samples: Sequence[Sample]) -> None:
    """Writes load.png: memory and files over time. Without matplotlib nothing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("load: no plot, matplotlib is not installed (pip install 'clickaway[dev]')", file=sys.stderr)
        return
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    minutes = [one.minutes for one in samples]
    above.plot(minutes, [one.resident_mib for one in samples])
    above.set(ylabel="memory, MiB", ylim=(0, None), title="The demo's server under load")
    below.plot(minutes, [one.files for one in samples], color="tab:orange")
    below.set(xlabel="minutes", ylabel="files", ylim=(0, None))
    for axes in (above, below):
        axes.grid(alpha=0.3)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "load.png", dpi=110)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--minutes", type=float, default=10.0, help="default: %(default)s")
    add("--visitors", type=int, default=20, help="programs at once (default: %(default)s)")
    add("--browsers", type=int, default=3, help="real browsers at once (default: %(default)s)")
    add("--leavers", type=int, default=2, help="who leave in the middle (default: %(default)s)")
    add("--demo", default=DEMO, metavar="OPTIONS", help="of `python -m demo` (default: %(default)s)")
    add(
        "--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"), help="default: the one in PATH"
    )
    add("--every", type=float, default=2.0, metavar="S", help="seconds between two looks (default: %(default)s)")
    add("--settle", type=float, default=45.0, metavar="S", help="wait after the last visitor (default: %(default)s)")
    add("--out", type=Path, default=Path("out/load"), metavar="DIR", help="default: %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
