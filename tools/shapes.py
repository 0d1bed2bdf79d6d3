"""Draws scenes of overlapping shapes with their exact masks: what the tiny Mask R-CNN learns from and is tested on."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

CLASSES = ("circle", "square", "triangle")


@dataclass(frozen=True)
class Scene:
    """A drawn picture and what is in it, back to front."""

    image: NDArray[np.uint8]  # (H, W, 3) RGB
    masks: list[NDArray[np.bool_]]  # N of (H, W): the part of each shape that can be seen
    labels: tuple[str, ...]  # N names of CLASSES


def draw_scene(seed: int, size_px: int = 192, shapes: int | None = None) -> Scene:
    """A square scene of that size; the same seed and size give the same pixels.

    shapes: how many to draw, 1 to 6 if None. Those of which less than a third would be seen are left out, so that
    whatever is returned can be found.
    """
    rng = np.random.default_rng(seed)
    layers = [_layer(rng, size_px) for _ in range(shapes or int(rng.integers(1, 7)))]
    seen = [part.sum() > whole.sum() / 3 for part, (whole, _) in zip(_visible(layers), layers, strict=True)]
    # Without the hidden ones the others are seen at least as well as before.
    layers = [layer for layer, keep in zip(layers, seen, strict=True) if keep]
    visible = _visible(layers)
    picture = _texture(rng, size_px, contrast=25)
    for mask in visible:
        picture[mask] = _texture(rng, size_px, contrast=12, away_from=picture[mask].mean(axis=0))[mask]
    picture = cv2.GaussianBlur(picture, (3, 3), 0.6) + rng.normal(0, 4, picture.shape)
    return Scene(np.clip(picture, 0, 255).astype(np.uint8), visible, tuple(label for _, label in layers))


def _layer(rng: np.random.Generator, size_px: int) -> tuple[NDArray[np.bool_], str]:
    """A whole shape (H, W) of random place, size and turn, and its name."""
    label = CLASSES[rng.integers(len(CLASSES))]
    radius = rng.uniform(0.11, 0.26) * size_px
    centre = rng.uniform(0.9 * radius, size_px - 0.9 * radius, 2)
    canvas = np.zeros((size_px, size_px), np.uint8)
    if label == "circle":
        cv2.circle(canvas, centre.astype(int).tolist(), round(radius * 0.9), 1, cv2.FILLED)
    else:
        corners = 4 if label == "square" else 3
        angles = rng.uniform(0, 2 * np.pi) + np.arange(corners) * 2 * np.pi / corners
        points = centre + 1.15 * radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        cv2.fillConvexPoly(canvas, points.round().astype(np.int32), 1)
    return canvas.astype(bool), label


def _visible(layers: list[tuple[NDArray[np.bool_], str]]) -> list[NDArray[np.bool_]]:
    """The part of each shape that no later one covers."""
    visible, covered = [], np.zeros(layers[0][0].shape, bool)
    for whole, _ in reversed(layers):
        visible.append(whole & ~covered)
        covered |= whole
    return visible[::-1]


def _texture(
    rng: np.random.Generator, size_px: int, contrast: float, away_from: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """(H, W, 3) of soft blotches, a slope and now and then stripes round one colour, 60 or more away from another."""
    colour = rng.uniform(20, 235, 3)
    while away_from is not None and np.abs(colour - away_from).max() < 60:
        colour = rng.uniform(20, 235, 3)
    blotches = cv2.resize(rng.normal(0, contrast, (8, 8, 3)), (size_px, size_px), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:size_px, :size_px] / size_px - 0.5
    direction = rng.uniform(0, 2 * np.pi)
    along = x * np.cos(direction) + y * np.sin(direction)
    pattern = along * rng.uniform(0, 2 * contrast)
    if rng.random() < 0.4:
        pattern = pattern + contrast * 0.6 * np.sign(np.sin(along * rng.uniform(30, 90)))
    return colour + blotches + pattern[:, :, None]
