"""A run of any number of photos, as the command line's options want it: which runner, what is said, what is kept."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path

from pipeline import batch
from pipeline.inputs import SHEET_FILE, InputError, Task, with_kept_targets
from pipeline.job import Job, Outcome
from pipeline.journal import Journal
from pipeline.remote import Place, Url
from pipeline.report import Reporter, check_report, write_report
from pipeline.selection import Pick

ALL_DONE, SOME_FAILED = 0, 1

_FEW = 3  # so many photos are done before worker processes would be up
_GIB = 2**30


def check_running(args: argparse.Namespace) -> None:
    """Raises InputError where options about running contradict each other."""
    if args.overwrite and args.skip_existing:
        raise InputError("--overwrite and --skip-existing contradict each other: give one of them")
    if args.journal is not None and not isinstance(args.out, Url):
        raise InputError("--journal is for results behind a URL: a folder's journal lies in it")
    if args.watch and any(isinstance(path, Url) for path in args.inputs):
        raise InputError("--watch needs a folder on this machine: a URL cannot be watched")
    if args.watch and not any(path.is_dir() for path in args.inputs):
        raise InputError("--watch needs a folder to watch")
    if args.watch and args.out is None:
        raise InputError("--watch needs --out DIR: say where the results go")
    if args.watch and args.dry_run:
        raise InputError("--watch and --dry-run contradict each other: give one of them")
    for option, value in (("--memory", args.memory), ("--together", args.together)):
        if value is not None and args.workers == 0:
            raise InputError(f"{option} is for worker processes: with --workers 0 there is one photo at a time")
    if args.engine == "ray":
        if find_spec("ray") is None:
            raise ImportError('--engine ray needs Ray: pip install "clickaway[ray]"')
        if args.memory is not None:
            raise InputError("--memory is for --engine local: Ray looks after its workers' memory itself")
        if args.together is not None:
            raise InputError("--together is for --engine local: give Ray's workers a part of a GPU, as --gpus 0.25")
        if args.address not in (None, "auto", "local"):
            _check_reachable(args.address)
    else:
        for option, value in (("--address", args.address), ("--gpus", args.gpus)):
            if value is not None:
                raise InputError(f"{option} is for --engine ray")


def _check_reachable(address: str) -> None:
    """Raises ConnectionError at once where nobody listens: Ray itself tries for minutes, and says so at length."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"--address wants HOST:PORT of a Ray cluster, got {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConnectionError(f"no Ray cluster can be reached at {address} ({reason})") from error


def run_all(
    plan: Callable[[], list[Task]], job: Job, example: Pick, args: argparse.Namespace
) -> tuple[list[Outcome], int]:
    """Does the tasks that plan finds. Returns their outcomes and the exit code.

    example: what kind of pick they have, which says what models they need.
    """

    def start_runner(number: int) -> AbstractContextManager[batch.Runner]:
        return _runner(number, job, example, args)

    tasks = plan()
    if args.dry_run:
        return _show(tasks, job, start_runner, args)
    out = args.out if _is_batch(args) else None
    if out is not None:
        check_report(out)
    with Journal(out, file=args.journal) as journal:
        if args.watch:
            from pipeline.watch import watch

            outcomes = watch(plan, job, start_runner, journal, args)
            return outcomes, _exit_code(outcomes)
        tasks = with_kept_targets(tasks, journal.targets())
        with _reporter(tasks, args) as reporter:
            outcomes, earlier = batch.run(
                tasks,
                job,
                start_runner,
                journal,
                reporter,
                afresh=args.overwrite,
                skip_existing=args.skip_existing,
            )
            report = write_report(outcomes, out) if out is not None else None
            reporter.summary(outcomes, earlier=earlier, report=report)
    return outcomes, _exit_code(outcomes)


def _exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 if all are done or left out on purpose, else 1."""
    return SOME_FAILED if any(outcome.error for outcome in outcomes) else ALL_DONE


def _show(
    tasks: list[Task],
    job: Job,
    start_runner: Callable[[int], AbstractContextManager[batch.Runner]],
    args: argparse.Namespace,
) -> tuple[list[Outcome], int]:
    """A dry run: what would be selected, on one sheet."""
    from pipeline.image_io import save
    from pipeline.photo import Photo
    from pipeline.sheet import sheet, spread

    chosen = [tasks[index] for index in spread(len(tasks))]
    with Journal(None) as journal, _reporter(chosen, args) as reporter:
        outcomes, _ = batch.run(chosen, job, start_runner, journal, reporter)
        file = _sheet_folder(args) / SHEET_FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        save(Photo(sheet(outcomes)), file, overwrite=True)
        if not args.quiet and not args.json_lines:
            some = f"{len(chosen)} of {len(tasks)} photos, evenly spread" if len(chosen) < len(tasks) else "all photos"
            print(f"nothing was changed; {file} shows {some}")
    return outcomes, _exit_code(outcomes)


def _sheet_folder(args: argparse.Namespace) -> Place:
    folder: Place = args.out or args.inputs[0].parent
    return Path() if isinstance(folder, Url) and folder.is_read_only else folder


def _reporter(tasks: Sequence[Task], args: argparse.Namespace) -> Reporter:
    return Reporter(args.command, len(tasks), quiet=args.quiet, json_lines=args.json_lines, debug=args.debug)


def _is_batch(args: argparse.Namespace) -> bool:
    """Whether results come with a journal and a report: several photos whose results share a folder."""
    return args.out is not None and (len(args.inputs) > 1 or args.inputs[0].is_dir())


def _is_in_memory(args: argparse.Namespace) -> bool:
    """Whether photos or results are in this process's own memory, where no worker could see them."""
    return any(isinstance(one, Url) and one.scheme == "memory" for one in (*args.inputs, args.out, args.output))


def _runner(number: int, job: Job, example: Pick, args: argparse.Namespace) -> AbstractContextManager[batch.Runner]:
    if args.engine == "ray":
        if _is_in_memory(args):
            raise InputError("memory:// is this process's own memory: other machines cannot see it")
        from pipeline.ray import RayWorkers

        return RayWorkers(job, example, address=args.address, count=args.workers, gpus=args.gpus or 0)
    from pipeline.machine import cores, free_memory_bytes, gpus

    wanted = args.workers
    if wanted is None and args.together is not None:
        wanted = gpus(job.models.device) or 1
    elif wanted is None:
        wanted = 0 if number <= _FEW and args.memory is None else cores()
    if wanted == 0 or _is_in_memory(args):
        return batch.Here(job, example)
    from pipeline.local import Workers

    memory_bytes = round(args.memory * _GIB) if args.memory else free_memory_bytes() // 2
    return Workers(job, example, count=min(wanted, number), memory_bytes=memory_bytes, together=args.together or 1)
