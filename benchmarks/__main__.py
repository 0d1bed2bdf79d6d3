"""`python -m benchmarks`: every benchmark after the other, tables and plots into a folder.

DIR/tables.md holds all tables as README.md here shows them; --into FILE puts them into that file, in place of what
follows its line that begins with "<!-- tables".
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

# Name -> its heading, and its options beyond what it does by itself: together they end in 15 minutes on 2 idle cores.
BENCHMARKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "pconv": ("One pass of the PConv net", ("--budget", "4")),
    "erase": ("Erasing by photo and object", ("--budget", "0.5")),
    "click": ("Click to answer", ()),
    "mask_rcnn": ("Mask R-CNN", ("--budget", "6")),
    "batch": ("A folder of photos", ("--photos", "10")),
    "start": ("Start", ("--runs", "1")),
    "training": ("Training", ()),
}
LIMIT_S = 600  # for one of them: a benchmark that hangs must not keep the others from being read
MARK = "<!-- tables"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("out/bench"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--only", default=",".join(BENCHMARKS), metavar="NAMES", help="separated by commas")
    parser.add_argument("--into", type=Path, metavar="FILE", help="a Markdown file to put the tables into")
    options = parser.parse_args(arguments)
    names = options.only.split(",")
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"no benchmark is called {unknown[0]!r}: choose of {', '.join(BENCHMARKS)}")
    if options.into is not None and MARK not in _text(options.into):
        parser.error(f"{options.into} has no line that begins with {MARK!r}: put one where the tables are to go")
    failed, sections, began = [], [], time.monotonic()
    for name in names:
        heading, usual = BENCHMARKS[name]
        print(f"## {heading}\n", flush=True)
        started = time.monotonic()
        is_done = _run(name, [*usual, "--out", str(options.out.resolve())])
        print(f"\n({name}: {time.monotonic() - started:.0f} s)\n", flush=True)
        if is_done:
            sections.append(f"## {heading}\n\n{(options.out / f'{name}.md').read_text(encoding='utf-8').strip()}\n")
        else:
            failed.append(name)
    minutes = (time.monotonic() - began) / 60
    said = (
        f"`python -m benchmarks`, {datetime.date.today()}: {len(sections)} of {len(names)} in {minutes:.1f} minutes.\n"
    )
    options.out.mkdir(parents=True, exist_ok=True)
    tables = "\n".join([said, *sections])
    (options.out / "tables.md").write_text(tables, encoding="utf-8")
    print(f"bench: {len(sections)} of {len(names)} in {minutes:.1f} minutes: {options.out / 'tables.md'}", flush=True)
    if failed:
        print(f"bench: failed: {', '.join(failed)}", file=sys.stderr)
        return 1
    if options.into is not None:
        put_into(options.into, tables)
    return 0


def put_into(file: Path, tables: str) -> None:
    """Writes the tables into the Markdown file, in place of what follows its line with MARK."""
    text = _text(file)
    end = text.index("\n", text.index(MARK)) + 1
    file.write_text(f"{text[:end]}\n{tables}", encoding="utf-8")


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _run(name: str, words: Sequence[str]) -> bool:
    """Whether the benchmark did its work; what it prints is seen at once."""
    # In a session of its own: what it has started ends with it, and does not disturb the next one.
    process = subprocess.Popen([sys.executable, "-m", f"benchmarks.{name}", *words], start_new_session=True)
    try:
        return process.wait(LIMIT_S) == 0
    except subprocess.TimeoutExpired:
        print(f"{name}: took longer than {LIMIT_S} s, stopped", file=sys.stderr)
        return False
    finally:
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):  # all of them have ended
                os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
