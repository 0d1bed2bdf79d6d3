"""Fetches one weight file: resumes what was cut, checks its sha256, and appears under its name whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from weights import WeightsError, check_sha256, sha256_of

_REACH_SECONDS = 4.0  # for name look-up and connection together: whoever has no network knows it within 5 seconds
_STALL_SECONDS = 30.0  # a server that sends nothing for this long is given up
_ANSWER_SECONDS = 60.0  # for the beginning of an answer, redirects and all, however busily it is sent
_WINDOW_SECONDS, _LEAST_BYTES = 60.0, 1 << 16  # a tenth of what a telephone modem takes: slower is no download
_ATTEMPTS = 3  # in a row without a new byte
_PAUSE_SECONDS = 1.0  # after the first attempt in vain; longer after the next
_CHUNK = 1 << 14  # read at a time, at most
_MOST_BYTES = 8 * 2**30  # ten times the largest public checkpoint: a server that never ends must not fill the disk


class _CutError(Exception):
    """The connection ended early: worth another attempt."""


class _SlowError(Exception):
    """Bytes come, but so few that the file would never be whole."""


class _Pace:
    """How much came lately, over however many connections: each of them may bring a byte and fall silent."""

    def __init__(self) -> None:
        self._since, self._bytes = time.monotonic(), 0

    def add(self, number: int) -> None:
        """Notes that so many bytes came. Raises _SlowError if there were too few."""
        self._bytes += number
        if time.monotonic() - self._since >= _WINDOW_SECONDS:
            if self._bytes < _LEAST_BYTES:
                raise _SlowError(f"{self._bytes / 1024:.1f} KiB within {_WINDOW_SECONDS:.0f} s")
            self._since, self._bytes = time.monotonic(), 0


def download(url: str, target: Path, *, sha256: str, offline: bool | None = None, progress: bool = True) -> Path:
    """The file at target, fetched from url if it is not there yet.

    A download that was cut stays beside the target as NAME.partial and goes on from there the next time. Two processes
    that want the same file wait for each other.

    sha256: hex, the whole digest or its first 8 or more digits; checked before the file gets its name.
    offline: True never opens a connection; None asks the environment (CLICKAWAY_OFFLINE).
    progress: draws a bar on stderr.
    Raises ValueError if url is not http(s) or sha256 is too short, WeightsError, in one line that names the file, the
    folder and the address, if the file cannot be had or is not what it should be.
    """
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise ValueError(f"only http and https addresses can be fetched, got {url!r}")
    if len(sha256) < 8:
        raise ValueError(f"sha256 must have 8 hex digits or more, got {sha256!r}")
    if target.is_file():
        check_sha256(target, sha256)
        return target
    if is_offline() if offline is None else offline:
        raise WeightsError(f"{target.name} is not here and downloads are switched off; {_by_hand(url, target)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch_alone(url, target, sha256, progress)
    except OSError as error:  # the network's own errors are OSErrors too, and are handled where they come up
        reason = error.strerror or str(error)
        raise WeightsError(f"{target} cannot be written ({reason}); {_by_hand(url, target)}") from error
    return target


def is_offline() -> bool:
    """True if the environment forbids downloads (CLICKAWAY_OFFLINE is set, and to something other than 0)."""
    return os.environ.get("CLICKAWAY_OFFLINE", "").strip().lower() not in ("", "0", "false", "no", "off")


def _fetch_alone(url: str, target: Path, sha256: str, progress: bool) -> None:
    """Downloads target while holding its lock; nothing to do if another process was quicker."""
    from filelock import FileLock, Timeout  # the system releases it when a process dies: no stale locks

    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if progress:
            print(f"another process is fetching {target.name}: waiting for it", file=sys.stderr)
        lock.acquire()
    try:
        if not target.is_file():
            _fetch_checked(url, target, sha256, progress)
    finally:
        lock.release()


def _fetch_checked(url: str, target: Path, sha256: str, progress: bool) -> None:
    """Downloads into NAME.partial, and gives it its name if it is what it should be."""
    partial = target.with_name(target.name + ".partial")
    resumed = partial.is_file() and partial.stat().st_size > 0
    _fetch_whole(url, target, partial, progress)
    digest = sha256_of(partial)
    if resumed and not digest.startswith(sha256.lower()):
        # The piece found here may have been of another file: one more try with nothing of it.
        partial.unlink()
        _fetch_whole(url, target, partial, progress)
        digest = sha256_of(partial)
    if not digest.startswith(sha256.lower()):
        partial.unlink()
        raise WeightsError(
            f"what the server sent is not {target.name}: its sha256 begins {digest[: len(sha256)]}, expected "
            f"{sha256}, so nothing was kept; {_by_hand(url, target)}"
        )
    partial.replace(target)


def _fetch_whole(url: str, target: Path, partial: Path, progress: bool) -> None:
    """Fills partial, going on after each cut until _ATTEMPTS in a row have brought nothing new."""
    most, in_vain, pace = 0, 0, _Pace()
    while True:
        try:
            return _fetch_rest(url, target, partial, progress, pace)
        except (_CutError, _SlowError) as error:
            have = partial.stat().st_size if partial.exists() else 0
            in_vain = 0 if have > most else in_vain + 1
            most = max(most, have)
            if in_vain == _ATTEMPTS or isinstance(error, _SlowError):
                raise WeightsError(
                    f"{target.name} did not come through ({error}); {have / 2**20:.1f} MiB are kept, run it again to "
                    f"go on, or {_by_hand(url, target)}"
                ) from error
            time.sleep(_PAUSE_SECONDS * in_vain)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                partial.unlink(missing_ok=True)  # give the room back: the disk may be the system's
                raise _no_room(url, target, None) from error
            raise


def _fetch_rest(url: str, target: Path, partial: Path, progress: bool, pace: _Pace) -> None:
    """One request for what partial does not hold yet."""
    import requests  # 60 ms, and only needed where a file is missing
    import urllib3
    from tqdm import tqdm

    have = partial.stat().st_size if partial.is_file() else 0
    # "identity": a compressed transfer would make sizes and ranges mean something else.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    _check_reachable(url, target)
    try:
        with _answer(url, headers) as response:
            if response.status_code == 416:  # nothing after what is here: complete, or a piece of a longer file
                if response.headers.get("Content-Range", "").rpartition("/")[2] != str(have):
                    partial.unlink()
                    raise _CutError("the piece found here did not fit the server's file")
                return
            _check_response(response, url, target)
            if response.status_code == 200:
                have = 0  # the server sends everything, asked for a part or not: begin anew
            elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                partial.unlink(missing_ok=True)
                raise _CutError("the server sent another part than was asked for")
            left = response.headers.get("Content-Length", "")
            total = have + int(left) if left.isdigit() else None
            if total and total > _MOST_BYTES:
                raise _endless(url, target)
            if total and shutil.disk_usage(partial.parent).free < total - have:
                raise _no_room(url, target, total)
            bar = tqdm(
                desc=target.name, total=total, initial=have, unit="B", unit_scale=True, disable=not progress, leave=True
            )
            with bar, partial.open("ab" if have else "wb") as file:
                while chunk := response.raw.read1(_CHUNK):  # what is there: a whole chunk may be long in coming
                    if file.tell() + len(chunk) > _MOST_BYTES:
                        partial.unlink(missing_ok=True)
                        raise _endless(url, target)
                    file.write(chunk)
                    bar.update(len(chunk))
                    pace.add(len(chunk))
                file.flush()
                os.fsync(file.fileno())
    except (requests.TooManyRedirects, requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL) as error:
        raise WeightsError(
            f"the server sends on and on, or to no address of the web, for {target.name}; {_by_hand(url, target)}"
        ) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        pace.add(0)
        raise _CutError(_in_short(error)) from error
    if total is not None and partial.stat().st_size < total:
        raise _CutError(f"the server closed after {partial.stat().st_size} of {total} bytes")


def _answer(url: str, headers: dict[str, str]) -> Any:
    """The server's answer, its body not read yet. Raises _CutError after _ANSWER_SECONDS, requests' own errors.

    In a daemon thread, because a request's timeout begins anew with each byte, and a header may come byte by byte.
    """
    import requests

    answers: list[Any] = []
    given_up = threading.Event()

    def ask() -> None:
        try:
            answers.append(requests.get(url, headers=headers, stream=True, timeout=(_REACH_SECONDS, _STALL_SECONDS)))
        except Exception as error:  # raised where it is waited for
            answers.append(error)
        if given_up.is_set() and isinstance(answers[0], requests.Response):
            answers[0].close()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_ANSWER_SECONDS)
    if not answers:
        given_up.set()
        raise _CutError(f"the server did not come to an answer within {_ANSWER_SECONDS:.0f} s")
    if isinstance(answers[0], Exception):
        raise answers[0]
    return answers[0]


def _check_response(response: Any, url: str, target: Path) -> None:
    """Raises _CutError for an answer that may be better next time, WeightsError for one that will not."""
    if response.status_code >= 500 or response.status_code == 429:
        raise _CutError(f"the server answered {response.status_code} {response.reason}")
    if response.status_code not in (200, 206):
        raise WeightsError(
            f"the server answered {response.status_code} {response.reason} for {target.name}; {_by_hand(url, target)}"
        )
    if response.headers.get("Content-Type", "").lower().startswith(("text/html", "application/xhtml")):
        raise WeightsError(
            f"the server answered with a web page instead of {target.name} (a login or a proxy in between?); "
            f"{_by_hand(url, target)}"
        )


def _check_reachable(url: str, target: Path) -> None:
    """Raises WeightsError unless the server, or the proxy before it, can be connected to within _REACH_SECONDS.

    Asked apart from the request, because a request's timeout neither covers the name look-up nor the sum over a
    host's several addresses; and in a daemon thread, because a look-up cannot be interrupted.
    """
    from requests.utils import get_environ_proxies, select_proxy

    address = urlsplit(select_proxy(url, get_environ_proxies(url)) or url)
    host, port = address.hostname or "", address.port or (443 if address.scheme == "https" else 80)
    outcome: list[str] = []

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=_REACH_SECONDS).close()
            outcome.append("")
        except OSError as error:
            outcome.append(error.strerror or str(error))

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_REACH_SECONDS)
    if outcome != [""]:
        reason = outcome[0] if outcome else f"no answer in {_REACH_SECONDS:.0f} s"
        raise WeightsError(
            f"{target.name} is not here and {host} cannot be reached ({reason}): is there a network? "
            f"If not, {_by_hand(url, target)}"
        )


def _in_short(error: Exception) -> str:
    """What went wrong, without the chain of libraries that passed it on."""
    import requests
    import urllib3

    if isinstance(error, requests.Timeout) or "timed out" in str(error):  # a ConnectionError if it was within the body
        return f"the server sent nothing for {_STALL_SECONDS:.0f} s"
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate was not accepted"
    if isinstance(error, requests.ConnectionError | urllib3.exceptions.HTTPError):
        return "the connection was cut"
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _endless(url: str, target: Path) -> WeightsError:
    return WeightsError(
        f"what the server sends is larger than any weights, so it is not {target.name}; {_by_hand(url, target)}"
    )


def _no_room(url: str, target: Path, total: int | None) -> WeightsError:
    free = shutil.disk_usage(target.parent).free / 2**20
    needs = f"{total / 2**20:.1f} MiB are needed and " if total else ""
    return WeightsError(
        f"the disk is full: {needs}{free:.1f} MiB are free for {target.name}; make room in {target.parent}, "
        f"or set CLICKAWAY_WEIGHTS to a folder elsewhere"
    )


def _by_hand(url: str, target: Path) -> str:
    return f"fetch {url} elsewhere and put it into {target.parent} as {target.name}"
