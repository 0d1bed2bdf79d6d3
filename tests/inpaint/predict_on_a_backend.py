"""What a bundle predicts for the inputs in a folder: `python predict_on_a_backend.py FOLDER BACKEND`."""

import sys
from pathlib import Path

import keras
import numpy as np

from inpaint.pconv import PConvInpainter
from inpaint.pconv_unet import read_pconv
from inpaint.pull_push import PullPush


def predict(folder):
    inputs = np.load(folder / "inputs.npz")
    image, valid = inputs["image"], inputs["valid"]
    return {
        "odd": keras.ops.convert_to_numpy(PullPush()(image[:, :23, :41], valid[:, :23, :41])),
        "prediction": keras.ops.convert_to_numpy(read_pconv(folder / "net.npz")([image, valid], training=False)),
        "filled": PConvInpainter(weights=folder / "net.npz").inpaint(inputs["photo"], inputs["hole"]),
    }


if __name__ == "__main__":
    target, backend = Path(sys.argv[1]), sys.argv[2]
    if keras.backend.backend() != backend:
        sys.exit(f"asked for {backend}, Keras runs {keras.backend.backend()}")
    np.savez(target / f"{backend}.npz", **predict(target))
