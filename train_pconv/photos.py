"""Where the photos are and which of them a run uses. Knows names and bytes, decodes one photo at a time."""

from __future__ import annotations

import fnmatch
import io
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageOps

from inpaint.base import Image
from training.files import ordinary
from training.split import hash_share, is_held_out

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
# Both "train.tfrecord-00000-of-01024" and ImageNet's usual "train-00000-of-01024" occur.
_SHARD = re.compile(r"\.tfrecords?(-\d+-of-\d+)?$|-\d{5}-of-\d{5}$")


class BrokenPhotoError(ValueError):
    """A photo cannot be read. The message says why."""


class PhotoStore(Protocol):
    """Photos by number. names are relative paths: the same on every machine, sorted."""

    names: Sequence[str]

    def read(self, number: int) -> bytes:
        """The encoded photo. Raises OSError if it cannot be had."""


class Folder:
    """Photos in a tree of folders, such as ImageNet's train/nXXXXXXXX/*.JPEG."""

    def __init__(self, root: Path, exclude: Sequence[str] = ()) -> None:
        """exclude: patterns of relative paths to leave out. Raises ValueError if nothing is left."""
        found = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
        self.names: Sequence[str] = sorted(n for n in found if not any(fnmatch.fnmatch(n, p) for p in exclude))
        self._root = root
        if not self.names:
            raise ValueError(f"{root} holds no photos ({', '.join(SUFFIXES)}) that --exclude leaves")

    def read(self, number: int) -> bytes:
        return ordinary(self._root / self.names[number]).read_bytes()


class Stores:
    """Several stores read as one, the names of each in the order given."""

    def __init__(self, stores: Sequence[PhotoStore]) -> None:
        self._places = [(store, number) for store in stores for number in range(len(store.names))]
        self.names: Sequence[str] = [name for store in stores for name in store.names]

    def read(self, number: int) -> bytes:
        store, place = self._places[number]
        return store.read(place)


def open_photos(paths: Sequence[str], exclude: Sequence[str] = ()) -> Stores:
    """The photos of all folders and TFRecord shards.

    Raises ValueError for a path that is not there or holds no photo, in one line.
    """
    stores: list[PhotoStore] = []
    for path in map(Path, paths):
        if not path.exists():
            raise ValueError(f"{path} is not there: --images wants folders of photos or TFRecord shards")
        shards = sorted(p for p in path.rglob("*") if _is_shard(p)) if path.is_dir() else [path]
        if shards:
            from train_pconv.records import Shards

            stores.append(Shards(shards))
        else:
            stores.append(Folder(path, exclude))
    return Stores(stores)


def _is_shard(path: Path) -> bool:
    return _SHARD.search(path.name) is not None and path.is_file()


def choose(names: Sequence[str], *, fraction: float, validation_fraction: float) -> tuple[list[int], list[int]]:
    """The numbers of the photos to train on and to validate on.

    Both are decided by hashes of the name alone, so adding photos never moves one from one side to the other.
    Raises ValueError if either side is empty.
    """
    used = [number for number, name in enumerate(names) if hash_share(name, "use") < fraction]
    validation = [number for number in used if is_held_out(names[number], validation_fraction)]
    held_out = set(validation)
    training = [number for number in used if number not in held_out]
    if not training or not validation:
        raise ValueError(
            f"{len(names)} photos leave {len(training)} to train on and {len(validation)} to validate on: "
            "give more photos, or change --fraction and --validation-fraction"
        )
    return training, validation


def decode(data: bytes) -> Image:
    """(H, W, 3) uint8 RGB, turned as its EXIF says. Raises BrokenPhotoError, for half a JPEG too."""
    try:
        with PillowImage.open(io.BytesIO(data)) as photo:
            upright = ImageOps.exif_transpose(photo)
            return np.array((upright or photo).convert("RGB"))
    except (OSError, ValueError, SyntaxError, PillowImage.DecompressionBombError) as error:
        raise BrokenPhotoError(str(error) or type(error).__name__) from error


class Photos:
    """Decoded photos, some of them kept in memory; broken ones are remembered by name."""

    def __init__(self, store: PhotoStore, *, cache_gib: float = 0.0, cache_side_px: int = 0) -> None:
        """cache_side_px: a photo with a longer shorter side is shrunk to it before it is used or kept; 0: never."""
        self.names = store.names
        self._broken: dict[int, str] = {}  # by number: photos of two folders may have one name
        self._store = store
        self._room = int(cache_gib * 2**30)
        self._side_px = cache_side_px
        self._kept: dict[int, Image] = {}
        self._lock = threading.Lock()

    @property
    def broken(self) -> dict[str, str]:
        """The names of the photos that could not be read so far, and why."""
        return {self.names[number]: why for number, why in list(self._broken.items())}

    def get(self, number: int) -> Image:
        """(H, W, 3) uint8 RGB, not to be written to. Raises BrokenPhotoError, and remembers it."""
        kept = self._kept.get(number)
        if kept is not None:
            return kept
        if number in self._broken:
            raise BrokenPhotoError(self._broken[number])
        try:
            photo = decode(self._store.read(number))
        except (OSError, BrokenPhotoError) as error:
            with self._lock:
                self._broken[number] = str(error)
            raise BrokenPhotoError(str(error)) from error
        short = min(photo.shape[:2])
        if self._side_px and short > self._side_px:
            size = (round(photo.shape[1] * self._side_px / short), round(photo.shape[0] * self._side_px / short))
            photo = np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)
        with self._lock:
            if photo.nbytes <= self._room:
                self._room -= photo.nbytes
                self._kept[number] = photo
        return photo
