"""Draws docs/clickaway.png, the README's picture, from a photo that scikit-image installs: before, selected, after."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import skimage.data

from demo.overlay import over, selection_layer
from inpaint import load_inpainter
from pipeline.edit import erase
from segment import Click, load_segmenter

CLICKS = (Click(322, 250), Click(322, 140))
GAP_PX = 12


def main() -> None:
    photo = skimage.data.rocket()
    segmenter = load_segmenter("grabcut")  # not auto: the picture must not depend on what is in the cache folder
    best = segmenter.select(segmenter.encode(photo), CLICKS)[0]
    selected = over(photo, selection_layer(photo.shape[:2], best.mask, clicks=CLICKS))
    gone = erase(photo, best.mask, load_inpainter("auto"))
    gap = np.full((photo.shape[0], GAP_PX, 3), 255, np.uint8)
    picture = np.hstack([photo, gap, selected, gap, gone])
    target = Path(__file__).resolve().parent.parent / "docs" / "clickaway.png"
    small = cv2.resize(picture, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(target), cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
