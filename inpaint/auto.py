"""The best inpainter that is here without a download."""

from __future__ import annotations

from inpaint.base import Inpainter
from inpaint.bundled import bundled_inpainter
from inpaint.opencv import TeleaInpainter
from inpaint.patch_match import PatchMatchInpainter


class AutoInpainter(PatchMatchInpainter):
    """The PConv net that ships with Clickaway (Telea where none does), then the photo's own texture in its fill.

    name tells which it chose: "patch_match over pconv:NAME" or "patch_match over telea".
    precision, device: for the net, see PConvInpainter.
    """

    def __init__(self, *, precision: str = "float32", device: str | None = None):
        super().__init__(_first_fill(precision, device))


def _first_fill(precision: str, device: str | None) -> Inpainter:
    spec = bundled_inpainter()
    if spec is None:
        return TeleaInpainter()
    from inpaint.pconv import PConvInpainter  # brings Keras in

    return PConvInpainter(weights=spec.name, precision=precision, device=device)
