"""Fast ResNet-34: published size and shapes, block and pooling recomputed by hand."""

import torch
import torch.nn.functional as F

from ssps_lib.encoders import FastResNet34
from ssps_lib.encoders.fast_resnet34 import SEBasicBlock, SelfAttentivePooling


def test_published_size():
    encoder = FastResNet34()
    assert sum(p.numel() for p in encoder.parameters()) == 1_437_078
    assert sum(b.numel() for b in encoder.buffers()) == 14_972


def test_shapes_layer_by_layer():
    encoder, shapes = FastResNet34().eval(), {}
    for name, module in encoder.named_children():
        module.register_forward_hook(
            lambda module, x, y, name=name: shapes.update({name: tuple(y.shape[1:])})
        )
    encoder(torch.randn(1, 32_000))
    assert shapes == {
        "features": (40, 201),
        "conv": (16, 20, 201),
        "bn": (16, 20, 201),
        "block1": (16, 20, 201),
        "block2": (32, 10, 101),
        "block3": (64, 5, 51),
        "block4": (128, 5, 51),
        "pooling": (128,),
        "fc": (512,),
    }


def test_blocks_per_stage():
    encoder = FastResNet34(channels=8)
    stages = (encoder.block1, encoder.block2, encoder.block3, encoder.block4)
    assert [len(stage) for stage in stages] == [3, 4, 6, 3]


def test_any_number_of_mel_bands_and_short_crops():
    assert FastResNet34(n_mels=80, channels=8).eval()(torch.randn(1, 400)).shape == (1, 512)


def norm_by_hand(x, bn):
    """Batch norm of (B, C, H, W) in train mode."""
    mean = x.mean((0, 2, 3), keepdim=True)
    variance = (x - mean).square().mean((0, 2, 3), keepdim=True)
    y = (x - mean) / (variance + 1e-5).sqrt()
    return y * bn.weight[:, None, None] + bn.bias[:, None, None]


def test_block_by_hand():
    torch.manual_seed(0)
    block, x = SEBasicBlock(8, 16, stride=2), torch.randn(3, 8, 6, 9)
    for bn in (block.bn1, block.bn2, block.downsample[1]):
        torch.nn.init.normal_(bn.weight)
        torch.nn.init.normal_(bn.bias)
    y = F.conv2d(x, block.conv1.weight, stride=2, padding=1)
    y = norm_by_hand(y.clamp(min=0), block.bn1)  # ReLU before batch norm
    y = norm_by_hand(F.conv2d(y, block.conv2.weight, padding=1), block.bn2)
    squeeze, excite = block.se.fc[0], block.se.fc[2]
    gate = (y.mean((2, 3)) @ squeeze.weight.T + squeeze.bias).clamp(min=0)
    gate = 1 / (1 + torch.exp(-(gate @ excite.weight.T + excite.bias)))
    shortcut = F.conv2d(x, block.downsample[0].weight, stride=2)
    expected = gate[:, :, None, None] * y + norm_by_hand(shortcut, block.downsample[1])
    torch.testing.assert_close(block(x), expected.clamp(min=0), atol=1e-5, rtol=1e-4)


def test_self_attentive_pooling_by_hand():
    torch.manual_seed(0)
    pooling, x = SelfAttentivePooling(6), torch.randn(2, 6, 5)
    weight, bias = pooling.sap_linear.weight, pooling.sap_linear.bias
    for utterance, pooled in zip(x, pooling(x), strict=True):
        frames = utterance.T
        hidden = [torch.tanh(weight @ frame + bias) for frame in frames]
        scores = torch.stack([h @ pooling.attention[:, 0] for h in hidden])
        attention = scores.exp() / scores.exp().sum()
        expected = sum(a * f for a, f in zip(attention, frames, strict=True))
        torch.testing.assert_close(pooled, expected)
