"""Drawn photos, a net so small that a step takes milliseconds, and runs of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from PIL import Image as PillowImage

from train_pconv.config import TrainConfig


def draw_photo(seed: int, height: int = 48, width: int = 56) -> np.ndarray:
    """Colour gradients with stripes: something that a net can learn to continue."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(rng.uniform(0.05, 0.5) * x + rng.uniform(0.05, 0.5) * y + rng.uniform(0, 6)) for _ in range(3)]
    return np.clip(127 + 100 * np.stack(waves, axis=2), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen photos in two folders, as ImageNet keeps them."""
    root = tmp_path_factory.mktemp("photos")
    for number in range(16):
        folder = root / f"n{number % 2:08d}"
        folder.mkdir(exist_ok=True)
        PillowImage.fromarray(draw_photo(number)).save(folder / f"photo_{number}.png")
    return root


@pytest.fixture
def tiny(make_tiny: Callable[..., TrainConfig], tmp_path: Path) -> Callable[..., TrainConfig]:
    """A configuration of a run that takes seconds, in the test's own folder, with changes."""
    return lambda **changes: make_tiny(**({"out": str(tmp_path / "run")} | changes))


@pytest.fixture(scope="session")
def make_tiny(photo_folder: Path) -> Callable[..., TrainConfig]:
    """As tiny, for fixtures that serve several tests: out must be given."""

    def make(**changes: Any) -> TrainConfig:
        values: dict[str, Any] = {
            "images": (str(photo_folder),),
            "validation_fraction": 0.3,
            "crop_px": 16,
            "zoom_out_max": 2.0,
            "objects": 0.5,
            "boxes": 0.2,
            "width": 4,
            "levels": 2,
            "base": "pull_push",
            "perceptual": "none",
            "batch": 4,
            "epochs": 1,
            "fine_tune_epochs": 1,
            "steps_per_epoch": 3,
            "workers": 2,
            "prefetch": 2,
            "validation_photos": 3,
            "panel_photos": 2,
            "save_every": 100,
            "log_every": 1,
        }
        return TrainConfig(**(values | changes))

    return make
