"""Keras is loaded without the lines that TensorFlow prints on every start, and with all others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_nothing_is_printed_and_keras_works() -> None:
    pytest.importorskip("tensorflow")
    done = run(
        "from weights.frameworks import load_keras; load_keras(); load_keras()\n"
        "import keras; print(float(keras.ops.sum(keras.ops.ones(3))))"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "3.0\n", "")


def test_what_else_is_printed_on_the_way_is_kept_and_errors_are_raised(tmp_path: Path) -> None:
    lines = "I000 cudart_stub.cc:31] no GPU\\nsomething to know\\n"
    (tmp_path / "keras.py").write_text(f"import os\nos.write(2, b'{lines}')\nraise ImportError('broken')\n")
    done = run(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from weights.frameworks import load_keras\n"
        "try: load_keras()\nexcept ImportError as error: print(error)"
    )
    assert (done.stdout, done.stderr) == ("broken\n", "something to know\n")
