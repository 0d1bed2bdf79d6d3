"""PConvInpainter: where weights come from, sizes, batches, precision."""

import os
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

import weights
from inpaint.pconv import PConvInpainter, _padded_size, find_weights
from inpaint.pconv_config import PConvUNetConfig, read_config
from inpaint.pconv_unet import build_pconv_unet, write_pconv
from weights import WeightsError

CONFIG = PConvUNetConfig(levels=3, width=4)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    return build_pconv_unet(CONFIG)


@pytest.fixture
def bundle(tmp_path, model):
    write_pconv(tmp_path / "net.npz", model, CONFIG, float16=False)
    return tmp_path / "net.npz"


def photo(height_width, seed=0):
    rng = np.random.default_rng(seed)
    hole = np.zeros(height_width, bool)
    hole[2:7, 3:9] = True
    return rng.integers(0, 256, (*height_width, 3), np.uint8), hole


def test_the_fill_is_the_nets_prediction_for_the_known_pixels(bundle, model):
    image, hole = photo((16, 24))
    filled = PConvInpainter(weights=bundle).inpaint(image, hole)
    valid = (~hole).astype(np.float32)[None, ..., None]
    prediction = keras.ops.convert_to_numpy(model([image[None] / np.float32(127.5) - 1, valid], training=False))[0]
    expected = np.rint(np.clip((prediction + 1) * 127.5, 0, 255))
    assert np.abs(filled[hole] - expected[hole]).max() <= 1
    np.testing.assert_array_equal(filled[~hole], image[~hole])


def test_several_threads_get_what_each_would_get_alone(bundle):
    inpainter = PConvInpainter(weights=bundle, batch_size=3)
    photos = [photo(hw, seed) for seed, hw in enumerate([(16, 24), (15, 23), (40, 16), (14, 20), (16, 24)] * 4)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(inpainter.inpaint, *zip(*photos, strict=True)))
    for (image, hole), filled in zip(photos, together, strict=True):
        assert np.abs(filled.astype(int) - inpainter.inpaint(image, hole)).max() <= 1


def test_a_photo_without_a_hole_stays_as_it_is(bundle):
    image, hole = photo((16, 24))
    np.testing.assert_array_equal(PConvInpainter(weights=bundle).inpaint(image, np.zeros_like(hole)), image)


def test_bfloat16_fills_nearly_as_float32(bundle):
    image, hole = photo((16, 24))
    exact = PConvInpainter(weights=bundle).inpaint(image, hole).astype(int)
    near = PConvInpainter(weights=bundle, precision="bfloat16").inpaint(image, hole)
    assert 0 < np.abs(near - exact)[hole].mean() < 4


def test_sizes_are_padded_to_few_and_near_multiples():
    sizes = np.arange(1, 3000)
    padded = np.array([_padded_size(int(n), 64) for n in sizes])
    assert (padded >= sizes).all()
    assert (padded % 64 == 0).all()
    assert (padded - sizes < np.maximum(64, sizes / 4)).all()
    assert len(set(padded[(sizes > 1024) & (sizes <= 2048)])) == 4


def test_max_size_comes_from_the_option_else_the_bundle_else_the_net(bundle, model):
    assert PConvInpainter(weights=bundle).max_size_px == 16
    assert PConvInpainter(weights=bundle, max_size_px=100).max_size_px == 100
    write_pconv(bundle, model, CONFIG, {"max_size_px": 64})
    assert PConvInpainter(weights=bundle).max_size_px == 64


@pytest.mark.parametrize("options", [{"precision": "int8"}, {"batch_size": 0}, {"max_size_px": 0}])
def test_impossible_options_are_refused(bundle, options):
    with pytest.raises(ValueError, match="must be"):
        PConvInpainter(weights=bundle, **options)


@pytest.mark.parametrize("device", ["auto", "cpu", "CPU:0"])
def test_the_device_can_be_named(bundle, device):
    image, hole = photo((16, 24))
    expected = PConvInpainter(weights=bundle).inpaint(image, hole)
    np.testing.assert_array_equal(PConvInpainter(weights=bundle, device=device).inpaint(image, hole), expected)


def test_a_device_that_is_none_is_refused_by_its_name(bundle):
    with pytest.raises(ValueError, match="no device is called 'warp': use auto, cpu, cuda or cuda:1"):
        PConvInpainter(weights=bundle, device="warp")


def test_weights_that_are_nowhere_are_one_clear_error():
    with pytest.raises(WeightsError, match="pconv-places2-256"):
        PConvInpainter(weights="no-such-net")


def test_weights_of_a_segmenter_are_refused(monkeypatch, bundle):
    spec = weights.WeightSpec("click-net", "segmenter", "click.npz", "0" * 8, 1.0, "Apache-2.0", "nothing", "none")
    monkeypatch.setitem(weights.WEIGHTS, "click-net", spec)
    with pytest.raises(WeightsError, match="of a segmenter"):
        find_weights("click-net")


def test_without_weights_and_offline_the_error_names_the_file(monkeypatch, tmp_path):
    monkeypatch.setenv("CLICKAWAY_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("inpaint.pconv.bundled_inpainter", lambda: None)
    with pytest.raises(WeightsError, match="1ffed0e8"):
        PConvInpainter(offline=True)


@pytest.fixture
def checkpoint(tmp_path):
    """A public checkpoint of two levels, as PyTorch would hold it."""
    torch = pytest.importorskip("torch")
    shapes = {
        "encoder.enc1.conv": (4, 3, 7),
        "encoder.enc2.conv": (8, 4, 5),
        "decoder.dec2.conv": (4, 12, 3),
        "decoder.dec1.conv": (3, 7, 3),
    }
    state = {f"generator.{n}.weight": 0.1 * torch.randn(o, i, k, k) for n, (o, i, k) in shapes.items()}
    state |= {"generator.encoder.enc1.conv.bias": torch.zeros(4), "generator.decoder.dec1.conv.bias": torch.zeros(3)}
    for name, filters in (("encoder.enc2.bn", 8), ("decoder.dec2.bn", 4)):
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"generator.{name}.{part}"] = torch.ones(filters)
    torch.save({"state_dict": state}, tmp_path / "public.pth")
    return tmp_path / "public.pth"


def test_a_public_checkpoint_is_converted_once_and_again_when_it_changes(checkpoint):
    image, hole = photo((16, 24))
    assert PConvInpainter(weights=checkpoint).inpaint(image, hole).shape == image.shape
    bundle = checkpoint.with_suffix(".npz")
    assert read_config(bundle)[0] == PConvUNetConfig(levels=2, width=4)
    stamp = bundle.stat().st_mtime_ns
    find_weights(checkpoint)
    assert bundle.stat().st_mtime_ns == stamp

    checkpoint.write_bytes(checkpoint.read_bytes() + b"\n")  # another file of the same name
    bundle.write_bytes(b"not of this one")
    find_weights(checkpoint)
    assert read_config(bundle)[1]["converted_from"] == "public.pth"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_one_clear_error(checkpoint):
    checkpoint.parent.chmod(0o500)
    try:
        with pytest.raises(WeightsError, match="cannot be written"):
            find_weights(checkpoint)
    finally:
        checkpoint.parent.chmod(0o700)
