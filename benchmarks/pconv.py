"""`python -m benchmarks.pconv`: one pass of the partial-convolution net, beside a plain PyTorch version of it.

onnx: what PConvInpainter runs of the net that ships. fast: what it runs of others, and where a device is asked for.
bfloat16: the same, multiplying in bfloat16. trained: the net as it is trained. plain: PyTorch with validity repeated
over the channels (benchmarks/plain_pconv.py). Each has a process of its own, one after the other, with the same random
weights, photo and hole; ratios are to the last named.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measure

SUBJECTS = ("onnx", "fast", "bfloat16", "trained", "plain")
PACKAGES = ("onnxruntime", "keras", "tensorflow", "torch", "numpy")
_KERNELS = {1: 7, 2: 5, 3: 5}


def inputs(size: int) -> tuple[np.ndarray, np.ndarray]:
    """A random photo (1, size, size, 3) in -1..1 and the validity of a hole in its middle, a ninth of it."""
    image = np.random.default_rng(0).uniform(-1, 1, (1, size, size, 3)).astype(np.float32)
    valid = np.ones((1, size, size, 1), np.float32)
    valid[:, size // 3 : 2 * size // 3, size // 3 : 2 * size // 3] = 0
    return image, valid


def operations(levels: int, width: int, size: int, *, sub_pixel: bool) -> float:
    """Multiplications and additions of the net's convolutions over features, in thousand millions."""
    filters = [3, *(width * min(2**level, 8) for level in range(levels))]
    total = 0.0
    for level in range(1, levels + 1):
        outer, inner = filters[level - 1], filters[level]
        pixels = (size / 2**level) ** 2
        total += pixels * _KERNELS.get(level, 3) ** 2 * outer * inner
        total += 4 * pixels * ((4 if sub_pixel else 9) * inner + 9 * outer) * outer
    return 2 * total / 1e9


def write_random_net(path: Path, levels: int, width: int) -> None:
    """A bundle of the published layers whose every variable is random, and whose activations stay near 1."""
    import keras

    from inpaint.pconv_config import PConvUNetConfig
    from inpaint.pconv_unet import build_pconv_unet, write_pconv
    from weights.nets import named_variables

    config = PConvUNetConfig(levels=levels, width=width)
    model = build_pconv_unet(config)
    rng = np.random.default_rng(0)
    for name, variable in named_variables(model).items():
        if name.endswith("kernel"):
            variable.assign(rng.standard_normal(variable.shape, np.float32) / np.sqrt(np.prod(variable.shape[:3])))
        else:
            variable.assign(keras.ops.add(variable, rng.uniform(-0.2, 0.2, variable.shape).astype(np.float32)))
    write_pconv(path, model, config, float16=False)


def subject(name: str, bundle: Path) -> tuple[Callable, Callable]:
    """(predict(image, valid) -> (1, H, W, 3), product(side) -> a call) of the framework that it runs on."""
    if name == "plain":
        return _plain(bundle)
    if name == "onnx":
        return _onnx(bundle)
    import keras

    from inpaint.fast_pconv import read_fast_pconv
    from inpaint.pconv_unet import read_pconv

    net = read_pconv(bundle) if name == "trained" else read_fast_pconv(bundle, dtype=_dtype(name))
    net.compile(jit_compile=keras.backend.backend() == "jax")

    def product(side: int) -> Callable[[], Any]:
        matrix = keras.ops.ones((side, side), "float32")
        return lambda: keras.ops.convert_to_numpy(keras.ops.matmul(matrix, matrix)[0, 0])

    return lambda image, valid: net.predict_on_batch([image, valid]), product


def _onnx(bundle: Path) -> tuple[Callable, Callable]:
    from weights.onnx_nets import OnnxNet, onnx_file

    net = OnnxNet(onnx_file(bundle))

    def product(side: int) -> Callable[[], Any]:  # NumPy's, for ONNX Runtime has none of its own to call
        matrix = np.ones((side, side), np.float32)
        return lambda: matrix @ matrix

    return lambda image, valid: net([image, valid]), product


def write_onnx_net(bundle: Path) -> None:
    """The .onnx file beside the bundle, its weights as they are."""
    from inpaint.fast_pconv import read_fast_pconv
    from weights.onnx_export import write_onnx

    write_onnx(read_fast_pconv(bundle, dtype="float32"), bundle, float16=False)


def _dtype(name: str) -> str:
    return "bfloat16" if name == "bfloat16" else "float32"


def _plain(bundle: Path) -> tuple[Callable, Callable]:
    import torch

    from benchmarks.plain_pconv import read_plain_pconv

    net = read_plain_pconv(bundle)

    def predict(image: np.ndarray, valid: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            tensors = (torch.from_numpy(x).permute(0, 3, 1, 2) for x in (image, valid))
            return net(*tensors).permute(0, 2, 3, 1).numpy()

    def product(side: int) -> Callable[[], Any]:
        matrix = torch.ones(side, side)
        return lambda: matrix @ matrix

    return predict, product


def run_one(name: str, bundle: Path, sizes: Sequence[int], budget_s: float, prediction: Path) -> dict[str, Any]:
    """Timings by size, the framework's matrix-product peak; the prediction of the first size is written."""
    predict, product = subject(name, bundle)
    result: dict[str, Any] = {"peak": measure.matrix_peak(product), "sizes": {}}
    loaded = measure.resident_bytes()
    for size in sizes:
        image, valid = inputs(size)
        with measure.PeakMemory(above=loaded) as peak:
            predict(image, valid)  # the first of its size, which may trace a graph
        again = measure.least(functools.partial(predict, image, valid), budget_s=budget_s)
        result["sizes"][size] = {
            "s": again.seconds,
            "cpu_s": again.cpu_seconds,
            "mib": None if peak.bytes is None else peak.bytes / 2**20,
        }
    np.save(prediction, np.asarray(predict(*inputs(sizes[0])), np.float32))
    return result


def rows(results: dict[str, Any], sizes: Sequence[int], levels: int, width: int, apart: dict[str, float]) -> list:
    peak = max(result["peak"]["gflops"] for result in results.values())
    cpu_peak = max(result["peak"]["cpu_gflops"] for result in results.values())
    last = list(results)[-1]
    lines = []
    for name, result in results.items():
        for size in sizes:
            at, beside = result["sizes"][str(size)], results[last]["sizes"][str(size)]
            done = operations(levels, width, size, sub_pixel=name in ("onnx", "fast", "bfloat16"))
            shares = (
                f"{100 * done / at['s'] / peak:.0f} %, {100 * done / at['cpu_s'] / cpu_peak:.0f} %"
                if name != "bfloat16"
                else "-"  # the peak is that of float32
            )
            memory = "-" if at["mib"] is None else f"{at['mib']:.0f}"
            cells = [name, str(size), f"{at['s']:.2f}", f"{at['cpu_s']:.2f}", f"{done:.0f}", shares, memory]
            ratios = f"{beside['s'] / at['s']:.1f}, {beside['cpu_s'] / at['cpu_s']:.1f}"
            lines.append([*cells, ratios, f"{apart[name]:.1g}"])
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pconv", description=__doc__)
    possible = {"bfloat16": measure.has_bfloat16(), "onnx": find_spec("tf2onnx") is not None}
    usual = [name for name in SUBJECTS if possible.get(name, True)]
    parser.add_argument("--subjects", default=",".join(usual), metavar="NAMES", help=f"of {', '.join(SUBJECTS)}")
    parser.add_argument("--sizes", default="256,512,1024", metavar="PX", help="multiples of 2 to the power of levels")
    parser.add_argument("--levels", type=int, default=8)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--budget", type=float, default=10.0, metavar="S", help="seconds for a subject at a size")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where pconv.md and pconv.png go")
    parser.add_argument("--one", nargs=2, metavar=("NAME", "DIR"), help=argparse.SUPPRESS)  # measures, prints JSON
    options = parser.parse_args(arguments)
    sizes = [int(size) for size in options.sizes.split(",")]
    if options.one:
        name, files = options.one[0], Path(options.one[1])
        if name == "write":
            write_random_net(files / "net.npz", options.levels, options.width)
            print("{}")
        elif name == "write-onnx":
            write_onnx_net(files / "net.npz")
            print("{}")
        else:
            print(json.dumps(run_one(name, files / "net.npz", sizes, options.budget, files / f"{name}.npy")))
        return 0
    names = options.subjects.split(",")
    if unknown := [name for name in names if name not in SUBJECTS]:
        parser.error(f"no subject is called {unknown[0]!r}: choose of {', '.join(SUBJECTS)}")
    if any(size % 2**options.levels for size in sizes):
        parser.error(f"sizes must be multiples of {2**options.levels}, got {options.sizes}")
    with tempfile.TemporaryDirectory() as folder:
        passed = [f"--sizes={options.sizes}", f"--levels={options.levels}", f"--width={options.width}"]
        passed.append(f"--budget={options.budget}")
        results = {
            name: measure.in_own_process("benchmarks.pconv", [*passed, "--one", name, folder])
            for name in ("write", *(["write-onnx"] if "onnx" in names else []), *names)
        }
        results = {name: results[name] for name in names}
        predictions = {name: np.load(Path(folder) / f"{name}.npy") for name in names}
    apart = {name: float(np.abs(predictions[name] - predictions[names[-1]]).max()) for name in names}
    heads = ["net", "px", "s", "CPU s", "10^9 operations", "share of peak: clock, CPU", "MiB above the loaded net"]
    heads += [f"times faster than {names[-1]}: clock, CPU", f"largest difference from {names[-1]}, {sizes[0]} px"]
    peaks = ", ".join(
        f"{name} {result['peak']['gflops']:.0f} ({result['peak']['cpu_gflops']:.0f} a CPU second)"
        for name, result in results.items()
    )
    command = measure.command_line("benchmarks.pconv", arguments)
    text = "\n\n".join(
        [
            measure.described(command, PACKAGES) + f"; {os.environ.get('OMP_NUM_THREADS', 'all')} threads",
            measure.markdown(heads, rows(results, sizes, options.levels, options.width, apart)),
            f"Matrix products of {measure.PEAK_SIDE}, 10^9 operations a second, by the framework of: {peaks}.",
        ]
    )
    measure.write_report(options.out, "pconv", text)
    if options.out:
        curves = {n: {float(s): r["sizes"][str(s)]["cpu_s"] for s in sizes} for n, r in results.items()}
        measure.plot(
            options.out, "pconv", curves, x="pixels a side", y="CPU seconds", title="One pass of the PConv net"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
