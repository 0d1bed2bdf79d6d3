"""The note in a result's metadata: with what it was made, and what was done. Who meets the picture later can know.

`Software` names Clickaway behind whatever stood there; `ImageDescription` says it in a sentence, but only where the
person has written none: a caption is theirs. In EXIF, in a PNG's text as well, in a GIF's comment; a BMP holds none.
There is no time in it: the same photo, options and weights give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from pipeline.metadata import exif_text, with_exif_text
from pipeline.photo import Metadata

_SOFTWARE, _DESCRIPTION = 0x0131, 0x010E  # EXIF's
_EXIF_PREFIX, _JPEG_SEGMENT = 6, 65533  # bytes
# No bracket inside: a stranger's text must not make the search long.
_OURS = re.compile(rb"(?:; )?Clickaway [\w.+]{1,40} \(([^()]*)\)\Z")
_SENTENCE = re.compile(rb"Edited with Clickaway [\w.+]{1,40}: [^:]*\Z")
_PNG_TEXT = (b"tEXt", b"zTXt", b"iTXt")


def noted(metadata: Metadata, edits: Sequence[str], format_name: str) -> Metadata:
    """The metadata with the note that this was done: ("object erased", "background blurred").

    What an earlier note says is kept in the new one. format_name: Pillow's, of the file that is to be written. An EXIF
    block that is damaged, or that the note would make too long for a JPEG, stays as it is.
    """
    if not edits or format_name == "BMP":
        return metadata
    done = ", ".join(edits).encode("ascii")
    if format_name == "GIF":
        return metadata if metadata.comment else replace(metadata, comment=_sentence(done))
    try:
        exif = _noted_exif(metadata.exif, done)
    except ValueError:
        return metadata
    if format_name == "JPEG" and len(exif) + _EXIF_PREFIX > _JPEG_SEGMENT:
        return metadata
    chunks = _noted_chunks(metadata.png_chunks, done) if format_name == "PNG" else metadata.png_chunks
    return replace(metadata, exif=exif, png_chunks=chunks)


@cache
def version() -> str:
    """Clickaway's version: the installed package's, or else that of the checkout."""
    import tomllib
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("clickaway")
    except PackageNotFoundError:
        project = Path(__file__).parents[1] / "pyproject.toml"
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])


def _software(old: bytes, done: bytes) -> bytes:
    """What stood there, and then us with all that we did, in this edit and in earlier ones."""
    earlier = _OURS.search(old)
    rest = old[: earlier.start()] if earlier else old.strip()
    whole = b"%s, %s" % (earlier[1], done) if earlier else done
    return b"%s%sClickaway %s (%s)" % (rest, b"; " if rest else b"", version().encode("ascii"), whole)


def _sentence(done: bytes) -> bytes:
    return b"Edited with Clickaway %s: %s" % (version().encode("ascii"), done)


def _description(old: bytes, software: bytes) -> bytes | None:
    """Our sentence, saying what the software field says; None where the person has said something."""
    ours = _OURS.search(software)
    return _sentence(ours[1]) if ours and (not old.strip() or _SENTENCE.match(old)) else None


def _noted_exif(exif: bytes | None, done: bytes) -> bytes:
    software = _software(exif_text(exif, _SOFTWARE), done)
    texts = {_SOFTWARE: software}
    if description := _description(exif_text(exif, _DESCRIPTION), software):
        texts[_DESCRIPTION] = description
    return with_exif_text(exif, texts)


def _noted_chunks(chunks: Sequence[tuple[bytes, bytes]], done: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """A PNG's chunks with the note among its texts, under the names that the PNG standard gives them."""
    result = list(chunks)
    plain = {data.partition(b"\0")[0]: number for number, (kind, data) in enumerate(result) if kind == b"tEXt"}
    # The person's description may be compressed or in another alphabet: it is theirs in any case.
    has_other = any(kind in _PNG_TEXT[1:] and data.startswith(b"Description\0") for kind, data in result)

    def old(keyword: bytes) -> bytes:
        return result[plain[keyword]][1].partition(b"\0")[2] if keyword in plain else b""

    def put(keyword: bytes, text: bytes) -> None:
        chunk = (b"tEXt", keyword + b"\0" + text)
        if keyword in plain:
            result[plain[keyword]] = chunk
        else:
            result.append(chunk)

    software = _software(old(b"Software"), done)
    description = None if has_other else _description(old(b"Description"), software)
    put(b"Software", software)
    if description:
        put(b"Description", description)
    return tuple(result)
