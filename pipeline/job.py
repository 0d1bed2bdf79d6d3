"""One photo file in, one photo file out. The command line and the batch runner both go through here."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inpaint import Inpainter
from pipeline import edit, image_io
from pipeline.atomic import in_the_way
from pipeline.models import Models
from pipeline.photo import Alpha, Photo, PhotoError, Pixels, to_depth, to_uint8
from pipeline.selection import Pick, choose
from segment.base import Mask, NoObjectError


@dataclass(frozen=True)
class Erase:
    """Take the object away. None: scaled with object and photo; but a box is taken as it is, not grown."""

    grow_px: int | None = None
    feather_px: float | None = None
    mask_shape: str = "exact"


@dataclass(frozen=True)
class CutOut:
    """Keep only the object, on transparency."""

    feather_px: float | None = None


@dataclass(frozen=True)
class Blur:
    """Blur everything but the object."""

    sigma_px: float | None = None
    feather_px: float | None = None


@dataclass(frozen=True, eq=False)
class Replace:
    """Put the object on a photo, (h, w, 3), or on a colour."""

    background: Pixels | edit.Color
    feather_px: float | None = None


Effect = Erase | CutOut | Blur | Replace


@dataclass(frozen=True)
class Outcome:
    """What became of one photo."""

    source: Path
    target: Path
    seconds: float
    error: str | None = None  # one line; None: it is done
    area_px: int | None = None  # of the selection, before growing
    share: float | None = None  # of the photo, 0..1
    label: str | None = None
    score: float | None = None
    notes: tuple[str, ...] = ()


def process(
    source: Path,
    target: Path,
    pick: Pick,
    effect: Effect,
    models: Models,
    *,
    quality: int | None = None,
    overwrite: bool = False,
    max_pixels: int = image_io.MAX_PIXELS,
) -> Outcome:
    """Loads the photo, selects, edits and saves. Folders for the target are made.

    Raises PhotoError for a file that cannot be read or written, NoObjectError where nothing is found, ValueError
    where the pick does not fit the photo, FileExistsError where the target is there and overwrite is False, OSError.
    """
    start = time.perf_counter()
    check_target(target, effect, overwrite=overwrite)
    photo = image_io.load(source, max_pixels=max_pixels)
    selection, notes = choose(photo.rgb, pick, models)
    if isinstance(effect, Erase) and effect.grow_px is None and pick.boxes:
        effect = Erase(0, effect.feather_px, effect.mask_shape)  # who draws a box means that box
    inpainter = models.filler if isinstance(effect, Erase) else None
    edited = apply(photo, selection.mask, effect, inpainter=inpainter)
    target.parent.mkdir(parents=True, exist_ok=True)
    saved_notes = image_io.save(edited, target, quality=quality, overwrite=overwrite)
    area_px = int(np.count_nonzero(selection.mask))
    return Outcome(
        source,
        target,
        time.perf_counter() - start,
        area_px=area_px,
        share=area_px / selection.mask.size,
        label=selection.label,
        score=float(selection.score),
        notes=(*photo.notes, *notes, *saved_notes),
    )


def check_target(target: Path, effect: Effect, *, overwrite: bool) -> None:
    """Raises what saving would, before any work is done: for an unknown or unfit format, for a file in the way."""
    from pipeline.formats import HOLDS_ALPHA

    format_name = image_io.format_of(target)
    if isinstance(effect, CutOut) and format_name not in HOLDS_ALPHA:
        raise PhotoError(
            f"{target} cannot hold a cut-out: {format_name} has no transparency; use .png or .webp, "
            "or replace the background with a colour"
        )
    if not overwrite and target.exists():
        raise FileExistsError(in_the_way(target))


def apply(photo: Photo, mask: Mask, effect: Effect, *, inpainter: Inpainter | None = None) -> Photo:
    """The photo with the effect. mask: (H, W) bool. Alpha, bits and colours are treated as the file's kind wants.

    inpainter: what fills the hole; needed only to erase.
    Raises ValueError where the mask does not fit the effect: an empty one, or all of the photo to be erased.
    """
    pixels, alpha = photo.pixels, photo.alpha
    match effect:
        case Erase(grow_px, feather_px, mask_shape):
            if inpainter is None:
                raise ValueError("erasing needs an inpainter: give one")
            hole = edit.hole_of(mask, grow_px=grow_px, mask_shape=mask_shape)
            if feather_px is None:
                feather_px = edit.default_erase_feather_px(mask, grow_px)
            erased = edit.erase(pixels, hole, inpainter, grow_px=0, feather_px=feather_px)
            return photo.edited(photo.in_file_colors(erased), alpha=_filled_alpha(alpha, hole))
        case Blur(sigma_px, feather_px):
            blurred = edit.blur_background(pixels, mask, sigma_px=sigma_px, feather_px=feather_px)
            return photo.edited(blurred, alpha=alpha)
        case CutOut(feather_px):
            cut = edit.cut_out(pixels, mask, feather_px=feather_px)
            return photo.edited(cut[..., :3].copy(), alpha=_both(cut[..., 3], alpha))
        case Replace(background, feather_px):
            cut = edit.cut_out(pixels, mask, feather_px=feather_px)
            behind = edit.cover(background, photo.hw, pixels.dtype)
            return photo.edited(edit.laid_on(cut[..., :3], _both(cut[..., 3], alpha), behind), alpha=None)


def _both(first: Alpha, second: Alpha | None) -> Alpha:
    """The opacity of what is seen through both."""
    if second is None:
        return first.copy()
    full = np.iinfo(first.dtype).max
    return ((first.astype(np.uint32) * second + full // 2) // full).astype(first.dtype)


def _filled_alpha(alpha: Alpha | None, hole: Mask) -> Alpha | None:
    """The opacity with the hole filled from around it: what stood on transparency leaves transparency."""
    if alpha is None or not hole.any() or alpha.min() == alpha.max():
        return alpha
    from inpaint import load_inpainter

    # A smooth fill is what opacity needs, whatever net fills the colours.
    grey = np.repeat(to_uint8(alpha)[..., np.newaxis], 3, axis=2)
    filled: NDArray[np.uint8] = edit.erase(grey, hole, load_inpainter("telea"), grow_px=0, feather_px=0)
    result = alpha.copy()
    result[hole] = to_depth(filled[..., 0][hole], alpha.dtype)
    return result


def one_line(error: BaseException) -> str:
    """The error in one line for a person. Errors that are not meant for people say so."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError):
        return "there is not enough memory for this photo"
    if is_expected(error):
        return text or type(error).__name__
    return f"{type(error).__name__}: {text} (this is a fault in Clickaway or a library; --debug shows where)"


def is_expected(error: BaseException) -> bool:
    """Whether the error is one that a person can do something about."""
    from weights import WeightsError

    return isinstance(error, ValueError | NoObjectError | WeightsError | OSError | ImportError | MemoryError)
