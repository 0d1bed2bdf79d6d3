"""Clicks as pictures: the planes by which a net is told where the clicks are.

Every plane has the size of the picture that it is made for. Distances are in that picture's pixels over a fixed
length, never over the size of the picture: a patch cut out of a photo's plane equals the plane of that patch, so that
a net which learned on patches reads whole photos the same way. The DeepCrop report normalised by the patch, and its
net failed on whole photos for it (section 5).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segment.base import Click, Image

Plane = NDArray[np.float32]  # (H, W)

DISK_RADIUS_PX = 5  # RITM: Sofiiuk et al. 2021, section 3.1
DISTANCE_UNIT_PX = 224  # the side of DeepMask's patch: the planes of a patch run from 0 to about 0.7
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, the luminance of sRGB photos


def distance_plane(
    clicks: Sequence[Click], hw: tuple[int, int], *, unit_px: float = DISTANCE_UNIT_PX, at_most: float = 1.0
) -> Plane:
    """(H, W) float32 in 0..at_most: distance in pixels to the nearest positive click, over unit_px, cut at at_most.

    Clicks may lie outside the picture, as those of a photo do for a patch of it. Without any, at_most everywhere.
    """
    distance = np.sqrt(_squared_distance([click for click in clicks if click.positive], hw))
    return np.minimum(distance / unit_px, at_most).astype(np.float32)


def colour_distance_plane(image: Image, clicks: Sequence[Click]) -> Plane:
    """(H, W) float32 in 0..1: Euclidean RGB distance to the colour under a positive click, the nearest of several.

    image: (H, W, 3) uint8 RGB. 1 is from black to white. Clicks outside the picture have no colour.
    """
    colours = _colours(image, clicks)
    nearest = np.ones(image.shape[:2])
    for colour in colours:
        difference = image.astype(np.float64) - colour
        nearest = np.minimum(nearest, np.sqrt((difference**2).sum(axis=2) / (3 * 255**2)))
    return nearest.astype(np.float32)


def luminance_difference_plane(image: Image, clicks: Sequence[Click]) -> Plane:
    """(H, W) float32 in 0..1: absolute difference in luminance to a positive click's pixel, the least of several.

    image: (H, W, 3) uint8 RGB. Clicks outside the picture have no luminance.
    """
    luminance = image @ np.array(LUMA) / 255
    nearest = np.ones(image.shape[:2])
    for colour in _colours(image, clicks):
        nearest = np.minimum(nearest, np.abs(luminance - colour @ np.array(LUMA) / 255))
    return nearest.astype(np.float32)


def _colours(image: Image, clicks: Sequence[Click]) -> list[NDArray[np.float64]]:
    height, width = image.shape[:2]
    inside = [click for click in clicks if click.positive and 0 <= click.x < width and 0 <= click.y < height]
    return [image[click.y, click.x].astype(np.float64) for click in inside]


def _squared_distance(clicks: Sequence[Click], hw: tuple[int, int]) -> NDArray[np.float64]:
    """(H, W): squared distance to the nearest of the clicks, infinite without any."""
    rows, columns = np.ogrid[: hw[0], : hw[1]]
    nearest = np.full(hw, np.inf)
    for click in clicks:
        nearest = np.minimum(nearest, (rows - click.y) ** 2.0 + (columns - click.x) ** 2.0)
    return nearest


def head_planes(
    clicks: Sequence[Click], previous: Plane | None, side_px: int, *, stride_px: int = 4, near_px: float = 24.0
) -> NDArray[np.float32]:
    """(side_px/stride_px, side_px/stride_px, 7) float32, what ClickNet's head is told of the clicks.

    0, 1: soft disks of DISK_RADIUS_PX round positive and negative clicks. 2, 3: how near one of them is, falling as a
    Gaussian of near_px. 4, 5: columns and rows to the nearest positive click, -1..1 over half the side. 6: previous.
    clicks: in pixels of a square of side_px. previous: (side/stride, side/stride), 0..1, the answer so far; None: none.
    """
    cells = side_px // stride_px
    centres = (np.arange(cells, dtype=np.float32) + 0.5) * stride_px - 0.5
    planes = np.zeros((cells, cells, 7), np.float32)
    for place, positive in enumerate((True, False)):
        nearest = np.full((cells, cells), np.inf, np.float32)
        for click in clicks:
            if click.positive != positive:
                continue
            right, down = centres[None] - click.x, centres[:, None] - click.y
            squared = right**2 + down**2
            closer = squared < nearest
            nearest = np.where(closer, squared, nearest)
            if positive:
                planes[..., 4] = np.where(closer, right / (side_px / 2), planes[..., 4])
                planes[..., 5] = np.where(closer, down / (side_px / 2), planes[..., 5])
        planes[..., place] = np.clip((DISK_RADIUS_PX + stride_px / 2 - np.sqrt(nearest)) / stride_px, 0, 1)
        planes[..., 2 + place] = np.exp(-nearest / (2 * near_px**2))
    planes[..., 4:6] = np.clip(planes[..., 4:6], -1, 1)
    if previous is not None:
        planes[..., 6] = previous
    return planes


def mirrored(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """head_planes' planes of the mirror image."""
    turned = planes[:, ::-1].copy()
    turned[..., 4] = -turned[..., 4]  # columns to the click
    return turned
