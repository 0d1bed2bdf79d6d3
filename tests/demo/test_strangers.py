"""Strangers before the open page: they read no file but their own and make the server call nobody."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from demo.studio import Studio
from tests.demo.doubles import GRADIOS_WARNINGS, ColorSegmenter, FlatInpainter, draw_photo, files_below, running_demo

pytestmark = GRADIOS_WARNINGS
ROOT = Path(__file__).resolve().parents[2]
SECRET = "the-password-of-the-machine-7f3a"
NAMED = {"select": 2, "erase": 4, "cut_out": 3, "blur_background": 4, "replace_background": 5}  # inputs after the photo


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """Address and demo; above the folder of the visitors' files lies a file that is none of their business."""
    above = tmp_path_factory.mktemp("machine")
    (above / "secret.png").write_text(SECRET)
    with running_demo(Studio(ColorSegmenter, FlatInpainter), above / "files") as (url, demo):
        (above / "files").mkdir(exist_ok=True)
        yield url.rstrip("/"), demo, above


@pytest.fixture(scope="module")
def http_client():
    with httpx.Client(timeout=60) as client:
        yield client


def forms_of(path: Path, inside: Path) -> list[str]:
    """Ways to write the path of a file outside a folder."""
    climbing = os.path.relpath(path, inside)
    return [
        str(path), f"{inside}/{climbing}", climbing, f"file://{path}", f"/{path}", f"{inside}/../{path.name}",
        f"{inside}/./../{path.name}", f"{inside}//../{path.name}", f"{inside}\\..\\{path.name}", f"{path}\0.png",
        quote(str(path), safe=""), quote(quote(str(path), safe=""), safe=""), f"{inside}/..%2f{path.name}",
        f"{inside}/%2e%2e/{path.name}", f"{path}/", f"{path}/.", "~/../../../../" + str(path),
        f"{inside}/x/../../{path.name}",
    ]  # fmt: skip


def test_no_file_outside_the_visitors_folder_is_served(started):
    url, _, above = started
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)  # it sends a path as it is, dots and all
    doors = ("gradio_api/file=", "gradio_api/file/", "file=", "static/", "assets/", "svelte/", "", "gradio_api/proxy=")
    for secret in (above / "secret.png", Path("/etc/passwd"), ROOT / "pyproject.toml"):
        content = secret.read_bytes()[:30]
        for form in forms_of(secret, above / "files"):
            for door in doors:
                connection.request("GET", f"/{quote(door + form, safe='/=%')}")
                answer = connection.getresponse()
                assert content not in answer.read(), (door, form)
                assert answer.status >= 400, (door, form, answer.status)


def called(http_client, url: str, name: str, data: list[object]) -> str:
    """All that a program is told when it calls an endpoint."""
    answer = http_client.post(f"{url}/gradio_api/call/{name}", json={"data": data})
    if answer.status_code != 200:
        return answer.text
    event = answer.json()["event_id"]
    return http_client.get(f"{url}/gradio_api/call/{name}/{event}").text


def test_no_path_outside_is_taken_for_a_photo_by_any_endpoint(started, http_client):
    url, _, above = started
    secret = above / "secret.png"
    for name, count in NAMED.items():
        for form in forms_of(secret, above / "files")[:8]:
            forged = {"path": form, "meta": {"_type": "gradio.FileData"}, "orig_name": "a.png"}
            text = called(http_client, url, name, [forged, 1, 1, *[None] * (count - 2)])
            assert "event: complete" not in text
            assert SECRET not in text and str(above) not in text and "Traceback" not in text, text
    assert secret.read_text() == SECRET


def test_no_path_outside_is_taken_by_the_pages_own_handlers(started, http_client):
    url, demo, above = started
    forged = {"path": str(above / "secret.png"), "meta": {"_type": "gradio.FileData"}}
    for number, fn in demo.blocks.fns.items():
        if any(event == "unload" for _, event in fn.targets):
            continue  # hangs up on who calls it
        body = {"data": [forged] * len(fn.inputs), "fn_index": number, "session_hash": f"thief{number}"}
        body["event_data"] = {"path": "/etc/passwd", "x": 1, "y": 1, "index": [1]}
        joined = http_client.post(f"{url}/gradio_api/queue/join", json=body)
        if joined.status_code != 200:
            assert SECRET not in joined.text
            continue
        with http_client.stream("GET", f"{url}/gradio_api/queue/data?session_hash=thief{number}") as answer:
            for line in answer.iter_lines():
                assert SECRET not in line and "root:" not in line
                if "process_completed" in line or "close_stream" in line:
                    break


@pytest.mark.parametrize(
    "name",
    ["../../evil.png", "/tmp/evil.png", "..\\..\\evil.png", "a/../../evil.png", "evil\0.png", "....//evil.png",
     ".bashrc", "a" * 5000 + ".png", "<img src=x onerror=alert(1)>.png", "a\r\nSet-Cookie: x=1.png", "", "."],
)  # fmt: skip
def test_an_upload_lies_in_a_folder_of_its_own_whatever_it_is_called(started, http_client, name):
    url, _, above = started
    before = {path for path in files_below(above) if (above / "files") not in path.parents}
    answer = http_client.post(f"{url}/gradio_api/upload", files={"files": (name, b"x")})
    if answer.status_code == 200:
        (path,) = map(Path, answer.json())
        assert path.parent.parent == above / "files"
        assert len(path.parent.name) == 64  # a sha256 with a salt: nobody guesses it
        assert "<" not in path.name and "\n" not in path.name
    else:
        assert 400 <= answer.status_code < 500
    assert {path for path in files_below(above) if (above / "files") not in path.parents} == before


def test_the_same_photo_twice_has_two_paths_that_tell_nothing(started, http_client):
    url, _, _ = started
    paths = [
        http_client.post(f"{url}/gradio_api/upload", files={"files": ("a.png", b"same")}).json()[0] for _ in range(2)
    ]
    assert paths[0] != paths[1]


def test_results_have_names_that_nobody_guesses(started, saved, tmp_path):
    url, _, above = started
    client = Client(url, download_files=False, verbose=False)
    photo = handle_file(saved(draw_photo()))
    paths = [Path(client.predict(photo, 200, 90, api_name="/erase")["path"]) for _ in range(2)]
    folders = {path.parent for path in paths}
    assert len(folders) == 2
    assert all(folder.parent == above / "files" and len(folder.name) == 32 for folder in folders)
    assert httpx.get(f"{url}/gradio_api/file={above / 'files'}").status_code == 403  # and no list of them
    client.close()


class Neighbour(http.server.BaseHTTPRequestHandler):
    """A server in the machine's own network, which strangers must not reach through the page."""

    asked: list[str]

    def do_GET(self):
        self.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(SECRET.encode())

    do_HEAD = do_POST = do_GET

    def log_message(self, *_):
        pass


def test_the_server_fetches_no_address_for_anybody(started, http_client):
    url, _, _ = started
    Neighbour.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Neighbour) as neighbour:
        threading.Thread(target=neighbour.serve_forever, args=(0.01,), daemon=True).start()
        port = neighbour.server_port
        for target in (f"http://127.0.0.1:{port}/a.png", f"HTTP://localhost:{port}/a", f"http://[::1]:{port}/a"):
            for door in ("gradio_api/file=", "gradio_api/proxy=", "file="):
                assert SECRET not in http_client.get(f"{url}/{door}{target}").text
            for name, count in NAMED.items():
                for forged in (
                    {"path": target, "meta": {"_type": "gradio.FileData"}},
                    {"path": target, "url": target, "meta": {"_type": "gradio.FileData"}, "is_stream": True},
                ):
                    text = called(http_client, url, name, [forged, 1, 1, *[None] * (count - 2)])
                    assert "event: complete" not in text and SECRET not in text
                    text = called(http_client, url, name, [None, forged, 1, *[None] * (count - 2)])
                    assert "event: complete" not in text and SECRET not in text
        neighbour.shutdown()
    assert Neighbour.asked == []


HOSTILE = [None, "", "x", -1, 1e308, float("nan"), float("inf"), [], {}, [1], True, "1; rm -rf /", "\0", {"path": None},
           10**400, "９"]  # fmt: skip


def test_arguments_of_any_kind_end_in_a_line_or_a_result_and_the_page_lives(started, http_client, saved):
    url, _, _ = started
    uploaded = http_client.post(
        f"{url}/gradio_api/upload", files={"files": ("a.png", saved(draw_photo()).read_bytes())}
    )
    photo = {"path": uploaded.json()[0], "meta": {"_type": "gradio.FileData"}}
    for name, count in NAMED.items():
        for turn, value in enumerate(HOSTILE):
            for place in {1 + turn % count, 1 + (turn + 2) % count}:
                data = [photo, 200, 90, *[None] * (count - 2)]
                data[place] = value
                answer = http_client.post(
                    f"{url}/gradio_api/call/{name}",
                    content=json.dumps({"data": data}),
                    headers={"content-type": "application/json"},
                )
                assert answer.status_code < 500, (name, place, value)
                if answer.status_code == 200:
                    text = http_client.get(f"{url}/gradio_api/call/{name}/{answer.json()['event_id']}").text
                    assert "event: complete" in text or "event: error" in text
                    assert "Traceback" not in text and "site-packages" not in text
    assert http_client.get(url).status_code == 200


def test_with_a_login_nothing_is_open_without_it(saved, tmp_path):
    studio = Studio(ColorSegmenter, FlatInpainter)
    with (
        running_demo(studio, tmp_path / "files", login=[("ada", "s3cret")]) as (url, _),
        httpx.Client(timeout=60) as stranger,
    ):
        for path in ("config", "gradio_api/info", "gradio_api/queue/data?session_hash=a", "gradio_api/upload_progress",
                     "gradio_api/file=/tmp/a.png", "gradio_api/call/erase/0f"):  # fmt: skip
            assert stranger.get(url + path).status_code == 401, path
        assert stranger.post(url + "gradio_api/upload", files={"files": b"x"}).status_code == 401
        for path in ("gradio_api/queue/join", "gradio_api/call/erase"):
            assert stranger.post(url + path, json={"data": [], "session_hash": "a", "fn_index": 0}).status_code == 401
        for name, password in (("ada", "wrong"), ("ada", ""), ("", ""), ("eve", "s3cret"), ("ada", "s3cret ")):
            answer = stranger.post(url + "login", data={"username": name, "password": password})
            assert answer.status_code in (400, 422), (name, password)
        with pytest.raises(Exception):  # noqa: B017 - the client has an error of its own for it
            Client(url, verbose=False)
        friend = Client(url, auth=("ada", "s3cret"), download_files=str(tmp_path / "out"), verbose=False)
        result = np.asarray(Image.open(friend.predict(handle_file(saved(draw_photo())), 200, 90, api_name="/erase")))
        assert result.shape == (240, 320, 3)
        friend.close()


def test_guessing_passwords_is_slowed_down(tmp_path):
    studio = Studio(ColorSegmenter, FlatInpainter)
    with running_demo(studio, tmp_path / "files", login=[("ada", "x")], requests_a_minute=4) as (url, _):
        answers = [
            httpx.post(url + "login", data={"username": "ada", "password": str(n)}, timeout=60) for n in range(8)
        ]
        assert {answer.status_code for answer in answers} == {400, 429}


_WATCHED = """
import socket, sys
def watch(kind, call):
    def checked(self, address, *more):
        if not (isinstance(address, tuple) and str(address[0]) in ("127.0.0.1", "localhost", "::1", "0.0.0.0")):
            print("OUTWARD", kind, address, file=sys.stderr, flush=True)
        return call(self, address, *more)
    return checked
class Socket(socket.socket):
    connect = watch("connect", socket.socket.connect)
    connect_ex = watch("connect_ex", socket.socket.connect_ex)
    sendto_ = socket.socket.sendto
socket.socket = Socket
look_up = socket.getaddrinfo
def checked_look_up(host, *more, **options):
    if host not in (None, "127.0.0.1", "localhost", "::1", "0.0.0.0", b"127.0.0.1", b"localhost"):
        print("OUTWARD", "look up", host, file=sys.stderr, flush=True)
    return look_up(host, *more, **options)
socket.getaddrinfo = checked_look_up
from demo.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_the_running_server_calls_nobody(saved, tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", _WATCHED, "--no-browser", "--segmenter", "grabcut", "--inpainter", "telea"],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("GRADIO_")} | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            url = server.stdout.readline().split(" is on ")[1].split()[0]
            page = httpx.get(url, timeout=60)
            client = Client(url, download_files=str(tmp_path / "out"), verbose=False)
            client.predict(handle_file(saved(draw_photo())), 200, 90, api_name="/erase")
            client.close()
        finally:
            server.terminate()
        _, errors = server.communicate(timeout=60)
    assert "OUTWARD" not in errors
    fetched = re.findall(r"""(?:src|href)=["']?((?:https?:)?//[^"' >]+)""", page.text)
    assert [address for address in fetched if not address.startswith(url)] == []
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
