"""EXIF, XMP, IPTC and PNG chunks as bytes: carried over, and only what the edit makes wrong is changed in place.

Three things are made wrong by writing an upright, edited picture: the orientation, the sides' order, and every small
copy of the old picture, which would still show what was erased.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Mapping

_ORIENTATION, _EXIF_IFD = 0x0112, 0x8769
_SIDES = ((0x0100, 0x0101), (0xA002, 0xA003))  # ImageWidth and ImageLength, PixelXDimension and PixelYDimension
_THUMBNAIL = ((0x0201, 0x0202), (0x0111, 0x0117))  # (offset, length) of a JPEG thumbnail, of an uncompressed one
_ASCII, _SHORT, _LONG = 2, 3, 4
_TIFF_MAGIC = 42

# What describes the old file: thumbnails, and what is behind its picture, such as a gain map. (beginning, end)
_STALE_XMP_ELEMENTS = tuple(
    (b"<" + name, b"</" + name + b">") for name in (b"xmp:Thumbnails", b"xap:Thumbnails", b"Container:Directory")
)
# What points there: a motion photo's clip, more XMP.
_STALE_XMP_FIELDS = re.compile(
    rb"\s(?:GCamera:(?:MicroVideo|MotionPhoto)\w*|xmpNote:HasExtendedXMP)=(?:\"[^\"]*\"|'[^']*')"
)
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>))\d")

# Ancillary chunks that stay true for an edited picture. eXIf, iCCP and XMP are kept by their own fields.
_PNG_KEPT = frozenset((b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"pHYs", b"tEXt", b"zTXt", b"iTXt"))
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_PHOTOSHOP_STALE = frozenset((1033, 1036))  # thumbnails; they show the old picture


def upright_exif(exif: bytes, *, turned: bool) -> bytes:
    """The EXIF block with orientation 1 and no thumbnail; everything else stays the same byte at the same place.

    turned: True if the picture was turned by 90 degrees, so that its sides change places.
    A preview inside a camera's own maker note is not found: its format is secret.
    Raises ValueError if the block is damaged.
    """
    block = bytearray(exif)
    try:
        endian, entries, end = _first_directory(block)
        _reset_orientation(block, endian, entries)
        directories = [entries]
        if _EXIF_IFD in entries:
            directories.append(_directory(block, endian, _value(block, endian, entries[_EXIF_IFD]))[0])
        if turned:
            for directory in directories:
                _swap_sides(block, directory)
        _wipe_thumbnail(block, endian, end)
    except (KeyError, struct.error) as error:
        raise ValueError("the EXIF block is damaged") from error
    return bytes(block)


def _directory(block: bytes | bytearray, endian: str, offset: int) -> tuple[dict[int, int], int]:
    """Tag -> where its 12-byte entry is, and where the directory's entries end."""
    (count,) = struct.unpack_from(endian + "H", block, offset)
    entries: dict[int, int] = {}
    for position in range(offset + 2, offset + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from(endian + "H", block, position)
        struct.unpack_from("12x", block, position)  # the whole entry must be there
        entries.setdefault(tag, position)
    return entries, offset + 2 + 12 * count


def _value(block: bytearray, endian: str, position: int) -> int:
    (kind,) = struct.unpack_from(endian + "H", block, position + 2)
    (value,) = struct.unpack_from(endian + ("H" if kind == _SHORT else "L"), block, position + 8)
    return int(value)


def _reset_orientation(block: bytearray, endian: str, entries: Mapping[int, int]) -> None:
    if _ORIENTATION in entries:
        struct.pack_into(endian + "HLHH", block, entries[_ORIENTATION] + 2, _SHORT, 1, 1, 0)


def _swap_sides(block: bytearray, entries: Mapping[int, int]) -> None:
    for width, height in _SIDES:
        if width in entries and height in entries:
            a, b = entries[width] + 2, entries[height] + 2  # type, count and value change places, the tags stay
            block[a : a + 10], block[b : b + 10] = block[b : b + 10], block[a : a + 10]


def _wipe_thumbnail(block: bytearray, endian: str, link: int) -> None:
    """Cuts the second directory off and overwrites its picture with zeros: nobody finds it by looking at the bytes."""
    if link + 4 > len(block):
        return  # some writers leave the link out
    (second,) = struct.unpack_from(endian + "L", block, link)
    struct.pack_into(endian + "L", block, link, 0)
    if not second:
        return
    try:
        entries, _ = _directory(block, endian, second)
    except struct.error:
        return  # there is no such directory, so there is no thumbnail
    for offset_tag, length_tag in _THUMBNAIL:
        if offset_tag in entries and length_tag in entries:
            start = _value(block, endian, entries[offset_tag])
            stop = min(len(block), start + _value(block, endian, entries[length_tag]))
            if stop == len(block):
                del block[start:]
            else:
                block[start:stop] = bytes(max(0, stop - start))


def exif_text(exif: bytes | None, tag: int) -> bytes:
    """The text of a tag of the first directory, as it stands there; empty where there is none."""
    try:
        endian, entries, _ = _first_directory(exif or b"")
        kind, count, offset = struct.unpack_from(endian + "HLL", exif or b"", entries[tag] + 2)
    except (KeyError, struct.error):
        return b""
    if kind != _ASCII:
        return b""
    start = entries[tag] + 8 if count <= 4 else offset
    return (exif or b"")[start : start + count].split(b"\0")[0]


def with_exif_text(exif: bytes | None, texts: Mapping[int, bytes]) -> bytes:
    """The EXIF block with these texts in its first directory, tag -> text. A new block where there is none.

    The directory is written anew behind everything else, for there is no room in the old one's place. All that it
    points to stays where it was: maker notes hold offsets that nobody but the maker can mend.
    Raises ValueError if the block is damaged.
    """
    block = bytearray(exif or b"II*\0\x08\0\0\0\0\0\0\0\0\0")
    try:
        endian, old, end = _first_directory(block)
    except (KeyError, struct.error) as error:
        raise ValueError("the EXIF block is damaged") from error
    link = bytes(block[end : end + 4]).ljust(4, b"\0")
    entries = {tag: bytes(block[position : position + 12]) for tag, position in old.items()}
    block += b"\0" * (len(block) % 2)  # a directory begins at an even byte
    start = len(block)
    struct.pack_into(endian + "L", block, 4, start)
    values_at = start + 2 + 12 * len({*entries, *texts}) + 4
    values = b""
    for tag, text in texts.items():
        value = text + b"\0"
        place = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(endian + "L", values_at + len(values))
        values += b"" if len(value) <= 4 else value + b"\0" * (len(value) % 2)
        entries[tag] = struct.pack(endian + "HHL", tag, _ASCII, len(value)) + place
    block += struct.pack(endian + "H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + link
    return bytes(block + values)


def _first_directory(block: bytes | bytearray) -> tuple[str, dict[int, int], int]:
    """The byte order, tag -> where its entry is, and where the entries end. Raises KeyError, struct.error."""
    endian = {b"II": "<", b"MM": ">"}[bytes(block[:2])]
    magic, first = struct.unpack_from(endian + "HL", block, 2)
    if magic != _TIFF_MAGIC:
        raise KeyError(magic)
    return endian, *_directory(block, endian, first)


def upright_xmp(xmp: bytes) -> bytes:
    """The XMP packet with orientation 1, without thumbnails and without links to what is no longer in the file."""
    for beginning, end in _STALE_XMP_ELEMENTS:
        xmp = _without_elements(xmp, beginning, end)
    return _STALE_XMP_FIELDS.sub(b"", _XMP_ORIENTATION.sub(rb"\g<1>1", xmp))


def _without_elements(xmp: bytes, beginning: bytes, end: bytes) -> bytes:
    """The packet without these elements. In one walk: a regular expression would take hours for some packets."""
    kept: list[bytes] = []
    position = 0
    while True:
        start = xmp.find(beginning, position)
        stop = xmp.find(end, start) if start >= 0 else -1
        if stop < 0:
            return b"".join((*kept, xmp[position:]))
        if xmp[start + len(beginning)] in b" \t\r\n/>":  # or it is the beginning of another name
            kept.append(xmp[position:start])
            position = stop + len(end)
        else:
            kept.append(xmp[position : start + len(beginning)])
            position = start + len(beginning)


def photoshop_resources(resources: Mapping[int, object]) -> bytes | None:
    """Photoshop's image resources of a JPEG, as Pillow gives them, in one block again; None if nothing is left."""
    block = b""
    for number, data in resources.items():
        if isinstance(data, bytes) and number not in _PHOTOSHOP_STALE:
            # an empty name takes two bytes; data is padded to even
            block += b"8BIM" + struct.pack(">HHL", number, 0, len(data)) + data + b"\0" * (len(data) % 2)
    return block or None


def kept_png_chunks(png: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """(type, data) of the chunks of a PNG file that stay true for an edited picture, in their order."""
    return tuple(
        (kind, data)
        for kind, data in png_chunks(png)
        # "Raw profile type exif" is ImageMagick's old way to keep EXIF: it may hold an orientation and a thumbnail.
        if kind in _PNG_KEPT and not data.startswith((_XMP_KEYWORD, b"Raw profile type"))
    )


def png_chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, data) of every chunk of a PNG file, in their order; checksums are not looked at."""
    position = 8
    while position + 12 <= len(png):
        length, kind = struct.unpack_from(">L4s", png, position)
        yield kind, png[position + 8 : position + 8 + length]
        position += 12 + length


def with_png_chunks(png: bytes, chunks: list[tuple[bytes, bytes]]) -> bytes:
    """The PNG file with the chunks put in right after its header."""
    header_end = 8 + 12 + 13
    return png[:header_end] + b"".join(packed_chunk(kind, data) for kind, data in chunks) + png[header_end:]


def packed_chunk(kind: bytes, data: bytes) -> bytes:
    """The bytes of a PNG chunk: its length, type, data and checksum."""
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


def xmp_chunk(xmp: bytes) -> tuple[bytes, bytes]:
    """XMP as a PNG chunk: keyword, no compression, no language, no translated keyword."""
    return b"iTXt", _XMP_KEYWORD + b"\0\0\0\0\0" + xmp


def icc_chunk(icc: bytes) -> tuple[bytes, bytes]:
    """A colour profile as a PNG chunk."""
    return b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc, 9)


def resolution_chunk(dpi: tuple[float, float]) -> tuple[bytes, bytes]:
    """Dots an inch as a PNG chunk: pixels a metre."""
    return b"pHYs", struct.pack(">LLB", round(dpi[0] / 0.0254), round(dpi[1] / 0.0254), 1)
