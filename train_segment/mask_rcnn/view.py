"""Instances with their names, drawn on photos: to be looked at."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np

from segment import Image, Selection
from segment.mask_ops import box_xyxy, grow
from train_segment.sheet import sheet


def draw(image: Image, instances: Sequence[Selection], *, width_px: int) -> Image:
    """The photo at that width, each instance tinted and outlined in a colour of its own, with its name and score."""
    height_px = max(1, round(image.shape[0] * width_px / image.shape[1]))
    size = (width_px, height_px)
    picture = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8).copy()
    texts = []
    for number, one in enumerate(instances):
        colour = tuple(round(255 * part) for part in colorsys.hsv_to_rgb(number * 0.382 % 1, 0.9, 1.0))
        inside = cv2.resize(one.mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.5
        if not inside.any():
            continue
        picture[inside] = np.rint(0.65 * picture[inside] + 0.35 * np.array(colour)).astype(np.uint8)
        picture[grow(inside, 1) & ~inside] = colour
        x0, y0, _, _ = box_xyxy(inside)
        texts.append((f"{one.label} {one.score:.2f}", (int(x0), max(10, int(y0) + 10))))
    for text, place in texts:
        for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, colour, thickness, cv2.LINE_AA)
    return picture


def instance_sheet(
    photos: Sequence[tuple[Image, Sequence[Selection]]], *, width_px: int = 240, per_row: int = 8
) -> Image:
    """Photo beside photo, each with its instances."""
    blocks = [[draw(image, instances, width_px=width_px)] for image, instances in photos]
    return sheet(blocks, ["instances"], blocks_per_row=per_row)
