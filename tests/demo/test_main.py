"""The command, as a person starts it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.__main__ import _limits, _logins, _parser, main
from demo.limits import Limits
from pipeline import machine

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "demo", "--no-browser", "--segmenter", "grabcut", "--inpainter", "telea"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_help_answers_without_gradio():
    code = "import sys, demo.__main__ as m; m._parser().format_help(); print('gradio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_command_clickaway_demo_has_the_same_help():
    texts = [
        subprocess.run([sys.executable, "-m", *command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
        for command in (["demo"], ["pipeline", "demo"])
    ]
    assert texts[0].stdout == texts[1].stdout
    assert "127.0.0.1" in texts[0].stdout


@pytest.mark.parametrize(
    "wrong",
    [
        ["--port", "0"], ["--port", "x"], ["--jobs", "0"], ["--max-megapixels", "-1"], ["--no"],
        ["--max-file-size", "many"], ["--max-memory", "0"], ["--max-disk", "-1gb"], ["--max-requests", "-1"],
        ["--max-queue", "0"], ["--keep-minutes", "0"], ["--login", "/nowhere/at/all"], ["--login", "/dev/null"],
        ["--login", ""], ["--login", "."], ["--login", sys.executable],
        ["--host", "999.1.1.1"], ["--host", "192.0.2.1"],
    ],
)  # fmt: skip
def test_a_wrong_option_is_one_line_and_exit_code_2(wrong):
    done = subprocess.run([*COMMAND, *wrong], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert wrong[0] in done.stderr or wrong[1] in done.stderr


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["--segmenter", "nonsense"], "no segmenter is called 'nonsense': choose one of auto, "),
        (["--segmenter", "grabcut:x"], "the segmenter grabcut has no models to choose from: write grabcut"),
        (["--inpainter", "nosuch"], "no inpainter is called 'nosuch': choose one of auto, "),
        (["--inpainter", "pconv", "--device", "warp"], "no device is called 'warp': use auto, cpu, cuda or cuda:1"),
        (["--device", "cpu"], "--device cpu would have no effect: grabcut and telea have no net to run on it"),
        (["--checkpoint", "/nowhere"], "--checkpoint: expected a file with the segmenter's weights, got '/nowhere'"),
        (["--checkpoint", __file__], "the segmenter grabcut has no checkpoint: choose another segmenter"),
    ],
)
def test_models_that_no_visitor_could_use_are_refused_before_the_page_is_opened(wrong, told):
    done = subprocess.run([*COMMAND, *wrong], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"clickaway demo: {told}") and done.stderr.count("\n") == 1


def test_a_login_file_is_read_as_it_is_written(tmp_path):
    file = tmp_path / "login"
    file.write_text("# friends\nada:s3cret:with:colons\n\n  eve:x \n")
    assert _logins(str(file)) == [("ada", "s3cret:with:colons"), ("eve", "x")]
    for content in ("ada\n", "ada:\n", ":x\n", "", "ada:x\nnobody\n"):
        file.write_text(content)
        with pytest.raises(ValueError, match="name:password"):
            _logins(str(file))


def test_every_limit_has_a_flag_whose_default_is_the_usual_one(monkeypatch):
    monkeypatch.setattr(machine, "free_memory_bytes", lambda: 64 * 2**30)
    assert _limits(_parser().parse_args([])) == Limits()
    monkeypatch.setattr(machine, "free_memory_bytes", lambda: 3 * 2**30)
    assert _limits(_parser().parse_args([])).memory_bytes == 3 * 2**29  # a small machine's photos fit into its memory
    flags = "--max-file-size 1mb --max-memory 2mb --max-disk 3mb --max-requests 0 --max-queue 5 --max-queue-of-one 6"
    told = _limits(_parser().parse_args([*flags.split(), "--keep-minutes", "7", "--keep-metadata"]))
    assert told == Limits(2**20, 0, 5, 6, 2 * 2**20, 3 * 2**20, 420, strip_metadata=False)


def test_it_listens_on_this_machine_alone_unless_told_otherwise():
    assert _parser().parse_args([]).host == "127.0.0.1"


@contextmanager
def served(folder, environment, *options):
    """The running page's address; it is stopped afterwards. Visitors' files are to lie in a folder below that one."""
    port = free_port()
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), **environment}
    command, pipe = [*COMMAND, "--port", str(port), *options], subprocess.PIPE
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)
    try:
        assert f"http://127.0.0.1:{port}" in server.stdout.readline()
        folders = list(folder.glob("clickaway-*"))
        assert len(folders) == 1 and folders[0].stat().st_mode & 0o077 == 0
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        _, errors = server.communicate(timeout=30)
    assert server.returncode == 0
    assert "Traceback" not in errors
    assert list(folder.glob("clickaway-*")) == []


def test_the_page_is_served_and_a_stop_leaves_no_file_behind(tmp_path):
    with served(tmp_path, {"TMPDIR": str(tmp_path)}) as url, urllib.request.urlopen(url) as page:
        assert "Clickaway" in page.read().decode()


def test_what_else_lies_in_gradios_folder_stays_there(tmp_path):
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    (chosen / "thesis.txt").write_text("mine")
    with (
        served(chosen, {"GRADIO_TEMP_DIR": str(chosen)}, "--max-disk", "1kb") as url,
        pytest.raises(urllib.error.HTTPError, match="507"),  # after the oldest files were deleted for it
    ):
        urllib.request.urlopen(f"{url}/gradio_api/upload", data=bytes(2000))
    assert [file.read_text() for file in chosen.iterdir()] == ["mine"]


def test_gradios_folder_is_made_where_it_is_missing(tmp_path):
    with served(tmp_path / "new", {"GRADIO_TEMP_DIR": str(tmp_path / "new")}):
        pass


def test_a_gradio_folder_that_cannot_be_is_one_line_and_exit_code_2(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "file"))
    assert main(["--no-browser"]) == 2
    line = f"clickaway demo: GRADIO_TEMP_DIR={tmp_path / 'file'} cannot hold visitors' files (File exists): "
    assert capsys.readouterr().err == f"{line}set another folder, or none\n"


def test_a_port_that_is_taken_is_one_line_and_exit_code_2(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            assert main(["--no-browser", "--port", str(port)]) == 2
    finally:
        signal.signal(signal.SIGTERM, handler)
    line = capsys.readouterr().err.strip()
    assert line == f"clickaway demo: cannot listen on 127.0.0.1, port {port}: choose another one with --port"


def test_a_web_proxy_of_the_machine_does_not_keep_the_page_from_starting(tmp_path):
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        proxy = f"http://127.0.0.1:{dead.getsockname()[1]}"
        server = subprocess.Popen(
            [*COMMAND, "--port", str(free_port())],
            cwd=ROOT,
            env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "http_proxy": proxy},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            line = server.stdout.readline()
        finally:
            server.terminate()
            _, errors = server.communicate(timeout=60)
    assert "Clickaway is on" in line, errors
