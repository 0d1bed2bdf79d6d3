"""RoIAlign as matrix products against mmcv's own loop."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("mmcv")


@pytest.mark.parametrize(("side", "samples", "aligned"), [(7, 0, True), (14, 2, True), (5, 0, False)])
def test_regions_and_gradients_are_mmcv_s_inside_across_and_beyond_the_border(
    side: int, samples: int, aligned: bool
) -> None:
    from mmcv.ops import RoIAlign

    from segment.fast_roi_align import FastRoIAlign

    torch.manual_seed(0)
    features = torch.randn(2, 8, 20, 30, requires_grad=True)
    corners = torch.rand(60, 2) * 260 - 30
    rois = torch.cat([torch.randint(0, 2, (60, 1)), corners, corners + torch.rand(60, 2) * 150], 1)
    rois = torch.cat([rois, torch.tensor([[0, 5.0, 5, 5, 5], [1, 900, 900, 950, 950], [0, -50, -50, 400, 400]])])
    true = RoIAlign(side, 1 / 8, samples, aligned=aligned)
    found = FastRoIAlign(true)(features.to(memory_format=torch.channels_last), rois)
    expected = true(features, rois)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
    weight = torch.randn_like(expected)
    gradients = [torch.autograd.grad((answer * weight).sum(), features)[0] for answer in (found, expected)]
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)
    assert FastRoIAlign(true)(features, rois[:0]).shape == (0, 8, side, side)


def test_only_layers_that_average_are_replaced() -> None:
    from mmcv.ops import RoIAlign

    from segment.fast_roi_align import FastRoIAlign, use_fast_roi_align

    net = torch.nn.Sequential(RoIAlign(7, 1.0, 0), torch.nn.Sequential(RoIAlign(7, 1.0, 0, pool_mode="max")))
    use_fast_roi_align(net)
    assert isinstance(net[0], FastRoIAlign)
    assert isinstance(net[1][0], RoIAlign)


def test_a_net_with_other_operations_of_mmcv_keeps_channels_first() -> None:
    from mmcv.ops import ModulatedDeformConv2dPack, RoIAlign

    from segment.fast_roi_align import FastRoIAlign
    from segment.mask_rcnn import _make_fast

    class Net(torch.nn.Module):
        def __init__(self, *others: torch.nn.Module) -> None:
            super().__init__()
            self.backbone = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3), torch.nn.BatchNorm2d(4), *others)
            self.regions = RoIAlign(7, 1.0, 0)

    for others, is_fast in (((), True), ((ModulatedDeformConv2dPack(4, 4, 3),), False)):
        net = Net(*others).eval()
        _make_fast(net)
        assert isinstance(net.regions, FastRoIAlign) is is_fast
        assert net.backbone[0].weight.is_contiguous(memory_format=torch.channels_last) is is_fast
        assert isinstance(net.backbone[1], torch.nn.Identity)
