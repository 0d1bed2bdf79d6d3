"""What was behind it? Arrays in, arrays out."""

from __future__ import annotations

from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inpaint.base import Image, Inpainter, Mask

_OF_BASE = ("Image", "Inpainter", "Mask")  # imported when they are first used: `clickaway --help` wants no NumPy

# Name -> "module:Class", imported when it is asked for: a name costs no framework.
INPAINTERS: dict[str, str] = {
    "auto": "inpaint.auto:AutoInpainter",
    "pconv": "inpaint.pconv:PConvInpainter",
    "patch_match": "inpaint.patch_match:PatchMatchInpainter",
    "telea": "inpaint.opencv:TeleaInpainter",
    "navier_stokes": "inpaint.opencv:NavierStokesInpainter",
}


def load_inpainter(name: str = "auto", **options: Any) -> Inpainter:
    """The inpainter of that name, ready to use.

    name: a key of INPAINTERS, or "pconv:WEIGHTS" where WEIGHTS is a name of weights.WEIGHTS or a file.
    options: what the class's constructor takes; an unknown one is a TypeError.
    Raises ValueError for an unknown name, weights.WeightsError where a model's file cannot be had.
    """
    maker, weights = inpainter_class(name)
    if weights:
        options["weights"] = weights
    inpainter: Inpainter = maker(**options)
    return inpainter


def inpainter_class(name: str) -> tuple[type, str]:
    """The class that the name stands for, and the weights that it names, or "". Nothing is loaded.

    Raises ValueError for an unknown name, and for weights where there is no choice.
    """
    name, _, weights = name.partition(":")
    if name not in INPAINTERS:
        raise ValueError(f"no inpainter is called {name!r}: choose one of {', '.join(INPAINTERS)}")
    module, cls = INPAINTERS[name].split(":")
    maker: type = getattr(import_module(module), cls)
    if weights and "weights" not in signature(maker).parameters:
        raise ValueError(f"the inpainter {name} has no weights: write {name}, without :{weights}")
    return maker, weights


def __getattr__(name: str) -> Any:
    if name not in _OF_BASE:
        raise AttributeError(f"module 'inpaint' has no attribute {name!r}")
    return getattr(import_module("inpaint.base"), name)


__all__ = ["INPAINTERS", "Image", "Inpainter", "Mask", "inpainter_class", "load_inpainter"]
