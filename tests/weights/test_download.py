"""weights.download against a real server on this machine that behaves, and misbehaves, as servers do."""

from __future__ import annotations

import hashlib
import http.server
import multiprocessing
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from weights import WeightsError, WeightSpec, fetch
from weights import download as module
from weights.download import _CHUNK as CHUNK
from weights.download import download

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = f"net-{SHA256[:8]}.pth"

Answer = Callable[["Handler"], None]


class Server(http.server.ThreadingHTTPServer):
    """Answers the first request with the first of `answers`, and so on; the last one again and again."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answer] = [whole]
        self.ranges: list[str | None] = []  # the Range header of every request so far
        self.url = f"http://127.0.0.1:{self.server_port}/models/{NAME}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.ranges.append(self.headers.get("Range"))
        answer = self.server.answers[min(len(self.server.ranges), len(self.server.answers)) - 1]
        answer(self)

    def log_message(self, *_: object) -> None:
        pass

    def head(self, status: int, length: int | None, **headers: str) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in {"Content_Type": "application/octet-stream", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def offset(self) -> int:
        """Where the asked-for part begins."""
        wanted = self.headers.get("Range", "bytes=0-")
        return int(wanted.removeprefix("bytes=").rstrip("-"))


def whole(request: Handler) -> None:
    """A server with Range."""
    start = request.offset()
    if start >= len(CONTENT):
        return request.head(416, 0, Content_Range=f"bytes */{len(CONTENT)}")
    if "Range" in request.headers:
        request.head(206, len(CONTENT) - start, Content_Range=f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
    else:
        request.head(200, len(CONTENT))
    request.wfile.write(CONTENT[start:])
    return None


def whole_without_range(request: Handler) -> None:
    request.head(200, len(CONTENT))
    request.wfile.write(CONTENT)


def cut_after(sent: int) -> Answer:
    """A server with Range whose connection breaks after that many bytes."""

    def answer(request: Handler) -> None:
        start = request.offset()
        ranged = {"Content_Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"} if start else {}
        request.head(206 if start else 200, len(CONTENT) - start, **ranged)
        request.wfile.write(CONTENT[start : start + sent])
        request.connection.shutdown(socket.SHUT_RDWR)

    return answer


def other_bytes(request: Handler) -> None:
    request.head(200, 2048)
    request.wfile.write(b"\1\2" * 1024)


def web_page(request: Handler) -> None:
    page = b"<html>Please log in</html>"
    request.head(200, len(page), Content_Type="text/html; charset=utf-8")
    request.wfile.write(page)


def status(code: int) -> Answer:
    return lambda request: request.head(code, 0)


def silent(request: Handler) -> None:
    request.head(200, len(CONTENT))
    request.wfile.write(CONTENT[:1000])
    request.wfile.flush()
    time.sleep(2)


def slow(request: Handler) -> None:
    request.head(200, len(CONTENT))
    for start in range(0, len(CONTENT), 1 << 18):
        request.wfile.write(CONTENT[start : start + (1 << 18)])
        request.wfile.flush()
        time.sleep(0.1)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.01)
    monkeypatch.delenv("CLICKAWAY_OFFLINE", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / NAME


def files_in(folder: Path) -> set[str]:
    """What is there, but for the lock that says nothing about the download."""
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")} if folder.exists() else set()


def refusal(url: str, target: Path, **options: object) -> str:
    """The message of the WeightsError that the download must end in: one line that names file, folder and address."""
    with pytest.raises(WeightsError) as caught:
        download(url, target, **{"sha256": SHA256, "progress": False, **options})
    message = str(caught.value)
    assert "\n" not in message
    assert target.name in message
    assert str(target.parent) in message
    assert not target.exists()
    return message


@pytest.mark.parametrize("digits", [8, 64])
def test_download_gives_the_whole_file_and_leaves_nothing_beside_it(server: Server, target: Path, digits: int) -> None:
    assert download(server.url, target, sha256=SHA256[:digits], progress=False) == target
    assert target.read_bytes() == CONTENT
    assert files_in(target.parent) == {NAME}


def test_file_that_is_here_is_checked_and_not_fetched_again(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    assert download(server.url, target, sha256=SHA256) == target
    target.write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match="damaged or another file"):
        download(server.url, target, sha256=SHA256)
    assert server.ranges == []


def test_cut_connection_goes_on_where_it_was_cut(server: Server, target: Path) -> None:
    server.answers = [cut_after(10 * CHUNK), cut_after(10 * CHUNK + 5), whole]
    download(server.url, target, sha256=SHA256, progress=False)
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={10 * CHUNK}-", f"bytes={20 * CHUNK + 5}-"]


def test_partial_file_of_an_earlier_run_is_gone_on_with(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.with_name(NAME + ".partial").write_bytes(CONTENT[:5000])
    download(server.url, target, sha256=SHA256, progress=False)
    assert target.read_bytes() == CONTENT
    assert server.ranges == ["bytes=5000-"]


def test_partial_file_that_is_complete_only_needs_its_name(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.with_name(NAME + ".partial").write_bytes(CONTENT)
    download(server.url, target, sha256=SHA256, progress=False)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("rest", [b"something else", b"x" * (len(CONTENT) + 5)], ids=["shorter", "longer"])
def test_partial_file_of_something_else_is_dropped_and_fetched_anew(server: Server, target: Path, rest: bytes) -> None:
    target.parent.mkdir()
    target.with_name(NAME + ".partial").write_bytes(rest)
    download(server.url, target, sha256=SHA256, progress=False)
    assert target.read_bytes() == CONTENT


def test_server_without_range_is_begun_anew(server: Server, target: Path) -> None:
    server.answers = [whole_without_range]
    target.parent.mkdir()
    target.with_name(NAME + ".partial").write_bytes(CONTENT[:5000])
    download(server.url, target, sha256=SHA256, progress=False)
    assert target.read_bytes() == CONTENT


def test_connection_that_is_always_cut_keeps_what_came_and_says_so(server: Server, target: Path) -> None:
    server.answers = [cut_after(CHUNK), cut_after(0)]
    message = refusal(server.url, target)
    assert "cut" in message
    assert "run it again to go on" in message
    assert server.url in message
    assert target.with_name(NAME + ".partial").read_bytes() == CONTENT[:CHUNK]


def test_busy_server_is_asked_again(server: Server, target: Path) -> None:
    server.answers = [status(503), whole]
    download(server.url, target, sha256=SHA256, progress=False)
    assert target.read_bytes() == CONTENT


def test_wrong_bytes_are_refused_and_not_kept(server: Server, target: Path) -> None:
    server.answers = [other_bytes]
    message = refusal(server.url, target)
    assert SHA256 in message
    assert server.url in message
    assert files_in(target.parent) == set()


def test_web_page_in_place_of_the_file_is_refused(server: Server, target: Path) -> None:
    server.answers = [web_page]
    message = refusal(server.url, target)
    assert "web page" in message
    assert files_in(target.parent) == set()


def test_missing_file_on_the_server_is_refused_at_once(server: Server, target: Path) -> None:
    server.answers = [status(404)]
    assert "404" in refusal(server.url, target)
    assert len(server.ranges) == 1


def test_server_that_falls_silent_is_given_up(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STALL_SECONDS", 0.2)
    monkeypatch.setattr(module, "_ATTEMPTS", 1)
    server.answers = [silent]
    assert "sent nothing" in refusal(server.url, target)


def byte_by_byte(request: Handler) -> None:
    """A server that is never silent for long, and never done."""
    start = request.offset()
    ranged = {"Content_Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"} if start else {}
    request.head(206 if start else 200, len(CONTENT) - start, **ranged)
    for place in range(start, start + 100):
        request.wfile.write(CONTENT[place : place + 1])
        request.wfile.flush()
        time.sleep(0.02)


def a_byte_and_no_more(request: Handler) -> None:
    start = request.offset()
    ranged = {"Content_Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"} if start else {}
    request.head(206 if start else 200, len(CONTENT) - start, **ranged)
    request.wfile.write(CONTENT[start : start + 1])


@pytest.mark.parametrize("answer", [byte_by_byte, a_byte_and_no_more])
def test_server_that_drips_is_given_up_and_gone_on_with_later(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setattr(module, "_WINDOW_SECONDS", 0.3)
    server.answers = [answer]
    message = refusal(server.url, target)
    assert "KiB within 0 s" in message and "run it again to go on" in message
    kept = target.with_name(target.name + ".partial").read_bytes()
    assert kept and CONTENT.startswith(kept)
    server.answers = [whole]
    download(server.url, target, sha256=SHA256, progress=False)
    assert server.ranges[-1] == f"bytes={len(kept)}-"
    assert target.read_bytes() == CONTENT


def test_slow_server_that_is_not_too_slow_is_waited_for(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WINDOW_SECONDS", 0.05)
    server.answers = [slow]  # 256 KiB each 0.1 s
    download(server.url, target, sha256=SHA256, progress=False)
    assert target.read_bytes() == CONTENT


def test_answer_whose_beginning_never_ends_is_given_up(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless_header(request: Handler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        for _ in range(100):
            request.wfile.write(b"x")
            request.wfile.flush()
            time.sleep(0.02)

    monkeypatch.setattr(module, "_ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(module, "_ATTEMPTS", 1)
    server.answers = [endless_header]
    assert "did not come to an answer" in refusal(server.url, target)


def test_no_network_names_the_file_the_folder_and_the_address(target: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/{NAME}"
        message = refusal(url, target)
    assert "is there a network?" in message
    assert url in message


def test_name_look_up_that_hangs_is_given_up(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A dead name server makes getaddrinfo hang for many seconds, which no socket timeout covers.
    given_up = threading.Event()

    def hang(*_: object, **__: object) -> None:
        given_up.wait(60)
        raise OSError("the name server did not answer")

    monkeypatch.setattr(socket, "create_connection", hang)
    monkeypatch.setattr(module, "_REACH_SECONDS", 0.2)
    assert "no answer" in refusal(f"http://models.example/{NAME}", target)
    given_up.set()


def test_promise_of_five_seconds_is_kept_by_the_time_limit() -> None:
    assert module._REACH_SECONDS < 5


def test_offline_opens_no_connection(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert server.url in refusal(server.url, target, offline=True)
    monkeypatch.setenv("CLICKAWAY_OFFLINE", "1")
    assert "switched off" in refusal(server.url, target)
    assert server.ranges == []
    download(
        server.url, target, sha256=SHA256, offline=False, progress=False
    )  # said outright, it beats the environment
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("value", ["", "0", "false", "no"])
def test_environment_can_say_that_downloads_are_fine(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("CLICKAWAY_OFFLINE", value)
    assert download(server.url, target, sha256=SHA256, progress=False).is_file()


def test_too_little_room_is_noticed_before_anything_is_written(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = module.shutil.disk_usage("/")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert "the disk is full: 1.0 MiB are needed" in refusal(server.url, target)
    assert files_in(target.parent) == set()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full, a disk that is always full")
def test_disk_that_fills_up_gives_its_room_back(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.with_name(NAME + ".partial").symlink_to("/dev/full")
    assert "the disk is full" in refusal(server.url, target)
    assert files_in(target.parent) == set()


def test_folder_that_cannot_be_made_is_reported_in_one_line(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert "cannot be written" in refusal(server.url, tmp_path / "cache" / NAME)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/a.pth", "a.pth", "http://"])
def test_only_http_addresses_are_fetched(target: Path, url: str) -> None:
    with pytest.raises(ValueError, match="only http and https"):
        download(url, target, sha256=SHA256)


def test_sha256_too_short_to_mean_anything_is_refused(server: Server, target: Path) -> None:
    with pytest.raises(ValueError, match="8 hex digits"):
        download(server.url, target, sha256="abc")


def test_progress_goes_to_stderr_and_can_be_switched_off(
    server: Server, target: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    download(server.url, target, sha256=SHA256)
    out, err = capfd.readouterr()
    assert out == ""
    assert NAME in err
    assert "100%" in err
    target.unlink()
    download(server.url, target, sha256=SHA256, progress=False)
    assert capfd.readouterr() == ("", "")


def _download_in_a_process(url: str, target: str) -> None:
    download(url, Path(target), sha256=SHA256, progress=False)


def test_two_processes_at_once_fetch_the_file_once(server: Server, target: Path) -> None:
    server.answers = [slow]
    context = multiprocessing.get_context("fork" if os.name == "posix" else "spawn")
    both = [context.Process(target=_download_in_a_process, args=(server.url, str(target))) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(30)
    assert [process.exitcode for process in both] == [0, 0]
    assert target.read_bytes() == CONTENT
    assert len(server.ranges) == 1


def test_fetch_downloads_into_the_cache_folder(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKAWAY_WEIGHTS", str(tmp_path / "kept"))
    spec = WeightSpec("net", "segmenter", NAME, SHA256[:8], 1.0, "none", "nothing", "none", url=server.url)
    assert fetch(spec).read_bytes() == CONTENT
    assert fetch(spec, offline=True) == tmp_path / "kept" / NAME
    assert len(server.ranges) == 1


def moved_to(address: Callable[[Handler], str], code: int = 302) -> Answer:
    return lambda request: request.head(code, 0, Location=address(request))


def test_a_file_that_has_moved_is_fetched_from_where_it_is_now(server: Server, target: Path) -> None:
    server.answers = [moved_to(lambda request: "/elsewhere"), whole]
    download(server.url, target, sha256=SHA256, progress=False)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "address", [lambda request: request.path, lambda request: "file:///etc/passwd", lambda request: "http://"]
)
def test_a_server_that_sends_on_for_ever_or_off_the_web_is_given_up_at_once(
    server: Server, target: Path, address: Callable[[Handler], str]
) -> None:
    server.answers = [moved_to(address)]
    assert "sends on and on" in refusal(server.url, target)
    assert len(server.ranges) <= 31  # requests' own limit, once
    assert files_in(target.parent) == set()


@pytest.mark.parametrize("code", [500, 502, 503, 429])
def test_a_server_that_stays_broken_is_asked_three_times_and_given_up(server: Server, target: Path, code: int) -> None:
    server.answers = [status(code)]
    assert str(code) in refusal(server.url, target)
    assert len(server.ranges) == 3
    assert files_in(target.parent) == set()


def says_length(length: int | None, body: bytes = CONTENT, **headers: str) -> Answer:
    def answer(request: Handler) -> None:
        request.head(200, length, **headers)
        request.wfile.write(body)
        request.close_connection = True

    return answer


@pytest.mark.parametrize("length", [0, 1, len(CONTENT) - 1, len(CONTENT) // 2])
def test_a_length_that_is_too_short_gives_no_half_file(server: Server, target: Path, length: int) -> None:
    server.answers = [says_length(length)]
    refusal(server.url, target)
    assert files_in(target.parent) == set()


def test_a_length_that_is_too_long_is_a_cut_connection(server: Server, target: Path) -> None:
    server.answers = [says_length(2 * len(CONTENT))]
    refusal(server.url, target)
    server.answers.append(whole)  # the next time it is known to be complete
    server.ranges.clear()
    server.answers = [whole]
    download(server.url, target, sha256=SHA256, progress=False)
    assert target.read_bytes() == CONTENT


def test_no_length_at_all_is_fine_where_the_bytes_are_right(server: Server, target: Path) -> None:
    server.answers = [says_length(None)]
    download(server.url, target, sha256=SHA256, progress=False)
    assert target.read_bytes() == CONTENT
    target.unlink()
    server.answers = [says_length(None, CONTENT[:-1])]  # cut, and nothing says so but the sha256
    server.ranges.clear()
    refusal(server.url, target)
    assert files_in(target.parent) == set()


def test_a_web_page_that_says_it_is_a_file_is_refused_and_not_kept(server: Server, target: Path) -> None:
    page = b"<html>Please log in</html>"
    server.answers = [says_length(len(page), page)]
    assert "what the server sent is not" in refusal(server.url, target)
    assert files_in(target.parent) == set()


def test_a_server_that_never_ends_does_not_fill_the_disk(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", 3 * len(CONTENT))

    def endless(request: Handler) -> None:
        request.head(200, None)
        try:
            while True:
                request.wfile.write(CONTENT)
        except OSError:  # the client hung up
            request.close_connection = True

    for answer in (endless, says_length(2**50)):
        server.answers = [answer]
        assert "larger than any weights" in refusal(server.url, target)
        assert files_in(target.parent) == set()


def test_a_file_that_changes_on_the_server_between_two_parts_is_refused_and_then_fetched_whole(
    server: Server, target: Path
) -> None:
    def other_rest(request: Handler) -> None:
        start = request.offset()
        ranged = {"Content_Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"}
        request.head(206, len(CONTENT) - start, **ranged)
        request.wfile.write(bytes(len(CONTENT) - start))

    server.answers = [cut_after(10 * CHUNK), other_rest]
    refusal(server.url, target)
    assert files_in(target.parent) == set()
    server.answers = [whole]
    download(server.url, target, sha256=SHA256, progress=False)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("seed", range(20))
def test_cut_at_any_places_the_file_comes_whole_and_never_half_under_its_name(
    server: Server, target: Path, seed: int
) -> None:
    cuts = random.Random(seed)
    seen: list[bool] = []

    def cut(request: Handler) -> None:
        seen.append(target.exists())
        cut_after(CHUNK + cuts.randrange(len(CONTENT) // 3))(request)

    server.answers = [cut, cut, cut, whole]
    download(server.url, target, sha256=SHA256, progress=False)
    assert target.read_bytes() == CONTENT
    assert not any(seen)
    assert files_in(target.parent) == {NAME}


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_download_that_was_killed_left_no_half_file_and_goes_on(server: Server, target: Path) -> None:
    server.answers = [slow]
    process = multiprocessing.get_context("fork").Process(target=_download_in_a_process, args=(server.url, str(target)))
    process.start()
    partial = target.with_name(NAME + ".partial")
    ends = time.monotonic() + 30
    while not (partial.exists() and partial.stat().st_size) and time.monotonic() < ends:
        time.sleep(0.005)
    process.kill()
    process.join(30)
    assert not target.exists()
    assert 0 < partial.stat().st_size < len(CONTENT)
    server.answers = [whole]
    download(server.url, target, sha256=SHA256, progress=False)
    assert target.read_bytes() == CONTENT
    assert server.ranges[-1] is not None  # with what was there
