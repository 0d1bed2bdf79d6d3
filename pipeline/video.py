"""The same effects on a film: frame after frame, with a mask that does not flicker."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline import edit
from pipeline.atomic import in_the_way
from pipeline.effects import Blur, CutOut, Effect, Replace
from pipeline.film import VideoError, rewrite
from pipeline.image_io import MAX_PIXELS
from pipeline.models import Models, main_subject
from pipeline.selection import Pick, choose
from segment.base import Image, Mask, NoObjectError
from segment.refine import guided

MEMORY = 0.65  # how much of the last frame's mask stays in this one's
_TRACK_PX = 256  # longer side at which movement is followed
_CUT = 40.0  # mean grey difference, of 255, between two shots


@dataclass(frozen=True, eq=False)
class Followed:
    """A frame's mask, steadied by the frames before: small, to be handed to the next."""

    grey: NDArray[np.uint8]  # (h, w)
    opacity: NDArray[np.float32]  # (h, w) 0..1

    def mask(self, frame: Image) -> Mask:
        """(H, W) bool, its edge on the frame's own edges. frame: (H, W, 3) uint8 RGB."""
        return guided(self.opacity, frame) >= 0.5


@dataclass(frozen=True)
class Filmed:
    """What became of a film."""

    target: Path
    frames: int
    without_subject: int
    seconds: float

    @property
    def frames_per_second(self) -> float:
        return self.frames / self.seconds if self.seconds else 0.0


def follow(before: Followed | None, frame: Image, mask: Mask, *, memory: float = MEMORY) -> Followed:
    """The frame's mask, mixed with that of the frame before, which is moved as the picture moved (DIS optical flow).

    memory: 0 forgets at once, near 1 hardly changes. After a cut, or a change of size, nothing of the old mask stays.
    """
    height, width = frame.shape[:2]
    scale = min(1.0, _TRACK_PX / max(height, width))
    size = max(8, round(width * scale)), max(8, round(height * scale))
    grey = cv2.cvtColor(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    opacity = np.asarray(cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)
    if before is None or before.grey.shape != grey.shape or cv2.absdiff(before.grey, grey).mean() > _CUT:
        return Followed(np.asarray(grey, np.uint8), opacity)
    optical: Any = cv2.DISOpticalFlow.create(
        cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST
    )  # its types want a flow to begin with
    flow = optical.calc(grey, before.grey, None)
    rows, columns = np.mgrid[: grey.shape[0], : grey.shape[1]].astype(np.float32)
    moved = cv2.remap(
        before.opacity, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return Followed(np.asarray(grey, np.uint8), np.asarray(memory * moved + (1 - memory) * opacity, np.float32))


def edited_frame(frame: Image, mask: Mask, effect: Blur | Replace) -> Image:
    """The frame with the effect; where there is no subject all of it is background."""
    if isinstance(effect, Replace):
        if not mask.any():
            return edit.cover(effect.background, mask.shape, frame.dtype)
        return edit.replace_background(
            frame, mask, effect.background, feather_px=effect.feather_px, matting=effect.matting
        )
    sigma_px = min(mask.shape) / 40 if effect.sigma_px is None else effect.sigma_px
    if not mask.any():  # who hides what is behind him must not be shown it when he leaves
        return np.asarray(cv2.GaussianBlur(frame, (0, 0), sigma_px), np.uint8)
    return edit.blur_background(frame, mask, sigma_px=sigma_px, feather_px=effect.feather_px, matting=effect.matting)


def process_video(
    source: Path,
    target: Path,
    pick: Pick,
    effect: Effect,
    models: Models,
    *,
    overwrite: bool = False,
    max_pixels: int = MAX_PIXELS,
    memory: float = MEMORY,
    progress: Callable[[int, int], None] | None = None,
) -> Filmed:
    """Reads the film, edits every frame and writes it, whole or not at all. The sound stays.

    pick: the main subject or classes; a click, a box or a mask file is of one picture. progress: called with the
    number of frames done and of all (0 where the file does not say). max_pixels: of a frame; larger ones are refused.
    Raises VideoError where the film cannot be read or written or the effect cannot be a film's, FileExistsError.
    """
    if not isinstance(effect, Blur | Replace):
        what = "a cut-out, which needs transparency," if isinstance(effect, CutOut) else "this effect"
        raise VideoError(f"{what} is not made of films: blur or replace the background")
    if pick.clicks or pick.needs_no_model:
        raise VideoError("a click, a box or a mask is of one picture: for a film give --subject or --class")
    if target.exists() and not overwrite:
        raise FileExistsError(in_the_way(target))
    if target.exists() and not target.is_file():
        raise VideoError(f"{target} cannot be written: there is something of that name that is no file")
    started, lost = time.perf_counter(), 0
    followed: Followed | None = None

    def edited(frame: Image) -> Image:
        nonlocal followed, lost
        try:
            mask = choose(frame, pick, models)[0].mask
        except NoObjectError:
            mask, lost = np.zeros(frame.shape[:2], bool), lost + 1
        followed = follow(followed, frame, mask, memory=memory)
        return edited_frame(frame, followed.mask(frame), effect)

    frames = rewrite(source, target, edited, max_pixels=max_pixels, progress=progress)
    return Filmed(target, frames, lost, time.perf_counter() - started)


def film_models(models: Models, *, by_class: bool = False) -> Models:
    """The models as films want them: the main-subject net looks at each frame once, not at its mirror image too.

    by_class: objects of classes are asked for, which another net finds.
    """
    if models.segmenter is None and not by_class and main_subject() == "subject":
        options = {**models.segmenter_options, "flip": False}
        return Models("subject", models.inpainter, options, models.device, models.offline)
    return models
