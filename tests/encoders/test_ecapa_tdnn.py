"""ECAPA-TDNN: published sizes and shapes, block and pooling recomputed by hand."""

import pytest
import torch

from ssps_lib.encoders import ECAPATDNN
from ssps_lib.encoders.ecapa_tdnn import (
    AttentiveStatisticsPooling,
    SERes2NetBlock,
    convolve,
    statistics,
)


@pytest.mark.parametrize(
    ("options", "parameters", "buffers"),
    [
        ({}, 22_529_152, 49_111),
        ({"n_mels": 80}, 22_733_952, 59_391),
        ({"channels": 512}, 7_075_008, 30_039),
        ({"n_mels": 80, "mfa": 1536}, 15_643_776, 50_175),
        ({"dim": 192}, 20_562_752, 49_111),
    ],
)
def test_published_sizes(options, parameters, buffers):
    encoder = ECAPATDNN(**options)
    assert sum(p.numel() for p in encoder.parameters()) == parameters
    assert sum(b.numel() for b in encoder.buffers()) == buffers


def test_shapes_layer_by_layer():
    encoder, shapes = ECAPATDNN(channels=64, attention=32, se=16).eval(), {}
    layers = dict(encoder.named_children()) | {f"block{i}": b for i, b in enumerate(encoder.blocks)}
    for name, module in layers.items():
        module.register_forward_hook(
            lambda module, x, y, name=name: shapes.update({name: tuple(y.shape[1:])})
        )
    encoder(torch.randn(1, 32_000))
    assert shapes == {
        "features": (40, 201),
        "block0": (201, 64),  # channels last from here on
        "block1": (201, 64),
        "block2": (201, 64),
        "block3": (201, 64),
        "mfa": (201, 192),
        "asp": (384,),
        "asp_bn": (384,),
        "fc": (512, 1),
    }


@pytest.mark.parametrize(("taps", "dilation"), [(1, 1), (5, 1), (3, 2), (3, 4)])
def test_convolutions_and_their_gradients_are_those_of_the_module(taps, dilation):
    conv = torch.nn.Conv1d(
        6, 4, taps, dilation=dilation, padding="same", padding_mode="reflect", dtype=torch.double
    )
    x = torch.randn(2, 6, 9, dtype=torch.double, requires_grad=True)
    found = convolve(conv, x.transpose(1, 2)).unflatten(0, (2, 9)).transpose(1, 2)
    weight = torch.randn_like(found)
    for value, expected in zip(
        (found, *torch.autograd.grad((weight * found).sum(), (x, *conv.parameters()))),
        (conv(x), *torch.autograd.grad((weight * conv(x)).sum(), (x, *conv.parameters()))),
        strict=True,
    ):
        torch.testing.assert_close(value, expected)


def test_kernels_and_dilations():
    blocks = ECAPATDNN(channels=16).blocks
    assert blocks[0].conv.kernel_size == (5,) and blocks[0].conv.dilation == (1,)
    for block, dilation in zip(blocks[1:], (2, 3, 4), strict=True):
        convolutions = [b.conv for b in block.res2net_block.blocks]
        assert len(convolutions) == 7
        assert {c.kernel_size + c.dilation for c in convolutions} == {(3, dilation)}


def test_blocks_are_chained_and_concatenated():
    encoder = ECAPATDNN(channels=16).eval()
    features = torch.randn(2, 40, 30)
    first = encoder.blocks[0](features.transpose(1, 2))
    second = encoder.blocks[1](first)
    third = encoder.blocks[2](second)
    fourth = encoder.blocks[3](third)
    aggregated = encoder.mfa(torch.cat((second, third, fourth), 2))
    expected = encoder.fc(encoder.asp_bn(encoder.asp(aggregated))[:, :, None])[:, :, 0]
    torch.testing.assert_close(encoder.represent(features), expected)


def tdnn_by_hand(x, block, dilation=1):
    """Reflected padding, one tap of the kernel at a time, ReLU, batch norm in eval mode."""
    weight, length = block.conv.weight, x.shape[2]
    reach = dilation * (weight.shape[2] - 1) // 2
    index = torch.arange(-reach, length + reach).abs()
    index = (length - 1) - ((length - 1) - index).abs()  # reflected at both ends
    padded = x[:, :, index]
    y = block.conv.bias[:, None] + sum(
        torch.einsum("oi,bit->bot", weight[:, :, k], padded[:, :, k * dilation :][:, :, :length])
        for k in range(weight.shape[2])
    )
    norm = block.norm
    y = (y.clamp(min=0) - norm.running_mean[:, None]) / (norm.running_var[:, None] + 1e-5).sqrt()
    return y * norm.weight[:, None] + norm.bias[:, None]


def randomise_norms(module):
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm1d):
            for tensor in (norm.weight.data, norm.bias.data, norm.running_mean):
                tensor.normal_()
            norm.running_var.uniform_(0.5, 2)
    return module.eval()


@torch.no_grad()
def test_se_res2net_block_by_hand():
    torch.manual_seed(0)
    block = randomise_norms(SERes2NetBlock(16, dilation=3, se=4))
    x = torch.randn(2, 16, 11)
    groups = list(tdnn_by_hand(x, block.tdnn1).chunk(8, 1))
    for i, inner in enumerate(block.res2net_block.blocks, start=1):
        carried = groups[i - 1] if i > 1 else 0  # group 0 is passed on but not added
        groups[i] = tdnn_by_hand(groups[i] + carried, inner, dilation=3)
    y = tdnn_by_hand(torch.cat(groups, 1), block.tdnn2)
    squeeze, excite = block.se_block.conv1, block.se_block.conv2
    gate = (y.mean(2) @ squeeze.weight[:, :, 0].T + squeeze.bias).clamp(min=0)
    gate = 1 / (1 + torch.exp(-(gate @ excite.weight[:, :, 0].T + excite.bias)))
    found = block(x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(found, gate[:, :, None] * y + x, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_attentive_statistics_pooling_by_hand():
    torch.manual_seed(0)
    pooling = randomise_norms(AttentiveStatisticsPooling(6, bottleneck=4))
    x = torch.randn(2, 6, 9)
    mean, std = x.mean(2, keepdim=True), x.std(2, keepdim=True, correction=0)
    context = torch.cat((x, mean.expand_as(x), std.expand_as(x)), 1)  # (B, 18, T)
    hidden = tdnn_by_hand(context, pooling.tdnn).tanh()
    scores = torch.einsum("ch,bht->bct", pooling.conv.weight[:, :, 0], hidden)
    scores = scores + pooling.conv.bias[:, None]
    for utterance, score, pooled in zip(x, scores, pooling(x.transpose(1, 2)), strict=True):
        for c in range(6):
            weights = score[c].exp() / score[c].exp().sum()
            frames = list(zip(weights, utterance[c], strict=True))
            centre = sum(w * v for w, v in frames)
            spread = sum(w * (v - centre) ** 2 for w, v in frames) ** 0.5
            torch.testing.assert_close(pooled[c], centre, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(pooled[6 + c], spread, atol=1e-5, rtol=1e-4)


def test_gradients_of_statistics(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    generator = torch.Generator().manual_seed(0)
    x, scores = torch.randn(2, 2, 5, 3, dtype=torch.double, generator=generator)
    x[0, :, 0] = 1  # without deviation
    for given, weights in ((x, scores.softmax(1)), (x[1:], torch.full((1, 5, 1), 0.2).double())):
        mean, deviation = statistics(given, weights).chunk(2, dim=1)
        expected = (weights * given).sum(1)
        torch.testing.assert_close(mean, expected)
        spread = (weights * (given - expected[:, None]).square()).sum(1).clamp(min=1e-12).sqrt()
        torch.testing.assert_close(deviation, spread)
    x, scores = x[1:].requires_grad_(), scores[1:].requires_grad_()
    assert torch.autograd.gradcheck(lambda x, s: statistics(x, s.softmax(1)), (x, scores))
    assert torch.autograd.gradcheck(lambda x: statistics(x, torch.full_like(x, 0.2)), (x,))


@pytest.mark.parametrize("hop_length", [160, 320])
def test_waveforms_shorter_than_the_padding_are_refused(hop_length):
    encoder, shortest = ECAPATDNN(channels=8, hop_length=hop_length).eval(), 4 * hop_length
    assert encoder(torch.randn(1, shortest)).shape == (1, 512)
    with pytest.raises(ValueError, match=rf"gives 4 frames, .* 5 \({shortest} samples\)"):
        encoder(torch.randn(1, shortest - 1))
