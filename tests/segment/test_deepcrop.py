import copy

import cv2
import numpy as np
import pytest

from segment import Click, NoObjectError, Segmenter, load_segmenter
from segment.metrics import iou
from segment.nets.deepcrop import MARGIN_PX, DeepCropConfig, build_deepcrop, write_deepcrop
from segment.windows import BORDER
from weights import WeightsError

VARIANTS = ("deepmask", "v1", "v2")


def tiny(variant: str) -> DeepCropConfig:
    return DeepCropConfig(
        variant=variant, width=4, input_px=64, mask_px=16, bottleneck=4, hidden=8, score_hidden=4, unit_px=90
    )


@pytest.fixture(scope="module", params=VARIANTS)
def segmenter(request, tmp_path_factory) -> Segmenter:
    path = tmp_path_factory.mktemp("nets") / f"{request.param}.npz"
    config = tiny(request.param)
    write_deepcrop(path, build_deepcrop(config), config)
    return load_segmenter(f"deepcrop:{path}")


class RedNet:
    """In the net's place: finds red, and is surest where red is in the middle of the window and 92/160 of it high."""

    def __init__(self, config: DeepCropConfig):
        self.config, self.seen = config, []

    def predict_on_batch(self, inputs):
        self.seen.append(inputs)
        config, images = self.config, inputs["image"]
        n = 1 + (images.shape[1] - config.window_px) // 16
        masks = np.empty((len(images), n, n, config.mask_px**2), np.float32)
        scores = np.empty((len(images), n, n, 1), np.float32)
        for b, row, column in np.ndindex(len(images), n, n):
            y, x = MARGIN_PX + 16 * row, MARGIN_PX + 16 * column
            part = images[b, y : y + config.input_px, x : x + config.input_px]
            red = ((part[..., 0] > 180) & (part[..., 1] < 100)).astype(np.float32)
            small = cv2.resize(red, (config.mask_px, config.mask_px), interpolation=cv2.INTER_AREA)
            masks[b, row, column] = (small - 0.5).ravel()
            rows, columns = np.nonzero(red)
            if len(rows):
                centre = config.input_px / 2
                off = abs(rows.mean() - centre) + abs(columns.mean() - centre)
                scores[b, row, column] = 3 - (off + abs(np.ptp(rows) - config.object_px)) / config.input_px * 6
            else:
                scores[b, row, column] = -9
        return {"mask": masks, **({"score": scores} if config.has_score else {})}


@pytest.fixture
def red(tmp_path):
    """A segmenter of full size whose net finds red things, and a photo with a red ellipse, a red box and no more."""
    path = tmp_path / "v2.npz"
    config = tiny("v2")
    write_deepcrop(path, build_deepcrop(config), config)
    found = load_segmenter("deepcrop", model=path)
    found.config = DeepCropConfig()
    found.net = RedNet(found.config)
    photo = np.full((240, 400, 3), (60, 120, 60), np.uint8)
    cv2.ellipse(photo, (120, 110), (60, 80), 0, 0, 360, (220, 30, 30), -1)
    cv2.rectangle(photo, (330, 150), (352, 190), (220, 30, 30), -1)
    return found, photo


def test_weights_must_be_there_and_of_a_deepcrop_net(tmp_path):
    with pytest.raises(WeightsError, match="deepcrop:FILE"):
        load_segmenter("deepcrop")
    with pytest.raises(WeightsError, match="deepcrop:FILE"):
        load_segmenter(f"deepcrop:{tmp_path / 'missing.npz'}")
    (tmp_path / "broken.npz").write_bytes(b"no bundle")
    with pytest.raises(WeightsError, match="not a whole"):
        load_segmenter(f"deepcrop:{tmp_path / 'broken.npz'}")


@pytest.mark.parametrize(("click", "part"), [(Click(120, 110), np.s_[:, :250]), (Click(341, 170), np.s_[:, 250:])])
def test_a_large_and_a_small_object_are_found_where_they_are(red, click, part):
    segmenter, photo = red
    truth = np.zeros(photo.shape[:2], bool)
    truth[part] = (photo[part] == (220, 30, 30)).all(axis=2)
    best = segmenter.select(segmenter.encode(photo), [click])[0]
    assert iou(best.mask, truth) > 0.85
    assert best.score > 0.8


def test_the_click_counts_and_not_the_place_in_the_photo(red):
    segmenter, photo = red
    off_middle = segmenter.select(segmenter.encode(photo), [Click(90, 150)])[0]
    middle = segmenter.select(segmenter.encode(photo), [Click(120, 110)])[0]
    assert iou(off_middle.mask, middle.mask) > 0.8


def test_a_click_on_nothing_raises(red):
    segmenter, photo = red
    with pytest.raises(NoObjectError, match=r"\(10, 10\)"):
        segmenter.select(segmenter.encode(photo), [Click(10, 10)])


def test_distances_are_in_pixels_of_the_net_s_input_at_every_size(red):
    segmenter, photo = red
    segmenter.select(segmenter.encode(photo), [Click(120, 110)])
    (inputs,) = segmenter.net.seen
    side = inputs["planes"].shape[1]
    y, x = np.ogrid[:side, :side]
    expected = np.minimum(1, np.hypot(y - side // 2, x - side // 2) / segmenter.config.unit_px)
    for plane in inputs["planes"][..., 0]:
        np.testing.assert_allclose(plane, expected, atol=1e-6)


def test_beyond_the_photo_the_net_sees_grey(red):
    segmenter, photo = red
    segmenter.select(segmenter.encode(photo), [Click(120, 110)])
    assert (segmenter.net.seen[0]["image"][0, 0, 0] == BORDER).all()


def test_the_masks_that_agree_with_more_clicks_come_first(red):
    segmenter, photo = red
    photo = photo.copy()
    photo[150:160, 180:335] = (220, 30, 30)  # joins the two
    encoding = segmenter.encode(photo)
    both = segmenter.select(encoding, [Click(120, 110), Click(341, 170)])[0].mask
    one = segmenter.select(encoding, [Click(341, 170), Click(120, 110, positive=False)])[0].mask
    assert both[110, 120] and both[170, 341]
    assert one[170, 341] and not one[110, 120]


def test_answers_have_the_photo_s_size_and_hold_the_click(segmenter):
    rng = np.random.default_rng(0)
    for hw in [(40, 60), (61, 33), (9, 100), (1, 1), (300, 201)]:
        photo = rng.integers(0, 256, (*hw, 3), dtype=np.uint8)
        click = Click(hw[1] // 2, hw[0] // 2)
        try:
            selections = segmenter.select(segmenter.encode(photo), [click])
        except NoObjectError:
            continue
        for selection in selections:
            assert selection.mask.shape == hw and selection.mask.dtype == np.bool_
            assert selection.mask[click.y, click.x]
            assert 0 <= selection.score <= 1 and selection.label is None


def test_photo_is_left_alone_and_encodings_can_be_copied(segmenter):
    photo = np.random.default_rng(1).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    before = photo.copy()
    encoding = segmenter.encode(photo)
    answers = []
    for one in (encoding, copy.deepcopy(encoding)):
        try:
            answers.append(segmenter.select(one, [Click(30, 20)])[0].mask.tobytes())
        except NoObjectError as error:
            answers.append(str(error))
    assert answers[0] == answers[1]
    assert (photo == before).all()


def test_clicks_are_checked(segmenter):
    encoding = segmenter.encode(np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(ValueError, match="outside the photo"):
        segmenter.select(encoding, [Click(10, 0)])
    with pytest.raises(ValueError, match="positive click"):
        segmenter.select(encoding, [Click(1, 1, positive=False)])


def test_v1_places_its_one_mask_over_the_whole_photo(tmp_path):
    config = tiny("v1")
    write_deepcrop(tmp_path / "v1.npz", build_deepcrop(config), config)
    segmenter = load_segmenter(f"deepcrop:{tmp_path / 'v1.npz'}")
    segmenter.config = DeepCropConfig(variant="v1")
    segmenter.net = RedNet(segmenter.config)
    photo = np.full((150, 320, 3), (60, 120, 60), np.uint8)
    photo[40:120, 200:310] = (220, 30, 30)
    best = segmenter.select(segmenter.encode(photo), [Click(250, 80)])[0]
    assert iou(best.mask, (photo == (220, 30, 30)).all(axis=2)) > 0.9
    planes = segmenter.net.seen[0]["planes"][0]
    assert planes.shape == (192, 192, 3)
    assert planes[96 - 37 + 40, 16 + 125].max() < 0.02  # at the click all three are near 0
