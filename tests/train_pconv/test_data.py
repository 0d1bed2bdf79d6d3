"""Photos, their choice by hash, crops, and the two feeds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng
from PIL import Image as PillowImage

from train_pconv.config import LABEL_IMAGES
from train_pconv.data import Samples, middle_square, random_crop, to_batch, validation_batches, vary_colour
from train_pconv.feed import TfDataFeed
from train_pconv.holes import HoleMix
from train_pconv.photos import BrokenPhotoError, Photos, choose, open_photos
from training.feed import ThreadFeed
from training.split import hash_share

NAMES = [f"n{folder:08d}/photo_{number}.JPEG" for folder in range(20) for number in range(100)]


@pytest.fixture
def photos(photo_folder: Path) -> Photos:
    return Photos(open_photos([str(photo_folder)]), cache_gib=0.1)


def samples_of(photos: Photos, seed: int = 0) -> Samples:
    return Samples(photos, range(16), HoleMix({"boxes": 1.0}), crop_px=16, zoom_out=(1.0, 2.0), colour=0.2, seed=seed)


def test_the_choice_takes_about_the_share_asked_for_and_never_shares_a_photo() -> None:
    training, validation = choose(NAMES, fraction=0.1, validation_fraction=0.2)
    assert 120 < len(training) < 200 and 20 < len(validation) < 60
    assert not set(training) & set(validation)


def test_the_choice_depends_on_the_name_alone() -> None:
    training, validation = ({NAMES[n] for n in side} for side in choose(NAMES, fraction=0.5, validation_fraction=0.1))
    more = sorted([*NAMES, *(f"new/{n}.jpg" for n in range(500))])
    again = choose(more, fraction=0.5, validation_fraction=0.1)
    assert training == {more[n] for n in again[0]} & set(NAMES)
    assert validation == {more[n] for n in again[1]} & set(NAMES)
    larger = {NAMES[n] for n in choose(NAMES, fraction=0.6, validation_fraction=0.1)[0]}
    assert training < larger
    # Taken once: another number would choose other photos on another version.
    assert hash_share("n01440764/n01440764_10026.JPEG", "use") == pytest.approx(0.17176133532687826, abs=1e-12)


def test_too_few_photos_are_one_clear_line() -> None:
    with pytest.raises(ValueError, match="leave 0 to train on and 0 to validate on"):
        choose(["a.jpg"], fraction=0.0, validation_fraction=0.5)


def test_a_tree_of_folders_is_read_in_one_order_and_masks_are_left_out(tmp_path: Path) -> None:
    for name in ("b/images/2.jpg", "b/masks/2.png", "a/images/1.JPEG", "a/readme.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert open_photos([str(tmp_path)], LABEL_IMAGES).names == ["a/images/1.JPEG", "b/images/2.jpg"]
    assert open_photos([str(tmp_path / "b")], LABEL_IMAGES).names == ["images/2.jpg"]


def test_an_empty_folder_and_a_wrong_path_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no photos"):
        open_photos([str(tmp_path)])
    with pytest.raises(ValueError, match="is not there"):
        open_photos([str(tmp_path / "nowhere")])


def test_grey_palette_and_turned_photos_become_upright_rgb(tmp_path: Path) -> None:
    grey = PillowImage.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    grey.save(tmp_path / "1_grey.png")
    grey.convert("P").save(tmp_path / "2_palette.png")
    red = PillowImage.new("RGB", (40, 30), (250, 10, 10))
    exif = red.getexif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    red.save(tmp_path / "3_turned.jpg", exif=exif)
    photos = Photos(open_photos([str(tmp_path)]))
    np.testing.assert_array_equal(photos.get(0), np.arange(12).reshape(3, 4, 1).repeat(3, 2))
    assert photos.get(1).shape == (3, 4, 3)
    turned = photos.get(2)
    assert turned.shape == (40, 30, 3)
    assert turned[..., 0].min() > 200 and turned[..., 2].max() < 50  # RGB, not BGR


def test_broken_photos_are_skipped_counted_and_named(tmp_path: Path) -> None:
    whole = PillowImage.fromarray(default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    whole.save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.jpg").write_text("no photo")
    photos = Photos(open_photos([str(tmp_path)]))
    samples = Samples(photos, range(3), HoleMix({"boxes": 1.0}), crop_px=16)
    crops = [samples.sample(index)[0] for index in range(12)]
    assert all(crop.shape == (16, 16, 3) for crop in crops)
    assert sorted(photos.broken) == ["half.jpg", "text.jpg"]
    assert "truncated" in photos.broken["half.jpg"]


def test_a_broken_photo_does_not_break_its_namesake_of_another_folder(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    (tmp_path / "a" / "1.png").write_text("no photo")
    PillowImage.new("RGB", (8, 8)).save(tmp_path / "b" / "1.png")
    photos = Photos(open_photos([str(tmp_path / "a"), str(tmp_path / "b")]))
    with pytest.raises(BrokenPhotoError):
        photos.get(0)
    assert photos.get(1).shape == (8, 8, 3)


def test_only_broken_photos_end_in_an_error_and_not_in_a_loop(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no photo")
    samples = Samples(Photos(open_photos([str(tmp_path)])), [0], HoleMix({"boxes": 1.0}), crop_px=16)
    with pytest.raises(BrokenPhotoError, match=r"in a row are broken, such as a\.jpg"):
        samples.sample(0)
    with pytest.raises(BrokenPhotoError, match="in a row are broken"):
        next(iter(TfDataFeed(samples, batch=1, first_step=0, steps=1, workers=1, prefetch=1)))


def test_kept_photos_are_not_read_again_and_stay_below_the_bound(photo_folder: Path) -> None:
    class Counting:
        def __init__(self) -> None:
            self.inner = open_photos([str(photo_folder)])
            self.names, self.reads = self.inner.names, 0

        def read(self, number: int) -> bytes:
            self.reads += 1
            return self.inner.read(number)

    store = Counting()
    room = 3.5 * 48 * 56 * 3 / 2**30
    photos = Photos(store, cache_gib=room)
    for _ in range(2):
        for number in range(5):
            photos.get(number)
    assert store.reads == 5 + 2  # three of five fit
    small = Photos(store, cache_side_px=24)
    assert small.get(0).shape == (24, 28, 3)


def test_every_photo_comes_once_before_any_comes_again(photos: Photos) -> None:
    samples = samples_of(photos)
    for turn in range(3):
        order = samples._order(turn)
        assert sorted(order) == list(range(16))
    assert list(samples._order(0)) != list(samples._order(1))


def test_a_sample_depends_on_the_seed_and_its_number_only(photos: Photos) -> None:
    crop, hole = samples_of(photos).sample(5)
    samples_of(photos).sample(3)
    again_crop, again_hole = samples_of(photos).sample(5)
    np.testing.assert_array_equal(crop, again_crop)
    np.testing.assert_array_equal(hole, again_hole)
    assert (samples_of(photos, seed=1).sample(5)[0] != crop).any()


def test_a_crop_covers_between_once_and_the_given_times_its_side() -> None:
    # Every column has its own value: the crop's range tells how much it covers.
    photo = np.tile(np.arange(200, dtype=np.uint8)[None, :, None], (150, 1, 3))
    spans = [int(np.ptp(random_crop(photo, default_rng(seed), 40, zoom_out=(1.0, 3.0))[0, :, 0])) for seed in range(60)]
    assert min(spans) < 50 and 90 < max(spans) < 120
    same = random_crop(photo, default_rng(0), 40, zoom_out=(1.0, 1.0))
    assert (np.diff(same[0, :, 0].astype(int)) == 1).all()  # no resampling


def test_a_photo_smaller_than_the_crop_is_enlarged() -> None:
    photo = np.zeros((10, 12, 3), np.uint8)
    assert random_crop(photo, default_rng(0), 16, zoom_out=(1.0, 2.0)).shape == (16, 16, 3)


def test_colour_changes_keep_the_photo_they_were_given() -> None:
    photo = np.full((4, 4, 3), 100, np.uint8)
    changed = vary_colour(photo, default_rng(1), 0.3)
    assert (photo == 100).all() and changed.dtype == np.uint8 and (changed != 100).any()
    np.testing.assert_array_equal(vary_colour(photo, default_rng(1), 0.0), photo)


def test_both_feeds_give_the_same_batches_from_any_step(photos: Photos) -> None:
    samples = samples_of(photos)
    options = {"batch": 4, "first_step": 3, "steps": 5, "prefetch": 2}
    threads = ThreadFeed(samples.sample, to_batch, workers=3, **options)
    a, b = list(threads), list(TfDataFeed(samples, workers=2, **options))
    assert len(a) == len(b) == 5
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one.valid, np.asarray(other.valid))
        np.testing.assert_allclose(one.truth, np.asarray(other.truth), atol=1e-6)
        assert one.truth.shape == (4, 16, 16, 3) and one.valid.shape == (4, 16, 16, 1)
        assert one.truth.min() >= -1 and one.truth.max() <= 1 and set(np.unique(one.valid)) <= {0, 1}
    later = list(ThreadFeed(samples.sample, to_batch, workers=1, **(options | {"first_step": 5, "steps": 1})))
    np.testing.assert_array_equal(later[0].truth, a[2].truth)
    assert threads.waited_s > 0


def test_validation_takes_the_same_photos_and_holes_each_time(photos: Photos) -> None:
    holes = HoleMix({"boxes": 1.0})
    first, again = (validation_batches(photos, range(16), holes, count=7, side_px=16, batch=3) for _ in range(2))
    assert [len(batch.truth) for batch in first] == [3, 3, 1]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.truth, b.truth)
        np.testing.assert_array_equal(a.valid, b.valid)
    areas = [float(1 - valid.mean()) for batch in first for valid in batch.valid]
    assert [int(area * 10) for area in areas] == [0, 1, 2, 3, 4, 5, 0]  # the buckets take turns


def test_the_middle_square_is_the_middle() -> None:
    photo = np.zeros((10, 20, 3), np.uint8)
    photo[:, 5:15] = 200
    assert (middle_square(photo, 10) == 200).all()


@pytest.mark.skipif(os.cpu_count() == 1, reason="needs two cores")
def test_a_photo_is_read_by_several_threads_at_once(photo_folder: Path) -> None:
    photos = Photos(open_photos([str(photo_folder)]), cache_gib=0.1)
    feed = ThreadFeed(samples_of(photos).sample, to_batch, batch=8, first_step=0, steps=8, workers=8, prefetch=4)
    batches = list(feed)
    assert len(batches) == 8 and not photos.broken
