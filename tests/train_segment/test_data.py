import shutil

import numpy as np
import pytest

from train_segment.data import BrokenSampleError, Samples, colour, flip, open_data, split
from training.split import hash_share


def test_split_depends_on_names_alone():
    names = [f"voc2012/images/{number:04}.jpg" for number in range(400)]
    training, validation = split(names, 0.1)
    assert sorted(training + validation) == list(range(400))
    assert 15 <= len(validation) <= 70
    more = ["aaa/new.jpg", *names]
    assert {more[n] for n in split(more, 0.1)[1]} - {"aaa/new.jpg"} == {names[n] for n in validation}


def test_hash_is_the_same_on_every_machine():
    assert hash_share("voc2012/images/2007_000033.jpg", "validate") == pytest.approx(0.9530415422434709, abs=1e-12)


def test_a_split_with_an_empty_side_is_refused():
    with pytest.raises(ValueError, match="--validation-fraction"):
        split(["a"], 0.5)


def test_a_sample_for_each_object_of_a_fitting_size(label_folder):
    labelled = open_data([label_folder])
    number = list(labelled.names).index("two/images/04.png")
    square, bar = labelled.samples(number)
    assert square.name == "two/images/04.png"
    assert (square.mask.sum(), bar.mask.sum()) == (400, 320)
    assert (square.others[0] == bar.mask).all() and len(square.others) == 1
    assert square.ignore.sum() == 40
    assert len(labelled.samples(number, min_share=0.12)) == 1


def test_several_sources_are_read_as_one(label_folder, coco_file, pet_folder):
    labelled = open_data([label_folder, coco_file, pet_folder])
    assert len(labelled.names) == 24 + 2 + 2
    assert labelled.samples(27)[0].label == "great_dane"


def test_pixels_of_an_object_are_not_ignored_for_it(coco_file):
    strip = open_data([coco_file]).samples(0)[1]
    assert strip.mask[9, 0] and not strip.ignore[9, 0] and strip.ignore[9, 5]


def break_some(label_folder):
    whole = (label_folder / "one" / "images" / "01.png").read_bytes()
    (label_folder / "one" / "images" / "01.png").write_bytes(whole[: len(whole) // 2])
    (label_folder / "one" / "images" / "03.png").write_bytes(b"")
    (label_folder / "one" / "masks" / "05.png").unlink()
    return {f"one/images/0{number}.png" for number in (1, 3, 5)}


def test_broken_files_are_passed_over_counted_and_named(label_folder):
    broken = break_some(label_folder)
    labelled = open_data([label_folder])
    samples = Samples(labelled, range(24))
    names = {samples.sample(index).name for index in range(24)}
    assert set(labelled.broken) == broken
    assert all(labelled.broken.values())
    assert not names & broken
    with pytest.raises(BrokenSampleError, match=r"one/images/01\.png"):
        labelled.get(list(labelled.names).index("one/images/01.png"))


def test_a_broken_photo_does_not_break_its_namesake_of_another_folder(label_folder, tmp_path):
    shutil.copytree(label_folder, tmp_path / "again")
    break_some(label_folder)
    labelled = open_data([label_folder, tmp_path / "again"])
    number = list(labelled.names).index("one/images/01.png")
    with pytest.raises(BrokenSampleError):
        labelled.get(number)
    assert labelled.get(number + 24).image.shape == (48, 64, 3)


def test_nothing_but_broken_files_is_an_error_that_says_so(label_folder):
    for photo in label_folder.rglob("images/*.png"):
        photo.write_bytes(b"")
    with pytest.raises(ValueError, match="24 are broken"):
        Samples(open_data([label_folder]), range(24)).sample(0)


def test_each_photo_comes_once_an_epoch_in_another_order_each_time(label_folder):
    samples = Samples(open_data([label_folder]), range(24))
    epochs = [[samples.sample(index).name for index in range(start, start + 24)] for start in (0, 24)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(set(epochs[0]))
    assert epochs[0] != epochs[1]


def test_the_same_index_gives_the_same_sample_whatever_came_before(label_folder):
    hooks = [flip, colour(0.3)]
    one, other = (Samples(open_data([label_folder]), range(24), augment=hooks, seed=5) for _ in range(2))
    for index in (40, 3, 17):
        first = one.sample(index)
    second = other.sample(17)
    assert first.name == second.name
    assert (first.image == second.image).all() and (first.mask == second.mask).all()


def test_flip_mirrors_everything_or_nothing_and_leaves_the_sample_alone(label_folder):
    labelled = open_data([label_folder])
    sample = labelled.samples(list(labelled.names).index("two/images/04.png"))[0]
    before = sample.image.copy(), sample.mask.copy()
    results = [flip(sample, np.random.default_rng(seed)) for seed in range(20)]
    mirrored = [bool((result.mask != sample.mask).any()) for result in results]
    assert any(mirrored) and not all(mirrored)
    for result, is_mirrored in zip(results, mirrored, strict=True):
        step = -1 if is_mirrored else 1
        assert (result.image == sample.image[:, ::step]).all()
        assert (result.ignore == sample.ignore[:, ::step]).all()
        assert (result.others[0] == sample.others[0][:, ::step]).all()
    assert (sample.image == before[0]).all() and (sample.mask == before[1]).all()


def test_colour_changes_the_photo_and_no_mask(label_folder):
    sample = open_data([label_folder]).samples(0)[0]
    changed = colour(0.4)(sample, np.random.default_rng(1))
    assert changed.image.dtype == np.uint8
    assert (changed.image != sample.image).any()
    assert changed.mask is sample.mask
    assert (colour(0)(sample, np.random.default_rng(1)).image == sample.image).all()
    with pytest.raises(ValueError, match="must be 0"):
        colour(2)
