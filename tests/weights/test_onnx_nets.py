"""The bundled nets by ONNX Runtime: the numbers of Keras, of the right bundle, told in one line where damaged."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

import weights
from inpaint.fast_pconv import read_fast_pconv
from inpaint.pconv import PConvInpainter
from segment.click_net import PARTS, ClickNetSegmenter
from segment.nets.click_net import read_click_net
from segment.nets.subject import read_subject
from weights import BUNDLED_DIR, WEIGHTS, WeightsError, sha256_of
from weights.bundle import read_bundle_config
from weights.onnx_nets import OnnxNet, onnx_file, read_onnx

ROOT = Path(__file__).parents[2]
CLICK_NET, PCONV, SUBJECT = (WEIGHTS[name] for name in ("clicknet", "pconv-small", "subject"))
CLICK_NET_FILE, PCONV_FILE, SUBJECT_FILE = (BUNDLED_DIR / spec.file for spec in (CLICK_NET, PCONV, SUBJECT))
# Weights with batch norm folded in are rounded to half floats: one part in two thousand each.
TOLERANCE = 2e-3


def pixels(side, count=2, seed=0):
    """Squares of smooth colours and noise, (count, side, side, 3) float32 0..255."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (count, 4, 4, 3)).repeat(side // 4, axis=1).repeat(side // 4, axis=2)
    return np.clip(coarse + rng.normal(0, 20, coarse.shape), 0, 255).astype(np.float32)


def assert_same(found, expected):
    expected = keras.tree.map_structure(keras.ops.convert_to_numpy, expected)
    keras.tree.assert_same_structure(found, expected)
    for one, other in zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, atol=TOLERANCE * max(1.0, float(np.abs(other).max())))


def test_clicknets_parts_give_what_kerass_give():
    net, config = read_click_net(CLICK_NET_FILE)
    encoder, head = read_onnx(CLICK_NET, *PARTS)
    squares = pixels(config.input_px)
    maps = keras.tree.map_structure(keras.ops.convert_to_numpy, net.get_layer("encoder")(squares))
    assert_same(encoder(squares), maps)
    planes_shape = net.get_layer("head").input["planes"].shape[1:]
    asked = {**maps, "planes": np.random.default_rng(1).random((2, *planes_shape), np.float32)}
    assert_same(head(asked), net.get_layer("head")(asked))


@pytest.mark.parametrize("height_width", [(32, 32), (96, 128), (128, 96)])
def test_the_pconv_nets_give_the_same(height_width):
    (net,) = read_onnx(PCONV)
    image = pixels(128)[:, : height_width[0], : height_width[1]] / 127.5 - 1
    valid = np.ones((2, *height_width, 1), np.float32)
    valid[:, 5:20, 8:30] = 0
    assert_same(net([image, valid]), read_fast_pconv(PCONV_FILE, dtype="float32")([image, valid]))


@pytest.mark.parametrize("threads", ["1", "2", "3"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_shared_out_among_cores_each_gives_what_it_gives_alone(monkeypatch, threads, count):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    net = OnnxNet(onnx_file(CLICK_NET_FILE, "encoder"), apart=True)
    squares = pixels(192, count)
    alone = [net(squares[number : number + 1]) for number in range(count)]
    for name, found in net(squares).items():
        assert len(found) == count
        np.testing.assert_allclose(found, np.concatenate([one[name] for one in alone]), atol=1e-5)


def test_the_subject_nets_give_the_same():
    net, config = read_subject(SUBJECT_FILE)
    inputs = {"image": pixels(config.input_px)}
    assert_same(read_onnx(SUBJECT)[0](inputs), net(inputs))


@pytest.mark.parametrize("spec", [CLICK_NET, PCONV, SUBJECT], ids=lambda spec: spec.name)
def test_what_ships_was_made_of_the_bundle_that_ships(spec):
    parts = PARTS if spec is CLICK_NET else ()
    assert read_onnx(spec, *parts), f"{spec.file} is newer: python -m tools.write_onnx"


@pytest.fixture
def shipped_copy(tmp_path, monkeypatch):
    """Copies a bundle and what lies beside it to where bundles then ship from, and gives the bundle's file."""
    monkeypatch.setattr(weights, "BUNDLED_DIR", tmp_path)

    def copied(spec, *parts):
        bundle = BUNDLED_DIR / spec.file
        for file in [bundle, *(onnx_file(bundle, part) for part in parts or ("",))]:
            shutil.copy(file, tmp_path)
        return tmp_path / spec.file

    return copied


def test_what_lies_beside_a_bundle_that_does_not_ship_is_not_run(shipped_copy):
    bundle = shipped_copy(PCONV)
    assert isinstance(PConvInpainter()._net._net, OnnxNet)
    assert not isinstance(PConvInpainter(weights=bundle)._net._net, OnnxNet)
    assert read_onnx(replace(PCONV, onnx_sha256={})) is None


def test_a_net_of_another_bundle_is_left_alone(shipped_copy):
    bundle = shipped_copy(PCONV)
    assert read_onnx(PCONV)
    assert read_onnx(replace(PCONV, sha256=sha256_of(SUBJECT_FILE))) is None
    onnx_file(bundle).unlink()
    assert read_onnx(PCONV) is None


def test_parts_go_together_or_not_at_all(shipped_copy):
    bundle = shipped_copy(CLICK_NET, *PARTS)
    assert len(read_onnx(CLICK_NET, *PARTS)) == 2
    onnx_file(bundle, PARTS[1]).unlink()
    assert read_onnx(CLICK_NET, *PARTS) is None


def test_without_onnx_runtime_keras_reads_the_bundle(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert read_onnx(PCONV) is None
    photo = pixels(64, 1)[0].astype(np.uint8)
    hole = np.zeros((64, 64), bool)
    hole[20:40, 20:40] = True
    by_keras = PConvInpainter().inpaint(photo, hole)
    monkeypatch.undo()
    by_onnx = PConvInpainter().inpaint(photo, hole)
    assert np.abs(by_keras.astype(int) - by_onnx).max() <= 1
    assert (by_onnx[hole] != photo[hole]).any()


@pytest.mark.parametrize("damage", [b"", b"not a net", "half"])
def test_a_damaged_file_is_told_in_one_line(tmp_path, damage):
    file = tmp_path / "net.onnx"
    whole = onnx_file(PCONV_FILE).read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if damage == "half" else damage)
    with pytest.raises(WeightsError, match="is damaged") as told:
        OnnxNet(file)
    assert str(file) in str(told.value) and "\n" not in str(told.value)


def test_one_wrong_bit_in_what_ships_is_told(shipped_copy):
    file = onnx_file(shipped_copy(PCONV))
    assert read_onnx(PCONV)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(WeightsError, match="is damaged or another file"):
        read_onnx(PCONV)


def test_arrays_that_the_net_does_not_take_are_refused():
    with pytest.raises(ValueError, match="zip"):
        OnnxNet(onnx_file(PCONV_FILE))([np.zeros((1, 32, 32, 3), np.float32)])


def test_the_default_erase_loads_neither_keras_nor_tensorflow(tmp_path):
    from PIL import Image

    photo, out = tmp_path / "photo.png", tmp_path / "out"
    Image.fromarray(pixels(96, 1)[0].astype(np.uint8)).save(photo)
    arguments = ["erase", str(photo), "--at", "30,30", "--segmenter", "clicknet", "--out", str(out)]
    code = f"import sys; from pipeline.__main__ import main; print(main({arguments}), end=' '); "
    code += "print(*(name for name in ('keras', 'tensorflow', 'torch') if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1].split() == ["0"], done.stdout + done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to a bound")
@pytest.mark.parametrize("mib", [10, 1000])
def test_too_little_memory_for_a_pass_is_a_memory_error_and_prints_nothing(mib):
    program = f"""
import re, resource
from pathlib import Path
import numpy as np
from weights import WEIGHTS
from weights.onnx_nets import read_onnx
(net,) = read_onnx(WEIGHTS["pconv-small"])
inputs = [np.zeros((1, 4096, 4096, 3), np.float32), np.ones((1, 4096, 4096, 1), np.float32)]
taken = int(re.search(r"VmData:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (taken + {mib} * 2**20,) * 2)
try:
    net(inputs)
except MemoryError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("a net has too little memory for a pass\n", "")


def test_written_nets_are_read_back(tmp_path):
    pytest.importorskip("tf2onnx")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("ONNX files are written from TensorFlow")
    from inpaint.pconv_config import PConvUNetConfig
    from inpaint.pconv_unet import build_pconv_unet, write_pconv
    from tools.write_onnx import write

    config = PConvUNetConfig(levels=2, width=4, residuals=1, head_width=3)
    bundle = tmp_path / "net.npz"
    write_pconv(bundle, build_pconv_unet(config), config)
    assert write(bundle) == [tmp_path / "net.onnx"]
    image, valid = pixels(16) / 127.5 - 1, np.ones((2, 16, 16, 1), np.float32)
    assert_same(OnnxNet(onnx_file(bundle))([image, valid]), read_fast_pconv(bundle, dtype="float32")([image, valid]))
    assert not list(tmp_path.glob("*.partial"))


def test_nets_that_only_pytorch_runs_have_none():
    from tools.write_onnx import write

    bundle = BUNDLED_DIR / WEIGHTS["mask_rcnn_small"].file
    assert read_bundle_config(bundle)["architecture"] == "small_mask_rcnn"
    assert write(bundle) == []


def test_the_segmenter_answers_the_same_by_both(tmp_path):
    lone = tmp_path / CLICK_NET.file
    shutil.copy(CLICK_NET_FILE, lone)  # nothing beside it: Keras
    from segment.base import Click

    photo = np.full((120, 160, 3), 90, np.uint8)
    photo[30:90, 50:110] = (220, 60, 40)
    masks = []
    for segmenter in (ClickNetSegmenter(), ClickNetSegmenter(lone)):
        masks.append(segmenter.select(segmenter.encode(photo), [Click(80, 60)])[0].mask)
    assert masks[0].sum() > 100 and (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum() > 0.99
