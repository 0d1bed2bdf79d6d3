"""A small Mask R-CNN (He et al. 2017) on SqueezeNet 1.1: its sizes, and what mmdet builds of them.

Code, not a config file: a bundle (weights.bundle) holds the sizes and the classes as JSON, and nothing in it is run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weights import WEIGHTS, WeightsError, fetch, locate, named_file
from weights.bundle import net_config, read_bundle, read_bundle_config

ARCHITECTURE = "small_mask_rcnn"
BUNDLED = "mask_rcnn_small"  # the name of the bundled net in weights.WEIGHTS
SHORT_NAME = "small"  # the same as a model's name: mask_rcnn:small
MEANS = (123.0, 117.0, 104.0)  # RGB, Caffe's: what SqueezeNet's public weights subtract
CHANNELS = {4: 128, 8: 256, 16: 512, 32: 512}  # stride -> channels of the backbone's features
STRIDES = tuple(CHANNELS)
FROZEN = ("conv1", "fire2", "fire3")  # layers of SqueezeNet that training leaves as ImageNet has taught them


@dataclass(frozen=True)
class SmallMaskRCNN:
    """Everything that decides which variables the net has and what it computes with them."""

    classes: tuple[str, ...]  # as COCO spells them
    input_px: int = 384  # longer side of the photo as the net sees it
    finest: int = 8  # stride of the finest features that boxes and masks are found on: 4 finds smaller things, slowly
    channels: int = 96  # of the feature pyramid
    hidden: int = 256  # of the box head
    mask_convs: int = 3
    proposals: int = 200

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))  # JSON knows lists alone
        if not self.classes or self.input_px < 64 or self.finest not in STRIDES[:2]:
            raise ValueError(f"wants classes, input_px of 64 or more, finest 4 or 8; got {self}")
        if self.channels % 16 or min(self.channels, self.hidden, self.mask_convs, self.proposals) < 1:
            raise ValueError(f"channels must be a multiple of 16, and every size 1 or more; got {self}")
        if self.mask_convs > 16:
            raise ValueError(f"mask_convs must be 16 or fewer; got {self}")


def model_config(
    net: SmallMaskRCNN, *, training: Mapping[str, Any] | None = None, frozen: Sequence[str] = FROZEN
) -> dict[str, Any]:
    """mmdet's config of the net. training: its train_cfg, for nets that are to learn. frozen: what stays as it is."""
    levels = [stride for stride in STRIDES if stride >= net.finest]
    # Two levels beyond the features, for anchors that are as large as the photo.
    strides = [*levels, 2 * levels[-1], 4 * levels[-1]]
    first_anchor_px = 24  # on the finest level; each level doubles it
    norm = {"type": "GN", "num_groups": 16, "requires_grad": True}
    extractor = {"type": "SingleRoIExtractor", "out_channels": net.channels, "featmap_strides": levels}
    proposals = {
        "nms_pre": 3 * net.proposals,
        "max_per_img": net.proposals,
        "nms": {"type": "nms", "iou_threshold": 0.7},
        "min_bbox_size": 0,
    }
    return {
        "type": "MaskRCNN",
        "data_preprocessor": {
            "type": "DetDataPreprocessor",
            "mean": list(MEANS),
            "std": [1.0, 1.0, 1.0],
            "bgr_to_rgb": True,  # mmdet's pipelines hold BGR
            "pad_mask": True,
            "pad_size_divisor": 32,
        },
        "backbone": {"type": "SqueezeNet", "frozen": tuple(frozen)},
        "neck": {
            "type": "FPN",
            "in_channels": list(CHANNELS.values()),
            "start_level": STRIDES.index(net.finest),
            "out_channels": net.channels,
            "num_outs": len(strides),
            "norm_cfg": norm,
            "no_norm_on_lateral": True,  # what comes in is normalised already
        },
        "rpn_head": {
            "type": "RPNHead",
            "in_channels": net.channels,
            "feat_channels": net.channels,
            "anchor_generator": {
                "type": "AnchorGenerator",
                "scales": [first_anchor_px / net.finest],
                "ratios": [0.5, 1.0, 2.0],
                "strides": strides,
            },
            "bbox_coder": {"type": "DeltaXYWHBBoxCoder"},
            "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": True},
            "loss_bbox": {"type": "L1Loss"},
        },
        "roi_head": {
            "type": "StandardRoIHead",
            "bbox_roi_extractor": {
                **extractor,
                "roi_layer": {"type": "RoIAlign", "output_size": 7, "sampling_ratio": 2},
                "finest_scale": 7 * net.finest,
            },
            "bbox_head": {
                "type": "Shared2FCBBoxHead",
                "in_channels": net.channels,
                "fc_out_channels": net.hidden,
                "roi_feat_size": 7,
                "num_classes": len(net.classes),
                "bbox_coder": {"type": "DeltaXYWHBBoxCoder", "target_stds": [0.1, 0.1, 0.2, 0.2]},
                "reg_class_agnostic": True,
                "loss_cls": {"type": "CrossEntropyLoss"},
                "loss_bbox": {"type": "L1Loss"},
            },
            "mask_roi_extractor": {
                **extractor,
                "roi_layer": {"type": "RoIAlign", "output_size": 14, "sampling_ratio": 2},
                "finest_scale": 7 * net.finest,
            },
            "mask_head": {
                "type": "FCNMaskHead",
                "num_convs": net.mask_convs,
                "in_channels": net.channels,
                "conv_out_channels": net.channels,
                "num_classes": len(net.classes),
                "class_agnostic": True,  # what few sheep teach about outlines, cows may use
                "loss_mask": {"type": "CrossEntropyLoss", "use_mask": True},
            },
        },
        "train_cfg": None if training is None else {**training, "rpn_proposal": proposals},
        "test_cfg": {
            "rpn": proposals,
            "rcnn": {
                "score_thr": 0.05,
                "nms": {"type": "nms", "iou_threshold": 0.5},
                "max_per_img": 100,
                "mask_thr_binary": 0.5,
            },
        },
    }


def test_steps(net: SmallMaskRCNN) -> list[dict[str, Any]]:
    """The steps that prepare a photo for the net, as mmdet's configs list them."""
    return [
        {"type": "LoadImageFromFile"},
        {"type": "Resize", "scale": (net.input_px, net.input_px), "keep_ratio": True},
        {"type": "PackDetInputs", "meta_keys": ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")},
    ]


def bundled() -> Path | None:
    """The file of the Mask R-CNN that ships with Clickaway, or None. Nothing is loaded."""
    spec = WEIGHTS.get(BUNDLED)
    return locate(spec) if spec else None


def bundle_of(model: str | Path) -> Path | None:
    """The bundle that a model's name stands for: "small" or a file *.npz. None for other names.

    Raises WeightsError if it is not here, or "small" is not what ships with Clickaway.
    """
    if str(model) == SHORT_NAME:
        return fetch(WEIGHTS[BUNDLED])
    path = named_file(model)
    if path.suffix != ".npz":
        return None
    if not path.is_file():
        raise WeightsError(f"there is no bundle {path}: give the path of one, or the name of a model")
    return path


def read_config(path: Path) -> SmallMaskRCNN:
    """The net's sizes and classes. Raises WeightsError if the file is damaged or of another architecture."""
    return net_config(path, read_bundle_config(path), ARCHITECTURE, SmallMaskRCNN)[0]


def read(path: Path) -> tuple[SmallMaskRCNN, dict[str, Any]]:
    """The net's sizes and its state dict of torch tensors. Raises WeightsError as read_config does."""
    import torch

    raw, arrays = read_bundle(path)
    net, _ = net_config(path, raw, ARCHITECTURE, SmallMaskRCNN)
    return net, {name: torch.from_numpy(array) for name, array in arrays.items()}
