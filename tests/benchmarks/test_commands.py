"""The benchmarks' commands, with next to nothing to do; what they say is counted here, never how long they took."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import batch, click, erase, mask_rcnn, measure, start, training


def cells(table: Path) -> list[list[str]]:
    """The table's rows without its heads."""
    lines = [line for line in table.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_calls_that_take_turns_are_all_timed() -> None:
    calls: list[str] = []
    found = measure.least_in_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, at_most=2)
    assert calls == ["a", "b", "a", "b"]
    assert found["a"].seconds > 0


def test_the_command_line_is_told_without_where_its_files_go() -> None:
    assert (
        measure.command_line("benchmarks.x", ["--a", "1", "--out", "DIR", "--b"]) == "python -m benchmarks.x --a 1 --b"
    )


@pytest.mark.parametrize("name", benchmarks.BENCHMARKS)
def test_every_benchmark_knows_the_options_that_it_is_run_with(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    with pytest.raises(SystemExit) as ended:
        module.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(word in text for word in (*benchmarks.BENCHMARKS[name][1], "--out") if word.startswith("--"))


def test_all_tables_become_one_file_and_go_where_the_mark_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(name: str, words: list[str]) -> bool:
        Path(words[-1]).mkdir(exist_ok=True)
        Path(words[-1], f"{name}.md").write_text(f"what {name} says\n")
        return name != "click" or "broken" not in words[-1]

    monkeypatch.setattr(benchmarks, "_run", run)
    readme = tmp_path / "README.md"
    readme.write_text("# Benchmarks\n\n<!-- tables: below -->\n\n## Old\n")
    assert benchmarks.main(["--only", "click,erase", "--out", str(tmp_path / "out"), "--into", str(readme)]) == 0
    assert readme.read_text().startswith("# Benchmarks\n\n<!-- tables: below -->\n\n`python -m benchmarks`")
    assert "## Click to answer\n\nwhat click says\n\n## Erasing" in readme.read_text()
    assert "Old" not in readme.read_text()
    assert benchmarks.main(["--only", "click,erase", "--out", str(tmp_path / "broken"), "--into", str(readme)]) == 1
    assert capsys.readouterr().err == "bench: failed: click\n"
    assert "what erase says" in (tmp_path / "broken" / "tables.md").read_text()


def test_tables_go_into_no_file_without_the_mark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmarks.main(["--into", str(tmp_path / "README.md")])
    assert "has no line that begins with" in capsys.readouterr().err


def test_erasing_is_measured_at_each_size_and_share(tmp_path: Path) -> None:
    words = ["--inpainters", "telea", "--megapixels", "0.03,0.06", "--shares", "2", "--budget", "0"]
    assert erase.main([*words, "--out", str(tmp_path)]) == 0
    found = cells(tmp_path / "erase.md")
    assert [row[:2] for row in found] == [[erase.JPEG, "-"], ["telea", "2 %"]]
    assert all("MiB" in cell or sys.platform != "linux" for cell in found[1][2:])


@pytest.mark.parametrize("share", [0.02, 0.1])
def test_the_object_covers_its_share(share: float) -> None:
    assert erase.disk((300, 400), share).mean() == pytest.approx(share, rel=0.05)


def test_the_goals_of_erasing_are_told_reached_or_not() -> None:
    def at(mp: float, share: float, seconds: float, mib: float = 10.0) -> dict[str, float]:
        return {"mp": mp, "share": share, "s": seconds, "cpu_s": seconds, "mib": mib, "photo_mib": 5.0}

    jpeg = {"mp": 12, "share": 0, "s": 0.3, "cpu_s": 0.3, "mib": 1.0}
    one_pass = {"mp": 0, "share": 0, "s": 0.2, "cpu_s": 0.2, "mib": 1.0}
    said = erase.verdict({erase.JPEG: [jpeg], erase.PASS: [one_pass], "net": [at(12, 2, 0.9), at(12, 10, 1.1, 50.0)]})
    assert "net, 2 % of 12 MP: 1.80 times decode + encode and one net pass by the clock, 1.80 by CPU" in said
    assert [line.rpartition(": ")[2] for line in said.splitlines()[1:3]] == ["reached", "not reached"]
    assert "memory: 1 of 2 within the goal of 8 photos; most is 10.0 (net, 10 % of 12 MP)" in said


def test_clicks_are_measured_at_each_size(tmp_path: Path) -> None:
    assert click.main(["--segmenters", "grabcut", "--sizes", "80x60", "--clicks", "2", "--out", str(tmp_path)]) == 0
    assert [row[:2] for row in cells(tmp_path / "click.md")] == [["grabcut", "80x60"]]


def test_a_segmenter_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert click.main(["--segmenters", "nobody", "--sizes", "80x60"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("click: ") and "no segmenter is called 'nobody'" in error and error.count("\n") == 1


def test_mask_rcnn_finds_what_plain_mmdet_finds(tmp_path: Path) -> None:
    pytest.importorskip("mmdet", reason="mmdet is not installed")
    words = ["--nets", "tiny", "--sizes", "192x144", "--budget", "0", "--out", str(tmp_path)]
    assert mask_rcnn.main(words) == 0
    assert [row[2] for row in cells(tmp_path / "mask_rcnn.md")] == [mask_rcnn.PLAIN, mask_rcnn.AT_OURS, mask_rcnn.OURS]
    said = (tmp_path / "mask_rcnn.md").read_text()
    assert "Plain mmdet finds 8 instances" in said and "Clickaway 8; 8 pairs of one label, mask IoU 1.0000" in said


def test_an_instance_that_only_one_finds_is_no_pair() -> None:
    torch = pytest.importorskip("torch")
    structures = pytest.importorskip("mmengine.structures")
    from segment.instances import Instance, pack

    masks = np.zeros((3, 6, 6), bool)
    masks[0, :3, :3] = masks[1, 3:, 3:] = True  # the third is empty
    plain = structures.InstanceData(
        masks=torch.from_numpy(masks), labels=torch.tensor([0, 1, 1]), scores=torch.tensor([0.9, 0.8, 0.7])
    )
    ours = pack([Instance(masks[0, :3, :2], (0, 0), (0, 0, 2, 3), "cat", 0.9)], (6, 6))
    found = mask_rcnn.compare(plain, ours, ("cat", "dog"))
    assert (found["plain"], found["ours"], found["paired"]) == (2, 1, 1)
    assert found["iou"] == pytest.approx(2 / 3)


def test_a_folder_is_done_by_the_command_and_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "SIZE_WH", (160, 120))
    monkeypatch.setattr(batch, "LOOPED", 1)
    words = ["--models", "classic", "--photos", "2", "--workers", "1", "--out", str(tmp_path)]
    assert batch.main(words) == 0
    ways = [(row[1], row[2]) for row in cells(tmp_path / "batch.md")]
    assert [photos for _, photos in ways] == ["1", "2", "2", "2"]
    assert ways[-1][0] == "clickaway erase FOLDER --workers 1 --together 2"


def test_a_first_erase_is_timed_and_its_imports_are_counted(tmp_path: Path) -> None:
    words = ["--runs", "1", "--erases", "0", "--no-cold", "--no-demo", "--out", str(tmp_path)]
    assert start.main(words) == 0
    said = (tmp_path / "start.md").read_text()
    assert "| --help |" in said and "| erase --box, telea | - |" in said and "cv2" in said


def test_imports_are_added_up_by_package() -> None:
    told = "import time: self [us] | cumulative | imported package\nimport time:   10 |   30 |   keras.src\n"
    told += "import time:   5 |   5 | keras\nimport time:      7 |     7 |     numpy._core\n"
    assert start.packages_in(told) == Counter({"keras": 15, "numpy": 7})


def test_training_is_told_by_the_run_s_own_scalars() -> None:
    def line(rate: float, waiting: float, kind: str = "train") -> dict[str, object]:
        return {"kind": kind, "photos_per_second": rate, "waiting_share": waiting}

    lines = [line(0.1, 0.9), line(4, 0.1), line(6, 0.3), {"kind": "validation"}]
    assert training.summary(lines) == {"photos_a_second": 6, "waiting_share": pytest.approx(0.2)}
    with pytest.raises(RuntimeError, match="too few"):
        training.summary(lines[:1])


def test_trainings_are_run_with_options_that_they_have(tmp_path: Path) -> None:
    from train_pconv.config import TrainConfig
    from train_segment.recipes import RECIPES

    words = training.commands(tmp_path / "photos", tmp_path, 1)
    for config, name in ((TrainConfig(), "train_pconv"), (RECIPES["subject"], "train_segment subject")):
        options = {word[2:].replace("-", "_") for word in words[name] if word.startswith("--")}
        assert options <= set(vars(config))


def test_drawn_photos_have_their_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.setattr(training, "PHOTO_PX", 64)
    training.draw_photos(tmp_path, 2)
    assert len(list(tmp_path.glob("drawn/images/*.jpg"))) == 2
    assert np.asarray(Image.open(tmp_path / "drawn/masks/000.png")).any()


def test_a_training_that_fails_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "commands", lambda *_: {"broken": ["json.tool", "--nonsense"]})
    monkeypatch.setattr(training, "draw_photos", lambda _: None)
    assert training.main([]) == 1
    assert capsys.readouterr().err.startswith("training: json.tool: ")
