"""The bundle format: what is written comes back, nothing else does, and nothing in a file is ever run."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from weights import WeightsError
from weights.bundle import read_bundle, write_bundle

CONFIG = {"width": 4, "name": "net"}
ARRAYS = {
    "enc1/conv/kernel": np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4),
    "enc1/bn/count": np.array([7], np.int64),
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "net.npz"
    write_bundle(path, CONFIG, ARRAYS)
    return path


def test_bundle_gives_back_the_config_and_the_arrays_within_half_precision(bundle: Path) -> None:
    config, arrays = read_bundle(bundle)
    assert config == CONFIG
    assert arrays.keys() == ARRAYS.keys()
    assert arrays["enc1/conv/kernel"].dtype == np.float32
    assert arrays["enc1/bn/count"].dtype == np.int64
    np.testing.assert_allclose(arrays["enc1/conv/kernel"], ARRAYS["enc1/conv/kernel"], atol=5e-4)
    np.testing.assert_array_equal(arrays["enc1/bn/count"], [7])


def test_bundle_of_float32_gives_back_the_same_bits(tmp_path: Path) -> None:
    write_bundle(tmp_path / "net.npz", CONFIG, ARRAYS, float16=False)
    _, arrays = read_bundle(tmp_path / "net.npz")
    np.testing.assert_array_equal(arrays["enc1/conv/kernel"], ARRAYS["enc1/conv/kernel"])


def test_same_content_gives_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.npz"
    write_bundle(again, dict(reversed(CONFIG.items())), dict(reversed(ARRAYS.items())))
    os.utime(bundle, (0, 0))
    assert again.read_bytes() == bundle.read_bytes()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_value_that_is_not_finite_is_refused_and_nothing_written(tmp_path: Path, value: float) -> None:
    path = tmp_path / "net.npz"
    with pytest.raises(ValueError, match="kernel holds values"):
        write_bundle(path, CONFIG, {"kernel": np.array([value])})
    assert list(tmp_path.iterdir()) == []


def test_array_that_half_precision_cannot_hold_keeps_its_values_and_the_others_are_halves(tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    variance = np.array([0.1, -1e6], np.float32)
    write_bundle(path, CONFIG, {**ARRAYS, "variance": variance})
    np.testing.assert_array_equal(read_bundle(path)[1]["variance"], variance)
    with np.load(path) as stored:
        assert stored["enc1/conv/kernel"].dtype == np.float16


def test_failed_write_leaves_the_old_bundle_as_it_was(bundle: Path) -> None:
    before = bundle.read_bytes()
    with pytest.raises(TypeError):
        write_bundle(bundle, {"not json": object()}, ARRAYS)
    assert bundle.read_bytes() == before
    assert list(bundle.parent.iterdir()) == [bundle]


def test_array_called_config_would_overwrite_the_config_and_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="config"):
        write_bundle(tmp_path / "net.npz", CONFIG, {"config": np.zeros(1)})


def test_arguments_are_left_alone(bundle: Path) -> None:
    assert CONFIG == {"width": 4, "name": "net"}
    assert ARRAYS["enc1/conv/kernel"].dtype == np.float32


def test_bundle_cut_off_at_any_place_is_refused_in_one_line(bundle: Path) -> None:
    whole = bundle.read_bytes()
    for length in range(0, len(whole), 37):
        bundle.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match="not a whole Clickaway bundle") as caught:
            read_bundle(bundle)
        assert "\n" not in str(caught.value)


def test_bundle_with_any_byte_changed_is_refused_or_still_says_the_same(bundle: Path) -> None:
    whole = bundle.read_bytes()
    refused = 0
    for place in range(0, len(whole), 7):
        bundle.write_bytes(whole[:place] + bytes([whole[place] ^ 0x5A]) + whole[place + 1 :])
        try:
            config, arrays = read_bundle(bundle)
        except WeightsError:
            refused += 1
            continue
        # A byte of the archive's own book-keeping: the zip's checksums cover what counts.
        assert config == CONFIG
        np.testing.assert_array_equal(arrays["enc1/bn/count"], [7])
    assert refused > 10


class Runs:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def test_pickled_array_is_refused_and_not_run(tmp_path: Path) -> None:
    marker, path = tmp_path / "was-run", tmp_path / "net.npz"
    np.savez(path, config=np.array(json.dumps(CONFIG)), kernel=np.array([Runs(marker)], dtype=object))
    with pytest.raises(WeightsError):
        read_bundle(path)
    assert not marker.exists()


def test_pickle_under_a_bundle_s_name_is_refused_and_not_run(tmp_path: Path) -> None:
    import pickle

    marker, path = tmp_path / "was-run", tmp_path / "net.npz"
    path.write_bytes(pickle.dumps(Runs(marker)))
    with pytest.raises(WeightsError):
        read_bundle(path)
    assert not marker.exists()


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    with pytest.raises(WeightsError):
        read_bundle(path)
    np.save(tmp_path / "bare.npy", np.zeros(3))
    (tmp_path / "bare.npy").replace(path)
    with pytest.raises(WeightsError):
        read_bundle(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(WeightsError):
        read_bundle(path)
    np.savez(path, kernel=np.zeros(3))
    with pytest.raises(WeightsError):
        read_bundle(path)
    np.savez(path, config=np.array("[1, 2]"), kernel=np.zeros(3))
    with pytest.raises(WeightsError):
        read_bundle(path)
