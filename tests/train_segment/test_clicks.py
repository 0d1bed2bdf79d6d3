import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segment.base import Click
from train_segment.clicks import first_click, next_click


def mask(picture: str) -> np.ndarray:
    return np.array([[cell == "#" for cell in row] for row in picture.split()])


def depth_by_loop(region: np.ndarray) -> np.ndarray:
    """Distance of every pixel of the region to the nearest pixel outside it; the photo's border is outside."""
    padded = np.pad(region, 1)
    rows, columns = np.nonzero(~padded)
    depth = np.zeros(region.shape)
    for y, x in zip(*np.nonzero(region), strict=True):
        depth[y, x] = np.sqrt(((rows - y - 1) ** 2 + (columns - x - 1) ** 2).min())
    return depth


masks = arrays(bool, (6, 7))


def test_first_click_is_in_the_middle_of_the_object():
    assert first_click(mask("..... .###. .###. .###. .....")) == Click(2, 2)


@given(masks.filter(np.any))
def test_first_click_is_as_deep_as_any_pixel_in_a_plain_loop(truth):
    depth = depth_by_loop(truth)
    click = first_click(truth)
    assert click.positive
    assert depth[click.y, click.x] == pytest.approx(depth.max(), abs=1e-3)


def test_first_click_never_falls_on_ignored_pixels():
    assert first_click(mask("####"), ignore=mask(".###")) == Click(0, 0)
    with pytest.raises(ValueError, match="empty"):
        first_click(mask("####"), ignore=mask("####"))


def test_next_click_is_positive_where_the_object_was_missed():
    truth, prediction = mask("##### ##### #####"), mask("##... ##... ##...")
    assert next_click(truth, prediction) == Click(3, 1, positive=True)


def test_next_click_is_negative_where_too_much_was_taken():
    truth, prediction = mask("##... ##... ##..."), mask("##### ##### #####")
    assert next_click(truth, prediction) == Click(3, 1, positive=False)


def test_next_click_is_on_the_largest_region_even_if_others_add_up_to_more():
    truth = mask("#.#.#.#.#.###. ..........###. ..........###.")
    assert next_click(truth, np.zeros_like(truth)) == Click(11, 1)


def test_missed_and_wrongly_taken_pixels_side_by_side_are_two_regions():
    truth, prediction = mask("###.. ###.. ###.."), mask("...## ...## ...##")
    assert next_click(truth, prediction) == Click(1, 1, positive=True)


def test_there_is_no_next_click_when_all_is_right():
    truth = mask("##. ##.")
    assert next_click(truth, truth) is None
    assert next_click(truth, mask("### ##."), ignore=mask("..# ...")) is None


def test_next_click_is_never_made_twice():
    truth = mask("....... .#####. .#####. .#####. .......")
    clicks: list[Click] = [first_click(truth)]
    while (click := next_click(truth, np.zeros_like(truth), clicks)) is not None:
        assert click not in clicks
        clicks.append(click)
    assert {(c.x, c.y) for c in clicks} == {(int(x), int(y)) for y, x in zip(*np.nonzero(truth), strict=True)}


@given(masks.filter(np.any), st.integers(0, 2**32 - 1))
def test_random_first_click_is_at_least_half_as_deep_as_the_deepest(truth, seed):
    click = first_click(truth, rng=np.random.default_rng(seed))
    depth = depth_by_loop(truth)
    assert depth[click.y, click.x] >= 0.5 * depth.max() - 1e-3


def test_random_clicks_reach_every_deep_pixel_and_follow_their_seed():
    truth = mask("....... .#####. .#####. .#####. .......")
    rng = np.random.default_rng(3)
    seen = {(c.x, c.y) for c in (first_click(truth, rng=rng, depth_share=1.0) for _ in range(100))}
    assert seen == {(2, 2), (3, 2), (4, 2)}
    everywhere = {(c.x, c.y) for c in (first_click(truth, rng=rng, depth_share=0.0) for _ in range(400))}
    assert len(everywhere) == 15
    assert first_click(truth, rng=np.random.default_rng(5)) == first_click(truth, rng=np.random.default_rng(5))


@given(masks, masks, st.integers(0, 2**32 - 1))
def test_random_next_click_lies_in_the_error_with_its_sign(truth, prediction, seed):
    click = next_click(truth, prediction, rng=np.random.default_rng(seed))
    if click is None:
        assert (truth == prediction).all()
    else:
        assert truth[click.y, click.x] == click.positive != prediction[click.y, click.x]


def test_placing_clicks_writes_into_no_mask():
    truth, prediction, ignore = mask("##. ##."), mask("..# ..."), mask("#.. ...")
    before = truth.copy(), prediction.copy(), ignore.copy()
    first_click(truth, ignore=ignore)
    next_click(truth, prediction, [Click(1, 1)], ignore=ignore)
    for now, then in zip((truth, prediction, ignore), before, strict=True):
        assert (now == then).all()
