"""The part of a model card that says which photos weights were trained on, and under which terms those are given."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Set of photos -> how many were used, and how often each licence and source was stated.
Sets = Mapping[str, Mapping[str, Any]]


def data_sets(manifest: Path, names: Sequence[str]) -> Sets:
    """Set -> number of photos used, licences and sources.

    manifest: a CSV with set, file, source and licence of every photo. names: of the photos used, relative to folders
    that lie anywhere above them. Raises ValueError if the manifest lacks a column or knows none of the photos.
    """
    wanted = set(names)
    found: dict[str, dict[str, Any]] = defaultdict(lambda: {"photos": 0, "licences": Counter(), "sources": Counter()})
    with manifest.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            try:
                name, path, licence, source = row["set"], row["file"], row["licence"], row["source"]
            except KeyError as error:
                raise ValueError(f"{manifest} has no column {error}: it wants set, file, source, licence") from error
            parts = Path(path).parts
            if any("/".join(parts[start:]) in wanted for start in range(len(parts))):
                found[name]["photos"] += 1
                found[name]["licences"][licence] += 1
                found[name]["sources"][source] += 1
    if not found:
        raise ValueError(f"{manifest} lists none of the {len(wanted)} photos of the run, such as {min(wanted)}")
    return dict(found)


def data_lines(sets: Sets, folders: Sequence[str]) -> list[str]:
    """The card's section on data as Markdown lines. folders: named where no manifest was given."""
    lines = ["## Data", ""]
    if not sets:
        return [*lines, "No manifest was given when this card was written: " + ", ".join(folders) + "."]
    total = sum(entry["photos"] for entry in sets.values())
    lines += [f"{total:,} photos. Licences are those that the sources state.", ""]
    lines += ["| set | photos | licence as stated | source |", "|---|---|---|---|"]
    for name, entry in sorted(sets.items(), key=lambda item: -item[1]["photos"]):
        licences, sources = (", ".join(sorted(entry[key])) or "not stated" for key in ("licences", "sources"))
        lines.append(f"| {name} | {entry['photos']:,} | {licences} | {sources} |")
    return lines
