"""One photo in, one photo out; and many. Arrays in `edit`, files in `image_io`, one whole job in `job`.

Names are loaded when they are first used: importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.edit import blur_background, cut_out, erase, hole_of, replace_background
    from pipeline.effects import Blur, CutOut, Erase, Replace
    from pipeline.image_io import load, save
    from pipeline.job import Outcome, process
    from pipeline.models import Models
    from pipeline.photo import Photo, PhotoError
    from pipeline.selection import Pick

_HOME = {
    "Blur": "effects",
    "CutOut": "effects",
    "Erase": "effects",
    "Models": "models",
    "Outcome": "job",
    "Photo": "photo",
    "PhotoError": "photo",
    "Pick": "selection",
    "Replace": "effects",
    "blur_background": "edit",
    "cut_out": "edit",
    "erase": "edit",
    "hole_of": "edit",
    "load": "image_io",
    "process": "job",
    "replace_background": "edit",
    "save": "image_io",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    return getattr(import_module(f"pipeline.{_HOME[name]}"), name)


__all__ = [
    "Blur",
    "CutOut",
    "Erase",
    "Models",
    "Outcome",
    "Photo",
    "PhotoError",
    "Pick",
    "Replace",
    "blur_background",
    "cut_out",
    "erase",
    "hole_of",
    "load",
    "process",
    "replace_background",
    "save",
]
