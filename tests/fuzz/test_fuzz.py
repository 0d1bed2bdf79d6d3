"""The fuzzer, for CLICKAWAY_FUZZ_SECONDS (120): `python -m tests.fuzz --seconds N` goes on as long as you like."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.files import corpus
from tests.fuzz.__main__ import check

ROOT = Path(__file__).parents[2]
SECONDS = int(os.environ.get("CLICKAWAY_FUZZ_SECONDS", "120"))


@pytest.mark.filterwarnings("ignore")
def test_every_seed_of_the_fuzzer_passes():
    for whole in corpus.photos():
        if "turned" not in whole.name and "20000" not in whole.name:
            check(whole.data)


@pytest.mark.torture
@pytest.mark.timeout(SECONDS + 600)
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="needs atheris: pip install atheris")
def test_coverage_guided_fuzzing_finds_nothing(tmp_path, capsys):
    chance = str(int(time.time()))
    command = [sys.executable, "-m", "tests.fuzz", "--seconds", str(SECONDS), "--seed", chance]
    done = subprocess.run([*command, "--keep", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    said = done.stderr.splitlines()
    with capsys.disabled():
        print(f"\n{' '.join(command[1:])}: {said[-1] if said else 'nothing said'}", end="", flush=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert list(tmp_path.iterdir()) == []
