"""`python -m benchmarks`: every benchmark after the other, tables and plots into a folder."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

BENCHMARKS = ("pconv", "erase", "click")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/bench"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--only", default=",".join(BENCHMARKS), metavar="NAMES", help="separated by commas")
    options = parser.parse_args(arguments)
    names = options.only.split(",")
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"no benchmark is called {unknown[0]!r}: choose of {', '.join(BENCHMARKS)}")
    failed = []
    for name in names:
        started = time.monotonic()
        print(f"## {name}\n", flush=True)
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", "--out", str(options.out.resolve())])
        print(f"\n({name}: {time.monotonic() - started:.0f} s)\n", flush=True)
        failed += [name] if done.returncode else []
    if failed:
        print(f"bench: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
