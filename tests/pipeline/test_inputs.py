from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.inputs import InputError, plan


@pytest.fixture
def tree(tmp_path):
    """A folder of photos with folders in it, and things that are no photos."""
    root = tmp_path / "photos"
    for name in (
        "b.jpg",
        "a.PNG",
        "a.jpg",
        "notes.txt",
        ".hidden.jpg",
        "trip/a.jpg",
        "trip/day 2/c.webp",
        ".thumbnails/x.jpg",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (root / "loop").symlink_to(root, target_is_directory=True)
    return root


def _targets(tasks) -> list[str]:
    return [task.target.as_posix() for task in tasks]


def test_one_file_goes_beside_itself_under_another_name(tree):
    (task,) = plan([tree / "b.jpg"], suffix="-erased")
    assert task.target == tree / "b-erased.jpg"


def test_a_folders_tree_is_kept_and_only_photos_are_done(tree):
    tasks = plan([tree], out=Path("out"))
    assert [task.source.relative_to(tree).as_posix() for task in tasks] == [
        "a.PNG",
        "a.jpg",
        "b.jpg",
        "trip/a.jpg",
        "trip/day 2/c.webp",
    ]
    assert _targets(tasks) == ["out/a.PNG", "out/a.jpg", "out/b.jpg", "out/trip/a.jpg", "out/trip/day 2/c.webp"]


def test_two_photos_of_one_name_do_not_share_an_output(tree):
    tasks = plan([tree], out=Path("out"), extension=".png")
    assert _targets(tasks) == [
        "out/a-png.png",
        "out/a-jpg.png",
        "out/b.png",
        "out/trip/a.png",
        "out/trip/day 2/c.png",
    ]


def test_beside_their_photos_two_of_one_name_differ_too(tree):
    tasks = plan([tree / "a.jpg", tree / "a.PNG"], suffix="-cutout", extension=".png")
    assert [task.target.name for task in tasks] == ["a-jpg-cutout.png", "a-png-cutout.png"]


def test_files_of_one_name_from_different_folders_do_not_share_an_output(tree):
    tasks = plan([tree / "a.jpg", tree / "trip" / "a.jpg"], out=Path("out"))
    assert _targets(tasks) == ["out/a-jpg.jpg", "out/a-jpg-2.jpg"]


def test_names_that_differ_in_case_alone_do_not_share_an_output(tmp_path):
    for name in ("x/One.jpg", "y/one.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"x")
    targets = _targets(plan([tmp_path / "x" / "One.jpg", tmp_path / "y" / "one.jpg"], out=Path("out")))
    assert len({target.casefold() for target in targets}) == 2


def test_a_new_name_that_is_taken_already_is_not_given(tmp_path):
    for name in ("a.jpg", "a.png", "a-jpg.webp"):
        (tmp_path / name).write_bytes(b"x")
    targets = _targets(plan([tmp_path], out=Path("out"), extension=".png"))
    assert len(set(targets)) == 3


def test_several_folders_keep_their_names(tmp_path):
    for name in ("one/a.jpg", "two/a.jpg", "deep/one/a.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"x")
    tasks = plan([tmp_path / "one", tmp_path / "two", tmp_path / "deep" / "one"], out=Path("out"))
    assert _targets(tasks) == ["out/one/a.jpg", "out/two/a.jpg", "out/one-2/a.jpg"]


def test_a_photo_named_twice_is_done_once(tree):
    tasks = plan([tree / "b.jpg", tree, tree / "trip" / ".." / "b.jpg"], out=Path("out"))
    assert [task.source.name for task in tasks].count("b.jpg") == 1


def test_results_of_an_earlier_run_are_no_photos_to_do(tree):
    (tree / "done").mkdir()
    (tree / "done" / "a.jpg").write_bytes(b"x")
    tasks = plan([tree], out=tree / "done")
    assert all("done" not in task.source.parts for task in tasks)


def test_a_folder_can_be_its_own_output(tree):
    tasks = plan([tree], out=tree)
    assert tasks
    assert all(task.source.resolve() == task.target.resolve() for task in tasks)


def test_a_link_to_a_photo_is_a_photo(tree, tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "l.jpg").symlink_to(tree / "b.jpg")
    (task,) = plan([tmp_path / "links"], out=Path("out"))
    assert task.target == Path("out/l.jpg")


def test_what_makes_no_sense_is_one_clear_error(tree, tmp_path):
    with pytest.raises(InputError, match=r"there is no file or folder .*gone\.jpg"):
        plan([tree / "gone.jpg"])
    with pytest.raises(InputError, match=r"photos is a folder: say where the results go with --out DIR"):
        plan([tree])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"there is no photo in the folder .*empty: expected \.jpg, "):
        plan([tmp_path / "empty"], out=Path("out"))
