"""A worker process of `pipeline.local`: it reads the next photo and saves the last one while it edits one.

Nothing heavy is imported before the process knows how many threads it may use: libraries read that when they load.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import connection as pipes
from multiprocessing import parent_process
from queue import Queue
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline import memory

if TYPE_CHECKING:
    from pipeline.inputs import Task
    from pipeline.job import Job

# What the libraries below NumPy, OpenCV, numba, TensorFlow and PyTorch ask for.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_TENSORFLOW_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")

FAULT, OUT_OF_MEMORY = 1, 3  # exit codes


class Step(NamedTuple):
    """A photo on its way: read, edited, or with its outcome."""

    task: Task
    seconds: float
    value: Any  # Photo, Edited or Outcome; a WeightsError where there is no model


def serve(
    connection: pipes.Connection,
    job_and_example: bytes,
    *,
    threads: int,
    gpu: int | None,
    memory_bytes: int,
    together: int,
) -> None:
    """The life of the process. Sends None when the models are loaded, then an Outcome for each Task that it is sent.

    An exception that it sends instead means that no photo can be done. It ends when it is sent None; and with exit
    code OUT_OF_MEMORY when a photo takes more than there is, for what is left of its libraries then nobody knows.
    threads: of its libraries. gpu: the only one it may use; None leaves that open. memory_bytes: what its photos may
    take. together: how many of them are edited at a time.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    memory.go_first()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for name in (*_THREADS, *_TENSORFLOW_THREADS):
        os.environ.setdefault(name, str(threads))
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(gpu)
    try:
        import cv2

        from pipeline.job import load_models

        cv2.setNumThreads(threads)
        job, example = pickle.loads(job_and_example)
        load_models(job, example)
    except Exception as error:
        _send(connection, error)
        return
    memory.limit_photos(memory_bytes)
    connection.send(None)
    _work(connection, job, together)


def _end_with_parent() -> None:
    """Ends this process when its parent does: a killed batch leaves nobody behind who still writes."""
    parent = parent_process()
    if parent is not None:
        pipes.wait([parent.sentinel])
        os._exit(FAULT)


def _or_end(do: Callable[[], None]) -> Callable[[], None]:
    """The function, but an error in it ends the process: else the other threads would wait for this one for ever."""

    def run() -> None:
        try:
            do()
        except BaseException as error:
            os._exit(OUT_OF_MEMORY if memory.ran_out(error) else FAULT)

    return run


def _work(connection: pipes.Connection, job: Job, together: int) -> None:
    """A thread for each step, so that no step waits for another photo's; for editing, as many as asked for."""
    from pipeline.job import Outcome, edit_photo, save

    photos: Queue[Step | None] = Queue(1)
    edited: Queue[Step | None] = Queue(1)

    def read_all() -> None:
        while (task := _received(connection)) is not None:
            photos.put(_next(Step(task, 0.0, None), _read, job))
        photos.put(None)

    def edit_all() -> None:
        while (step := photos.get()) is not None:
            step = _next(step, edit_photo, job)
            edited.put(step)
            del step  # or its memory would be held until the next one comes
        photos.put(None)  # for the other threads that edit

    def save_all() -> None:
        while (step := edited.get()) is not None:
            step = _next(step, save, job)
            is_outcome = isinstance(step.value, Outcome)
            _send(connection, replace(step.value, seconds=step.seconds) if is_outcome else step.value)

    saver = threading.Thread(target=_or_end(save_all))
    editors = [threading.Thread(target=_or_end(edit_all)) for _ in range(together - 1)]
    for thread in (saver, *editors):
        thread.start()
    threading.Thread(target=_or_end(read_all), daemon=True).start()
    _or_end(edit_all)()
    for thread in editors:
        thread.join()
    edited.put(None)
    saver.join()


def _read(_: None, task: Task, job: Job) -> Any:
    from pipeline.job import read

    return read(task, job)


def _next(step: Step, do: Callable[[Any, Task, Job], Any], job: Job) -> Step:
    """The photo one step further; a failed one stays as it is."""
    from pipeline.job import Outcome, failure
    from weights import WeightsError

    task, seconds, value = step
    if isinstance(value, Outcome | WeightsError):
        return step
    start = time.perf_counter()
    try:
        value = do(value, task, job)
    except WeightsError as error:
        value = error
    except Exception as error:
        if memory.ran_out(error) or memory.is_short():
            os._exit(OUT_OF_MEMORY)
        value = failure(task, error)
    return Step(task, seconds + time.perf_counter() - start, value)


def _received(connection: pipes.Connection) -> Task | None:
    try:
        task: Task | None = connection.recv()
    except EOFError:
        return None
    return task


def _send(connection: pipes.Connection, value: Any) -> None:
    if isinstance(value, Exception):
        try:
            pickle.loads(pickle.dumps(value))
        except Exception:  # libraries raise errors that cannot travel, or cannot be made again
            value = RuntimeError(f"{type(value).__name__}: {value}")
    connection.send(value)
