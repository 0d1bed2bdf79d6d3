"""Metadata without what tells about the person: place, time, camera, names, captions, history, maker notes.

What stays is a list of what is known to be harmless, so that a field nobody thought of is dropped: the colour profile
and the other fields that say how the picture is to be shown, its resolution, and EXIF's and PNG's copyright notice,
which is made to be published with the picture. The orientation needs no field: the pixels are upright.
"""

from __future__ import annotations

from typing import Any

from PIL import ExifTags, Image

from pipeline.metadata import exif_text, with_exif_text
from pipeline.photo import Metadata

_COPYRIGHT = 0x8298
_SHOWN_BY = frozenset((b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"pHYs"))  # PNG chunks
_TEXT = frozenset((b"tEXt", b"zTXt", b"iTXt"))


def without_private(metadata: Metadata) -> Metadata:
    """The metadata that may be published with a stranger's photo."""
    chunks = tuple(
        (kind, data)
        for kind, data in metadata.png_chunks
        if kind in _SHOWN_BY or (kind in _TEXT and data.startswith(b"Copyright\0"))
    )
    return Metadata(exif=_public_exif(metadata.exif), icc=metadata.icc, dpi=metadata.dpi, png_chunks=chunks)


def _public_exif(exif: bytes | None) -> bytes | None:
    """A new EXIF block with the colour space and the copyright notice; None where there is neither.

    A new one: what is cut out of a block may still be found in its bytes.
    """
    public = _color_space(exif) if exif else None
    notice = exif_text(exif, _COPYRIGHT)
    return with_exif_text(public, {_COPYRIGHT: notice}) if notice.strip() else public


def _color_space(exif: bytes) -> bytes | None:
    """An EXIF block that says sRGB or, as cameras do with a second field, Adobe RGB; None where the old one does not.

    A photo without a profile would change its colours without it.
    """
    try:
        old = Image.Exif()
        old.load(b"Exif\0\0" + exif)
        space = old.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace)
        index = old.get_ifd(ExifTags.IFD.Interop).get(1)
    except Exception:  # Pillow raises whatever comes to it on a damaged block, of which nothing need be kept
        return None
    if space not in (1, 2, 0xFFFF):
        return None
    fields: dict[int, Any] = {ExifTags.Base.ColorSpace: space}
    if index in ("R03", "R98"):
        fields[ExifTags.IFD.Interop] = {1: index}
    new = Image.Exif()
    new[ExifTags.IFD.Exif] = fields
    return new.tobytes().removeprefix(b"Exif\0\0")
