"""What the net is measured against does the same: an independent version, so it also checks the net itself."""

import numpy as np
import pytest

from benchmarks.pconv import inputs, operations, write_random_net
from inpaint.fast_pconv import read_fast_pconv
from inpaint.pconv_config import PConvUNetConfig
from inpaint.pconv_unet import build_pconv_unet, write_pconv

torch = pytest.importorskip("torch")


def test_the_plain_pytorch_version_predicts_what_the_net_predicts(tmp_path):
    from benchmarks.plain_pconv import read_plain_pconv

    write_random_net(tmp_path / "net.npz", levels=4, width=4)
    image, valid = inputs(48)
    valid[:, :20, 30:] = 0  # a hole at the border too
    with torch.inference_mode():
        plain = read_plain_pconv(tmp_path / "net.npz")(
            *(torch.from_numpy(x).permute(0, 3, 1, 2) for x in (image, valid))
        )
    found = np.asarray(read_fast_pconv(tmp_path / "net.npz").predict_on_batch([image, valid]))
    assert np.ptp(found) > 0.1
    np.testing.assert_allclose(found, plain.permute(0, 2, 3, 1).numpy(), atol=1e-4)


def test_a_net_that_is_not_as_published_is_refused(tmp_path):
    from benchmarks.plain_pconv import read_plain_pconv

    config = PConvUNetConfig(levels=1, width=2, pull_push_base=True)
    write_pconv(tmp_path / "net.npz", build_pconv_unet(config), config)
    with pytest.raises(ValueError, match="pull-push"):
        read_plain_pconv(tmp_path / "net.npz")


def test_the_published_512_pixel_net_takes_76_thousand_million_operations():
    assert operations(8, 64, 512, sub_pixel=False) == pytest.approx(76, abs=0.5)
    assert operations(1, 1, 2, sub_pixel=False) == 2 * (1 * 49 * 3 + 4 * 9 * (1 + 3) * 3) / 1e9
    assert operations(1, 1, 2, sub_pixel=True) == 2 * (1 * 49 * 3 + 4 * (4 * 1 + 9 * 3) * 3) / 1e9
