"""The segmenter and the inpainter of one run, loaded when they are first asked for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from importlib import import_module
from typing import Any

from inpaint import INPAINTERS, Inpainter, inpainter_class, load_inpainter
from segment import SEGMENTERS, Segmenter, load_segmenter, segmenter_class
from weights.frameworks import check_device

WITHOUT_NET = "otsu_watershed"  # what answers when nothing is clicked and no main-subject net is here


@dataclass(frozen=True)
class Models:
    """Which models a run uses. Loading them is left to the first use, so that no run loads what it does not need.

    segmenter, inpainter: names as `load_segmenter` and `load_inpainter` take them; segmenter None is "auto" for
    clicks and classes, and the main-subject segmenter where nothing is clicked.
    segmenter_options: "checkpoint", "score_threshold", ... as its class takes them.
    device: "cpu", "cuda", ... for those models that run on one; None leaves it to them.
    offline: True never downloads; None asks the environment.
    names: whether the answers to clicks should have names at the price of seconds; objects of a class have them anyway.
    """

    segmenter: str | None = None
    inpainter: str = "auto"
    segmenter_options: Mapping[str, Any] = field(default_factory=dict)
    device: str | None = None
    offline: bool | None = None
    names: bool = False

    def __getstate__(self) -> dict[str, Any]:
        """The names alone: another process loads its own models."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @cached_property
    def clicked(self) -> Segmenter:
        """The segmenter for clicks and classes."""
        return self._segmenter(self.segmenter or "auto")

    @cached_property
    def subject(self) -> Segmenter:
        """The segmenter for the main subject, without a click."""
        return self.clicked if self.segmenter else self._segmenter(main_subject())

    @property
    def subject_notes(self) -> list[str]:
        """What the person should know about who chose the main subject: nothing, or one line."""
        if self.segmenter or main_subject() != WITHOUT_NET:
            return []
        return ["no main-subject net is here, so its brightness alone says what the subject is: a click is surer"]

    @cached_property
    def filler(self) -> Inpainter:
        """The inpainter."""
        return load_inpainter(self.inpainter, **self._for_those_that_take_them(INPAINTERS, self.inpainter))

    def check(self) -> None:
        """Raises ValueError for names and options that the segmenter for clicks or the inpainter does not have.

        Nothing is loaded, so files and models of a name are not looked for.
        """
        segmenter = self.segmenter or "auto"
        segmenter_class(segmenter)
        inpainter_class(self.inpainter)
        self._check_options(segmenter)
        if self.device:
            check_device(self.device)
            self.check_device_is_used([(SEGMENTERS, segmenter), (INPAINTERS, self.inpainter)])

    def check_device_is_used(self, needed: Sequence[tuple[Mapping[str, str], str]]) -> None:
        """Raises ValueError if a device was asked for and none of the needed models, by registry and name, has one."""
        if self.device and not any("device" in constructor_options(*part) for part in needed):
            names = " and ".join(name for _, name in needed) or "what is used here"
            have = "have" if len(needed) > 1 else "has"
            raise ValueError(f"--device {self.device} would have no effect: {names} {have} no net to run on it")

    def _segmenter(self, name: str) -> Segmenter:
        self._check_options(name)
        return load_segmenter(name, **self.segmenter_options, **self._for_those_that_take_them(SEGMENTERS, name))

    def _check_options(self, segmenter: str) -> None:
        known = constructor_options(SEGMENTERS, segmenter)
        for option in self.segmenter_options:
            if option not in known:
                plain = segmenter.partition(":")[0]
                raise ValueError(f"the segmenter {plain} has no {option.replace('_', ' ')}: choose another segmenter")

    def _for_those_that_take_them(self, registry: Mapping[str, str], name: str) -> dict[str, Any]:
        """Options of the whole run: a model without a net has no use for a device, and that is no mistake."""
        known = constructor_options(registry, name)
        wanted = {"device": self.device, "offline": self.offline, "names": self.names}
        return {option: value for option, value in wanted.items() if value is not None and option in known}


def main_subject() -> str:
    """The segmenter where nothing is clicked: the bundled net's, or the classical one without it. Loads nothing."""
    from segment.prominent import bundled_subject

    return "subject" if bundled_subject() else WITHOUT_NET


def constructor_options(registry: Mapping[str, str], name: str) -> set[str]:
    """What the constructor of that model takes; nothing for an unknown name, which loading will complain about."""
    target = registry.get(name.partition(":")[0])
    if target is None:
        return set()
    module, cls = target.split(":")
    return set(inspect.signature(getattr(import_module(module), cls)).parameters)
