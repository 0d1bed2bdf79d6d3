"""Real photos that are installed with the packages, for visitors who have none at hand. Nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from PIL import Image as PillowImage
from PIL import ImageOps


@dataclass(frozen=True)
class Example:
    name: str
    path: Path


# package, file below it, name. The order is that of the page: the first row is what a phone shows.
_CANDIDATES = (
    ("skimage", "data/astronaut.png", "Astronaut"),
    ("gradio", "media_assets/images/cheetah.jpg", "Cheetah"),
    ("skimage", "data/chelsea.png", "Cat"),
    ("skimage", "data/motorcycle_left.png", "Motorcycle"),
    ("skimage", "data/coffee.png", "Coffee"),
    ("skimage", "data/rocket.jpg", "Rocket"),
    ("gradio", "media_assets/images/tower.jpg", "Tower"),
    ("gradio", "media_assets/images/lion.jpg", "Lion"),
)


def example_photos() -> list[Example]:
    """The photos of _CANDIDATES that are on this machine; packages are located, not imported."""
    found = []
    for package, file, name in _CANDIDATES:
        spec = find_spec(package)
        if spec and spec.origin and (path := Path(spec.origin).parent / file).is_file():
            found.append(Example(name, path))
    return found


def thumbnail(example: Example, size_px: int = 320) -> PillowImage.Image:
    """A square crop of the middle, size_px wide, RGB."""
    with PillowImage.open(example.path) as photo:
        return ImageOps.fit(photo.convert("RGB"), (size_px, size_px))
