"""Photos from files and to files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.atomic import in_the_way, write_bytes
from pipeline.formats import BY_EXTENSION, MAIN_EXTENSIONS
from pipeline.note import noted
from pipeline.photo import Photo, PhotoError
from pipeline.remote import Place, Url

MAX_PIXELS = 200_000_000  # the largest phone sensors; more than that decompressed is more likely an attack
_LONGEST_PIXEL, _LONGEST_REST = 8, 2**28  # bytes: of a pixel with four channels of 16 bits, of all but the pixels
_FIRST_BYTES = 16  # say what kind of file it is
_HEADER_BYTES = 2**18  # enough for the header behind the longest EXIF and ICC blocks that cameras write


def load(path: str | Place, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """The photo of a file: JPEG, PNG, WebP, TIFF, BMP, GIF (first frame), AVIF, HEIC where pillow-heif is there.

    Turned the right way up by its EXIF orientation; what the file is comes from its content, not from its name.
    max_pixels: a file with more is refused before it is decoded. Takes at most 32 bytes a pixel, twice the file's
    length and 64 MiB (tests/files); a file too long for max_pixels is not read.
    Raises PhotoError with one line that says what is wrong, OSError if the file cannot be opened.
    """
    from pipeline.decode import decode  # Pillow and OpenCV: not needed for --help

    path = path if isinstance(path, Url) else Path(path)
    try:
        return decode(_content(path, max_pixels), max_pixels=max_pixels)
    except PhotoError as error:
        raise PhotoError(f"{path} cannot be read: {error}") from error


def _content(path: Place, max_pixels: int) -> bytes:
    from pipeline.decode import check_kind

    if isinstance(path, Url):
        return path.read_bytes(at_most=_longest(max_pixels))
    _check_ordinary(path)
    with path.open("rb") as file:
        check_kind(file.read(_FIRST_BYTES))  # a film that is called .jpg is not read whole
        _check_length(path, max_pixels)
        file.seek(0)
        return file.read()


def size_of(path: Place) -> tuple[int, int]:
    """Width and height of the file's picture, before any turn, from its header. Raises PhotoError, OSError."""
    from pipeline.decode import check_kind, size

    if isinstance(path, Url):
        data = path.read_bytes(first=_HEADER_BYTES)
        check_kind(data)
        try:
            return size(data)
        except PhotoError:  # a TIFF has its header where it likes
            return size(path.read_bytes(at_most=_longest(MAX_PIXELS)))
    _check_ordinary(path)
    with path.open("rb") as file:
        data = file.read(_HEADER_BYTES)
        check_kind(data)
        try:
            return size(data)
        except PhotoError:
            _check_length(path, MAX_PIXELS)
            return size(data + file.read())


def _check_ordinary(path: Path) -> None:
    """Raises PhotoError for what is no file: opening a pipe would wait for somebody who writes into it."""
    if path.is_file():
        return
    if path.is_dir():
        what = "a folder"
    elif path.exists():
        what = "not an ordinary file"
    else:
        what = "a link that leads nowhere" if path.is_symlink() else "not there"
    raise PhotoError(f"it is {what}")


def _check_length(path: Path, max_pixels: int) -> None:
    """Raises PhotoError for a file longer than any photo of so many pixels: it would be read into memory."""
    length, longest = path.stat().st_size, _longest(max_pixels)
    if length > longest:
        raise PhotoError(
            f"it is {length / 1e9:.1f} GB long; for {max_pixels / 1e6:.4g} MP, the limit, a photo needs at most "
            f"{longest / 1e9:.1f} GB"
        )


def _longest(max_pixels: int) -> int:
    return max_pixels * _LONGEST_PIXEL + _LONGEST_REST


def save(
    photo: Photo,
    path: str | Place,
    *,
    quality: int | None = None,
    overwrite: bool = False,
    strip_metadata: bool = False,
    note: bool = True,
) -> tuple[str, ...]:
    """Writes the photo, whole or not at all; the extension says the format. Returns notes for the person.

    In the photo's own format the file is like the old one: JPEG quantisation tables, bits, palette, compression.
    quality: 1..100 for lossy formats, instead of what keeps the file near its old size.
    strip_metadata: leave out place, time, camera, names and all else that tells about the person; the colour profile
    and a copyright notice stay. note: say in the file's metadata what was done, if anything was: see `pipeline.note`.
    A format without transparency gets the photo on white, and one of the notes returned says so.
    Raises PhotoError if the format cannot hold the photo or is unknown, FileExistsError if there is such a file and
    overwrite is False, OSError if it cannot be written.
    """
    from pipeline.encode import encode

    path = path if isinstance(path, Url) else Path(path)
    format_name = format_of(path)
    if not overwrite and path.exists():  # asked here too: encoding first would waste the time
        raise FileExistsError(in_the_way(path))
    # A device or a pipe would be replaced by the photo.
    if isinstance(path, Path) and path.exists() and not path.is_file():
        raise PhotoError(f"{path} cannot be written: there is something of that name that is no file")
    if strip_metadata:
        from pipeline.private import without_private

        photo = replace(photo, metadata=without_private(photo.metadata))
    if note:
        photo = replace(photo, metadata=noted(photo.metadata, photo.edits, format_name))
    try:
        data, notes = encode(photo, format_name, quality=quality)
    except PhotoError as error:
        raise PhotoError(f"{path} cannot be written: {error}") from error
    write_bytes(path, data, overwrite=overwrite)
    return tuple(notes)


def format_of(path: Place) -> str:
    """Pillow's name of the format that the file's extension means. Raises PhotoError for an unknown extension."""
    try:
        return BY_EXTENSION[path.suffix.lower()]
    except KeyError:
        raise PhotoError(
            f"{path} cannot be written: {path.suffix or 'no extension'} is no photo format; "
            f"use one of {', '.join(MAIN_EXTENSIONS)}"
        ) from None
