"""TFRecord files without TensorFlow: photos out of shards, and the framing that TensorBoard's files share.

A record is its length (8 bytes), a checksum of that, the data, and a checksum of those; little-endian throughout.
The data are protocol buffers, of which only the few fields used here are written and read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

_HEADER_BYTES, _FOOTER_BYTES = 12, 4
_PHOTO_KEYS = ("image/encoded", "image", "image_raw", "jpeg", "jpg", "png")
_PHOTO_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"BM", b"II*\0", b"MM\0*")


class Shards:
    """Photos in TFRecord shards of tf.train.Example, as ImageNet and TFDS write them.

    A photo's name is its shard's and its place there, so that the choice by hash needs no photo to be read.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        """Reads where every record begins. Raises ValueError if a file is no TFRecord file or is cut off."""
        self._places: list[tuple[Path, int, int]] = []
        names: list[str] = []
        for path in paths:
            for number, (offset, length) in enumerate(index_records(path)):
                self._places.append((path, offset, length))
                names.append(f"{path.name}#{number}")
        self.names: Sequence[str] = names
        if not names:
            raise ValueError(f"{paths[0]} and {len(paths) - 1} other shards hold no records")

    def read(self, number: int) -> bytes:
        """The encoded photo. Raises OSError if the record holds none."""
        path, offset, length = self._places[number]
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(length)
        try:
            return photo_of_example(data)
        except (ValueError, IndexError) as error:
            raise OSError(f"record at byte {offset} of {path}: {error}") from error


def index_records(path: Path) -> Iterator[tuple[int, int]]:
    """Offset and length of the data of every record.

    Raises ValueError if the file is no TFRecord file or is cut off.
    """
    size, place = path.stat().st_size, 0
    with path.open("rb") as file:
        while place < size:
            file.seek(place)
            header = file.read(_HEADER_BYTES)
            if len(header) < _HEADER_BYTES or masked_crc(header[:8]) != struct.unpack("<I", header[8:])[0]:
                raise ValueError(f"{path} is no plain TFRecord file (byte {place}): is it compressed or damaged?")
            length = struct.unpack("<Q", header[:8])[0]
            if place + _HEADER_BYTES + length + _FOOTER_BYTES > size:
                raise ValueError(f"{path} is cut off at byte {size}: copy it again")
            yield place + _HEADER_BYTES, length
            place += _HEADER_BYTES + length + _FOOTER_BYTES


def photo_of_example(data: bytes) -> bytes:
    """The encoded photo of a serialised tf.train.Example: under a usual key, else whatever looks like one.

    Raises ValueError if there is none.
    """
    found: dict[str, bytes] = {}
    for features in chunks(data, 1):
        for entry in chunks(features, 1):
            key = next(chunks(entry, 1), b"").decode()
            for feature in chunks(entry, 2):
                for values in chunks(feature, 1):
                    found[key] = next(chunks(values, 1), b"")
    for key in _PHOTO_KEYS:
        if key in found:
            return found[key]
    for value in found.values():
        if value.startswith(_PHOTO_STARTS):
            return value
    raise ValueError(f"no photo among its features ({', '.join(sorted(found)) or 'none with bytes'})")


def chunks(message: bytes, wanted: int) -> Iterator[bytes]:
    """The length-delimited fields of that number in a protocol buffer. Raises ValueError if it is none."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            _, place = _varint(message, place)
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        elif kind == 2:
            length, place = _varint(message, place)
            if place + length > len(message):
                raise ValueError("it is cut off")
            if number == wanted:
                yield message[place : place + length]
            place += length
        else:
            raise ValueError("it is no protocol buffer")


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if not byte & 0x80:
            return value, place


def masked_crc(data: bytes) -> int:
    """CRC-32C (Castagnoli), rotated and shifted as TFRecord wants it."""
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


@cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)
