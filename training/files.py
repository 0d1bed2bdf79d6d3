"""Files of data sets, which strangers may have made."""

from __future__ import annotations

from pathlib import Path

from PIL import Image as PillowImage


def ordinary(path: Path) -> Path:
    """The path, if a file is there. Raises OSError for anything else: a pipe would be waited for, for ever."""
    if path.is_file():
        return path
    raise OSError(f"{path.name} is no ordinary file" if path.exists() else f"{path.name} is not there")


def opened(path: Path) -> PillowImage.Image:
    """The picture, not decoded yet. Raises OSError where it is none, or larger than Pillow lets anything be."""
    try:
        return PillowImage.open(ordinary(path))
    except PillowImage.DecompressionBombError as error:
        raise OSError(str(error)) from error
