"""16-bit PNG files: whole ones are read, interlaced ones too; of a damaged one libpng says nothing."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest

from pipeline import image_io
from pipeline.metadata import packed_chunk
from pipeline.photo import PhotoError

PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@pytest.fixture
def wide():
    """(11, 13, 4) uint16"""
    return np.random.default_rng(3).integers(0, 65536, (11, 13, 4), np.uint16)


def _png(channels: np.ndarray, *, interlaced: bool = False, clear: bytes | None = None, stream: bytes = b"") -> bytes:
    """The picture, no row filtered. stream: in place of its own data."""
    height, width, count = channels.shape
    rows = b""
    for x, y, dx, dy in PASSES if interlaced else ((0, 0, 1, 1),):
        for row in channels[y::dy, x::dx]:
            rows += b"\0" + row.astype(">u2").tobytes() if row.size else b""
    header = struct.pack(">LLBBBBB", width, height, 16, {3: 2, 4: 6}[count], 0, 0, interlaced)
    chunks = [(b"IHDR", header), *([(b"tRNS", clear)] if clear else []), (b"IDAT", stream or zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed_chunk(*chunk) for chunk in (*chunks, (b"IEND", b"")))


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("shape", [(11, 13), (1, 1), (2, 7), (9, 1)])
def test_plain_and_interlaced_ones_are_read_to_the_last_bit(tmp_path, wide, interlaced, shape):
    wide = wide[: shape[0], : shape[1]]
    (tmp_path / "a.png").write_bytes(_png(wide, interlaced=interlaced))
    photo = image_io.load(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.pixels, wide[..., :3])
    np.testing.assert_array_equal(photo.alpha, wide[..., 3])


def test_one_of_several_data_chunks_with_much_else_beside_them_is_read_in_silence(tmp_path, wide, capfd):
    stream = cv2.imencode(".png", wide)[1].tobytes()
    data = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in wide))
    at = stream.index(b"IDAT") - 4
    pieces = [packed_chunk(b"IDAT", data[start : start + 100]) for start in range(0, len(data), 100)]
    odd = [(b"gAMA", bytes(4)), (b"sRGB", b"\x63"), (b"tRNS", b"1")]
    other = b"".join(packed_chunk(*chunk) for chunk in odd)
    (tmp_path / "a.png").write_bytes(stream[:at] + other + b"".join(pieces) + other + packed_chunk(b"IEND", b"x"))
    np.testing.assert_array_equal(image_io.load(tmp_path / "a.png").pixels, wide[..., :3])
    assert capfd.readouterr().err == ""


def test_the_colour_that_stands_for_transparency_is_kept(tmp_path, wide):
    wide = wide[..., :3]
    (tmp_path / "a.png").write_bytes(_png(wide, clear=wide[2, 3].astype(">u2").tobytes()))
    photo = image_io.load(tmp_path / "a.png")
    assert photo.alpha is not None and photo.alpha[2, 3] == 0 and photo.alpha[0, 0] == 65535


def _damaged(wide: np.ndarray) -> dict[str, bytes]:
    whole = _png(wide)
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    place = whole.index(b"IDAT") + 4
    return {
        "a wrong checksum": _png(wide, stream=zlib.compress(rows)[:-1] + b"\0"),
        "a filter that there is not": _png(wide, stream=zlib.compress(b"\7" + rows[1:])),
        "a row too few": _png(wide, stream=zlib.compress(rows[:-200])),
        "a row too many": _png(wide, stream=zlib.compress(rows + rows)),
        "something behind": _png(wide, stream=zlib.compress(rows) + b"more"),
        "no end": _png(wide, stream=zlib.compress(rows)[:-4]),
        "no such stream": _png(wide, stream=b"no stream at all"),
        "flipped bits": whole[: place + 300]
        + bytes(byte ^ 9 for byte in whole[place + 300 : place + 303])
        + whole[-900:],
    }


@pytest.mark.parametrize("name", _damaged(np.zeros((11, 13, 4), np.uint16)))
def test_a_damaged_one_is_refused_in_one_line_and_libpng_says_nothing(tmp_path, wide, name, capfd):
    (tmp_path / "a.png").write_bytes(_damaged(wide)[name])
    with pytest.raises(PhotoError, match="damaged or cut short"):
        image_io.load(tmp_path / "a.png")
    assert capfd.readouterr().err == ""
