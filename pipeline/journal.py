"""The state of each photo of a batch, in a SQLite file: what a run that was killed goes on from.

It lies beside the results; for results behind a URL it lies on this machine, for SQLite needs a disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from pipeline.coco import AnnotatedPhoto
from pipeline.inputs import Task
from pipeline.job import Job, Outcome
from pipeline.remote import Place, Url, place, relative

JOURNAL_FILE = ".clickaway-journal.sqlite"
_VERSION = 2  # of the tables
_TABLES = """
CREATE TABLE photo (
    target TEXT PRIMARY KEY,     -- below the folder of results
    source TEXT NOT NULL,
    fingerprint TEXT NOT NULL,   -- of the file and of what is done to it; of the file as saved if it is overwritten
    state TEXT NOT NULL,         -- started, done or failed
    outcome TEXT,                -- JSON
    edit TEXT                    -- where the photo itself is overwritten: the fingerprint of what is done to it, alone
);
CREATE TABLE run (finished INTEGER NOT NULL);
INSERT INTO run VALUES (1);
"""
_FROM_VERSION_1 = "ALTER TABLE photo ADD COLUMN edit TEXT;"


class JournalError(OSError):
    """The journal cannot be used. The message says why and what to do."""


class Journal:
    """Which photos are started, done and failed. One process at a time has it: a second one is refused."""

    def __init__(self, out: Place | None, *, file: Path | None = None):
        """out: the folder of results, made if need be; None keeps the journal in memory, for this run alone.

        file: where the journal lies; None: as `journal_file` says.

        Raises JournalError where another run has it or it is no journal, OSError where the folder cannot be written.
        """
        self._out = out
        self._file = ":memory:"
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            path = file or journal_file(out)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()  # SQLite would not say why it cannot
            self._file = str(path)
        with self._plain_errors():
            self._database = sqlite3.connect(self._file, timeout=0, isolation_level=None)
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")  # held until this process ends, however it does
            self._database.execute("PRAGMA journal_mode = WAL")  # a commit is one write
            self._database.execute("PRAGMA synchronous = FULL")  # what is committed outlives a power cut
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self._database.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {_VERSION}; COMMIT")
            elif version == 1:
                self._database.executescript(f"BEGIN; {_FROM_VERSION_1} PRAGMA user_version = {_VERSION}; COMMIT")
            elif version != _VERSION:
                raise JournalError(f"{self._file} is of another version of Clickaway: give another --out folder")

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def begin(self, tasks: Iterable[Task], *, afresh: bool) -> None:
        """Notes that a run begins. afresh: forgets what was done of these, unless the last run was not finished."""
        with self._plain_errors(), self._database:
            self._database.execute("BEGIN")
            (finished,) = self._database.execute("SELECT finished FROM run").fetchone()
            if afresh and finished:
                keys = ((self._key(task.target),) for task in tasks)
                self._database.executemany("DELETE FROM photo WHERE target = ?", keys)
            self._database.execute("UPDATE run SET finished = 0")

    def end(self) -> None:
        """Notes that the run has come to its end."""
        with self._plain_errors():
            self._database.execute("UPDATE run SET finished = 1")

    def is_started(self, task: Task) -> bool:
        """Whether a run was killed while it worked on this photo: a file of the target's name is its own."""
        row = self._row("SELECT state FROM photo WHERE target = ?", self._key(task.target))
        return row is not None and row[0] == "started"

    def is_overwritten(self, task: Task, job: Job) -> bool:
        """Whether a run was killed after it had saved its result over this photo, as far as can be known.

        The file is another than it was at the start of the same edit: done again, it would be edited twice.
        """
        row = self._row(
            "SELECT fingerprint, edit FROM photo WHERE target = ? AND state = 'started'", self._key(task.target)
        )
        if row is None or row[1] is None or not task.target.exists():
            return False
        return bool(row[0] != fingerprint(task, job) and row[1] == _edit_fingerprint(task, job))

    def done(self, task: Task, job: Job) -> Outcome | None:
        """What became of this photo earlier, if the same was done to the same file and the result is still there."""
        query = "SELECT fingerprint, outcome FROM photo WHERE target = ? AND state = 'done'"
        row = self._row(query, self._key(task.target))
        if row is None or row[0] != fingerprint(task, job):
            return None
        outcome = _from_json(row[1], task)
        return outcome if all(file.exists() for file in outcome.files) else None

    def start(self, task: Task, job: Job) -> None:
        """Notes that a photo is being worked on; from now on its target is this journal's."""
        edit = _edit_fingerprint(task, job) if task.is_in_place else None
        values = (self._key(task.target), _text(task.source.resolve()), fingerprint(task, job), edit)
        with self._plain_errors():
            self._database.execute("INSERT OR REPLACE INTO photo VALUES (?, ?, ?, 'started', NULL, ?)", values)

    def finish(self, outcome: Outcome, task: Task, job: Job) -> None:
        """Notes what became of a photo that was started; one that was overwritten is known by its new state."""
        saved = fingerprint(task, job) if outcome.status == "done" and task.is_in_place else None
        values = (outcome.status, _to_json(outcome), saved, self._key(task.target))
        query = "UPDATE photo SET state = ?, outcome = ?, fingerprint = coalesce(?, fingerprint) WHERE target = ?"
        with self._plain_errors():
            self._database.execute(query, values)

    def targets(self) -> dict[Place, Place]:
        """Source, as `Path.resolve` says it -> the target that it was given by an earlier run."""
        with self._plain_errors():
            rows = self._database.execute("SELECT source, target FROM photo").fetchall()
        out = self._out or Path()
        return {place(os.fsdecode(source)): out / os.fsdecode(target) for source, target in rows}

    def _row(self, query: str, key: str | bytes) -> tuple[Any, ...] | None:
        with self._plain_errors():
            row: tuple[Any, ...] | None = self._database.execute(query, (key,)).fetchone()
        return row

    def _key(self, target: Place) -> str | bytes:
        return _text(target if self._out is None else relative(target, self._out))

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise JournalError(f"another run is at work in {self._out}: wait for its end") from error
            raise JournalError(f"the journal {self._file} cannot be written: {error}") from error
        except sqlite3.DatabaseError as error:
            raise JournalError(f"{self._file} is damaged or no journal ({error}): remove it to start anew") from error


def journal_file(out: Place) -> Path:
    """Where the journal of those results lies: beside them, or for a URL in this user's folder for programs' state."""
    if isinstance(out, Path):
        return out / JOURNAL_FILE
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "clickaway" / f"{hashlib.sha256(str(out).encode()).hexdigest()[:16]}.sqlite"


def fingerprint(task: Task, job: Job) -> str:
    """The same for the same file, as size and time tell, and the same that is done to it."""
    return _digest({"source": file_state(task.source)} | _asked(task, job))


def _edit_fingerprint(task: Task, job: Job) -> str:
    return _digest(_asked(task, job))


def _asked(task: Task, job: Job) -> dict[str, object]:
    return {
        "mask": file_state(task.pick.mask_file),
        "pick": replace(task.pick, mask_file=_real(task.pick.mask_file)),
        "effect": type(job.effect).__name__,
        "options": [_plain(getattr(job.effect, one.name)) for one in fields(job.effect)],
        "models": {name: _plain(value) for name, value in job.models.__getstate__().items()},
        "quality": job.quality,
        "metadata": (job.strip_metadata, job.note),
    }


def _digest(asked: dict[str, object]) -> str:
    return hashlib.sha256(repr(asked).encode("utf-8", "surrogateescape")).hexdigest()


def file_state(path: Place | None) -> tuple[int, int] | str | None:
    """The same as long as nobody writes the file, as size and time tell; None where there is none."""
    try:
        if isinstance(path, Url):
            return path.state()
        state = path.stat() if path is not None else None
    except OSError:  # it vanished: whoever reads it will say so
        return None
    return (state.st_size, state.st_mtime_ns) if state else None


def state_in_place(task: Task) -> tuple[int, int] | str | None:
    """The state of a photo that its result will overwrite, by which that is known to have happened; None of others."""
    return file_state(task.source) if task.is_in_place else None


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):  # repr would leave most of it out
        return value.shape, hashlib.sha256(value.tobytes()).hexdigest()
    if isinstance(value, Path):
        return _real(value)
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return value


def _real(path: Path | None) -> Path | None:
    """The same however it is typed, and from whichever folder."""
    return path.resolve() if path is not None else None


def _text(path: Place) -> str | bytes:
    """The name as text; one that is no text as bytes, for Linux allows any."""
    try:
        path.as_posix().encode()
    except UnicodeEncodeError:
        return os.fsencode(str(path))
    return path.as_posix()


def _to_json(outcome: Outcome) -> str:
    left_out = ("source", "target", "preview", "trace")
    values = {one.name: getattr(outcome, one.name) for one in fields(outcome) if one.name not in left_out}
    values["files"] = [file.name for file in outcome.files]  # beside the target, wherever the folder is called from
    values["annotated"] = asdict(outcome.annotated) if outcome.annotated else None
    return json.dumps(values)


def _from_json(text: str, task: Task) -> Outcome:
    values = json.loads(text)
    annotated = values.pop("annotated")
    if annotated:
        size = tuple(annotated["image_hw"])
        annotated = AnnotatedPhoto(annotated["file_name"], size, tuple(annotated["annotations"]))
    # Journals of version 1 had whole paths, as they were typed then.
    files = tuple(task.target.with_name(PurePath(file).name) for file in values.pop("files"))
    notes = tuple(values.pop("notes"))
    return Outcome(task.source, task.target, annotated=annotated, files=files, notes=notes, **values)
