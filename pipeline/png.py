"""A 16-bit PNG file that libpng has nothing to say about: OpenCV decodes those, and its libpng writes to stderr."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from pipeline.metadata import packed_chunk, png_chunks
from pipeline.photo import PhotoError

_CHANNELS = {2: 3, 4: 2, 6: 4}  # by the header's colour type: RGB, grey and alpha, RGBA
_RGB = 2
_LAST_FILTER = 4  # PNG specification, section 9: a row begins with the number of its filter, 0 to 4
# PNG specification, section 8: first column and row, steps to the next ones, of each pass of an interlaced picture.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def checked(png: bytes) -> bytes:
    """The file's first picture with nothing beside it but the colour that stands for transparency.

    png: a file of 16 bits a channel, and not of grey alone, whose header Pillow has read.
    Raises PhotoError if the picture is damaged or cut short.
    """
    chunks = list(png_chunks(png))
    if chunks[0][0] != b"IHDR" or png[25] not in _CHANNELS:
        raise PhotoError("it is damaged (its header is not where it belongs, or of no kind that there is)")
    width, height, _, color, _, _, interlaced = struct.unpack(">LLBBBBB", chunks[0][1])
    kinds = [kind for kind, _ in chunks]
    first = kinds.index(b"IDAT") if b"IDAT" in kinds else len(kinds)
    last = first
    while last < len(kinds) and kinds[last] == b"IDAT":
        last += 1
    rows = [(height, 1 + 2 * _CHANNELS[color] * width)]
    if interlaced:
        sides = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in _PASSES]
        rows = [(high, 1 + 2 * _CHANNELS[color] * wide) for wide, high in sides if wide > 0 and high > 0]
    stream = b"".join(data for _, data in chunks[first:last])
    _check(stream, rows)
    header = struct.pack(">LLBBBBB", width, height, 16, color, 0, 0, bool(interlaced))
    clear = [data for kind, data in chunks[:first] if kind == b"tRNS" and color == _RGB and len(data) == 6]
    kept = [(b"IHDR", header), *((b"tRNS", data) for data in clear[-1:]), (b"IDAT", stream), (b"IEND", b"")]
    return png[:8] + b"".join(packed_chunk(kind, data) for kind, data in kept)


def _check(stream: bytes, rows: list[tuple[int, int]]) -> None:
    """Raises PhotoError unless the stream holds these rows and no more. rows: number and length, of each pass."""
    size = sum(count * length for count, length in rows)
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(stream, size + 1)  # one byte more: or its checksum would not be looked at
    except zlib.error as error:
        raise PhotoError(f"it is damaged or cut short ({error})") from error
    if len(raw) != size or not unpacker.eof or unpacker.unused_data:
        raise PhotoError("it is damaged or cut short (its picture data is not of the length that its size asks for)")
    start = 0
    for count, length in rows:
        stop = start + count * length
        if np.frombuffer(raw, np.uint8)[start:stop:length].max() > _LAST_FILTER:
            raise PhotoError("it is damaged or cut short (a row has a filter that there is not)")
        start = stop
