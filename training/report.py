"""What a run tells while it goes: progress, scalars and panels for TensorBoard, and the same as plain files."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from training.checkpoint import write_whole


@dataclass(frozen=True)
class Shown:
    """Which scalars are printed while a run goes, and how: name -> format. panel: the pictures' name in TensorBoard."""

    training: Mapping[str, str]
    validation: Mapping[str, str]
    panel: str


class Report:
    """Writes RUN/scalars.jsonl, RUN/panels/epoch_NNN.png and RUN/tensorboard; prints progress.

    A terminal gets a bar, a file a line every log_every steps.
    """

    def __init__(self, out: Path, *, batch: int, log_every: int, shown: Shown) -> None:
        from tensorboardX import SummaryWriter  # writes what TensorBoard reads, without TensorFlow

        self._out, self._batch, self._log_every, self._shown = out, batch, log_every, shown
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
        if step % self._log_every and step != self._total:
            return
        now = time.perf_counter()
        lap_s = now - self._lap
        means = {name: total / self._count for name, total in self._sums.items()}
        means["rate"] = rate
        means["photos_per_second"] = self._count * self._batch / lap_s
        means["waiting_share"] = (waited_s - self._lap_waited) / lap_s
        self._write("train", step, means)
        text = f"{_line(means, self._shown.training)}  {means['photos_per_second']:.1f} photos/s"
        text += f"  waiting {100 * means['waiting_share']:.0f} %"
        if self._bar is not None:
            self._bar.set_postfix_str(text)
        else:
            left = _clock(lap_s / self._count * (self._total - step))
            self.line(f"step {step}/{self._total}  {text}  {left} left")
        self._sums, self._count = {}, 0
        self._lap, self._lap_waited = now, waited_s

    def broken(self, why: Mapping[str, str]) -> None:
        """Names and counts the files that turned out broken since the last call. why: name -> reason, all of them."""
        if len(why) == len(self._named_broken):
            return
        for name in [name for name in list(why) if name not in self._named_broken]:
            self._named_broken.add(name)
            self.line(f"broken file {len(self._named_broken)}, skipped: {name} ({why[name]})")

    def validated(self, step: int, epoch: int, means: Mapping[str, float], panel: NDArray[np.uint8]) -> None:
        """Writes the validation's scalars and its panel."""
        self._write("validation", step, means)
        file = self._out / "panels" / f"epoch_{epoch:03d}.png"
        write_whole(file, lambda stream: PillowImage.fromarray(panel).save(stream, "PNG"))
        self._events.add_image(f"validation/{self._shown.panel}", panel, step, dataformats="HWC")
        self.line(f"epoch {epoch}  validation: {_line(means, self._shown.validation)}")
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


def _line(means: Mapping[str, float], shown: Mapping[str, str]) -> str:
    return "  ".join(f"{name} {means[name]:{how}}" for name, how in shown.items() if name in means)
