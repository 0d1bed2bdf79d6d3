"""Which weights exist, where they are, and how they get here. Knows files and checksums, no framework."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

BUNDLED_DIR = Path(__file__).with_name("files")


class WeightsError(RuntimeError):
    """A weight file is missing, damaged or not what it says. The message names the file and the fix."""


@dataclass(frozen=True)
class WeightSpec:
    """One weight file: what it is, where it comes from, how to know that it is whole."""

    name: str
    kind: str  # "inpainter" or "segmenter"
    file: str  # the file's name, below BUNDLED_DIR or the cache folder
    sha256: str  # hex: the whole digest, or the first 8 or more digits where only those are published
    size_mib: float
    license: str
    trained_on: str
    metric: str  # measured figure and on what, or the published one
    url: str | None = None  # None: bundled in this repository
    onnx_sha256: Mapping[str, str] = field(
        default_factory=dict
    )  # of the .onnx files beside it, by part; "": of all of it


# The public checkpoints of mmdet are not listed here: mmdet's own metafiles name them (segment/checkpoints.py).
WEIGHTS: dict[str, WeightSpec] = {
    spec.name: spec
    for spec in (
        WeightSpec(
            name="clicknet",
            kind="segmenter",
            file="clicknet.npz",
            sha256="2a3d3b41e922a73c2eee6f75c1e3747e85144f46d93deee66bdb310f177ceda4",
            size_mib=4.1,
            license="for research and evaluation, as most of the photos it was trained on",
            trained_on="5,342 photos with object masks of seven public sets",
            metric="266 held-out photos, mean IoU at 1 and 3 clicks 75.4 % and 85.2 %, IoU@0.7 71.1 % and 86.5 %",
            onnx_sha256={
                "encoder": "dd960f32161fce8cd45dd9304840cb1f104ba75248ad7dd72b41c834fe4df6de",
                "head": "41fe717d601f7971c08619fcc9b45f3d22ed6e63b16fc1aba4f005ee0c1859f0",
            },
        ),
        WeightSpec(
            name="mask_rcnn_small",
            kind="segmenter",
            file="mask_rcnn_small.npz",
            sha256="83806b6814f11ca07e41d9af9c77fe984e0dfc339c7f3c31b650fb318adaedda",
            size_mib=5.5,
            license="for research and evaluation, as most of the photos it was trained on",
            trained_on="4,507 photos with object masks of six public sets, 18 of COCO's classes",
            metric="mask AP50 on 219 held-out photos: people 0.630, twelve classes 0.396, all eighteen 0.308",
        ),
        WeightSpec(
            name="subject",
            kind="segmenter",
            file="subject.npz",
            sha256="2629e90df17a802287be9de6a7ef8fd84d239f78a22705226d1b47e6e5077445",
            size_mib=5.5,
            license="for research and evaluation, as most of the photos it was trained on",
            trained_on="4,004 photos with object masks of five public sets",
            metric="mean IoU on held-out photos: subjects 0.807 (120), people 0.806 (122), ExtractNet rule 0.741 (33)",
            onnx_sha256={
                "": "3f8a319828db6feeea8f1f79c68b4173b0de8b7ebd10e58a8728d37d440740f9",
            },
        ),
        WeightSpec(
            name="pconv-small",
            kind="inpainter",
            file="pconv-small.npz",
            sha256="5a725615cc7d35d4563186bcf9ea6ffc8cb7ac6f7eb47ef7f7da85e6379b3a71",
            size_mib=7.6,
            license="for research and evaluation, as many of the photos it was trained on",
            trained_on="8,894 photos of 20 public sets, at 32, 64 and 96 px",
            metric="PSNR in holes of 5-30 %, 40 unseen photos: 18.34 dB at 256 px (Telea 17.12), 18.50 at 512 (17.26)",
            onnx_sha256={
                "": "8af9c09100160838ad1553c508ad5fe04263a9e95652d6b2659e9e9e97d3ca3b",
            },
        ),
        WeightSpec(
            name="pconv-places2-256",
            kind="inpainter",
            file="pconv_256x256_stage2_4x2_places_20200619-1ffed0e8.pth",
            sha256="1ffed0e8",
            size_mib=134.0,
            license="Apache-2.0 (MMagic); trained on Places2, whose terms are for research",
            trained_on="Places365-Challenge, 256 px",
            metric="published: PSNR 22.762, SSIM 0.801 on Places365-val, holes 0.15-0.65",
            url="https://download.openmmlab.com/mmediting/inpainting/pconv/"
            "pconv_256x256_stage2_4x2_places_20200619-1ffed0e8.pth",
        ),
    )
}


def cache_dir() -> Path:
    """Where downloaded weights are kept: $CLICKAWAY_WEIGHTS, else clickaway/weights in the user's cache folder."""
    if folder := os.environ.get("CLICKAWAY_WEIGHTS"):
        return named_file(folder)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "clickaway" / "weights"


def named_file(name: str | Path) -> Path:
    """The file that a person has named, "~" being his folder; as it stands where there is no such user."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def locate(spec: WeightSpec) -> Path | None:
    """The file of that spec on this machine, or None. Nothing is downloaded and nothing is read."""
    path = (BUNDLED_DIR if spec.url is None else cache_dir()) / spec.file
    return path if path.is_file() else None


def sha256_of(path: Path) -> str:
    """The file's sha256 in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, sha256: str) -> None:
    """Raises WeightsError unless the file's digest begins with sha256 (hex, 8 digits or more)."""
    digest = sha256_of(path)
    if len(sha256) < 8 or not digest.startswith(sha256.lower()):
        raise WeightsError(
            f"{path} is damaged or another file: its sha256 begins {digest[: max(8, len(sha256))]}, "
            f"expected {sha256}; delete it and fetch it again"
        )


def fetch(spec: WeightSpec, *, offline: bool | None = None) -> Path:
    """The checked file of that spec, downloaded first if it is not here yet.

    offline: True never opens a connection; None asks the environment (CLICKAWAY_OFFLINE).
    Raises WeightsError if the file is not here and cannot be had, or is not what it should be.
    """
    path = locate(spec)
    if path is None:
        if spec.url is None:
            raise WeightsError(f"{BUNDLED_DIR / spec.file} is missing: it ships with Clickaway, install it again")
        from weights.download import download  # requests is not needed where the file is already here

        path = download(spec.url, cache_dir() / spec.file, sha256=spec.sha256, offline=offline)
    else:
        check_sha256(path, spec.sha256)
    return path


__all__ = [
    "BUNDLED_DIR",
    "WEIGHTS",
    "WeightSpec",
    "WeightsError",
    "cache_dir",
    "check_sha256",
    "fetch",
    "locate",
    "named_file",
    "sha256_of",
]
