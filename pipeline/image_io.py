"""Photos from files and to files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.atomic import in_the_way, write_bytes
from pipeline.formats import BY_EXTENSION, MAIN_EXTENSIONS
from pipeline.note import noted
from pipeline.photo import Photo, PhotoError

MAX_PIXELS = 200_000_000  # the largest phone sensors; more than that decompressed is more likely an attack
_HEADER_BYTES = 2**18  # enough for the header behind the longest EXIF and ICC blocks that cameras write


def load(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """The photo of a file: JPEG, PNG, WebP, TIFF, BMP, GIF (first frame), AVIF, HEIC where pillow-heif is there.

    Turned the right way up by its EXIF orientation; what the file is comes from its content, not from its name.
    max_pixels: a file with more is refused before it is decoded.
    Raises PhotoError with one line that says what is wrong, OSError if the file cannot be opened.
    """
    from pipeline.decode import decode  # Pillow and OpenCV: not needed for --help

    path = Path(path)
    if not path.is_file():
        what = "a folder" if path.is_dir() else "not an ordinary file" if path.exists() else "not there"
        raise PhotoError(f"{path} cannot be read: it is {what}")
    try:
        return decode(path.read_bytes(), max_pixels=max_pixels)
    except PhotoError as error:
        raise PhotoError(f"{path} cannot be read: {error}") from error


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of the file's picture, before any turn, from its header. Raises PhotoError, OSError."""
    from pipeline.decode import size

    with path.open("rb") as file:
        data = file.read(_HEADER_BYTES)
        try:
            return size(data)
        except PhotoError:  # a TIFF has its header where it likes
            return size(data + file.read())


def save(
    photo: Photo,
    path: str | Path,
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

    path = Path(path)
    format_name = format_of(path)
    if not overwrite and path.exists():  # asked here too: encoding first would waste the time
        raise FileExistsError(in_the_way(path))
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


def format_of(path: Path) -> str:
    """Pillow's name of the format that the file's extension means. Raises PhotoError for an unknown extension."""
    try:
        return BY_EXTENSION[path.suffix.lower()]
    except KeyError:
        raise PhotoError(
            f"{path} cannot be written: {path.suffix or 'no extension'} is no photo format; "
            f"use one of {', '.join(MAIN_EXTENSIONS)}"
        ) from None
