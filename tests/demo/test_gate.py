"""The gate alone, asked as a server asks it: what passes, what is refused, and that a refusal is one friendly line."""

from __future__ import annotations

import asyncio
import json

import pytest

from demo.gate import _ADDRESSES, _JSON_BYTES, Gate
from demo.limits import Limits

JOIN, UPLOAD = "/gradio_api/queue/join", "/gradio_api/upload"


class Behind:
    """What stands behind the gate; remembers what came through."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.bodies: list[bytes] = []

    async def __call__(self, scope, receive, send) -> None:
        self.paths.append(scope["path"])
        if scope["method"] == "POST":
            self.bodies.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


class Asked:
    """A gate with a clock, a queue and a disk of the test's."""

    def __init__(self, **limits) -> None:
        self.behind, self.time, self.waits, self.room, self.owned = Behind(), 0.0, 0, True, []
        self.gate = Gate(
            self.behind,
            limits=Limits(**limits),
            waiting=lambda _: self.waits,
            make_room=lambda _: self.room,
            own=lambda *args: self.owned.append(args),
            now=lambda: self.time,
        )

    def __call__(self, path: str, body: bytes | None = None, *, length: str | None = None, address="10.0.0.1"):
        """Status, headers and the refusal's line, if it is one."""
        size = (str(len(body or b"")) if length is None else length).encode()
        scope = {
            "type": "http",
            "path": path,
            "method": "GET" if body is None else "POST",
            "client": (address, 1),
            "headers": [(b"content-length", size)] if size else [],
        }
        parts, sent = [(body or b"")[:10], (body or b"")[10:]], []

        async def receive():
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

        async def send(message):
            sent.append(message)

        asyncio.run(self.gate(scope, receive, send))
        headers = dict(sent[0]["headers"])
        status = sent[0]["status"]
        line = "" if status == 200 else json.loads(sent[1]["body"])["detail"]
        assert status == 200 or (line and "\n" not in line and "/" not in line)
        return status, headers, line


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.mark.parametrize(
    "path",
    [
        "/", "/config", "/theme.css", "/favicon.ico", "/assets/index-1.js", "/static/fonts/a.woff2", "/login",
        "/gradio_api/info", "/gradio_api/heartbeat/abc-12", "/gradio_api/queue/data", "/gradio_api/file=/tmp/a/b.png",
        "/gradio_api/call/erase/0f3", "/gradio_api/upload_progress", "/gradio_api/startup-events",
    ],
)  # fmt: skip
def test_what_the_page_needs_passes(asked, path):
    assert asked(path)[0] == 200
    assert asked.behind.paths == [path]


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=https://example.com/", "/gradio_api/component_server", "/gradio_api/process_recording",
        "/gradio_api/vibe-edit", "/gradio_api/vibe-code", "/gradio_api/deep_link", "/gradio_api/dev/reload",
        "/gradio_api/custom_component/a/client/b/c", "/gradio_api/run/erase", "/gradio_api/api/erase", "/monitoring",
        "/monitoring/summary", "/gradio_api/file/etc/passwd", "/gradio_api/stream/a/b/1/playlist-file", "/docs",
        "/openapi.json", "/gradio_api/mcp/sse", "/.git/config", "/etc/passwd", "", "/gradio_api/token", "/pwa_icon/9",
    ],
)  # fmt: skip
def test_what_the_page_does_not_need_is_not_there(asked, path):
    for body in (None, b"{}"):
        assert asked(path, body)[0] == 404
    assert asked.behind.paths == []


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:1/a", "https://example.com/a.png", "HTTPS://e.com", "//e.com/a", "file:///etc/passwd", "ftp://e",
     " http://e.com", "data:text/html,x", "\\\\host\\share", "gopher://e"],
)  # fmt: skip
def test_no_address_is_fetched_for_a_stranger(asked, address):
    assert asked(f"/gradio_api/file={address}")[0] == 403
    forms = (
        {"data": [{"path": address, "meta": {"_type": "gradio.FileData"}}, 1, 2]},
        {"data": [[{"a": {"path": address}}]], "session_hash": "s"},
        {"event_data": {"path": address}},
    )
    for content in forms:
        for path in (JOIN, "/gradio_api/call/erase", "/gradio_api/stream/0f"):
            escaped = "".join(f"\\u{ord(letter):04x}" for letter in address)
            plain = json.dumps(content)
            for text in (plain, plain.replace(json.dumps(address), f'"{escaped}"')):
                assert asked(path, text.encode())[0] == 400
    assert asked.behind.paths == []


def test_a_photo_that_was_uploaded_passes_and_is_its_visitors(asked):
    photo = {"path": "/tmp/x/0f/a.png", "url": "http://127.0.0.1:7860/gradio_api/file=/tmp/x/0f/a.png"}
    body = json.dumps({"data": [photo, 1, 2], "session_hash": "me"}).encode()
    assert asked(JOIN, body)[0] == 200
    assert asked.behind.bodies == [body]
    assert asked.owned == [("me", "/tmp/x/0f/a.png")]


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 200_000, b'{"data": nope}'])
def test_what_is_no_json_is_refused(asked, body):
    assert asked(JOIN, body)[0] == 400


def test_a_request_that_is_too_long_is_refused(asked):
    assert asked(JOIN, b'"' + b"a" * _JSON_BYTES + b'"')[0] == 413
    assert asked(JOIN, json.dumps(["a" * 10**6]).encode())[0] == 200


def test_an_upload_that_is_too_large_or_does_not_say_how_large_is_refused():
    asked = Asked(file_bytes=5 * 2**20)
    assert asked(UPLOAD, b"x", length=str(5 * 2**20))[0] == 200
    status, _, line = asked(UPLOAD, b"x", length=str(6 * 2**20))
    assert status == 413 and "5 MB" in line
    for length in ("", "-1", "1e3", "many"):
        assert asked(UPLOAD, b"x", length=length)[0] == 411


def test_an_upload_waits_outside_while_the_disk_is_full(asked):
    asked.room = False
    status, headers, line = asked(UPLOAD, b"x")
    assert status == 507 and "later" in line and b"retry-after" in headers


def test_a_visitor_in_too_much_of_a_hurry_is_asked_to_wait_and_nobody_else_is():
    asked = Asked(requests_a_minute=120)  # 30 at once, then two a second
    answers = [asked(JOIN, b"{}")[0] for _ in range(40)]
    assert answers == [200] * 30 + [429] * 10
    status, headers, line = asked(JOIN, b"{}")
    assert status == 429 and "wait" in line and b"retry-after" in headers
    assert asked(JOIN, b"{}", address="10.0.0.2")[0] == 200
    assert asked("/", address="10.0.0.1")[0] == 200  # the page itself can still be seen
    asked.time += 2
    assert [asked(JOIN, b"{}")[0] for _ in range(6)] == [200] * 4 + [429] * 2


@pytest.mark.parametrize("path", [JOIN, "/gradio_api/call/erase", "/login", UPLOAD])
def test_every_door_to_work_is_counted(path):
    asked = Asked(requests_a_minute=4)
    assert asked(path, b"{}")[0] == 200
    assert asked(path, b"{}")[0] == 429


def test_the_rate_can_be_switched_off():
    asked = Asked(requests_a_minute=0)
    assert {asked(JOIN, b"{}")[0] for _ in range(500)} == {200}


def test_ever_new_addresses_do_not_fill_the_memory():
    asked = Asked(requests_a_minute=60)
    for number in range(_ADDRESSES + 50):
        asked.gate._count(str(number))
    assert len(asked.gate._allowance) == _ADDRESSES


def test_one_visitor_cannot_take_the_whole_queue():
    asked = Asked(queue_of_one=3)
    asked.waits = 2
    assert asked(JOIN, b"{}")[0] == 200
    asked.waits = 3
    status, _, line = asked(JOIN, b"{}")
    assert status == 429 and "waiting already" in line
    assert asked("/gradio_api/stream/0f", b"{}")[0] == 200  # a camera's next frame waits in no queue


def test_every_answer_tells_the_browser_to_ask_nobody_else(asked):
    for path in ("/", "/nowhere"):
        _, headers, _ = asked(path)
        policy = headers[b"content-security-policy"].decode()
        assert policy.startswith("default-src 'self'") and "http" not in policy and "*" not in policy
        assert headers[b"x-content-type-options"] == b"nosniff"


def test_what_is_no_http_passes_untouched(asked):
    seen = []

    async def lifespan(scope, receive, send):
        seen.append(scope["type"])

    gate = Gate(lifespan, limits=Limits(), waiting=lambda _: 0, make_room=lambda _: True, own=lambda *_: None)
    asyncio.run(gate({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]
