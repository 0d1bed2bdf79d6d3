"""What a run tells while it goes: progress, scalars and panels for TensorBoard, and the same as plain files."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inpaint.base import Image
from train_pconv.config import TrainConfig
from train_pconv.panel import write_png


class Report:
    """Writes RUN/scalars.jsonl, RUN/panels/epoch_NNN.png and RUN/tensorboard; prints progress.

    A terminal gets a bar, a file a line every log_every steps.
    """

    def __init__(self, out: Path, config: TrainConfig) -> None:
        from tensorboardX import SummaryWriter  # writes what TensorBoard reads, without TensorFlow

        self._out, self._config = out, config
        self._scalars = (out / "scalars.jsonl").open("a", encoding="utf-8")
        self._events = SummaryWriter(str(out / "tensorboard"))
        (out / "panels").mkdir(exist_ok=True)
        self._named_broken: set[str] = set()
        self._sums: dict[str, float] = {}
        self._count = self._total = 0
        self._lap = self._lap_waited = 0.0
        self._bar: Any = None

    def start(self, first_step: int, total_steps: int) -> None:
        """The clock starts here."""
        self._total = total_steps
        self._lap, self._lap_waited = time.perf_counter(), 0.0
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(initial=first_step, total=total_steps, unit="step", dynamic_ncols=True)

    def step(self, step: int, logs: Mapping[str, float], *, rate: float, waited_s: float) -> None:
        """Takes the scalars of one step; every log_every steps their means are written and shown."""
        for name, value in logs.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        if self._bar is not None:
            self._bar.update()
        if step % self._config.log_every and step != self._total:
            return
        now = time.perf_counter()
        lap_s = now - self._lap
        means = {name: total / self._count for name, total in self._sums.items()}
        means["rate"] = rate
        means["photos_per_second"] = self._count * self._config.batch / lap_s
        means["waiting_share"] = (waited_s - self._lap_waited) / lap_s
        self._write("train", step, means)
        text = (
            f"loss {means['loss']:.4f}  hole {means['hole']:.4f}  psnr_hole {means['psnr_hole']:.2f}  "
            f"{means['photos_per_second']:.1f} photos/s  waiting {100 * means['waiting_share']:.0f} %"
        )
        if self._bar is not None:
            self._bar.set_postfix_str(text)
        else:
            left = _clock(lap_s / self._count * (self._total - step))
            self.line(f"step {step}/{self._total}  {text}  {left} left")
        self._sums, self._count = {}, 0
        self._lap, self._lap_waited = now, waited_s

    def broken(self, why: Mapping[str, str]) -> None:
        """Names and counts the photos that turned out broken since the last call. why: name -> reason, all of them."""
        if len(why) == len(self._named_broken):
            return
        for name in [name for name in list(why) if name not in self._named_broken]:
            self._named_broken.add(name)
            self.line(f"broken photo {len(self._named_broken)}, skipped: {name} ({why[name]})")

    def validated(self, step: int, epoch: int, means: Mapping[str, float], panel: Image) -> None:
        """Writes the validation's scalars and its panel."""
        self._write("validation", step, means)
        write_png(self._out / "panels" / f"epoch_{epoch:03d}.png", panel)
        self._events.add_image("validation/masked_filled_true", panel, step, dataformats="HWC")
        self.line(
            f"epoch {epoch}  validation: loss {means['loss']:.4f}  psnr {means['psnr']:.2f}  "
            f"psnr_hole {means['psnr_hole']:.2f}  ssim {means['ssim']:.4f}"
        )
        # What validating took is no waiting for photos and no slow step.
        self._lap = time.perf_counter() if self._count == 0 else self._lap

    def line(self, text: str) -> None:
        """Prints a line at once, above the bar if there is one."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Closes the files."""
        if self._bar is not None:
            self._bar.close()
        self._scalars.close()
        self._events.close()

    def _write(self, kind: str, step: int, means: Mapping[str, float]) -> None:
        self._scalars.write(json.dumps({"kind": kind, "step": step, **means}) + "\n")
        self._scalars.flush()
        for name, value in means.items():
            self._events.add_scalar(f"{kind}/{name}", value, step)
        self._events.flush()


def _clock(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"
