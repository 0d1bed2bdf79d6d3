"""Photos with object masks as three kinds of data sets keep them: label PNGs, COCO JSON, Oxford-IIIT Pet.

A source knows names at once and decodes a photo when it is read, never before.
"""

from __future__ import annotations

import contextlib
import csv
import fnmatch
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segment.base import Image, Mask
from training.files import opened

IGNORE = 255  # in label PNGs: unclear, as in VOC
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_PET, _PET_RIM = 1, 3  # trimaps of Oxford-IIIT Pet: 2 is background


@dataclass(frozen=True)
class Annotated:
    """A photo and its objects, which may overlap."""

    image: Image
    objects: tuple[tuple[Mask, str | None], ...]  # mask and class, in the order of their labels
    ignore: Mask  # pixels of which nobody knows whose they are


class Source(Protocol):
    """Photos by number. names are relative paths with forward slashes: the same on every machine, sorted."""

    names: Sequence[str]

    def read(self, number: int) -> Annotated:
        """The photo, decoded. Raises OSError, ValueError or SyntaxError (Pillow's for broken PNGs) if it is broken."""


class LabelFolder:
    """images/NAME.jpg with masks/NAME.png beside it, below a folder: 0 background, 1..254 objects, 255 unclear.

    Palette PNGs count by index, as VOC's do.
    """

    def __init__(self, root: Path, exclude: Sequence[str] = (), manifest: Path | None = None) -> None:
        """exclude: patterns of names to leave out.

        manifest: a CSV with columns "file" (relative to it) and "classes" ("1:chair;2:dog"): the objects' classes.
        Raises ValueError if no photo is left or the manifest lacks a column.
        """
        self._root = root
        found = (
            path.relative_to(root).as_posix()
            for folder in [root, *(p for p in root.rglob("*") if p.is_dir())]
            if (folder / "masks").is_dir()
            for path in (folder / "images").rglob("*")
            if path.suffix.lower() in SUFFIXES
        )
        self.names: Sequence[str] = sorted(n for n in found if not any(fnmatch.fnmatch(n, p) for p in exclude))
        if not self.names:
            raise ValueError(f"{root} holds no images/*.jpg with masks/*.png beside them that --exclude leaves")
        self._classes = read_manifest(manifest) if manifest else {}

    def read(self, number: int) -> Annotated:
        """As Source."""
        photo = self._root / self.names[number]
        folder = next(parent for parent in photo.parents if parent.name == "images")
        mask = folder.with_name("masks") / photo.relative_to(folder).with_suffix(".png")
        labels, image = read_labels(mask), read_photo(photo)
        _check_size(labels, image)
        classes = self._classes.get(photo.resolve(), {})
        found = [int(label) for label in np.flatnonzero(np.bincount(labels.ravel())) if label not in (0, IGNORE)]
        objects = tuple((labels == label, classes.get(label)) for label in found)
        return Annotated(image, objects, labels == IGNORE)


class CocoFile:
    """An instance annotation file of COCO, and the folder of its photos. Crowds are ignored pixels."""

    def __init__(self, path: Path, photos: Path | None = None, exclude: Sequence[str] = ()) -> None:
        """photos: the folder that its file names are relative to; None looks for one beside the file.

        Raises ValueError if the file is none, holds no objects or its photos are not found, ImportError without
        pycocotools.
        """
        self._coco = _load_coco(path)
        named = {
            str(self._coco.imgs[key]["file_name"]): key for key in self._coco.getImgIds() if self._coco.imgToAnns[key]
        }
        self.names: Sequence[str] = sorted(n for n in named if not any(fnmatch.fnmatch(n, p) for p in exclude))
        if not self.names:
            raise ValueError(f"{path} holds no photo with objects that --exclude leaves")
        self._keys = [named[name] for name in self.names]
        self._photos = photos or _photos_beside(path, self.names[0])

    def read(self, number: int) -> Annotated:
        """As Source."""
        image = read_photo(self._photos / self.names[number])
        ignore = np.zeros(image.shape[:2], bool)
        objects = []
        for annotation in self._coco.imgToAnns[self._keys[number]]:
            mask = self._coco.annToMask(annotation).astype(bool)
            _check_size(mask, image)
            if annotation.get("iscrowd"):
                ignore |= mask
            elif mask.any():
                category = self._coco.cats.get(annotation.get("category_id"), {})
                objects.append((mask, category.get("name")))
        return Annotated(image, tuple(objects), ignore)


class PetFolder:
    """Oxford-IIIT Pet (Parkhi et al. 2012): images/*.jpg with annotations/trimaps/*.png; the rim is ignored."""

    def __init__(self, root: Path, exclude: Sequence[str] = ()) -> None:
        """Raises ValueError if no photo is left."""
        self._root = root
        trimaps = (path for path in (root / "annotations" / "trimaps").glob("*.png") if not path.name.startswith("."))
        found = (f"images/{path.stem}.jpg" for path in trimaps)  # "._*": the archive's leavings of macOS
        self.names: Sequence[str] = sorted(n for n in found if not any(fnmatch.fnmatch(n, p) for p in exclude))
        if not self.names:
            raise ValueError(f"{root} holds no annotations/trimaps/*.png that --exclude leaves")

    def read(self, number: int) -> Annotated:
        """As Source. The class is the breed."""
        stem = Path(self.names[number]).stem
        image = read_photo(self._root / self.names[number])
        trimap = read_labels(self._root / "annotations" / "trimaps" / f"{stem}.png")
        _check_size(trimap, image)
        pet = trimap == _PET
        objects = ((pet, stem.rpartition("_")[0] or None),) if pet.any() else ()
        return Annotated(image, objects, trimap == _PET_RIM)


def open_source(
    path: Path, *, exclude: Sequence[str] = (), manifest: Path | None = None, photos: Path | None = None
) -> Source:
    """The source that lies at a path, told by its layout: a .json file, annotations/trimaps, or images and masks.

    Raises ValueError, in one line, if there is none.
    """
    if path.is_file() and path.suffix.lower() == ".json":
        return CocoFile(path, photos, exclude)
    if not path.is_dir():
        raise ValueError(f"{path} is not there: --data wants folders of photos with masks, or COCO JSON files")
    if (path / "annotations" / "trimaps").is_dir():
        return PetFolder(path, exclude)
    return LabelFolder(path, exclude, manifest)


def read_photo(path: Path) -> Image:
    """(H, W, 3) uint8 RGB as it is stored: masks are drawn on the pixels, whatever EXIF says of turning them."""
    with opened(path) as photo:
        return np.array(photo.convert("RGB"))


def read_labels(path: Path) -> NDArray[np.int32]:
    """(H, W) labels of a PNG. Raises ValueError if it has colours instead."""
    with opened(path) as image:
        labels = np.array(image)  # of a palette its indices, of one bit False and True
    if labels.ndim != 2:
        raise ValueError(f"{path.name} must hold labels in one channel, got {labels.shape}")
    return labels.astype(np.int32)


def read_manifest(path: Path) -> Mapping[Path, Mapping[int, str]]:
    """Photo -> label -> class. Raises ValueError if it lacks a column or one cannot be read."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if missing := {"file", "classes"} - set(rows.fieldnames or ()):
            raise ValueError(f"{path} has no column {' and '.join(sorted(missing))}: is it a manifest?")
        return {(path.parent / row["file"]).resolve(): dict(_classes(row["classes"])) for row in rows if row["classes"]}


def _classes(text: str) -> Iterator[tuple[int, str]]:
    for entry in text.split(";"):
        label, _, name = entry.partition(":")
        if label.strip().isdigit() and name:  # sets of one class name no label
            yield int(label), name.strip()


def _check_size(mask: NDArray[Any], image: Image) -> None:
    if mask.shape != image.shape[:2]:
        raise ValueError(f"mask is {mask.shape} but photo is {image.shape[:2]}: are they of the same photo?")


def _load_coco(path: Path) -> Any:
    try:
        from pycocotools.coco import COCO
    except ImportError as error:
        raise ImportError("COCO files need pycocotools: pip install pycocotools") from error
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints how long it took
            coco = COCO(str(path))
            coco.getImgIds()
            coco.imgToAnns  # noqa: B018  (absent where the file has no annotations)
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError, RecursionError) as error:
        raise ValueError(f"{path} is no COCO instance annotation file ({error!r})") from error
    return coco


def _photos_beside(path: Path, name: str) -> Path:
    """Where a file of that name lies: COCO's own layout is annotations/instances_val2017.json and val2017/."""
    part = path.stem.rpartition("_")[2]
    folders = [path.parent.parent / part, path.parent / part, path.parent / "images", path.parent.parent / "images"]
    folders += [path.parent.parent / "images" / part, path.parent, path.parent.parent]
    for folder in folders:
        if (folder / name).is_file():
            return folder
    raise ValueError(f"{name} of {path} lies in none of its usual folders: name the folder with --photo-folder")
