"""The table of weights: where files are, and how they are checked."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

import weights
from weights import WEIGHTS, WeightsError, WeightSpec, cache_dir, check_sha256, fetch, locate

BUNDLED = WeightSpec("net", "segmenter", "net.npz", "", 0.1, "none", "nothing", "none")
PUBLIC = replace(BUNDLED, file="net.pth", url="http://models.example/net.pth")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of its own: nothing bundled, nothing fetched."""
    monkeypatch.setattr(weights, "BUNDLED_DIR", tmp_path / "files")
    monkeypatch.setenv("CLICKAWAY_WEIGHTS", str(tmp_path / "cache"))
    for folder in ("files", "cache"):
        (tmp_path / folder).mkdir()
    return tmp_path


def test_cache_folder_can_be_chosen_and_else_follows_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKAWAY_WEIGHTS", "~/nets")
    assert cache_dir() == Path.home() / "nets"
    monkeypatch.delenv("CLICKAWAY_WEIGHTS")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_dir() == Path("/somewhere/clickaway/weights")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == Path.home() / ".cache" / "clickaway" / "weights"


def test_bundled_files_and_public_ones_are_looked_for_in_their_own_folders(here: Path) -> None:
    assert locate(BUNDLED) is None
    assert locate(PUBLIC) is None
    (here / "cache" / "net.npz").write_bytes(b"in the wrong place")
    assert locate(BUNDLED) is None
    (here / "files" / "net.npz").write_bytes(b"bundled")
    (here / "cache" / "net.pth").write_bytes(b"fetched")
    assert locate(BUNDLED) == here / "files" / "net.npz"
    assert locate(PUBLIC) == here / "cache" / "net.pth"


def test_fetch_gives_a_file_only_if_its_sha256_is_right(here: Path) -> None:
    path = here / "files" / "net.npz"
    path.write_bytes(b"the net")
    digest = hashlib.sha256(b"the net").hexdigest()
    assert fetch(replace(BUNDLED, sha256=digest)) == path
    assert fetch(replace(BUNDLED, sha256=digest[:8].upper())) == path
    with pytest.raises(WeightsError, match="expected 00000000"):
        fetch(replace(BUNDLED, sha256="00000000"))


def test_sha256_of_fewer_than_eight_digits_proves_nothing(here: Path) -> None:
    path = here / "files" / "net.npz"
    path.write_bytes(b"the net")
    with pytest.raises(WeightsError):
        check_sha256(path, hashlib.sha256(b"the net").hexdigest()[:7])


def test_missing_bundled_file_says_to_install_again(here: Path) -> None:
    with pytest.raises(WeightsError, match="install it again"):
        fetch(BUNDLED)


def test_missing_public_file_says_where_to_put_it(here: Path) -> None:
    with pytest.raises(WeightsError, match="switched off") as caught:
        fetch(replace(PUBLIC, sha256="0123abcd"), offline=True)
    assert PUBLIC.url in str(caught.value)
    assert str(here / "cache") in str(caught.value)


@pytest.mark.parametrize("spec", WEIGHTS.values(), ids=WEIGHTS)
def test_every_listed_file_is_described_and_can_be_checked(spec: WeightSpec) -> None:
    assert WEIGHTS[spec.name] is spec
    assert spec.kind in ("inpainter", "segmenter")
    assert re.fullmatch(r"[0-9a-f]{8,64}", spec.sha256)
    assert spec.license
    assert spec.trained_on
    assert spec.metric
    if spec.url is None:
        path = locate(spec)
        assert path is not None, f"{spec.file} is listed as bundled, but is not there"
        check_sha256(path, spec.sha256)
        assert path.stat().st_size / 2**20 == pytest.approx(spec.size_mib, rel=0.1)
    else:
        assert spec.url.startswith("https://")
