"""What every benchmark here needs: time, memory, the machine's matrix-product peak, tables and plots.

On a machine that does other work too, seconds on the clock say little: beside them stand processor seconds, which
count only what the measured process itself did, over all of its threads.
"""

from __future__ import annotations

import datetime
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

PEAK_SIDE = 2048  # large enough that a product is all multiplications, small enough for a second


@dataclass(frozen=True)
class Timing:
    """The least of several runs, clock and processor apart: what is above it is others' work."""

    seconds: float
    cpu_seconds: float


def least(call: Callable[[], Any], *, budget_s: float = 5.0, at_most: int = 10) -> Timing:
    """call's Timing: repeated until budget_s is spent or at_most runs are done, at least once."""
    runs: list[tuple[float, float]] = []
    ends = time.perf_counter() + budget_s
    while not runs or (len(runs) < at_most and time.perf_counter() < ends):
        started, cpu_started = time.perf_counter(), time.process_time()
        call()
        runs.append((time.perf_counter() - started, time.process_time() - cpu_started))
    return Timing(*(min(values) for values in zip(*runs, strict=True)))


def least_in_turns(
    calls: Mapping[str, Callable[[], Any]], *, budget_s: float = 10.0, at_most: int = 10
) -> dict[str, Timing]:
    """Each call's Timing, the calls taking turns until budget_s is spent or each had at_most: what they are beside
    others at one moment, they are together.
    """
    runs: dict[str, list[Timing]] = {name: [] for name in calls}
    ends = time.perf_counter() + budget_s
    for turn in range(at_most):
        if turn and time.perf_counter() > ends:
            break
        for name, call in calls.items():
            runs[name].append(least(call, budget_s=0))
    return {
        name: Timing(min(one.seconds for one in taken), min(one.cpu_seconds for one in taken))
        for name, taken in runs.items()
    }


def matrix_peak(product: Callable[[int], Callable[[], Any]], *, budget_s: float = 3.0) -> dict[str, float]:
    """Thousand million operations a second, and a processor second, of a product of two square matrices.

    product: makes the call that multiplies two float32 matrices of that side, and waits for the result.
    """
    call = product(PEAK_SIDE)
    call()
    timing = least(call, budget_s=budget_s)
    operations = 2 * PEAK_SIDE**3 / 1e9
    return {"gflops": operations / timing.seconds, "cpu_gflops": operations / timing.cpu_seconds}


class PeakMemory:
    """How far the process's memory rose above what it was, in bytes: `with PeakMemory() as peak: ...; peak.bytes`.

    above: of what it rose above instead, resident_bytes() at some earlier time.
    bytes is None where the system is no Linux: elsewhere only the peak of the process's whole life can be had.
    """

    bytes: int | None = None

    def __init__(self, above: int | None = None):
        self._above = above

    def __enter__(self) -> PeakMemory:
        self._counts = True
        try:
            Path("/proc/self/clear_refs").write_text("5")  # proc(5): sets VmHWM back to what is used now
        except OSError:
            self._counts = False
        if self._counts and self._above is None:
            self._above = resident_bytes()
        return self

    def __exit__(self, *_: object) -> None:
        if self._counts and self._above is not None:
            self.bytes = max(0, _status_bytes("VmHWM") - self._above)


def resident_bytes() -> int | None:
    """What the process holds in memory now; None where the system is no Linux."""
    return _status_bytes("VmRSS") if Path("/proc/self/status").is_file() else None


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}")


def in_own_process(module: str, arguments: Sequence[str], *, environment: dict[str, str] | None = None) -> Any:
    """What `python -m module arguments` prints as JSON on its last line. Raises RuntimeError if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(environment or {})},
    )
    if done.returncode:
        raise RuntimeError(f"{module} {' '.join(arguments)}: {why(done)}")
    return json.loads(done.stdout.splitlines()[-1])


def fail(name: str, reason: str) -> int:
    """Prints the one line that says what is wrong. Returns the exit status."""
    print(f"{name}: {reason}", file=sys.stderr)
    return 1


def not_installed(*modules: str) -> str | None:
    """The first of these that cannot be imported; nothing is imported to find out."""
    return next((module for module in modules if importlib.util.find_spec(module) is None), None)


def parsed_size(text: str) -> tuple[int, int]:
    """(width, height) of "640x480". Raises ValueError for anything else."""
    width, _, height = text.partition("x")
    return int(width), int(height)


def command_line(module: str, arguments: Sequence[str] | None) -> str:
    """The command that is running, without the folder that its files go to."""
    words = iter(sys.argv[1:] if arguments is None else arguments)
    kept = [word for word in words if not (word == "--out" and next(words, None) is not None)]
    return " ".join(["python", "-m", module, *kept])


def why(failed: subprocess.CompletedProcess[str]) -> str:
    """What a process that failed said last, or which signal ended it."""
    if failed.returncode < 0:
        return f"it was ended by signal {-failed.returncode}, as the system does when memory runs out"
    return (failed.stderr.splitlines() or [f"exit code {failed.returncode}"])[-1]


def described(command: str, packages: Sequence[str]) -> str:
    """One line: command, date, machine, how busy it is, versions."""
    installed = {name: version for name in packages if (version := _version(name))}
    versions = ", ".join(f"{name} {version}" for name, version in installed.items())
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return (
        f"`{command}`, {datetime.date.today()}; {processor()}, {os.cpu_count()} cores, load {load} at the end; "
        f"Python {platform.python_version()}, {versions}"
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; where it is emulated it is slower than float32."""
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.is_file() and any(flag in cpuinfo.read_text() for flag in ("avx512_bf16", "amx_bf16", " bf16"))


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def write_report(out: Path | None, name: str, text: str) -> None:
    """Prints the report, and writes it as NAME.md into the folder if one is given."""
    print(text)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{name}.md").write_text(text + "\n", encoding="utf-8")


def plot(out: Path, name: str, curves: dict[str, dict[float, float]], *, x: str, y: str, title: str) -> None:
    """Writes NAME.png into the folder: a curve for each name, both axes logarithmic. Without matplotlib: a line."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print(f"{name}: no plot, matplotlib is not installed (pip install 'clickaway[dev]')", file=sys.stderr)
        return
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot(xscale="log", yscale="log", xlabel=x, ylabel=y, title=title)
    for label, points in curves.items():
        axes.plot(list(points), list(points.values()), marker="o", label=label)
    ticks = sorted({at for points in curves.values() for at in points})
    axes.set_xticks(ticks, [f"{at:g}" for at in ticks], minor=False)
    axes.set_xticks([], minor=True)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize="small")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / f"{name}.png", dpi=110)
