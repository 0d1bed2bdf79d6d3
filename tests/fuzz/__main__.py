"""Coverage-guided fuzzing of reading and writing photo files, for a bounded time.

    python -m tests.fuzz --seconds 300

atheris, Google's fuzzer for Python, changes the files of `tests.files.corpus` and keeps what reaches new lines of
`pipeline` and of Pillow's format plugins; the C libraries below are not instrumented, but a crash in them is found all
the same. Each file must give a photo or a PhotoError of one line, in less than 10 seconds and 2 GiB; a photo must be
written again, without private metadata and with a note, and read again. The first file that does not is kept, and
named. atheris is needed for nothing else: `pip install atheris` (3.0, Linux and macOS, Python 3.11 to 3.13).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

MAX_PIXELS = 300_000  # small pictures: more files a second
_SECONDS_A_FILE, _MIB = 10, 2048


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=120, help="how long (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the changes (%(default)s)")
    parser.add_argument("--keep", type=Path, default=Path("out/fuzz"), help="where bad files go (%(default)s)")
    parser.add_argument("--try", dest="one", type=Path, help="try this file alone, without atheris")
    options = parser.parse_args()
    if options.one:
        check(options.one.read_bytes())
        return
    try:
        import atheris
    except ImportError:
        parser.exit(3, "fuzzing needs atheris: pip install atheris\n")
    warnings.simplefilter("ignore")
    with atheris.instrument_imports(include=["pipeline", "PIL"]):
        import pipeline.decode
        import pipeline.encode
        import pipeline.note
        import pipeline.private  # noqa: F401
    from tests.files import corpus

    options.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for whole in corpus.photos():
            (Path(folder) / whole.name).write_bytes(whole.data)
        for name, data in corpus.traps().items():
            if len(data) < 100_000:
                (Path(folder) / name).write_bytes(data)
        flags = [f"-max_total_time={options.seconds}", f"-seed={options.seed}", f"-timeout={_SECONDS_A_FILE}"]
        flags += [f"-rss_limit_mb={_MIB}", "-max_len=100000", f"-artifact_prefix={options.keep}/"]
        atheris.Setup([sys.argv[0], *flags, folder], check)
        atheris.Fuzz()


def check(data: bytes) -> None:
    """Raises what no file may bring about."""
    from pipeline.decode import decode
    from pipeline.encode import encode
    from pipeline.note import noted
    from pipeline.photo import PhotoError
    from pipeline.private import without_private

    try:
        photo = decode(data, max_pixels=MAX_PIXELS)
    except PhotoError as error:
        _one_line(error)
        return
    if photo.hw[0] * photo.hw[1] > MAX_PIXELS:
        raise AssertionError(f"a picture of {photo.hw}")
    name = photo.encoding.format
    public = without_private(photo.metadata)
    # HEIC and AVIF take long to write, and their metadata goes the way of WebP's; TIFF understands metadata.
    own = "WEBP" if name in ("HEIF", "AVIF") else name
    note = noted(photo.metadata, ("object erased",), own)
    for kind, metadata in ((own, photo.metadata), (own, public), (own, note), ("TIFF", note)):
        try:
            written, _ = encode(replace(photo, metadata=metadata), kind)
        except PhotoError as error:
            _one_line(error)
            continue
        again = decode(written, max_pixels=MAX_PIXELS)
        if again.hw != photo.hw:
            raise AssertionError(f"written as {photo.hw}, read as {again.hw}")


def _one_line(error: Exception) -> None:
    text = str(error)
    if not text or not text.isprintable() or len(text) > 1000:
        raise AssertionError(f"not one clear line: {text!r}")


if __name__ == "__main__":
    main()
