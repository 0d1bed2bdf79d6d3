"""The same effects on a film: frame after frame, with a mask that does not flicker."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline import edit
from pipeline.atomic import in_the_way
from pipeline.effects import Blur, CutOut, Effect, Replace
from pipeline.models import Models, main_subject
from pipeline.selection import Pick, choose
from segment.base import Image, Mask, NoObjectError
from segment.refine import guided

# Extension -> the codec that OpenCV's own ffmpeg can write there. Browsers play the WebM, not the MPEG-4.
CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".webm": "VP80", ".avi": "MJPG"}
MEMORY = 0.65  # how much of the last frame's mask stays in this one's
_TRACK_PX = 256  # longer side at which movement is followed
_CUT = 40.0  # mean grey difference, of 255, between two shots


class VideoError(ValueError):
    """A film cannot be read or written. The message is one line."""


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


def is_video(path: Path) -> bool:
    return path.suffix.lower() in CODECS


def process_video(
    source: Path,
    target: Path,
    pick: Pick,
    effect: Effect,
    models: Models,
    *,
    overwrite: bool = False,
    memory: float = MEMORY,
    progress: Callable[[int, int], None] | None = None,
) -> Filmed:
    """Reads the film, edits every frame and writes it, whole or not at all. The sound is not copied.

    pick: the main subject or classes; a click, a box or a mask file is of one picture. progress: called with the
    number of frames done and of all (0 where the file does not say).
    Raises VideoError where the film cannot be read or written or the effect cannot be a film's, FileExistsError.
    """
    if not isinstance(effect, Blur | Replace):
        what = "a cut-out, which needs transparency," if isinstance(effect, CutOut) else "this effect"
        raise VideoError(f"{what} is not made of films: blur or replace the background")
    if pick.clicks or pick.needs_no_model:
        raise VideoError("a click, a box or a mask is of one picture: for a film give --subject or --class")
    if target.suffix.lower() not in CODECS:
        raise VideoError(f"{target} cannot be written: films are {', '.join(CODECS)}")
    if target.exists() and not overwrite:
        raise FileExistsError(in_the_way(target))
    started, frames, lost = time.perf_counter(), 0, 0
    followed: Followed | None = None
    with _reader(source) as (capture, rate, total):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _writer(target, rate) as write:
            for frame in _frames(capture):
                try:
                    mask = choose(frame, pick, models)[0].mask
                except NoObjectError:
                    mask, lost = np.zeros(frame.shape[:2], bool), lost + 1
                followed = follow(followed, frame, mask, memory=memory)
                write(edited_frame(frame, followed.mask(frame), effect))
                frames += 1
                if progress:
                    progress(frames, total)
            if not frames:
                raise VideoError(f"{source} cannot be read: it holds no frame")
    return Filmed(target, frames, lost, time.perf_counter() - started)


def film_models(models: Models) -> Models:
    """The models as films want them: the main-subject net looks at each frame once, not at its mirror image too."""
    if models.segmenter is None and main_subject() == "subject":
        options = {**models.segmenter_options, "flip": False}
        return Models("subject", models.inpainter, options, models.device, models.offline)
    return models


@contextmanager
def _reader(source: Path) -> Iterator[tuple[Any, float, int]]:
    if not source.is_file():
        raise VideoError(f"{source} cannot be read: it is not there")
    capture = cv2.VideoCapture(str(source))
    try:
        if not capture.isOpened():
            raise VideoError(f"{source} cannot be read: it is no film that OpenCV knows")
        rate = capture.get(cv2.CAP_PROP_FPS)
        yield capture, rate if 1 <= rate <= 240 else 25.0, max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
    finally:
        capture.release()


def _frames(capture: Any) -> Iterator[Image]:
    """The frames, (H, W, 3) uint8 RGB, the right way up."""
    while True:
        there, frame = capture.read()
        if not there:
            return
        yield np.ascontiguousarray(frame[..., ::-1])  # OpenCV's files are BGR


@contextmanager
def _writer(target: Path, rate: float) -> Iterator[Callable[[Image], None]]:
    """A function that writes frames of one size. The film takes its name when all of it is there."""
    partial = target.with_name(f".{target.stem[:80]}.{secrets.token_hex(4)}.partial{target.suffix}")
    writer: Any = None

    def write(frame: Image) -> None:
        nonlocal writer
        if writer is None:
            codec = cv2.VideoWriter.fourcc(*CODECS[target.suffix.lower()])
            writer = cv2.VideoWriter(str(partial), codec, rate, frame.shape[1::-1])
            if not writer.isOpened():
                raise VideoError(f"{target} cannot be written: this OpenCV has no encoder for it, or the disk is full")
        writer.write(np.ascontiguousarray(frame[..., ::-1]))

    try:
        yield write
        if writer is not None:
            writer.release()
            partial.replace(target)
    finally:
        if writer is not None:
            writer.release()
        partial.unlink(missing_ok=True)
