"""Masks from picture files and to them: white is the object."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.image_io import MAX_PIXELS, load, save
from pipeline.photo import Encoding, Photo, PhotoError, luma, to_uint8
from segment.base import Mask

_HALF = 128
_SOFT = (32, 224)  # greys between these are meant: outside them they may come from JPEG compression


def read_mask(path: Path, photo_hw: tuple[int, int], *, max_pixels: int = MAX_PIXELS) -> tuple[Mask, list[str]]:
    """The mask in a picture file, True where it is white, and notes for the person.

    Greys count as white from one half on; transparent parts count as black.
    Raises PhotoError if it is no picture, of another size than the photo, or has no white in it.
    """
    picture = load(path, max_pixels=max_pixels)
    if picture.hw != photo_hw:
        (height, width), (photo_h, photo_w) = picture.hw, photo_hw
        turned = ": was one of them turned?" if picture.hw == photo_hw[::-1] else ""
        raise PhotoError(
            f"the mask {path} is {width}x{height} but the photo is {photo_w}x{photo_h}{turned or ': make them equal'}"
        )
    grey = luma(picture.rgb)
    if picture.alpha is not None:
        grey = np.where(to_uint8(picture.alpha) >= _HALF, grey, 0).astype(np.uint8)
    mask: Mask = grey >= _HALF
    if not mask.any():
        raise PhotoError(f"the mask {path} has no white in it: white marks the object, black everything else")
    notes = []
    soft = np.count_nonzero((grey > _SOFT[0]) & (grey < _SOFT[1]))
    if soft > 0.01 * grey.size:
        share = soft / grey.size
        notes.append(
            f"the mask {path} has greys in {share:.0%} of the photo: from {_HALF} of 255 on they count as object"
        )
    return mask, notes


def write_mask(mask: Mask, path: Path, *, overwrite: bool = False) -> None:
    """Writes the mask as a black and white PNG, white on the object, whole or not at all."""
    grey = np.where(mask, 255, 0).astype(np.uint8)
    photo = Photo(np.repeat(grey[..., np.newaxis], 3, axis=2), mode="1", encoding=Encoding("PNG"))
    save(photo, path, overwrite=overwrite)
