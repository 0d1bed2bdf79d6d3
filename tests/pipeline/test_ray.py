"""The Ray runner on two nodes, both on this machine: the same results, nothing lost, nothing done twice."""

from __future__ import annotations

import contextlib
import csv
import importlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipeline import batch
from pipeline.__main__ import main
from pipeline.batch import Here
from pipeline.effects import Erase
from pipeline.inputs import Task, plan
from pipeline.job import Job
from pipeline.journal import Journal
from pipeline.models import Models
from pipeline.report import Reporter, write_report
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
    port = _free_port()
    folder = tempfile.mkdtemp(prefix="ray-")  # not pytest's: the paths of Ray's sockets must be short
    # A cluster of its own, which no other on this machine can be mistaken for.
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    modules = Path(folder, "modules")
    modules.mkdir()
    head = ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}"]
    nodes = []
    try:
        for options in (head, [f"--address=127.0.0.1:{port}"]):
            nodes.append(_started_node(modules, *options))
        yield f"127.0.0.1:{port}", modules
    finally:
        for node in reversed(nodes):
            node.terminate()  # --block: it ends what it started
        for node in nodes:
            try:
                node.wait(timeout=60)
            except subprocess.TimeoutExpired:  # on a machine that has other things to do; nothing of it stays behind
                _kill(node)
        shutil.rmtree(folder, ignore_errors=True)
        del os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _started_node(modules: Path, *options: str) -> subprocess.Popen:
    """A node with one core, which finds Clickaway and those modules."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{modules}"}
    ray = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1", "--disable-usage-stats"]
    ray += ["--node-ip-address=127.0.0.1", f"--object-store-memory={100 * 2**20}"]
    log = Path(tempfile.mkstemp(prefix="node-", suffix=".log", dir=modules.parent)[1])
    with log.open("wb") as file:
        node = subprocess.Popen([*ray, *options], env=environment, stdout=file, stderr=file)
    while "runtime started" not in log.read_text(errors="replace"):
        if node.poll() is not None:
            pytest.fail(f"ray start ended: {log.read_text(errors='replace')}")
        time.sleep(0.2)
    return node


@pytest.fixture
def web(tmp_path):
    """http://127.0.0.1:PORT, which serves tmp_path."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.skipif(find_spec("aiohttp") is None, reason="fsspec needs aiohttp for http://")
def test_photos_behind_a_url_on_two_nodes_give_the_bytes_and_the_report_of_local_ones_in_one_process(
    cluster, web, draw, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for number in range(6):
        draw(tmp_path / "photos" / f"{number}" / "a.png", (10 * number, 200, 90))
    (tmp_path / "photos" / "bad.png").write_bytes(b"no photo")
    erase = ["erase", "--box", "20,20,44,44", "--inpainter", "telea"]
    assert main([*erase, "photos", "--out", "here", "--workers", "0"]) == 1
    assert main([*erase, f"{web}/photos/", "--out", "there", "--engine", "ray", "--address", cluster[0]]) == 1
    for result in Path("here").rglob("*.png"):
        assert Path("there", result.relative_to("here")).read_bytes() == result.read_bytes()
    here, there = _report("here"), _report("there", source=f"{web}/")
    assert [row["status"] for row in there] == ["failed"] + ["done"] * 6  # bad.png comes before the folders
    assert here == there


@pytest.fixture
def ftp(tmp_path):
    """ftp://127.0.0.1:PORT, which reads and writes tmp_path/ftp."""
    authorizers = pytest.importorskip("pyftpdlib.authorizers", reason="pyftpdlib is missing")
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import ThreadedFTPServer

    (tmp_path / "ftp").mkdir()

    class Handler(FTPHandler):
        authorizer = authorizers.DummyAuthorizer()

        def log(self, *_, **__):
            pass

    Handler.authorizer.add_anonymous(str(tmp_path / "ftp"), perm="elradfmwMT")
    server = ThreadedFTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"handle_exit": False}, daemon=True).start()
    yield f"ftp://127.0.0.1:{server.address[1]}"
    server.close_all()


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning", "ignore:write permissions:RuntimeWarning")
def test_results_go_to_a_url_from_two_nodes_and_a_second_run_does_none_again(
    cluster, ftp, draw, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for number in range(5):
        draw(tmp_path / "ftp" / "photos" / f"{number}" / "a.png", (10 * number, 200, 90))
    erase = ["erase", "--box", "20,20,44,44", "--inpainter", "telea"]
    assert main([*erase, "ftp/photos", "--out", "here", "--workers", "0"]) == 0
    there = [*erase, f"{ftp}/photos/", "--out", f"{ftp}/there", "--journal", "journal.sqlite"]
    there += ["--engine", "ray", "--address", cluster[0]]
    assert main(there) == 0
    results = sorted(Path("here").rglob("*.png"))
    assert len(results) == 5
    for result in results:
        assert Path("ftp/there", result.relative_to("here")).read_bytes() == result.read_bytes()
    assert not [path for path in Path("ftp").rglob("*") if "partial" in path.name]
    assert [row["status"] for row in _report("ftp/there")] == ["done"] * 5
    capsys.readouterr()
    assert main(there) == 0
    assert capsys.readouterr().out.startswith("5 done (5 of them by an earlier run), 0 failed")


def _report(folder: str, *, source: str = "") -> list[dict[str, str]]:
    with Path(folder, "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["seconds"]
        row["output"] = row["output"].removeprefix(folder)
        row["error"] = row["error"].replace(str(Path.cwd()) + "/", "").replace(source, "")
        row["file"] = row["file"].removeprefix(source)
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
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".2.png.0123abcd.partial").write_bytes(b"what a worker leaves that is killed while it writes")
    with RayWorkers(Job(Erase(), crashing.CrashingModels()), PICK, address=address, count=2, gpus=0) as workers:
        outcomes = list(workers.run(tasks))
    assert (modules / "killed-once").exists()
    assert not list((tmp_path / "out").glob(".*.partial"))
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


def test_a_ray_that_does_not_start_is_one_line(cluster, draw, tmp_path, monkeypatch, capsys):
    import ray

    def slow(**_):
        raise Exception("The current node timed out\nduring startup.")  # its own words and class

    monkeypatch.setattr(ray, "init", slow)
    draw(tmp_path / "a.png")
    run = ["erase", str(tmp_path / "a.png"), "--box", "1,1,9,9", "--inpainter", "telea", "--engine", "ray"]
    assert main(run) == 2
    assert capsys.readouterr().err == (
        "clickaway erase: Ray did not start: The current node timed out during startup.\n"
    )


SLOW = """
import time
from pathlib import Path

import ray

from inpaint import load_inpainter
from pipeline.models import Models


class SlowModels(Models):
    @property
    def filler(self):
        return _SlowInpainter()


class _SlowInpainter:
    max_size_px = None

    def inpaint(self, image, hole):
        node, color = ray.get_runtime_context().get_node_id(), "-".join(map(str, image[~hole][0]))
        Path(__file__).with_name(f"begun_{color}_{node}_{time.monotonic_ns()}").touch()
        time.sleep(2)
        return load_inpainter("telea").inpaint(image, hole)
"""


@pytest.fixture
def lost_node(cluster):
    """The process of a third node, which is killed at the end at the latest."""
    node = _started_node(cluster[1], f"--address={cluster[0]}", '--resources={"lost": 1}')
    yield node
    _kill(node)


def _kill(node: subprocess.Popen) -> None:
    """Ends all of a node at once, as when a machine loses its power."""
    if node.poll() is None:
        for process in [node.pid, *_descendants(node.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        node.wait(timeout=60)


def _descendants(process: int) -> list[int]:
    try:
        found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [int(child) for child in found] + [deeper for child in found for deeper in _descendants(int(child))]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for child processes in /proc")
def test_a_machine_that_is_lost_in_the_middle_loses_no_photo_and_none_is_done_twice(
    cluster, lost_node, draw, tmp_path, monkeypatch
):
    import ray

    from pipeline.ray import RayWorkers

    address, modules = cluster
    (modules / "clickaway_slow.py").write_text(SLOW)
    monkeypatch.syspath_prepend(modules)
    job = Job(Erase(), importlib.import_module("clickaway_slow").SlowModels())
    monkeypatch.chdir(tmp_path)
    for number in range(8):
        draw(tmp_path / "photos" / f"{number}.png", (10 * number, 200, 90))
    (tmp_path / "photos" / "bad.png").write_bytes(b"no photo")
    assert main(["erase", "photos", "--box", "20,20,44,44", "--inpainter", "telea", "--out", "here"]) == 1

    in_flight: list[str] = []
    finished: list[Path] = []

    def kill_when_busy(doomed: str) -> None:
        while not in_flight:
            time.sleep(0.05)
            in_flight.extend(file.name.split("_")[1] for file in modules.glob(f"begun_*_{doomed}_*"))
        _kill(lost_node)

    def start(_: int) -> RayWorkers:
        workers = RayWorkers(job, PICK, address=address, count=3, gpus=0)
        (doomed,) = [node["NodeID"] for node in ray.nodes() if "lost" in node["Resources"]]
        threading.Thread(target=kill_when_busy, args=(doomed,), daemon=True).start()
        return workers

    class Noting(Journal):
        def finish(self, outcome, task, job):
            finished.append(outcome.source)
            super().finish(outcome, task, job)

    tasks = plan([Path("photos")], out=Path("there"))
    tasks = [replace(task, pick=PICK) for task in tasks]
    reporter = Reporter("erase", len(tasks), quiet=True, json_lines=False, debug=False)
    with Noting(Path("there")) as journal, reporter:
        write_report(batch.run(tasks, job, start, journal, reporter)[0], Path("there"))
    (color,) = in_flight  # the lost node had a photo, and another one did it then
    assert len(list(modules.glob(f"begun_{color}_*"))) > 1
    assert sorted(finished) == [task.source for task in tasks]  # each once
    for result in Path("here").glob("*.png"):
        assert Path("there", result.name).read_bytes() == result.read_bytes()
    assert _report("here") == _report("there")
    assert not list(Path("there").glob(".*.partial"))
