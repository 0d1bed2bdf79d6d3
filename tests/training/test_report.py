"""What a run tells: TensorBoard reads it, and so does a person without TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from training.report import Report, Shown

tf = pytest.importorskip("tensorflow")


def test_tensorboard_and_the_plain_files_hold_the_same_scalars_and_panel(tmp_path: Path) -> None:
    shown = Shown(training={"loss": ".4f"}, validation={"loss": ".4f", "psnr": ".2f"}, panel="masked_filled_true")
    report = Report(tmp_path, batch=2, log_every=1, shown=shown)
    panel = np.full((6, 5, 3), 9, np.uint8)
    means = {"loss": 1.5, "psnr": 20.25, "psnr_hole": 18.5, "ssim": 0.5}
    report.validated(3, 1, means, panel)
    report.close()

    (file,) = (tmp_path / "tensorboard").iterdir()
    values = [(e.step, v) for e in tf.compat.v1.train.summary_iterator(str(file)) for v in e.summary.value]
    scalars = {v.tag: v.simple_value for _, v in values if v.HasField("simple_value")}
    assert scalars == {f"validation/{name}": value for name, value in means.items()}
    (picture,) = [v.image for _, v in values if v.HasField("image")]
    np.testing.assert_array_equal(tf.io.decode_png(picture.encoded_image_string).numpy(), panel)
    assert {step for step, _ in values} == {3}
    assert json.loads((tmp_path / "scalars.jsonl").read_text()) == {"kind": "validation", "step": 3, **means}
    assert (tmp_path / "panels" / "epoch_001.png").is_file()
