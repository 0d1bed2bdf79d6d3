"""What Pillow cannot do with TIFF: metadata as an EXIF block, written beside any compression, and 16-bit colour."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import struct
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_RESOLUTION = frozenset((282, 283, 296))
_ORIENTATION, _XMP, _ICC = 274, 700, 34675
# Tags that describe things and not how the pixels are stored: these are carried over. Exif 2.32 table 3, TIFF 6.0,
# and IPTC (33723). 34377, Photoshop's resources, is left out: it holds a thumbnail of the old picture.
_DESCRIPTIVE = frozenset((269, 270, 271, 272, 285, 305, 306, 315, 316, 33432, 33723)) | _RESOLUTION
# Windows' own title, comment, author, keywords and subject.
_WINDOWS = frozenset(range(0x9C9B, 0x9CA0))
# A description by which tifffile or ImageJ says how the pixels lie: they will lie differently.
_DESCRIPTION, _LAYOUTS = 270, ('{"shape"', "ImageJ=")
_DEFLATE, _PREDICT_HORIZONTAL, _RGB, _BLACK_IS_ZERO, _UNASSOCIATED_ALPHA = 8, 2, 2, 1, 2
_STRIP_BYTES = 1 << 20


@cache
def quiet_pillow() -> None:
    """Keeps Pillow and its libtiff from printing what is wrong with a file: Pillow raises it, and that is said once.

    libtiff is found in Pillow's wheels for Linux and macOS; elsewhere it goes on printing.
    """
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # without any, errors go to stderr
    package = Path(Image.__file__).parent
    for library in (*package.parent.glob("pillow.libs/libtiff-*"), *package.glob(".dylibs/libtiff.*")):
        with contextlib.suppress(OSError, AttributeError):  # no such library, no such function: it prints, no more
            set_handler = ctypes.CDLL(str(library)).TIFFSetErrorHandler
            set_handler.argtypes, set_handler.restype = (ctypes.c_void_p,), ctypes.c_void_p
            set_handler(None)


def exif_of_tiff(image: TiffImagePlugin.TiffImageFile) -> bytes | None:
    """The descriptive tags of a TIFF file as an EXIF block, such as a JPEG has; None if there are none."""
    whole = image.getexif()
    kept = Image.Exif()
    for tag, value in _writable({tag: image.tag_v2[tag] for tag in (_DESCRIPTIVE | _WINDOWS) & set(image.tag_v2)}):
        kept[tag] = value
    if str(kept.get(_DESCRIPTION, "")).startswith(_LAYOUTS):
        del kept[_DESCRIPTION]
    for directory in (_EXIF_IFD, _GPS_IFD):
        if tags := dict(_writable(whole.get_ifd(directory), directory)):
            kept[directory] = tags
    return kept.tobytes() if set(kept) - _RESOLUTION else None


def with_metadata(tiff: bytes, *, exif: bytes | None, icc: bytes | None, xmp: bytes | None) -> bytes:
    """The TIFF file (classic, one page) with these put into its directory.

    Pillow can write them only into uncompressed files. Here they go behind the picture, and then a new directory:
    the old one's entries, which point to the same places as before, and the new ones. Tags that say how the pixels
    are stored, or the resolution, stay the file's own.
    """
    endian = "<" if tiff[:2] == b"II" else ">"
    tags = _tags(exif, icc, xmp, prefix=tiff[:2])
    (old_at,) = struct.unpack_from(endian + "L", tiff, 4)
    file = tiff + b"\0" * (len(tiff) % 2)  # a directory begins at an even byte
    added = tags.tobytes(len(file))
    entries = _entries(added, endian, 0) | _entries(tiff, endian, old_at)
    file += added
    new_at = len(file)
    directory = struct.pack(endian + "H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries))
    header = file[:4] + struct.pack(endian + "L", new_at)
    return header + file[8:] + directory + struct.pack(endian + "L", 0)


def _entries(block: bytes, endian: str, at: int) -> dict[int, bytes]:
    """Tag -> its 12 bytes in the directory that begins there."""
    (count,) = struct.unpack_from(endian + "H", block, at)
    raw = [block[start : start + 12] for start in range(at + 2, at + 2 + 12 * count, 12)]
    return {struct.unpack(endian + "H", entry[:2])[0]: entry for entry in raw}


def _tags(
    exif: bytes | None, icc: bytes | None, xmp: bytes | None, *, prefix: bytes
) -> TiffImagePlugin.ImageFileDirectory_v2:
    tags: Any = TiffImagePlugin.ImageFileDirectory_v2(prefix=prefix)
    if exif:
        block = Image.Exif()
        block.load(b"Exif\0\0" + exif)
        # An EXIF block from another format may hold tags of how its thumbnail or picture was stored: not wanted here.
        wanted = (_DESCRIPTIVE | _WINDOWS | {_ORIENTATION}).intersection(block)
        for tag, value in _writable({tag: block[tag] for tag in wanted}):
            tags[tag] = value
        for directory in {_EXIF_IFD, _GPS_IFD}.intersection(block):
            tags[directory] = dict(_writable(block.get_ifd(directory), directory))
    if icc:
        tags[_ICC] = icc
    if xmp:
        tags[_XMP] = xmp
    return tags


def _writable(tags: Mapping[int, Any], directory: int | None = None) -> Iterator[tuple[int, Any]]:
    """The tags that Pillow can write. A damaged file may say that a text is a number, which it reads and cannot write.

    directory: the tag of the one that they stand in, None for the first.
    """
    for tag, value in tags.items():
        alone: Any = TiffImagePlugin.ImageFileDirectory_v2(group=directory)
        try:
            alone[tag] = value
            alone.tobytes(0)
        except Exception:  # whatever comes to Pillow on such a value
            continue
        yield tag, value


def encode_16_bit(channels: NDArray[np.uint16], *, dpi: tuple[float, float] | None) -> bytes:
    """A TIFF file with 16 bits a channel, deflated without loss.

    channels: (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA.
    Source: TIFF 6.0; sections 14 (differences between neighbours) and 18 (alpha); Adobe's deflate, compression 8.
    """
    height, width = channels.shape[:2]
    samples = channels.reshape(height, width, -1)
    count = samples.shape[2]
    rows = max(1, _STRIP_BYTES // (width * count * 2))
    strips = [_strip(samples[row : row + rows]) for row in range(0, height, rows)]

    tags: Any = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    tags.tagtype[273] = tags.tagtype[279] = 4  # LONG
    tags[256], tags[257] = width, height
    tags[258] = (16,) * count
    tags[259] = _DEFLATE
    tags[262] = _RGB if count >= 3 else _BLACK_IS_ZERO
    # Pillow counts where the strips begin from the end of the directory, which they follow.
    tags[273] = tuple(int(start) for start in np.cumsum([0] + [len(strip) for strip in strips[:-1]]))
    tags[277] = count
    tags[278] = rows
    tags[279] = tuple(len(strip) for strip in strips)
    if dpi:
        tags[282], tags[283], tags[296] = dpi[0], dpi[1], 2  # an inch
    tags[284] = 1  # channels side by side
    tags[317] = _PREDICT_HORIZONTAL
    if count == 4:
        tags[338] = (_UNASSOCIATED_ALPHA,)
    return b"II*\0" + (8).to_bytes(4, "little") + tags.tobytes(8) + b"".join(strips)


def _strip(samples: NDArray[np.uint16]) -> bytes:
    differences = samples.astype("<u2")
    differences[:, 1:] -= samples[:, :-1]
    return zlib.compress(differences.tobytes(), 6)
