"""Damaged and hostile weight files, before every reader that opens one: one line, nothing run, no other exception."""

from __future__ import annotations

import os
import pickle
import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weights
from weights import WeightsError, WeightSpec, fetch
from weights.bundle import net_config, read_bundle, read_bundle_config, write_bundle

SEEDS = range(60)
ARRAYS = {f"block{n}/kernel": np.linspace(-1, 1, 60, dtype=np.float32).reshape(3, 4, 5) * n for n in range(1, 4)}


def of_mmdet(path: Path) -> object:
    from segment.checkpoints import load

    return load(path).state_dict


def of_pconv(path: Path) -> object:
    from inpaint.convert import read_state_dict

    return read_state_dict(path)


READERS = {
    "bundle": ("net.npz", lambda path: read_bundle(path)[1]),
    "config": ("net.npz", read_bundle_config),
    "mmdet": ("net.pth", of_mmdet),
    "pconv": ("net.pth", of_pconv),
}
Reader = tuple[Path, Callable[[Path], object]]


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> Reader:
    """A whole small weight file, and what reads its kind."""
    name, read = READERS[request.param]
    path = tmp_path / name
    if path.suffix == ".npz":
        write_bundle(path, {"width": 4}, ARRAYS)
    else:
        torch = pytest.importorskip("torch")
        torch.save({"state_dict": {k: torch.tensor(v) for k, v in ARRAYS.items()}, "meta": {}}, path)
    assert len(read(path)) >= 1  # type: ignore[arg-type]
    return path, read


def refusal(read: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        read(path)
    line = str(caught.value)
    assert "\n" not in line and len(line) < 600 and str(path) in line
    return line


def test_a_file_cut_anywhere_is_refused_in_one_line(reader: Reader) -> None:
    path, read = reader
    whole = path.read_bytes()
    for seed in SEEDS:
        path.write_bytes(whole[: random.Random(seed).randrange(len(whole))])
        refusal(read, path)


def test_a_file_with_any_bit_flipped_is_refused_in_one_line_or_is_read(reader: Reader) -> None:
    """That it is another file than the published one is found by its sha256, not by the reader."""
    path, read = reader
    whole = path.read_bytes()
    refused = 0
    for seed in SEEDS:
        place = random.Random(seed).randrange(8 * len(whole))
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            assert isinstance(read(path), dict)
        except WeightsError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_known_file_with_one_bit_flipped_is_refused_by_its_sha256(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    import hashlib

    monkeypatch.setattr(weights, "BUNDLED_DIR", tmp_path)
    path = tmp_path / "net.npz"
    write_bundle(path, {"width": 4}, ARRAYS)
    whole = bytearray(path.read_bytes())
    spec = WeightSpec("net", "segmenter", "net.npz", hashlib.sha256(whole).hexdigest(), 0.1, "none", "nothing", "none")
    assert fetch(spec) == path
    place = random.Random(seed).randrange(8 * len(whole))
    whole[place // 8] ^= 1 << place % 8
    path.write_bytes(whole)
    with pytest.raises(WeightsError, match="damaged or another file"):
        fetch(spec)


def test_noise_and_the_files_of_other_kinds_are_refused_in_one_line(reader: Reader, tmp_path: Path) -> None:
    path, read = reader
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("archive/data.pkl", b"cos\nsystem\n(S'true'\ntR.")
    contents = [b"", b"\0", b"PK\3\4", b"\x80\x04.", b"<html>Please log in</html>", b"\x93NUMPY" + b"\xff" * 20]
    contents += [random.Random(seed).randbytes(3000) for seed in SEEDS[:20]] + [(tmp_path / "zip").read_bytes()]
    for content in contents:
        path.write_bytes(content)
        refusal(read, path)


class Runs:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path, how: str = "mkdir"):
        self.marker, self.how = marker, how

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        if self.how == "eval":
            return eval, (f"__import__('os').mkdir({str(self.marker)!r})",)
        return (os.mkdir if self.how == "mkdir" else os.system), (
            str(self.marker) if self.how == "mkdir" else f"mkdir {self.marker}",
        )


@pytest.mark.parametrize("how", ["mkdir", "system", "eval"])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(reader: Reader, how: str, protocol: int) -> None:
    path, read = reader
    marker = path.parent / "was-run"
    attack = Runs(marker, how)
    hidden = (attack, {"state_dict": attack}, {"state_dict": {"a": attack}, "meta": {}}, [1, {"meta": attack}])
    for content in hidden:
        path.write_bytes(pickle.dumps(content, protocol))
        refusal(read, path)
        if path.suffix == ".pth":
            torch = pytest.importorskip("torch")
            for zipped in (True, False):
                torch.save(content, path, pickle_protocol=max(2, protocol), _use_new_zipfile_serialization=zipped)
                refusal(read, path)
        else:
            with path.open("wb") as file:
                objects = np.empty(1, object)
                objects[0] = content
                np.savez(file, config=np.array("{}"), kernel=objects)
            if read is not read_bundle_config:  # which leaves the arrays alone
                refusal(read, path)
            with path.open("wb") as file:
                np.savez(file, config=objects, kernel=np.zeros(1))
            refusal(read, path)
        assert not marker.exists()


def test_no_reader_runs_a_pickle_whatever_it_says_about_it(reader: Reader) -> None:
    path, read = reader
    for how in ("mkdir", "system", "eval"):
        path.write_bytes(pickle.dumps({"state_dict": Runs(path.parent / "was-run", how)}, 2))
        with pytest.raises(WeightsError):
            read(path)
        assert not (path.parent / "was-run").exists()


@pytest.mark.parametrize("how", ["mkdir", "system", "eval"])
def test_the_attack_is_one(tmp_path: Path, how: str) -> None:
    pickle.loads(pickle.dumps(Runs(tmp_path / "was-run", how)))
    assert (tmp_path / "was-run").exists()


def test_a_bundle_that_unpacks_to_more_than_any_net_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("config.npy", "w") as entry:
            np.lib.format.write_array(entry, np.array("{}"), allow_pickle=False)
        for name in ("a.npy", "b.npy"):
            with archive.open(name, "w", force_zip64=True) as entry:
                np.lib.format.write_array_header_1_0(entry, {"descr": "|u1", "fortran_order": False, "shape": (2**25,)})
                entry.write(bytes(2**25))
    assert path.stat().st_size < 2**20
    read_bundle(path)
    from weights import bundle

    before = bundle._MOST_BYTES
    bundle._MOST_BYTES = 2**26
    try:
        assert "more than any net" in refusal(lambda file: read_bundle(file), path)
    finally:
        bundle._MOST_BYTES = before


@pytest.mark.parametrize("shape", ["(2**40,)", "(1099511627776,)", "(-1,)", "(10**6, 10**6)", "(1 << 62, 4)"])
def test_a_bundle_whose_header_lies_about_its_size_is_refused(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "net.npz"
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("config.npy", "w") as entry:
            np.lib.format.write_array(entry, np.array("{}"), allow_pickle=False)
        archive.writestr("a.npy", b"\x93NUMPY\1\0" + len(head).to_bytes(2, "little") + head + bytes(64))
    refusal(lambda file: read_bundle(file), path)


@dataclass(frozen=True)
class Sizes:
    width: int = 4
    rate: float = 0.5
    deep: bool = False
    kernels: tuple[int, ...] = (5,)
    variant: str = "v2"


@pytest.mark.parametrize(
    "values",
    [
        {"width": 10**9},
        {"width": 2**70},
        {"width": -(10**9)},
        {"width": 1.5},
        {"width": "4"},
        {"width": True},
        {"width": [4]},
        {"width": {}},
        {"rate": float("nan")},
        {"rate": float("inf")},
        {"rate": "x"},
        {"deep": 1},
        {"kernels": 5},
        {"kernels": [10**9]},
        {"kernels": [[5]]},
        {"kernels": [5] * 5000},
        {"variant": 5},
        {"variant": "x" * 5000},
        {"unknown": 1},
    ],
    ids=lambda values: str(values)[:30],
)
def test_a_bundle_whose_sizes_no_net_has_is_refused_before_anything_is_built(tmp_path: Path, values: dict) -> None:
    path = tmp_path / "net.npz"
    write_bundle(path, {"architecture": "sizes", "net": values}, ARRAYS)
    message = refusal(lambda path: net_config(path, read_bundle_config(path), "sizes", Sizes), path)
    assert len(message) < 500


def test_sizes_as_json_keeps_them_are_read(tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    write_bundle(path, {"architecture": "sizes", "net": {"rate": 1, "kernels": [7, 5], "width": 4096}}, ARRAYS)
    assert net_config(path, read_bundle_config(path), "sizes", Sizes)[0].width == 4096


@pytest.mark.parametrize(("field", "value"), [("blocks", 1000), ("trunk", 0), ("input_px", 33)])
def test_a_net_of_a_stranger_is_not_built_whatever_its_depth(tmp_path: Path, field: str, value: int) -> None:
    from segment.nets.configs import read_click_net_config

    path = tmp_path / "net.npz"
    write_bundle(path, {"architecture": "click_net", "net": {field: value}}, ARRAYS)
    assert field in refusal(read_click_net_config, path) or "sizes" in refusal(read_click_net_config, path)


def test_a_net_that_cannot_be_built_is_one_line(tmp_path: Path) -> None:
    from weights.nets import read_net

    def build(config: Sizes) -> Any:
        raise RuntimeError("Keras's own words\nabout shapes")

    path = tmp_path / "net.npz"
    write_bundle(path, {"architecture": "sizes", "net": {}}, ARRAYS)
    assert "cannot be built (Keras's own words)" in refusal(lambda path: read_net(path, "sizes", Sizes, build), path)
