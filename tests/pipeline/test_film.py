"""Film files: times, sound, colours and turns kept; nothing half-written; nothing fetched that a file names."""

from __future__ import annotations

import fcntl
import http.server
import struct
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.film import VideoError, rewrite

HW = (72, 96)
RATE = 12


def picture(number: int) -> np.ndarray:
    """Red to the left, blue to the right, and below a bright bar that moves."""
    frame = np.zeros((*HW, 3), np.uint8)
    frame[:, : HW[1] // 2] = (200, 40, 30)
    frame[:, HW[1] // 2 :] = (30, 40, 200)
    frame[60:, 4 * number + 4 : 4 * number + 10] = 250
    return frame


def film(path: Path, frames: int = 10, *, sound: str | None = "aac", times_s: list[float] | None = None) -> Path:
    """A film with a 440 Hz tone, written by FFmpeg itself."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = HW[1], HW[0], "yuv420p"
        video.codec_context.time_base = Fraction(1, 90_000)
        audio = out.add_stream(sound, rate=48_000) if sound else None
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            seconds = times_s[number] if times_s else number / RATE
            frame.pts, frame.time_base = round(90_000 * seconds), Fraction(1, 90_000)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if audio:
            length = 48_000 * frames // RATE
            tone = np.sin(2 * np.pi * 440 * np.arange(length) / 48_000).astype(np.float32)
            for start in range(0, length, 1024):
                frame = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="fltp", layout="mono")
                frame.sample_rate, frame.pts = 48_000, start
                out.mux(audio.encode(frame))
            out.mux(audio.encode(None))
    return path


def shown(path: Path) -> tuple[list[np.ndarray], list[float]]:
    with av.open(str(path)) as read:
        found = [(frame.to_ndarray(format="rgb24"), frame.time) for frame in read.decode(video=0)]
    return [pixels for pixels, _ in found], [seconds for _, seconds in found]


def heard(path: Path) -> tuple[np.ndarray, int]:
    with av.open(str(path)) as read:
        rate = read.streams.audio[0].rate
        return np.concatenate([frame.to_ndarray().astype(float)[0] for frame in read.decode(audio=0)]), rate


def sound_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as read:
        return [bytes(packet) for packet in read.demux(audio=0) if packet.dts is not None]


def test_every_frame_goes_through_the_function_and_its_colours_stay(tmp_path):
    seen = []
    count = rewrite(
        film(tmp_path / "in.mp4"),
        tmp_path / "out.mp4",
        lambda frame: frame[:, ::-1],
        progress=lambda *n: seen.append(n),
    )
    frames, times = shown(tmp_path / "out.mp4")
    assert count == len(frames) == 10
    assert seen == [(number, 10) for number in range(1, 11)]
    assert times == pytest.approx([number / RATE for number in range(10)], abs=1e-3)
    for frame in frames:
        assert np.abs(frame[20, 5].astype(int) - (30, 40, 200)).max() < 14
        assert np.abs(frame[20, -5].astype(int) - (200, 40, 30)).max() < 14


def test_the_sound_is_copied_packet_for_packet(tmp_path):
    source = film(tmp_path / "in.mp4")
    for suffix in (".mp4", ".mov", ".mkv"):
        rewrite(source, tmp_path / f"out{suffix}", lambda frame: frame)
        assert sound_packets(tmp_path / f"out{suffix}") == sound_packets(source)


@pytest.mark.parametrize(
    ("suffix", "sound"), [(".webm", "aac"), (".avi", "aac"), (".avi", "libopus"), (".mkv", "libopus")]
)
def test_sound_that_the_format_does_not_know_is_encoded_anew(tmp_path, suffix, sound):
    rewrite(film(tmp_path / "in.mkv", 24, sound=sound), tmp_path / f"out{suffix}", lambda frame: frame)
    tone, rate = heard(tmp_path / f"out{suffix}")
    spectrum = np.abs(np.fft.rfft(tone))
    assert np.argmax(spectrum) * rate / len(tone) == pytest.approx(440, abs=3)
    assert len(tone) / rate == pytest.approx(2, abs=0.15)


def test_a_film_without_sound_has_none_afterwards(tmp_path):
    rewrite(film(tmp_path / "in.mp4", sound=None), tmp_path / "out.mp4", lambda frame: frame)
    with av.open(str(tmp_path / "out.mp4")) as read:
        assert not read.streams.audio


def test_frames_of_a_changing_rate_keep_their_times(tmp_path):
    times = [0, 0.1, 0.15, 0.4, 0.45, 1.0, 1.01, 1.5]
    source = film(tmp_path / "in.mp4", 8, times_s=times)
    for suffix in (".mp4", ".webm"):
        rewrite(source, tmp_path / f"out{suffix}", lambda frame: frame)
        assert shown(tmp_path / f"out{suffix}")[1] == pytest.approx(times, abs=2e-3)


def test_an_avi_has_one_rate(tmp_path):
    rewrite(film(tmp_path / "in.mp4"), tmp_path / "out.avi", lambda frame: frame)
    frames, times = shown(tmp_path / "out.avi")
    assert len(frames) == 10
    assert times == pytest.approx([number / RATE for number in range(10)], abs=1e-3)
    assert np.abs(frames[0][20, -5].astype(int) - (30, 40, 200)).max() < 14


def test_an_odd_size_grows_by_a_pixel(tmp_path):
    rewrite(film(tmp_path / "in.mp4"), tmp_path / "out.mp4", lambda frame: frame[:71, :95])
    assert shown(tmp_path / "out.mp4")[0][0].shape == (72, 96, 3)


def test_a_film_that_a_phone_turned_is_turned(tmp_path):
    source = film(tmp_path / "in.mp4")
    data = bytearray(source.read_bytes())
    upright = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    clockwise = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, HW[0] << 16, 0, 0x40000000)
    at = data.index(upright, data.index(b"tkhd"))
    data[at : at + len(upright)] = clockwise
    source.write_bytes(data)
    seen = []
    rewrite(source, tmp_path / "out.mp4", lambda frame: (seen.append(frame), frame)[1])
    assert seen[0].shape == (96, 72, 3)
    assert np.abs(seen[0][5, 30].astype(int) - (200, 40, 30)).max() < 14  # what was left is on top
    assert shown(tmp_path / "out.mp4")[0][0].shape == (96, 72, 3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".webm"])
def test_a_cut_film_gives_what_is_there_or_one_line(tmp_path, suffix):
    whole = tmp_path / f"whole{suffix}"
    rewrite(film(tmp_path / "in.mp4", 40), whole, lambda frame: frame)
    data = whole.read_bytes()
    for share in (0.02, 0.3, 0.7, 0.95):
        cut = tmp_path / f"cut{suffix}"
        cut.write_bytes(data[: int(len(data) * share)])
        target = tmp_path / "out.mkv"
        try:
            assert rewrite(cut, target, lambda frame: frame) == len(shown(target)[0])
        except VideoError as error:
            assert "\n" not in str(error)
            assert not target.exists()
        target.unlink(missing_ok=True)
    assert not list(tmp_path.glob(".*"))


def test_a_fault_in_the_function_leaves_the_old_film(tmp_path):
    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    target.write_bytes(b"the old film")

    def fails(frame):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        rewrite(source, target, fails)
    assert target.read_bytes() == b"the old film"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_what_a_killed_run_left_is_removed_but_not_what_another_is_writing(tmp_path):
    source = film(tmp_path / "in.mp4")
    for name in (".out.0123abcd.partial.mp4", ".out.89abcdef.partial.mp4", ".other.0123abcd.partial.mp4"):
        (tmp_path / name).write_bytes(b"half a film")
    with (tmp_path / ".out.89abcdef.partial.mp4").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        rewrite(source, tmp_path / "out.mp4", lambda frame: frame)
    left = sorted(path.name for path in tmp_path.glob(".*"))
    assert left == [".other.0123abcd.partial.mp4", ".out.89abcdef.partial.mp4"]


def test_a_film_that_is_being_written_is_locked(tmp_path):
    source = film(tmp_path / "in.mp4")

    def another_run(frame):
        (partial,) = tmp_path.glob(".out.*")
        with partial.open("rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return frame

    assert rewrite(source, tmp_path / "out.mp4", another_run) == 10
    assert len(shown(tmp_path / "out.mp4")[0]) == 10


def test_what_is_no_film_is_said_in_a_line(tmp_path):
    with av.open(str(tmp_path / "tone.mp4"), "w") as out:
        audio = out.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48_000
        out.mux(audio.encode(frame))
        out.mux(audio.encode(None))
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_bytes(b"no film at all")
    for name, message in (("tone", "only sound"), ("empty", "no film"), ("text", "no film"), ("gone", "not there")):
        with pytest.raises(VideoError, match=message):
            rewrite(tmp_path / f"{name}.mp4", tmp_path / "out.mp4", lambda frame: frame)
    with pytest.raises(VideoError, match=r"films are \.mp4"):
        rewrite(tmp_path / "text.mp4", tmp_path / "out.txt", lambda frame: frame)
    with pytest.raises(VideoError, match="cannot be written"):
        rewrite(film(tmp_path / "in.mp4"), tmp_path / "in.mp4" / "out.mp4", lambda frame: frame)


def test_playlists_under_a_films_name_fetch_nothing(tmp_path):
    asked = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    other = film(tmp_path / "secret.mp4")
    address = f"http://127.0.0.1:{server.server_port}/a.ts"
    playlists = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{address}\n#EXT-X-ENDLIST\n",
        "local": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{other}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile {other.name}\n",
    }
    try:
        for name, text in playlists.items():
            (tmp_path / f"{name}.mp4").write_text(text)
            with pytest.raises(VideoError, match="no film"):
                rewrite(tmp_path / f"{name}.mp4", tmp_path / "out.mp4", lambda frame: frame)
    finally:
        server.shutdown()
    assert asked == []
