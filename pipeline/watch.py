"""A folder that photos drop into: each is done once it has stopped growing."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext

from pipeline import batch
from pipeline.inputs import InputError, Task, with_kept_targets
from pipeline.interrupt import on_sigterm
from pipeline.job import Job, Outcome, one_line
from pipeline.journal import Journal, file_state
from pipeline.remote import Place, Url
from pipeline.report import Reporter, write_report

EVERY_S = 1.0  # a photo whose size and time did not change for so long is no longer being copied


def watch(
    plan: Callable[[], list[Task]],
    job: Job,
    start_runner: Callable[[int], AbstractContextManager[batch.Runner]],
    journal: Journal,
    args: argparse.Namespace,
) -> list[Outcome]:
    """Does the photos that are there and each that comes, until Ctrl-C or SIGTERM. Returns the outcomes of all.

    plan: the tasks for all photos that are there now. The runner is started once and kept. A photo that failed is done
    again when its file changes; one that was done only with --overwrite, for else its result is in the way. What keeps
    plan from its work may pass, such as a list that is being written: it is said once, and tried again.
    """
    known: dict[Place, Outcome] = {}
    written: dict[Place, object] = {}  # results, by their real paths, and their state as we left them

    class Collecting(Reporter):
        """What is told counts, though Ctrl-C may come before its round is over."""

        def tell(self, outcome: Outcome) -> None:
            known[outcome.source] = outcome
            written.update({file.resolve(): file_state(file) for file in outcome.files})
            super().tell(outcome)

    try:
        # No bar: nobody knows how many will come.
        with on_sigterm(), ExitStack() as stack, Collecting(args.command, 1, **_manner(args)) as reporter:
            runner = stack.enter_context(start_runner(sys.maxsize))
            if not args.quiet and not args.json_lines:
                print(f"watching {', '.join(map(str, args.inputs))}; Ctrl-C ends it", file=sys.stderr, flush=True)
            for arrived in _arrivals(plan, written, args.command):
                tasks = with_kept_targets(arrived, journal.targets())
                outcomes, _ = batch.run(
                    tasks, job, lambda _: nullcontext(runner), journal, reporter, skip_existing=args.skip_existing
                )
                known |= {outcome.source: outcome for outcome in outcomes}
                write_report(list(known.values()), args.out)
        raise AssertionError("photos come until somebody says stop")
    except KeyboardInterrupt:  # the way to end it
        if known:
            write_report(list(known.values()), args.out)
        return list(known.values())


def _arrivals(plan: Callable[[], list[Task]], written: Mapping[Place, object], command: str) -> Iterator[list[Task]]:
    """The tasks for photos that are new or have changed, whenever there are some.

    written: the states of results, which may lie among the photos: as long as they have them they are no new photos.
    """
    seen: dict[Place, tuple[int, int]] = {}
    taken: dict[Place, tuple[int, int]] = {}
    trouble = ""
    while True:
        try:
            there = _with_states(plan())
            trouble = ""
        except (OSError, InputError) as error:
            there = []
            if (text := one_line(error)) != trouble:
                print(f"clickaway {command}: {text}; trying again", file=sys.stderr, flush=True)
            trouble = text
        arrived = []
        for task, current in there:
            # What has no pick yet may get one: its line in points.csv may come later.
            if seen.get(task.source) == current != taken.get(task.source) and not task.skip:
                taken[task.source] = current
                if written.get(task.source.resolve()) != current:
                    arrived.append(task)
        seen = {task.source: current for task, current in there}
        if arrived:
            yield arrived
        time.sleep(EVERY_S)


def _with_states(tasks: list[Task]) -> list[tuple[Task, tuple[int, int]]]:
    """The tasks for photos that are still there, and each one's size and time."""
    found = []
    for task in tasks:
        if isinstance(task.source, Url):  # `many.check_running` refuses them
            raise AssertionError(f"{task.source} cannot be watched")
        try:
            state = task.source.stat()
        except FileNotFoundError:  # taken away since it was listed
            continue
        found.append((task, (state.st_size, state.st_mtime_ns)))
    return found


def _manner(args: argparse.Namespace) -> dict[str, bool]:
    return {"quiet": args.quiet, "json_lines": args.json_lines, "debug": args.debug}
