"""What `python -m train_segment mask-rcnn` trains, with the values that it starts from."""

from __future__ import annotations

from dataclasses import dataclass

from training.options import check_counts, option
from training.schedule import DECAYS


@dataclass(frozen=True)
class MaskRCNNRecipe:
    """Mask R-CNN, small: every object of the classes, with its name; SqueezeNet 1.1 features, a pyramid, two stages."""

    # data
    data: tuple[str, ...] = option((), "folders of photos with label PNGs (images/ and masks/)")
    manifest: str = option("", "a CSV with the classes of the objects")
    out: str = option("", "the run's folder: annotations, checkpoints, bundles, logs")
    exclude: tuple[str, ...] = option(
        ("bsds500/*", "camvid/*", "labelme_objects/*"), "photos that are left out", metavar="PATTERN"
    )
    partly_labelled: tuple[str, ...] = option(
        ("coco_person/*", "pennfudan/*", "human_seg/*", "ccp_people/*"),
        "photos in which objects of the classes may be unlabelled",
        metavar="PATTERN",
    )
    min_objects: int = option(30, "classes with fewer objects to train on are left out")
    validation_fraction: float = option(0.05, "share of the photos kept out of training, chosen by a hash of the name")

    # net
    encoder_weights: str = option("", "SqueezeNet 1.1's ImageNet weights (.npz) to start from")
    start_from: str = option("", "a bundle of this net whose weights it starts with")
    input_px: int = option(384, "longer side of a photo as the net sees it")
    finest: int = option(8, "stride of the finest features: 8, or 4 for smaller objects at twice the time")
    channels: int = option(96, "of the feature pyramid")
    hidden: int = option(256, "of the box head")
    mask_convs: int = option(3, "convolutions of the mask head")
    proposals: int = option(200, "boxes that go from the first stage to the second")
    rois: int = option(96, "of which so many a photo are learned from")

    # samples
    crop_px: int = option(320, "side of the square that is cut out of a resized photo")
    smallest: float = option(0.6, "photos are resized to at least so many times input-px")
    largest: float = option(1.5, "and at most so many times")
    paste: float = option(0.3, "share of samples onto which objects of another photo are pasted")
    repeat_below: float = option(0.1, "photos of classes that are in a smaller share of all photos are repeated")

    # schedule
    batch: int = option(8, "samples a step")
    epochs: int = option(60, "epochs; a checkpoint is written after each")
    steps_per_epoch: int = option(250, "steps of an epoch")
    validate_every: int = option(4, "epochs between two validations")
    rate: float = option(1e-3, "learning rate of AdamW")
    encoder_rate: float = option(1 / 15, "factor on the rate of SqueezeNet, which knows ImageNet already")
    weight_decay: float = option(1e-2, "decoupled weight decay, not of norms and biases")
    decay: str = option("cosine", "how the rate falls", DECAYS)
    warmup_steps: int = option(300, "steps over which the rate grows from 0")
    clip_norm: float = option(5.0, "bound of the gradient's norm")
    ema: float = option(0.999, "decay of the running mean of the weights that is validated and exported")
    seed: int = option(0, "of the samples and of the new layers")

    # running
    workers: int = option(1, "processes that make samples; 0: none but the trainer")
    log_every: int = option(25, "steps between two lines")

    def check(self) -> None:
        """Raises ValueError for values that cannot work, with the fix."""
        if not self.data or not self.manifest:
            raise ValueError("no photos with classes: give --data FOLDER and --manifest FILE")
        if not self.out:
            raise ValueError("no place for the run: give --out FOLDER")
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"--validation-fraction must be between 0 and 1, got {self.validation_fraction}")
        if not 0 < self.ema < 1 or not 0 <= self.paste <= 1 or not 0 < self.smallest <= self.largest:
            raise ValueError("--ema and --paste are shares, 0 to 1, and --smallest is no more than --largest")
        if self.crop_px < 64 or self.crop_px % 32:
            raise ValueError(f"--crop-px must be a multiple of 32, 64 or more, got {self.crop_px}")
        if self.rate <= 0 or self.clip_norm <= 0:
            raise ValueError("--rate and --clip-norm must be above 0")
        counted = ("min_objects", "batch", "epochs", "steps_per_epoch", "validate_every", "rois", "log_every")
        check_counts(self, counted)
