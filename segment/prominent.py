"""No click: ExtractNet, Tiramisu, the pets U-Net and the bundled main-subject net behind one predictor.

The photo is resized to the net's square, whatever its sides, as the reports do; the answer is brought back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from segment.base import Click, Image, Mask, NoObjectError, Selection, check_clicks, check_image
from segment.nets.configs import read_subject_config
from segment.refine import enlarged, extractnet_cleaned, guided, parts
from weights import WEIGHTS, WeightsError, fetch, locate, named_file
from weights.frameworks import compiled, load_keras
from weights.onnx_nets import read_onnx

REFINEMENTS = ("none", "guided", "extractnet", "crf")
BUNDLED = "subject"  # the name of the bundled net in weights.WEIGHTS
CRF_SIDE_PX = 320
_SPECK = 0.02  # parts smaller than this share of the largest are not the subject's
_ALTERNATIVES = 4


@dataclass(frozen=True)
class ProminentEncoding:
    """The photo (H, W, 3) uint8 RGB, and how sure the net is at each place, (h, w) float32 in 0..1."""

    image: Image
    probability: NDArray[np.float32]


class ProminentSegmenter:
    """What all of them share. A class for each net says how it is read and what its classes mean."""

    kind: ClassVar[str]
    label: ClassVar[str | None] = None
    best_refinement: ClassVar[str] = "none"

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        threshold: float = 0.5,
        refine: str | None = None,
        flip: bool = True,
    ):
        """model: the bundle (.npz) that train_segment wrote. threshold: below it a pixel is background.

        refine: "none", "guided" (the edge moves to the photo's), "extractnet" (blur, threshold, opening) or "crf";
        None takes what suits the net. flip: the mean of the photo's and its mirror image's answers.
        Raises WeightsError if there is no such file or it is damaged, ValueError for options that cannot be.
        """
        refine = refine or self.best_refinement
        if refine not in REFINEMENTS:
            raise ValueError(f"no refinement is called {refine!r}: choose one of {', '.join(REFINEMENTS)}")
        if not 0 < threshold < 1:
            raise ValueError(f"threshold must be between 0 and 1, got {threshold}")
        path = self._file(model)
        self.name = f"{self.kind}:{path}"
        self._net, self.config = self._loaded(path, is_bundled=model is None)
        self._threshold, self._refine, self._flip = threshold, refine, flip

    def encode(self, image: Image) -> ProminentEncoding:
        """The net's answer. image: (H, W, 3) uint8 RGB, kept, not copied."""
        check_image(image)
        photo = self._input(image)
        batch = np.stack([photo, photo[:, ::-1]]) if self._flip else photo[None]
        answers = self._net({"image": batch.astype(np.float32)})["mask"]
        probability = self._probability(np.asarray(answers, np.float32))
        if self._flip:
            probability = np.asarray((probability[:1] + probability[1:, :, ::-1]) / 2, np.float32)
        return ProminentEncoding(image, self._with_crf(probability[0], image))

    def probability(self, encoding: ProminentEncoding) -> NDArray[np.float32]:
        """(H, W) float32 in 0..1: how sure the net is that a pixel is the subject's, at the photo's size."""
        if self._refine == "guided":
            return guided(encoding.probability, encoding.image)
        return enlarged(encoding.probability, encoding.image.shape[:2])

    def select(self, encoding: ProminentEncoding, clicks: Sequence[Click] = ()) -> list[Selection]:
        """The subject, and if it has several parts each of them; with clicks the parts under them, as one.

        The score is the net's mean certainty inside the mask.
        Raises NoObjectError if the net finds no subject or none under the clicks, ValueError if a click is outside.
        """
        if clicks:
            check_clicks(clicks, encoding.image.shape[:2])
        sure = self.probability(encoding)
        mask = extractnet_cleaned(sure) if self._refine == "extractnet" else sure >= self._threshold
        found = parts(mask, least_share=_SPECK)
        if not found:
            raise NoObjectError(f"{self.kind} finds no subject in this photo: click an object instead")
        if clicks:
            return [self._selection(_under(mask, found, clicks), sure)]
        whole = [np.logical_or.reduce(found)] if len(found) > 1 else []
        return [self._selection(one, sure) for one in [*whole, *found[:_ALTERNATIVES]]]

    def _selection(self, mask: Mask, sure: NDArray[np.float32]) -> Selection:
        return Selection(mask, self.label, round(float(np.clip(sure[mask].mean(), 0, 1)), 3))

    def _file(self, model: str | Path | None) -> Path:
        if model is None or not named_file(model).is_file():
            raise WeightsError(
                f"{self.kind} needs its weights, got {model}: train a net with train_segment and give "
                f"'{self.kind}:FILE'"
            )
        return named_file(model)

    def _with_crf(self, probability: NDArray[np.float32], image: Image) -> NDArray[np.float32]:
        if self._refine != "crf":
            return probability
        from segment.crf import dense_crf

        scale = min(1.0, CRF_SIDE_PX / max(image.shape[:2]))
        hw = max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))
        small = cv2.resize(image, hw[::-1], interpolation=cv2.INTER_AREA)
        return dense_crf(enlarged(probability, hw), np.asarray(small, np.uint8))

    def _input(self, image: Image) -> Image:
        """The photo as the net takes it: (S, S, 3) uint8 RGB."""
        return squeezed(image, self.config.input_px)

    def _loaded(self, path: Path, *, is_bundled: bool) -> tuple[Callable[[Any], Any], Any]:
        """The net of a bundle as a function of {"image": ...}, and its config. is_bundled: it ships with Clickaway."""
        load_keras()
        net, config = self._read(path)
        return compiled(net), config

    def _read(self, path: Path) -> tuple[Any, Any]:
        """The Keras net of a bundle, and its config."""
        raise NotImplementedError

    def _probability(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, h, w) in 0..1 of the net's (B, h, w, classes)."""
        return one_class(logits)


class ExtractNetSegmenter(ProminentSegmenter):
    """Prominent people and vehicles, without a click, by an ExtractNet from a bundle file."""

    kind = "extractnet"

    def _read(self, path: Path) -> tuple[Any, Any]:
        from segment.nets.extractnet import read_extractnet

        return read_extractnet(path)


class TiramisuSegmenter(ProminentSegmenter):
    """The people of a photo, without a click, by a Tiramisu (greenScreen.AI) from a bundle file."""

    kind = "tiramisu"
    label = "person"

    def _read(self, path: Path) -> tuple[Any, Any]:
        from segment.nets.tiramisu import read_tiramisu

        return read_tiramisu(path)

    def _probability(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        from segment.nets.tiramisu import PERSON

        return softmax(logits)[..., PERSON]


class PetsSegmenter(ProminentSegmenter):
    """The pet of a photo, without a click, by a pets U-Net from a bundle file."""

    kind = "pets"
    label = "pet"

    def _read(self, path: Path) -> tuple[Any, Any]:
        from segment.nets.pets_unet import read_pets_unet

        return read_pets_unet(path)

    def _input(self, image: Image) -> Image:
        photo = squeezed(image, self.config.input_px)
        return equalised_luma(photo) if self.config.equalise else photo

    def _probability(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        from segment.nets.pets_unet import BORDER, PET

        found = softmax(logits)
        return np.asarray(
            found[..., PET] + found[..., BORDER] / 2, np.float32
        )  # the border lies on both sides of the pet's edge


class SubjectSegmenter(ProminentSegmenter):
    """The main subject, without a click, by the bundled net or one that train_segment wrote."""

    kind = "subject"
    best_refinement = "guided"

    def _file(self, model: str | Path | None) -> Path:
        if model is not None:
            return super()._file(model)
        if bundled_subject() is None:
            raise WeightsError(
                "no main-subject net is bundled with this Clickaway: give one that train_segment wrote, "
                "'subject:FILE', or choose otsu_watershed"
            )
        return fetch(WEIGHTS[BUNDLED])

    def _loaded(self, path: Path, *, is_bundled: bool) -> tuple[Callable[[Any], Any], Any]:
        nets = read_onnx(WEIGHTS[BUNDLED], apart=True) if is_bundled else None
        return (nets[0], read_subject_config(path)[0]) if nets else super()._loaded(path, is_bundled=is_bundled)

    def _read(self, path: Path) -> tuple[Any, Any]:
        from segment.nets.subject import read_subject

        return read_subject(path)


def bundled_subject() -> Path | None:
    """The bundled main-subject net's file, or None. Nothing is loaded."""
    spec = WEIGHTS.get(BUNDLED)
    return locate(spec) if spec else None


def squeezed(image: Image, side_px: int) -> Image:
    """(S, S, 3) uint8: the photo at that square, its sides scaled each by its own."""
    shrinks = image.shape[0] * image.shape[1] > side_px**2
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (side_px, side_px), interpolation=how), np.uint8)


def equalised_luma(image: Image) -> Image:
    """The photo with the histogram of its luma equalised, its colour differences kept (YPbPr, the pets report)."""
    y, pr, pb = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb))  # Cr and Cb are Pr and Pb in bytes
    return np.asarray(cv2.cvtColor(cv2.merge([cv2.equalizeHist(y), pr, pb]), cv2.COLOR_YCrCb2RGB), np.uint8)


def one_class(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """(..., 1) logits to (...) probabilities."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits[..., 0], -50, 50))), np.float32)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """(..., classes) logits to probabilities."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True), np.float32)


def _under(mask: Mask, found: Sequence[Mask], clicks: Sequence[Click]) -> Mask:
    """The parts that hold a positive click and no negative one, as one mask."""

    def hold(part: Mask, *, positive: bool) -> bool:
        return any(part[click.y, click.x] for click in clicks if click.positive == positive)

    wanted = [part for part in found if hold(part, positive=True)]
    kept = [part for part in wanted if not hold(part, positive=False)]
    if not kept:
        first = next(click for click in clicks if click.positive)
        what = "the part of the subject there is all taken away" if wanted else f"({first.x}, {first.y}) is background"
        raise NoObjectError(f"{what}: click on the subject, or choose a segmenter for clicks such as grabcut")
    return np.logical_or.reduce(kept)
