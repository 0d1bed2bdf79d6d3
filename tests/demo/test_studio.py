from __future__ import annotations

import threading

import numpy as np
import pytest
from PIL import Image, ImageCms

from demo.events import explained, rgb
from demo.studio import Studio, VisitorError, formats, screen_profile, selected, write
from pipeline import edit, image_io
from segment import NoObjectError, Selection
from tests.demo.doubles import RED, ColorSegmenter, FlatInpainter, draw_photo, like


@pytest.fixture
def session(studio, saved):
    return studio.point(studio.open(saved(draw_photo())), 200, 90)


def test_the_models_are_loaded_once_however_many_ask_at_once(saved):
    loaded = []
    studio = Studio(
        lambda: loaded.append("segmenter") or ColorSegmenter(), lambda: loaded.append("x") or FlatInpainter()
    )
    path = saved(draw_photo())
    threads = [threading.Thread(target=lambda: studio.encode(studio.open(path))) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert loaded == ["segmenter"]
    studio.warm_up()
    assert loaded == ["segmenter", "x"]


def test_the_photo_is_encoded_at_upload_and_not_again_for_a_click(studio, segmenter, saved):
    session = studio.open(saved(draw_photo()))
    studio.encode(session)
    session = studio.point(session, 200, 90)
    session = studio.point(session, 205, 95)
    studio.point(session.undone(), 195, 85)
    assert segmenter.encoded == 1


def test_a_click_selects_what_is_under_it(session):
    np.testing.assert_array_equal(session.mask(), like(session.photo.rgb, RED))
    assert session.answer.label == "ball"


def test_a_click_on_nothing_says_so_and_leaves_the_session(studio, session):
    with pytest.raises(NoObjectError, match="nothing but grass"):
        studio.point(session, 5, 5)
    assert len(session.clicks) == 1


class CentreSegmenter:
    """A test double that needs no click: the middle of the photo."""

    def encode(self, image):
        return image.shape[:2]

    def select(self, encoding, clicks=()):
        assert not clicks
        mask = np.zeros(encoding, bool)
        mask[encoding[0] // 4 : -encoding[0] // 4, encoding[1] // 4 : -encoding[1] // 4] = True
        return [Selection(mask, None, 0.7)]


def test_the_main_subject_is_selected_without_a_click_and_can_be_undone(saved):
    studio = Studio(ColorSegmenter, FlatInpainter, load_subject=CentreSegmenter)
    session = studio.main_subject(studio.open(saved(draw_photo())))
    assert session.mask()[120, 160] and not session.mask()[5, 5]
    assert session.clicks == ()
    assert session.undone().mask() is None
    assert studio.cut_out(session).photo.alpha[5, 5] == 0


def test_taking_away_needs_something_to_take_away_from(studio, session):
    assert studio.point(session, 200, 90, take_away=True).mask() is None
    with pytest.raises(VisitorError, match="Click an object first"):
        studio.point(session.cleared(), 200, 90, take_away=True)


def test_erase_changes_nothing_outside_the_grown_mask(studio, session):
    done = studio.erase(session, grow_px=4, feather_px=1)
    hole = edit.hole_of(session.mask(), grow_px=4)
    np.testing.assert_array_equal(done.photo.pixels[~hole], session.photo.pixels[~hole])
    assert not like(done.photo.pixels, RED).any()


def test_the_current_width_counts_and_not_the_one_at_the_start(studio, session):
    narrow, wide = (studio.erase(session, grow_px=px).photo.pixels for px in (0, 20))
    before = session.photo.pixels
    assert (wide != before).any(axis=-1).sum() > 1.5 * (narrow != before).any(axis=-1).sum()


def test_what_was_erased_can_be_followed_by_another_click(studio, saved):
    image = draw_photo(disk=(80, 60, 25))
    image[150:190, 220:280] = (30, 60, 90)
    session = studio.point(studio.open(saved(image)), 80, 60)
    session = studio.erase(session).working_on()
    done = studio.erase(studio.point(session, 250, 170))
    assert not like(done.photo.pixels, RED).any()
    assert done.undone().undone().photo is session.photo


def test_a_cut_out_is_transparent_outside_and_the_object_inside(studio, session):
    done = studio.cut_out(session, feather_px=1)
    assert done.photo.alpha[90, 200] == 255 and done.photo.alpha[5, 5] == 0
    np.testing.assert_array_equal(done.photo.pixels[90, 200], RED)
    assert done.shown[5, 5].tolist() in ([205] * 3, [245] * 3)  # the checkerboard


def test_a_cut_out_of_a_transparent_photo_is_nowhere_less_transparent(studio, saved):
    rgba = np.dstack([draw_photo(), np.full((240, 320), 255, np.uint8)])
    rgba[:90, :, 3] = 40
    session = studio.point(studio.open(saved(rgba)), 200, 100)
    assert studio.cut_out(session).photo.alpha[75, 200] == 40


def test_a_blurred_background_leaves_the_object_sharp(studio, session):
    done = studio.blur(session, sigma_px=5, feather_px=1)
    inside = np.hypot(*(np.mgrid[:240, :320] - np.array([90, 200])[:, None, None])) < 22
    np.testing.assert_array_equal(done.photo.pixels[inside], session.photo.pixels[inside])
    grain = [np.diff(s.photo.pixels[150:, :150].astype(int), axis=1).std() for s in (done, session)]
    assert grain[0] < 0.3 * grain[1]


def test_the_background_is_replaced_by_a_colour_or_a_photo(studio, session, saved):
    white = studio.replace(session, (255, 255, 255)).photo.pixels
    assert white[5, 5].tolist() == [255] * 3 and white[90, 200].tolist() == list(RED)
    other = studio.replace(session, saved(np.full((50, 90, 3), (9, 99, 199), np.uint8), "sea.png")).photo.pixels
    assert other[5, 5].tolist() == [9, 99, 199] and other[90, 200].tolist() == list(RED)


@pytest.mark.parametrize("effect", ["erase", "cut_out", "blur"])
def test_an_effect_without_a_selection_asks_for_one(studio, session, effect):
    with pytest.raises(VisitorError, match="Nothing is selected yet"):
        getattr(studio, effect)(session.cleared())


def test_erasing_the_whole_photo_is_refused_in_one_line(studio, session):
    everything = session.painted(np.ones((240, 320), bool), take_away=False)
    with pytest.raises(VisitorError, match="whole photo"):
        studio.erase(everything)


@pytest.mark.parametrize(
    ("effect", "options"),
    [
        ("erase", {"grow_px": -1}),
        ("erase", {"feather_px": float("nan")}),
        ("blur", {"sigma_px": 0}),
        ("cut_out", {"feather_px": 1e9}),
    ],
)
def test_lengths_that_cannot_be_are_refused_in_one_line(studio, session, effect, options):
    with pytest.raises(VisitorError, match="must be"):
        getattr(studio, effect)(session, **options)


def test_a_turned_photo_is_opened_the_right_way_up(studio, saved):
    upright = draw_photo(240, 320, disk=(60, 250, 30))
    exif = Image.Exif()
    exif[274] = 6
    path = saved(np.rot90(upright).copy(), "turned.jpg", exif=exif, quality=95)
    session = studio.point(studio.open(path), 60, 250)
    assert session.photo.hw == (320, 240)
    assert like(session.photo.rgb, RED)[session.mask()].all()


def test_a_download_keeps_format_and_metadata_and_is_not_guessable(studio, saved, tmp_path):
    exif = Image.Exif()
    exif[315] = "Ada"
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = saved(draw_photo(), "holiday.jpg", exif=exif, icc_profile=icc, quality=93)
    done = studio.erase(studio.point(studio.open(path), 200, 90))
    assert formats(done.photo, done.name) == [".png", ".jpg"]
    files = [write(done, suffix, tmp_path / "out")[0] for suffix in (".png", ".jpg", ".jpg")]
    assert [file.name for file in files] == ["holiday-erased.png", "holiday-erased.jpg", "holiday-erased.jpg"]
    assert len({file.parent.name for file in files}) == 3 and all(len(file.parent.name) == 32 for file in files)
    for file in files[:2]:
        with Image.open(file) as written:
            assert written.getexif()[315] == "Ada"
            assert written.info["icc_profile"] == icc
    np.testing.assert_array_equal(image_io.load(files[0]).pixels, done.photo.pixels)


def test_sixteen_bits_and_alpha_survive_erasing(studio, tmp_path):
    import cv2

    rgb8 = draw_photo()
    bgra = np.dstack([rgb8[..., ::-1], np.full((240, 320), 128)]).astype(np.uint16) * 257
    path = tmp_path / "deep.png"
    cv2.imwrite(str(path), bgra)
    session = studio.point(studio.open(path), 200, 90)
    done = studio.erase(session, grow_px=3)
    again = image_io.load(write(done, ".png", tmp_path / "out")[0])
    assert again.pixels.dtype == np.uint16
    np.testing.assert_array_equal(again.alpha, session.photo.alpha)
    hole = edit.hole_of(session.mask(), grow_px=3)
    np.testing.assert_array_equal(again.pixels[~hole], session.photo.pixels[~hole])


def test_a_cut_out_of_a_jpeg_is_offered_as_png_alone(studio, saved):
    done = studio.cut_out(studio.point(studio.open(saved(draw_photo(), "a.jpg", quality=95)), 200, 90))
    assert formats(done.photo, done.name) == [".png"]


def test_a_file_whose_name_lies_is_offered_in_its_true_format(studio, saved, tmp_path):
    jpeg = saved(draw_photo(), "a.jpg")
    liar = tmp_path / "b.gif"
    liar.write_bytes(jpeg.read_bytes())
    session = studio.open(liar)
    assert formats(session.photo, session.name) == [".png", ".jpg"]


def test_the_page_gets_the_profile_of_a_photo_that_is_not_srgb(studio, saved):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert screen_profile(studio.open(saved(draw_photo(), "p.png", icc_profile=profile)).photo) == profile
    assert screen_profile(studio.open(saved(draw_photo(), "q.png")).photo) is None


def test_what_is_no_photo_is_refused_in_one_line_without_the_servers_folders(studio, saved, tmp_path):
    whole = saved(draw_photo()).read_bytes()
    for name, content in (("text.jpg", b"hello"), ("empty.png", b""), ("cut.png", whole[:2000])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(VisitorError) as refused:
            studio.open(tmp_path / name)
        assert name in str(refused.value)
        assert str(tmp_path) not in str(refused.value)
        assert "\n" not in str(refused.value)


def test_a_photo_with_too_many_pixels_is_refused(saved):
    with pytest.raises(VisitorError):
        Studio(ColorSegmenter, FlatInpainter, max_pixels=1000).open(saved(draw_photo()))


def test_an_unforeseen_error_is_logged_and_not_shown(caplog):
    try:
        raise KeyError("secret internals")
    except KeyError as error:
        text = explained(error)
    assert "secret" not in text and "\n" not in text
    assert "secret internals" in caplog.text


def test_a_refusal_begins_with_a_capital():
    assert explained(NoObjectError("nothing is there")) == "Nothing is there"


@pytest.mark.parametrize(
    ("color", "expected"),
    [("#ff8000", (255, 128, 0)), ("white", (255, 255, 255)), ("rgba(12.4, 3.6, 80, 1)", (12, 4, 80))],
)
def test_colours_of_every_kind_are_understood(color, expected):
    assert rgb(color) == expected


@pytest.mark.parametrize("color", ["", None, "no colour", "rgb(1,2", "rgb(a,b,c)", "rgba(inf,0,0,1)"])
def test_what_is_no_colour_is_refused(color):
    with pytest.raises(VisitorError):
        rgb(color)


def test_nothing_selected_has_no_mask(session):
    with pytest.raises(VisitorError):
        selected(session.cleared())
