"""What visitors leave on the server, and when it goes: photos in memory, undo steps, uploads, results.

Everything here that knows Gradio's insides is in `Housekeeping`: its sessions, its queue, its upload folder.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import gradio as gr
from gradio import route_utils

from demo.limits import Limits
from demo.session import Session, held_bytes
from demo.studio import VisitorError, write

EVERY_S = 5.0
LEFT_S = 600  # photos of closed pages: a phone hangs up whenever its owner looks at something else
_LEAVING = datetime.timedelta(seconds=10)  # for what is under way; Gradio notes the leaving itself as a use, too
log = logging.getLogger("clickaway.demo")


class Housekeeping:
    """Keeps what visitors hold within the limits and throws away what nobody comes back for."""

    def __init__(self, app: gr.Blocks, session: gr.State, limits: Limits, folder: str | Path) -> None:
        """session: the state that holds each visitor's Session. folder: where uploads and results lie."""
        self._app, self._session, self._limits = app, session, limits
        self._folder = Path(folder)
        self._files: dict[str, set[Path]] = {}  # session hash -> what it uploaded and was given
        self._left: dict[str, datetime.datetime] = {}  # session hash -> when its page was closed
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begins to look after the server, from a thread of its own, until `stop`."""
        threading.Thread(target=self._run, daemon=True, name="housekeeping").start()

    def stop(self) -> None:
        self._stopped.set()

    def save(self, session: Session, suffix: str, request: gr.Request | None) -> tuple[Path, tuple[str, ...]]:
        """The visitor's photo as a file that only he can find and that goes when he does, and notes for him."""
        path, notes = write(session, suffix, self._folder, strip_metadata=self._limits.strip_metadata)
        if request and request.session_hash:
            self._note(request.session_hash, path.parent)
        return path, notes

    def own(self, session_hash: str, path: str) -> None:
        """Notes that an upload is that visitor's: it goes when he does. A stranger says so, so it is checked.

        Nothing is noted of files elsewhere, of folders, and of the page's own pictures.
        """
        file = Path(path)
        inside = file.is_absolute() and ".." not in file.parts and file.is_relative_to(self._folder)
        if inside and file.is_file() and not file.is_symlink() and str(file) not in self._own_pictures():
            self._note(session_hash, file)

    def _note(self, session_hash: str, path: Path) -> None:
        with self._lock:
            self._files.setdefault(session_hash, set()).add(path)

    def _own_pictures(self) -> set[str]:
        return {path for block in self._app.blocks.values() for path in getattr(block, "keep_in_cache", ())}

    async def leave(self, request: gr.Request) -> None:
        """The visitor's page is closed: the model is free for the next one, the files go now, the photo soon."""
        session_hash = request.session_hash
        if session_hash is None:
            return
        await self._app._queue.clean_events(session_hash=session_hash)
        self._delete_files_of(session_hash)
        if self._photo_of(session_hash) is None:
            self._forget(session_hash)
        with self._lock:  # what still runs for him may leave another file
            self._left[session_hash] = datetime.datetime.now()

    def stay(self, request: gr.Request | None) -> Callable[[], None]:
        """A check for work that begins now: it raises VisitorError once the visitor has left since."""
        session_hash, begun = request.session_hash if request else None, datetime.datetime.now()

        def check() -> None:
            with self._lock:
                left = self._left.get(session_hash) if session_hash else None
            if left is not None and left > begun:  # who left earlier has come back
                raise VisitorError("The page was closed, so this was given up.")

        return check

    def waiting(self, address: str) -> int:
        """How many requests of that address wait in Gradio's queue."""
        queues = list(self._app._queue.event_queue_per_concurrency_id.values())
        events = [event for queue in queues for event in list(queue.queue)]
        return sum(event.request.client is not None and event.request.client.host == address for event in events)

    def make_room(self, size: int) -> bool:
        """Deletes visitors' oldest files until size more bytes fit into the limit. False if they never can."""
        files = sorted(self._visitors_files(), key=lambda file: file.changed)
        used = sum(file.size for file in files)
        for file in files:
            if used + size <= self._limits.disk_bytes:
                break
            self._delete(file.path)
            used -= file.size
        return used + size <= self._limits.disk_bytes

    def sweep(self) -> None:
        """Everything that is to go by now goes."""
        self._see_off()
        self._free_memory()
        oldest = time.time() - self._limits.kept_seconds
        for file in self._visitors_files():
            if file.changed < oldest:
                self._delete(file.path)
        for paths in self._app.temp_file_sets:  # Gradio's own list; it never strikes out what others have deleted
            paths.difference_update([path for path in paths.copy() if not Path(path).exists()])

    def _run(self) -> None:
        while not self._stopped.wait(EVERY_S):
            try:
                self.sweep()
            except Exception:  # one failure must not end the sweeping
                log.exception("housekeeping failed")

    def _see_off(self) -> None:
        """Forgets who has left, or done nothing, for too long. Who has a photo and came back is not one who left.

        Of programs that have left, requests may still come through and leave files, which go too.
        """
        now, last_used = datetime.datetime.now(), dict(self._app.state_holder.time_last_used)
        at_work = {event.session_hash for event in list(self._app._queue.event_ids_to_events.values())}
        with self._lock:
            left = dict(self._left)
        for session_hash, then in left.items():
            last = max(then, last_used.get(session_hash, then))
            if last > then + _LEAVING and self._photo_of(session_hash) is not None:
                with self._lock:
                    self._left.pop(session_hash, None)
            elif (now - last).total_seconds() > LEFT_S:
                self._forget(session_hash)
            elif now > last + _LEAVING and session_hash not in at_work:
                self._delete_files_of(session_hash)
        for session_hash, then in last_used.items():
            if (now - then).total_seconds() > self._limits.kept_seconds:
                self._forget(session_hash)

    def _free_memory(self) -> None:
        """Takes undo steps, then photos, from who was away longest until all fit into the limit."""
        holder = self._app.state_holder
        held = {key: session for key in list(holder.session_data) if (session := self._photo_of(key)) is not None}
        sizes = {key: held_bytes((*session.past, session)) for key, session in held.items()}
        for drop in (lambda session: replace(session, past=()), lambda session: None):
            for key in held:  # the holder's order: least recently used first
                if sum(sizes.values()) <= self._limits.memory_bytes:
                    return
                less = drop(held[key])
                if key in holder.session_data:
                    holder.session_data[key][self._session._id] = less
                sizes[key] = 0 if less is None else held_bytes((less,))

    def _photo_of(self, session_hash: str) -> Session | None:
        state = self._app.state_holder.session_data.get(session_hash)
        return state.state_data.get(self._session._id) if state else None

    def _forget(self, session_hash: str) -> None:
        """All that the server knows about the visitor."""
        holder = self._app.state_holder
        with holder.lock:
            holder.session_data.pop(session_hash, None)
            holder.time_last_used.pop(session_hash, None)
        with self._lock:
            self._left.pop(session_hash, None)
        self._delete_files_of(session_hash)

    def _delete_files_of(self, session_hash: str) -> None:
        with self._lock:
            files = self._files.pop(session_hash, set())
        for path in files:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                self._delete(path)

    def _delete(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        if path.parent != self._folder:
            with contextlib.suppress(OSError):  # another file lies there
                path.parent.rmdir()

    def _visitors_files(self) -> list[_File]:
        """All files in the folder but the page's own pictures."""
        found, own = [], self._own_pictures()
        for folder, _, names in os.walk(self._folder):  # not rglob, which raises where a folder goes meanwhile
            for path in (Path(folder, name) for name in names):
                with contextlib.suppress(FileNotFoundError):  # deleted since it was listed
                    about = path.lstat()
                    if str(path) not in own:
                        found.append(_File(path, about.st_size, about.st_mtime))
        return found


@dataclass(frozen=True)
class _File:
    path: Path
    size: int
    changed: float


class OwnUpload(route_utils.GradioUploadFile):
    """An upload with a folder of its own. Gradio's are named by their content: two visitors' equal photos are one
    file, which could not go with the first of them."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self.sha.update(secrets.token_bytes(16))


def give_uploads_folders_of_their_own() -> None:
    """From now on, in this process."""
    route_utils.GradioUploadFile = OwnUpload  # type: ignore[misc]
