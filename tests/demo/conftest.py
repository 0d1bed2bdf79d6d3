from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo.studio import Studio
from tests.demo.doubles import ColorSegmenter, FlatInpainter


@pytest.fixture
def segmenter() -> ColorSegmenter:
    return ColorSegmenter()


@pytest.fixture
def studio(segmenter: ColorSegmenter) -> Studio:
    return Studio(lambda: segmenter, FlatInpainter)


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Writes an array as a file and gives its path."""

    def save(image: np.ndarray, name: str = "photo.png", **options) -> Path:
        path = tmp_path / name
        Image.fromarray(image).save(path, **options)
        return path

    return save
