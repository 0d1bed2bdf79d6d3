"""Arguments to jobs, and jobs to exit codes: what erase, cutout, blur, replace and masks do."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from inpaint import INPAINTERS
from pipeline.edit import Color
from pipeline.inputs import InputError, Task, plan
from pipeline.job import Blur, CutOut, Effect, Erase, Outcome, Replace, check_target, one_line, process
from pipeline.models import Models, constructor_options, main_subject
from pipeline.photo import Pixels
from pipeline.selection import Pick, check_classes
from segment import SEGMENTERS, Click
from weights import WeightsError

ALL_DONE, SOME_FAILED = 0, 1

_SUFFIX = {"erase": "-erased", "cutout": "-cutout", "blur": "-blurred", "replace": "-replaced"}
_MASKS_FILE = "annotations.json"


def run_effect(args: argparse.Namespace) -> int:
    """Does erase, cutout, blur or replace on every photo. Returns the exit code.

    Raises ValueError, OSError, WeightsError or ImportError, before any photo is done, if nothing can be done at all.
    """
    pick = _pick(args)
    tasks = _tasks(args)
    effect = _effect(args)
    if args.output is not None:
        check_target(args.output, effect, overwrite=args.overwrite)
    models = _models(args, pick)

    def do(task: Task) -> Outcome:
        return process(
            task.source,
            task.target,
            pick,
            effect,
            models,
            quality=args.quality,
            overwrite=args.overwrite,
            max_pixels=_max_pixels(args),
        )

    return _run(tasks, do, args)


def run_masks(args: argparse.Namespace) -> int:
    """Saves masks and boxes of every photo. Returns the exit code; raises as `run_effect` does."""
    from pipeline.atomic import in_the_way, write_bytes
    from pipeline.coco import AnnotatedPhoto, document
    from pipeline.mask_job import save_masks

    pick = _pick(args)
    out = args.out
    if out is None:
        if len(args.inputs) > 1 or args.inputs[0].is_dir():
            raise InputError("say where the masks go with --out DIR")
        out = args.inputs[0].with_name(f"{args.inputs[0].stem}-masks")
    _check_folder(out)
    tasks = plan(args.inputs, out=out)
    if (out / _MASKS_FILE).exists() and not args.overwrite:
        raise FileExistsError(in_the_way(out / _MASKS_FILE))
    models = _models(args, pick)
    annotated: list[AnnotatedPhoto] = []

    def do(task: Task) -> Outcome:
        below = task.target.relative_to(out)
        outcome, photo = save_masks(
            task.source,
            task.target.with_suffix(""),
            pick,
            models,
            file_name=below.with_name(task.source.name).as_posix(),
            overwrite=args.overwrite,
            max_pixels=_max_pixels(args),
        )
        annotated.append(photo)
        return outcome

    code = _run(tasks, do, args)
    if annotated:
        text = json.dumps(document(annotated))
        write_bytes(out / _MASKS_FILE, text.encode(), overwrite=args.overwrite)
    return code


def _run(tasks: Sequence[Task], do: Callable[[Task], Outcome], args: argparse.Namespace) -> int:
    """Does all tasks, says what became of each, and goes on after a failure."""
    from tqdm import tqdm

    failed = 0
    many = len(tasks) > 1
    # No bar where nobody looks at it: in a log it would be a line for each photo.
    with tqdm(tasks, unit="photo", disable=None if many and not args.quiet else True) as bar:
        for task in bar:
            try:
                outcome = do(task)
            except WeightsError:  # no model, so no other photo would fare better
                raise
            except Exception as error:
                failed += 1
                if args.debug:
                    bar.write(traceback.format_exc(), file=sys.stderr)
                bar.write(f"clickaway {args.command}: {_about(task, error)}", file=sys.stderr)
                continue
            for note in outcome.notes:
                bar.write(f"{task.source}: note: {note}", file=sys.stderr)
            if not args.quiet:
                bar.write(_said(outcome), file=sys.stdout)
    if many and not args.quiet:
        print(f"{len(tasks) - failed} done, {failed} failed")
    return SOME_FAILED if failed else ALL_DONE


def _about(task: Task, error: Exception) -> str:
    """The error in one line that names the photo."""
    text = one_line(error)
    named = str(task.source) in text or str(task.target) in text
    return text if named else f"{task.source}: {text}"


def _said(outcome: Outcome) -> str:
    what = outcome.label or "selection"
    score = f" {outcome.score:.2f}" if outcome.score is not None and outcome.label else ""
    share = f", {outcome.share:.1%} of the photo" if outcome.share is not None else ""
    return f"{outcome.target}: {what}{score}{share}, {outcome.seconds:.1f} s"


def _pick(args: argparse.Namespace) -> Pick:
    """What to select. Raises ValueError where options contradict each other."""
    given = {"--at": args.at, "--box": args.box, "--mask": args.mask, "--class": args.classes}
    given["--subject"] = args.subject
    used = [option for option, value in given.items() if value]
    if len(used) > 1:
        raise ValueError(f"{' and '.join(used)} both say what to select: give one of them")
    if args.not_at and not args.at:
        raise ValueError("--not-at takes away from what --at selects: give --at too")
    if args.command == "erase" and not used:
        raise ValueError("say what to erase: --at X,Y, --box X0,Y0,X1,Y1, --mask FILE, --class NAME or --subject")
    if args.alternative > 1 and used and used[0] not in ("--at", "--subject"):
        raise ValueError(f"--alternative chooses among the answers to --at or --subject; {used[0]} has one answer")
    if used in (["--box"], ["--mask"]):
        idle = [("--segmenter", args.segmenter), ("--checkpoint", args.checkpoint)]
        idle += [("--score-threshold", args.score_threshold)]
        for option, value in idle:
            if value is not None:
                raise ValueError(f"{used[0]} says exactly what to select: {option} would have no effect")
    if args.mask is not None and not args.mask.is_file():
        raise ValueError(f"there is no mask file {args.mask}")
    clicks = [Click(x, y) for x, y in args.at] + [Click(x, y, positive=False) for x, y in args.not_at]
    return Pick(tuple(clicks), tuple(args.box), args.mask, tuple(args.classes), args.alternative)


def _tasks(args: argparse.Namespace) -> list[Task]:
    """The photos and their outputs. Raises InputError where options contradict each other."""
    if args.output is not None:
        if args.out is not None:
            raise InputError("-o names one file and --out a folder: give one of them")
        if len(args.inputs) > 1 or args.inputs[0].is_dir():
            raise InputError("-o names one file: for several photos give a folder with --out DIR")
        if args.output.is_dir():
            raise InputError(f"{args.output} is a folder: give it with --out")
        return [Task(task.source, args.output) for task in plan(args.inputs)]
    if args.out is not None:
        _check_folder(args.out)
    extension = ".png" if args.command == "cutout" else None
    return plan(args.inputs, out=args.out, suffix=_SUFFIX[args.command], extension=extension)


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file: it must be a folder, or a name that is free")


def _effect(args: argparse.Namespace) -> Effect:
    match args.command:
        case "erase":
            return Erase(args.grow, args.feather, args.mask_shape)
        case "cutout":
            return CutOut(args.feather)
        case "blur":
            return Blur(args.sigma, args.feather)
        case _:
            return Replace(_background(args.background, _max_pixels(args)), args.feather)


def _background(text: str, max_pixels: int) -> Pixels | Color:
    """The photo of that name, or else the colour."""
    from PIL import ImageColor

    from pipeline.image_io import load

    if Path(text).exists():
        return load(text, max_pixels=max_pixels).pixels
    try:
        return ImageColor.getcolor(text, "RGB")[:3]  # type: ignore[index,return-value]
    except ValueError:
        raise ValueError(f"--with {text}: there is no such photo, and no such colour; try white or #30a0ff") from None


def _models(args: argparse.Namespace, pick: Pick) -> Models:
    """The models, those that this run needs loaded: what cannot be loaded is known before the first photo."""
    options = {"checkpoint": args.checkpoint, "score_threshold": args.score_threshold}
    models = Models(
        segmenter=args.segmenter,
        inpainter=getattr(args, "inpainter", "auto"),
        segmenter_options={name: value for name, value in options.items() if value is not None},
        device=args.device,
        offline=True if args.offline else None,
    )
    needed = []
    subject = not pick.clicks and not pick.classes and args.command != "masks"
    if not pick.boxes and pick.mask_file is None:
        needed.append((SEGMENTERS, args.segmenter or (main_subject() if subject else "auto")))
    if args.command == "erase":
        needed.append((INPAINTERS, models.inpainter))
    if args.device and not any("device" in constructor_options(*part) for part in needed):
        names = " and ".join(name for _, name in needed) or "what is used here"
        raise ValueError(f"--device {args.device} would have no effect: {names} has no net to run on it")
    if any(registry is SEGMENTERS for registry, _ in needed):
        check_classes(pick.classes, models.subject if subject else models.clicked)
    if args.command == "erase":
        _ = models.filler
    return models


def _max_pixels(args: argparse.Namespace) -> int:
    return round(args.max_megapixels * 1e6)
