"""ClickNet behind the segmenter protocol, with random weights and with a net that is told what to answer."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from segment import Click, NoObjectError, Segmenter, load_segmenter
from segment.click_net import ClickNetSegmenter
from segment.click_planes import head_planes
from segment.metrics import iou
from segment.nets import squeezenet
from segment.nets.click_net import build_click_net, read_click_net, write_click_net
from segment.nets.configs import ClickNetConfig
from weights import WeightsError

TINY = ClickNetConfig(input_px=64, embedding=8, trunk=8, blocks=1, fine=8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("net") / "net.npz"
    write_click_net(path, build_click_net(TINY), TINY)
    return path


@pytest.fixture(scope="module")
def segmenter(bundle: Path) -> ClickNetSegmenter:
    return ClickNetSegmenter(bundle)


class Likeness:
    """A head for which an object is what is as bright as what the positive disks cover."""

    calls = 0

    def __call__(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.calls += 1
        bright, disks = inputs["p2"][..., 0], inputs["planes"].repeat(2, 1).repeat(2, 2)[..., 0]
        wanted = (bright * disks).sum((1, 2), keepdims=True) / disks.sum((1, 2), keepdims=True)
        logits = 8 - np.abs(bright - wanted) / 4
        return {"mask": logits[..., None], "score": np.full((len(bright), 1), 2.0)}


class Brightness:
    """An encoder that sees how bright each part is."""

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        count, height, width, _ = image.shape
        return {"p2": image.mean(-1).reshape(count, height // 2, 2, width // 2, 2).mean((2, 4))[..., None]}


@pytest.fixture
def knowing(segmenter: ClickNetSegmenter, monkeypatch: pytest.MonkeyPatch) -> ClickNetSegmenter:
    monkeypatch.setattr(segmenter, "_encoder", Brightness())
    monkeypatch.setattr(segmenter, "_head", Likeness())
    return segmenter


def test_it_is_a_segmenter_by_its_registered_name(bundle: Path) -> None:
    assert isinstance(load_segmenter(f"clicknet:{bundle}"), Segmenter)


@pytest.mark.parametrize("hw", [(48, 64), (97, 31), (300, 200), (3, 5), (1, 1)])
def test_any_size_gives_masks_of_that_size_or_one_line(segmenter: ClickNetSegmenter, hw: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*hw, 3), np.uint8)
    before = image.copy()
    try:
        selections = segmenter.select(segmenter.encode(image), [Click(hw[1] // 2, hw[0] // 2)])
    except NoObjectError as error:
        assert "click nearer" in str(error)
        return
    assert 1 <= len(selections) <= 3
    for selection in selections:
        assert selection.mask.shape == hw and selection.mask.dtype == bool and selection.mask[hw[0] // 2, hw[1] // 2]
        assert 0 <= selection.score <= 1
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("side", [24, 60, 250])
def test_the_clicked_object_is_found_at_every_size_and_place(knowing: ClickNetSegmenter, side: int) -> None:
    image = np.full((300, 400, 3), 200, np.uint8)
    truth = np.zeros((300, 400), bool)
    truth[20 : 20 + side, 130 : 130 + side] = True
    image[truth] = 60
    best = knowing.select(knowing.encode(image), [Click(130 + side // 2, 20 + side // 2)])[0]
    assert iou(best.mask, truth) > 0.93


def test_only_parts_that_hold_a_click_are_kept(knowing: ClickNetSegmenter) -> None:
    image = np.full((100, 200, 3), 200, np.uint8)
    image[20:80, 20:80] = image[20:80, 120:180] = 60
    encoding = knowing.encode(image)
    one = knowing.select(encoding, [Click(50, 50)])[0].mask
    both = knowing.select(encoding, [Click(50, 50), Click(150, 50)])[0].mask
    assert one[50, 50] and not one[50, 150] and both[50, 50] and both[50, 150]


def test_clicks_outside_the_photo_and_only_negative_ones_are_refused(segmenter: ClickNetSegmenter) -> None:
    encoding = segmenter.encode(np.zeros((10, 12, 3), np.uint8))
    with pytest.raises(ValueError, match="outside the photo"):
        segmenter.select(encoding, [Click(12, 0)])
    with pytest.raises(ValueError, match="no positive click"):
        segmenter.select(encoding, [Click(1, 1, positive=False)])


def test_many_clicks_cost_no_more_rounds_than_three(knowing: ClickNetSegmenter) -> None:
    image = np.full((100, 100, 3), 60, np.uint8)
    encoding = knowing.encode(image)
    knowing._head.calls = 0
    knowing.select(encoding, [Click(10 + n, 10, positive=n != 1) for n in range(12)])
    assert knowing._head.calls <= 3 * 3


def test_a_file_that_is_no_click_net_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="clicknet needs its weights"):
        ClickNetSegmenter(tmp_path / "nothing.npz")
    (tmp_path / "broken.npz").write_bytes(b"PK")
    with pytest.raises(WeightsError, match="not a whole Clickaway bundle"):
        ClickNetSegmenter(tmp_path / "broken.npz")


def test_planes_equal_a_plain_loop() -> None:
    clicks = [Click(5, 9), Click(30, 20), Click(12, 3, positive=False)]
    previous = np.random.default_rng(0).random((10, 10), np.float32)
    planes = head_planes(clicks, previous, 40)
    for row in range(10):
        for column in range(10):
            x, y = 4 * column + 1.5, 4 * row + 1.5
            distances = [np.hypot(x - c.x, y - c.y) for c in clicks]
            near = min(range(2), key=lambda n: distances[n])
            expected = [
                np.clip((5 + 2 - min(distances[:2])) / 4, 0, 1),
                np.clip((5 + 2 - distances[2]) / 4, 0, 1),
                np.exp(-(min(distances[:2]) ** 2) / (2 * 24**2)),
                np.exp(-(distances[2] ** 2) / (2 * 24**2)),
                np.clip((x - clicks[near].x) / 20, -1, 1),
                np.clip((y - clicks[near].y) / 20, -1, 1),
                previous[row, column],
            ]
            np.testing.assert_allclose(planes[row, column], expected, atol=1e-5)


def test_a_bundle_gives_the_same_net_again_and_its_size_is_known(bundle: Path) -> None:
    net, config = read_click_net(bundle)
    assert config == TINY
    inputs = {"image": np.full((1, 64, 64, 3), 99.0, np.float32), "planes": np.ones((1, 16, 16, 7), np.float32)}
    again, _ = read_click_net(bundle)
    np.testing.assert_array_equal(net.predict_on_batch(inputs)["mask"], again.predict_on_batch(inputs)["mask"])
    assert build_click_net(ClickNetConfig()).count_params() == 2_300_754


def test_squeezenet_takes_its_public_weights_and_refuses_others(tmp_path: Path) -> None:
    net = build_click_net(TINY)
    encoder = net.get_layer("encoder")
    arrays = {}
    for layer in encoder.layers:
        if layer.name == "conv1" or (layer.name.startswith("fire") and layer.weights):
            key = layer.name.replace("_", "/", 1)
            arrays |= {f"{key}/{v.name}": np.random.default_rng(0).random(v.shape, np.float32) for v in layer.weights}
    assert sum(array.size for array in arrays.values()) == 722_496
    np.savez(tmp_path / "squeezenet.npz", **arrays)
    squeezenet.start_from(encoder, tmp_path / "squeezenet.npz")
    np.testing.assert_array_equal(np.array(encoder.get_layer("conv1").kernel), arrays["conv1/kernel"][:, :, ::-1])
    del arrays["fire9/expand3x3/bias"]
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(ValueError, match="fire9/expand3x3/bias must be there"):
        squeezenet.start_from(encoder, tmp_path / "other.npz")
