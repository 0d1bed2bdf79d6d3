"""The page in a real browser: upload, click, erase, download, and every pixel checked."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo.session import Session
from demo.studio import Studio, selected
from inpaint import load_inpainter
from pipeline import edit, image_io
from segment import Mask, load_segmenter
from tests.demo.doubles import BLUE, GRADIOS_WARNINGS, RED, draw_photo, like, running

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    *GRADIOS_WARNINGS,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"),
]
ARGUMENTS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PATIENCE_MS = 60_000


class RememberingStudio(Studio):
    """Keeps where was clicked, and what each visitor's last erasing filled, by the name of the photo."""

    def __init__(self) -> None:
        super().__init__(lambda: load_segmenter("grabcut"), lambda: load_inpainter("telea"))
        self.holes: dict[str, Mask] = {}
        self.clicks: list[tuple[int, int]] = []

    def point(self, session: Session, x: int, y: int, *, take_away: bool = False) -> Session:
        self.clicks.append((x, y))
        return super().point(session, x, y, take_away=take_away)

    def erase(self, session: Session, *, grow_px=None, feather_px=None) -> Session:
        self.holes[session.name] = edit.hole_of(selected(session), grow_px=grow_px)
        return super().erase(session, grow_px=grow_px, feather_px=feather_px)


@pytest.fixture(scope="module")
def studio():
    return RememberingStudio()


@pytest.fixture(scope="module")
def url(studio, tmp_path_factory):
    with running(studio, tmp_path_factory.mktemp("files")) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, url):
    page = open_page(browser, url)
    yield page
    page.context.close()


def open_page(browser, url: str, **options):
    """A visitor of his own: no cookies, no storage, no session shared with another."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}, **options).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    return page


def upload(page, path: Path) -> None:
    page.set_input_files("#upload input[type=file]", path)
    page.wait_for_function("document.querySelector('#stage .ca-photo')?.naturalWidth > 0")


def place(page, x: float, y: float, photo_hw: tuple[int, int]) -> tuple[float, float]:
    """Where on the screen the middle of the photo's pixel (x, y) is."""
    box = page.locator("#stage .ca-frame").bounding_box()
    height, width = photo_hw
    return box["x"] + (x + 0.5) * box["width"] / width, box["y"] + (y + 0.5) * box["height"] / height


def click(page, x: float, y: float, photo_hw: tuple[int, int]) -> None:
    page.mouse.click(*place(page, x, y, photo_hw))
    page.wait_for_function("document.querySelector('#stage .ca-layer')?.naturalWidth > 0")


def erase(page) -> None:
    page.click("#erase:not([disabled])")
    page.wait_for_selector(".ca-frame[data-compare=yes]")


def download(page, button: str = "#download-png") -> Path:
    with page.expect_download() as started:
        page.click(button)
    return Path(started.value.path())


def test_an_object_is_clicked_erased_and_downloaded_and_no_other_pixel_changed(page, studio, saved):
    image = draw_photo(640, 480, disk=(420, 180, 50))
    upload(page, saved(image, "ball.png"))
    click(page, 420, 180, (480, 640))
    erase(page)
    result = np.asarray(Image.open(download(page)))
    hole = studio.holes["ball.png"]
    assert hole[like(image, RED)].all() and hole.mean() < 0.08
    assert not like(result, RED).any()
    np.testing.assert_array_equal(result[~hole], image[~hole])


def test_a_turned_jpeg_is_clicked_where_it_is_seen_and_comes_back_as_an_upright_jpeg_without_names(page, studio, saved):
    exif = Image.Exif()
    exif[274], exif[315] = 6, "Ada"
    upright = draw_photo(480, 640, disk=(120, 500, 45))
    path = saved(np.rot90(upright).copy(), "turned.jpg", exif=exif, quality=95, subsampling=0)
    upload(page, path)
    box = page.locator("#stage .ca-frame").bounding_box()
    assert box["height"] > box["width"]
    click(page, 120, 500, (640, 480))
    erase(page)
    original = image_io.load(path).pixels
    result, hole = np.asarray(Image.open(download(page))), studio.holes["turned.jpg"]
    assert result.shape == (640, 480, 3)
    assert hole[500, 120] and hole.mean() < 0.08
    assert not like(result, RED).any()
    np.testing.assert_array_equal(result[~hole], original[~hole])
    with Image.open(download(page, "#download-own")) as jpeg:
        assert jpeg.format == "JPEG" and jpeg.size == (480, 640)
        assert 315 not in jpeg.getexif() and jpeg.getexif().get(274, 1) == 1
    assert "no place" in page.locator("#stripped").inner_text()


def test_a_click_is_exact_on_a_photo_larger_than_the_view(page, studio, saved):
    image = draw_photo(3000, 1700, disk=(2301, 402, 90))
    upload(page, saved(image, "large.png"))
    click(page, 2301, 402, (1700, 3000))
    pixel = 3000 / page.locator("#stage .ca-frame").bounding_box()["width"]  # of the screen: what a mouse can do
    assert abs(np.array(studio.clicks[-1]) - (2301, 402)).max() <= pixel
    erase(page)
    result, hole = np.asarray(Image.open(download(page))), studio.holes["large.png"]
    assert hole[402, 2301] and hole.mean() < 0.02
    assert not like(result, RED).any()
    np.testing.assert_array_equal(result[~hole], image[~hole])


def test_what_no_click_gets_is_painted_erased_again_and_undone(page, studio, saved):
    image = draw_photo(640, 480, disk=(420, 180, 50))
    image[380:420, 80:180] = BLUE
    upload(page, saved(image, "two.png"))
    click(page, 420, 180, (480, 640))
    erase(page)
    page.click("#go-on")
    page.wait_for_selector(".ca-frame[data-compare=no]")
    page.get_by_label("Brush", exact=True).check(force=True)
    page.mouse.move(*place(page, 90, 400, (480, 640)))
    page.mouse.down()
    page.mouse.move(*place(page, 170, 400, (480, 640)), steps=8)
    page.mouse.up()
    page.wait_for_function("document.querySelector('#stage .ca-layer')?.naturalWidth > 0")
    erase(page)
    hole = studio.holes["two.png"]
    assert hole[400, 90:170].all() and hole.mean() < 0.08
    result = np.asarray(Image.open(download(page)))
    assert not like(result, RED).any()
    assert like(result, BLUE).sum() < 0.5 * like(image, BLUE).sum()
    page.click("#back")
    page.wait_for_selector(".ca-frame[data-compare=no]")
    page.wait_for_function("document.querySelector('#stage .ca-layer')?.naturalWidth > 0")  # the stroke is there again


def test_a_file_that_is_no_photo_is_one_friendly_line(page, tmp_path):
    (tmp_path / "notes.png").write_text("not a photo")
    page.wait_for_selector("#upload input[type=file]", state="attached")
    page.set_input_files("#upload input[type=file]", tmp_path / "notes.png")
    line = page.locator(".toast-body").first
    line.wait_for()
    assert "notes.png cannot be read" in line.inner_text()
    assert "Traceback" not in page.content()
    assert page.locator("#upload input[type=file]").count() == 1


def test_two_visitors_do_not_see_each_others_photos(browser, url, studio, saved):
    red, blue = draw_photo(400, 300, disk=(100, 150, 40)), draw_photo(400, 300, disk=(300, 150, 40), color=BLUE, seed=1)
    first, second = open_page(browser, url), open_page(browser, url)
    upload(first, saved(red, "red.png"))
    upload(second, saved(blue, "blue.png"))
    click(first, 100, 150, (300, 400))
    click(second, 300, 150, (300, 400))
    erase(second)
    erase(first)
    for page, image, name, color in ((first, red, "red.png", RED), (second, blue, "blue.png", BLUE)):
        result, hole = np.asarray(Image.open(download(page))), studio.holes[name]
        np.testing.assert_array_equal(result[~hole], image[~hole])
        assert not like(result, color).any()
        page.context.close()


def test_the_page_fits_a_phone_and_asks_nothing_of_other_servers(browser, url, saved):
    asked = []
    context = browser.new_context(viewport={"width": 375, "height": 812}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    page.wait_for_selector("#examples button")
    widths = [page.evaluate("document.documentElement.scrollWidth")]
    upload(page, saved(draw_photo(640, 480)))
    widths.append(page.evaluate("document.documentElement.scrollWidth"))
    page.touchscreen.tap(*place(page, 200, 90, (480, 640)))
    page.wait_for_function("document.querySelector('#stage .ca-layer')?.naturalWidth > 0")
    assert widths == [375, 375]
    assert [address for address in asked if not address.startswith((url, "data:", "blob:"))] == []
    context.close()


def test_a_photo_is_pasted_and_a_step_undone_with_the_keyboard(page):
    page.wait_for_selector("#examples button")
    page.evaluate(
        """async () => {
            const canvas = document.createElement('canvas');
            [canvas.width, canvas.height] = [400, 300];
            const pen = canvas.getContext('2d');
            pen.fillStyle = '#2a6b2a'; pen.fillRect(0, 0, 400, 300);
            pen.fillStyle = '#e11928'; pen.fillRect(150, 100, 100, 80);
            const blob = await new Promise((done) => canvas.toBlob(done, 'image/png'));
            const data = new DataTransfer();
            data.items.add(new File([blob], 'pasted.png', { type: 'image/png' }));
            document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data }));
        }"""
    )
    page.wait_for_function("document.querySelector('#stage .ca-photo')?.naturalWidth > 0")
    click(page, 200, 140, (300, 400))
    page.keyboard.press("Control+z")
    page.wait_for_selector("#stage .ca-layer[src='']", state="attached")
