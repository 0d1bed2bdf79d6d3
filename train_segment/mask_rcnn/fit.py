"""Trains the small Mask R-CNN by mmengine's Runner: the config of a run, made from the recipe."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.runner import Runner

import segment.squeezenet_torch  # registers the backbone
import train_segment.mask_rcnn.parts  # noqa: F401  (registers the assigner, the transform and the sampler)
from segment.fast_roi_align import use_fast_roi_align
from segment.small_mask_rcnn import FROZEN, MEANS, SmallMaskRCNN, model_config, read, test_steps
from train_segment.mask_rcnn.convert import TRAIN_FILE, VALIDATION_FILE, classes_of, convert
from train_segment.mask_rcnn.hooks import BundleHook, FiniteHook, PlainCheckpointHook, RateHook
from train_segment.mask_rcnn.recipe import MaskRCNNRecipe
from training.checkpoint import CONFIG_FILE, CheckpointError
from training.options import command_words, write_config

NAME = "mask-rcnn"
DATA_FILE = "data.txt"  # what became of the photos, for the model card


def train(recipe: MaskRCNNRecipe, *, resume: bool = False) -> None:
    """Converts the labels, trains to the end, validates on the way. Interrupted, it goes on with resume.

    Raises ValueError for options or data that cannot work, CheckpointError if there is nothing to resume or, without
    resume, something that would be overwritten, TrainingStopped if the loss is no number any more.
    """
    recipe.check()
    out = Path(recipe.out)
    started = (out / "last_checkpoint").is_file()  # mmengine's: the name of the last one that is whole
    if resume and not started:
        raise CheckpointError(f"{out} holds no checkpoint: nothing to resume; start without --resume")
    if not resume and started:
        raise CheckpointError(f"{out} holds another run: continue it with --resume, or give another --out")
    out.mkdir(parents=True, exist_ok=True)
    if not resume or not (out / DATA_FILE).is_file():
        lines = convert(recipe, out).lines()
        (out / DATA_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
        print("\n".join(lines), flush=True)
    write_config(recipe, out / CONFIG_FILE)
    (out / "recipe.txt").write_text(NAME + "\n", encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mmdet's about its own use of other libraries
        _runner(recipe, resume=resume).train()


def net_of(recipe: MaskRCNNRecipe, classes: tuple[str, ...]) -> SmallMaskRCNN:
    """The sizes that the recipe asks for."""
    return SmallMaskRCNN(
        classes=classes,
        input_px=recipe.input_px,
        finest=recipe.finest,
        channels=recipe.channels,
        hidden=recipe.hidden,
        mask_convs=recipe.mask_convs,
        proposals=recipe.proposals,
    )


def build(recipe: MaskRCNNRecipe, net: SmallMaskRCNN) -> torch.nn.Module:
    """The net, at its start. Raises ValueError if the file to start from is of another net."""
    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet")
    torch.manual_seed(recipe.seed)
    frozen = FROZEN if _knows(recipe) else ()
    model = MODELS.build(ConfigDict(model_config(net, training=_learning(recipe), frozen=frozen)))
    model.init_weights()
    if recipe.start_from:
        other, state = read(Path(recipe.start_from))
        if other.classes != net.classes:
            raise ValueError(f"{recipe.start_from} knows other classes: {', '.join(other.classes)}")
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(f"{recipe.start_from} is of another size: it has {other}") from error
    elif recipe.encoder_weights:
        segment.squeezenet_torch.start_from(model.backbone, recipe.encoder_weights)
    # Channels last: measured on 2 cores, 5.2 photos a CPU second in place of 4.1.
    trained: torch.nn.Module = model.to(memory_format=torch.channels_last)
    use_fast_roi_align(trained)  # mmcv 2.1's for processors reads whatever memory it is given as channels first
    return trained


def _runner(recipe: MaskRCNNRecipe, *, resume: bool) -> Runner:
    out = Path(recipe.out)
    net = net_of(recipe, classes_of(out / TRAIN_FILE))
    words = command_words(recipe, MaskRCNNRecipe(), without=("out",))
    command = " ".join(["python", "-m", "train_segment", NAME, *words, "--out", "RUN"])
    extra = {
        "recipe": NAME,
        "history": [command],
        "objects": (out / DATA_FILE).read_text(encoding="utf-8").splitlines(),
    }
    evaluator = {
        "type": "CocoMetric",
        "ann_file": str(out / VALIDATION_FILE),
        "metric": "segm",
        "classwise": True,
        "metric_items": ["mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l"],
    }
    return Runner(
        model=build(recipe, net),
        work_dir=str(out),
        train_dataloader=_training_samples(recipe, net),
        val_dataloader=_validation_photos(recipe, net),
        val_evaluator=evaluator,
        train_cfg={"by_epoch": True, "max_epochs": recipe.epochs, "val_interval": recipe.validate_every},
        val_cfg={"type": "ValLoop"},
        optim_wrapper={
            "type": "OptimWrapper",
            "optimizer": {"type": "AdamW", "lr": recipe.rate, "weight_decay": recipe.weight_decay},
            "clip_grad": {"max_norm": recipe.clip_norm},
            "paramwise_cfg": {
                "norm_decay_mult": 0.0,
                "bias_decay_mult": 0.0,
                "custom_keys": {
                    "backbone": {"lr_mult": recipe.encoder_rate if _knows(recipe) else 1.0},
                    "backbone.top": {"lr_mult": 1.0},
                    "backbone.norms": {"lr_mult": 1.0, "decay_mult": 0.0},
                },
            },
        },
        default_hooks={
            "logger": {"type": "LoggerHook", "interval": recipe.log_every},
            "checkpoint": {"type": "CheckpointHook", "interval": 1, "max_keep_ckpts": 2},
        },
        custom_hooks=[
            RateHook(recipe),
            FiniteHook(),
            BundleHook(out, net, extra),
            PlainCheckpointHook(),
            {"type": "EMAHook", "ema_type": "ExpMomentumEMA", "momentum": 1 - recipe.ema, "gamma": 500},
        ],
        log_processor={"by_epoch": True, "window_size": recipe.log_every},
        randomness={"seed": recipe.seed},
        resume=resume,
        default_scope="mmdet",
        experiment_name=out.name,
        cfg=ConfigDict(recipe=asdict(recipe)),
    )


def _knows(recipe: MaskRCNNRecipe) -> bool:
    """Whether SqueezeNet's weights come from a file: random ones learn like all others, from the first layer on."""
    return bool(recipe.start_from or recipe.encoder_weights)


def _learning(recipe: MaskRCNNRecipe) -> dict[str, Any]:
    """mmdet's train_cfg: which boxes are learned from."""
    return {
        "rpn": {
            "assigner": {
                "type": "UnclearPixelsAssigner",
                "pos_iou_thr": 0.7,
                "neg_iou_thr": 0.3,
                "min_pos_iou": 0.3,
            },
            "sampler": {"type": "RandomSampler", "num": 128, "pos_fraction": 0.5, "add_gt_as_proposals": False},
            "allowed_border": -1,
            "pos_weight": -1,
        },
        "rcnn": {
            "assigner": {
                "type": "UnclearPixelsAssigner",
                "pos_iou_thr": 0.5,
                "neg_iou_thr": 0.5,
                "min_pos_iou": 0.5,
                "match_low_quality": False,
            },
            "sampler": {"type": "RandomSampler", "num": recipe.rois, "pos_fraction": 0.25, "add_gt_as_proposals": True},
            "mask_size": 28,
            "pos_weight": -1,
        },
    }


def _training_samples(recipe: MaskRCNNRecipe, net: SmallMaskRCNN) -> dict[str, Any]:
    side = recipe.crop_px
    load = [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True, "poly2mask": True},
        {
            "type": "RandomResize",
            "scale": (recipe.input_px, recipe.input_px),
            "ratio_range": (recipe.smallest, recipe.largest),
            "keep_ratio": True,
        },
        {"type": "RandomCrop", "crop_size": (side, side), "recompute_bbox": True, "allow_negative_crop": True},
        {"type": "RandomFlip", "prob": 0.5},
        {"type": "Pad", "size": (side, side), "pad_val": {"img": tuple(reversed(MEANS)), "masks": 0}},
    ]
    finish = [
        {"type": "PasteObjects", "share": recipe.paste},
        # keep_empty False keeps samples of which nothing is left: they are background, and None would end the run.
        {
            "type": "FilterAnnotations",
            "min_gt_bbox_wh": (4, 4),
            "by_mask": True,
            "min_gt_mask_area": 32,
            "keep_empty": False,
        },
        # Not PhotoMetricDistortion, which swaps channels: the frozen layers know what grass looks like.
        {"type": "YOLOXHSVRandomAug", "hue_delta": 5, "saturation_delta": 40, "value_delta": 40},
        {"type": "PackDetInputs"},
    ]
    photos = {
        "type": "CocoDataset",
        "ann_file": str(Path(recipe.out) / TRAIN_FILE),
        "data_prefix": {"img": ""},  # the file names are whole paths
        "metainfo": {"classes": net.classes},
        "filter_cfg": {"filter_empty_gt": True},
        "pipeline": load,
    }
    balanced = {"type": "ClassBalancedDataset", "oversample_thr": recipe.repeat_below, "dataset": photos}
    return {
        "dataset": {"type": "MultiImageMixDataset", "dataset": balanced, "pipeline": finish},
        "batch_size": recipe.batch,
        "num_workers": recipe.workers,
        "persistent_workers": recipe.workers > 0,
        "sampler": {"type": "EpochDraws", "samples": recipe.steps_per_epoch * recipe.batch},
        "collate_fn": {"type": "pseudo_collate"},
    }


def _validation_photos(recipe: MaskRCNNRecipe, net: SmallMaskRCNN) -> dict[str, Any]:
    return {
        "dataset": {
            "type": "CocoDataset",
            "ann_file": str(Path(recipe.out) / VALIDATION_FILE),
            "data_prefix": {"img": ""},  # the file names are whole paths
            "metainfo": {"classes": net.classes},
            "test_mode": True,
            "pipeline": test_steps(net),
        },
        "batch_size": 1,
        "num_workers": recipe.workers,
        "persistent_workers": recipe.workers > 0,
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "collate_fn": {"type": "pseudo_collate"},
    }
