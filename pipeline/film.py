"""Film files, read and written by PyAV (FFmpeg's libraries): every frame through a function, the sound as it was."""

from __future__ import annotations

import glob
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from pipeline.atomic import shortened
from pipeline.image_io import MAX_PIXELS
from pipeline.remote import Place
from segment.base import Image

if TYPE_CHECKING:  # FFmpeg's libraries load with it: photos do without
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame

_H264 = ("libx264", {"crf": "18", "preset": "veryfast"})
CODECS = {  # extension -> encoder that browsers and players know there, and its options
    ".mp4": _H264,
    ".m4v": _H264,
    ".mov": _H264,
    ".mkv": _H264,
    ".webm": ("libvpx-vp9", {"crf": "24", "b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"}),
    ".avi": ("mjpeg", {"qmin": "2", "qmax": "3"}),
}
# Extensions of those formats below that are read but not written.
_READ_ONLY = (".3gp", ".3g2", ".asf", ".flv", ".m2ts", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".vob", ".wmv")
# What a file may be: FFmpeg also opens playlists, which name other files and addresses for it to read.
_FORMATS = "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,gif,mjpeg"
_INPUT = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
_TICKS = 90_000  # a second: frames of a changing rate keep their times
_BT709, _BT601 = 1, 6  # as files name them (ITU-T H.273)
_KNOWN_SPACES = (_BT709, 5, _BT601)  # 5 is BT.601's of Europe


class VideoError(ValueError):
    """A film cannot be read or written. The message is one line."""


def is_video(path: Place) -> bool:
    """Whether its name is that of a film that can be read; CODECS are those that can be written."""
    return path.suffix.lower() in (*CODECS, *_READ_ONLY)


def rewrite(
    source: Path,
    target: Path,
    edit: Callable[[Image], Image],
    *,
    max_pixels: int = MAX_PIXELS,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Writes the film with edit(frame) in place of every frame; frame: (H, W, 3) uint8 RGB, the right way up.

    Times and sound stay as they are; sound that the target's format does not know is encoded anew. Subtitles, further
    sound tracks and metadata (such as the place) are left out. An odd width or height grows by a pixel, for the codecs
    know none. Damaged packets are skipped, as players do. max_pixels: of a frame, for nobody has the memory for
    what a header may promise. progress: called with the number of frames done and of all (0 where the file does not
    say). Returns the number of frames.
    Raises VideoError where the film cannot be read or written; the target is then not there, or still the old one.
    """
    if target.suffix.lower() not in CODECS:
        raise VideoError(f"{target} cannot be written: films are {', '.join(CODECS)}")
    import av

    count = 0
    with _opened(source) as film:
        _check_size(film.streams.video[0].codec_context, source, max_pixels)  # before anything is decoded
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _remove_partials(target)
            partial = target.with_name(f".{shortened(target.stem)}.{secrets.token_hex(4)}.partial{target.suffix}")
            held = partial.open("xb")
        except OSError as error:
            raise VideoError(f"{target} cannot be written: {error.strerror}: {target.parent}") from error
        try:
            with suppress(OSError):  # some network disks know no locks: what is left there stays
                _lock(held)
            with av.open(str(partial.absolute()), "w", options=_container_options(target)) as out:
                output = _Output(out, film, target.suffix.lower())
                for part in _parts(film, source):
                    if isinstance(part, av.Packet):
                        output.sound(part)
                        continue
                    _check_size(part, source, max_pixels)
                    output.frame(edit(_pixels(part)), part)
                    count += 1
                    if progress:
                        progress(count, film.streams.video[0].frames)
                if not count:
                    raise VideoError(f"{source} cannot be read: it holds no frame")
                output.finish()
            held.close()  # Windows renames no file that is open
            partial.replace(target)
        except av.error.FFmpegError as error:
            raise VideoError(f"{target} cannot be written: {_said(error)}") from error
        finally:
            held.close()
            partial.unlink(missing_ok=True)
    return count


def _remove_partials(target: Path) -> None:
    """Removes what writers of that film left beside it when they were killed; not what one at work has locked."""
    names = f".{glob.escape(shortened(target.stem))}.{'[0-9a-f]' * 8}.partial{glob.escape(target.suffix)}"
    for partial in target.parent.glob(names):
        with suppress(OSError), partial.open("rb") as file:
            _lock(file)
            partial.unlink()


def _lock(file: BinaryIO) -> None:
    """Says that this process is at work on the file, as long as it lives. Raises OSError if another one is."""
    if os.name == "nt":  # nobody removes a file there that another process has open
        return
    import fcntl

    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class _Output:
    """The streams of the new film."""

    def __init__(self, out: OutputContainer, film: InputContainer, suffix: str) -> None:
        self._out, self._film = out, film
        self._codec, self._options = CODECS[suffix]
        rate = film.streams.video[0].average_rate
        self._rate = Fraction(rate) if rate and 1 <= rate <= 240 else Fraction(25)
        # An AVI has one rate for all its frames.
        self._tick = 1 / self._rate if suffix == ".avi" else Fraction(1, _TICKS)
        self._video: Any = None
        self._sound: _Sound | None = None
        self._early: list[Packet] = []  # sound before the first frame: streams are made before any packet
        self._last = -1

    def sound(self, packet: Packet) -> None:
        if self._sound:
            self._sound.take(packet)
        else:
            self._early.append(packet)

    def frame(self, pixels: Image, original: VideoFrame) -> None:
        """The pixels, shown when the original was."""
        import av

        height, width = pixels.shape[:2]
        if self._video is None:
            self._video = self._new_stream(width + width % 2, height + height % 2)
            if self._film.streams.audio:
                self._sound = _Sound(self._out, self._film.streams.audio[0])
                for packet in self._early:
                    self._sound.take(packet)
        even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(even, format="rgb24").reformat(
            format=self._video.codec_context.pix_fmt, dst_colorspace=_swscale(self._space(height))
        )
        seconds = original.time if original.time is not None else (self._last + 1) * self._tick
        self._last = max(self._last + 1, round(Fraction(seconds) / self._tick))
        frame.pts, frame.time_base = self._last, self._tick
        self._out.mux(self._video.encode(frame))

    def finish(self) -> None:
        if self._sound:
            self._sound.finish()
        self._out.mux(self._video.encode(None))

    def _new_stream(self, width: int, height: int) -> Any:
        stream: Any = self._out.add_stream(self._codec, rate=self._rate, options=dict(self._options))
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if self._codec == "mjpeg" else "yuv420p"
        context = stream.codec_context
        context.time_base = self._tick
        space = self._space(height)
        context.colorspace = context.color_primaries = context.color_trc = space
        context.color_range = 2 if self._codec == "mjpeg" else 1  # JPEG's full range; else film's 16 to 235
        return stream

    def _space(self, height: int) -> int:
        return _BT601 if self._codec == "mjpeg" or height < 720 else _BT709


class _Sound:
    """The first sound track: copied where the new film's format takes its codec, else encoded anew."""

    def __init__(self, out: OutputContainer, source: Any) -> None:
        import av

        self._out = out
        self._resampler: Any = None
        codec = source.codec_context.codec.canonical_name
        # FFmpeg writes nearly everything into an AVI; players know little of it.
        if codec in out.supported_codecs and (out.format.name != "avi" or codec in ("mp3", "ac3", "pcm_s16le")):
            self._stream: Any = out.add_stream_from_template(source)
            return
        encoder = {"opus": "libopus", "vorbis": "libvorbis"}.get(out.default_audio_codec, out.default_audio_codec)
        # 48 kHz is the one rate that every one of these encoders takes.
        self._stream = out.add_stream(encoder, rate=48_000)
        context = self._stream.codec_context
        layout = "mono" if source.codec_context.channels == 1 else "stereo"
        context.layout = layout
        context.open()
        self._resampler = av.AudioResampler(context.format, layout, 48_000, context.frame_size or None)

    def take(self, packet: Packet) -> None:
        if self._resampler is None:
            if packet.dts is not None:  # an empty packet ends the stream: there is nothing to write
                packet.stream = self._stream
                self._out.mux(packet)
            return
        for frame in _decoded(packet):
            self._encode(frame)

    def finish(self) -> None:
        if self._resampler is not None:
            self._encode(None)
            self._out.mux(self._stream.encode(None))

    def _encode(self, frame: Any) -> None:
        for part in self._resampler.resample(frame):
            self._out.mux(self._stream.encode(part))


@contextmanager
def _opened(source: Path) -> Iterator[InputContainer]:
    import av

    if not source.is_file():
        raise VideoError(f"{source} cannot be read: it is not there")
    try:
        film = av.open(str(source.absolute()), options=_INPUT)
    except (av.error.FFmpegError, UnicodeError) as error:
        raise VideoError(f"{source} cannot be read: it is no film that FFmpeg knows ({_said(error)})") from error
    with film:
        if not film.streams.video:
            raise VideoError(f"{source} cannot be read: it holds no picture, only sound")
        film.streams.video[0].thread_type = "AUTO"
        yield film


def _check_size(picture: Any, source: Path, max_pixels: int) -> None:
    """Raises VideoError for a frame, or a stream, of more pixels. Frames may grow in the middle of a film."""
    width, height = picture.width, picture.height
    if width * height > max_pixels:
        raise VideoError(
            f"{source} cannot be read: its frames have {width}x{height} pixels, {width * height / 1e6:.4g} MP; the "
            f"limit is {max_pixels / 1e6:.4g} MP"
        )


def _parts(film: InputContainer, source: Path) -> Iterator[Any]:
    """Decoded frames of the picture and packets of the sound, in the file's order."""
    import av

    wanted = [film.streams.video[0], *film.streams.audio[:1]]
    try:
        for packet in film.demux(wanted):
            if packet.stream.type == "video":
                yield from _decoded(packet)
            else:
                yield packet
    except av.error.FFmpegError as error:
        raise VideoError(f"{source} cannot be read to its end: {_said(error)}") from error


def _decoded(packet: Packet) -> list[Any]:
    import av

    try:
        return list(packet.decode())
    except av.error.FFmpegError:  # damaged: the next one may be whole
        return []


def _pixels(frame: VideoFrame) -> Image:
    """(H, W, 3) uint8 RGB, turned as players turn it."""
    space = frame.colorspace if frame.colorspace in _KNOWN_SPACES else (_BT709 if frame.height >= 720 else _BT601)
    pixels = frame.to_ndarray(format="rgb24", src_colorspace=_swscale(space))
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))  # both count against the clock


def _swscale(space: int) -> int:
    """The file's name of a colour space as FFmpeg's scaler calls it."""
    return 1 if space == _BT709 else 5


def _container_options(target: Path) -> dict[str, str]:
    suffix = target.suffix.lower()
    if suffix == ".avi":  # an encoder's delay of sound begins before 0: the picture would be moved by a whole frame
        return {"avoid_negative_ts": "disabled"}
    # A film for the web begins to play before all of it is there.
    return {"movflags": "+faststart"} if suffix in (".mp4", ".m4v", ".mov") else {}


def _said(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).splitlines()[0]
