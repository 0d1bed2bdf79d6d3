import numpy as np
import pytest
from PIL import Image as PillowImage

from train_segment.sources import CocoFile, LabelFolder, PetFolder, open_source, read_labels


def test_label_folder_gives_each_label_as_an_object_and_255_as_ignored(label_folder):
    source = LabelFolder(label_folder)
    number = source.names.index("two/images/04.png")
    photo = source.read(number)
    assert photo.image.shape == (48, 64, 3)
    assert [int(mask.sum()) for mask, _ in photo.objects] == [400, 320]
    assert (photo.image[photo.objects[0][0]] == (220, 30, 30)).all()
    assert np.argwhere(photo.ignore).tolist() == [[37, x] for x in range(10, 50)]


def test_names_are_relative_sorted_and_without_the_excluded(label_folder):
    names = LabelFolder(label_folder, exclude=["two/*"]).names
    assert names == [f"one/images/{number:02}.png" for number in range(1, 24, 2)]
    with pytest.raises(ValueError, match="--exclude leaves"):
        LabelFolder(label_folder, exclude=["*"])


def test_a_set_is_found_when_the_folder_itself_is_one(label_folder):
    assert LabelFolder(label_folder / "one").names[0] == "images/01.png"


def test_nothing_is_decoded_before_it_is_read(label_folder):
    for photo in label_folder.rglob("*.png"):
        photo.write_bytes(b"no picture")
    source = LabelFolder(label_folder)
    assert len(source.names) == 24
    with pytest.raises(OSError, match="cannot identify"):
        source.read(0)


def test_manifest_names_the_classes(label_folder):
    manifest = label_folder.parent / "manifest.csv"
    manifest.write_text(
        "set,file,classes\ntwo,labels/two/images/04.png,1:chair;2:dog\none,labels/one/images/01.png,person\n"
    )
    source = LabelFolder(label_folder, manifest=manifest)
    assert [c for _, c in source.read(source.names.index("two/images/04.png")).objects] == ["chair", "dog"]
    assert [c for _, c in source.read(source.names.index("one/images/01.png")).objects] == [None]
    manifest.write_text("set,picture\n")
    with pytest.raises(ValueError, match="no column classes and file"):
        LabelFolder(label_folder, manifest=manifest)


def test_labels_of_a_palette_png_are_its_indices(tmp_path):
    palette = PillowImage.fromarray(np.array([[0, 1], [2, 255]], np.uint8))
    palette.putpalette([(7 * value) % 256 for value in range(3 * 256)])
    assert palette.mode == "P"
    palette.save(tmp_path / "p.png")
    assert read_labels(tmp_path / "p.png").tolist() == [[0, 1], [2, 255]]


def test_labels_of_one_bit_are_0_and_1_and_colours_are_refused(tmp_path):
    PillowImage.fromarray(np.array([[False, True]])).save(tmp_path / "bit.png")
    assert read_labels(tmp_path / "bit.png").tolist() == [[0, 1]]
    PillowImage.fromarray(np.zeros((2, 2, 3), np.uint8)).save(tmp_path / "rgb.png")
    with pytest.raises(ValueError, match="one channel"):
        read_labels(tmp_path / "rgb.png")


def test_coco_gives_polygons_run_lengths_classes_and_ignores_crowds(coco_file):
    source = CocoFile(coco_file)
    assert source.names == ["a.png", "c.png"]
    photo = source.read(0)
    (square, box), (strip, _) = photo.objects
    assert box == "box"
    assert square[3:5, 3:5].all() and not square[7:].any() and not square[:, 7:].any()
    assert strip[:, :2].all() and not strip[:, 2:].any()
    assert np.argwhere(photo.ignore.all(axis=1)).ravel().tolist() == [8, 9]
    assert source.read(1).objects[0][1] is None


def test_coco_photos_are_found_elsewhere_if_their_folder_is_named(coco_file, tmp_path):
    (coco_file.parent.parent / "val").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="--photo-folder"):
        CocoFile(coco_file)
    assert CocoFile(coco_file, tmp_path / "elsewhere").read(0).image.shape == (10, 12, 3)


@pytest.mark.parametrize("content", ["no json", "[" * 100_000, "[]", '{"images": []}', '{"annotations": [{}]}'])
def test_a_file_that_is_not_coco_s_is_a_value_error(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"COCO|no photo with objects"):
        CocoFile(path)


def test_pet_layout_gives_the_pet_and_ignores_its_rim(pet_folder):
    source = PetFolder(pet_folder)
    assert source.names == ["images/great_dane_1.jpg", "images/great_dane_2.jpg"]
    photo = source.read(0)
    ((mask, breed),) = photo.objects
    assert breed == "great_dane"
    assert mask.sum() == 16 and photo.ignore.sum() == 4


def test_the_layout_is_told_from_the_path(label_folder, coco_file, pet_folder, tmp_path):
    found = [type(open_source(path)) for path in (label_folder, coco_file, pet_folder)]
    assert found == [LabelFolder, CocoFile, PetFolder]
    with pytest.raises(ValueError, match="is not there"):
        open_source(tmp_path / "nowhere")


def test_a_mask_of_another_size_is_an_error(label_folder):
    path = label_folder / "one" / "masks" / "01.png"
    PillowImage.fromarray(np.zeros((5, 5), np.uint8)).save(path)
    with pytest.raises(ValueError, match="of the same photo"):
        LabelFolder(label_folder).read(0)
