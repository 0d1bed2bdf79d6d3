"""One predictor for four nets. Their weights are random: what is tested is what holds for any weights."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from segment import Click, NoObjectError, Segmenter, load_segmenter
from segment.nets.configs import SubjectConfig
from segment.nets.extractnet import ExtractNetConfig, build_extractnet, write_extractnet
from segment.nets.pets_unet import PetsUNetConfig, build_pets_unet, write_pets_unet
from segment.nets.subject import build_subject, write_subject
from segment.nets.tiramisu import TiramisuConfig, build_tiramisu, write_tiramisu
from segment.prominent import ProminentEncoding, SubjectSegmenter, equalised_luma, squeezed
from weights import WeightsError

NETS = {
    "extractnet": (build_extractnet, write_extractnet, ExtractNetConfig("plain", width=4, input_px=32)),
    "tiramisu": (build_tiramisu, write_tiramisu, TiramisuConfig((1, 1), 1, 4, 8, input_px=32)),
    "pets": (build_pets_unet, write_pets_unet, PetsUNetConfig((4, 8), input_px=32, equalise=True)),
    "subject": (build_subject, write_subject, SubjectConfig(8, 1, (8, 6, 4), input_px=32)),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("nets")
    for name, (build, write, config) in NETS.items():
        write(folder / f"{name}.npz", build(config), config)
    return {name: folder / f"{name}.npz" for name in NETS}


@pytest.fixture(params=NETS)
def segmenter(request: pytest.FixtureRequest, files: dict[str, Path]):
    return load_segmenter(f"{request.param}:{files[request.param]}")


def photo(hw=(48, 60)):
    rng = np.random.default_rng(3)
    return np.clip(rng.normal(120, 60, (*hw, 3)), 0, 255).astype(np.uint8)


def blobs(segmenter, *boxes, hw=(40, 60)):
    """An encoding as if the net had found these boxes, (y0, y1, x0, x1)."""
    probability = np.full(hw, 0.05, np.float32)
    for y0, y1, x0, x1 in boxes:
        probability[y0:y1, x0:x1] = 0.9
    image = np.where(probability[..., None] > 0.5, 220, 30).repeat(3, 2).astype(np.uint8)
    return ProminentEncoding(image, probability)


@pytest.mark.parametrize("hw", [(48, 60), (121, 77), (7, 200), (2, 2)])
def test_answers_need_no_click_and_have_the_photo_s_size(segmenter, hw):
    assert isinstance(segmenter, Segmenter)
    encoding = segmenter.encode(photo(hw))
    sure = segmenter.probability(encoding)
    assert sure.shape == hw
    assert sure.dtype == np.float32
    assert sure.min() >= 0
    assert sure.max() <= 1
    try:
        selections = segmenter.select(encoding, [])
    except NoObjectError as error:
        assert "\n" not in str(error)
        return
    for selection in selections:
        assert selection.mask.shape == hw
        assert selection.mask.dtype == np.bool_
        assert selection.mask.any()
        assert 0 <= selection.score <= 1


def test_the_photo_is_not_written_to_and_encodings_can_be_copied(segmenter):
    image = photo()
    before = image.copy()
    image.flags.writeable = False
    encoding = segmenter.encode(image)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(segmenter.probability(copy.deepcopy(encoding)), segmenter.probability(encoding))


def test_flip_averaging_answers_a_mirror_image_with_the_mirror_image(segmenter):
    image = photo((32, 32))
    one, other = (segmenter.encode(each).probability for each in (image, np.ascontiguousarray(image[:, ::-1])))
    np.testing.assert_allclose(one, other[:, ::-1], atol=2e-3)


def test_without_clicks_the_whole_comes_first_and_then_each_part(files):
    segmenter = load_segmenter(f"extractnet:{files['extractnet']}")
    encoding = blobs(segmenter, (5, 35, 5, 25), (10, 20, 40, 55), (38, 39, 58, 59))
    whole, large, small = (int(s.mask.sum()) for s in segmenter.select(encoding))
    assert (whole, large, small) == (600 + 150, 600, 150)  # the speck is left out


def test_a_click_chooses_the_part_under_it(files):
    segmenter = load_segmenter(f"extractnet:{files['extractnet']}")
    encoding = blobs(segmenter, (5, 35, 5, 25), (10, 20, 40, 55))
    (only,) = segmenter.select(encoding, [Click(45, 15)])
    assert int(only.mask.sum()) == 150
    (both,) = segmenter.select(encoding, [Click(45, 15), Click(10, 10)])
    assert int(both.mask.sum()) == 750
    (rest,) = segmenter.select(encoding, [Click(45, 15), Click(10, 10), Click(12, 30, positive=False)])
    assert int(rest.mask.sum()) == 150


def test_a_click_on_the_background_or_outside_is_refused(files):
    segmenter = load_segmenter(f"extractnet:{files['extractnet']}")
    encoding = blobs(segmenter, (5, 35, 5, 25))
    with pytest.raises(NoObjectError, match=r"\(50, 5\) is background"):
        segmenter.select(encoding, [Click(50, 5)])
    with pytest.raises(NoObjectError, match="taken away"):
        segmenter.select(encoding, [Click(10, 10), Click(11, 11, positive=False)])
    with pytest.raises(ValueError, match="outside the photo"):
        segmenter.select(encoding, [Click(60, 0)])
    with pytest.raises(NoObjectError, match="finds no subject"):
        segmenter.select(blobs(segmenter), [])


@pytest.mark.parametrize("refine", ["none", "guided", "crf", "extractnet"])
def test_every_refinement_keeps_a_clear_subject(files, refine):
    segmenter = load_segmenter(f"tiramisu:{files['tiramisu']}", refine=refine)
    probability = np.full((40, 60), 0.05, np.float32)
    probability[8:34, 10:40] = 0.9
    image = np.where(probability[..., None] > 0.5, 220, 30).repeat(3, 2).astype(np.uint8)
    if refine == "crf":
        probability = segmenter._with_crf(probability, image)
    (first, *_) = segmenter.select(ProminentEncoding(image, probability))
    assert first.label == "person"
    assert np.abs(int(first.mask.sum()) - 26 * 30) < 120


def test_crf_is_done_when_the_photo_is_encoded(files):
    plain, crf = (load_segmenter(f"pets:{files['pets']}", refine=how, flip=False) for how in ("none", "crf"))
    image = photo((500, 700))
    assert plain.encode(image).probability.shape == (32, 32)
    assert crf.encode(image).probability.shape == (229, 320)


def test_what_cannot_be_is_refused(files, tmp_path):
    with pytest.raises(WeightsError, match="extractnet needs its weights"):
        load_segmenter("extractnet")
    with pytest.raises(WeightsError, match="is a bundle of 'extractnet', not of 'tiramisu'"):
        load_segmenter(f"tiramisu:{files['extractnet']}")
    with pytest.raises(ValueError, match="no refinement"):
        load_segmenter(f"pets:{files['pets']}", refine="magic")
    with pytest.raises(ValueError, match="threshold"):
        load_segmenter(f"pets:{files['pets']}", threshold=1.0)


def test_without_a_bundled_net_the_subject_says_what_to_do(monkeypatch):
    monkeypatch.setattr("segment.prominent.bundled_subject", lambda: None)
    with pytest.raises(WeightsError, match="otsu_watershed"):
        SubjectSegmenter()


def test_a_photo_is_squeezed_into_the_net_s_square():
    image = np.zeros((10, 40, 3), np.uint8)
    image[:, 20:] = 200
    small = squeezed(image, 8)
    assert small.shape == (8, 8, 3)
    assert (small[:, :4] == 0).all()
    assert (small[:, 4:] == 200).all()


def test_equalising_spreads_the_luma_and_keeps_grey_grey():
    ramp = np.linspace(100, 130, 64).astype(np.uint8).reshape(8, 8)
    grey = np.repeat(ramp[..., None], 3, 2)
    spread = equalised_luma(grey)
    assert spread.min() < 10
    assert spread.max() > 245
    assert np.abs(spread.astype(int) - spread.mean(2, keepdims=True)).max() <= 1
