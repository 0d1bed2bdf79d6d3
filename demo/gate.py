"""What stands between strangers and Gradio's server: a request passes if the page needs it, and within the limits.

Gradio serves more than this page uses: it fetches addresses for whoever asks (`file=https://...`, a photo given as an
address), converts recorded videos, lists its own functions. None of that is let through.
"""

from __future__ import annotations

import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from demo.limits import Limits

_JSON_BYTES = 8 * 2**20  # the longest stroke is 3 MiB, a webcam's frame less
_FORM_BYTES = 64 * 2**10  # what a multipart body has around the file
_ADDRESSES = 10_000  # remembered at a time
_LONGEST_BURST_S = 15.0  # of requests at the allowed rate that may come all at once

_PAGE = re.compile(
    r"/|/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt|login|logout)/?"
    r"|/(assets|static|svelte)/.+"
    r"|/gradio_api/(info|app_id|user|login_check|theme\.css|startup-events|upload_progress|queue/(join|data|status)"
    r"|upload|cancel|reset)/?"
    r"|/gradio_api/(call/(v2/)?\w+(/\w+)?|heartbeat/[\w-]+|stream/\w+(/close)?|file=.+)/?"
)
_COUNTED = re.compile(r"/login/?|/gradio_api/(queue/join|call/.+|upload)/?")
_ADDRESS = re.compile(r"\s*(//|\\\\|[a-zA-Z][a-zA-Z0-9+.-]*:)")  # C:\ too: no path of this page's has a colon there

# What a page may ask for, told to the browser too: even markup that got in somehow could not tell anybody outside.
_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self'; "
        b"form-action 'self'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class _RefusedError(Exception):
    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


class Gate:
    """ASGI middleware. Refusals are one friendly line, as JSON that Gradio's page and clients show."""

    def __init__(
        self,
        app: Any,
        *,
        limits: Limits,
        waiting: Callable[[str], int],
        make_room: Callable[[int], bool],
        own: Callable[[str, str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """waiting: how many requests of an address wait. own: is told a session and each file that it asks about.

        make_room: deletes old files until so many bytes fit, and says whether they do.
        """
        self._app, self._limits, self._now = app, limits, now
        self._waiting, self._make_room, self._own = waiting, make_room, own
        self._allowance: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address -> requests left, as of when

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        try:
            receive = await self._checked(scope, receive)
        except _RefusedError as refused:
            return await _refuse(send, refused)

        answered = False

        async def send_with_headers(message: Any) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                message, answered = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}, True
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except (TypeError, OSError):
            # Gradio's answer to an upload that is no file, or is called "." and the like.
            if answered or not scope["path"].rstrip("/").endswith("/upload"):
                raise
            await _refuse(send, _RefusedError(400, "An upload must be a file with a name."))

    async def _checked(self, scope: Any, receive: Any) -> Any:
        """What to receive from after all checks. Raises _RefusedError."""
        path, address = scope["path"], (scope.get("client") or ("", 0))[0]
        if not _PAGE.fullmatch(path):
            raise _RefusedError(404, "There is no such page.")
        if path.startswith("/gradio_api/file=") and _ADDRESS.match(path.partition("=")[2]):
            raise _RefusedError(403, "Only files of this page are served.")
        if scope["method"] != "POST":
            return receive
        if _COUNTED.fullmatch(path):
            self._count(address)
        if path.rstrip("/").endswith("/upload"):
            self._check_upload(scope)
            return receive
        body = await _body(receive, _JSON_BYTES)
        if path.startswith("/gradio_api/"):
            self._check_json(body, address, joins="/stream/" not in path)
        return _replay(body, receive)

    def _count(self, address: str) -> None:
        rate = self._limits.requests_a_minute / 60
        if not rate:
            return
        now, most = self._now(), max(1.0, rate * _LONGEST_BURST_S)
        left, then = self._allowance.pop(address, (most, now))
        left = min(most, left + rate * (now - then))
        self._allowance[address] = (max(0.0, left - 1), now)
        if len(self._allowance) > _ADDRESSES:
            self._allowance.popitem(last=False)
        if left < 1:
            raise _RefusedError(429, "Too many requests: please wait a few seconds and try again.")

    def _check_upload(self, scope: Any) -> None:
        length = dict(scope["headers"]).get(b"content-length", b"")
        if not length.isdigit():
            raise _RefusedError(411, "An upload must say how long it is.")
        if int(length) > self._limits.file_bytes + _FORM_BYTES:
            raise _RefusedError(
                413, f"This file is too large: the limit is {self._limits.file_bytes / 2**20:.0f} MB a photo."
            )
        if not self._make_room(int(length)):
            raise _RefusedError(507, "The server is busy: its disk is full of photos. Please try again later.")

    def _check_json(self, body: bytes, address: str, *, joins: bool) -> None:
        try:
            content = json.loads(body or b"{}")
            files = list(_file_paths(content))
        except (ValueError, RecursionError) as error:
            raise _RefusedError(400, "This is no request that the page makes.") from error
        if any(_ADDRESS.match(path) for path in files):
            raise _RefusedError(400, "Only uploaded photos can be used, not addresses.")
        if joins and self._waiting(address) >= self._limits.queue_of_one:
            raise _RefusedError(429, "Too many requests are waiting already: please wait for their answers.")
        session = content.get("session_hash") if isinstance(content, dict) else None
        if isinstance(session, str):
            for path in files:
                self._own(session, path)


def _file_paths(content: Any) -> Iterator[str]:
    """Whatever could be taken for the path of a file, anywhere in a request."""
    if isinstance(content, dict):
        if isinstance(path := content.get("path"), str):
            yield path
        content = list(content.values())
    if isinstance(content, list):
        for part in content:
            yield from _file_paths(part)


async def _body(receive: Any, most: int) -> bytes:
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _RefusedError(400, "The request ended early.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = message.get("more_body", False)
        if size > most:
            raise _RefusedError(413, f"This request is too long: the limit is {most // 2**20} MB.")
    return b"".join(parts)


def _replay(body: bytes, receive: Any) -> Any:
    """A receive that gives the body once, and then what comes after it: the end of the connection."""
    given = False

    async def again() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _refuse(send: Any, refused: _RefusedError) -> None:
    body = json.dumps({"detail": str(refused), "error": str(refused)}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *_HEADERS]
    if refused.status in (429, 507):
        headers.append((b"retry-after", b"10"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
