"""The inpainter that ships with the code. A file of its own: to ask for it costs no library."""

from __future__ import annotations

from weights import WEIGHTS, WeightSpec, locate


def bundled_inpainter() -> WeightSpec | None:
    """The first inpainter of weights.WEIGHTS that ships with the code and whose file is there."""
    for spec in WEIGHTS.values():
        if spec.kind == "inpainter" and spec.url is None and locate(spec) is not None:
            return spec
    return None
