"""Pictures with at most 256 colours: exact where they fit, and where they do not, the old colours stay exact."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SLOTS = 256


def palette_image(
    rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, palette: NDArray[np.uint8] | None, *, exact: bool
) -> Image.Image | None:
    """The picture in mode "P".

    rgb: (H, W, 3). alpha: (H, W) or None. palette: (N, 4) RGBA colours of the old file, which must not change; None
    if the picture comes from a file without a palette.
    exact: True gives None where more than 256 colours are needed. False gives the closest picture: colours of the old
    palette stay as they are, the others share the places that are left. Transparency is then all or nothing, as in a
    GIF.
    """
    if alpha is None:
        alpha = np.full(rgb.shape[:2], 255, np.uint8)
    if not exact:
        alpha = np.where(alpha >= 128, 255, 0).astype(np.uint8)
    rgba = np.dstack([rgb, alpha])
    clear = alpha == 0
    if not exact and clear.any():
        rgba[clear] = rgba[clear][0]  # one transparent colour is enough, and a GIF has only one
    codes = np.ascontiguousarray(rgba).view(np.uint32)[..., 0]  # (H, W), one number a colour
    colors, indices = np.unique(codes, return_inverse=True)
    indices = indices.reshape(codes.shape)
    table = colors.view(np.uint8).reshape(-1, 4)
    if len(table) > _SLOTS:
        if exact:
            return None
        counts = np.bincount(indices.ravel(), minlength=len(table))
        fewer, new_index = _reduced(table, counts, palette)
        table, indices = fewer, new_index[indices]
    image = Image.fromarray(indices.astype(np.uint8), "P")
    image.putpalette(table[:, :3].tobytes(), "RGB")
    if (table[:, 3] < 255).any():
        opacities = table[:, 3]
        single = np.flatnonzero(opacities == 0)
        # GIF, and the smallest PNG: one transparent colour
        only_one = len(single) == 1 and bool((np.delete(opacities, single) == 255).all())
        image.info["transparency"] = int(single[0]) if only_one else opacities.tobytes()
    return image


def _reduced(
    table: NDArray[np.uint8], counts: NDArray[np.intp], palette: NDArray[np.uint8] | None
) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """At most 256 colours, and for each old colour the number of its new one.

    table: (M, 4) RGBA, the distinct colours. counts: (M,) how often each is there. palette: (N, 4) or None.
    """
    fixed = table[:, 3] == 0
    if palette is not None:
        known = np.ascontiguousarray(palette).view(np.uint32).ravel()
        fixed = fixed | np.isin(np.ascontiguousarray(table).view(np.uint32).ravel(), known)
    free = _SLOTS - int(fixed.sum())
    kept = table[fixed]
    if free > 0:
        kept = np.concatenate([kept, _averages(table[~fixed], counts[~fixed], free)])
    new_index = np.empty(len(table), np.intp)
    new_index[fixed] = np.arange(int(fixed.sum()))
    opaque = np.flatnonzero(kept[:, 3] == 255)
    choices = kept[opaque, :3].astype(np.float32)
    others = np.flatnonzero(~fixed)
    for start in range(0, len(others), 4096):  # a few MiB of distances at a time
        part = others[start : start + 4096]
        offsets = table[part, np.newaxis, :3].astype(np.float32) - choices
        new_index[part] = opaque[(offsets**2).sum(axis=2).argmin(axis=1)]
    return kept, new_index


def _averages(colors: NDArray[np.uint8], counts: NDArray[np.intp], number: int) -> NDArray[np.uint8]:
    """(number or fewer, 4) opaque colours that stand for all of them, by Pillow's median cut."""
    shares = np.maximum(1, np.rint(counts * (100_000 / max(1, int(counts.sum())))).astype(np.intp))
    pixels = np.repeat(colors[:, :3], shares, axis=0)
    image = Image.fromarray(np.ascontiguousarray(pixels[np.newaxis]))
    few = image.quantize(colors=number, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    table = np.array(few.getpalette("RGB"), np.uint8).reshape(-1, 3)[:number]
    return np.concatenate([table, np.full((len(table), 1), 255, np.uint8)], axis=1)
