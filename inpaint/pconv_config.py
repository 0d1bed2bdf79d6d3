"""What a PConv U-Net is made of. No framework: the sizes are known before one is loaded, or without any."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weights.bundle import read_net_config

ARCHITECTURE = "pconv_unet"


@dataclass(frozen=True)
class PConvUNetConfig:
    """Everything that decides which variables the net has and what it computes with them."""

    levels: int = 8  # halvings: 8 for 512 pixels and 7 for 256, as published; sizes must be multiples of 2**levels
    width: int = 64  # filters of the first level, doubling to 8 * width; 64 as published
    pull_push_base: bool = False  # predict what is missing from a pull-push fill instead of the picture itself
    base_input: bool = False  # that fill and the validity are inputs beside the photo: the net sees what it corrects
    kernels: tuple[int, ...] = (7, 5, 5)  # of the encoder's first levels, 3 below them; as published
    head_width: int = 0  # filters of one more full-size layer before the output; 0 as published
    residuals: int = 0  # 3x3 layers behind each decoder layer below full size, added to what they read; 0 as published
    bn_momentum: float = 0.9  # share of the old moving average kept at each step (PyTorch's 0.1 is the new share)

    def __post_init__(self) -> None:
        if not 1 <= self.levels <= 12 or self.width < 1 or min(self.head_width, self.residuals) < 0:
            raise ValueError(f"levels must be 1..12, width 1 or more, head_width and residuals 0 or more: {self}")
        if self.base_input and not self.pull_push_base:
            raise ValueError("base_input needs a base to look at: set pull_push_base too")
        object.__setattr__(self, "kernels", tuple(self.kernels))  # a bundle's JSON has a list

    @property
    def multiple(self) -> int:
        """Height and width of the photo must be multiples of this."""
        return 2**self.levels

    def encoder_filters(self, level: int) -> int:
        return self.width * min(2 ** (level - 1), 8)

    def encoder_kernel(self, level: int) -> int:
        return self.kernels[level - 1] if level <= len(self.kernels) else 3

    @property
    def input_channels(self) -> int:
        """What the first layer and the last skip read: the photo, and with base_input the base and the validity."""
        return 7 if self.base_input else 3


PUBLISHED_512 = PConvUNetConfig(levels=8)
PUBLISHED_256 = PConvUNetConfig(levels=7)


def read_config(path: str | Path) -> tuple[PConvUNetConfig, dict[str, Any]]:
    """The net's config and the extra data of a bundle. Raises WeightsError as read_pconv does."""
    return read_net_config(Path(path), ARCHITECTURE, PConvUNetConfig)
