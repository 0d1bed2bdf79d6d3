"""Photos and results behind a URL, on any file system that fsspec knows: listed, read and written, whole or not at all.

Only the command line makes a Url, of what its user typed (`place`); to everything else a text with :// in it is the
name of a local file, so that nobody can make the demo fetch something. Access (keys, regions, proxies) is fsspec's own
matter: environment variables and its configuration files, on every machine of a cluster.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+)://")  # two letters at least: C:/ is a drive
_READ_ONLY = ("http", "https")
# Stores that show an object once all of it has come. A rename there is a copy: what is written gets its name at once.
_ONE_PUT = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss")
# What file systems tell of a file that changes when the file does.
_STATE = (
    *("size", "mtime", "modified", "created", "updated", "LastModified", "last_modified", "Last-Modified"),
    *("ETag", "etag", "md5Hash"),
)


@dataclass(frozen=True, order=True)
class Url:
    """A file or a folder behind a URL. It has of a Path what a batch needs; making it asks no server.

    What asks one raises FileNotFoundError, OSError, or ImportError where a package for that kind of URL is missing.
    """

    text: str  # without a query; a slash at the end stays, for it is how HTTP says that something is a folder
    query: str = ""  # "?size=large", of HTTP alone

    def __str__(self) -> str:
        return self.text + self.query

    def as_posix(self) -> str:
        """The same as str(), as a Path has it too."""
        return str(self)

    @property
    def scheme(self) -> str:
        """ "s3", "https", ..."""
        return self.text.partition("://")[0].lower()

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be written there."""
        return self.scheme in _READ_ONLY

    @property
    def name(self) -> str:
        """The part behind the last slash."""
        return self._below_scheme.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The name without its extension."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The name's extension, ".jpg"."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> Url:
        """The folder that it is in."""
        folder = self._below_scheme.rpartition("/")[0]
        return Url(f"{self.scheme}://{folder}/" if folder else f"{self.scheme}://")

    @property
    def _below_scheme(self) -> str:
        return self.text.partition("://")[2].rstrip("/")

    def with_name(self, name: str) -> Url:
        """The file of that name beside it."""
        return self.parent / name

    def with_suffix(self, suffix: str) -> Url:
        """The file of that extension beside it."""
        return self.with_name(self.stem + suffix)

    def __truediv__(self, below: str | PurePath) -> Url:
        below = below.as_posix() if isinstance(below, PurePath) else below
        return self if below == "." else Url(self._as_folder + below)

    def relative_to(self, folder: Url) -> Path:
        """What is behind the folder's part. Raises ValueError if it is not below that folder."""
        if not folder.holds(self):
            raise ValueError(f"{self} is not below {folder}")
        return Path(self.text.removeprefix(folder._as_folder))

    def holds(self, file: Url) -> bool:
        """Whether the file is below this folder."""
        return file.text.startswith(self._as_folder)

    @property
    def _as_folder(self) -> str:
        return self.text if self.text.endswith("/") else f"{self.text}/"

    def absolute(self) -> Url:
        """Itself: it means the same to every process."""
        return self

    def resolve(self) -> Url:
        """Itself: no links are followed."""
        return self

    def exists(self) -> bool:
        """Whether there is a file or folder of that name."""
        with _said_of(self) as (files, path):
            return bool(files.exists(path))

    def is_dir(self) -> bool:
        """Whether it is a folder: one with something in it, where a store knows no others."""
        if self.is_read_only:  # it would be fetched whole, to look for links in it
            return self.text.endswith("/")
        with _said_of(self) as (files, path):
            return bool(files.isdir(path))

    def mkdir(self, *, parents: bool, exist_ok: bool) -> None:
        """Makes the folder where the file system has such. parents, exist_ok: always meant, as for a Path."""
        if self.scheme in _ONE_PUT:  # names with slashes in them are all there is; s3fs would make a bucket
            return
        with _said_of(self) as (files, path):
            files.makedirs(path, exist_ok=True)

    def state(self) -> str:
        """The same as long as nobody writes the file: size, time and checksum, as far as its server tells them."""
        with _said_of(self) as (files, path):
            known = files.info(path)
        return repr([(name, str(known[name])) for name in _STATE if known.get(name) is not None])

    def read_bytes(self, *, first: int | None = None, at_most: int | None = None) -> bytes:
        """All of the file, or its first bytes. Raises OSError for a file longer than at_most, before it is fetched."""
        with _said_of(self) as (files, path):
            if first is not None:
                return bytes(files.cat_file(path, start=0, end=first))[:first]
            if at_most is None:
                return bytes(files.cat_file(path))
            length = files.info(path).get("size")
            data = _streamed(files, path, at_most + 1) if length is None else None
            if (length or len(data or b"")) > at_most:
                raise OSError(f"{self}: it is longer than the {at_most / 1e9:.1f} GB that a photo may have")
            return bytes(files.cat_file(path)) if data is None else data


Place = Path | Url


def relative(path: Place, folder: Place) -> Path:
    """The path below the folder. Raises ValueError if it is not below it."""
    if isinstance(path, Url) and isinstance(folder, Url):
        return path.relative_to(folder)
    if isinstance(path, Path) and isinstance(folder, Path):
        return path.relative_to(folder)
    raise ValueError(f"{path} is not below {folder}")


def place(text: str) -> Place:
    """The local path or the Url that a person's text means; file:///photos is the path /photos.

    Raises ValueError for a URL that cannot be used: a password in it would be written into reports and logs.
    """
    found = _URL.match(text)
    if found is None:
        return Path(text)
    scheme = found[1].lower()
    if "::" in re.sub(r"\[[0-9a-fA-F:]+\]", "", text):  # but for an address, [::1]
        raise ValueError("a URL within a URL (::) is more than Clickaway understands: give the outer one's files")
    if scheme in ("file", "local"):
        path = text[found.end() :]
        if not path.startswith("/"):
            raise ValueError(f"a local file's URL has three slashes, {scheme}:///folder/photo.jpg, got {text!r}")
        return Path(path)
    if scheme != "github" and urlsplit(text).password is not None:  # github://owner:repository@branch
        raise ValueError("a password in a URL would stand in reports and logs: give it in fsspec's configuration")
    bare, mark, query = text.partition("?") if scheme in _READ_ONLY else (text, "", "")
    below = bare[found.end() :]
    if scheme not in _READ_ONLY and below.strip("/"):
        below = below.rstrip("/")
    return Url(f"{scheme}://{below}", mark + query)


def files_below(folder: Url) -> Iterator[Url]:
    """The files in a folder and below, in the server's order. Raises OSError for a name that leads out of it."""
    with _said_of(folder) as (files, path):
        files.invalidate_cache()  # what was listed earlier may be old
        names = list(files.find(path))
    inside = f"{path.rstrip('/')}/"
    for name in names:
        below = name.removeprefix(inside)
        if re.search(r"(^|[/\\])\.\.([/\\]|$)", below):
            raise OSError(f"{folder} has a file {below!r}: its result would lie outside of the folder of results")
        yield folder / below


def names_in(folder: Place) -> list[str]:
    """The names of the files in a folder; none where there is no such folder."""
    if isinstance(folder, Path):
        return [path.name for path in folder.iterdir()] if folder.is_dir() else []
    with _said_of(folder) as (files, path):
        return [name.rpartition("/")[2] for name in files.ls(path, detail=False)] if files.isdir(path) else []


def write_bytes(url: Url, data: bytes, *, overwrite: bool) -> None:
    """Writes the file so that nobody sees half of it: in one put, or under another name that then becomes its own.

    That is as safe as the file system's rename; a few have none and copy.

    Raises FileExistsError if it is there and overwrite is False (one that another program puts there in the meantime is
    not seen), OSError where it cannot be written.
    """
    from pipeline.atomic import in_the_way  # which imports this file

    if url.is_read_only:
        raise OSError(f"{url} cannot be written: {url.scheme}:// can only be read")
    if not overwrite and url.exists():
        raise FileExistsError(in_the_way(url))
    if url.scheme in _ONE_PUT:
        with _said_of(url) as (files, path):
            files.pipe_file(path, data)
        return
    partial = url.with_name(f".{url.name}.{secrets.token_hex(4)}.partial")
    with _said_of(url) as (files, path):
        _, partial_path = _file_system(partial)
        try:
            files.pipe_file(partial_path, data)
            _rename(files, partial_path, path)
        except BaseException:
            with suppress(Exception):  # what went wrong before is what counts
                files.rm_file(partial_path)
            raise


def _rename(files: Any, old: str, new: str) -> None:
    """Gives the file its new name. Whatever has that name now is replaced, or still there if it fails."""
    try:
        files.mv(old, new)
        return
    except Exception:
        if not (files.exists(old) and files.exists(new)):
            raise
    aside = f"{old}.old"  # not every server renames onto a file that is there
    files.mv(new, aside)
    try:
        files.mv(old, new)
    except BaseException:
        files.mv(aside, new)
        raise
    files.rm_file(aside)


def remove_partials(url: Url) -> None:
    """Removes what writers of that file left beside it when they were killed. None may be at work."""
    if url.scheme in _ONE_PUT:
        return
    partial = re.compile(rf"\.{re.escape(url.name)}\.[0-9a-f]{{8}}\.partial")
    with _said_of(url.parent) as (files, folder):
        if not files.isdir(folder):
            return
        files.invalidate_cache()
        for name in files.ls(folder, detail=False):
            if partial.fullmatch(name.rstrip("/").rpartition("/")[2]):
                files.rm_file(name)


def _streamed(files: Any, path: str, at_most: int) -> bytes:
    """The first bytes of a file whose server does not say how long it is."""
    data = bytearray()
    with files.open(path, "rb") as file:
        while len(data) < at_most and (part := file.read(at_most - len(data))):
            data += part  # what has come so far
    return bytes(data)


def _file_system(url: Url) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    files, path = url_to_fs(str(url))
    return files, path


@contextmanager
def _said_of(url: Url) -> Iterator[tuple[Any, str]]:
    """The url's file system and its path there. Whatever goes wrong is said in one line, with the url in it."""
    try:
        yield _file_system(url)
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(url)) from error
    except ImportError as error:  # fsspec says which package is missing
        raise ImportError(f"{url}: {error}") from error
    except MemoryError:
        raise
    except Exception as error:  # each file system has its own
        text = " ".join(str(error).split()) or type(error).__name__
        raise OSError(text if str(url) in text else f"{url}: {text}") from error
