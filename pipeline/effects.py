"""The effects, and what each makes of a photo and a mask. No files."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inpaint import Inpainter
from pipeline import edit
from pipeline.photo import Alpha, Metadata, Photo, Pixels, to_depth, to_uint8
from segment.base import Mask


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
    matting: bool = False


@dataclass(frozen=True)
class Blur:
    """Blur everything but the object."""

    sigma_px: float | None = None
    feather_px: float | None = None
    matting: bool = False


@dataclass(frozen=True, eq=False)
class Replace:
    """Put the object on a photo, (h, w, 3), or on a colour."""

    background: Pixels | edit.Color
    feather_px: float | None = None
    matting: bool = False


@dataclass(frozen=True)
class Outline:
    """Draw the object's outline on the photo, or beside Canny's edges."""

    color: edit.Color = (255, 64, 64)
    width_px: float | None = None
    beside_canny: bool = False


Effect = Erase | CutOut | Blur | Replace | Outline
_DONE = {  # what a result's metadata says of it
    Erase: "object erased",
    CutOut: "object cut out",
    Blur: "background blurred",
    Replace: "background replaced",
    Outline: "outline drawn",
}


@dataclass(frozen=True)
class Masks:
    """Save the objects' masks, one by one; no edited photo."""


def apply(photo: Photo, mask: Mask, effect: Effect, *, inpainter: Inpainter | None = None) -> Photo:
    """The photo with the effect. mask: (H, W) bool. Alpha, bits and colours are treated as the file's kind wants.

    inpainter: what fills the hole; needed only to erase.
    Raises ValueError where the mask does not fit the effect: an empty one, or all of the photo to be erased.
    """
    result = _applied(photo, mask, effect, inpainter)
    return replace(result, edits=(*photo.edits, _DONE[type(effect)]))


def _applied(photo: Photo, mask: Mask, effect: Effect, inpainter: Inpainter | None) -> Photo:
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
        case Blur(sigma_px, feather_px, matting):
            blurred = edit.blur_background(pixels, mask, sigma_px=sigma_px, feather_px=feather_px, matting=matting)
            return photo.edited(blurred, alpha=alpha)
        case Outline(color, width_px, beside_canny):
            from pipeline import outline

            if not beside_canny:
                drawn = outline.outlined(pixels, mask, color=color, width_px=width_px)
                return photo.edited(photo.in_file_colors(drawn), alpha=alpha)
            pair = outline.beside_canny(pixels, mask, width_px=width_px)  # of another size: a picture of its own
            return Photo(pair, metadata=Metadata(), encoding=photo.encoding, notes=photo.notes)
        case CutOut(feather_px, matting):
            cut = edit.cut_out(pixels, mask, feather_px=feather_px, matting=matting)
            return photo.edited(cut[..., :3].copy(), alpha=_both(cut[..., 3], alpha))
        case Replace(background, feather_px, matting):
            cut = edit.cut_out(pixels, mask, feather_px=feather_px, matting=matting)
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
