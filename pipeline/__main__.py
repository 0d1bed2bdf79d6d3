"""The command `clickaway`: erase, cutout, blur, replace, outline, masks, watch, models, demo."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence

from pipeline.arguments import parser
from pipeline.recipe import RecipeError, expanded

OK, SOME_FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code: 0 all done, 1 some photos failed, 2 unusable arguments."""
    argv = sys.argv[1:] if argv is None else list(argv)
    # Before these are imported: a person wants to read one line, not what a library thinks of the processor.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    if argv[:1] == ["demo"]:
        from demo.__main__ import main as run_demo

        return run_demo(argv[1:])
    os.environ.setdefault("CLICKAWAY_LEAN_KERAS", "1")  # see weights.frameworks, which loads NumPy
    arguments = parser()
    try:
        args = arguments.parse_args(expanded(argv))
    except RecipeError as error:
        arguments.error(" ".join(str(error).split()))
    except OSError as error:
        arguments.error(f"{error.filename}: {error.strerror}")
    if args.version:
        from pipeline.note import version

        print(f"clickaway {version()}")
        return OK
    if args.command is None:
        arguments.print_help()
        return UNUSABLE
    try:
        with warnings.catch_warnings():
            if not args.debug:
                warnings.simplefilter("ignore")
            return _COMMANDS[args.command](args)
    except KeyboardInterrupt:
        print(
            "clickaway: stopped; what is written so far is whole, and the same command goes on from there",
            file=sys.stderr,
        )
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has gone, as `| head` does: the rest is not done
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOME_FAILED
    except Exception as error:
        from pipeline.job import is_expected, one_line

        if args.debug:
            traceback.print_exc()
        print(f"clickaway {args.command}: {one_line(error)}", file=sys.stderr)
        return UNUSABLE if is_expected(error) else SOME_FAILED


def _effect(args: argparse.Namespace) -> int:
    from pipeline.commands import run_effect

    return run_effect(args)


def _masks(args: argparse.Namespace) -> int:
    from pipeline.commands import run_masks

    return run_masks(args)


def _models(args: argparse.Namespace) -> int:
    from pipeline.catalog import lines

    for line in lines():
        print(line)
    return OK


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "erase": _effect,
    "cutout": _effect,
    "blur": _effect,
    "replace": _effect,
    "outline": _effect,
    "masks": _masks,
    "models": _models,
}

if __name__ == "__main__":
    sys.exit(main())
