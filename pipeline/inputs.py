"""Files and folders to a list of photos, each with an output that no other photo has."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.formats import BY_EXTENSION
from pipeline.remote import Place, Url, files_below, relative
from pipeline.selection import Pick

SHEET_FILE = "clickaway-preview.png"  # what a dry run writes


class InputError(ValueError):
    """The files or folders named make no sense together. The message is one line."""


@dataclass(frozen=True)
class Task:
    """One photo to do."""

    source: Place
    target: Place
    name: str = ""  # the photo below the folder that was named, with slashes: what files that list photos call it
    pick: Pick = field(default_factory=Pick)
    overwrite: bool = False
    skip: str = ""  # why it is left out; empty: it is to be done

    @property
    def is_in_place(self) -> bool:
        """Whether the result takes the photo's own name: what is read afterwards is what was written."""
        if isinstance(self.source, Path) and isinstance(self.target, Path):
            try:
                return self.source.samefile(self.target)  # by whatever link, on file systems that take A for a too
            except OSError:  # one of them is not there
                return False
        return self.source == self.target


def plan(
    inputs: Sequence[Place],
    *,
    out: Place | None = None,
    suffix: str = "",
    extension: str | None = None,
    may_be_empty: bool = False,
) -> list[Task]:
    """The photos in these files and folders, in order, and where each one's result goes.

    out: a folder; the tree below a folder of inputs is kept in it (below the folder's own name if several inputs are
    given). None puts each result beside its photo, with suffix in its name; then inputs must be files.
    suffix: "-erased"; used only where out is None. extension: ".png" for results that are all of one format; None
    keeps each photo's own. may_be_empty: a folder without photos is no mistake.
    A photo named twice is done once. Raises InputError if an input is not there, a folder holds no photo, or a folder
    is given without out; OSError if a folder cannot be listed.
    """
    tasks: list[Task] = []
    seen: set[Place] = set()
    roots = _root_names(inputs)
    for source in inputs:
        if source.is_dir():
            if out is None:
                raise InputError(f"{source} is a folder: say where the results go with --out DIR")
            found = [(path, relative(path, source)) for path in _photos_below(source, leave_out=out)]
            if not found and not may_be_empty:
                raise InputError(f"there is no photo in the folder {source}: expected {', '.join(BY_EXTENSION)} files")
            places = [(path, out / roots[source] / below, roots[source] / below) for path, below in found]
        elif source.exists():
            named = source.with_name(f"{source.stem}{suffix}{source.suffix}")
            places = [(source, named if out is None else out / source.name, Path(source.name))]
        else:
            raise InputError(f"there is no file or folder {source}")
        for path, target, name in places:
            resolved = path.resolve()
            if resolved not in seen:
                seen.add(resolved)
                tasks.append(Task(path, target.with_suffix(extension or target.suffix), name.as_posix()))
    return _without_shared_targets(tasks)


def _photos_below(folder: Place, *, leave_out: Place) -> Iterator[Place]:
    """The photos in a folder and below, by name. Hidden ones and links to folders (they may be loops) are passed by."""
    if isinstance(folder, Url):
        yield from _remote_photos_below(folder, leave_out=leave_out)
        return
    results = leave_out.resolve()
    for parent, folders, names in os.walk(folder, onerror=_raise):
        inside = Path(parent)
        # Results of an earlier run are no photos to do, unless the results go into the folder of photos itself.
        folders[:] = sorted(name for name in folders if name[0] != "." and (inside / name).resolve() != results)
        for name in sorted(names):
            if name[0] != "." and name != SHEET_FILE and Path(name).suffix.lower() in BY_EXTENSION:
                yield inside / name


def _remote_photos_below(folder: Url, *, leave_out: Place) -> Iterator[Url]:
    """As `_photos_below`, in the same order: a folder's photos before those in its folders."""
    found = []
    for file in files_below(folder):
        parts = file.relative_to(folder).parts
        is_result = isinstance(leave_out, Url) and leave_out != folder and leave_out.holds(file)
        is_photo = file.suffix.lower() in BY_EXTENSION and file.name != SHEET_FILE
        if is_photo and not is_result and not any(part.startswith(".") for part in parts):
            found.append(([(True, part) for part in parts[:-1]] + [(False, parts[-1])], file))
    for _, file in sorted(found):
        yield file


def _raise(error: OSError) -> None:
    """What os.walk does not do by itself: photos that it cannot list would be left out in silence."""
    raise error


def _root_names(inputs: Sequence[Place]) -> dict[Place, Path]:
    """Folder -> the name below which its photos go: none for a single one, else its own, with a number if need be."""
    folders = list(dict.fromkeys(path for path in inputs if path.is_dir()))
    if len(inputs) == 1:
        return dict.fromkeys(folders, Path())
    names: dict[Place, Path] = {}
    for folder in folders:
        name, number = folder.resolve().name or "root", 1
        while _key(Path(name)) in {_key(other) for other in names.values()}:
            number += 1
            name = f"{folder.resolve().name}-{number}"
        names[folder] = Path(name)
    return names


def with_kept_targets(tasks: Sequence[Task], earlier: Mapping[Place, Place]) -> list[Task]:
    """The tasks, those done earlier with the target that they had then; no two share one.

    earlier: source, as `Path.resolve` says it -> target. A photo that comes into a folder later must not change
    another's result's name.
    """
    kept = {}
    for task in tasks:
        target = earlier.get(task.source.resolve())
        if target is not None and (target.parent, target.suffix) == (task.target.parent, task.target.suffix):
            kept[task.source] = target
    first = [replace(task, target=kept[task.source]) for task in tasks if task.source in kept]
    others = [task for task in tasks if task.source not in kept]
    taken = {_key(task.target) for task in first}
    named = {task.source: task for task in (*first, *_numbered(others, taken))}
    return [named[task.source] for task in tasks]


def _without_shared_targets(tasks: list[Task]) -> list[Task]:
    """The tasks with every target different, on file systems too that take A and a for one name.

    photo.jpg and photo.png that would both become photo.png become photo-jpg.png and photo-png.png; what is still
    shared gets a number.
    """
    counts = Counter(_key(task.target) for task in tasks)
    renamed = [
        replace(task, target=_with_source_type(task)) if counts[_key(task.target)] > 1 else task for task in tasks
    ]
    return _numbered(renamed, set())


def _numbered(tasks: Sequence[Task], taken: set[str]) -> list[Task]:
    """The tasks, those whose target is taken with a number in its name. taken: keys; not written to."""
    taken = set(taken)
    unique = []
    for task in tasks:
        target, number = task.target, 1
        while _key(target) in taken:
            number += 1
            target = task.target.with_name(f"{task.target.stem}-{number}{task.target.suffix}")
        taken.add(_key(target))
        unique.append(replace(task, target=target))
    return unique


def _with_source_type(task: Task) -> Place:
    kind = task.source.suffix.lower().removeprefix(".")
    stem, added = task.source.stem, task.target.stem.removeprefix(task.source.stem)
    return task.target.with_name(f"{stem}-{kind}{added}{task.target.suffix}")


def _key(path: Place) -> str:
    """The same for two names that some file system cannot tell apart."""
    return unicodedata.normalize("NFC", str(path)).casefold()
