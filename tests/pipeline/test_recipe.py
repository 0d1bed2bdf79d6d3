"""Recipes: a command's options in a TOML file."""

from __future__ import annotations

import re

import pytest

from pipeline.__main__ import main
from pipeline.recipe import RecipeError, expanded


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> str:
        (tmp_path / "r.toml").write_text(text)
        return "r.toml"

    return write


def test_options_of_every_kind_stand_in_front_of_the_command_lines(recipe):
    recipe('grow = 8\nclass = ["person", "car"]\nscore_threshold = 0.5\noffline = true\nquiet = false\ndevice = "cpu"')
    assert expanded(["erase", "photos", "--grow", "3", "--recipe", "r.toml"]) == [
        "erase",
        "--grow=8",
        "--class=person,car",
        "--score-threshold=0.5",
        "--offline",
        "--device=cpu",
        *["photos", "--grow", "3", "--recipe", "r.toml"],
    ]


def test_several_clicks_and_boxes_are_lists_of_lists(recipe):
    recipe("at = [[1, 2], [3, 4]]\nbox = [[1, 2, 3, 4]]")
    assert expanded(["erase", "--recipe=r.toml"])[1:4] == ["--at=1,2", "--at=3,4", "--box=1,2,3,4"]


def test_without_a_recipe_nothing_changes():
    for argv in ([], ["--help"], ["erase", "a.jpg", "--at", "1,2"], ["erase", "--", "--recipe"]):
        assert expanded(argv) == argv


def test_watching_erases_or_does_what_the_recipe_says(recipe):
    assert expanded(["watch", "inbox"]) == ["erase", "--watch", "inbox"]
    recipe('command = "blur"\nsigma = 4')
    assert expanded(["watch", "inbox", "--recipe", "r.toml"])[:4] == ["blur", "--sigma=4", "--watch", "inbox"]
    assert expanded(["blur", "inbox", "--recipe", "r.toml"])[:2] == ["blur", "--sigma=4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grow = ", "the recipe r.toml is no TOML"),
        ('command = "blur"', "the recipe r.toml is for blur, not for erase"),
        ("[grow]\npx = 3", "the recipe's grow must be a text, a number, true or a list"),
    ],
)
def test_recipes_that_make_no_sense_are_one_clear_error(recipe, text, message):
    with pytest.raises(RecipeError, match=re.escape(message)):
        expanded(["erase", "photos", "--recipe", recipe(text)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sigma = 3", "unrecognized arguments: --sigma=3"),
        ("grow = -3", "argument --grow: expected a whole number, 0 or more, got '-3'"),
        ("grow = ", "the recipe r.toml is no TOML"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong_with_a_recipe(recipe, capsys, text, message):
    with pytest.raises(SystemExit) as leaving:
        main(["erase", "photos", "--recipe", recipe(text)])
    assert leaving.value.code == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


def test_a_recipe_that_is_not_there_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as leaving:
        main(["erase", "photos", "--recipe", "gone.toml"])
    assert leaving.value.code == 2
    assert "gone.toml" in capsys.readouterr().err


def test_a_recipe_erases(recipe, draw, tmp_path, capsys):
    draw(tmp_path / "a.png")
    recipe('box = [20, 20, 44, 44]\ninpainter = "telea"')
    assert main(["erase", "a.png", "--recipe", "r.toml"]) == 0
    assert capsys.readouterr().out.startswith("a-erased.png: selection, 14.1% of the photo")
