"""Any instance-segmentation model of mmdet as a segmenter: Mask R-CNN (He et al. 2017) by default.

The only file that holds BGR, because mmdet's pipelines do.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from segment import checkpoints, instances, small_mask_rcnn
from segment.base import Click, Image, Selection, check_image
from segment.instances import Instance, Instances
from segment.working_size import WORKING_SIDE_PX, at_photo_size, box_at_photo_size, padded, working_copy
from weights import WeightsError


class MaskRCNNSegmenter:
    """Finds every object of the classes that the model knows, once a photo; a click then picks among them."""

    def __init__(
        self,
        model: str | Path = checkpoints.DEFAULT_MODEL,
        checkpoint: str | Path | None = None,
        *,
        device: str = "auto",
        score_threshold: float = 0.3,
        input_size_px: int | None = None,
        offline: bool | None = None,
    ):
        """Loads the model, downloading its checkpoint first if mmdet publishes it and it is not here.

        model: a name that mmdet publishes ("rtmdet-ins-s"), the path of a config file, or without a checkpoint a
        bundle: "small", the one that ships with Clickaway, or a file (.npz) that `train_segment mask-rcnn` wrote.
        checkpoint: its weights; None takes the published ones, or the NAME.pth beside a config file NAME.py.
        device: "auto" (the GPU if mmcv was built for it), "cpu", "cuda", "cuda:1".
        score_threshold: objects of which the model is less sure (0..1) are left out.
        input_size_px: the longer side of what the net sees; None takes the config's. Larger finds smaller objects.
        offline: True never opens a connection; None asks the environment (CLICKAWAY_OFFLINE).
        Raises ValueError for an option that cannot be, WeightsError where a file cannot be had or does not fit,
        ImportError where mmdet and its parts are not installed.
        """
        if not 0 <= score_threshold <= 1:
            raise ValueError(f"score_threshold must be 0..1, got {score_threshold}")
        if input_size_px is not None and input_size_px < 32:
            raise ValueError(f"input_size_px must be 32 or more, got {input_size_px}")
        bundle = small_mask_rcnn.bundle_of(model)
        if bundle is not None and checkpoint is not None:
            raise ValueError(f"{model} holds its weights itself: leave the checkpoint {checkpoint} out")
        if bundle is None:
            files = checkpoints.find(model, checkpoint)
            path = checkpoints.fetch(files, offline=offline)
        with _quiet():
            torch = _import_all()
            self.name = bundle.stem if bundle is not None else files.name
            self.device = _device(torch, device)
            self._score_threshold = score_threshold
            if bundle is not None:
                self._net, steps, self.classes = _build_small(bundle, score_threshold, input_size_px)
            else:
                self._net, steps, self.classes = _build(files, path, score_threshold, input_size_px)
            self._net.to(self.device)
            if self.device == "cpu":
                _make_fast(self._net)
            self._prepare = _compose(steps)
        # The longer side of what mmdet is given: all that the net will look at, and of which it then makes masks.
        self._working_side_px = max([WORKING_SIDE_PX, *(max(size) for size in _sizes(steps))])

    def encode(self, image: Image) -> Instances:
        """Every object of the photo. image: (H, W, 3) uint8 RGB."""
        import torch

        check_image(image)
        working = working_copy(image, self._working_side_px)
        with _quiet(), torch.inference_mode():
            bgr = np.ascontiguousarray(padded(working)[:, :, ::-1])
            prepared = self._prepare({"img": bgr, "img_id": 0})
            batch = {"inputs": [prepared["inputs"]], "data_samples": [prepared["data_samples"]]}
            found = self._net.test_step(batch)[0].pred_instances
        if "masks" not in found:
            raise ValueError(f"{self.name} finds boxes but no masks: choose an instance-segmentation model")
        found = found[found.scores >= self._score_threshold]
        masks, boxes, labels, scores = (
            part.cpu().numpy() for part in (found.masks, found.bboxes, found.labels, found.scores)
        )
        height, width = working.shape[:2]
        objects = []
        for mask, box, label, score in zip(masks, boxes, labels, scores, strict=True):
            if (cropped := at_photo_size(mask[:height, :width], image.shape[:2])) is not None:
                box = box_at_photo_size(box, (height, width), image.shape[:2])
                objects.append(Instance(*cropped, box, self.classes[label], float(score)))
        return instances.pack(objects, image.shape[:2])

    def select(self, encoding: Instances, clicks: Sequence[Click]) -> list[Selection]:
        """The objects under the clicks, best first; see segment.instances.select.

        Raises NoObjectError if nothing lies under the clicks, ValueError if a click is outside the photo.
        """
        return instances.select(encoding, clicks)

    def instances(self, encoding: Instances) -> list[Selection]:
        """All objects of the photo, highest score first."""
        return [encoding.selection(index) for index in range(len(encoding))]


def _import_all() -> Any:
    """torch, after everything that the model needs has been imported. Raises ImportError with the fix."""
    try:
        import mmcv.ops  # noqa: F401  (fails where mmcv was built without its compiled operations)
        import mmdet.models  # noqa: F401
        import torch
    except (ImportError, OSError, AssertionError) as error:  # mmdet checks versions with assert
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ImportError(
            f"mmdet and its parts do not work in this environment ({reason}): run `make install`"
        ) from error
    return torch


def _device(torch: Any, name: str) -> str:
    """The device to run on. Raises ValueError for one that is not there, or that mmcv was not built for."""
    from mmcv.ops import get_compiling_cuda_version

    built_for_cuda = get_compiling_cuda_version() != "not available"
    if name == "auto":
        return "cuda" if torch.cuda.is_available() and built_for_cuda else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError as error:
        raise ValueError(f"no device is called {name!r}: use auto, cpu or cuda") from error
    if kind == "cuda" and (torch.device(name).index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device {name!r} was asked for, but torch sees {torch.cuda.device_count()} GPUs: use auto or cpu"
        )
    if kind == "cuda" and not built_for_cuda:
        raise ValueError(f"device {name!r} was asked for, but mmcv was built without CUDA: use cpu, or build it again")
    return name


def _build(
    files: checkpoints.ModelFiles, path: Path, score_threshold: float, input_size_px: int | None
) -> tuple[Any, list[Any], tuple[str, ...]]:
    """The net with its weights, the steps that prepare a photo for it, and the names of its classes."""
    from mmdet.registry import MODELS
    from mmdet.utils import get_test_pipeline_cfg
    from mmengine.config import Config
    from mmengine.model.utils import revert_sync_batchnorm
    from mmengine.registry import init_default_scope

    config = Config.fromfile(str(files.config))
    init_default_scope(config.get("default_scope", "mmdet"))
    _set_everywhere(config.model, "init_cfg", None)  # pretrained backbones would be downloaded, and then overwritten
    # Masks are only made for objects above the threshold: the others are what most of the time would go into.
    _set_everywhere(config.model.get("test_cfg") or {}, "score_thr", score_threshold)
    net = revert_sync_batchnorm(MODELS.build(config.model))
    loaded = checkpoints.load(path)
    _load_weights(net, loaded.state_dict, files.name, path)
    steps = [step for step in get_test_pipeline_cfg(config) if "Annotations" not in str(step["type"])]
    return net.eval(), _given_arrays(steps, input_size_px), _class_names(loaded.classes, config.model)


def _build_small(
    bundle: Path, score_threshold: float, input_size_px: int | None
) -> tuple[Any, list[Any], tuple[str, ...]]:
    """As _build, of a bundle: code makes the config, so nothing in the file is run."""
    from mmdet.registry import MODELS
    from mmengine.config import ConfigDict
    from mmengine.registry import init_default_scope

    import segment.squeezenet_torch  # noqa: F401  (registers the backbone)

    small, state = small_mask_rcnn.read(bundle)
    config = ConfigDict(small_mask_rcnn.model_config(small))
    init_default_scope("mmdet")
    _set_everywhere(config.test_cfg, "score_thr", score_threshold)
    net = MODELS.build(config)
    _load_weights(net, state, small_mask_rcnn.ARCHITECTURE, bundle)
    return net.eval(), _given_arrays(small_mask_rcnn.test_steps(small), input_size_px), small.classes


def _make_fast(net: Any) -> None:
    """The same net for prediction on a processor, in place, its numbers the same but for rounding."""
    import torch
    from mmcv.cnn import fuse_conv_bn

    from segment.fast_roi_align import is_replaceable, use_fast_roi_align
    from segment.winograd import use_winograd

    # Not in heads: RTMDet's share convolutions between norms.
    fuse_conv_bn(net.backbone)
    # mmcv's own operations for processors read channels-last memory as channels first, in silence.
    if any(type(part).__module__.startswith("mmcv.ops") and not is_replaceable(part) for part in net.modules()):
        return
    net.to(memory_format=torch.channels_last)
    use_fast_roi_align(net)
    use_winograd(net)


def _given_arrays(steps: list[Any], input_size_px: int | None) -> list[Any]:
    """The steps for photos in memory, at that size."""
    steps = [{"type": "mmdet.LoadImageFromNDArray"}, *steps[1:]]
    return steps if input_size_px is None else _resized(steps, input_size_px)


def _load_weights(net: Any, state: dict[str, Any], name: str, path: Path) -> None:
    """Raises WeightsError unless every weight of the net is in the checkpoint, in its shape."""
    try:
        missing = net.load_state_dict(state, strict=False).missing_keys
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise WeightsError(f"{path} does not fit {name}: {reason}; give the checkpoint of this model") from error
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing:
        raise WeightsError(
            f"{path} does not fit {name}: {len(missing)} of its weights are not there ({missing[0]} for one); "
            f"give the checkpoint of this model"
        )


def _class_names(names: tuple[str, ...] | None, model: Any) -> tuple[str, ...]:
    """The checkpoint's names; where it has none, COCO's for 80 classes (as mmdet does), else numbers."""
    from mmdet.evaluation import get_classes

    heads = [model.get("bbox_head"), (model.get("roi_head") or {}).get("bbox_head"), model.get("mask_head")]
    heads = [head[-1] if isinstance(head, list | tuple) else head for head in heads]
    count = next((head["num_classes"] for head in heads if head and "num_classes" in head), len(names or ()) or 80)
    if names is None:
        names = tuple(get_classes("coco")) if count == 80 else ()
    return names + tuple(f"class {number}" for number in range(len(names), count))


def _set_everywhere(config: Any, key: str, value: Any) -> None:
    """Sets every key of that name in a nested config, in place."""
    for part in config.values() if isinstance(config, dict) else config:
        if isinstance(part, dict | list | tuple):
            _set_everywhere(part, key, value)
    if isinstance(config, dict) and key in config:
        config[key] = value


def _compose(steps: list[Any]) -> Any:
    from mmcv.transforms import Compose

    return Compose(steps)


def _sizes(steps: list[Any]) -> list[Sequence[int]]:
    """The sizes that the steps resize and pad to."""
    return [step[key] for step in steps for key in ("scale", "size") if isinstance(step.get(key), list | tuple)]


def _resized(steps: list[Any], input_size_px: int) -> list[Any]:
    """The steps with all sizes scaled so that the first one's longer side is input_size_px."""
    if not _sizes(steps):
        raise ValueError("input_size_px: this model's config resizes nothing, so its input size cannot be set")
    factor = input_size_px / max(_sizes(steps)[0])
    resized = []
    for step in steps:
        changed = dict(step)
        if isinstance(step.get("scale"), list | tuple):
            changed["scale"] = tuple(round(side * factor) for side in step["scale"])
        if isinstance(step.get("size"), list | tuple):  # of a Pad: the nets halve their input five times
            changed["size"] = tuple(-(-round(side * factor) // 32) * 32 for side in step["size"])
        resized.append(changed)
    return resized


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the warnings that mmdet raises about its own use of other libraries. Errors pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
