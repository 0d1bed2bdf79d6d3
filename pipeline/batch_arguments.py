"""The command line's part for many photos: lists of what to select, how to run, what to say. Nothing is done here."""

from __future__ import annotations

import argparse

from pipeline import argument_types


def add_lists(selecting: argparse._ArgumentGroup) -> None:
    """Files that say what to select on each photo. Photos are named by their path below the folder that was given."""
    selecting.add_argument(
        "--points",
        type=argument_types.path,
        metavar="CSV",
        help="clicks for each photo: columns file, x, y and, if some take away, positive (1 or 0)",
    )
    selecting.add_argument(
        "--boxes", type=argument_types.path, metavar="CSV", help="boxes for each photo: file, x0, y0, x1, y1"
    )
    selecting.add_argument(
        "--masks",
        type=argument_types.path,
        metavar="DIR",
        help="a mask for each photo: of the photo's name, PNG or any other kind",
    )
    selecting.add_argument(
        "--coco",
        type=argument_types.path,
        metavar="JSON",
        help="annotations in COCO's format; of these classes alone with --class",
    )
    selecting.add_argument(
        "--all", dest="everything", action="store_true", help="all objects that are found, or all of --class"
    )


def add_writing(output: argparse._ArgumentGroup) -> None:
    """What happens to files that are there, and a look before anything is written."""
    output.add_argument(
        "--skip-existing", action="store_true", help="leave out photos whose result is there, whoever made it"
    )
    output.add_argument(
        "--dry-run",
        action="store_true",
        help="write nothing but a sheet that shows what would be selected, on up to 96 of the photos",
    )


def add_metadata(output: argparse._ArgumentGroup) -> None:
    """What results say about their makers."""
    output.add_argument(
        "--strip-metadata",
        action="store_true",
        help="leave out place, time, camera, names and captions; the colour profile and a copyright notice stay",
    )
    output.add_argument(
        "--no-note", dest="note", action="store_false", help="do not say in the metadata that Clickaway made it"
    )


def add_running(command: argparse.ArgumentParser) -> None:
    """How many photos are done, by whom, and what is said meanwhile."""
    many = command.add_argument_group(
        "many photos",
        "A folder's results come with a report.csv and a journal: the same command, started again after it was killed, "
        "goes on where it was. Photos and --out may be URLs that fsspec knows, such as s3://bucket/photos (http:// can "
        "only be read); the journal of such results stays on this machine, the report is put beside them at the end.",
    )
    many.add_argument(
        "--recipe",
        type=argument_types.path,
        metavar="TOML",
        help="options by their long names, as if they stood here first",
    )
    many.add_argument(
        "--journal",
        type=argument_types.path,
        metavar="FILE",
        help="where the journal lies if --out is a URL (in your folder for programs' state, by the URL)",
    )
    many.add_argument("--watch", action="store_true", help="go on with each photo that is put into the folders")
    many.add_argument(
        "--workers",
        type=argument_types.whole,
        metavar="N",
        help="worker processes; 0: none, one photo after another (one a core, with --together one a GPU; 0 for three "
        "photos or fewer)",
    )
    many.add_argument(
        "--together",
        type=argument_types.count,
        metavar="N",
        help="photos that a worker edits at a time: its nets see crops of several at once, which is for GPUs (1)",
    )
    many.add_argument(
        "--memory",
        type=argument_types.positive,
        metavar="GIB",
        help="what the photos being worked on may take, besides the models (half of what is free)",
    )
    many.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="ray: a Ray cluster, with clickaway[ray]"
    )
    many.add_argument("--address", metavar="HOST:PORT", help="of the Ray cluster (one on this machine)")
    many.add_argument(
        "--gpus", type=argument_types.not_negative, metavar="N", help="GPUs of a Ray worker; may be a part, as 0.5"
    )
    many.add_argument("--json-lines", action="store_true", help="a line of JSON for each photo, for other programs")
