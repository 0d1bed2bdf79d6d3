"""The command line: what can be asked for. Nothing is done here."""

from __future__ import annotations

import argparse

from inpaint import INPAINTERS
from pipeline import argument_types, batch_arguments
from pipeline.argument_types import Parser
from pipeline.selection_arguments import add_selection
from segment import SEGMENTERS

_MAX_MEGAPIXELS = 200
_EPILOG = """examples:
  clickaway erase photo.jpg --at 312,201              the object at that pixel, to photo-erased.jpg
  clickaway erase photo.jpg --at 312,201 -o out.png   to that file
  clickaway erase PHOTOS --out DONE --class person    everybody, in every photo of a folder
  clickaway cutout cat.jpg                            the main subject, on transparency, to cat-cutout.png
  clickaway replace cat.jpg --with beach.jpg          the main subject on another photo
  clickaway masks photo.jpg --out MASKS               all objects, as COCO JSON and PNG
  clickaway watch INBOX --out DONE --class person     everybody, in every photo that is put into a folder
  clickaway demo                                      the same in the browser

exit code: 0 all done, 1 some photos failed, 2 the arguments make no sense
"""


def parser() -> argparse.ArgumentParser:
    """The parser of the command. `args.command` is the subcommand's name."""
    top = Parser(
        prog="clickaway",
        description="Click an object in a photo, get the photo without it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="store_true", help="show the version and leave")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)

    _photo_command(commands, "erase", "take an object away and fill what was behind it")
    cutout = _photo_command(commands, "cutout", "keep only the object, on transparency")
    blur = _photo_command(commands, "blur", "blur everything but the object")
    blur.add_argument(
        "--sigma",
        type=argument_types.positive,
        metavar="PX",
        help="strength: the Gaussian's sigma (1/40 of the shorter side)",
    )
    replace = _photo_command(commands, "replace", "put the object on another background")
    replace.add_argument(
        "--with",
        dest="background",
        type=argument_types.name,
        required=True,
        metavar="PHOTO|COLOUR",
        help="a photo, a name (white) or #rrggbb",
    )
    for command in (cutout, blur, replace):
        command.add_argument(
            "--feather",
            type=argument_types.not_negative,
            metavar="PX",
            help="how far the object's edge is soft on each side",
        )
        command.add_argument(
            "--matting", action="store_true", help="find the edge in the photo, hair by hair (slower; no --feather)"
        )

    outline = _photo_command(commands, "outline", "draw the object's outline")
    outline.add_argument("--color", default="#ff4040", metavar="COLOUR", help="of the line: a name or #rrggbb")
    outline.add_argument("--width", type=argument_types.positive, metavar="PX", help="of the line (scaled)")
    outline.add_argument("--canny", action="store_true", help="white on black, with Canny's edges beside it")

    masks = _photo_command(commands, "masks", "save the masks and boxes of all objects, or of those selected")
    masks.set_defaults(quality=None, strip_metadata=False, note=True)

    # `pipeline.recipe.expanded` turns it into another command before this parser sees it: this is for --help.
    commands.add_parser("watch", help="erase, or what the recipe says, in photos that are put into a folder")

    models = commands.add_parser(
        "models", help="list models: where their weights are, licence, size", allow_abbrev=False
    )
    models.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)

    commands.add_parser("demo", help="open the demo in the browser", add_help=False)  # its own parser knows the rest
    return top


def _photo_command(commands: argparse._SubParsersAction[Parser], name: str, help_text: str) -> Parser:
    """A subcommand on photos, with the options that all of these share."""
    command = commands.add_parser(
        name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.", allow_abbrev=False
    )
    command.add_argument(
        "inputs", nargs="+", type=argument_types.place, metavar="PHOTO", help="photos, folders of them, URLs of either"
    )

    _add_output(command, name)
    add_selection(command, name)
    if name == "erase":
        _add_hole(command)
    _add_models(command, name)
    batch_arguments.add_running(command)
    _add_more(command)
    return command


def _add_output(command: Parser, name: str) -> None:
    output = command.add_argument_group("output")
    if name == "masks":
        output.add_argument(
            "--out",
            type=argument_types.writable_place,
            metavar="DIR",
            help="where they go (PHOTO-masks beside a single photo)",
        )
    else:
        output.add_argument(
            "-o", dest="output", type=argument_types.writable_place, metavar="FILE", help="the result of a single photo"
        )
        output.add_argument(
            "--out",
            type=argument_types.writable_place,
            metavar="DIR",
            help="where the results go; the folders' tree is kept",
        )
        output.add_argument(
            "--quality",
            type=argument_types.quality,
            metavar="1..100",
            help="of JPEG, WebP, HEIC, AVIF (as the old file's)",
        )
        batch_arguments.add_metadata(output)
    output.add_argument("--overwrite", action="store_true", help="replace files that are there, the photo itself too")
    batch_arguments.add_writing(output)


def _add_models(command: Parser, name: str) -> None:
    models = command.add_argument_group("models")
    models.add_argument(
        "--segmenter", type=argument_types.name, metavar="NAME[:MODEL]", help=f"{', '.join(SEGMENTERS)} (auto)"
    )
    models.add_argument("--checkpoint", type=argument_types.path, metavar="FILE", help="the segmenter's weights")
    models.add_argument(
        "--score-threshold",
        type=argument_types.share,
        metavar="0..1",
        help="leave out objects that the segmenter is less sure of",
    )
    models.add_argument(
        "--refine",
        choices=("none", "guided", "extractnet", "crf"),
        help="the edge of nets that need no click (subject, extractnet, tiramisu, pets): as it is, moved to the "
        "photo's, smoothed and opened, or by a dense CRF",
    )
    if name == "erase":
        models.add_argument(
            "--inpainter",
            type=argument_types.name,
            default="auto",
            metavar="NAME[:WEIGHTS]",
            help=f"{', '.join(INPAINTERS)} (auto)",
        )
    models.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1, ...")
    models.add_argument("--offline", action="store_true", help="never download weights")


def _add_more(command: Parser) -> None:
    more = command.add_argument_group("more")
    more.add_argument(
        "--max-megapixels",
        type=argument_types.positive,
        default=_MAX_MEGAPIXELS,
        metavar="MP",
        help="refuse larger photos (%(default)s)",
    )
    more.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    more.add_argument("--debug", action="store_true", help="show the whole traceback of an error")


def _add_hole(erase: Parser) -> None:
    hole = erase.add_argument_group("the hole")
    hole.add_argument(
        "--grow",
        type=argument_types.whole,
        metavar="PX",
        help="grow the mask before it is filled, so that no rim stays (scaled with object and photo; 0 for --box)",
    )
    hole.add_argument(
        "--feather",
        type=argument_types.not_negative,
        metavar="PX",
        help="the blend's width, inside the grown ring (a third of it)",
    )
    hole.add_argument(
        "--mask-shape",
        default="exact",
        choices=("exact", "ellipse", "box"),
        help="plainer holes may fill better (%(default)s)",
    )
