"""The fuzzer, for two minutes: `python -m tests.fuzz --seconds N` goes on for as long as you like."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.files import corpus
from tests.fuzz.__main__ import check

ROOT = Path(__file__).parents[2]


@pytest.mark.filterwarnings("ignore")
def test_every_seed_of_the_fuzzer_passes():
    for whole in corpus.photos():
        if "turned" not in whole.name and "20000" not in whole.name:
            check(whole.data)


@pytest.mark.torture
@pytest.mark.timeout(900)
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="needs atheris: pip install atheris")
def test_two_minutes_of_coverage_guided_fuzzing_find_nothing(tmp_path):
    command = [sys.executable, "-m", "tests.fuzz", "--seconds", "120", "--seed", str(int(time.time()))]
    done = subprocess.run([*command, "--keep", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert list(tmp_path.iterdir()) == []
