"""Finding and reading mmdet's files: public checkpoints load, and nothing in any file is run."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from segment import checkpoints
from segment.checkpoints import DEFAULT_MODEL, ModelFiles, fetch, find, load, published_models
from weights import WeightsError

torch = pytest.importorskip("torch")
pytest.importorskip("mmdet")

CLASSES = ("cat", "dog")


def net() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))


def trained_by_mmengine(folder: Path) -> Path:
    """A checkpoint that mmengine's own Runner wrote: HistoryBuffers, optimizer and scheduler state, dataset_meta."""
    from mmengine.model import BaseModel
    from mmengine.runner import Runner

    class Toy(BaseModel):
        def __init__(self) -> None:
            super().__init__()
            self.layers = net()

        def forward(self, inputs: list[torch.Tensor], mode: str = "tensor") -> dict[str, torch.Tensor]:
            return {"loss": self.layers(torch.stack(inputs)).square().mean()}

    class Data(torch.utils.data.Dataset):
        metainfo = {"classes": CLASSES, "palette": [(1, 2, 3), (4, 5, 6)], "mean_size": np.float64(31.5)}  # noqa: RUF012

        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            return {"inputs": torch.ones(3, 8, 8)}

    Runner(
        model=Toy(),
        work_dir=str(folder),
        train_dataloader={"dataset": Data(), "batch_size": 1, "sampler": {"type": "DefaultSampler", "shuffle": False}},
        train_cfg={"by_epoch": True, "max_epochs": 1},
        optim_wrapper={"optimizer": {"type": "AdamW", "lr": 0.01}},
        param_scheduler={"type": "MultiStepLR", "milestones": [1]},
        default_hooks={"logger": {"type": "LoggerHook", "interval": 1}, "checkpoint": {"type": "CheckpointHook"}},
        experiment_name=folder.name,
        log_level="ERROR",
    ).train()
    return folder / "epoch_1.pth"


@pytest.fixture(scope="module")
def of_mmdet_3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_by_mmengine(tmp_path_factory.mktemp("mmdet-3"))


def test_checkpoint_of_mmdet_3_loads_with_all_that_training_left_in_it(of_mmdet_3: Path) -> None:
    raw = torch.load(of_mmdet_3, weights_only=False)
    assert type(raw["message_hub"]["log_scalars"]["train/loss"]).__name__ == "HistoryBuffer"
    assert raw["optimizer"]["state"]
    assert raw["param_schedulers"]
    loaded = load(of_mmdet_3)
    assert loaded.classes == CLASSES
    assert loaded.state_dict.keys() == raw["state_dict"].keys()
    assert all(torch.equal(value, raw["state_dict"][name]) for name, value in loaded.state_dict.items())


def test_torch_alone_refuses_that_checkpoint(of_mmdet_3: Path) -> None:
    # Why segment.checkpoints has a reader of its own. The day this fails, it may be simplified.
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(of_mmdet_3, weights_only=True)


@pytest.mark.parametrize(
    ("zipped", "numpy_core"),
    [(True, b"numpy._core"), (False, b"numpy._core"), (False, b"numpy.core")],
    ids=["zip", "before-torch-1.6", "before-numpy-2"],
)
def test_checkpoint_of_mmdet_2_loads_in_both_file_formats(tmp_path: Path, zipped: bool, numpy_core: bytes) -> None:
    # mmdet publishes in the format of torch before 1.6, and its older files were written with NumPy 1.
    layers = net()
    optimizer = torch.optim.SGD(layers.parameters(), lr=0.1, momentum=0.9)
    layers(torch.ones(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    content = {
        "meta": {
            "CLASSES": CLASSES,
            "epoch": 36,
            "iter": np.int64(263880),
            "config": "model = dict(type='MaskRCNN')",
            "hook_msgs": {"best_score": np.float32(0.371), "curve": np.arange(3.0)},
        },
        "state_dict": {f"module.{name}": value for name, value in layers.state_dict().items()},
        "optimizer": optimizer.state_dict(),
    }
    path = tmp_path / "old.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert b"numpy._core" in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(b"numpy._core", numpy_core))
    loaded = load(path)
    assert loaded.classes == CLASSES
    assert loaded.state_dict.keys() == layers.state_dict().keys()
    assert torch.equal(loaded.state_dict["0.weight"], layers.state_dict()["0.weight"])


@pytest.mark.parametrize(
    "meta",
    [
        {"dataset_meta": {"classes": CLASSES}},
        {"dataset_meta": {"CLASSES": list(CLASSES), "PALETTE": None}},
        {"CLASSES": CLASSES},
        {"dataset_meta": {"classes": CLASSES}, "CLASSES": ("older", "names")},
    ],
)
def test_class_names_are_read_in_every_place_mmdet_has_kept_them(tmp_path: Path, meta: dict) -> None:
    torch.save({"meta": meta, "state_dict": net().state_dict()}, tmp_path / "a.pth")
    assert load(tmp_path / "a.pth").classes == CLASSES


@pytest.mark.parametrize("meta", [None, {}, {"CLASSES": None}, {"dataset_meta": None}, {"CLASSES": (1, 2)}])
def test_checkpoint_without_class_names_says_so(tmp_path: Path, meta: dict | None) -> None:
    torch.save({"meta": meta, "state_dict": net().state_dict()}, tmp_path / "a.pth")
    assert load(tmp_path / "a.pth").classes is None


def test_bare_state_dict_loads(tmp_path: Path) -> None:
    torch.save(net().state_dict(), tmp_path / "a.pth")
    assert "0.weight" in load(tmp_path / "a.pth").state_dict


class Calls:
    """Pickled, it is a call of that function with those arguments."""

    def __init__(self, function: object, *args: object):
        self.call = function, args

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call


def attacks(marker: Path) -> dict[str, object]:
    from mmengine.logging.history_buffer import HistoryBuffer

    command = f"touch {marker}"
    return {
        "os.system": Calls(os.system, command),
        "eval": Calls(eval, f"__import__('os').system('{command}')"),
        "exec": Calls(exec, f"open({str(marker)!r}, 'w')"),
        "open": Calls(open, str(marker), "w"),
        "import": Calls(__import__, "os"),
        "a method reached by getattr": Calls(HistoryBuffer.register_statistics, Calls(os.system, command)),
        "an unknown class": SimpleNamespace(a=1),
    }


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before-torch-1.6"])
@pytest.mark.parametrize("attack", attacks(Path("unused")))
@pytest.mark.parametrize("place", ["state_dict", "meta", "message_hub"])
def test_file_that_would_run_code_is_refused_and_runs_nothing(
    tmp_path: Path, attack: str, place: str, zipped: bool
) -> None:
    marker, path = tmp_path / "was-run", tmp_path / "bad.pth"
    content: dict[str, dict] = {"state_dict": dict(net().state_dict()), "meta": {"CLASSES": CLASSES}, "message_hub": {}}
    content[place]["bad"] = attacks(marker)[attack]
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError) as caught:
        load(path)
    assert not marker.exists()
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert "weights_only" not in str(caught.value)  # torch's advice to switch the checks off is not passed on


def test_refusal_names_what_the_file_would_have_run(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": Calls(os.system, "true")}}, tmp_path / "bad.pth")
    with pytest.raises(WeightsError, match=r"it holds (posix|nt)\.system"):
        load(tmp_path / "bad.pth")


def test_attacks_would_run_without_the_reader(tmp_path: Path) -> None:
    # Or the tests above would prove nothing.
    marker = tmp_path / "was-run"
    for attack in ("os.system", "eval", "exec", "open"):
        torch.save({"a": attacks(marker)[attack]}, tmp_path / "bad.pth")
        torch.load(tmp_path / "bad.pth", weights_only=False)
        assert marker.exists(), attack
        marker.unlink()


@pytest.mark.parametrize("content", [b"", b"PK\3\4 not really", b"<html></html>", bytes(1000)])
def test_file_that_is_no_checkpoint_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="fetch it again") as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_checkpoint_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.pth"
    torch.save({"state_dict": net().state_dict()}, path)
    whole = path.read_bytes()
    for length in range(1, len(whole), len(whole) // 20):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError):
            load(path)


@pytest.mark.parametrize("content", [[1, 2], {}, {"state_dict": {}}, {"state_dict": {"a": 1}}, {"epoch": 3}])
def test_file_without_weights_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="no state_dict"):
        load(tmp_path / "a.pth")


def test_default_model_is_found_under_its_new_name_and_its_older_one() -> None:
    new, old = find(DEFAULT_MODEL), find("mask-rcnn_r50_fpn_mstrain-poly_3x_coco")
    assert new.config == old.config
    assert new.config.name == "mask-rcnn_r50_fpn_ms-poly-3x_coco.py"
    assert new.checkpoint.name == "mask_rcnn_r50_fpn_mstrain-poly_3x_coco_20210524_201154-21b550bb.pth"
    assert new.url is not None
    assert new.url.endswith("/" + new.checkpoint.name)


def test_every_suggested_model_is_published_with_its_mask_ap_and_a_checked_name() -> None:
    models = published_models()
    for name in checkpoints.SUGGESTED_MODELS:
        assert models[name].config.is_file()
        assert models[name].mask_ap
        assert checkpoints._sha256_in(models[name].file.name)
    assert len(models) > 150


def test_misspelt_model_is_told_what_is_near() -> None:
    with pytest.raises(ValueError, match="did you mean rtmdet-ins-s"):
        find("rtmdet-ins_s")


def test_checkpoints_are_kept_in_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKAWAY_WEIGHTS", str(tmp_path))
    assert find("rtmdet-ins-s").checkpoint.parent == tmp_path


def test_missing_checkpoint_says_offline_where_to_put_which_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLICKAWAY_WEIGHTS", str(tmp_path))
    files = find()
    with pytest.raises(WeightsError) as caught:
        fetch(files, offline=True)
    for part in (files.checkpoint.name, str(tmp_path), files.url):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_may_be_named_from_the_person_s_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config, mine = tmp_path / "net.py", tmp_path / "mine.pth"
    for file in (config, config.with_suffix(".pth"), mine):
        file.touch()
    assert find("~/net.py") == ModelFiles("net", config, config.with_suffix(".pth"))
    assert find("~/net.py", "~/mine.pth").checkpoint == find(DEFAULT_MODEL, "~/mine.pth").checkpoint == mine


def test_config_file_takes_the_checkpoint_beside_it_or_the_one_given(tmp_path: Path) -> None:
    config, beside, other = tmp_path / "a.py", tmp_path / "a.pth", tmp_path / "b.pth"
    config.touch()
    with pytest.raises(WeightsError, match=r"a\.pth of a is not here"):
        find(config)
    beside.touch()
    other.touch()
    assert find(config) == ModelFiles("a", config, beside)
    assert find(str(config), other) == ModelFiles("a", config, other)
    with pytest.raises(WeightsError, match=r"c\.pth of a is not here"):
        find(config, tmp_path / "c.pth")
    with pytest.raises(WeightsError, match="no config file"):
        find(tmp_path / "missing.py")


def test_published_model_can_have_another_checkpoint(tmp_path: Path) -> None:
    mine = tmp_path / "mine.pth"
    mine.touch()
    files = find("rtmdet-ins-s", mine)
    assert files.checkpoint == mine
    assert files.url is None
    assert fetch(files, offline=True) == mine


def test_sha256_in_a_file_s_name_is_checked(tmp_path: Path) -> None:
    content = b"weights"
    digits = hashlib.sha256(content).hexdigest()[:8]
    good, bad = tmp_path / f"net_20210524-{digits}.pth", tmp_path / "net_20210524-00000000.pth"
    for path in (good, bad):
        path.write_bytes(content)
    assert fetch(ModelFiles("net", tmp_path / "net.py", good)) == good
    with pytest.raises(WeightsError, match="expected 00000000"):
        fetch(ModelFiles("net", tmp_path / "net.py", bad))
