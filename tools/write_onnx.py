"""`python -m tools.write_onnx`: the .onnx files of the bundled nets anew; or those of the bundles that are named.

To be run after a bundle has changed: an .onnx file that was made of another one is not used. The sha256 of those that
ship belong into weights.WEIGHTS.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from inpaint.pconv_config import ARCHITECTURE as PCONV
from segment.nets.configs import CLICK_NET, SUBJECT
from weights import BUNDLED_DIR, WeightsError, sha256_of
from weights.bundle import read_bundle_config


def write(bundle: Path) -> list[Path]:
    """Writes what weights.onnx_nets reads beside that bundle; nothing for nets that only Keras or PyTorch runs.

    Raises WeightsError if the bundle is damaged.
    """
    architecture = read_bundle_config(bundle).get("architecture")
    from weights.onnx_export import write_onnx

    if architecture == PCONV:
        from inpaint.fast_pconv import read_fast_pconv

        return [write_onnx(read_fast_pconv(bundle, dtype="float32"), bundle)]
    if architecture == CLICK_NET:
        from segment.click_net import PARTS
        from segment.nets.click_net import read_click_net

        net, _ = read_click_net(bundle)
        return [write_onnx(net.get_layer(part), bundle, part) for part in PARTS]
    if architecture == SUBJECT:
        from segment.nets.subject import read_subject

        return [write_onnx(read_subject(bundle)[0], bundle)]
    return []


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.write_onnx", description=__doc__)
    parser.add_argument("bundles", nargs="*", type=Path, metavar="FILE", help="bundles (default: all shipped)")
    bundles = parser.parse_args().bundles or sorted(BUNDLED_DIR.glob("*.npz"))
    try:
        for bundle in bundles:
            for path in write(bundle):
                print(f"{path}  {path.stat().st_size / 2**20:.1f} MiB\nsha256 {sha256_of(path)}")
    except (WeightsError, OSError, ValueError, ImportError) as error:
        print(f"write_onnx: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
