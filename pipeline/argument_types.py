"""Texts of the command line to values. Each raises ArgumentTypeError: what was expected, what came."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.remote import Place, Url
from pipeline.remote import place as meant
from pipeline.text import quoted, shown


class Parser(argparse.ArgumentParser):
    """One line for a wrong argument, not the whole usage."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(2, f"{self.prog}: {shown(message)} (see {self.prog} --help)\n")


def _numbers(text: str, names: str) -> tuple[int, ...]:
    parts = text.split(",")
    try:
        numbers = tuple(int(part) for part in parts)
    except ValueError:
        numbers = ()
    if len(numbers) != len(names.split(",")):
        raise argparse.ArgumentTypeError(f"expected {names} in whole pixels, got {quoted(text)}")
    return numbers


def point(text: str) -> tuple[int, int]:
    x, y = _numbers(text, "X,Y")
    if x < 0 or y < 0:
        raise argparse.ArgumentTypeError(f"expected a pixel X,Y on the photo, counted from 0, got {quoted(text)}")
    return x, y


def box(text: str) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = _numbers(text, "X0,Y0,X1,Y1")
    if x0 >= x1 or y0 >= y1:
        raise argparse.ArgumentTypeError(f"expected X0 < X1 and Y0 < Y1, got {quoted(text)}")
    return x0, y0, x1, y1


def path(text: str) -> Path:
    found = place(text)
    if isinstance(found, Url):
        raise argparse.ArgumentTypeError(f"only photos and results may be behind a URL: copy {quoted(text)} here")
    return found


def place(text: str) -> Place:
    if not text or "\0" in text:  # an empty one is the current folder to Python: a variable that was not set
        raise argparse.ArgumentTypeError(f"expected the name of a file or folder, got {quoted(text)}")
    try:
        return meant(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def writable_place(text: str) -> Place:
    found = place(text)
    if isinstance(found, Url) and found.is_read_only:
        raise argparse.ArgumentTypeError(f"{found.scheme}:// can only be read, got {quoted(text)}")
    return found


def name(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError(f"expected a name, got {quoted(text)}")
    return text


def names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"expected names with commas between, such as person,dog, got {quoted(text)}")
    return names


def _number(text: str, low: float, high: float, expected: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:  # false for nan too
        raise argparse.ArgumentTypeError(f"expected {expected}, got {quoted(text)}")
    return value


def positive(text: str) -> float:
    return _number(text, 1e-3, 1e6, "a number above 0")


def not_negative(text: str) -> float:
    return _number(text, 0, 1e6, "a number, 0 or more")


def share(text: str) -> float:
    return _number(text, 0, 1, "a number from 0 to 1")


def _integer(text: str, low: int, high: int, expected: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"expected {expected}, got {quoted(text)}")
    return value


def whole(text: str) -> int:
    return _integer(text, 0, 100_000, "a whole number, 0 or more")


def count(text: str) -> int:
    return _integer(text, 1, 1000, "a whole number, 1 or more")


def quality(text: str) -> int:
    return _integer(text, 1, 100, "a whole number from 1 to 100")
