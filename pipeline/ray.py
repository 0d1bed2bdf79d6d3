"""The runner on a Ray cluster: Ray Data hands the photos to actors, each with its own models.

Ray does again what a lost worker or machine had, so a photo may be begun twice; its result takes its name in one step
and what became of it comes back once. Clickaway must be installed on every machine, and the photos lie under the same
paths, or behind a URL that every machine may read.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would tell its makers about the cluster
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its C++ parts write to our stderr

import ray
import ray.data
import ray.exceptions

from pipeline.atomic import remove_partials
from pipeline.inputs import Task
from pipeline.job import Job, Outcome, attempt, failure, load_models, taken_as_done
from pipeline.journal import state_in_place
from pipeline.local import WorkerError
from pipeline.selection import Pick
from weights import WeightsError

_AT_ONCE = 1000  # photos handed to Ray Data at a time: each is a block of its own, so that one is lost with a worker
_TRIES = 3  # of a photo whose worker died: it may be the photo's fault, and Ray would try for ever


class RayWorkers:
    """Actors on the machines of a Ray cluster."""

    def __init__(self, job: Job, example: Pick, *, address: str | None, count: int | None, gpus: float):
        """Connects to the cluster, or starts one on this machine, and checks that the models can be loaded there.

        address: HOST:PORT; None takes the one that runs on this machine, or starts one. count: the most actors; None:
        one a core, or as many as the GPUs allow. gpus: of each actor.
        Raises as `pipeline.job.load_models` does, ConnectionError where there is no cluster.
        """
        self._owns_cluster = not ray.is_initialized()
        if self._owns_cluster:
            try:
                ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
            except (OSError, ValueError):
                raise
            except Exception as error:  # a machine with other things to do: "The current node timed out during startup"
                raise ConnectionError(f"Ray did not start: {error}") from error
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # tracebacks of what is tried again
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        self._job = pickle.dumps((job, example))
        total = ray.cluster_resources()
        most = total.get("GPU", 0) // gpus if gpus else total.get("CPU", 1)
        self._count = max(1, min(int(most), count or int(most)))
        self._gpus = gpus
        check = ray.remote(num_gpus=gpus, max_retries=_TRIES)(_load)
        try:
            ray.get(check.remote(self._job))
        except BaseException as error:
            self.__exit__()
            raise error.cause if isinstance(error, ray.exceptions.RayTaskError) else error from None

    def __enter__(self) -> RayWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        if self._owns_cluster:
            ray.shutdown()

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """The outcome of each task, in the order in which they are ready. Raises WeightsError where no model is."""
        rest = iter(tasks)
        while some := list(islice(rest, _AT_ONCE)):
            yield from self._run(some)

    def _run(self, tasks: list[Task]) -> Iterator[Outcome]:
        # Its handle keeps it alive; it takes no core from the photos.
        begun = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Begun).remote()
        rows = [
            {"number": number, "task": pickle.dumps((_absolute(task), state_in_place(task)))}
            for number, task in enumerate(tasks)
        ]
        actor: Any = PhotoActor  # Ray's types know functions alone
        done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            actor,
            fn_constructor_args=(self._job, begun),
            # All from the start: Ray Data would add one after another, each seconds after the last.
            compute=ray.data.ActorPoolStrategy(size=min(self._count, len(rows))),
            num_cpus=0 if self._gpus else 1,
            num_gpus=self._gpus,
        )
        for row in done.iter_rows():
            task, value = tasks[row["number"]], pickle.loads(row["outcome"])
            if isinstance(value, WeightsError):
                raise value
            yield replace(value, source=task.source, target=task.target)


class Begun:
    """How often each photo was begun: more often than once only where a worker was lost with it."""

    def __init__(self) -> None:
        self._times: Counter[int] = Counter()

    def count(self, number: int) -> int:
        """Notes that the photo is begun. Returns how often that was."""
        self._times[number] += 1
        return self._times[number]


class PhotoActor:
    """What does photos on a machine of the cluster: the same as every other runner."""

    def __init__(self, job_and_example: bytes, begun: Any):
        """begun: the handle of the actor that is Begun."""
        self._begun = begun
        self._job, example = pickle.loads(job_and_example)
        load_models(self._job, example)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """The outcome of one row's task, or the WeightsError that ends the run."""
        task, before = pickle.loads(row["task"])
        value: Outcome | WeightsError
        times = ray.get(self._begun.count.remote(row["number"]))
        if times > 1:
            remove_partials(task.target)  # of the worker that was lost with it
            if state_in_place(task) not in (None, before):
                return {"number": row["number"], "outcome": pickle.dumps(taken_as_done(task))}
        if times > _TRIES:
            error = WorkerError(f"its Ray worker died, {_TRIES} times")
            return {"number": row["number"], "outcome": pickle.dumps(failure(task, error))}
        try:
            value = attempt(task, self._job)
        except WeightsError as error:
            value = error
        return {"number": row["number"], "outcome": pickle.dumps(value)}


def _load(job_and_example: bytes) -> None:
    load_models(*pickle.loads(job_and_example))


def _absolute(task: Task) -> Task:
    """The task as another process understands it.

    Whatever is at the target is its own: the batch looked before it started the photo, and a worker that was lost may
    have written it.
    """
    mask = task.pick.mask_file
    pick = task.pick if mask is None else replace(task.pick, mask_file=mask.absolute())
    return replace(task, source=task.source.absolute(), target=task.target.absolute(), pick=pick, overwrite=True)
