"""`python -m tools.compile_loops`: one erase of noise, so that numba has compiled and kept what the first one needs.

Six seconds of an installation, in place of six seconds of somebody's first photo.
"""

from __future__ import annotations

import numpy as np

from inpaint import load_inpainter
from pipeline.edit import erase


def main() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    hole = np.zeros(photo.shape[:2], bool)
    hole[90:160, 90:160] = True
    erase(photo, hole, load_inpainter("auto"))


if __name__ == "__main__":
    main()
