"""The loss of Liu et al. 2018, equations 2 to 7: every term as published, on pictures in -1..1.

The published code of others disagrees on the range of the pictures; -1..1 is what MMagic trained the public 256-pixel
net with, at these weights. All L1 terms are means over all elements, so small holes weigh little: as published.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

Tensor = Any
Features = Callable[[Tensor], Sequence[Tensor]]  # (B, H, W, 3) in -1..1 -> feature maps, shallow to deep

TERMS = ("valid", "hole", "perceptual", "style", "tv")


def composite(truth: Tensor, output: Tensor, valid: Tensor) -> Tensor:
    """The photo where it is known, the net's output in the hole."""
    return valid * truth + (1 - valid) * output


def loss_terms(
    truth: Tensor,
    output: Tensor,
    valid: Tensor,
    *,
    features: Features | None,
    raw_too: bool = True,
    share: float = 1.0,
    window_px: int = 0,
) -> dict[str, Tensor]:
    """The five terms, unweighted, each a scalar.

    truth, output: (B, H, W, 3) float in -1..1; valid: (B, H, W, 1), 1 where known.
    features: None leaves the perceptual and style terms at zero.
    raw_too: compare the features of the raw output as well as the composite's (published), not only the latter.
    share: of the batch, from its start, that the features are computed for: they cost more than the net itself.
    window_px: compare the features of a window of that side round the middle of each hole; 0: of the whole pictures.
    """
    filled = composite(truth, output, valid)
    error = ops.abs(output - truth)
    zero = ops.zeros((), "float32")
    terms = {
        "valid": ops.mean(valid * error),
        "hole": ops.mean((1 - valid) * error),
        "perceptual": zero,
        "style": zero,
        "tv": total_variation(filled, 1 - valid),
    }
    if features is not None and share > 0:
        count = max(1, round(share * truth.shape[0])) if truth.shape[0] else None
        wanted = [picture[:count] for picture in ([truth, output, filled] if raw_too else [truth, filled])]
        if window_px:
            wanted = windows(wanted, 1 - valid[:count], window_px)
        # The truth needs no gradient: apart from the others, it costs a forward pass only.
        true_maps = [ops.stop_gradient(m) for m in features(wanted[0])]
        wanted = wanted[1:]
        maps = features(ops.concatenate(wanted))
        for true_map, map_ in zip(true_maps, maps, strict=True):
            true_gram = gram(true_map)
            for part in ops.split(map_, len(wanted)):
                terms["perceptual"] = terms["perceptual"] + ops.mean(ops.abs(part - true_map))
                terms["style"] = terms["style"] + ops.mean(ops.abs(gram(part) - true_gram))
    return terms


def windows(pictures: Sequence[Tensor], hole: Tensor, side_px: int) -> list[Tensor]:
    """Squares of side_px cut from each picture round the middle of its hole, shifted to lie inside the picture.

    pictures: (B, H, W, C) each; hole: (B, H, W, 1), 1 where to be filled. Returns (B, side_px, side_px, C) each.
    """
    _, height, width, _ = ops.shape(hole)
    rows = _picker(ops.sum(hole, axis=(2, 3)), height, side_px)
    columns = _picker(ops.sum(hole, axis=(1, 3)), width, side_px)
    return [ops.einsum("byh,bhwc,bxw->byxc", rows, picture, columns) for picture in pictures]


def _picker(weights: Tensor, length: int, side_px: int) -> Tensor:
    """(B, side_px, length) of 0 and 1: which places make the window round the weighted middle of weights, (B, length).

    A product with it cuts the window out, on every backend and with a plain gradient.
    """
    places = ops.arange(length, dtype="float32")
    middle = ops.sum(weights * places, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1.0)
    first = ops.clip(ops.floor(middle - (side_px - 1) / 2), 0, length - side_px)
    wanted = first[:, None] + ops.arange(side_px, dtype="float32")
    return ops.cast(ops.equal(wanted[:, :, None], places), "float32")


def gram(maps: Tensor) -> Tensor:
    """(B, C, C): products of the channels, divided by C * H * W (equations 4 and 5)."""
    _, height, width, channels = ops.shape(maps)
    flat = ops.reshape(maps, (-1, height * width, channels))
    return ops.matmul(ops.transpose(flat, (0, 2, 1)), flat) / (channels * height * width)


def total_variation(filled: Tensor, hole: Tensor) -> Tensor:
    """Mean difference of neighbours that both lie in the hole grown by one pixel (equation 6).

    Both directions are divided by the number of all elements.
    """
    region = ops.max_pool(hole, 3, strides=1, padding="same", data_format="channels_last")
    across = ops.abs(filled[:, :, 1:] - filled[:, :, :-1]) * region[:, :, 1:] * region[:, :, :-1]
    down = ops.abs(filled[:, 1:] - filled[:, :-1]) * region[:, 1:] * region[:, :-1]
    batch, height, width, channels = ops.shape(filled)
    return (ops.sum(across) + ops.sum(down)) / ops.cast(batch * height * width * channels, "float32")


def psnr(truth: Tensor, filled: Tensor, hole: Tensor | None = None) -> Tensor:
    """Mean PSNR of the batch in dB, over the whole pictures or inside the holes."""
    squared = ops.square((ops.clip(filled, -1, 1) - truth) / 2)
    if hole is None:
        error = ops.mean(squared, axis=(1, 2, 3))
    else:
        error = ops.sum(squared * hole, axis=(1, 2, 3)) / ops.maximum(3 * ops.sum(hole, axis=(1, 2, 3)), 1.0)
    return ops.mean(-10 * ops.log10(ops.maximum(error, 1e-10)))
