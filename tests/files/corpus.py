"""Files as strangers have them: every kind of photo, small, and every kind of trap. Made by code, none is kept.

`photos()` are whole files that must load as the picture that was put into them; `traps()` are files of which nothing
may come but a picture or one line. `flipped` and `cut` break any of them, by a seed.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

HEIGHT, WIDTH = 40, 56
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description dc:title="Quay" tiff:Orientation="1"/></x:xmpmeta>'


@dataclass(frozen=True)
class Whole:
    """A whole photo file."""

    name: str
    data: bytes
    upright: np.ndarray  # (H, W, 3) uint8: what is to be seen
    tolerance: float  # of the mean difference: 0 for lossless formats


def picture() -> np.ndarray:
    """(40, 56, 3) uint8: smooth enough for lossy formats, and no two corners alike, so that a wrong turn is seen."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    result = np.stack([x * 4, y * 6, 255 - x * 2 - y * 2], axis=2).astype(np.uint8)
    result[4:12, 4:16] = (230, 30, 20)
    return result


# What a camera stores: the stored array of an upright one. Exif 2.32, table 6.
STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: np.rot90(a, -1),
}


def exif(orientation: int = 1, *, length: int = 0) -> bytes:
    """An EXIF block with a maker, an orientation, a place, a maker note and a thumbnail. length: of the note."""
    block = Image.Exif()
    block[0x010F], block[0x0112] = "Clickaway Cameras", orientation
    block[0x8769] = {0x9003: "2020:02:03 04:05:06", 0x927C: b"n" * (length or 40), 0xA002: WIDTH, 0xA003: HEIGHT}
    block[0x8825] = {1: "N", 2: (48.0, 8.0, 30.0), 3: "E", 4: (11.0, 34.0, 0.0)}
    return block.tobytes()


def icc() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    if kind == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _pil(array: np.ndarray, mode: str | None = None) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(array), mode)


@cache
def photos() -> tuple[Whole, ...]:
    """Every kind of photo file that there is, with what must be seen."""
    return tuple(_photos())


def _photos() -> Iterator[Whole]:
    rgb = picture()
    grey = np.asarray(_pil(rgb).convert("L"))
    grey3 = np.repeat(grey[..., None], 3, axis=2)
    alpha = np.where(np.arange(WIDTH) < 40, 255, 128).astype(np.uint8) * np.ones((HEIGHT, 1), np.uint8)
    wide_alpha = alpha.astype(np.uint16) * 257
    rgba, grey_alpha = np.dstack([rgb, alpha]), np.dstack([grey, alpha])
    wide = rgb.astype(np.uint16) * 257
    few = _pil(rgb).quantize(40)
    few_rgb = np.asarray(few.convert("RGB"))
    bits = _pil(grey).convert("1", dither=Image.Dither.NONE)
    bits3 = np.repeat(np.asarray(bits.convert("L"))[..., None], 3, axis=2)
    cmyk = np.asarray(_pil(rgb).convert("CMYK"))
    cmyk_rgb = np.asarray(_pil(cmyk, "CMYK").convert("RGB"))

    full = {"exif": exif(), "icc_profile": icc()}
    yield Whole("plain.jpg", saved(_pil(rgb), "JPEG", quality=95, subsampling=0), rgb, 3)
    yield Whole("full.jpg", saved(_pil(rgb), "JPEG", quality=95, xmp=XMP, dpi=(300, 300), **full), rgb, 8)
    yield Whole("progressive.jpg", saved(_pil(rgb), "JPEG", quality=95, progressive=True), rgb, 8)
    yield Whole("grey.jpg", saved(_pil(grey), "JPEG", quality=95), grey3, 3)
    yield Whole("cmyk.jpg", saved(_pil(cmyk, "CMYK"), "JPEG", quality=95), cmyk_rgb, 12)
    yield Whole("stereo.jpg", saved(_pil(rgb), "MPO", save_all=True, append_images=_others(), quality=95), rgb, 8)
    yield Whole("long-exif.jpg", saved(_pil(rgb), "JPEG", quality=95, exif=exif(length=65_000)), rgb, 8)
    yield Whole("broken-icc.jpg", saved(_pil(rgb), "JPEG", quality=95, icc_profile=icc()[:200]), rgb, 8)
    yield Whole("odd-icc.jpg", saved(_pil(cmyk, "CMYK"), "JPEG", quality=95, icc_profile=b"\xff" * 300), cmyk_rgb, 12)

    yield Whole("plain.png", saved(_pil(rgb), "PNG"), rgb, 0)
    yield Whole("full.png", saved(_pil(rgb), "PNG", pnginfo=_texts(), dpi=(300, 300), **full), rgb, 0)
    yield Whole("alpha.png", saved(_pil(rgba), "PNG"), rgb, 0)
    yield Whole("grey.png", saved(_pil(grey), "PNG"), grey3, 0)
    yield Whole("grey-alpha.png", saved(_pil(grey_alpha, "LA"), "PNG"), grey3, 0)
    yield Whole("palette.png", saved(few, "PNG"), few_rgb, 0)
    yield Whole("palette-clear.png", saved(few, "PNG", transparency=bytes(range(40))), few_rgb, 0)
    yield Whole("bits.png", saved(bits, "PNG"), bits3, 0)
    yield Whole("colour-key.png", saved(_pil(rgb), "PNG", transparency=(230, 30, 20)), rgb, 0)
    yield Whole("wide.png", cv2.imencode(".png", wide[..., ::-1])[1].tobytes(), rgb, 0)
    yield Whole("wide-alpha.png", cv2.imencode(".png", np.dstack([wide[..., ::-1], wide_alpha]))[1].tobytes(), rgb, 0)
    yield Whole("wide-grey.png", cv2.imencode(".png", wide[..., 0])[1].tobytes(), np.repeat(rgb[..., :1], 3, 2), 0)
    yield Whole("moving.png", saved(_pil(rgb), "PNG", save_all=True, append_images=_others()), rgb, 0)
    yield Whole("long-exif.png", saved(_pil(rgb), "PNG", exif=exif(length=300_000)), rgb, 0)
    yield Whole("broken-icc.png", saved(_pil(rgb), "PNG", icc_profile=b"no profile at all"), rgb, 0)

    yield Whole("lossy.webp", saved(_pil(rgb), "WEBP", quality=95, xmp=XMP, **full), rgb, 8)
    yield Whole("lossless.webp", saved(_pil(rgba), "WEBP", lossless=True, exact=True), rgb, 0)
    yield Whole("moving.webp", saved(_pil(rgb), "WEBP", save_all=True, append_images=_others(), lossless=True), rgb, 0)

    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        yield Whole(f"{compression}.tif", saved(_pil(rgb), "TIFF", compression=compression), rgb, 0)
    yield Whole("full.tif", saved(_pil(rgb), "TIFF", dpi=(300, 300), **full), rgb, 0)
    yield Whole("jpeg.tif", saved(_pil(rgb), "TIFF", compression="jpeg", quality=95), rgb, 8)
    yield Whole("alpha.tif", saved(_pil(rgba), "TIFF"), rgb, 0)
    yield Whole("grey.tif", saved(_pil(grey), "TIFF"), grey3, 0)
    yield Whole("palette.tif", saved(few, "TIFF"), few_rgb, 0)
    yield Whole("fax.tif", saved(bits, "TIFF", compression="group4"), bits3, 0)
    yield Whole("cmyk.tif", saved(_pil(cmyk, "CMYK"), "TIFF"), cmyk_rgb, 0)
    yield Whole("pages.tif", saved(_pil(rgb), "TIFF", save_all=True, append_images=_others()), rgb, 0)
    yield Whole("wide.tif", _tiff(wide, photometric="rgb"), rgb, 0)
    yield Whole("wide-deflate.tif", _tiff(wide, photometric="rgb", compression="zlib", predictor=True), rgb, 0)
    yield Whole("wide-grey.tif", _tiff(wide[..., 0]), np.repeat(rgb[..., :1], 3, 2), 0)
    yield Whole("tiles.tif", _tiff(rgb, photometric="rgb", tile=(16, 16)), rgb, 0)
    yield Whole("motorola.tif", _tiff(rgb, photometric="rgb", byteorder=">"), rgb, 0)

    yield Whole("plain.bmp", saved(_pil(rgb), "BMP"), rgb, 0)
    yield Whole("palette.bmp", saved(few, "BMP"), few_rgb, 0)
    yield Whole("plain.gif", saved(few, "GIF"), few_rgb, 0)
    moving = saved(few, "GIF", save_all=True, append_images=[one.quantize(40) for one in _others()], comment=b"by me")
    yield Whole("moving.gif", moving, few_rgb, 0)
    yield Whole("plain.avif", saved(_pil(rgb), "AVIF", quality=90, **full), rgb, 10)
    yield Whole("plain.heic", saved(_pil(rgb), "HEIF", quality=90, **full), rgb, 10)

    for number, stored in STORED.items():
        turned = _pil(stored(rgb))
        yield Whole(f"turned-{number}.jpg", saved(turned, "JPEG", quality=95, exif=exif(number)), rgb, 8)
        yield Whole(f"turned-{number}.png", saved(turned, "PNG", exif=exif(number)), rgb, 0)
        yield Whole(f"turned-{number}.webp", saved(turned, "WEBP", lossless=True, exif=exif(number)), rgb, 0)
        yield Whole(f"turned-{number}.tif", saved(turned, "TIFF", exif=exif(number)), rgb, 0)
        yield Whole(f"turned-{number}.heic", saved(turned, "HEIF", quality=90, exif=exif(number)), rgb, 10)

    for height, width in ((1, 1), (1, 20_000), (20_000, 1)):
        extreme = np.full((height, width, 3), (9, 120, 200), np.uint8)
        yield Whole(f"{width}x{height}.png", saved(_pil(extreme), "PNG"), extreme, 0)
        yield Whole(f"{width}x{height}.jpg", saved(_pil(extreme), "JPEG", quality=95), extreme, 6)


def _others() -> list[Image.Image]:
    """The pages after the first; new ones each time, for saving leaves its traces in Pillow's pictures."""
    return [_pil(picture()[::-1]), _pil(picture()[:, ::-1])]


def _texts() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    info.add_text("Author", "Ada")
    info.add_text("Comment", "long " * 400, zip=True)
    info.add(b"gAMA", struct.pack(">L", 45455))
    return info


def _tiff(array: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, metadata=None, **options)
    return file.getvalue()


@cache
def traps() -> dict[str, bytes]:
    """Name -> a file that is none, lies, or wants to be expensive. Whole photos that are refused are here too."""
    rgb = picture()
    made = {
        "empty.jpg": b"",
        "text.jpg": b"hello, I am a text\n" * 10,
        "page.png": b"<!doctype html><html><body>404</body></html>",
        "zeros.tif": bytes(4096),
        "drawing.jpg": b"<svg xmlns='http://www.w3.org/2000/svg' width='99999' height='99999'/>",
        "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n",
        "archive.png": b"PK\x03\x04" + bytes(100),
        "program.jpg": b"\x7fELF" + bytes(100),
        "pickle.jpg": b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
        "only-a-start.jpg": b"\xff\xd8\xff",
        "only-a-name.png": b"\x89PNG\r\n\x1a\n",
        "only-a-name.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        "only-a-name.webp": b"RIFF\xff\xff\xff\xffWEBPVP8 ",
        "floats.tif": _tiff(rgb.astype(np.float32)[..., 0]),
        "numbers.tif": _tiff((rgb.astype(np.int32) * 100_000)[..., 0]),
        "planes.tif": _tiff(np.moveaxis(rgb.astype(np.uint16), 2, 0), photometric="rgb", planarconfig="separate"),
    }
    made |= {f"bomb.{kind}": data for kind, data in _bombs(30_000, 30_000)}
    made |= {f"bomb.{kind}": data for kind, data in _bombs(16_383, 16_383) if kind == "webp"}  # it can say no more
    made |= {f"widest.{kind}": data for kind, data in _bombs(65_500, 65_500)}
    # Below the limit of pixels, with none of them there: must not cost more than a photo of that size.
    made |= {f"hollow.{kind}": data for kind, data in _bombs(6_000, 5_000)}
    made["text-bomb.png"] = _png(4, 4, [(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200_000_000), 9))])
    made["profile-bomb.png"] = _png(4, 4, [(b"iCCP", b"x\0\0" + zlib.compress(bytes(200_000_000), 9))])
    made["many-texts.png"] = _png(4, 4, [(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1_000_000), 9))] * 500)
    made["thumbnails.png"] = _png(4, 4, [(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"<xmp:Thumbnails " * 60_000)])
    made["thumbnails.webp"] = saved(_pil(rgb), "WEBP", lossless=True, xmp=b"<xmp:Thumbnails " * 60_000)
    made["quotes.webp"] = saved(_pil(rgb), "WEBP", lossless=True, xmp=b" xmpNote:HasExtendedXMP=\"'" * 40_000)
    made["many-chunks.png"] = _png(4, 4, [(b"tEXt", b"a\0b")] * 200_000)
    made["a-loop-of-pages.tif"] = _tiff_loop()
    made["many-frames.gif"] = _gif(4_000)
    made["exif-that-lies.jpg"] = saved(_pil(rgb), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 500)
    return made


def _bombs(width: int, height: int) -> Iterator[tuple[str, bytes]]:
    """Headers that promise so many pixels, with hardly any data behind them."""
    yield "png", _png(width, height)
    yield "bmp", _patched(saved(_pil(picture()), "BMP"), {18: struct.pack("<ll", width, height)})
    yield "gif", _patched(saved(_pil(picture()).quantize(4), "GIF"), {6: struct.pack("<HH", width, height)})
    jpeg = saved(_pil(picture()), "JPEG")
    frame = jpeg.index(b"\xff\xc0")
    yield "jpg", _patched(jpeg, {frame + 5: struct.pack(">HH", height, width)})
    lossless = saved(_pil(picture()), "WEBP", lossless=True)
    if width <= 16_384:
        header = struct.pack("<L", (width - 1) | (height - 1) << 14)
        yield "webp", _patched(lossless, {21: header})
    tiff = bytearray(saved(_pil(picture()), "TIFF", compression="tiff_lzw"))
    (at,) = struct.unpack_from("<L", tiff, 4)
    (count,) = struct.unpack_from("<H", tiff, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from("<H", tiff, entry)
        if tag in (256, 257, 278):
            struct.pack_into("<HLL", tiff, entry + 2, 4, 1, width if tag == 256 else height)
    yield "tif", bytes(tiff)


def _patched(data: bytes, places: dict[int, bytes]) -> bytes:
    result = bytearray(data)
    for start, piece in places.items():
        result[start : start + len(piece)] = piece
    return bytes(result)


def _png(width: int, height: int, chunks: list[tuple[bytes, bytes]] | None = None) -> bytes:
    rows = zlib.compress(bytes(min(height, 64) * (1 + 3 * min(width, 64))))
    header = struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), *(chunks or []), (b"IDAT", rows), (b"IEND", b"")]
    packed = (struct.pack(">L", len(d)) + k + d + struct.pack(">L", zlib.crc32(k + d)) for k, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def _tiff_loop() -> bytes:
    """Its first page is its next page."""
    data = bytearray(saved(_pil(picture()), "TIFF"))
    (at,) = struct.unpack_from("<L", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    struct.pack_into("<L", data, at + 2 + 12 * count, at)
    return bytes(data)


def _gif(frames: int) -> bytes:
    """So many frames, each one a pixel."""
    still = saved(Image.new("P", (300, 300)), "GIF")
    one = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return still[:-1] + one * frames + b"\x3b"


def flipped(data: bytes, seed: int, *, bits: int = 3) -> bytes:
    """The file with a few bits flipped; every other seed only in its first 512 bytes, where headers are."""
    generator = np.random.default_rng(seed)
    result = bytearray(data)
    last = len(data) if seed % 2 else min(len(data), 512)
    for position in generator.integers(0, last, bits):
        result[position] ^= 1 << int(generator.integers(8))
    return bytes(result)


def cut(data: bytes, share: float) -> bytes:
    """The file's first part."""
    return data[: int(len(data) * share)]
