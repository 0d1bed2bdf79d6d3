"""The public checkpoint's converter, against a plain PyTorch module with that checkpoint's names and random weights."""

import keras
import numpy as np
import pytest

from inpaint.convert import main, read_state_dict
from inpaint.pconv_config import PUBLISHED_256, PConvUNetConfig, read_config
from inpaint.pconv_unet import read_pconv
from weights import WeightsError
from weights.nets import named_variables

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional
WIDTH, LEVELS = 4, 7


class PartialConv(nn.Conv2d):
    """MMagic's: validity in every channel, the ratio and the bias written out."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.register_buffer("weight_mask_updater", torch.ones(self.out_channels, self.in_channels, *self.kernel_size))

    def forward(self, x, mask):
        found = functional.conv2d(mask, self.weight_mask_updater, stride=self.stride, padding=self.padding)
        ratio = self.weight_mask_updater[0].numel() / (found + 1e-8)
        found = found.clamp(0, 1)
        out = functional.conv2d(x * mask, self.weight, stride=self.stride, padding=self.padding) * ratio * found
        if self.bias is not None:
            out = (out + self.bias[:, None, None]) * found
        return out, found


class Block(nn.Module):
    def __init__(self, channels_in, channels_out, size, strides, normed, activation):
        super().__init__()
        self.conv = PartialConv(channels_in, channels_out, size, strides, size // 2, bias=not normed)
        self.bn = nn.BatchNorm2d(channels_out) if normed else None
        self.activation = activation

    def forward(self, x, mask):
        x, mask = self.conv(x, mask)
        return self.activation(self.bn(x) if self.bn else x), mask


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        filters = [3] + [WIDTH * min(2**i, 8) for i in range(LEVELS)]
        self.encoder, self.decoder = nn.Module(), nn.Module()
        for i in range(1, LEVELS + 1):
            size = {1: 7, 2: 5, 3: 5}.get(i, 3)
            block = Block(filters[i - 1], filters[i], size, 2, i > 1, nn.ReLU())
            self.encoder.add_module(f"enc{i}", block)
        for i in range(LEVELS, 0, -1):
            activation = nn.LeakyReLU(0.2) if i > 1 else nn.Identity()
            block = Block(filters[i] + filters[i - 1], filters[i - 1], 3, 1, i > 1, activation)
            self.decoder.add_module(f"dec{i}", block)

    def forward(self, x, mask):
        skips = [(x, mask)]
        for i in range(1, LEVELS + 1):
            skips.append(getattr(self.encoder, f"enc{i}")(*skips[-1]))
        x, mask = skips.pop()
        for i in range(LEVELS, 0, -1):
            skip, skip_mask = skips.pop()
            x = torch.cat([functional.interpolate(x, scale_factor=2), skip], 1)
            mask = torch.cat([functional.interpolate(mask, scale_factor=2), skip_mask], 1)
            x, mask = getattr(self.decoder, f"dec{i}")(x, mask)
        return x


class Log:
    """Stands for mmengine's HistoryBuffer: a class that torch.load refuses."""

    def __init__(self):
        self.values = np.arange(3.0)


class Attack:
    def __init__(self, code):
        self.code = code

    def __reduce__(self):
        return eval, (self.code,)


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    net = Generator().eval()
    for name, value in net.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif name.endswith(("bias", "running_mean")):
            value.normal_(0, 0.3)
        elif name.endswith("bn.weight"):
            value.uniform_(0.5, 1.5)
    return net


def checkpoint(path, net, legacy=False, **training_state):
    state = {f"generator.{name}": value for name, value in net.state_dict().items()}
    state["disc.conv.weight"] = torch.ones(2)
    torch.save({"state_dict": state, **training_state}, path, _use_new_zipfile_serialization=not legacy)
    return path


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before PyTorch 1.6"])
def test_the_converted_net_predicts_what_the_pytorch_net_does(tmp_path, generator, legacy):
    source = checkpoint(
        tmp_path / "public.pth",
        generator,
        legacy,
        meta={"epoch": 3, "score": np.float64(0.5)},
        message_hub=Log(),
        optimizer={"state": {0: {"exp_avg": torch.ones(3)}}, "rate": np.array([1e-4])},
    )
    assert main([str(source), str(tmp_path / "bundle.npz")]) == 0
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, size=(2, 128, 256, 3)).astype(np.float32)
    valid = (rng.random((2, 128, 256, 1)) > 0.9).astype(np.float32)
    valid[:, 30:90, 20:200] = 0

    bgr = torch.from_numpy((image * valid)[..., ::-1].transpose(0, 3, 1, 2).copy())
    mask = torch.from_numpy(valid.transpose(0, 3, 1, 2).repeat(3, axis=1))
    with torch.no_grad():
        expected = generator(bgr, mask).numpy().transpose(0, 2, 3, 1)[..., ::-1]
    model = read_pconv(tmp_path / "bundle.npz")
    prediction = keras.ops.convert_to_numpy(model([image, valid], training=False))
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(prediction, expected, atol=1e-4)


def test_the_bundle_names_its_source_and_its_size(tmp_path, generator):
    main([str(checkpoint(tmp_path / "public.pth", generator)), str(tmp_path / "bundle.npz")])
    config, extra = read_config(tmp_path / "bundle.npz")
    assert config == PConvUNetConfig(levels=LEVELS, width=WIDTH)
    assert PConvUNetConfig(levels=LEVELS) == PUBLISHED_256
    assert extra["converted_from"] == "public.pth"
    assert len(extra["converted_from_sha256"]) == 64
    assert extra["max_size_px"] == 256


def test_every_variable_of_the_net_comes_from_the_checkpoint(tmp_path, generator):
    main([str(checkpoint(tmp_path / "public.pth", generator)), str(tmp_path / "bundle.npz")])
    variables = named_variables(read_pconv(tmp_path / "bundle.npz"))
    theirs = [n for n in generator.state_dict() if not n.endswith(("weight_mask_updater", "num_batches_tracked"))]
    assert len(variables) == len(theirs)


def test_no_code_in_a_checkpoint_is_run(tmp_path, generator):
    marker = tmp_path / "attacked"
    attack = Attack(f"open({str(marker)!r}, 'w')")
    source = checkpoint(tmp_path / "attack.pth", generator, optimizer=attack)
    assert "generator.encoder.enc1.conv.weight" in read_state_dict(source)
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all", b"PK\x03\x04 half a zip"])
def test_a_damaged_checkpoint_is_one_clear_line(tmp_path, capsys, content):
    source = tmp_path / "bad.pth"
    source.write_bytes(content)
    assert main([str(source), str(tmp_path / "bundle.npz")]) == 1
    assert "bad.pth" in capsys.readouterr().err
    assert not (tmp_path / "bundle.npz").exists()


def test_a_checkpoint_of_another_net_is_refused(tmp_path):
    torch.save({"state_dict": {"backbone.conv1.weight": torch.ones(3)}}, tmp_path / "resnet.pth")
    with pytest.raises(WeightsError, match="holds no PConv generator"):
        from inpaint.convert import convert

        convert(tmp_path / "resnet.pth", tmp_path / "bundle.npz")
