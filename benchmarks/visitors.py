"""Visitors of the demo that check what they get: programs, real browsers, and those who leave in the middle.

Each has a photo that nobody else has: a size, two colours and a grain of its own. A result that holds another
visitor's photo, click or mask differs from what its visitor expects in thousands of pixels.
"""

from __future__ import annotations

import math
import shutil
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image as PillowImage

if TYPE_CHECKING:
    from gradio_client import Client

PATIENCE_S = 300.0
CHROMIUM_ARGUMENTS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
POLITE = ("queue is full", "too many requests", "please wait", "server is busy")  # refusals that are as they should be
CALLS_A_VISIT = 8  # then the visitor leaves and another one comes: sessions must end, not only begin


class MixUpError(AssertionError):
    """A visitor got something that is not of its own photo."""


@dataclass
class Log:
    """What all visitors together saw."""

    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    polite: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    mix_ups: list[str] = field(default_factory=list)
    left: int = 0  # visitors who went away while the server worked for them
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def do(self, kind: str, step: Callable[[], None]) -> bool:
        """Runs a step of a visitor and notes how it ended. True if it ended well."""
        started = time.perf_counter()
        try:
            step()
        except MixUpError as error:
            with self._lock:
                self.mix_ups.append(f"{kind}: {error}")
            return False
        except Exception as error:
            text = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            with self._lock:
                if any(word in text.lower() for word in POLITE):
                    self.polite[kind] += 1
                else:
                    self.errors.append(f"{kind}: {text}")
            return False
        with self._lock:
            self.seconds[kind].append(time.perf_counter() - started)
        return True

    def goes(self) -> None:
        with self._lock:
            self.left += 1


@dataclass(frozen=True)
class OwnPhoto:
    """A photo that is told from everybody else's. image: (H, W, 3) RGB, a disk of one colour on grain of another."""

    number: int
    image: np.ndarray
    disk: tuple[int, int, int]  # x, y, radius

    @classmethod
    def of(cls, number: int) -> OwnPhoto:
        width, height, radius = 240 + 8 * number, 176 + 4 * number, 28
        random = np.random.default_rng(number)
        ground = cv2.cvtColor(np.array([[[(number * 47) % 180, 90, 110]]], np.uint8), cv2.COLOR_HSV2RGB)[0, 0].astype(
            int
        )
        color = cv2.cvtColor(np.array([[[(number * 47 + 90) % 180, 230, 235]]], np.uint8), cv2.COLOR_HSV2RGB)[0, 0]
        image = (ground + random.integers(-12, 13, (height, width, 3))).clip(0, 255).astype(np.uint8)
        x, y = int(random.integers(50, width - 50)), int(random.integers(50, height - 50))
        cv2.circle(image, (x, y), radius, [int(value) for value in color], -1)
        return cls(number, image, (x, y, radius))

    @property
    def headers(self) -> dict[str, str]:
        """An address of its own: the demo believes what a proxy on its own machine says, and we are on it."""
        return {"X-Forwarded-For": f"10.9.{self.number // 250}.{self.number % 250 + 1}"}

    def on_disk(self) -> np.ndarray:
        x, y, radius = self.disk
        return np.hypot(*(np.mgrid[: self.image.shape[0], : self.image.shape[1]] - [[[y]], [[x]]])) <= radius

    def save(self, folder: Path) -> Path:
        path = folder / f"own-{self.number}.png"
        PillowImage.fromarray(self.image).save(path)
        return path

    def check_mask(self, file: str | Path) -> None:
        """Raises MixUpError unless the mask is mostly this photo's disk."""
        mask = np.asarray(PillowImage.open(file))
        self._check_size(mask)
        found, truth = mask > 127, self.on_disk()
        overlap = (found & truth).sum() / max(1, (found | truth).sum())
        if overlap < 0.5:
            raise MixUpError(f"visitor {self.number}: the selection is another one, overlap {overlap:.2f}")

    def check_erased(self, file: str | Path) -> None:
        """Raises MixUpError unless this is this photo without its disk."""
        result = np.asarray(PillowImage.open(file).convert("RGB"))
        self._check_size(result)
        x, y, radius = self.disk
        away = np.hypot(*(np.mgrid[: result.shape[0], : result.shape[1]] - [[[y]], [[x]]])) > 2.2 * radius
        same = (result[away] == self.image[away]).all(axis=-1).mean()
        if same < 0.9:
            raise MixUpError(f"visitor {self.number}: only {same:.0%} of the pixels away from the click are its own")
        if (result[y, x] == self.image[y, x]).all():
            raise MixUpError(f"visitor {self.number}: its object is still there")

    def check_cut_out(self, file: str | Path) -> None:
        """Raises MixUpError unless this is this photo's disk on transparency."""
        result = np.asarray(PillowImage.open(file))
        self._check_size(result)
        x, y, _ = self.disk
        if result.shape[2] != 4 or tuple(result[y, x]) != (*self.image[y, x], 255):
            raise MixUpError(f"visitor {self.number}: its own object is not in the cut-out, but {result[y, x]}")

    def _check_size(self, result: np.ndarray) -> None:
        if result.shape[:2] != self.image.shape[:2]:
            raise MixUpError(f"visitor {self.number}: the result is {result.shape[:2]}, not {self.image.shape[:2]}")


def program(
    url: str, photo: OwnPhoto, folder: Path, log: Log, until: float, *, calls_at_most: float = math.inf
) -> None:
    """A visitor that calls the endpoints for programs, one after the other, until that time.monotonic()."""
    from gradio_client import handle_file

    folder.mkdir(parents=True, exist_ok=True)
    file, (x, y, _) = handle_file(photo.save(folder)), photo.disk
    downloads = folder / "downloads"
    calls: list[tuple[str, Callable[[Client], None]]] = [
        ("select", lambda c: photo.check_mask(c.predict(file, x, y, api_name="/select")[0])),
        ("erase", lambda c: photo.check_erased(c.predict(file, x, y, api_name="/erase"))),
        ("cut_out", lambda c: photo.check_cut_out(c.predict(file, x, y, api_name="/cut_out"))),
    ]
    turn, ends = photo.number, photo.number + calls_at_most
    while time.monotonic() < until and turn < ends:
        clients: list[Client] = []

        def arrive(arrived: list[Client] = clients) -> None:
            arrived.append(_client(url, photo, downloads))

        if not log.do("arrive", arrive):
            time.sleep(0.5)
            continue
        for _ in range(CALLS_A_VISIT):
            if time.monotonic() >= until or turn >= ends:
                break
            kind, call = calls[turn % len(calls)]
            turn += 1
            if not log.do(kind, lambda call=call, client=clients[0]: call(client)):  # type: ignore[misc]
                time.sleep(0.5)
            shutil.rmtree(downloads, ignore_errors=True)
        clients[0].close()


def _client(url: str, photo: OwnPhoto, downloads: Path) -> Client:
    from gradio_client import Client

    # httpx's five seconds are less than a busy machine takes for anything.
    patience = {"timeout": PATIENCE_S}
    return Client(
        url, download_files=str(downloads), verbose=False, headers=dict(photo.headers), httpx_kwargs=dict(patience)
    )


def leaver(
    url: str,
    photo: OwnPhoto,
    folder: Path,
    log: Log,
    until: float,
    *,
    pause_s: float = 3.0,
    turns_at_most: float = math.inf,
) -> None:
    """Somebody who asks for an erasing and goes away before it is done, again and again."""
    from gradio_client import handle_file

    folder.mkdir(parents=True, exist_ok=True)
    file, (x, y, _), turns = photo.save(folder), photo.disk, 0
    while time.monotonic() < until and turns < turns_at_most:
        turns += 1

        def go() -> None:
            client = _client(url, photo, folder / "downloads")
            client.submit(handle_file(file), x, y, api_name="/erase")
            time.sleep(0.3)
            client.close()

        if log.do("leave", go):
            log.goes()
        time.sleep(pause_s)


def browser(
    url: str,
    photo: OwnPhoto,
    folder: Path,
    log: Log,
    until: float,
    *,
    executable: str,
    patience_s: float = PATIENCE_S,
    rounds_at_most: float = math.inf,
) -> None:
    """A real browser with one visitor after the other: upload, click, erase, download; every fourth goes early."""
    from playwright.sync_api import Error, sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    file, round_ = photo.save(folder), 0
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        while time.monotonic() < until and round_ < rounds_at_most:
            round_ += 1
            context = chromium.new_context(viewport={"width": 1280, "height": 800}, extra_http_headers=photo.headers)
            page = context.new_page()
            page.set_default_timeout(1000 * patience_s)
            try:
                if log.do("page: upload", lambda page=page: _upload(page, url, file, photo)):  # type: ignore[misc]
                    if not log.do("page: click", lambda page=page: _click(page, photo)):  # type: ignore[misc]
                        continue
                    if round_ % 4 == 0:
                        page.click("#erase:not([disabled])")
                        log.goes()
                    else:
                        log.do("page: erase", lambda page=page: _erase(page, photo))  # type: ignore[misc]
            except Error as error:
                log.errors.append(f"page: {error}".splitlines()[0])
            finally:
                context.close()
        chromium.close()


def _upload(page, url: str, file: Path, photo: OwnPhoto) -> None:
    page.goto(url)
    page.wait_for_selector("#upload input[type=file]", state="attached")
    page.set_input_files("#upload input[type=file]", file)
    page.wait_for_function("document.querySelector('#stage .ca-photo')?.naturalWidth > 0")
    mean = page.evaluate(
        """() => {
            const [canvas, photo] = [document.createElement('canvas'), document.querySelector('#stage .ca-photo')];
            [canvas.width, canvas.height] = [8, 8];
            const pen = canvas.getContext('2d');
            pen.drawImage(photo, 0, 0, 40, 40, 0, 0, 8, 8);  // the upper left corner: never the disk
            const data = pen.getImageData(0, 0, 8, 8).data;
            return [0, 1, 2].map((c) => data.filter((_, i) => i % 4 === c).reduce((a, b) => a + b) / 64);
        }"""
    )
    own = photo.image[:20, :20].reshape(-1, 3).mean(axis=0)
    if np.abs(own - mean).max() > 12:
        raise MixUpError(f"visitor {photo.number}: the page shows the colours {mean}, its own are {own.round(1)}")


def _click(page, photo: OwnPhoto) -> None:
    box = page.locator("#stage .ca-frame").bounding_box()
    x, y, _ = photo.disk
    height, width = photo.image.shape[:2]
    page.mouse.click(box["x"] + (x + 0.5) * box["width"] / width, box["y"] + (y + 0.5) * box["height"] / height)
    page.wait_for_function("document.querySelector('#stage .ca-layer')?.naturalWidth > 0")
    opacity = page.evaluate(
        """([x, y]) => {
            const [canvas, layer] = [document.createElement('canvas'), document.querySelector('#stage .ca-layer')];
            [canvas.width, canvas.height] = [layer.naturalWidth, layer.naturalHeight];
            const pen = canvas.getContext('2d');
            pen.drawImage(layer, 0, 0);
            return [[x, y], [0.01, 0.01]].map(([x, y]) =>
                pen.getImageData(x * canvas.width, y * canvas.height, 1, 1).data[3]);
        }""",
        [(x + 15) / width, (y + 15) / height],
    )
    if opacity[0] == 0 or opacity[1] != 0:
        raise MixUpError(f"visitor {photo.number}: the selection is not where it clicked, opacity {opacity}")


def _erase(page, photo: OwnPhoto) -> None:
    page.click("#erase:not([disabled])")
    page.wait_for_selector(".ca-frame[data-compare=yes]")
    with page.expect_download() as started:
        page.click("#download-png")
    photo.check_erased(started.value.path())


__all__ = ["CALLS_A_VISIT", "Log", "MixUpError", "OwnPhoto", "browser", "leaver", "program"]
