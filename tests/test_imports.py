"""The design's import direction, read from the code; and what an import may load, tried."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Room -> the rooms it may import.
ALLOWED = {
    "weights": set(),
    "segment": {"weights"},
    "inpaint": {"weights"},
    "pipeline": {"segment", "inpaint", "weights"},
    "training": {"weights"},
    "train_pconv": {"training", "inpaint", "weights"},
    "train_segment": {"training", "segment", "weights"},
    "demo": {"pipeline", "segment", "inpaint", "weights"},
}
# The command line starts the demo when it is asked to: the one arrow that points back, in one function.
ALLOWED_BACK = {("pipeline/__main__.py", "demo")}
HEAVY = ("tensorflow", "keras", "torch", "mmdet", "mmcv", "gradio", "skimage", "scipy", "pymatting", "av")


def imported_rooms(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
    return names & ALLOWED.keys()


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_only_the_rooms_below_it(room):
    wrong = {
        (str(path.relative_to(ROOT)), name)
        for path in (ROOT / room).rglob("*.py")
        for name in imported_rooms(path) - ALLOWED[room] - {room}
    }
    assert wrong - ALLOWED_BACK == set()


@pytest.mark.parametrize("net", [*sorted(ROOT.glob("segment/nets/*.py")), ROOT / "inpaint" / "pconv_unet.py"])
def test_a_net_imports_no_framework_but_keras(net):
    source = ast.parse(net.read_text())
    names = {alias.name.split(".")[0] for n in ast.walk(source) if isinstance(n, ast.Import) for alias in n.names}
    names |= {n.module.split(".")[0] for n in ast.walk(source) if isinstance(n, ast.ImportFrom)}
    assert not names & {"tensorflow", "torch", "jax"}


@pytest.mark.parametrize(
    "room", ["segment", "inpaint", "weights", "pipeline", "demo", "training", "train_pconv", "train_segment"]
)
def test_importing_a_room_loads_no_heavy_library(room):
    code = f"import {room}, sys; print(*(m for m in {HEAVY} if m in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []


def test_the_command_s_help_loads_neither_numpy_nor_opencv():
    code = "import sys; from pipeline.arguments import parser; parser().format_help(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"numpy", "cv2", "PIL", *HEAVY} & set(loaded.split())


@pytest.mark.parametrize(("lean", "wanted"), [("1", False), ("", True)])
def test_the_commands_on_photos_load_keras_without_what_they_never_use(lean, wanted):
    pytest.importorskip("pandas")
    code = "import sys; from weights.frameworks import load_keras; load_keras(); from inpaint import pconv; "
    code += "print(*(m in sys.modules for m in ('keras', 'pandas', 'numba')))"
    environment = {**os.environ, "CLICKAWAY_LEAN_KERAS": lean}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["True", str(wanted), "False"], done.stderr
