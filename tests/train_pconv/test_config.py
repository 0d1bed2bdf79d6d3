"""The configuration and the command line made from it."""

from __future__ import annotations

import dataclasses
import shlex
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

import pytest

from train_pconv.__main__ import main
from train_pconv.config import PRESETS, TrainConfig, command_of
from training.options import add_arguments, read_config, with_values, write_config

ROOT = Path(__file__).resolve().parents[2]


def parsed(*arguments: str) -> dict[str, object]:
    parser = ArgumentParser()
    add_arguments(parser, TrainConfig())
    return vars(parser.parse_args(arguments))


def test_every_field_is_an_option_and_only_what_is_given_changes() -> None:
    assert parsed() == {}
    given = parsed("--images", "a", "b", "--rate", "0.001", "--no-flip", "--batch", "3", "--perceptual", "none")
    config = with_values(TrainConfig(), given)
    assert config == dataclasses.replace(
        TrainConfig(), images=("a", "b"), rate=0.001, flip=False, batch=3, perceptual="none"
    )


def test_a_configuration_survives_its_file(tmp_path: Path) -> None:
    config = dataclasses.replace(PRESETS["cpu"], images=("a",), out="b", hole_files=("c", "d"))
    write_config(config, tmp_path / "config.json")
    assert read_config(tmp_path / "config.json", TrainConfig()) == config


def test_a_file_with_an_unknown_field_or_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"learning_rate": 1}')
    with pytest.raises(ValueError, match="no option is called learning_rate"):
        read_config(tmp_path / "a.json", TrainConfig())
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValueError, match="is no configuration"):
        read_config(tmp_path / "a.json", TrainConfig())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "expected a table of options, got a list"),
        ("[" * 100_000, "recursion"),
        ('{"batch": "x"}', "batch is 'x'"),
        ('{"batch": true}', "batch is True"),
        ('{"rate": [1]}', r"rate is \[1\]"),
        ('{"images": 5}', "images is 5"),
    ],
)
def test_a_file_with_values_of_another_kind_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_config(tmp_path / "a.json", TrainConfig())
    (tmp_path / "a.json").write_text('{"rate": 1, "batch": 3}')  # 1 is a rate too
    assert read_config(tmp_path / "a.json", TrainConfig()).rate == 1


def test_the_presets_work_with_the_photos_given() -> None:
    for preset in PRESETS.values():
        dataclasses.replace(preset, images=("a",), out="b").check()
    report = PRESETS["report"]
    assert report.fraction == 0.10 and report.validation_fraction == 0.05
    assert report.total_epochs() == 32 and report.steps_per_epoch == 10_000


def test_a_command_gives_its_configuration_again() -> None:
    config = dataclasses.replace(
        PRESETS["cpu"],
        images=("photos",),
        out="RUN",
        batch=4,
        flip=False,
        jit=True,
        kernels=(7, 5),
        shapes=("masks",),
        start_from="b.npz",
    )
    words = shlex.split(command_of(config))
    assert words[:5] == ["python", "-m", "train_pconv", "--preset", "cpu"]
    assert with_values(PRESETS["cpu"], parsed(*words[5:])) == config
    assert "/" not in command_of(dataclasses.replace(config, images=("/data/photos",), shapes=("/data/masks",)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": ()}, "give --images"),
        ({"out": ""}, "give --out"),
        ({"crop_px": 100}, "must be a multiple of 4 "),
        ({"validation_px": 18}, "--validation-px 18"),
        ({"fraction": 1.5}, "--fraction must be 0 to 1"),
        ({"validation_fraction": 0.0}, "--validation-fraction must be between"),
        ({"area_min": 0.7}, "must be below --area-max"),
        ({"files": 1.0}, "give --hole-files"),
        ({"strokes": 0.0, "objects": 0.0, "boxes": 0.0}, "one above 0"),
        ({"perceptual": "vgg19-conv3"}, "needs --vgg-weights"),
        ({"batch": 0}, "--batch must be 1 or more, got 0"),
        ({"panel_photos": 0}, "--panel-photos must be 1 or more, got 0"),
    ],
)
def test_values_that_cannot_work_are_one_clear_line(
    tiny: Callable[..., TrainConfig], changes: dict[str, object], message: str
) -> None:
    if "crop_px" in changes:
        changes = changes | {"crop_px": 18}
    with pytest.raises(ValueError, match=message):
        tiny(**changes).check()


def test_wrong_folders_end_the_command_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--preset", "cpu", "--perceptual", "none", "--out", str(tmp_path / "run")]
    assert main([*options, "--images", str(tmp_path / "nowhere")]) == 1
    assert main([*options, "--images", str(tmp_path)]) == 1
    assert main([*options, "--images", str(tmp_path), "--resume"]) == 1
    assert main(["--resume", "--out", str(tmp_path / "mistyped")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4 and all(line.startswith("train_pconv: ") for line in lines)
    assert "is not there" in lines[0] and "holds no photos" in lines[1] and "nothing to resume" in lines[2]
    assert "mistyped holds no run" in lines[3]
    assert not (tmp_path / "run").exists()


def test_help_answers_without_loading_keras() -> None:
    code = "import sys; from train_pconv.__main__ import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print('keras' in sys.modules or 'tensorflow' in sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--style-ramp-steps" in done.stdout and done.stderr.strip() == "False"
