"""What the bundled nets are made of. No framework: the sizes are known before one is loaded, or without any."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weights.bundle import read_net_config

CLICK_NET, SUBJECT = "click_net", "subject"  # the architectures' names in bundles


@dataclass(frozen=True)
class ClickNetConfig:
    """Everything that decides which variables the net has and what it computes with them."""

    input_px: int = 256  # side of the square that it was trained on last, and is given
    embedding: int = 64
    trunk: int = 128  # channels at a sixteenth of the picture
    blocks: int = 4  # residual blocks there
    fine: int = 32  # channels at a quarter

    def __post_init__(self) -> None:
        if self.input_px < 32 or self.input_px % 32:
            raise ValueError(f"input_px must be a multiple of 32, got {self.input_px}")
        if min(self.embedding, self.trunk, self.blocks, self.fine) < 1 or self.blocks > 64:
            raise ValueError(f"sizes must be 1 or more, blocks 64 or fewer: {self}")


@dataclass(frozen=True)
class SubjectConfig:
    """Everything that decides which variables the net has and what it computes with them."""

    trunk: int = 160  # channels at a sixteenth
    blocks: int = 4  # residual blocks there
    decoder: tuple[int, ...] = (96, 64, 32)  # channels at an eighth, a quarter, a half
    input_px: int = 256

    def __post_init__(self) -> None:
        object.__setattr__(self, "decoder", tuple(self.decoder))  # a bundle gives a list
        if len(self.decoder) != 3 or min(*self.decoder, self.trunk) < 1 or self.blocks < 0:
            raise ValueError(f"decoder must be three sizes, sizes must be 1 or more: {self}")
        if self.input_px < 32 or self.input_px % 16:
            raise ValueError(f"input_px must be a multiple of 16 and 32 or more, got {self.input_px}")


def read_click_net_config(path: str | Path) -> tuple[ClickNetConfig, dict[str, Any]]:
    """The config and the extra data of a bundle. Raises WeightsError as read_click_net does."""
    return read_net_config(Path(path), CLICK_NET, ClickNetConfig)


def read_subject_config(path: str | Path) -> tuple[SubjectConfig, dict[str, Any]]:
    """The config and the extra data of a bundle. Raises WeightsError as read_subject does."""
    return read_net_config(Path(path), SUBJECT, SubjectConfig)
