"""The best inpainter that is here without a download: the bundled PConv net, else Telea."""

from __future__ import annotations

from inpaint.base import Image, Inpainter, Mask
from weights import WEIGHTS, WeightSpec, locate


class AutoInpainter:
    """Fills holes with the net that ships with Clickaway, or with Telea's method where none does.

    name tells which it chose ("pconv:NAME" or "telea"), max_size_px what that one likes.
    precision, device: for the net, see PConvInpainter.
    """

    def __init__(self, *, precision: str = "float32", device: str | None = None):
        spec = bundled_inpainter()
        self._chosen: Inpainter
        if spec is None:
            from inpaint.opencv import TeleaInpainter

            self._chosen, self.name = TeleaInpainter(), TeleaInpainter.name
        else:
            from inpaint.pconv import PConvInpainter  # brings Keras in

            self._chosen = PConvInpainter(weights=spec.name, precision=precision, device=device)
            self.name = self._chosen.name
        self.max_size_px: int | None = self._chosen.max_size_px

    def inpaint(self, image: Image, hole: Mask) -> Image:
        """A new photo with the hole filled, equal to image wherever hole is False (see inpaint.base.Inpainter)."""
        return self._chosen.inpaint(image, hole)


def bundled_inpainter() -> WeightSpec | None:
    """The first inpainter of weights.WEIGHTS that ships with the code and whose file is there."""
    for spec in WEIGHTS.values():
        if spec.kind == "inpainter" and spec.url is None and locate(spec) is not None:
            return spec
    return None
