"""A recipe: the options of a command in a TOML file, by their long names, put in front of those on the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from pipeline.text import quoted


class RecipeError(ValueError):
    """The recipe cannot be used. The message is one line."""


def expanded(argv: Sequence[str]) -> list[str]:
    """The command line with its recipe's options in it, and `watch` as the command that it watches with.

    `clickaway watch DIR` is `clickaway erase DIR --watch`, or that of the command which the recipe names.
    Raises RecipeError for a recipe that cannot be read or is for another command.
    """
    if not argv or argv[0].startswith("-"):
        return list(argv)
    command, rest = argv[0], list(argv[1:])
    options: dict[str, Any] = {}
    path = _recipe(rest)
    if path is not None:
        options = _read(path)
    meant = options.pop("command", command)
    if command == "watch":
        command, rest = ("erase" if meant == "watch" else str(meant)), ["--watch", *rest]
    elif meant != command:
        raise RecipeError(f"the recipe {path} is for {meant}, not for {command}")
    return [command, *(word for name, value in options.items() for word in _words(name, value)), *rest]


def _recipe(words: Sequence[str]) -> Path | None:
    for word, following in pairwise([*words, ""]):
        if word == "--":
            return None
        if word == "--recipe" and following:
            return Path(following)
        if word.startswith("--recipe="):
            return Path(word.removeprefix("--recipe="))
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecipeError(f"the recipe {path} is no TOML: {error}") from error


def _words(name: str, value: Any) -> Iterator[str]:
    """The option as it would stand on the command line. A list of lists, as for at and box, is the option repeated."""
    option = f"--{name.replace('_', '-')}"
    match value:
        case True:
            yield option
        case False:
            return
        case [[*_], *_]:
            for one in value:
                yield from _words(name, one)
        case [*parts]:
            yield f"{option}={','.join(map(str, parts))}"
        case str() | int() | float():
            yield f"{option}={value}"
        case _:
            raise RecipeError(f"the recipe's {name} must be a text, a number, true or a list, got {quoted(str(value))}")
