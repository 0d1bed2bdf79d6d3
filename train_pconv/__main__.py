"""`python -m train_pconv --images DIR --out RUN`: trains the partial-convolution net on a folder of photos."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train_pconv.config import PRESETS, TrainConfig
from training.checkpoint import CheckpointError, run_config
from training.command import fail, run_to_end
from training.options import add_arguments, read_config, with_values


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit status: 0, or 1 after one line that says what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m train_pconv", description=__doc__)
    parser.add_argument("--preset", choices=tuple(PRESETS), help="values to start from; the other options change them")
    parser.add_argument("--config", metavar="FILE", help="a config.json to start from instead")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out, exactly where it stopped")
    add_arguments(parser, TrainConfig())
    given = vars(parser.parse_args(arguments))
    preset, file, resume = given.pop("preset"), given.pop("config"), given.pop("resume")
    try:
        if resume and not file:
            file = str(run_config(given.get("out", "")))
        start = read_config(Path(file), TrainConfig()) if file else PRESETS[preset or "paper"]
        config = with_values(start, given)
        config.check()
    except (ValueError, OSError, CheckpointError) as error:
        return fail("train_pconv", error)

    from train_pconv.fit import Run  # Keras and its backend load here: --help answers at once
    from weights import WeightsError

    try:
        run = Run(config, resume=resume)
    except (ValueError, OSError, CheckpointError, WeightsError) as error:
        return fail("train_pconv", error)

    return run_to_end(run, "train_pconv")


if __name__ == "__main__":
    sys.exit(main())
