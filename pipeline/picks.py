"""What to select on each photo of a batch: from points.csv, boxes.csv, a folder of masks or a COCO file."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.coco import Segment, segment
from pipeline.formats import BY_EXTENSION
from pipeline.inputs import InputError, Task
from pipeline.selection import Pick
from pipeline.text import quoted
from segment import Click


def with_points(tasks: Sequence[Task], path: Path, *, alternative: int = 1, may_be_missing: bool = False) -> list[Task]:
    """The tasks with the clicks of a CSV file: file, x, y and perhaps positive (1 or 0). Others are left out.

    may_be_missing: the file may name photos that are not there, or none of those that are.
    Raises InputError for a file that makes no sense, or names photos that are not there.
    """
    clicks: dict[str, list[Click]] = defaultdict(list)
    for line, row in _rows(path, ("file", "x", "y"), ("positive",)):
        (x, y), positive = _pixels(path, line, row, ("x", "y")), (row.get("positive") or "1").strip().lower()
        if positive not in _POSITIVE | _NEGATIVE:
            raise InputError(f"{path}, line {line}: positive must be 1 or 0, got {quoted(positive)}")
        if x < 0 or y < 0:
            raise InputError(f"{path}, line {line}: pixels are counted from 0, got {x},{y}")
        clicks[row["file"]].append(Click(x, y, positive in _POSITIVE))
    for name, found in clicks.items():
        if not any(click.positive for click in found):
            raise InputError(f"{path}: all points of {name} take away: one must be positive")
    picks = {name: Pick(clicks=tuple(found), alternative=alternative) for name, found in clicks.items()}
    return _given(tasks, picks, path, may_be_missing=may_be_missing)


def with_boxes(tasks: Sequence[Task], path: Path, *, may_be_missing: bool = False) -> list[Task]:
    """The tasks with the boxes of a CSV file: file, x0, y0, x1, y1. Raises as `with_points` does."""
    boxes: dict[str, list[tuple[int, int, int, int]]] = defaultdict(list)
    for line, row in _rows(path, ("file", "x0", "y0", "x1", "y1")):
        x0, y0, x1, y1 = _pixels(path, line, row, ("x0", "y0", "x1", "y1"))
        if x0 >= x1 or y0 >= y1:
            raise InputError(f"{path}, line {line}: expected x0 < x1 and y0 < y1, got {x0},{y0},{x1},{y1}")
        boxes[row["file"]].append((x0, y0, x1, y1))
    picks = {name: Pick(boxes=tuple(found)) for name, found in boxes.items()}
    return _given(tasks, picks, path, may_be_missing=may_be_missing)


def with_masks(
    tasks: Sequence[Task], folder: Path, *, white: str | None = None, may_be_missing: bool = False
) -> list[Task]:
    """The tasks with the masks of a folder: dogs/a.jpg has dogs/a.jpg, dogs/a.jpg.png or dogs/a.png there.

    white: what white means in them, as in `mask_files.read_mask`.
    Photos without one are left out. Raises InputError if no photo has one.
    """
    if not folder.is_dir():
        raise InputError(f"--masks {folder} is no folder")
    shared = Counter(str(Path(task.name).with_suffix("")) for task in tasks)
    given = [_masked(task, folder, shared[str(Path(task.name).with_suffix(""))] > 1, white) for task in tasks]
    if all(task.skip for task in given) and not may_be_missing:
        raise InputError(f"{folder} has a mask for none of these photos: expected {folder / tasks[0].name} or .png")
    return given


def with_coco(
    tasks: Sequence[Task], path: Path, *, classes: Sequence[str] = (), may_be_missing: bool = False
) -> list[Task]:
    """The tasks with the objects of a COCO file, of these classes alone if there are any. Raises as `with_points`."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        names = {one["id"]: str(one["name"]) for one in document.get("categories", [])}
        images = {one["id"]: one for one in document["images"]}
        found: dict[str, list[Segment]] = {image["file_name"]: [] for image in images.values()}
        for number, one in enumerate(document["annotations"], start=1):
            image, label = images[one["image_id"]], names.get(one.get("category_id"))
            if classes and label not in classes:
                continue
            try:
                found[image["file_name"]].append(segment(one, (image["height"], image["width"]), label))
            except ValueError as error:
                raise InputError(f"{path}, annotation {one.get('id', number)}: {error}") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {str(error)[:100]}"
        raise InputError(f"{path} is no COCO file: expected images and annotations in JSON ({why})") from error
    unknown = sorted(set(classes) - set(names.values()))
    if unknown:
        raise InputError(f"{path} has no category {unknown[0]!r}: it has {', '.join(sorted(names.values()))}")
    picks = {name: Pick(segments=tuple(segments)) for name, segments in found.items() if segments}
    return _given(tasks, picks, path, may_be_missing=may_be_missing, is_whole_list=False)


_POSITIVE, _NEGATIVE = frozenset(("1", "true", "yes", "+")), frozenset(("0", "false", "no", "-"))


def _rows(path: Path, needed: Sequence[str], allowed: Sequence[str] = ()) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a CSV file with a header."""
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines(keepends=True)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    reader = csv.DictReader(lines, skipinitialspace=True, restkey="", restval="")
    try:
        columns = [name.strip() for name in reader.fieldnames or ()]
    except csv.Error as error:
        raise InputError(f"{path}, line 1: {error}") from error
    if not set(needed) <= set(columns) <= {*needed, *allowed}:
        optional = f" and perhaps {', '.join(allowed)}" if allowed else ""
        got = quoted(", ".join(columns))
        raise InputError(f"{path}: its first line must name the columns {', '.join(needed)}{optional}, got {got}")
    reader.fieldnames = columns
    try:
        for row in reader:
            if "" in row:
                raise InputError(f"{path}, line {reader.line_num}: more values than columns")
            yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num + 1}: {error}") from error


def _pixels(path: Path, line: int, row: Mapping[str, str], columns: Sequence[str]) -> tuple[int, ...]:
    try:
        return tuple(int(row[column]) for column in columns)
    except ValueError:
        got = ",".join(row[column] for column in columns)
        raise InputError(
            f"{path}, line {line}: expected {','.join(columns)} in whole pixels, got {quoted(got)}"
        ) from None


def _given(
    tasks: Sequence[Task], picks: Mapping[str, Pick], path: Path, *, may_be_missing: bool, is_whole_list: bool = True
) -> list[Task]:
    """The tasks with their picks; photos that are not listed are left out.

    A photo may be listed by its path below the folder, by the path that was given, or by its bare name if no other
    photo has it. is_whole_list: every photo that is listed must be there.
    """
    bare = Counter(task.source.name for task in tasks)
    found: set[str] = set()

    def pick_of(task: Task) -> Pick | None:
        names = [task.name, str(task.source), *([task.source.name] if bare[task.source.name] == 1 else [])]
        listed = [name for name in dict.fromkeys(names) if name in picks]
        found.update(listed)
        return picks[listed[0]] if listed else None

    reason = f"{path.name} has nothing for it"
    given = [replace(task, pick=pick) if (pick := pick_of(task)) else replace(task, skip=reason) for task in tasks]
    lost = [name for name in picks if name not in found]
    if lost and is_whole_list and not may_be_missing:
        others = f" and {len(lost) - 1} others that it names" if len(lost) > 1 else ""
        raise InputError(f"{path} names {lost[0]}, but there is no such photo here{others}")
    if not found and not may_be_missing:
        raise InputError(f"{path} names none of these photos: expected names such as {tasks[0].name}")
    return given


def _masked(task: Task, folder: Path, is_shared: bool, white: str | None) -> Task:
    name = Path(task.name)
    candidates = [folder / name, folder / f"{task.name}.png"]
    if not is_shared:  # a.jpg and a.png cannot both have a.png
        candidates += [folder / name.with_suffix(extension) for extension in (".png", *BY_EXTENSION)]
    for candidate in candidates:
        if candidate.is_file():
            return replace(task, pick=Pick(mask_file=candidate, mask_white=white))
    return replace(task, skip=f"{folder} has no mask for it")
