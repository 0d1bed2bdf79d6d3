"""Winograd's convolution against the ordinary one."""

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn


@pytest.mark.parametrize("size_hw", [(1, 1), (4, 8), (13, 7), (30, 41)])
@pytest.mark.parametrize("bias", [False, True])
def test_it_computes_what_the_convolution_computes(size_hw: tuple[int, int], bias: bool) -> None:
    from segment.winograd import WinogradConv2d

    torch.manual_seed(0)
    true = nn.Conv2d(6, 5, 3, padding=1, bias=bias)
    x = torch.randn(2, 6, *size_hw)
    with torch.inference_mode():
        found = WinogradConv2d(true)(x.to(memory_format=torch.channels_last))
        torch.testing.assert_close(found, true(x), atol=2e-5, rtol=0)


def test_large_maps_go_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    from segment import winograd

    true, x = nn.Conv2d(3, 4, 3, padding=1), torch.randn(1, 3, 21, 10)
    with torch.inference_mode():
        for at_once in (1, 1000, 10**9):
            monkeypatch.setattr(winograd, "_AT_ONCE", at_once)
            torch.testing.assert_close(winograd.WinogradConv2d(true)(x), true(x), atol=2e-5, rtol=0)


def test_no_objects_make_no_maps() -> None:
    from segment.winograd import WinogradConv2d

    with torch.inference_mode():
        assert WinogradConv2d(nn.Conv2d(3, 4, 3, padding=1))(torch.zeros(0, 3, 14, 14)).shape == (0, 4, 14, 14)


def test_only_convolutions_that_it_is_made_for_are_replaced() -> None:
    from segment.winograd import WinogradConv2d, use_winograd

    wide = {"in_channels": 128, "out_channels": 128, "kernel_size": 3, "padding": 1}
    others = [{"stride": 2}, {"padding": 0}, {"kernel_size": 1, "padding": 0}, {"groups": 2}, {"in_channels": 64}]
    net = nn.Sequential(nn.Conv2d(**wide), *(nn.Conv2d(**{**wide, **other}) for other in others))
    use_winograd(net)
    assert [type(layer) for layer in net] == [WinogradConv2d] + [nn.Conv2d] * len(others)
