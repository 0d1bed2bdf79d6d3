"""The runner on this machine's cores: worker processes, a bound on the memory of the photos that are being worked on.

A worker that dies, by a fault in a library or because there was no more memory for it, costs one photo: those that it
had are tried again, each alone in a worker, and one that brings its worker down again has failed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing import connection as pipes
from multiprocessing.context import SpawnProcess

from pipeline import image_io
from pipeline.atomic import remove_partials
from pipeline.inputs import Task
from pipeline.job import Job, Outcome, failure, taken_as_done
from pipeline.journal import state_in_place
from pipeline.machine import cores, gpus
from pipeline.photo import PhotoError
from pipeline.remote import Place
from pipeline.selection import Pick
from pipeline.worker import OUT_OF_MEMORY, serve

# What a photo takes at its peak. Measured on JPEGs of 12 and 24 MP with 2 % selected: 14 to erase and to cut out, 22 to
# blur; 16 bits a channel take twice that.
BYTES_PER_PIXEL = 40
_BESIDE = 2  # photos in a worker besides those being edited: one is read, one saved


class WorkerError(ChildProcessError):
    """A worker died: before it could do anything, or again and again with one photo."""


@dataclass(eq=False)
class _Worker:
    process: SpawnProcess
    connection: pipes.Connection
    is_ready: bool = False
    is_checking: bool = False  # has one photo alone, whose worker died before
    # Target -> the task, its bytes and, where the photo will be overwritten, its state before.
    flying: dict[Place, tuple[Task, int, object]] = field(default_factory=dict)


class Workers:
    """Worker processes, started once and used for any number of runs."""

    def __init__(self, job: Job, example: Pick, *, count: int, memory_bytes: int, together: int = 1):
        """Starts the processes; each loads its own models. Raises as `pipeline.job.load_models` does, and WorkerError.

        example: what kind of pick the photos have, which says what models they need.
        memory_bytes: what photos may take that are worked on at one time; a photo that takes more fails.
        together: how many photos a worker edits at a time; its nets see crops of several at once.
        """
        self._memory_bytes = memory_bytes
        self._job = pickle.dumps((job, example))
        self._options = {"threads": max(1, cores() // count), "memory_bytes": memory_bytes, "together": together}
        self._at_once = together + _BESIDE
        self._suspects: deque[Task] = deque()  # their worker died; each is tried once more, alone
        shared = gpus(job.models.device)
        self._gpus = [number % shared if shared else None for number in range(count)]
        self._workers: list[_Worker] = []
        try:
            self._workers = [self._started(gpu) for gpu in self._gpus]
            while not any(worker.is_ready for worker in self._workers):
                self._listen()
        except BaseException:
            self._kill()
            raise

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            for worker in self._workers:
                worker.connection.send(None)
            for worker in self._workers:
                worker.process.join(timeout=10)
        self._kill()

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """The outcome of each task, in the order in which they are ready. Raises WeightsError where no model is."""
        waiting = _Waiting(tasks)
        while True:
            yield from self._hand_out(waiting)
            if waiting.first is None and not self._suspects and not any(worker.flying for worker in self._workers):
                return
            yield from self._listen()

    def _hand_out(self, waiting: _Waiting) -> Iterator[Outcome]:
        """Sends tasks to workers that have room. Yields the failures of photos that are too large for any."""
        for worker in sorted(self._workers, key=lambda worker: len(worker.flying)):
            if worker.is_ready and self._suspects and not worker.flying:
                worker.is_checking = True
                self._send(worker, self._suspects.popleft(), 0)
        # While photos are under suspicion the first worker takes no others, so that it comes free for them.
        free = [worker for worker in self._workers[bool(self._suspects) :] if worker.is_ready]
        while (task := waiting.first) is not None:
            room = [worker for worker in free if not worker.is_checking and len(worker.flying) < self._at_once]
            if not room:
                return
            cost = waiting.cost
            if cost > self._memory_bytes:
                waiting.take()
                yield failure(task, _too_large(cost, self._memory_bytes))
                continue
            taken = sum(bytes_ for worker in self._workers for _, bytes_, _ in worker.flying.values())
            if taken + cost > self._memory_bytes:
                return
            self._send(min(room, key=lambda worker: len(worker.flying)), waiting.take(), cost)

    def _send(self, worker: _Worker, task: Task, cost: int) -> None:
        worker.flying[task.target] = task, cost, state_in_place(task)
        with contextlib.suppress(OSError):  # it has just died: `_listen` finds that, and the task with it
            worker.connection.send(task)

    def _listen(self) -> list[Outcome]:
        """Waits until a worker says something or dies. Raises what it sends if no photo can be done."""
        outcomes = []
        ready = pipes.wait([end for worker in self._workers for end in (worker.connection, worker.process.sentinel)])
        for number, worker in enumerate(self._workers):
            if worker.connection in ready:
                outcomes += self._heard(worker)
            if worker.process.sentinel in ready:
                outcomes += self._heard(worker)  # what it said before it died
                outcomes += self._mourned(worker)
                self._workers[number] = self._started(self._gpus[number])
        return outcomes

    def _heard(self, worker: _Worker) -> list[Outcome]:
        outcomes = []
        # It may have died, in the middle of a word even: its sentinel says so.
        with contextlib.suppress(EOFError, ConnectionResetError):
            while worker.connection.poll():
                message = worker.connection.recv()
                if isinstance(message, Exception):
                    raise message
                if message is None:
                    worker.is_ready = True
                else:
                    worker.flying.pop(message.target)
                    worker.is_checking = False
                    outcomes.append(message)
        return outcomes

    def _mourned(self, worker: _Worker) -> list[Outcome]:
        """The failure of the photo that brought its worker down twice; others it had are under suspicion now.

        But a photo that it had overwritten already, without a word, is taken as done: it would be edited twice.
        """
        worker.process.join()
        worker.connection.close()
        cause = _cause(worker.process.exitcode)
        if not worker.is_ready:
            raise WorkerError(f"a worker process {cause} while it loaded the models: try fewer --workers")
        lost, saved = [], []
        for task, _, before in worker.flying.values():
            remove_partials(task.target)
            if state_in_place(task) not in (None, before):
                saved.append(taken_as_done(task))
            else:
                lost.append(replace(task, overwrite=True))  # a result would be its own
        if worker.is_checking and worker.process.exitcode == OUT_OF_MEMORY:
            return [*saved, *(failure(task, _too_hungry(self._memory_bytes)) for task in lost)]
        if worker.is_checking:
            return [*saved, *(failure(task, WorkerError(f"its worker process {cause}, twice")) for task in lost)]
        self._suspects.extend(lost)
        return saved

    def _started(self, gpu: int | None) -> _Worker:
        context = multiprocessing.get_context("spawn")  # TensorFlow and PyTorch do not live through a fork
        ours, theirs = context.Pipe()
        process = context.Process(
            target=serve, args=(theirs, self._job), kwargs={"gpu": gpu, **self._options}, daemon=True
        )
        process.start()
        theirs.close()  # so that its death closes the pipe
        return _Worker(process, ours)

    def _kill(self) -> None:
        for worker in self._workers:
            worker.process.kill()
            worker.process.join()
            worker.connection.close()


class _Waiting:
    """Tasks with a look at the first: it is taken from its source only when somebody looks."""

    def __init__(self, tasks: Iterable[Task]):
        self._tasks = iter(tasks)
        self._first: Task | None = None
        self.cost = 0  # of the first, in bytes

    @property
    def first(self) -> Task | None:
        if self._first is None:
            self._first = next(self._tasks, None)
            self.cost = _bytes_needed(self._first) if self._first is not None else 0
        return self._first

    def take(self) -> Task:
        task, self._first = self._first, None
        if task is None:
            raise LookupError("no task is waiting")
        return task


def _bytes_needed(task: Task) -> int:
    """An estimate from the photo's size; 0 where that cannot be read, for it will not be decoded either."""
    try:
        width, height = image_io.size_of(task.source)
    except (PhotoError, OSError, ImportError):
        return 0
    return width * height * BYTES_PER_PIXEL


def _too_large(needed: int, allowed: int) -> PhotoError:
    return PhotoError(
        f"it needs about {needed / 2**30:.3g} GiB of memory and photos may take {allowed / 2**30:.3g}: "
        "raise that with --memory"
    )


def _too_hungry(allowed: int) -> PhotoError:
    return PhotoError(
        f"there is not enough memory for this photo, even alone: photos may take {allowed / 2**30:.1f} GiB; "
        "raise that with --memory"
    )


def _cause(exit_code: int | None) -> str:
    if exit_code == -9:
        return "was killed, as the system does when memory runs out"
    if exit_code == OUT_OF_MEMORY:
        return "ran out of memory"
    return f"died (signal {-exit_code})" if exit_code and exit_code < 0 else f"ended (exit code {exit_code})"
