"""The public PyTorch weights of PConv (MMagic's) as a bundle of this project.

`python -m inpaint.convert IN.pth OUT.npz` writes it. Layers keep their names and layout; what differs:

- kernels are (out, in, rows, columns) there and (rows, columns, in, out) here;
- that net sees and predicts BGR, ours RGB: the photo's three channels are turned round where they enter the first
  layer, where they enter the last one (behind the 64 upsampled channels) and where they leave it;
- everything else in the file (the buffers that count validity, the discriminator, the optimizer) is left out.
"""

from __future__ import annotations

import argparse
import hashlib
import pickle
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weights import WeightsError
from weights.frameworks import told_by_torch

Arrays = dict[str, NDArray[Any]]

_GENERATOR_KEY = re.compile(r"(?:generator\.)?(?:encoder|decoder)\.((?:enc|dec)\d+)\.(conv|bn)\.(\w+)$")
_BN_NAMES = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_NOT_ALLOWED = re.compile(r"GLOBAL (\S+) was not an allowed global")
_MOST_CLASSES = 100  # more foreign classes than any honest checkpoint holds


def convert(source: str | Path, target: str | Path) -> None:
    """Writes the bundle of a public PConv checkpoint, in float32 so that nothing of it is lost.

    Raises WeightsError if the file is damaged or holds no PConv generator. Nothing in the file is ever run.
    """
    from inpaint.pconv_unet import build_pconv_unet, write_pconv
    from weights.nets import set_variables

    arrays, config = from_state_dict(read_state_dict(Path(source)), source=str(source))
    model = build_pconv_unet(config, dtype="float32")
    set_variables(model, arrays, source=str(source))
    with Path(source).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    extra = {
        "converted_from": Path(source).name,
        "converted_from_sha256": digest,
        "max_size_px": 2 * config.multiple,  # the size that its levels bring down to 2x2, at which it was trained
    }
    write_pconv(target, model, config, extra, float16=False)


def from_state_dict(state: Mapping[str, Any], *, source: str = "the checkpoint") -> tuple[Arrays, Any]:
    """Our variables by name, and the PConvUNetConfig that they belong to.

    state: MMagic's parameter names to tensors or arrays.
    Raises WeightsError if they are not those of a PConv generator.
    """
    from inpaint.pconv_config import PConvUNetConfig

    arrays: Arrays = {}
    for key, value in state.items():
        if (match := _GENERATOR_KEY.match(key)) is None:
            continue
        layer, part, name = match.groups()
        if part == "conv" and name == "weight":
            arrays[f"{layer}/kernel"] = np.asarray(value, np.float32).transpose(2, 3, 1, 0)
        elif part == "conv" and name == "bias":
            arrays[f"{layer}/bias"] = np.asarray(value, np.float32)
        elif part == "bn" and name in _BN_NAMES:
            arrays[f"{layer}_bn/{_BN_NAMES[name]}"] = np.asarray(value, np.float32)
    if missing := {"enc1/kernel", "dec1/kernel", "dec1/bias"} - arrays.keys():
        raise WeightsError(f"{source} holds no PConv generator: {sorted(missing)[0]} is not in it")

    arrays["enc1/kernel"] = arrays["enc1/kernel"][:, :, ::-1]
    upsampled, photo = np.split(arrays["dec1/kernel"], [-3], axis=2)
    arrays["dec1/kernel"] = np.concatenate([upsampled, photo[:, :, ::-1]], axis=2)[..., ::-1]
    arrays["dec1/bias"] = arrays["dec1/bias"][::-1]
    levels = sum(1 for name in arrays if re.fullmatch(r"enc\d+/kernel", name))
    return arrays, PConvUNetConfig(levels=levels, width=arrays["enc1/kernel"].shape[-1])


def read_state_dict(path: Path) -> Mapping[str, Any]:
    """The tensors of a PyTorch checkpoint by name, as NumPy arrays.

    torch.load reads it with weights_only=True, which runs no code. Training state that it would refuse for its class
    (log buffers, NumPy scalars) is read into an empty stand-in of ours instead: we have no use for it.
    Raises WeightsError if the file is missing, damaged or no checkpoint.
    """
    import torch

    foreign: list[Any] = []
    for _ in range(_MOST_CLASSES):
        try:
            with torch.serialization.safe_globals(foreign):
                checkpoint = torch.load(path, map_location="cpu", weights_only=True)
            break
        except pickle.UnpicklingError as error:
            if (match := _NOT_ALLOWED.search(str(error))) is None:
                raise WeightsError(
                    f"{path} is no whole PyTorch checkpoint, or holds what could run code ({told_by_torch(error)}): "
                    "fetch it again"
                ) from error
            name = match[1] if "." in match[1] else f"builtins.{match[1]}"  # torch leaves "builtins." out
            foreign.append((_Ignored, name))
        except Exception as error:  # a damaged file can fail anywhere in torch's reader, with any exception
            raise WeightsError(
                f"{path} is no whole PyTorch checkpoint ({told_by_torch(error)}): fetch it again"
            ) from error
    else:
        raise WeightsError(f"{path} holds over {_MOST_CLASSES} foreign classes: it is no checkpoint of weights")
    state = checkpoint.get("state_dict", checkpoint) if isinstance(checkpoint, Mapping) else {}
    tensors = state.items() if isinstance(state, Mapping) else ()
    arrays = {str(key): value.numpy() for key, value in tensors if isinstance(value, torch.Tensor)}
    if not arrays:
        raise WeightsError(f"{path} holds no tensors by name: it is no checkpoint of weights")
    return arrays


class _Ignored:
    """Takes the place of any class that a checkpoint names and that we do not need; keeps nothing of it."""

    def __new__(cls, *_: Any) -> _Ignored:
        return super().__new__(cls)

    def __init__(self, *_: Any):
        pass

    def __setstate__(self, _: Any) -> None:
        pass


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m inpaint.convert", description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, metavar="IN.pth", help="checkpoint of MMagic's PConv")
    parser.add_argument("target", type=Path, metavar="OUT.npz", help="bundle to write")
    options = parser.parse_args(arguments)
    try:
        convert(options.source, options.target)
    except (WeightsError, OSError) as error:
        print(f"inpaint.convert: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
