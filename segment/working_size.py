"""Large photos are looked at small: the working copy, and masks and boxes brought back to the photo's size."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from segment.base import Image, Mask

# mmdet pastes every mask at the size of the photo it is given: 100 masks of 12 megapixels would be 1.2 GB, and RTMDet
# holds them as float32 before. The published nets look at no more than this, so finer masks would hold no more detail.
WORKING_SIDE_PX = 1333
LONGEST_TO_SHORTEST = 16  # a thinner photo is padded: resized for the net, its short side would round to nothing


def working_wh(image_hw: tuple[int, int], side_px: int = WORKING_SIDE_PX) -> tuple[int, int]:
    """Width and height of a photo, shrunk so that the longer one is side_px if it was longer."""
    height, width = image_hw
    factor = min(1.0, side_px / max(height, width))
    return max(1, round(width * factor)), max(1, round(height * factor))


def working_copy(image: Image, side_px: int = WORKING_SIDE_PX) -> Image:
    """The photo at that size; itself if it is no longer."""
    size = working_wh(image.shape[:2], side_px)
    if size == image.shape[1::-1]:
        return image
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def padded(image: Image) -> Image:
    """The photo, its last row or column repeated if it is thinner than the net's resizing can bear."""
    height, width = image.shape[:2]
    least = -(-max(height, width) // LONGEST_TO_SHORTEST)
    if min(height, width) >= least:
        return image
    return np.pad(image, ((0, max(0, least - height)), (0, max(0, least - width)), (0, 0)), mode="edge")


def at_photo_size(mask: Mask, image_hw: tuple[int, int]) -> tuple[Mask, tuple[int, int]] | None:
    """The mask (h, w) cropped and brought to the photo's size, and the crop's corner (x, y); None if it is empty."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if columns.size == 0:
        return None
    (height, width), (photo_h, photo_w) = mask.shape, image_hw
    # One pixel more on each side, so that the edge is interpolated; at the photo's border there is none.
    x0, y0 = max(0, columns[0] - 1), max(0, rows[0] - 1)
    x1, y1 = min(width, columns[-1] + 2), min(height, rows[-1] + 2)
    crop = mask[y0:y1, x0:x1]
    if (height, width) == (photo_h, photo_w):
        return crop.copy(), (int(x0), int(y0))
    scale_x, scale_y = photo_w / width, photo_h / height
    left, top = int(x0 * scale_x), int(y0 * scale_y)
    size = min(photo_w, round(x1 * scale_x)) - left, min(photo_h, round(y1 * scale_y)) - top
    # Pixel centres of the photo seen from the crop.
    back = np.array(
        [[1 / scale_x, 0, (left + 0.5) / scale_x - 0.5 - x0], [0, 1 / scale_y, (top + 0.5) / scale_y - 0.5 - y0]]
    )
    # Smoothed first, or the steps along the edge would be several pixels high; but nothing thin may be lost by it.
    soft = cv2.GaussianBlur(crop.astype(np.float32), (3, 3), 0, borderType=cv2.BORDER_REPLICATE)
    if np.count_nonzero(soft >= 0.5) < 0.9 * np.count_nonzero(crop):
        soft = crop.astype(np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(soft, back, size, flags=flags, borderMode=cv2.BORDER_REPLICATE) >= 0.5, (left, top)


def box_at_photo_size(
    box: NDArray[np.floating], working_hw: tuple[int, int], image_hw: tuple[int, int]
) -> tuple[int, int, int, int]:
    """The detector's box (x0, y0, x1, y1) in whole pixels of the photo."""
    scale = np.array([image_hw[1] / working_hw[1], image_hw[0] / working_hw[0]] * 2)
    x0, y0, x1, y1 = np.clip(np.asarray(box, float) * scale, 0, [*image_hw[::-1], *image_hw[::-1]])
    return int(np.floor(x0)), int(np.floor(y0)), int(np.ceil(x1)), int(np.ceil(y1))
