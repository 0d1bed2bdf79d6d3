"""Trains the Mask R-CNN of tests/data/ on drawn shapes, through mmdet and mmengine, in some CPU minutes.

    python -m tools.train_tiny_mask_rcnn            # writes tests/data/tiny_mask_rcnn.pth

It exists so that the tests can run the real detector path without a download; it is no model for photos.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch.utils.data import Dataset

from segment.mask_ops import box_xyxy
from tools.shapes import CLASSES, draw_scene

CONFIG = Path(__file__).parent.parent / "tests" / "data" / "tiny_mask_rcnn.py"
SIZE_PX = 192
FIRST_SEED = 1_000_000  # the tests draw with small seeds: scenes that were never learned from


class Shapes(Dataset):
    """Scenes without end, as mmdet's data preprocessor takes them."""

    def __init__(self, scenes: int):
        self.scenes = scenes

    def __len__(self) -> int:
        return self.scenes

    def __getitem__(self, index: int) -> dict[str, Any]:
        scene = draw_scene(FIRST_SEED + index, SIZE_PX)
        sample = DetDataSample(metainfo={"img_shape": (SIZE_PX,) * 2, "ori_shape": (SIZE_PX,) * 2, "img_id": index})
        sample.gt_instances = InstanceData(
            bboxes=HorizontalBoxes(torch.tensor([box_xyxy(mask) for mask in scene.masks], dtype=torch.float32)),
            labels=torch.tensor([CLASSES.index(label) for label in scene.labels]),
            masks=BitmapMasks([mask.astype(np.uint8) for mask in scene.masks], SIZE_PX, SIZE_PX),
        )
        return {"inputs": torch.from_numpy(scene.image.transpose(2, 0, 1).copy()), "data_samples": sample}


def train(steps: int, batch: int, seed: int, work_dir: str) -> torch.nn.Module:
    """The trained net."""
    config = Config.fromfile(CONFIG)
    config.model.data_preprocessor.bgr_to_rgb = False  # the scenes are RGB already
    warm_up = min(50, steps // 2)
    runner = Runner(
        model=config.model,
        work_dir=work_dir,
        train_dataloader={
            "dataset": Shapes(steps * batch),
            "batch_size": batch,
            "num_workers": 1,
            "persistent_workers": True,
            "sampler": {"type": "DefaultSampler", "shuffle": False},
            "collate_fn": {"type": "pseudo_collate"},
        },
        train_cfg={"type": "IterBasedTrainLoop", "max_iters": steps},
        optim_wrapper={
            "type": "OptimWrapper",
            "optimizer": {"type": "AdamW", "lr": 2e-3, "weight_decay": 1e-3},
            "clip_grad": {"max_norm": 5.0},
        },
        param_scheduler=[
            {"type": "LinearLR", "start_factor": 0.05, "by_epoch": False, "begin": 0, "end": warm_up},
            {"type": "CosineAnnealingLR", "by_epoch": False, "begin": warm_up, "end": steps, "eta_min": 1e-5},
        ],
        default_hooks={
            "logger": {"type": "LoggerHook", "interval": 50},
            "checkpoint": {"type": "CheckpointHook", "interval": steps, "by_epoch": False, "save_optimizer": False},
        },
        log_processor={"by_epoch": False},
        randomness={"seed": seed, "deterministic": True},
        default_scope="mmdet",
    )
    return runner.train()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=CONFIG.with_suffix(".pth"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work_dir:
        model = train(options.steps, options.batch, options.seed, work_dir)
    state = {
        name: value.half() if value.is_floating_point() else value for name, value in model.cpu().state_dict().items()
    }
    torch.save({"state_dict": state, "meta": {"dataset_meta": {"classes": CLASSES}}}, options.out)
    print(f"{options.out}: {options.out.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
