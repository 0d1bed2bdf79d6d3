"""Finds, fetches and safely reads the files of an mmdet model: its config and its checkpoint."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from weights import WeightsError, cache_dir, check_sha256, named_file
from weights.download import download
from weights.frameworks import told_by_torch

DEFAULT_MODEL = "mask-rcnn_r50_fpn_ms-poly-3x_coco"
# What `clickaway models` shows of mmdet's 200 instance-segmentation models: the report's, and better ones by size.
SUGGESTED_MODELS = (DEFAULT_MODEL, "rtmdet-ins-t", "rtmdet-ins-s", "rtmdet-ins-m", "rtmdet-ins-l", "rtmdet-ins-x")

# What training leaves in a checkpoint beside the weights, as pickle names it. None of it is needed, so each name stands
# for _Discarded, and the classes and functions themselves are never called. getattr is how a HistoryBuffer's statistics
# methods are pickled; NumPy moved `core` to `_core` in 2.0.
_DISCARDED_NAMES = (
    "builtins.getattr",
    "mmengine.logging.history_buffer.HistoryBuffer",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "numpy.ndarray",
)


class _Discarded:
    """Stands where something was that is not needed: takes whatever it is given and forgets it."""

    def __new__(cls, *_: Any) -> _Discarded:
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


@dataclass(frozen=True)
class PublishedModel:
    """An instance-segmentation model of mmdet's own list."""

    names: tuple[str, ...]  # the config's, the list's (often an older one), and short ones
    config: Path
    url: str
    mask_ap: float | None  # on COCO val2017 or what it was trained on, as published
    license: str = "Apache-2.0 (mmdet)"

    @property
    def file(self) -> Path:
        """Where the checkpoint is, or will be when it has been fetched."""
        return cache_dir() / self.url.rpartition("/")[2]


@dataclass(frozen=True)
class ModelFiles:
    """A model's two files on this machine. Without a url the checkpoint is there already."""

    name: str
    config: Path
    checkpoint: Path
    url: str | None = None


@dataclass(frozen=True)
class Checkpoint:
    """What is wanted of a checkpoint: the weights and the names of the classes."""

    state_dict: dict[str, Any]  # variable -> torch.Tensor on the CPU
    classes: tuple[str, ...] | None  # None: the file names none


def published_models() -> dict[str, PublishedModel]:
    """The instance-segmentation models whose checkpoints mmdet publishes, under each of their names.

    Raises ImportError if mmdet is not installed. Nothing of mmdet is imported: its lists are read.
    """
    return _read_metafiles(_mmdet_folder())


def find(model: str | Path = DEFAULT_MODEL, checkpoint: str | Path | None = None) -> ModelFiles:
    """The files of a model; the checkpoint need not be here yet if mmdet publishes it.

    model: a name of published_models(), or the path of a config file (NAME.py; a config is code and is run).
    checkpoint: its weights; None takes the published ones, or for a config file the NAME.pth beside it.
    Raises ValueError for an unknown name, WeightsError for a file that is not here, ImportError without mmdet.
    """
    published = None
    given = named_file(checkpoint) if checkpoint is not None else None
    if Path(model).suffix == ".py":
        config = named_file(model)
        if not config.is_file():
            raise WeightsError(f"there is no config file {config}: give the path of one, or the name of a model")
        name, path = config.stem, given or config.with_suffix(".pth")
    else:
        models = published_models()
        published = models.get(str(model))
        if published is None:
            near = difflib.get_close_matches(str(model), models, n=3, cutoff=0.5)
            fix = f"did you mean {' or '.join(near)}?" if near else f"for example {DEFAULT_MODEL}"
            raise ValueError(f"mmdet publishes no instance-segmentation model called {str(model)!r}: {fix}")
        name, config = str(model), published.config
        if given is None:
            return ModelFiles(name, config, published.file, published.url)
        path = given
    if not path.is_file():
        raise WeightsError(f"the checkpoint {path} of {name} is not here: put it there, or give the path of another")
    return ModelFiles(name, config, path)


def fetch(files: ModelFiles, *, offline: bool | None = None) -> Path:
    """The model's checkpoint, downloaded first if it is not here, checked if its name ends in its sha256.

    Raises WeightsError if it cannot be had or is not what it should be.
    """
    sha256 = _sha256_in(files.checkpoint.name)
    if files.checkpoint.is_file():
        if sha256:
            check_sha256(files.checkpoint, sha256)
        return files.checkpoint
    if files.url is None or sha256 is None:
        raise WeightsError(f"{files.checkpoint} is not here, and its address or sha256 is not known: put it there")
    return download(files.url, files.checkpoint, sha256=sha256, offline=offline)


def load(path: Path) -> Checkpoint:
    """The weights and class names of a checkpoint of mmdet 2 or 3. No code in the file is run.

    torch's weights_only reader knows tensors and plain containers; what else training leaves there is discarded, and
    anything not known is refused.
    Raises WeightsError, in one line, if the file is damaged, is no checkpoint, or holds anything that could run.
    """
    import torch

    try:
        with torch.serialization.safe_globals([(_Discarded, name) for name in _DISCARDED_NAMES]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail anywhere in the reader, with any exception
        if unknown := re.search(r"GLOBAL ([\w.]+) (?:was not an allowed|whose module)", str(error)):
            raise WeightsError(
                f"{path} was refused: it holds {unknown[1]}, which weights have no need of and which could run code; "
                f"get the checkpoint from where it was published"
            ) from error
        raise WeightsError(f"{path} is no whole checkpoint ({told_by_torch(error)}): fetch it again") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"{path} holds no state_dict of tensors: it is no checkpoint of an mmdet model")
    # Nets that were trained on several GPUs are saved in a wrapper of this name.
    state = {name.removeprefix("module."): value for name, value in state.items()}
    return Checkpoint(state, _class_names(content.get("meta")))


def _class_names(meta: Any) -> tuple[str, ...] | None:
    """mmdet 3 has meta["dataset_meta"]["classes"] (or CLASSES), mmdet 2 has meta["CLASSES"]."""
    if not isinstance(meta, dict):
        return None
    dataset_meta = meta.get("dataset_meta")
    for place in (dataset_meta if isinstance(dataset_meta, dict) else {}, meta):
        names = place.get("classes", place.get("CLASSES"))
        if isinstance(names, str):
            names = (names,)
        if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
            return tuple(names)
    return None


def _mmdet_folder() -> Path:
    """Where mmdet's wheel keeps its configs. Looks mmdet up without importing it, which takes seconds."""
    spec = find_spec("mmdet")
    folder = Path(spec.origin).parent / ".mim" if spec and spec.origin else None
    if folder is None or not folder.is_dir():
        raise ImportError("mmdet is not installed in this environment: run `make install`")
    return folder


@lru_cache(maxsize=1)
def _read_metafiles(folder: Path) -> dict[str, PublishedModel]:
    """Every published instance-segmentation model under each of its names. 0.2 s for 86 files, once."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster where libyaml is there
    models: dict[str, PublishedModel] = {}
    for path in sorted(folder.glob("configs/*/metafile.yml")):
        listed = yaml.load(path.read_text(encoding="utf-8"), loader)
        for entry in (listed.get("Models") if isinstance(listed, dict) else listed) or ():
            tasks = {result["Task"]: result.get("Metrics") or {} for result in entry.get("Results") or ()}
            config = folder / unquote(entry.get("Config") or "")
            if "Instance Segmentation" not in tasks or not entry.get("Weights") or not config.is_file():
                continue
            alias = entry.get("Alias") or ()
            names = (config.stem, entry["Name"], *([alias] if isinstance(alias, str) else alias))
            model = PublishedModel(
                tuple(dict.fromkeys(names)), config, entry["Weights"], tasks["Instance Segmentation"].get("mask AP")
            )
            for name in model.names:
                models.setdefault(name, model)
    return models


def _sha256_in(file_name: str) -> str | None:
    """The first digits of the sha256 that published files carry at the end of their names."""
    match = re.search(r"-([0-9a-f]{8,64})\.pth$", file_name)
    return match[1] if match else None
