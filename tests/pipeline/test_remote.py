"""Photos and results behind URLs: in fsspec's memory, on a web server of the test's own, in stores made up here."""

from __future__ import annotations

import csv
import io
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from pipeline import image_io
from pipeline.__main__ import main
from pipeline.atomic import remove_partials, write_bytes
from pipeline.photo import PhotoError
from pipeline.remote import Url, files_below, place

ERASE = ["erase", "--box", "20,20,44,44", "--inpainter", "telea"]


@pytest.fixture
def memory():
    """fsspec's file system in this process's memory, empty."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    yield files
    files.store.clear()


@pytest.fixture
def photos(tmp_path, monkeypatch, draw, memory):
    """Three photos and a bad one, the same below ./photos and memory://photos."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("b.png", "a/c.png", "a/b.png")):
        draw(tmp_path / "photos" / name, (40 * number, 90, 200))
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"no photo")
    memory.put("photos", "/photos", recursive=True)
    memory.pipe_file("/photos/.hidden.png", b"x")
    return tmp_path


def _rows(text: bytes, out: str, photos: str) -> list[dict[str, str]]:
    rows = list(csv.DictReader(io.StringIO(text.decode())))
    for row in rows:
        del row["seconds"]
        row["output"] = row["output"].removeprefix(out)
        row["file"], row["error"] = row["file"].removeprefix(photos), row["error"].replace(photos, "")
    return rows


def test_a_batch_from_and_to_urls_has_the_bytes_and_the_report_of_a_local_one(photos, memory):
    assert main([*ERASE, "photos", "--out", "here", "--workers", "0"]) == 1
    assert main([*ERASE, "memory://photos", "--out", "memory://there/done/", "--journal", "j.sqlite"]) == 1
    names = {path.relative_to("here").as_posix() for path in Path("here").rglob("*") if path.is_file()}
    there = {name.removeprefix("/there/done/"): name for name in memory.find("/there")}
    assert set(there) == names - {".clickaway-journal.sqlite"}
    for name in ("b.png", "a/b.png", "a/c.png"):
        assert memory.cat_file(there[name]) == Path("here", name).read_bytes()
    rows = _rows(memory.cat_file("/there/done/report.csv"), "memory://there/done", "memory://photos")
    assert rows == _rows(Path("here/report.csv").read_bytes(), "here", "photos")
    assert [row["status"] for row in rows] == ["done", "failed", "done", "done"]


def test_what_is_done_behind_a_url_is_not_done_again_and_what_has_gone_is(photos, memory, capsys, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(photos / "state"))
    run = [*ERASE, "memory://photos/a", "--out", "memory://done"]
    assert main(run) == 0
    made = {name: memory.info(name)["created"] for name in memory.find("/done")}
    memory.rm_file("/done/c.png")
    capsys.readouterr()
    assert main(run) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("2 done (1 of them by an earlier run), 0 failed")
    assert memory.info("/done/b.png")["created"] == made["/done/b.png"]
    assert memory.exists("/done/c.png")
    memory.pipe_file("/photos/a/b.png", memory.cat_file("/photos/b.png"))  # another photo under the old name
    assert main([*run, "--skip-existing"]) == 0
    assert main(run) == 1 and "memory://done/b.png exists already" in capsys.readouterr().err
    assert main([*run, "--overwrite"]) == 0
    assert memory.info("/done/b.png")["created"] > made["/done/b.png"]
    assert len(list((photos / "state" / "clickaway").glob("*.sqlite"))) == 1  # of that URL, beside no result


@pytest.mark.parametrize("moment", ["before the result", "after the result"])
def test_a_batch_to_a_url_that_is_killed_in_the_middle_of_a_photo_goes_on_with_it(photos, memory, monkeypatch, moment):
    run = [*ERASE, "memory://photos/a", "--out", "memory://done", "--journal", "j.sqlite"]

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if moment == "before the result":
            patched.setattr("pipeline.job.save", killed)
            memory.pipe_file("/done/.b.png.0123abcd.partial", b"half a file")
        else:
            patched.setattr("pipeline.journal.Journal.finish", killed)
        assert main(run) == 130
    assert memory.exists("/done/b.png") == (moment == "after the result")
    assert main(run) == 0
    assert memory.find("/done") == ["/done/b.png", "/done/c.png", "/done/report.csv"]


def test_masks_and_their_annotations_go_behind_a_url_too(photos, memory, fake_models):
    run = ["masks", "memory://photos/b.png", "--segmenter", "squares"]
    assert main(run) == 0
    assert "/photos/b-masks/annotations.json" in memory.find("/photos/b-masks")
    assert main([*run, "--box", "1,1,9,9", "--out", "memory://masks", "--overwrite"]) == 2  # a box needs no segmenter
    assert main(["masks", "memory://photos/b.png", "--box", "1,1,9,9", "--out", "memory://masks"]) == 0
    assert memory.find("/masks") == ["/masks/annotations.json", "/masks/b-1-object.png"]


def test_a_dry_run_puts_its_sheet_there_and_nothing_else(photos, memory):
    assert main([*ERASE, "memory://photos/a", "--out", "memory://done", "--dry-run"]) == 0
    assert memory.find("/done") == ["/done/clickaway-preview.png"]


class PickyFileSystem(MemoryFileSystem):
    """Files that cannot be renamed onto others, as on some servers; what is written shows at once, a half of it too."""

    protocol = "picky"
    store: dict = {}  # noqa: RUF012 as in MemoryFileSystem
    pseudo_dirs = [""]  # noqa: RUF012
    seen: list = []  # noqa: RUF012 what others saw in the middle of each write

    def pipe_file(self, path, value, mode="overwrite", **_):
        super().pipe_file(path, value[: len(value) // 2])
        self.seen.append({name: bytes(file.getvalue()) for name, file in self.store.items()})
        super().pipe_file(path, value)

    def mv(self, path1, path2, **_):
        if self._strip_protocol(path2) in self.store:
            raise OSError("there is a file of that name")
        self.store[self._strip_protocol(path2)] = self.store.pop(self._strip_protocol(path1))


@pytest.fixture
def picky():
    fsspec.register_implementation("picky", PickyFileSystem, clobber=True)
    yield fsspec.filesystem("picky")
    for part in (PickyFileSystem.store, PickyFileSystem.seen):
        part.clear()


def test_nobody_sees_half_a_file_and_an_old_one_is_replaced(picky):
    url = Url("picky://out/a.png")
    write_bytes(url, b"0123456789")
    with pytest.raises(FileExistsError, match=r"picky://out/a\.png exists already"):
        write_bytes(url, b"another")
    write_bytes(url, b"abcdefghij", overwrite=True)
    assert picky.store["picky://out/a.png"].getvalue() == b"abcdefghij"
    assert list(picky.store) == ["picky://out/a.png"]
    assert {files.get("picky://out/a.png") for files in picky.seen} == {None, b"0123456789"}


def test_a_write_that_fails_leaves_nothing_and_is_one_line(picky, monkeypatch):
    monkeypatch.setattr(PickyFileSystem, "mv", lambda *_: (_ for _ in ()).throw(RuntimeError("the disk\nis full")))
    with pytest.raises(OSError, match=r"^picky://out/a\.png: the disk is full$"):
        write_bytes(Url("picky://out/a.png"), b"0123456789")
    assert not picky.store


def test_an_old_file_outlives_a_write_that_fails(picky, monkeypatch):
    write_bytes(Url("picky://out/a.png"), b"old")
    mv = PickyFileSystem.mv

    def broken(self, path1, path2, **_):
        if path1.endswith(".partial"):
            raise RuntimeError("the connection is lost")
        mv(self, path1, path2)

    monkeypatch.setattr(PickyFileSystem, "mv", broken)
    with pytest.raises(OSError, match="the connection is lost"):
        write_bytes(Url("picky://out/a.png"), b"new", overwrite=True)
    assert {name: file.getvalue() for name, file in picky.store.items()} == {"picky://out/a.png": b"old"}


def test_only_a_files_own_partials_are_removed(memory):
    for name in (".a.png.0123abcd.partial", ".b.png.0123abcd.partial", ".a.png.partial", "a.png"):
        memory.pipe_file(f"/out/{name}", b"x")
    remove_partials(Url("memory://out/a.png"))
    assert memory.find("/out") == ["/out/.a.png.partial", "/out/.b.png.0123abcd.partial", "/out/a.png"]
    remove_partials(Url("memory://nowhere/a.png"))


def test_a_store_of_objects_is_given_each_in_one_put(monkeypatch):
    class Store(MemoryFileSystem):
        protocol = "gs"
        store: dict = {}  # noqa: RUF012
        pseudo_dirs = [""]  # noqa: RUF012
        puts: list = []  # noqa: RUF012

        def pipe_file(self, path, value, mode="overwrite", **_):
            self.puts.append(path)
            super().pipe_file(path, value)

        def makedirs(self, path, exist_ok=False):
            raise AssertionError("it would make a bucket")

        mv = cp_file = makedirs

    fsspec.register_implementation("gs", Store, clobber=True)
    Url("gs://bucket/out").mkdir(parents=True, exist_ok=True)
    write_bytes(Url("gs://bucket/out/a.png"), b"x")
    assert Store.puts == ["gs://bucket/out/a.png"]


def test_a_name_that_leads_out_of_its_folder_is_refused(photos, memory, capsys, monkeypatch):
    monkeypatch.setattr(MemoryFileSystem, "find", lambda *_, **__: ["/photos/../../etc/x.png", "/photos/a.png"])
    assert main([*ERASE, "memory://photos", "--out", "deep/out"]) == 2
    error = capsys.readouterr().err
    assert "memory://photos has a file '../../etc/x.png': its result would lie outside" in error


@pytest.fixture
def server(photos):
    """http://127.0.0.1:PORT, which serves ./photos; /endless and /long say no length, or one that is too long."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(photos / "photos"))

        def do_HEAD(self):
            if self.path.startswith(("/endless", "/long")):
                return self._odd()
            return super().do_HEAD()

        def do_GET(self):
            if self.path.startswith(("/endless", "/long")):
                return self._odd()
            return super().do_GET()

        def _odd(self):
            self.send_response(200)
            if self.path.startswith("/long"):
                self.send_header("Content-Length", str(10**12))
            self.end_headers()
            if self.command == "GET" and self.path.startswith("/endless"):
                self.wfile.write(bytes(2**21))

        def log_message(self, *_):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


needs_http = pytest.mark.skipif(find_spec("aiohttp") is None, reason="fsspec needs aiohttp for http://")


@needs_http
def test_photos_are_read_from_a_web_server_by_name_and_as_a_folder(server, capsys):
    assert main([*ERASE, "photos/b.png", "-o", "here.png"]) == 0
    assert main([*ERASE, f"{server}/b.png?size=large", "-o", "there.png"]) == 0
    assert Path("there.png").read_bytes() == Path("here.png").read_bytes()
    assert main([*ERASE, f"{server}/", "--out", "done", "--workers", "0"]) == 1  # bad.jpg
    assert sorted(path.relative_to("done").as_posix() for path in Path("done").rglob("*.png")) == [
        "a/b.png",
        "a/c.png",
        "b.png",
    ]
    assert Path("done/b.png").read_bytes() == Path("here.png").read_bytes()
    capsys.readouterr()
    assert main([*ERASE, f"{server}/", "--out", "done", "--workers", "0"]) == 1
    assert "3 done (3 of them by an earlier run), 1 failed" in capsys.readouterr().out


@needs_http
def test_a_web_servers_file_that_is_not_there_or_too_long_is_one_line(server, capsys):
    assert main([*ERASE, f"{server}/gone.png", "-o", "x.png"]) == 2
    assert capsys.readouterr().err == f"clickaway erase: there is no file or folder {server}/gone.png\n"
    for odd in ("long.png", "endless.png"):
        with pytest.raises(OSError, match=rf"{odd}: it is longer than the 0\.0 GB that a photo may have"):
            Url(f"{server}/{odd}").read_bytes(at_most=2**20)
    assert Url(f"{server}/endless.png").read_bytes(at_most=2**21) == bytes(2**21)


@needs_http
def test_nothing_is_written_to_a_web_server(server, capsys):
    for options in (["--out", f"{server}/done"], ["-o", f"{server}/x.png"]):
        with pytest.raises(SystemExit, match="2"):
            main([*ERASE, "photos/b.png", *options])
        assert "http:// can only be read" in capsys.readouterr().err
    assert main([*ERASE, f"{server}/b.png"]) == 2
    assert capsys.readouterr().err == (
        "clickaway erase: http:// can only be read: say where the results go with --out DIR\n"
    )
    with pytest.raises(OSError, match="cannot be written: http:// can only be read"):
        write_bytes(Url(f"{server}/x.png"), b"x")


def test_a_text_with_a_scheme_is_a_url_only_where_the_command_line_says_so(memory, photos):
    with pytest.raises(PhotoError, match="not there"):
        image_io.load("memory://photos/b.png")
    image_io.save(image_io.load("photos/b.png"), "file.png")
    with pytest.raises(OSError):  # a local folder of that odd name is not there
        image_io.save(image_io.load("photos/b.png"), "memory://out.png")
    assert not memory.exists("/out.png")
    assert np.array_equal(image_io.load(place("memory://photos/b.png")).rgb, image_io.load("photos/b.png").rgb)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["s3://key:secret@bucket/a.png", "--out", "done"], "a password in a URL would stand in reports"),
        (["sftp://user:secret@host/photos", "--out", "done"], "a password in a URL would stand in reports"),
        (["zip://a.png::x.zip", "--out", "done"], "a URL within a URL"),
        (["file://photos/b.png", "--out", "done"], "a local file's URL has three slashes, file:///"),
        (["nothing://x/a.png", "--out", "done"], "nothing://x/a.png: Protocol not known: nothing"),
        (["photos", "--out", "done", "--journal", "j"], "--journal is for results behind a URL"),
        (["memory://photos", "--out", "done", "--watch"], "--watch needs a folder on this machine"),
        (["memory://nowhere", "--out", "done"], "there is no file or folder memory://nowhere"),
    ],
)
def test_a_url_that_cannot_be_used_is_one_line(photos, capsys, options, message):
    try:
        code = main([*ERASE, *options])
    except SystemExit as leaving:
        code = leaving.code
    error = capsys.readouterr().err
    assert code == 2 and error.count("\n") == 1
    assert message in error and "secret" not in error


def test_lists_and_masks_are_local(photos, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["erase", "photos", "--out", "done", "--masks", "memory://masks"])
    assert "only photos and results may be behind a URL: copy 'memory://masks' here" in capsys.readouterr().err


def test_a_files_url_is_its_path(photos):
    url = (photos / "photos").as_uri()
    assert place(url) == photos / "photos"
    assert main([*ERASE, url, "--out", (photos / "done").as_uri(), "--workers", "0"]) == 1
    assert (photos / "done" / "a" / "b.png").exists() and (photos / "done" / ".clickaway-journal.sqlite").exists()


def test_the_size_of_a_photo_is_known_wherever_its_header_is(memory, photos):
    noise = np.random.default_rng(0).integers(0, 256, (300, 401, 3), np.uint8)
    Image.fromarray(noise).save("late.tif", compression="tiff_lzw")  # the header behind the pixels
    memory.put("late.tif", "/late.tif")
    for photo, wh in (("late.tif", (401, 300)), ("photos/b.png", (64, 64))):
        assert image_io.size_of(Url(f"memory://{photo}")) == image_io.size_of(Path(photo)) == wh
    with pytest.raises(PhotoError, match="not a photo"):
        image_io.size_of(Url("memory://photos/bad.jpg"))


@pytest.mark.parametrize("folder", ["s3://bucket/a", "s3://bucket/a/", "s3://bucket", "memory://", "http://host:80/a/"])
def test_names_of_urls_are_put_together_and_taken_apart_again(folder):
    url = Url(folder) / "trip/x.y.jpg"
    assert str(url) == (folder if folder.endswith("/") else f"{folder}/") + "trip/x.y.jpg"
    assert (url.name, url.stem, url.suffix) == ("x.y.jpg", "x.y", ".jpg")
    assert url.relative_to(Url(folder)) == Path("trip/x.y.jpg")
    assert url.parent / "x.y.jpg" == url.with_name("x.y.jpg") == url.with_suffix(".jpg") == url
    assert url.parent.name == "trip"
    assert Url(folder) / Path() == Url(folder)
    with pytest.raises(ValueError, match="is not below"):
        Url("s3://bucket/ab/x.jpg").relative_to(Url("s3://bucket/a"))


def test_files_below_a_folder_are_found_however_deep(photos, memory):
    below = sorted(file.text for file in files_below(Url("memory://photos")))
    assert below == [f"memory://photos/{name}" for name in (".hidden.png", "a/b.png", "a/c.png", "b.png", "bad.jpg")]
