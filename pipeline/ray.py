"""The runner on a Ray cluster: Ray Data hands the photos to actors, each with its own models.

Ray does again what a lost worker had, so a photo may be begun twice; its result takes its name in one step and what
became of it comes back once. Clickaway must be installed on every machine, and the photos lie under the same paths.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would tell its makers about the cluster
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its C++ parts write to our stderr

import ray
import ray.data
import ray.exceptions

from pipeline.inputs import Task
from pipeline.job import Job, Outcome, attempt, failure, load_models
from pipeline.local import WorkerError
from pipeline.selection import Pick
from weights import WeightsError

_AT_ONCE = 1000  # photos handed to Ray Data at a time: each is a block of its own, so that one is lost with a worker
_TRIES_AGAIN = 2  # of a photo whose worker died: it may be the photo's fault


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
            ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # tracebacks of what is tried again
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = -1  # a photo that brings its workers down fails alone
        self._job = pickle.dumps((job, example))
        total = ray.cluster_resources()
        most = total.get("GPU", 0) // gpus if gpus else total.get("CPU", 1)
        self._count = max(1, min(int(most), count or int(most)))
        self._gpus = gpus
        check = ray.remote(num_gpus=gpus, max_retries=_TRIES_AGAIN)(_load)
        try:
            ray.get(check.remote(self._job))
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except BaseException:
            self.__exit__()
            raise

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
        rows = [{"number": number, "task": pickle.dumps(_absolute(task))} for number, task in enumerate(tasks)]
        done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            PhotoActor,
            fn_constructor_args=(self._job,),
            # One photo in an actor: others in it would be charged with its death.
            compute=ray.data.ActorPoolStrategy(
                min_size=1, max_size=min(self._count, len(rows)), max_tasks_in_flight_per_actor=1
            ),
            num_cpus=0 if self._gpus else 1,
            num_gpus=self._gpus,
            ray_remote_args_fn=_retries,
        )
        missing = dict(enumerate(tasks))
        for row in done.iter_rows():
            task = missing.pop(row["number"], None)
            value = pickle.loads(row["outcome"])
            if isinstance(value, WeightsError):
                raise value
            if task is not None:
                yield replace(value, source=task.source, target=task.target)
        for task in missing.values():
            yield failure(task, WorkerError(f"its Ray worker died, {_TRIES_AGAIN + 1} times"))


class PhotoActor:
    """What does photos on a machine of the cluster: the same as every other runner."""

    def __init__(self, job_and_example: bytes):
        self._job, example = pickle.loads(job_and_example)
        load_models(self._job, example)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """The outcome of one row's task, or the WeightsError that ends the run."""
        task = pickle.loads(row["task"])
        try:
            value: Outcome | WeightsError = attempt(task, self._job)
        except WeightsError as error:
            value = error
        return {"number": row["number"], "outcome": pickle.dumps(value)}


def _retries() -> dict[str, Any]:
    """Ray Data would try again for ever."""
    return {"max_task_retries": _TRIES_AGAIN}


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
