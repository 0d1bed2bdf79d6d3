"""What a run tells while it goes: a line of progress, scalars for TensorBoard and as JSON lines, panels."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from inpaint.base import Image
from train_pconv.config import TrainConfig
from train_pconv.panel import write_png


class Report:
    """Writes RUN/scalars.jsonl and RUN/panels/epoch_NNN.png, and prints progress."""

    def __init__(self, out: Path, config: TrainConfig, *, photos: int, held_out: int) -> None:
        self._out, self._config = out, config
        self._scalars = (out / "scalars.jsonl").open("a", encoding="utf-8")
        (out / "panels").mkdir(exist_ok=True)
        self._named_broken: set[str] = set()
        self._first = self._total = 0
        self._sums: dict[str, float] = {}
        self._count = 0
        self.line(f"{photos} photos to train on, {held_out} held out")

    def start(self, first_step: int, total_steps: int) -> None:
        """The clock starts here."""
        self._first, self._total = first_step, total_steps
        self._started = self._lap = time.perf_counter()
        self._lap_waited = 0.0

    def step(
        self, step: int, logs: Mapping[str, float], *, rate: float, waited_s: float, broken: Mapping[str, str]
    ) -> None:
        """Takes the scalars of one step; every log_every steps their means are written and printed."""
        for name, value in logs.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        for name in sorted(broken.keys() - self._named_broken):
            self._named_broken.add(name)
            self.line(f"broken photo {len(self._named_broken)}, skipped: {name} ({broken[name]})")
        if step % self._config.log_every and step != self._total:
            return
        now = time.perf_counter()
        lap = now - self._lap
        means = {name: total / self._count for name, total in self._sums.items()}
        means |= {
            "rate": rate,
            "photos_per_second": self._count * self._config.batch / lap,
            "waiting_share": (waited_s - self._lap_waited) / lap,
        }
        self._write("train", step, means)
        left_s = lap / self._count * (self._total - step)
        self.line(
            f"step {step}/{self._total}  loss {means['loss']:.4f}  hole {means['hole']:.4f}  "
            f"style {means['style']:.5f}  psnr_hole {means['psnr_hole']:.2f}  "
            f"{means['photos_per_second']:.1f} photos/s  waiting {100 * means['waiting_share']:.0f} %  "
            f"{_clock(left_s)} left"
        )
        self._sums, self._count = {}, 0
        self._lap, self._lap_waited = now, waited_s

    def validated(self, step: int, epoch: int, means: Mapping[str, float], panel: Image) -> None:
        """Writes the validation's scalars and its panel."""
        self._write("validation", step, means)
        write_png(self._out / "panels" / f"epoch_{epoch:03d}.png", panel)
        self.line(
            f"epoch {epoch}  validation loss {means['loss']:.4f}  psnr {means['psnr']:.2f}  "
            f"psnr_hole {means['psnr_hole']:.2f}"
        )

    def line(self, text: str) -> None:
        """Prints a line at once, also into a file."""
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Closes the files."""
        self._scalars.close()

    def _write(self, kind: str, step: int, means: Mapping[str, float]) -> None:
        self._scalars.write(json.dumps({"kind": kind, "step": step, **means}) + "\n")
        self._scalars.flush()


def _clock(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"
