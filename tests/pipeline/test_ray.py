"""The Ray runner on two nodes, both on this machine: the same results, nothing lost, nothing done twice."""

from __future__ import annotations

import csv
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.batch import Here
from pipeline.effects import Erase
from pipeline.inputs import Task
from pipeline.job import Job
from pipeline.models import Models
from pipeline.selection import Pick

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),  # Ray starts a dozen processes
    # Not importorskip: Ray reads its environment when it is imported, and the cluster's fixture sets that first.
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra clickaway[ray]"),
]
ROOT = Path(__file__).parents[2]
PICK = Pick(boxes=((20, 20, 44, 44),))


@pytest.fixture(scope="module")
def cluster():
    """HOST:PORT of a cluster of two nodes with a core each, on loopback, and a folder of modules that they find."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tempfile.mkdtemp(prefix="ray-")  # not pytest's: the paths of Ray's sockets must be short
    # A cluster of its own, which no other on this machine can be mistaken for.
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    modules = Path(folder, "modules")
    modules.mkdir()
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{modules}"}
    ray = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1", "--disable-usage-stats"]
    ray += ["--node-ip-address=127.0.0.1", f"--object-store-memory={100 * 2**20}"]
    head = [*ray, "--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}"]
    nodes = []
    try:
        for command in (head, [*ray, f"--address=127.0.0.1:{port}"]):
            log = Path(folder, f"node-{len(nodes)}.log")
            with log.open("wb") as file:
                nodes.append(subprocess.Popen(command, env=environment, stdout=file, stderr=file))
            _wait_for(nodes[-1], log)
        yield f"127.0.0.1:{port}", modules
    finally:
        for node in reversed(nodes):
            node.terminate()  # --block: it ends what it started
        for node in nodes:
            node.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)
        del os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"]


def _wait_for(node: subprocess.Popen, log: Path) -> None:
    while "runtime started" not in log.read_text(errors="replace"):
        if node.poll() is not None:
            pytest.fail(f"ray start ended: {log.read_text(errors='replace')}")
        time.sleep(0.2)


def test_a_batch_on_two_nodes_gives_the_bytes_and_the_report_of_one_process(cluster, draw, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(6):
        draw(tmp_path / "photos" / f"{number}" / "a.png", (10 * number, 200, 90))
    (tmp_path / "photos" / "bad.png").write_bytes(b"no photo")
    erase = ["erase", "photos", "--box", "20,20,44,44", "--inpainter", "telea"]
    assert main([*erase, "--out", "here", "--workers", "0"]) == 1
    assert main([*erase, "--out", "there", "--engine", "ray", "--address", cluster[0]]) == 1
    for result in Path("here").rglob("*.png"):
        assert Path("there", result.relative_to("here")).read_bytes() == result.read_bytes()
    here, there = _report("here"), _report("there")
    assert [row["status"] for row in there] == ["failed"] + ["done"] * 6  # bad.png comes before the folders
    assert here == there


def _report(folder: str) -> list[dict[str, str]]:
    with Path(folder, "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["seconds"]
        row["output"] = row["output"].removeprefix(folder)
        row["error"] = row["error"].replace(str(Path.cwd()) + "/", "")
    return rows


def test_a_worker_that_is_killed_in_the_middle_loses_no_photo(cluster, draw, tmp_path, crashing):
    from pipeline.ray import RayWorkers

    address, modules = cluster
    shutil.copy(crashing.__file__, modules)
    colors = [(10 * number, 200, 90) for number in range(6)]
    colors[2] = (255, 0, 255)  # kills its worker the first time
    colors[4] = (255, 0, 0)  # kills its worker every time
    tasks = [
        Task(draw(tmp_path / f"{number}.png", color), tmp_path / "out" / f"{number}.png", pick=PICK)
        for number, color in enumerate(colors)
    ]
    with RayWorkers(Job(Erase(), crashing.CrashingModels()), PICK, address=address, count=2, gpus=0) as workers:
        outcomes = list(workers.run(tasks))
    assert (modules / "killed-once").exists()
    assert sorted(outcome.source for outcome in outcomes) == [task.source for task in tasks]  # each once
    failed = [outcome for outcome in outcomes if outcome.error]
    assert [outcome.source.name for outcome in failed] == ["4.png"]
    assert failed[0].error == f"{tmp_path / '4.png'}: its Ray worker died, 3 times"
    with Here(Job(Erase(), Models(inpainter="telea")), PICK) as runner:
        for task, _ in zip(tasks, runner.run(_elsewhere(tasks)), strict=True):
            if task.source.name != "4.png":
                assert task.target.read_bytes() == _elsewhere([task])[0].target.read_bytes()


def _elsewhere(tasks: list[Task]) -> list[Task]:
    return [Task(task.source, task.target.parent / "here" / task.target.name, pick=task.pick) for task in tasks]
