"""TensorBoard's event files, written without TensorFlow or TensorBoard: scalars and PNG pictures.

The fields are those of tensorflow/core/util/event.proto and framework/summary.proto.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path

from train_pconv.records import frame


class EventWriter:
    """Appends to a new event file in a folder; TensorBoard reads a resumed run's several files as one."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        # The process number keeps the files apart of a run that was stopped and resumed within a second.
        name = f"events.out.tfevents.{int(now)}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / name).open("ab")
        self._write(_double(1, now) + _bytes(3, b"brain.Event:2"))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes scalars by tag."""
        summary = b"".join(_bytes(1, _bytes(1, tag.encode()) + _float(2, value)) for tag, value in values.items())
        self._event(step, summary)

    def picture(self, step: int, tag: str, png: bytes, hw: tuple[int, int]) -> None:
        """Writes a PNG of that height and width."""
        picture = _int(1, hw[0]) + _int(2, hw[1]) + _int(3, 3) + _bytes(4, png)
        self._event(step, _bytes(1, _bytes(1, tag.encode()) + _bytes(4, picture)))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _event(self, step: int, summary: bytes) -> None:
        self._write(_double(1, time.time()) + _int(2, step) + _bytes(5, summary))

    def _write(self, event: bytes) -> None:
        self._file.write(frame(event))
        self._file.flush()


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _int(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _float(number: int, value: float) -> bytes:
    return _varint(number << 3 | 5) + struct.pack("<f", value)


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value
