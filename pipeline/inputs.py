"""Files and folders to a list of photos, each with an output that no other photo has."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.formats import BY_EXTENSION


class InputError(ValueError):
    """The files or folders named make no sense together. The message is one line."""


@dataclass(frozen=True)
class Task:
    """One photo to do."""

    source: Path
    target: Path


def plan(
    inputs: Sequence[Path], *, out: Path | None = None, suffix: str = "", extension: str | None = None
) -> list[Task]:
    """The photos in these files and folders, in order, and where each one's result goes.

    out: a folder; the tree below a folder of inputs is kept in it (below the folder's own name if several inputs are
    given). None puts each result beside its photo, with suffix in its name; then inputs must be files.
    suffix: "-erased"; used only where out is None. extension: ".png" for results that are all of one format; None
    keeps each photo's own.
    A photo named twice is done once. Raises InputError if an input is not there, a folder holds no photo, or a folder
    is given without out.
    """
    tasks: list[Task] = []
    seen: set[Path] = set()
    roots = _root_names(inputs)
    for source in inputs:
        if source.is_dir():
            if out is None:
                raise InputError(f"{source} is a folder: say where the results go with --out DIR")
            found = [(path, path.relative_to(source)) for path in _photos_below(source, leave_out=out)]
            if not found:
                raise InputError(f"there is no photo in the folder {source}: expected {', '.join(BY_EXTENSION)} files")
            places = [(path, out / roots[source] / below) for path, below in found]
        elif source.exists():
            named = source.with_name(f"{source.stem}{suffix}{source.suffix}")
            places = [(source, named if out is None else out / source.name)]
        else:
            raise InputError(f"there is no file or folder {source}")
        for path, target in places:
            resolved = path.resolve()
            if resolved not in seen:
                seen.add(resolved)
                tasks.append(Task(path, target.with_suffix(extension or target.suffix)))
    return _without_shared_targets(tasks)


def _photos_below(folder: Path, *, leave_out: Path) -> Iterator[Path]:
    """The photos in a folder and below, by name. Hidden ones and links to folders (they may be loops) are passed by."""
    results = leave_out.resolve()
    for parent, folders, names in os.walk(folder):
        inside = Path(parent)
        # Results of an earlier run are no photos to do, unless the results go into the folder of photos itself.
        folders[:] = sorted(name for name in folders if name[0] != "." and (inside / name).resolve() != results)
        for name in sorted(names):
            if name[0] != "." and Path(name).suffix.lower() in BY_EXTENSION:
                yield inside / name


def _root_names(inputs: Sequence[Path]) -> dict[Path, str]:
    """Folder -> the name below which its photos go: none for a single one, else its own, with a number if need be."""
    folders = list(dict.fromkeys(path for path in inputs if path.is_dir()))
    if len(inputs) == 1:
        return dict.fromkeys(folders, "")
    names: dict[Path, str] = {}
    for folder in folders:
        name, number = folder.resolve().name or "root", 1
        while _key(Path(name)) in {_key(Path(other)) for other in names.values()}:
            number += 1
            name = f"{folder.resolve().name}-{number}"
        names[folder] = name
    return names


def _without_shared_targets(tasks: list[Task]) -> list[Task]:
    """The tasks with every target different, on file systems too that take A and a for one name.

    photo.jpg and photo.png that would both become photo.png become photo-jpg.png and photo-png.png; what is still
    shared gets a number.
    """
    counts = Counter(_key(task.target) for task in tasks)
    renamed = [
        replace(task, target=_with_source_type(task)) if counts[_key(task.target)] > 1 else task for task in tasks
    ]
    taken: set[str] = set()
    unique = []
    for task in renamed:
        target, number = task.target, 1
        while _key(target) in taken:
            number += 1
            target = task.target.with_name(f"{task.target.stem}-{number}{task.target.suffix}")
        taken.add(_key(target))
        unique.append(replace(task, target=target))
    return unique


def _with_source_type(task: Task) -> Path:
    kind = task.source.suffix.lower().removeprefix(".")
    stem, added = task.source.stem, task.target.stem.removeprefix(task.source.stem)
    return task.target.with_name(f"{stem}-{kind}{added}{task.target.suffix}")


def _key(path: Path) -> str:
    """The same for two names that some file system cannot tell apart."""
    return unicodedata.normalize("NFC", str(path)).casefold()
