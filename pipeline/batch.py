"""Many photos: what is still to do, done by a runner, noted in a journal; each photo once, however often it is started.

The order of things keeps a kill at any moment harmless. A photo is noted as started before its result can appear, so
a file that is there for a started photo is this batch's own and is written again; one that is there for any other is
somebody's, and is left alone. Results appear whole (pipeline.atomic), and are noted as done after that. A result that
takes the photo's own place must not be edited again: a started photo that has changed since is taken as done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache
from typing import Protocol

from pipeline.atomic import in_the_way, remove_partials
from pipeline.effects import Masks
from pipeline.inputs import Task
from pipeline.job import Job, Outcome, attempt, failure, load_models, taken_as_done
from pipeline.journal import Journal
from pipeline.mask_job import masks_in
from pipeline.remote import Place
from pipeline.report import Reporter
from pipeline.selection import Pick


class Runner(Protocol):
    """Does photos, one after another or many at once, here or elsewhere."""

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """The outcome of each task, in any order. Tasks are taken when there is room for them, not before."""
        ...


class Here:
    """The runner for a few photos: in this process, one after another."""

    def __init__(self, job: Job, example: Pick):
        """Loads the models. Raises as `pipeline.job.load_models` does."""
        load_models(job, example)
        self._job = job

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """The outcome of each task, in order."""
        for task in tasks:
            yield attempt(task, self._job)


def run(
    tasks: Sequence[Task],
    job: Job,
    start_runner: Callable[[int], AbstractContextManager[Runner]],
    journal: Journal,
    reporter: Reporter,
    *,
    afresh: bool = False,
    skip_existing: bool = False,
) -> tuple[list[Outcome], int]:
    """Does what is still to do of these tasks. Returns the outcomes of all, in order, and how many were done earlier.

    start_runner: makes the runner for so many tasks; not called if there are none to do.
    afresh: does again what a finished run has done. skip_existing: leaves photos out whose target is there.
    Raises JournalError, and whatever the runner's start raises; single photos that fail do not.
    """
    journal.begin(tasks, afresh=afresh)
    outcomes: dict[Place, Outcome] = {}
    to_do = []
    for task in tasks:
        known = journal.done(task, job)
        if known is not None:
            outcomes[task.target] = known
        else:
            to_do.append(task)
    earlier = len(outcomes)
    reporter.earlier(earlier)

    def record(outcome: Outcome) -> None:
        outcomes[outcome.target] = outcome
        reporter.tell(outcome)

    ready = []
    masks = cache(masks_in)  # a folder is listed once, however many photos have their masks there
    for task in to_do:
        checked = _checked(task, job, journal, masks, skip_existing=skip_existing)
        if isinstance(checked, Outcome):
            if checked.status == "done":
                journal.finish(checked, task, job)
            record(checked)
        else:
            ready.append(checked)

    def started() -> Iterator[Task]:
        for task in ready:
            journal.start(task, job)
            yield task

    if ready:
        by_target = {task.target: task for task in ready}
        with start_runner(len(ready)) as runner:
            for outcome in runner.run(started()):
                journal.finish(outcome, by_target[outcome.target], job)
                record(outcome)
    journal.end()
    return [outcomes[task.target] for task in tasks], earlier


def _checked(
    task: Task, job: Job, journal: Journal, masks: Callable[[Place], dict[str, Place]], *, skip_existing: bool
) -> Task | Outcome:
    """The task as it is to be done, or what has become of it without any work."""
    if task.skip:
        return Outcome(task.source, task.target, skipped=task.skip)
    if journal.is_started(task):  # a run was killed in the middle of it
        remove_partials(task.target)
        if journal.is_overwritten(task, job):
            return taken_as_done(task)
        return replace(task, overwrite=True)
    if job.preview_px is not None:
        return task
    if isinstance(job.effect, Masks):
        existing = masks(task.target.parent).get(task.target.name)
    else:
        existing = task.target if task.target.exists() else None
    if existing is not None and skip_existing:
        why = "it has masks" if isinstance(job.effect, Masks) else "its result exists"
        return Outcome(task.source, task.target, skipped=why)
    if existing is not None and not task.overwrite:  # asked before it is started, so that what was done stays noted
        return failure(task, FileExistsError(in_the_way(existing)))
    return task
