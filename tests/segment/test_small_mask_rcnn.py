"""The small Mask R-CNN: its backbone is the Keras net's twin, and its bundles hold sizes and numbers, no code."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

import weights
from segment import load_segmenter, small_mask_rcnn
from segment.small_mask_rcnn import ARCHITECTURE, SmallMaskRCNN, model_config, read_config
from weights import WEIGHTS, WeightsError, sha256_of
from weights.bundle import write_bundle

torch = pytest.importorskip("torch")
pytest.importorskip("mmdet")

NET = SmallMaskRCNN(classes=("cat", "dog"), input_px=96, channels=16, hidden=16, mask_convs=1, proposals=20)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A net with random weights."""
    from mmdet.registry import MODELS
    from mmengine.config import ConfigDict
    from mmengine.registry import init_default_scope

    import segment.squeezenet_torch  # noqa: F401
    from train_segment.mask_rcnn.hooks import write_net

    init_default_scope("mmdet")
    torch.manual_seed(0)
    model = MODELS.build(ConfigDict(model_config(NET)))
    model.init_weights()
    path = tmp_path_factory.mktemp("bundle") / "net.npz"
    write_net(path, model, NET, {"step": 3})
    return path


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    """A file such as the public one: kernels (kh, kw, in, out), for BGR pixels, drawn at random."""
    from segment.squeezenet_torch import SqueezeNet

    rng = np.random.default_rng(0)
    arrays = {}
    for name, parameter in SqueezeNet().named_parameters():
        layer, _, kind = name.rpartition(".")
        if layer.startswith(("conv1", "fire")):
            shape = parameter.permute(2, 3, 1, 0).shape if kind == "weight" else parameter.shape
            scale = np.sqrt(2 / np.prod(shape[:-1])) if kind == "weight" else 1.0
            key = f"{layer.replace('.', '/')}/{'kernel' if kind == 'weight' else 'bias'}"
            arrays[key] = rng.normal(0, scale, tuple(shape)).astype(np.float32)
    path = tmp_path / "squeezenet.npz"
    np.savez(path, allow_pickle=False, **arrays)
    return path


def test_backbone_answers_as_the_keras_net_with_the_same_weights(imagenet: Path) -> None:
    keras = pytest.importorskip("keras")

    from segment.nets import squeezenet
    from segment.small_mask_rcnn import MEANS
    from segment.squeezenet_torch import SqueezeNet, start_from

    image = np.random.default_rng(1).uniform(0, 255, (1, 64, 96, 3)).astype(np.float32)
    inputs = keras.Input((64, 96, 3))
    features = squeezenet.features(inputs)
    net = keras.Model(inputs, {str(stride): part for stride, part in features.items()})
    squeezenet.start_from(net, imagenet)
    wanted = net(image)
    backbone = SqueezeNet()
    start_from(backbone, imagenet)
    with torch.inference_mode():
        found = backbone.features(torch.from_numpy((image - np.float32(MEANS)).transpose(0, 3, 1, 2).copy()))
    assert sorted(found) == [4, 8, 16]
    for stride, part in found.items():
        ours = part.numpy().transpose(0, 2, 3, 1)
        theirs = keras.ops.convert_to_numpy(wanted[str(stride)])
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max())


def test_features_are_normalised_at_four_strides_and_the_first_layers_are_frozen() -> None:
    from segment.small_mask_rcnn import CHANNELS
    from segment.squeezenet_torch import SqueezeNet

    backbone = SqueezeNet()
    features = backbone(100 * torch.randn(2, 3, 64, 96))
    for (stride, channels), part in zip(CHANNELS.items(), features, strict=True):
        assert part.shape == (2, channels, 64 // stride, 96 // stride)
        values = part.detach()
        assert abs(float(values.mean())) < 1e-3 and float(values.std()) == pytest.approx(1, abs=0.05)
    frozen = {name.split(".")[0] for name, one in backbone.named_parameters() if not one.requires_grad}
    assert frozen == {"conv1", "fire2", "fire3"}


def test_files_of_other_nets_are_refused(tmp_path: Path, imagenet: Path) -> None:
    from segment.squeezenet_torch import SqueezeNet, start_from

    with np.load(imagenet) as archive:
        arrays = {name: archive[name] for name in archive.files if name != "fire9/squeeze1x1/kernel"}
    np.savez(tmp_path / "other.npz", allow_pickle=False, **arrays)
    with pytest.raises(ValueError, match="fire9/squeeze1x1/kernel must be there"):
        start_from(SqueezeNet(), tmp_path / "other.npz")
    (tmp_path / "cut.npz").write_bytes(imagenet.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="not a whole"):
        start_from(SqueezeNet(), tmp_path / "cut.npz")


def test_bundle_becomes_the_same_net_again(bundle: Path) -> None:
    assert read_config(bundle) == NET
    segmenter = load_segmenter(f"mask_rcnn:{bundle}", score_threshold=0.0, device="cpu")
    assert segmenter.classes == ("cat", "dog") and segmenter.name == "net"
    photo = np.random.default_rng(2).integers(0, 256, (60, 81, 3), np.uint8)
    before = photo.copy()
    found = segmenter.instances(segmenter.encode(photo))
    assert found and all(one.mask.shape == (60, 81) and one.label in NET.classes for one in found)
    np.testing.assert_array_equal(photo, before)
    again = load_segmenter("mask_rcnn", model=bundle, score_threshold=0.0, device="cpu")
    for one, other in zip(found, again.instances(again.encode(photo)), strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)
        assert (one.label, one.score) == (other.label, other.score)


def test_input_size_can_be_set(bundle: Path) -> None:
    segmenter = load_segmenter("mask_rcnn", model=bundle, input_size_px=128, score_threshold=0.0, device="cpu")
    photo = np.random.default_rng(3).integers(0, 256, (100, 200, 3), np.uint8)
    assert segmenter._prepare({"img": photo, "img_id": 0})["inputs"].shape == (3, 64, 128)


def test_bundles_that_cannot_serve_are_errors_of_one_line(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no bundle"):
        load_segmenter(f"mask_rcnn:{tmp_path / 'none.npz'}")
    with pytest.raises(ValueError, match="leave the checkpoint"):
        load_segmenter("mask_rcnn", model=bundle, checkpoint=bundle)
    (tmp_path / "cut.npz").write_bytes(bundle.read_bytes()[:2000])
    with pytest.raises(WeightsError, match="not a whole Clickaway bundle"):
        load_segmenter("mask_rcnn", model=tmp_path / "cut.npz")
    write_bundle(tmp_path / "other.npz", {"architecture": "click_net", "net": {}}, {"a": np.zeros(1)})
    with pytest.raises(WeightsError, match=f"'click_net', not of '{ARCHITECTURE}'"):
        load_segmenter("mask_rcnn", model=tmp_path / "other.npz")
    sizes = {"classes": ["cat"], "input_px": 96, "channels": 16}
    write_bundle(tmp_path / "few.npz", {"architecture": ARCHITECTURE, "net": sizes}, {"a": np.zeros(1)})
    with pytest.raises(WeightsError, match="weights are not there"):
        load_segmenter("mask_rcnn", model=tmp_path / "few.npz")


def test_small_is_the_bundle_that_ships(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "BUNDLED_DIR", bundle.parent)
    spec = replace(WEIGHTS[small_mask_rcnn.BUNDLED], file=bundle.name, sha256=sha256_of(bundle))
    monkeypatch.setitem(WEIGHTS, spec.name, spec)
    assert load_segmenter("mask_rcnn:small", device="cpu").classes == ("cat", "dog")
    monkeypatch.setattr(weights, "BUNDLED_DIR", bundle.parent / "nowhere")
    with pytest.raises(WeightsError, match="install it again"):
        load_segmenter("mask_rcnn:small")


def test_sizes_that_cannot_be_are_refused() -> None:
    for change in ({"classes": ()}, {"channels": 20}, {"finest": 16}, {"proposals": 0}):
        with pytest.raises(ValueError, match="got"):
            replace(NET, **change)


def test_finest_features_are_what_boxes_and_masks_are_found_on() -> None:
    for finest in (4, 8):
        config = model_config(replace(NET, finest=finest))
        assert config["rpn_head"]["anchor_generator"]["strides"][0] == finest
        assert config["roi_head"]["mask_roi_extractor"]["featmap_strides"][0] == finest
        assert config["neck"]["num_outs"] == len(config["rpn_head"]["anchor_generator"]["strides"])
