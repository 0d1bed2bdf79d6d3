"""The endpoints, called by Gradio's own client over HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from demo.studio import Studio
from pipeline import image_io
from segment import load_segmenter
from segment.metrics import iou
from tests.demo.doubles import (
    BLUE,
    GRADIOS_WARNINGS,
    RED,
    ColorSegmenter,
    FlatInpainter,
    draw_photo,
    files_below,
    like,
    running,
)

pytestmark = GRADIOS_WARNINGS
ENDPOINTS = {"/select", "/erase", "/cut_out", "/blur_background", "/replace_background"}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with running(Studio(ColorSegmenter, FlatInpainter), tmp_path_factory.mktemp("files")) as address:
        yield address


@pytest.fixture
def client(url, tmp_path):
    return Client(url, download_files=str(tmp_path / "downloads"), verbose=False)


@pytest.fixture
def photo(saved) -> Path:
    return saved(draw_photo())


def test_only_the_endpoints_for_programs_are_public(client):
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == ENDPOINTS
    assert not client.view_api(return_format="dict")["unnamed_endpoints"]


def test_select_gives_the_mask_and_what_it_is(client, photo):
    file, about = client.predict(handle_file(photo), 200, 90, api_name="/select")
    mask = np.asarray(Image.open(file))
    np.testing.assert_array_equal(mask == 255, like(draw_photo(), RED))
    assert set(np.unique(mask)) == {0, 255}
    assert about == {"label": "ball", "score": 0.9, "box_xyxy": [170, 60, 231, 121], "alternatives": 1}


def test_erase_takes_the_object_and_nothing_else(client, photo):
    result = np.asarray(Image.open(client.predict(handle_file(photo), 200, 90, 5, api_name="/erase")))
    assert not like(result, RED).any()
    far = np.hypot(*(np.mgrid[:240, :320] - np.array([90, 200])[:, None, None])) > 30 + 5 + 2
    np.testing.assert_array_equal(result[far], draw_photo()[far])


def private_photo(saved) -> Path:
    """A photo that says where and by whom it was made, and whose it is."""
    exif = Image.Exif()
    exif[315], exif[33432] = "Ada", "(c) Ada"
    exif.get_ifd(34853).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)})
    return saved(draw_photo(), "a.jpg", exif=exif, quality=95)


def test_a_result_in_the_photos_own_format_says_neither_where_nor_by_whom_it_was_made(client, saved):
    path = private_photo(saved)
    with Image.open(path) as uploaded:
        assert uploaded.getexif().get_ifd(34853)[2] == (52.0, 31.0, 12.0)
    for own_format, suffix in ((True, ".jpg"), (False, ".png")):
        file = client.predict(handle_file(path), 200, 90, own_format=own_format, api_name="/erase")
        assert file.endswith(suffix)
        with Image.open(file) as written:
            exif = written.getexif()
            assert 315 not in exif and not exif.get_ifd(34853)
            assert exif[33432] == "(c) Ada"  # whose it is stays
        assert b"Ada" not in Path(file).read_bytes().replace(b"(c) Ada", b"")


def test_metadata_is_kept_where_the_server_was_told_to(saved, tmp_path):
    limits = {"strip_metadata": False}
    with running(Studio(ColorSegmenter, FlatInpainter), tmp_path / "files", **limits) as address:
        client = Client(address, download_files=str(tmp_path / "downloads"), verbose=False)
        file = client.predict(handle_file(private_photo(saved)), 200, 90, own_format=True, api_name="/erase")
        with Image.open(file) as written:
            assert written.format == "JPEG" and written.getexif()[315] == "Ada"
            assert written.getexif().get_ifd(34853)[1] == "N"


def test_x_and_y_count_in_a_turned_photo_as_it_is_seen(client, saved):
    exif = Image.Exif()
    exif[274] = 6
    path = saved(np.rot90(draw_photo(240, 320, disk=(60, 250, 30))).copy(), "turned.jpg", exif=exif, quality=95)
    result = np.asarray(Image.open(client.predict(handle_file(path), 60, 250, api_name="/erase")))
    assert result.shape == (320, 240, 3)
    assert not like(result, RED).any()


def test_cut_out_is_transparent_around_the_object(client, photo):
    result = np.asarray(Image.open(client.predict(handle_file(photo), 200, 90, api_name="/cut_out")))
    assert result[90, 200].tolist() == [*RED, 255]
    assert result[5, 5, 3] == 0


def test_blur_background_leaves_the_object_sharp(client, photo):
    result = np.asarray(Image.open(client.predict(handle_file(photo), 200, 90, 6, api_name="/blur_background")))
    assert result[90, 200].tolist() == list(RED)
    assert np.diff(result[150:].astype(int), axis=1).std() < 0.5 * np.diff(draw_photo()[150:].astype(int), axis=1).std()


def test_replace_background_takes_a_colour_or_a_photo(client, photo, saved):
    call = "/replace_background"
    blue = np.asarray(Image.open(client.predict(handle_file(photo), 200, 90, "#0000ff", api_name=call)))
    assert blue[5, 5].tolist() == [0, 0, 255] and blue[90, 200].tolist() == list(RED)
    behind = handle_file(saved(np.full((60, 80, 3), 7, np.uint8), "behind.png"))
    dark = np.asarray(Image.open(client.predict(handle_file(photo), 200, 90, "#0000ff", behind, api_name=call)))
    assert dark[5, 5].tolist() == [7, 7, 7] and dark[90, 200].tolist() == list(RED)


def test_a_file_that_is_no_photo_is_one_friendly_line(client, tmp_path):
    (tmp_path / "notes.jpg").write_text("not a photo")
    with pytest.raises(AppError, match=r"notes\.jpg cannot be read") as refused:
        client.predict(handle_file(tmp_path / "notes.jpg"), 1, 1, api_name="/erase")
    assert "Traceback" not in str(refused.value) and "/" not in str(refused.value).replace("notes.jpg", "")


@pytest.mark.parametrize(
    ("x", "y", "line"), [(5, 5, "Nothing but grass"), (320, 5, "outside the photo"), (-1, 5, "outside the photo")]
)
def test_a_click_that_selects_nothing_is_one_friendly_line(client, photo, x, y, line):
    with pytest.raises(AppError, match=line):
        client.predict(handle_file(photo), x, y, api_name="/select")


@pytest.mark.parametrize("sigma", ["wide", [], {}])
def test_a_blur_that_is_no_number_is_one_friendly_line(client, photo, sigma):
    with pytest.raises(AppError, match="sigma_px must be a number of pixels"):
        client.predict(handle_file(photo), 200, 90, sigma, api_name="/blur_background")


def test_a_file_on_the_server_that_was_not_uploaded_cannot_be_read(client):
    forged = {"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}, "orig_name": "a.png"}
    with pytest.raises(Exception, match=r"(?i)not in the cache|cannot"):
        client.predict(forged, 1, 1, api_name="/erase")


def test_two_clients_at_once_get_their_own_photos(url, saved, tmp_path):
    paths = {color: saved(draw_photo(color=color, seed=seed), f"{seed}.png") for seed, color in enumerate((RED, BLUE))}

    def erase(color):
        client = Client(url, download_files=str(tmp_path / str(color)), verbose=False)
        cut = client.predict(handle_file(paths[color]), 200, 90, api_name="/cut_out")
        return color, np.asarray(Image.open(cut)), np.asarray(image_io.load(paths[color]).pixels)

    with ThreadPoolExecutor(4) as pool:
        for color, result, _ in pool.map(erase, [RED, BLUE] * 4):
            assert result[90, 200].tolist() == [*color, 255]


def test_no_photo_is_left_when_the_server_has_stopped(saved, tmp_path):
    folder = tmp_path / "files"
    with running(Studio(ColorSegmenter, FlatInpainter), folder) as address:
        client = Client(address, download_files=str(tmp_path / "downloads"), verbose=False)
        client.predict(handle_file(saved(draw_photo())), 200, 90, api_name="/erase")
        there = [path for path in files_below(folder, ".png") if path.stat().st_size]
        assert len(there) >= 2  # the upload and the result
    left = [path for path in files_below(folder) if path.stat().st_size]
    assert [path for path in left if path.suffix != ".jpeg"] == []  # the page's own thumbnails


def test_the_mmdet_path_selects_the_right_one_of_two_overlapping_shapes(saved, tmp_path):
    pytest.importorskip("mmdet", reason="mmdet is not installed")
    import cv2

    model = Path(__file__).parent.parent / "data" / "tiny_mask_rcnn.py"
    image = np.random.default_rng(5).normal((90, 120, 90), 6, (150, 200, 3)).clip(0, 255).astype(np.uint8)
    circle, square = np.zeros((150, 200), np.uint8), np.zeros((150, 200), np.uint8)
    cv2.circle(circle, (85, 70), 38, 1, cv2.FILLED)
    cv2.rectangle(square, (90, 60), (150, 120), 1, cv2.FILLED)
    image[circle > 0], image[square > 0] = (200, 40, 40), (50, 60, 210)
    studio = Studio(lambda: load_segmenter("mask_rcnn", model=model, device="cpu"), FlatInpainter)
    with running(studio, tmp_path / "files") as address:
        client = Client(address, download_files=str(tmp_path / "downloads"), verbose=False)
        path = handle_file(saved(image))
        for (x, y), label, truth in (
            ((70, 60), "circle", (circle > 0) & (square == 0)),
            ((120, 90), "square", square > 0),
        ):
            file, about = client.predict(path, x, y, api_name="/select")
            assert about["label"] == label
            assert iou(np.asarray(Image.open(file)) == 255, truth) > 0.85
