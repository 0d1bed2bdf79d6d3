"""What `clickaway models` says: every segmenter, inpainter and weight file, and which of them are here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from inpaint import INPAINTERS
from segment import SEGMENTERS, small_mask_rcnn
from weights import BUNDLED_DIR, WEIGHTS, WeightSpec, cache_dir


@dataclass(frozen=True)
class WeightFile:
    """One weight file, as the list shows it."""

    name: str  # what to write behind --segmenter or --inpainter
    path: Path
    size_mib: float | None  # None: not published
    license: str
    trained_on: str
    metric: str

    @property
    def is_here(self) -> bool:
        return self.path.is_file()


def lines() -> Iterator[str]:
    """The list as text, line by line."""
    for title, registry in (("Segmenters (--segmenter)", SEGMENTERS), ("Inpainters (--inpainter)", INPAINTERS)):
        yield title
        for name, target in registry.items():
            yield f"  {name:<16}{_summary(target)}"
        yield ""
    yield "Weights"
    for file in weight_files():
        yield from _described(file)
    if find_spec("mmdet") is None:
        yield "  mask_rcnn needs mmdet, which is not installed: see CONTRIBUTING.md"
    else:
        yield "  mask_rcnn:MODEL takes every instance-segmentation model that mmdet publishes, or a config file"


def weight_files() -> Iterator[WeightFile]:
    """All weight files that have a name: this project's table, and a choice of mmdet's."""
    for spec in WEIGHTS.values():
        path = (BUNDLED_DIR if spec.url is None else cache_dir()) / spec.file
        yield WeightFile(_asked_for(spec), path, spec.size_mib, spec.license, spec.trained_on, spec.metric)
    if find_spec("mmdet") is None:
        return
    from segment.checkpoints import SUGGESTED_MODELS, published_models

    published = published_models()
    for name in SUGGESTED_MODELS:
        model = published[name]
        size = model.file.stat().st_size / 2**20 if model.file.is_file() else None
        metric = f"published: mask AP {model.mask_ap} on COCO val2017" if model.mask_ap else ""
        yield WeightFile(f"mask_rcnn:{name}", model.file, size, model.license, "COCO train2017", metric)


def _asked_for(spec: WeightSpec) -> str:
    """What to write behind --segmenter or --inpainter for those weights."""
    if spec.kind == "inpainter":
        return f"pconv:{spec.name}"
    if spec.name == small_mask_rcnn.BUNDLED:
        return f"mask_rcnn:{small_mask_rcnn.SHORT_NAME}"
    return spec.name  # a segmenter of its own


def _described(file: WeightFile) -> Iterator[str]:
    size = "size not published" if file.size_mib is None else f"{file.size_mib:.0f} MiB"
    yield f"  {file.name}"
    yield f"    {'here' if file.is_here else 'not here yet, fetched when first used'}: {file.path} ({size})"
    yield f"    trained on {file.trained_on}; {file.license}"
    if file.metric:
        yield f"    {file.metric}"


def _summary(target: str) -> str:
    """The first line of the class's docstring, read without importing what the class needs."""
    module, cls = target.split(":")
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return ""
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == cls:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""
