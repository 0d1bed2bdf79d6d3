"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import glob
import os
import secrets
from pathlib import Path

from pipeline import remote
from pipeline.remote import Place, Url

_LONGEST = 100  # bytes of a name that go into the name of its partial file: file systems take about 255


def in_the_way(path: Place) -> str:
    """What to say where a file of that name is there already."""
    return f"{path} exists already: choose another name, or allow overwriting (--overwrite)"


def write_bytes(path: Place, data: bytes, *, overwrite: bool = False) -> None:
    """Writes the file in one step: whoever looks sees the old state or the whole new file, after a crash too.

    The data goes to a file beside it first, onto the disk, and then takes the name. Its permissions are those of any
    new file (0666 less the umask); a link is followed, so that it stays a link. A Url: as `remote.write_bytes` does.
    Raises FileExistsError if there is a file of that name and overwrite is False, OSError where it cannot be written.
    """
    if isinstance(path, Url):
        remote.write_bytes(path, data, overwrite=overwrite)
        return
    try:
        path = path.resolve()
    except RuntimeError as error:  # Python's way to say it before 3.13
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from error
    # Hidden, and without the photo's extension: a listing of the folder does not take it for a photo.
    partial = path.with_name(f".{shortened(path.name)}.{secrets.token_hex(4)}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:  # said of the name that the person knows
        raise type(error)(error.errno, error.strerror, str(path)) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            partial.replace(path)
        else:
            _link_new(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(path.parent)


def remove_partials(path: Place) -> None:
    """Removes what writers of that file left beside it when they were killed. None may be at work."""
    if isinstance(path, Url):
        remote.remove_partials(path)
        return
    path = path.resolve()
    for partial in path.parent.glob(f".{glob.escape(shortened(path.name))}.{'[0-9a-f]' * 8}.partial"):
        partial.unlink(missing_ok=True)


def shortened(name: str) -> str:
    """The beginning of a file's name, not cut within a character: some file systems take whole ones alone."""
    return os.fsencode(name)[:_LONGEST].decode("utf-8", "ignore")


def _link_new(partial: Path, path: Path) -> None:
    """Gives the file its name only if nobody has it: a rename would silently take it from another process's file."""
    try:
        path.hardlink_to(partial)
    except FileExistsError:
        raise FileExistsError(in_the_way(path)) from None
    except OSError:  # a file system without hard links, such as FAT
        if path.exists():
            raise FileExistsError(in_the_way(path)) from None
        partial.rename(path)


def _sync_folder(folder: Path) -> None:
    """Brings the new name onto the disk, where the system can do that for a folder."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
