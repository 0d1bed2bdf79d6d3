import subprocess
import sys

import numpy as np
import pytest

from benchmarks import measure


def test_a_call_is_repeated_until_the_budget_is_spent_but_at_least_once():
    calls = []
    timing = measure.least(lambda: calls.append(1), budget_s=60, at_most=3)
    assert len(calls) == 3
    assert timing.cpu_seconds >= 0
    assert timing.seconds > 0
    measure.least(lambda: calls.append(1), budget_s=0)
    assert len(calls) == 4


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
def test_peak_memory_sees_what_was_freed_again():
    with measure.PeakMemory() as peak:
        np.ones(64 * 2**20, np.uint8)
    assert 60 * 2**20 < peak.bytes < 200 * 2**20
    with measure.PeakMemory() as nothing:
        pass
    assert nothing.bytes < 30 * 2**20


def test_a_table_is_markdown():
    assert measure.markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |"


def test_what_is_not_installed_has_no_version():
    assert "numpy" in measure.described("x", ["numpy", "no-such-package"])


def test_a_plot_is_written_where_matplotlib_is_here(tmp_path):
    pytest.importorskip("matplotlib")
    measure.plot(tmp_path / "new", "erase", {"telea": {1.0: 0.1, 12.0: 0.2}}, x="MP", y="s", title="t")
    assert (tmp_path / "new" / "erase.png").read_bytes().startswith(b"\x89PNG")


def test_a_process_that_fails_is_one_error_with_its_last_line():
    with pytest.raises(RuntimeError, match=r"benchmarks.erase --shares none: .*could not convert"):
        measure.in_own_process("benchmarks.erase", ["--shares", "none"])


def test_a_process_that_was_killed_is_told_by_its_signal():
    code = "import os, sys; print('warned', file=sys.stderr); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert measure.why(done).startswith("it was ended by signal 9")
