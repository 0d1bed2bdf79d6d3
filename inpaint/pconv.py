"""The partial-convolution net as an inpainter: weights, precision, batching, sizes.

Outside this file a hole is True where to fill; inside, the net's validity is 1 where known: they flip here, only here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inpaint.base import Image, Mask, check_hole
from inpaint.bundled import bundled_inpainter
from inpaint.pconv_config import read_config
from weights import WEIGHTS, WeightsError, check_sha256, fetch, named_file
from weights.frameworks import check_device, compiled, load_keras
from weights.onnx_nets import read_onnx
from weights.shared_passes import SharedPasses

PUBLIC_WEIGHTS = "pconv-places2-256"
PRECISIONS = ("float32", "bfloat16")
_STEPS_AN_OCTAVE = 4  # net input sizes between n and 2n: few graphs to trace, at most a quarter of padding

_log = logging.getLogger(__name__)


class PConvInpainter:
    """Fills holes with a partial-convolution net (Liu et al. 2018).

    weights: a name of weights.WEIGHTS, a bundle (.npz) or a public checkpoint (.pth, converted once, the bundle kept
        beside it). None: the net that ships with Clickaway, else the public one, downloaded.
    precision: "float32" or "bfloat16", which is faster where the processor has it.
    device: "cpu", "gpu" or "cuda", with or without a number as in "gpu:1". None and "auto": the net that ships runs on
        the processor, by ONNX Runtime; for other weights, and for bfloat16, Keras chooses.
    batch_size: how many crops of one size, filled by several threads at a time, the net gets at once.
    max_size_px: the largest crop it should be asked to fill; None: what the weights say, else twice the net's multiple.
    offline: True never downloads; None asks the environment.

    Raises weights.WeightsError if the weights cannot be had, ValueError for an unknown precision or device.
    """

    def __init__(
        self,
        *,
        weights: str | Path | None = None,
        precision: str = "float32",
        device: str | None = None,
        batch_size: int = 4,
        max_size_px: int | None = None,
        offline: bool | None = None,
    ):
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
        if batch_size < 1 or (max_size_px is not None and max_size_px < 1):
            raise ValueError(f"batch_size and max_size_px must be 1 or more, got {batch_size} and {max_size_px}")
        if device is not None:
            check_device(device)
            device = None if device.lower() == "auto" else device
        if weights is None:
            bundled = bundled_inpainter()
            weights = bundled.name if bundled else PUBLIC_WEIGHTS
        path = find_weights(weights, offline=offline)

        self.name = f"pconv:{weights}"
        self.config, extra = read_config(path)
        own_size_px = extra.get("max_size_px", 2 * self.config.multiple)
        self.max_size_px: int = own_size_px if max_size_px is None else max_size_px
        on_processor = precision == "float32" and device in (None, "cpu")
        spec = WEIGHTS.get(str(weights))
        nets = read_onnx(spec) if spec is not None and on_processor else None
        net = nets[0] if nets else _read_keras(path, precision=precision, device=device)
        self._net = SharedPasses(net, most=batch_size)

    def inpaint(self, image: Image, hole: Mask) -> Image:
        """A new photo with the hole filled, equal to image wherever hole is False (see inpaint.base.Inpainter)."""
        check_hole(image, hole)
        result: Image = image.copy()
        if hole.any():
            height, width = hole.shape
            fill = self._predict(image, hole)[:height, :width][hole]
            result[hole] = np.rint(np.clip((fill + 1) * 127.5, 0, 255)).astype(np.uint8)
        return result

    def _predict(self, image: Image, hole: Mask) -> NDArray[np.float32]:
        """The net's prediction of the padded photo: (H, W, 3) float32 around -1..1, no smaller than the photo."""
        size_hw = tuple(_padded_size(n, self.config.multiple) for n in hole.shape)
        # Reflection, not blank: at the border the net then sees a photo going on, as in training.
        pixels = _reflect(image, size_hw).astype(np.float32)
        valid = 1 - _reflect(hole.view(np.uint8), size_hw).astype(np.float32)
        prediction: NDArray[np.float32] = self._net([pixels[None] / 127.5 - 1, valid[None, ..., None]])[0]
        return prediction


def find_weights(weights: str | Path, *, offline: bool | None = None) -> Path:
    """The bundle of those weights on this machine, downloaded and converted first where that is needed.

    weights: a name of weights.WEIGHTS, a bundle, or a public PyTorch checkpoint.
    Raises WeightsError if there is none and none can be had.
    """
    if spec := WEIGHTS.get(str(weights)):
        if spec.kind != "inpainter":
            raise WeightsError(f"{spec.name} are weights of a {spec.kind}, not of an inpainter")
        path = fetch(spec, offline=offline)
    else:
        path = named_file(weights)
        if not path.is_file():
            names = ", ".join(spec.name for spec in WEIGHTS.values() if spec.kind == "inpainter")
            raise WeightsError(f"there are no weights {str(weights)!r}: give a file, or one of {names}")
    return converted(path) if path.suffix in (".pth", ".pt") else path


def converted(checkpoint: Path) -> Path:
    """The bundle of a public PyTorch checkpoint, beside it under the same name; made if missing or of another file.

    Raises WeightsError if the checkpoint is none, or nothing can be written beside it.
    """
    bundle = checkpoint.with_suffix(".npz")
    if bundle.is_file():
        try:
            check_sha256(checkpoint, str(read_config(bundle)[1].get("converted_from_sha256", "")))
            return bundle
        except WeightsError as error:
            _log.info("converting %s again: %s", checkpoint, error)
    from inpaint.convert import convert  # brings torch in

    try:
        convert(checkpoint, bundle)
    except OSError as error:
        raise WeightsError(
            f"{bundle} cannot be written ({error}): copy {checkpoint.name} to a folder where it can, "
            f"or run `python -m inpaint.convert {checkpoint} OUT.npz` and give OUT.npz"
        ) from error
    return bundle


def _read_keras(path: Path, *, precision: str, device: str | None) -> Callable[[Any], Any]:
    """The net by Keras, where there is none by ONNX Runtime or more is asked for than it can do."""
    load_keras()  # only now: that weights are missing should not take the seconds of a framework's start
    from inpaint.fast_pconv import read_fast_pconv

    with _on(device):
        net = compiled(read_fast_pconv(path, dtype=precision))

    def on_device(arrays: Any) -> Any:
        with _on(device):
            return net(arrays)

    return on_device


def _on(device: str | None) -> AbstractContextManager[Any]:
    """Where Keras puts what is made inside the block: its own choice for None."""
    if device is None:
        return nullcontext()
    import keras

    kind, _, number = device.lower().replace("cuda", "gpu").partition(":")
    return keras.device(f"{kind}:{number or 0}")


def _padded_size(size_px: int, multiple: int) -> int:
    """The next size that the net takes: a multiple, and one of a few for each doubling."""
    octave = 1 << (size_px - 1).bit_length()  # the power of two at or above
    step = max(multiple, octave // 2 // _STEPS_AN_OCTAVE)
    return -(-size_px // step) * step


def _reflect(pixels: NDArray[np.uint8], size_hw: tuple[int, ...]) -> NDArray[np.uint8]:
    """Pixels continued to the right and downwards by reflection (the border's own row is not repeated)."""
    height, width = pixels.shape[:2]
    below, right = size_hw[0] - height, size_hw[1] - width
    return np.asarray(cv2.copyMakeBorder(pixels, 0, below, 0, right, cv2.BORDER_REFLECT_101), np.uint8)
