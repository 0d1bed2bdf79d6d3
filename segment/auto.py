"""The best of what is on this machine: a detector that knows classes, and a class-agnostic one for everything else.

In this order: a large detector whose public checkpoint is here answers first, and ClickNet what it misses; without one,
ClickNet answers, and the small detector that ships with Clickaway gives names (segment.naming has the rule).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from segment import checkpoints, load_segmenter, naming, small_mask_rcnn
from segment.base import Click, Image, InstanceSegmenter, NoObjectError, Segmenter, Selection, check_clicks, check_image
from segment.click_net import SAME_ANSWER_IOU, bundled
from segment.instances import Instances, still_wanted
from segment.metrics import iou
from weights import WEIGHTS, WeightsError, fetch


def fallback_name() -> str:
    """The segmenter (a name in segment.SEGMENTERS) for what the detector does not find: ClickNet, where it is here."""
    return "clicknet" if bundled() else "grabcut"


@dataclass
class AutoEncoding:
    """The photo as the two segmenters see it; the second is only asked when the first finds nothing."""

    image: Image
    detected: Instances | None  # None where there is no detector
    fallback: Any | None = None  # filled in by the first click that needs it
    named: Instances | None = None  # what the small detector finds, where there is no large one; see _look_for_names


class AutoSegmenter:
    """Mask R-CNN where its checkpoint is here and it finds something under the click, else the fallback: ClickNet.

    ClickNet's answers have names by the small Mask R-CNN that ships with Clickaway, where no other is here.
    Nothing is ever downloaded: what is not here is done without. Models are loaded when they are first needed.
    """

    def __init__(
        self,
        model: str | Path = checkpoints.DEFAULT_MODEL,
        checkpoint: str | Path | None = None,
        *,
        device: str = "auto",
        score_threshold: float | None = None,
        input_size_px: int | None = None,
        names: bool = True,
    ):
        """The options are MaskRCNNSegmenter's. model: a bundle (.npz) takes the place of the small Mask R-CNN.

        score_threshold: of the small detector too; None takes MaskRCNNSegmenter's own, and naming.CONFIDENT for the
        small one, which errs more.
        names: False answers clicks without the small detector's names, and so without the seconds that its libraries
        take to load, until give_names is called.

        Raises ValueError for a model that mmdet does not know, WeightsError if a file was named that is not here.
        """
        self._options: dict[str, Any] = {
            "model": model,
            "checkpoint": checkpoint,
            "device": device,
            "input_size_px": input_size_px,
            "offline": True,
        }
        if score_threshold is not None:
            self._options["score_threshold"] = score_threshold
        self._lock = threading.Lock()  # visitors share the models: each is loaded once
        self._naming_lock = threading.Lock()  # a lock of its own: nobody's click waits for names
        self._detector: InstanceSegmenter | None = None
        self._fallback: Segmenter | None = None
        self._without = ""  # why there is no detector
        self._fallback_name = fallback_name()
        self._names = names
        self._namer: InstanceSegmenter | None = None
        self._named_bundle = small_mask_rcnn.bundle_of(model)
        self._namer_file = self._named_bundle or small_mask_rcnn.bundled()
        if self._named_bundle:
            self._without = "a bundle gives names alone"
            return
        try:
            files = checkpoints.find(model, checkpoint)
        except ImportError as error:
            self._without = str(error)
        else:
            if not files.checkpoint.is_file():
                self._without = f"its checkpoint {files.checkpoint} is not here: the segmenter mask_rcnn downloads it"

    @property
    def name(self) -> str:
        """What this machine's auto is: "MODEL, clicknet where it finds nothing", or "clicknet"."""
        other = self._fallback_name
        if not self._without:
            return f"{Path(self._options['model']).stem}, {other} where it finds nothing"
        return f"{other}, names by {self._namer_file.stem}" if self._namer_file else other

    @property
    def description(self) -> str:
        """The name, and why there is no detector where there is none."""
        return f"{self.name} (without {self._options['model']}: {self._without})" if self._without else self.name

    @property
    def classes(self) -> tuple[str, ...]:
        """What the small detector can name, where it is the one that is asked; else none, which says nothing."""
        return small_mask_rcnn.read_config(self._namer_bundle).classes if self._without and self._namer_file else ()

    @cached_property
    def _namer_bundle(self) -> Path:
        """The small detector's file to read. Raises WeightsError if it should be the one that ships and is not."""
        return self._named_bundle or fetch(WEIGHTS[small_mask_rcnn.BUNDLED])

    def give_names(self) -> None:
        """Loads the small detector, where it is the one that is asked; from then on clicks are answered with names."""
        if self._load_detector() is None:
            self._load_namer()
            self._names = True

    def encode(self, image: Image) -> AutoEncoding:
        """What the detector finds; the fallback is put off, unless there is no large detector.

        image: (H, W, 3) uint8 RGB, kept, not copied.
        """
        check_image(image)
        detector = self._load_detector()
        if detector is not None:
            return AutoEncoding(image, detector.encode(image))
        encoding = AutoEncoding(image, None, self._load_fallback().encode(image))
        if self._names:
            self._look_for_names(encoding)
        return encoding

    def select(self, encoding: AutoEncoding, clicks: Sequence[Click]) -> list[Selection]:
        """The detector's selections if its first holds every positive click; the fallback's for the clicks it misses.

        ClickNet's answers that are others than the detector's follow as alternatives.

        Fills in encoding.fallback the first time it is needed.
        Raises NoObjectError if neither finds anything, ValueError if a click is outside the photo.
        """
        check_clicks(clicks, encoding.image.shape[:2])
        if encoding.detected is None:
            return self._select_named(encoding, clicks)
        unwanted = [click for click in clicks if not click.positive]
        wanted = still_wanted(encoding.detected, clicks)
        if not wanted:  # taken away as a whole: then a part of it is meant, which only the fallback can find
            return self._select_fallback(encoding, clicks)
        detected, missed = self._select_detected(encoding, clicks)
        if detected and _hold(detected[0], wanted):
            return [*detected, *self._alternatives(encoding, clicks, detected)]
        alone = {click: self._select_detected(encoding, [click, *unwanted])[0] for click in wanted}
        held = [click for click in wanted if alone[click] and _hold(alone[click][0], [click])]
        try:
            if not held:
                return [*self._select_fallback(encoding, clicks), *detected]
            rest = [click for click in wanted if click not in held]
            known = self._select_detected(encoding, [*held, *unwanted])[0][0]
            return [
                Selection(known.mask | other.mask, known.label, min(known.score, other.score))
                for other in self._select_fallback(encoding, [*rest, *unwanted])
            ]
        except NoObjectError:
            if detected:  # objects whose box holds the clicks: better than nothing
                return detected
            raise missed or NoObjectError("nothing was found under the clicks") from None

    def instances(self, encoding: AutoEncoding) -> list[Selection]:
        """All objects of the photo, highest score first; the small detector's have ClickNet's edges where they agree.

        Raises WeightsError where no model here knows classes.
        """
        detector = self._load_detector()
        if detector is None:
            self._look_for_names(encoding)
        if encoding.named is not None:
            return naming.with_edges(encoding.named, self._load_fallback(), encoding.fallback)
        if detector is None or encoding.detected is None:
            raise WeightsError(
                f"no model on this machine knows classes: expected {self._options['model']}, but {self._without}"
            )
        return detector.instances(encoding.detected)

    def _look_for_names(self, encoding: AutoEncoding) -> None:
        """Fills in what the small detector finds, once, where there is one."""
        namer = self._load_namer() if encoding.named is None else None
        if namer is not None:
            encoding.named = namer.encode(encoding.image)

    def _select_named(self, encoding: AutoEncoding, clicks: Sequence[Click]) -> list[Selection]:
        """The fallback's answers with the small detector's names. Raises NoObjectError if neither finds anything."""
        if self._names:
            self._look_for_names(encoding)  # give_names may have been called since the photo was read
        try:
            answers = self._select_fallback(encoding, clicks)
        except NoObjectError:
            self._look_for_names(encoding)  # the small detector may see something there
            alone = naming.named([], encoding.named, clicks) if encoding.named is not None else []
            if not alone:
                raise
            return alone
        return naming.named(answers, encoding.named, clicks) if encoding.named is not None else answers

    def _select_detected(
        self, encoding: AutoEncoding, clicks: Sequence[Click]
    ) -> tuple[list[Selection], NoObjectError | None]:
        detector = self._load_detector()
        try:
            return (detector.select(encoding.detected, clicks) if detector else []), None
        except NoObjectError as error:
            return [], error

    def _alternatives(
        self, encoding: AutoEncoding, clicks: Sequence[Click], detected: Sequence[Selection]
    ) -> list[Selection]:
        """What ClickNet takes under the clicks and the detector does not: parts, and things of no class."""
        if self._fallback_name != "clicknet":  # GrabCut's would be slow, and worse
            return []
        try:
            found = self._select_fallback(encoding, clicks)
        except NoObjectError:
            return []
        return [other for other in found if all(iou(other.mask, one.mask) < SAME_ANSWER_IOU for one in detected)]

    def _select_fallback(self, encoding: AutoEncoding, clicks: Sequence[Click]) -> list[Selection]:
        fallback = self._load_fallback()
        if encoding.fallback is None:
            encoding.fallback = fallback.encode(encoding.image)
        return fallback.select(encoding.fallback, clicks)

    def _load_fallback(self) -> Segmenter:
        """The fallback, loaded once."""
        with self._lock:
            if self._fallback is None:
                self._fallback = load_segmenter(self._fallback_name)
            return self._fallback

    def _load_detector(self) -> InstanceSegmenter | None:
        """The detector, loaded once; None where there is none."""
        with self._lock:
            if self._detector is None and not self._without:
                try:
                    from segment.mask_rcnn import MaskRCNNSegmenter

                    self._detector = MaskRCNNSegmenter(**self._options)
                except ImportError as error:  # mmdet is there but does not work: go on with what does
                    self._without = str(error)
            return self._detector

    def _load_namer(self) -> InstanceSegmenter | None:
        """The small detector, loaded once; None where there is none, or mmdet does not work here."""
        with self._naming_lock:
            if self._namer is None and self._namer_file is not None:
                try:
                    from segment.mask_rcnn import MaskRCNNSegmenter

                    self._namer = MaskRCNNSegmenter(
                        self._namer_bundle,
                        device=self._options["device"],
                        score_threshold=self._options.get("score_threshold", naming.CONFIDENT),
                        input_size_px=self._options["input_size_px"],
                    )
                except ImportError as error:
                    self._without, self._namer_file = str(error), None
            return self._namer


def _hold(selection: Selection, clicks: Sequence[Click]) -> bool:
    return all(selection.mask[click.y, click.x] for click in clicks)
