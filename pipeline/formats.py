"""Which photo formats there are, by the file's extension, and what each can hold. Names are Pillow's."""

from __future__ import annotations

# The extension says which format is written; what is read is told by the content.
BY_EXTENSION: dict[str, str] = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".hif": "HEIF",
    ".avif": "AVIF",
}
MAIN_EXTENSIONS = (".jpg", ".png", ".webp", ".tif", ".bmp", ".gif", ".heic", ".avif")

HOLDS_ALPHA = frozenset(("PNG", "WEBP", "TIFF", "GIF", "HEIF", "AVIF"))
HOLDS_16_BIT = frozenset(("PNG", "TIFF"))
HOLDS_GREY = frozenset(("JPEG", "PNG", "TIFF", "BMP"))
HOLDS_1_BIT = frozenset(("PNG", "TIFF", "BMP"))
HOLDS_CMYK = frozenset(("JPEG", "TIFF"))
HOLDS_METADATA = frozenset(("JPEG", "WEBP", "HEIF", "AVIF"))  # by Pillow itself; PNG and TIFF are done by us
LOSSY = frozenset(("JPEG", "WEBP", "HEIF", "AVIF"))
