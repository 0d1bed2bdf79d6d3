"""What is under the click? Arrays in, masks out."""

from __future__ import annotations

from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segment.base import Click, Image, InstanceSegmenter, Mask, NoObjectError, Segmenter, Selection

# Imported when they are first used: `clickaway --help` wants the names below and no NumPy.
_OF_BASE = ("Click", "Image", "InstanceSegmenter", "Mask", "NoObjectError", "Segmenter", "Selection")

# Name -> "module:Class", imported when it is asked for: a name costs no framework.
SEGMENTERS: dict[str, str] = {
    "auto": "segment.auto:AutoSegmenter",
    "mask_rcnn": "segment.mask_rcnn:MaskRCNNSegmenter",
    "grabcut": "segment.classical:GrabCutSegmenter",
    "clicknet": "segment.click_net:ClickNetSegmenter",
    "deepcrop": "segment.deepcrop:DeepCropSegmenter",
    "subject": "segment.prominent:SubjectSegmenter",
    "extractnet": "segment.prominent:ExtractNetSegmenter",
    "tiramisu": "segment.prominent:TiramisuSegmenter",
    "pets": "segment.prominent:PetsSegmenter",
    "otsu_watershed": "segment.classical:OtsuWatershedSegmenter",
}


def load_segmenter(name: str = "auto", **options: Any) -> Segmenter:
    """The segmenter of that name, ready to use.

    name: a key of SEGMENTERS, or with its model: "mask_rcnn:MODEL", MODEL an mmdet config name, or "extractnet:FILE".
    options: what the class's constructor takes; an unknown one is a TypeError.
    Raises ValueError for an unknown name, weights.WeightsError where a model's file cannot be had.
    """
    maker, model = segmenter_class(name)
    if model:
        options["model"] = model
    segmenter: Segmenter = maker(**options)
    return segmenter


def segmenter_class(name: str) -> tuple[type, str]:
    """The class that the name stands for, and the model that it names, or "". Nothing is loaded.

    Raises ValueError for an unknown name, and for a model where there is no choice.
    """
    name, _, model = name.partition(":")
    if name not in SEGMENTERS:
        raise ValueError(f"no segmenter is called {name!r}: choose one of {', '.join(SEGMENTERS)}")
    module, cls = SEGMENTERS[name].split(":")
    maker: type = getattr(import_module(module), cls)
    if model and "model" not in signature(maker).parameters:
        raise ValueError(f"the segmenter {name} has no models to choose from: write {name}, without :{model}")
    return maker, model


def __getattr__(name: str) -> Any:
    if name not in _OF_BASE:
        raise AttributeError(f"module 'segment' has no attribute {name!r}")
    return getattr(import_module("segment.base"), name)


__all__ = [
    "SEGMENTERS",
    "Click",
    "Image",
    "InstanceSegmenter",
    "Mask",
    "NoObjectError",
    "Segmenter",
    "Selection",
    "load_segmenter",
    "segmenter_class",
]
