"""The tiny Mask R-CNN and scenes it has never seen. In other rooms' tests: see `tiny_mask_rcnn` for how to load it."""

from __future__ import annotations

from pathlib import Path

import pytest

from segment import load_segmenter

TINY_MODEL = Path(__file__).parent.parent / "data" / "tiny_mask_rcnn.py"  # its weights lie beside it, as NAME.pth


@pytest.fixture(scope="session")
def tiny_mask_rcnn():
    """The segmenter that `--segmenter mask_rcnn:tests/data/tiny_mask_rcnn.py` gives on the command line."""
    pytest.importorskip("mmdet", reason="mmdet is not installed")
    return load_segmenter("mask_rcnn", model=TINY_MODEL, device="cpu")
