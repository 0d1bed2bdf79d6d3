"""Arguments to jobs, and jobs to exit codes: what erase, cutout, blur, replace and masks do."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from inpaint import INPAINTERS
from pipeline import picks
from pipeline.coco import AnnotatedPhoto, document, photos_of
from pipeline.edit import Color
from pipeline.effects import Blur, CutOut, Effect, Erase, Masks, Outline, Replace
from pipeline.film import CODECS, is_video
from pipeline.inputs import InputError, Task, plan
from pipeline.job import Job, Outcome, check_target
from pipeline.many import check_running, run_all
from pipeline.models import Models, main_subject
from pipeline.photo import Pixels
from pipeline.remote import Place, Url
from pipeline.selection import Pick
from pipeline.sheet import PREVIEW_PX
from segment import SEGMENTERS, Click

_SUFFIX = {"erase": "-erased", "cutout": "-cutout", "blur": "-blurred", "replace": "-replaced", "outline": "-outline"}
_MASKS_FILE = "annotations.json"
_OF_PHOTOS = (  # options that films do not know
    "quality",
    "dry_run",
    "watch",
    "skip_existing",
    "workers",
    "together",
    "memory",
    "engine",
    "address",
    "gpus",
    "journal",
    "json_lines",
)
_LISTS = ("points", "boxes", "masks", "coco")  # options that say of each photo what to select


def run_effect(args: argparse.Namespace) -> int:
    """Does erase, cutout, blur or replace on every photo. Returns the exit code.

    Raises ValueError, OSError, WeightsError or ImportError, before any photo is done, if nothing can be done at all.
    """
    pick = _pick(args)
    if any(is_video(path) for path in args.inputs):
        return _run_video(args, pick)
    check_running(args)
    _check_places(args)
    effect = _effect(args)
    if args.output is not None and not args.dry_run:
        check_target(args.output, effect, overwrite=args.overwrite or args.skip_existing)
    return _run(args, pick, effect)[1]


def _run_video(args: argparse.Namespace, pick: Pick) -> int:
    """Does blur or replace on one film. Returns the exit code."""
    from tqdm import tqdm

    from pipeline.interrupt import on_sigterm
    from pipeline.video import film_models, process_video

    if len(args.inputs) > 1:
        raise InputError("a film is done by itself: give one")
    for option in (*_OF_PHOTOS, *_LISTS):
        if getattr(args, option) not in (None, False, "local"):
            raise InputError(f"--{option.replace('_', '-')} is for photos: a film is done by itself, and at once")
    _check_places(args)
    if any(isinstance(one, Url) for one in (*args.inputs, args.out, args.output)):
        raise InputError("a film must lie on this machine, and its result too: copy it here")
    source = args.inputs[0]
    folder = args.out or source.parent
    extension = source.suffix if source.suffix.lower() in CODECS else ".mp4"
    target = args.output or folder / f"{source.stem}{_SUFFIX[args.command]}{extension}"
    by_class = bool(pick.classes or pick.everything)
    models = film_models(_models(args, pick), by_class=by_class)
    notes = [] if by_class or args.quiet else models.subject_notes
    for note in notes:
        print(f"{source}: note: {note}", file=sys.stderr)
    with on_sigterm(), tqdm(unit="frame", disable=None if not args.quiet else True) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total or None
            bar.update(done - bar.n)

        filmed = process_video(
            source,
            target,
            pick,
            _effect(args),
            models,
            overwrite=args.overwrite,
            max_pixels=_max_pixels(args),
            progress=progress,
        )
    if not args.quiet:
        lost = f", no subject in {filmed.without_subject}" if filmed.without_subject else ""
        speed = f"{filmed.frames_per_second:.1f} frames/s"
        print(f"{filmed.target}: {filmed.frames} frames{lost}, {speed}")
    return 0


def run_masks(args: argparse.Namespace) -> int:
    """Saves masks and boxes of every photo. Returns the exit code; raises as `run_effect` does."""
    from pipeline.atomic import in_the_way, write_bytes
    from pipeline.journal import journal_file

    pick = _pick(args)
    check_running(args)
    args.output = None
    if args.out is None:
        if len(args.inputs) > 1 or args.inputs[0].is_dir():
            raise InputError("say where the masks go with --out DIR")
        args.out = args.inputs[0].with_name(f"{args.inputs[0].stem}-masks")
    _check_places(args)
    file = args.out / _MASKS_FILE
    may_add = args.overwrite or args.skip_existing or (args.journal or journal_file(args.out)).exists()
    if not may_add and not args.dry_run and file.exists():
        raise FileExistsError(in_the_way(file))
    # Before any work: what cannot be added to is said at once.
    earlier = [] if args.dry_run else _annotated_earlier(file, overwrite=args.overwrite)
    outcomes, code = _run(args, pick, Masks())
    annotated = [outcome.annotated for outcome in outcomes if outcome.annotated]
    if annotated:
        names = {photo.file_name for photo in annotated}
        # The masks of photos that were left alone this time are still there: so are their annotations.
        kept = [photo for photo in earlier if photo.file_name not in names]
        write_bytes(file, json.dumps(document([*kept, *annotated])).encode(), overwrite=True)
    return code


def _annotated_earlier(file: Place, *, overwrite: bool) -> list[AnnotatedPhoto]:
    """The photos that earlier runs annotated. overwrite: another program's file is replaced; else FileExistsError."""
    if not file.exists():
        return []
    try:
        return photos_of(json.loads(file.read_bytes()))
    except (ValueError, RecursionError) as error:
        if overwrite:
            return []
        raise FileExistsError(
            f"{file} is there and is no list of Clickaway's masks ({error}): "
            "give another --out folder, or allow overwriting (--overwrite)"
        ) from error


def _run(args: argparse.Namespace, pick: Pick, effect: Effect | Masks) -> tuple[list[Outcome], int]:
    if args.points is not None:
        example = Pick(clicks=(Click(0, 0),))
    elif args.boxes or args.masks or args.coco:
        example = Pick(boxes=((0, 0, 1, 1),))
    else:
        example = pick
    job = Job(
        effect,
        _models(args, example),
        args.quality,
        _max_pixels(args),
        PREVIEW_PX if args.dry_run else None,
        strip_metadata=args.strip_metadata,
        note=args.note,
    )
    return run_all(lambda: _tasks(args, pick), job, example, args)


def _pick(args: argparse.Namespace) -> Pick:
    """What to select. Raises ValueError where options contradict each other."""
    given = {"--at": args.at, "--box": args.box, "--mask": args.mask, "--class": args.classes}
    given |= {"--all": args.everything, "--subject": args.subject}
    given |= {f"--{name}": getattr(args, name) for name in _LISTS}
    used = [option for option, value in given.items() if value]
    if used == ["--class", "--all"] or used == ["--class", "--coco"]:
        used = used[::-1][:1]  # those classes of all that is there
    if len(used) > 1:
        raise ValueError(f"{' and '.join(used)} both say what to select: give one of them")
    if args.not_at and not args.at:
        raise ValueError("--not-at takes away from what --at selects: give --at too")
    if args.command == "erase" and not used:
        raise ValueError("say what to erase: --at X,Y, --box X0,Y0,X1,Y1, --mask FILE, --class NAME or --subject")
    if args.alternative > 1 and used and used[0] not in ("--at", "--points", "--subject"):
        raise ValueError(f"--alternative chooses among the answers to --at or --subject; {used[0]} has one answer")
    if args.alternative > 1 and not used and args.command == "masks":
        raise ValueError("--alternative chooses among the answers to --at; without it masks saves all objects")
    if used in (["--box"], ["--mask"], ["--boxes"], ["--masks"], ["--coco"]):
        idle = [("--segmenter", args.segmenter), ("--checkpoint", args.checkpoint)]
        idle += [("--score-threshold", args.score_threshold), ("--refine", args.refine)]
        for option, value in idle:
            if value is not None:
                raise ValueError(f"{used[0]} says exactly what to select: {option} would have no effect")
    if args.mask_white is not None and args.mask is None and args.masks is None:
        raise ValueError("--mask-white says what white means in --mask or --masks: give one of them too")
    if getattr(args, "matting", False) and args.feather is not None:
        raise ValueError("--matting finds how soft the edge is by itself: --feather would have no effect")
    if args.mask is not None and not args.mask.is_file():
        raise ValueError(f"there is no mask file {args.mask}")
    clicks = [Click(x, y) for x, y in args.at] + [Click(x, y, positive=False) for x, y in args.not_at]
    if used and used[0].removeprefix("--") in _LISTS:
        return Pick()  # `_picked` says it of each photo
    return Pick(
        clicks=tuple(clicks),
        boxes=tuple(args.box),
        mask_file=args.mask,
        mask_white=args.mask_white,
        classes=tuple(args.classes),
        everything=args.everything,
        alternative=args.alternative,
    )


def _tasks(args: argparse.Namespace, pick: Pick) -> list[Task]:
    """The photos, what to select on them and their outputs. Raises InputError where options contradict each other."""
    return [replace(task, overwrite=args.overwrite) for task in _picked(_planned(args), args, pick)]


def _picked(tasks: list[Task], args: argparse.Namespace, pick: Pick) -> list[Task]:
    if not tasks:  # nothing has been put into a watched folder yet
        return []
    if args.points is not None:
        return picks.with_points(tasks, args.points, alternative=args.alternative, may_be_missing=args.watch)
    if args.boxes is not None:
        return picks.with_boxes(tasks, args.boxes, may_be_missing=args.watch)
    if args.masks is not None:
        return picks.with_masks(tasks, args.masks, white=args.mask_white, may_be_missing=args.watch)
    if args.coco is not None:
        return picks.with_coco(tasks, args.coco, classes=args.classes, may_be_missing=args.watch)
    return [replace(task, pick=pick) for task in tasks]


def _planned(args: argparse.Namespace) -> list[Task]:
    if args.output is not None:
        return [replace(task, target=args.output) for task in plan(args.inputs)]
    if args.command == "masks":  # a photo's masks are named after it, and a.jpg's must not be named as a.png's
        tasks = plan(args.inputs, out=args.out, extension=".png", may_be_empty=args.watch)
        return [replace(task, target=task.target.with_suffix("")) for task in tasks]
    extension = ".png" if args.command == "cutout" else None
    suffix = _SUFFIX[args.command]
    return plan(args.inputs, out=args.out, suffix=suffix, extension=extension, may_be_empty=args.watch)


def _check_places(args: argparse.Namespace) -> None:
    if args.output is not None:
        if args.out is not None:
            raise InputError("-o names one file and --out a folder: give one of them")
        if len(args.inputs) > 1 or args.inputs[0].is_dir():
            raise InputError("-o names one file: for several photos give a folder with --out DIR")
        if args.output.is_dir():
            raise InputError(f"{args.output} is a folder: give it with --out")
    elif args.out is None and any(isinstance(one, Url) and one.is_read_only for one in args.inputs):
        raise InputError("http:// can only be read: say where the results go with --out DIR")
    elif isinstance(args.out, Url):  # a folder there is there once something is in it
        return
    elif args.out is not None and args.out.exists() and not args.out.is_dir():
        raise InputError(f"--out {args.out} is a file: it must be a folder, or a name that is free")


def _effect(args: argparse.Namespace) -> Effect:
    match args.command:
        case "erase":
            return Erase(args.grow, args.feather, args.mask_shape)
        case "cutout":
            return CutOut(args.feather, args.matting)
        case "outline":
            return Outline(_color(args.color, "--color"), args.width, args.canny)
        case "blur":
            return Blur(args.sigma, args.feather, args.matting)
        case _:
            return Replace(_background(args.background, _max_pixels(args)), args.feather, args.matting)


def _background(text: str, max_pixels: int) -> Pixels | Color:
    """The photo of that name, or else the colour."""

    from pipeline.image_io import load

    if Path(text).exists():
        return load(text, max_pixels=max_pixels).pixels
    return _color(text, "--with", "there is no such photo, and no such colour")


def _color(text: str, option: str, wrong: str = "there is no such colour") -> Color:
    from PIL import ImageColor

    try:
        color: Color = ImageColor.getcolor(text, "RGB")[:3]  # type: ignore[index,assignment]
        if not all(0 <= value <= 255 for value in color):
            raise ValueError(f"a part of it is outside 0..255: {color}")
        return color
    except ValueError:
        raise ValueError(f"{option} {text}: {wrong}; try white or #30a0ff") from None


def _models(args: argparse.Namespace, pick: Pick) -> Models:
    """The models, not loaded yet. Raises ValueError for names and options that no model has."""
    options = {"checkpoint": args.checkpoint, "score_threshold": args.score_threshold, "refine": args.refine}
    models = Models(
        segmenter=args.segmenter,
        inpainter=getattr(args, "inpainter", "auto"),
        segmenter_options={name: value for name, value in options.items() if value is not None},
        device=args.device,
        offline=True if args.offline else None,
        names=args.command == "masks",  # they become categories
    )
    needed = []
    subject = not pick.clicks and not pick.classes and not pick.everything and args.command != "masks"
    if not pick.needs_no_model:
        needed.append((SEGMENTERS, args.segmenter or (main_subject() if subject else "auto")))
    if args.command == "erase":
        needed.append((INPAINTERS, models.inpainter))
    models.check_device_is_used(needed)
    return models


def _max_pixels(args: argparse.Namespace) -> int:
    return round(args.max_megapixels * 1e6)
