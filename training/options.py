"""A frozen dataclass as the one description of a run: its command line is made from its fields, its file is JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, TypeVar

from weights.kinds import is_like

Config = TypeVar("Config")

_METAVARS = {int: "N", float: "X", str: "PATH"}


def option(default: Any, text: str, choices: Sequence[str] | None = None, *, metavar: str | None = None) -> Any:
    """A field with its help text and, where the values are words, the words allowed."""
    return field(default=default, metadata={"help": text, "choices": choices, "metavar": metavar})


def check_counts(config: Any, names: Sequence[str]) -> None:
    """Raises ValueError for the first of these fields that is not 1 or more."""
    for name in names:
        if (value := getattr(config, name)) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be 1 or more, got {value}")


def add_arguments(parser: argparse.ArgumentParser, config: Any) -> None:
    """Adds one option a field. config: an instance or the class; help shows its values.

    Options not given are absent from the parsed arguments.
    """
    hints = typing.get_type_hints(config if isinstance(config, type) else type(config))
    for spec in dataclasses.fields(config):
        kind, text = hints[spec.name], spec.metadata["help"].replace("%", "%%")
        default = getattr(config, spec.name, spec.default)
        options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": f"{text} (default: {default})"}
        if kind is bool:
            options["action"] = argparse.BooleanOptionalAction
        elif isinstance(kind, types.GenericAlias):  # tuple[str, ...]
            element = typing.get_args(kind)[0]
            options |= {"nargs": "*", "type": element, "metavar": spec.metadata["metavar"] or _METAVARS[element]}
        else:
            options |= {"type": kind, "choices": spec.metadata["choices"]}
            if not spec.metadata["choices"]:
                options["metavar"] = spec.metadata["metavar"] or _METAVARS[kind]
        parser.add_argument("--" + spec.name.replace("_", "-"), **options)


def command_words(config: Any, start: Any, *, without: Sequence[str] = ()) -> list[str]:
    """The options that turn start into config, with names of files and folders in place of their paths.

    without: fields that are left out.
    """
    words: list[str] = []
    for spec in dataclasses.fields(config):
        value = getattr(config, spec.name)
        if value == getattr(start, spec.name) or spec.name in without:
            continue
        option = "--" + spec.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(option if value else f"--no-{option[2:]}")
        elif isinstance(value, tuple):
            paths = spec.metadata["metavar"] is None
            words += [option, *(shlex.quote(_word(element, is_path=paths)) for element in value)]
        else:
            words += [option, shlex.quote(_word(value, is_path=True))]
    return words


def _word(value: Any, *, is_path: bool) -> str:
    return Path(value).name if isinstance(value, str) and is_path else str(value)


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """The configuration with some fields changed; lists become tuples.

    Raises ValueError for a field that does not exist.
    """
    known = {spec.name for spec in dataclasses.fields(config)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - known):
        raise ValueError(f"no option is called {', '.join(unknown)}: is this configuration from another version?")
    changes: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return dataclasses.replace(config, **changes)  # type: ignore[type-var]


def write_config(config: Any, path: Path) -> None:
    """Writes the configuration as JSON, one field a line."""
    path.write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n", encoding="utf-8")


def read_config(path: Path, start: Config) -> Config:
    """The configuration in a JSON file; fields that it lacks are start's.

    Raises ValueError if it is not one, FileNotFoundError if it is not there.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # no JSON, no text, or brackets without end
        raise ValueError(f"{path} is no configuration ({error})") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} is no configuration (expected a table of options, got a {type(values).__name__})")
    for spec in dataclasses.fields(start):  # type: ignore[arg-type]
        usual, value = getattr(start, spec.name), values.get(spec.name)
        if not (value is None or usual is None or is_like(value, usual)):
            raise ValueError(f"{path} is no configuration ({spec.name} is {value!r}, expected such as {usual!r})")
    return with_values(start, values)
