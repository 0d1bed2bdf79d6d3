"""`python -m benchmarks.mask_rcnn`: finding a photo's objects, beside plain mmdet with the same weights and photos.

Plain mmdet is `init_detector` and `inference_detector` as its own documentation calls them, with the config's score
threshold of 0.05; "at our threshold" is the same with the segmenter's 0.3, so that it makes masks for fewer objects.
All ways take turns in one process, one process for each net:

tiny: the net in tests/data, trained on drawn shapes, on drawn shapes: its instances are real.
r50: the published Mask R-CNN R50-FPN (ms-poly-3x) with RANDOM weights, for no public ones come with Clickaway, on a
photo that comes with scikit-image. The work is the published net's, as far as random weights call for it: its classes'
scores are spread until some tens of instances are found; those mean nothing, but can be compared.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measure

NETS = ("tiny", "r50")
PLAIN, AT_OURS, OURS = "plain mmdet", "plain mmdet, at our threshold", "Clickaway"
PHOTO_WH = ((640, 480), (4000, 3000))
THRESHOLD = 0.3
PACKAGES = ("mmdet", "mmcv", "torch", "numpy", "opencv-python")
TINY = Path(__file__).parent.parent / "tests" / "data" / "tiny_mask_rcnn.py"
SPREAD = 60.0  # times the random classes' scores, so that some of them are sure
LEAST_IOU, LEAST_RATIO = 0.98, 1.8  # the goals


def photo_of(net: str, size_wh: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 RGB."""
    import cv2

    if net == "tiny":
        from tools.shapes import draw_scene

        picture = draw_scene(7, 960, 6).image[:720]
    else:
        from skimage import data

        picture = data.astronaut()[:384]
    return np.asarray(cv2.resize(picture, size_wh, interpolation=cv2.INTER_CUBIC), np.uint8)


def files_of(net: str, folder: Path) -> tuple[Path, Path]:
    """The config and the checkpoint of a net; random weights are written into the folder."""
    if net == "tiny":
        return TINY, TINY.with_suffix(".pth")
    import torch
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from segment.checkpoints import DEFAULT_MODEL, published_models

    path = published_models()[DEFAULT_MODEL].config
    config = Config.fromfile(str(path))
    init_default_scope("mmdet")
    config.model.backbone.init_cfg = None
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    head = model.roi_head.bbox_head
    with torch.no_grad():
        head.fc_cls.weight *= SPREAD
    torch.save({"state_dict": model.state_dict(), "meta": {}}, folder / "r50.pth")
    return path, folder / "r50.pth"


def run_one(net: str, sizes_wh: Sequence[tuple[int, int]], budget_s: float) -> list[dict[str, Any]]:
    """For each photo size: seconds and CPU seconds of each way, peak memory, and how alike the instances are."""
    import torch
    from mmdet.apis import init_detector

    from segment.mask_rcnn import MaskRCNNSegmenter
    from segment.working_size import working_copy

    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        config, checkpoint = files_of(net, Path(folder))
        ours = MaskRCNNSegmenter(config, checkpoint, device="cpu", score_threshold=THRESHOLD)
        plain = init_detector(str(config), str(checkpoint), device="cpu")
        at_ours = init_detector(
            str(config), str(checkpoint), device="cpu", cfg_options={"model.test_cfg.rcnn.score_thr": THRESHOLD}
        )
    results = []
    for size_wh in sizes_wh:
        photo = photo_of(net, size_wh)
        bgr = np.ascontiguousarray(photo[:, :, ::-1])
        calls = {
            PLAIN: partial(_instances, plain, bgr),
            AT_OURS: partial(_instances, at_ours, bgr),
            OURS: partial(ours.encode, photo),
        }
        found, mib = {}, {}
        for name, call in calls.items():
            with measure.PeakMemory() as peak:
                found[name] = call()  # the first of its size, which may take longer
            mib[name] = None if peak.bytes is None else peak.bytes / 2**20
        timings = measure.least_in_turns(calls, budget_s=budget_s)
        alike = {"alike": compare(found[PLAIN], found[OURS], ours.classes), "alike_shrunk": None}
        if (shrunk := working_copy(photo)).shape != photo.shape:
            by_plain = _instances(plain, np.ascontiguousarray(shrunk[:, :, ::-1]))
            alike["alike_shrunk"] = compare(by_plain, ours.encode(shrunk), ours.classes)
        for name, timing in timings.items():
            at = {"net": net, "wh": size_wh, "way": name, "s": timing.seconds, "cpu_s": timing.cpu_seconds}
            results.append({**at, "mib": mib[name], **alike, "threads": torch.get_num_threads()})
    return results


def _instances(detector: Any, bgr: np.ndarray) -> Any:
    from mmdet.apis import inference_detector

    return inference_detector(detector, bgr).pred_instances


def compare(plain: Any, ours: Any, classes: Sequence[str]) -> dict[str, Any]:
    """How many instances of score 0.3 and above each found, of how many the other has one of the same label, and the
    least and the median IoU of masks between such pairs; instances without a pixel do not count.
    """
    overlaps, number = _paired(plain, ours, classes)
    counts = {"plain": number, "ours": len(ours), "paired": len(overlaps), "above_0.05": len(plain)}
    median = float(np.median(overlaps)) if overlaps else 0.0
    return {**counts, "iou": min(overlaps, default=0.0), "median_iou": median}


def _paired(plain: Any, ours: Any, classes: Sequence[str]) -> tuple[list[float], int]:
    """The IoU of each pair of one label, and how many instances of plain mmdet's were to be paired."""
    import cv2

    from segment.metrics import iou

    sure = plain[plain.scores >= THRESHOLD]
    left, overlaps, number = set(range(len(ours))), [], 0
    for mask, label in zip(sure.masks.numpy(), sure.labels.tolist(), strict=True):
        number += bool(mask.any())
        mask = cv2.resize(mask.astype(np.uint8), ours.image_hw[::-1], interpolation=cv2.INTER_LINEAR).astype(bool)
        same = [(iou(mask, ours.mask(i)), i) for i in left if ours.labels[i] == classes[label]]
        if mask.any() and same:
            best, index = max(same)
            left.remove(index)
            overlaps.append(best)
    return overlaps, number


def rows(results: Sequence[dict[str, Any]]) -> list[list[str]]:
    lines = []
    for at in results:
        beside = next(o for o in results if (o["net"], o["wh"], o["way"]) == (at["net"], at["wh"], PLAIN))
        memory = "-" if at["mib"] is None else f"{at['mib']:.0f}"
        ratios = f"{beside['s'] / at['s']:.2f}, {beside['cpu_s'] / at['cpu_s']:.2f}"
        size = "x".join(map(str, at["wh"]))
        lines.append([at["net"], size, at["way"], f"{at['s']:.3f}", f"{at['cpu_s']:.3f}", ratios, memory])
    return lines


def verdict(results: Sequence[dict[str, Any]]) -> str:
    """What became of the goals, a line for each net and photo size; the same instances are asked of the same pixels."""
    lines = []
    for at in (one for one in results if one["way"] == OURS):
        beside = next(o for o in results if (o["net"], o["wh"], o["way"]) == (at["net"], at["wh"], PLAIN))
        ratio, cpu_ratio = beside["s"] / at["s"], beside["cpu_s"] / at["cpu_s"]
        judged = at["alike_shrunk"] or at["alike"]
        same = judged["plain"] == judged["ours"] == judged["paired"] and judged["iou"] >= LEAST_IOU
        reached = ["reached" if is_reached else "not reached" for is_reached in (ratio >= LEAST_RATIO, same)]
        told = _told(at["alike"])
        if at["alike_shrunk"]:
            told += f". Both given the shrunk copy that the segmenter looks at: {_told(at['alike_shrunk'])}"
        lines.append(
            f"- {at['net']} {at['wh'][0]}x{at['wh'][1]}: {ratio:.2f} times plain mmdet by the clock, "
            f"{cpu_ratio:.2f} by CPU seconds (goal {LEAST_RATIO}: {reached[0]}). "
            f"{told} (goal {LEAST_IOU}: {reached[1]})"
        )
    return "\n".join(lines)


def _told(alike: dict[str, Any]) -> str:
    return (
        f"Plain mmdet finds {alike['plain']} instances of score {THRESHOLD} and above ({alike['above_0.05']} from 0.05 "
        f"on), Clickaway {alike['ours']}; {alike['paired']} pairs of one label, mask IoU {alike['iou']:.4f} at least, "
        f"{alike['median_iou']:.4f} in the middle"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mask_rcnn", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nets", default=",".join(NETS), metavar="NAMES", help="of %(default)s")
    sizes = ",".join(f"{width}x{height}" for width, height in PHOTO_WH)
    parser.add_argument("--sizes", default=sizes, metavar="WxH", help="of photos (default: %(default)s)")
    parser.add_argument("--budget", type=float, default=20.0, metavar="S", help="seconds for a net at a size")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where mask_rcnn.md and mask_rcnn.png go")
    parser.add_argument("--one", metavar="NAME", help=argparse.SUPPRESS)  # this process measures one and prints JSON
    options = parser.parse_args(arguments)
    sizes_wh = [measure.parsed_size(text) for text in options.sizes.split(",")]
    if options.one:
        print(json.dumps(run_one(options.one, sizes_wh, options.budget)))
        return 0
    if unknown := [name for name in options.nets.split(",") if name not in NETS]:
        parser.error(f"no net is called {unknown[0]!r}: choose of {', '.join(NETS)}")
    if missing := measure.not_installed("mmdet", "mmcv", "torch"):
        return measure.fail("mask_rcnn", f"{missing} is not installed: run `make install`")
    passed = [f"--sizes={options.sizes}", f"--budget={options.budget}"]
    results = []
    for name in options.nets.split(","):
        try:
            results += measure.in_own_process("benchmarks.mask_rcnn", [*passed, f"--one={name}"])
        except RuntimeError as error:
            return measure.fail("mask_rcnn", str(error))
    heads = ["net", "photo", "way", "s", "CPU s", "times faster than plain: clock, CPU", "peak MiB above the loaded"]
    command = measure.command_line("benchmarks.mask_rcnn", arguments)
    described = f"{measure.described(command, PACKAGES)}; {results[0]['threads']} threads"
    measure.write_report(
        options.out, "mask_rcnn", f"{described}\n\n{measure.markdown(heads, rows(results))}\n\n{verdict(results)}"
    )
    if options.out:
        curves: dict[str, dict[float, float]] = {}
        for at in results:
            megapixels = at["wh"][0] * at["wh"][1] / 1e6
            curves.setdefault(f"{at['net']}, {at['way']}", {})[megapixels] = at["s"]
        measure.plot(options.out, "mask_rcnn", curves, x="megapixels", y="seconds", title="Finding a photo's objects")
    return 0


if __name__ == "__main__":
    sys.exit(main())
