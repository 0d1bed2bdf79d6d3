"""Masks from picture files and to them: white is the object."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.image_io import MAX_PIXELS, load, save
from pipeline.photo import Encoding, Photo, PhotoError, luma, to_uint8
from pipeline.remote import Place
from segment.base import Mask

_HALF = 128
_MOST = 0.5  # a share: an object that covers more than that seldom covers most of the border too
_SOFT = (32, 224)  # greys between these are meant: outside them they may come from JPEG compression


def read_mask(
    path: Path, photo_hw: tuple[int, int], *, white: str | None = None, max_pixels: int = MAX_PIXELS
) -> tuple[Mask, list[str]]:
    """The mask in a picture file, True on the object, and notes for the person.

    white: what is white in it, "object" or "background". None: the object, if that can hardly be wrong.
    Greys count as white from one half on; transparent parts count as black.
    Raises PhotoError if it is no picture, of another size than the photo, has nothing on the object, or white is None
    and covers most of the picture and of its border: many programs' masks are the other way round, and who does not
    say which gets the wrong half of the photo erased.
    """
    if white not in (None, "object", "background"):
        raise ValueError(f"white must be 'object', 'background' or None, got {white!r}")
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
    if white == "background":
        mask = ~mask
        if not mask.any():
            raise PhotoError(f"the mask {path} has no black in it: with white for the background, black is the object")
    if not mask.any():
        raise PhotoError(f"the mask {path} has no white in it: white marks the object, black everything else")
    if white is None and mask.mean() > _MOST and _border(mask).mean() > _MOST:
        raise PhotoError(
            f"the mask {path} is white on {mask.mean():.0%} of the photo and on most of its border: "
            "say whether white is the object or the background, with --mask-white object or --mask-white background"
        )
    notes = []
    soft = np.count_nonzero((grey > _SOFT[0]) & (grey < _SOFT[1]))
    if soft > 0.01 * grey.size:
        share = soft / grey.size
        notes.append(
            f"the mask {path} has greys in {share:.0%} of the photo: from {_HALF} of 255 on they count as object"
        )
    return mask, notes


def _border(mask: Mask) -> Mask:
    """The mask's outermost pixels, in one row."""
    return np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])


def write_mask(mask: Mask, path: Place, *, overwrite: bool = False) -> None:
    """Writes the mask as a black and white PNG, white on the object, whole or not at all."""
    grey = np.where(mask, 255, 0).astype(np.uint8)
    photo = Photo(np.repeat(grey[..., np.newaxis], 3, axis=2), mode="1", encoding=Encoding("PNG"))
    save(photo, path, overwrite=overwrite)
