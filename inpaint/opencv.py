"""The two classical fills of OpenCV: fast, no weights, smooth. Good for thin holes, blurred in wide ones."""

from __future__ import annotations

import cv2

from inpaint.base import Image, Mask, check_hole

DEFAULT_RADIUS_PX = 5  # wider costs more and blurs more; 3 to 5 is usual


class _OpenCVInpainter:
    """cv2.inpaint with one method. It treats the three channels alike, so RGB need not become BGR."""

    name: str
    max_size_px = None  # any crop can be filled at its own size
    _method: int

    def __init__(self, *, radius_px: int = DEFAULT_RADIUS_PX):
        if radius_px < 1:
            raise ValueError(f"radius_px must be 1 or more, got {radius_px}")
        self.radius_px = radius_px

    def inpaint(self, image: Image, hole: Mask) -> Image:
        """A new photo with the hole filled, equal to image wherever hole is False (see inpaint.base.Inpainter)."""
        check_hole(image, hole)
        if not hole.any():
            return image.copy()
        return cv2.inpaint(image, hole.astype("uint8"), self.radius_px, self._method).astype("uint8", copy=False)


class TeleaInpainter(_OpenCVInpainter):
    """Fast marching inwards from the hole's edge (Telea, 2004).

    radius_px: how far around a pixel its colour is taken from.
    """

    name = "telea"
    _method = cv2.INPAINT_TELEA


class NavierStokesInpainter(_OpenCVInpainter):
    """Lines of equal brightness continued into the hole as a fluid flows (Bertalmio, Bertozzi and Sapiro, 2001).

    radius_px: how far around a pixel its colour is taken from.
    """

    name = "navier_stokes"
    _method = cv2.INPAINT_NS
