"""The command line's part for what is selected on a photo. Nothing is done here."""

from __future__ import annotations

import argparse

from pipeline import argument_types, batch_arguments

_NO_SELECTION = {
    "cutout": "without any of these: the main subject",
    "blur": "without any of these: the main subject",
    "replace": "without any of these: the main subject",
    "outline": "without any of these: the main subject",
    "masks": "without any of these: all objects",
}


def add_selection(command: argparse.ArgumentParser, name: str) -> None:
    """What to point at. name: of the command, which says what is taken where nothing is pointed at."""
    selecting = command.add_argument_group("what to select", None if name == "erase" else _NO_SELECTION[name])
    selecting.add_argument(
        "--at",
        type=argument_types.point,
        action="append",
        default=[],
        metavar="X,Y",
        help="a pixel on the object; several for several parts",
    )
    selecting.add_argument(
        "--not-at",
        type=argument_types.point,
        action="append",
        default=[],
        metavar="X,Y",
        help="a pixel that does not belong to it",
    )
    selecting.add_argument(
        "--box",
        type=argument_types.box,
        action="append",
        default=[],
        metavar="X0,Y0,X1,Y1",
        help="a rectangle, X1 and Y1 just outside it",
    )
    selecting.add_argument(
        "--mask", type=argument_types.path, metavar="FILE", help="a picture of the photo's size, white on the object"
    )
    selecting.add_argument(
        "--mask-white",
        choices=("object", "background"),
        help="what white means in masks; asked for where it covers most of a photo and its border (object)",
    )
    selecting.add_argument(
        "--class",
        dest="classes",
        type=argument_types.names,
        default=(),
        metavar="NAME,...",
        help="all objects of these classes, such as person",
    )
    batch_arguments.add_lists(selecting)
    if name == "masks":
        command.set_defaults(subject=False)
    else:
        selecting.add_argument("--subject", action="store_true", help="the main subject, without a click")
    selecting.add_argument(
        "--alternative",
        type=argument_types.count,
        default=1,
        metavar="N",
        help="the N-th answer, if the first is not what was meant",
    )
