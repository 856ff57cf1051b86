"""ECAPA-TDNN, 22.5 M parameters (Section IV-C)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssps_lib.encoders.encoder import Encoder, require_multiple_of_8
from ssps_lib.norms import BatchNorm


class ECAPATDNN(Encoder):
    """Time-delay network with Res2Net blocks, channel attention and attentive statistics pooling.

    Each of the three SE-Res2Net blocks takes the output of the block before; their outputs are
    concatenated, aggregated (MFA) and pooled over time into weighted means and deviations.

    Inside, channels come last, (B, T, C), where norms and small convolutions are fastest: a
    convolution is a matrix product there. `nn.Conv1d` holds the weights, as in released files.

    Args:
        dim: dimension of the representation.
        n_mels, window, hop_length: see `LogMel`.
        channels: width of the blocks, a multiple of 8 (the paper: 1024).
        mfa: width of the aggregation, 3 * `channels` unless given (elsewhere 1536 is usual).
        attention, se: bottlenecks of the pooling's and of the channels' attention.

    Raises:
        ValueError: a width that is no multiple of 8; a waveform of fewer than 5 frames.

    >>> encoder = ECAPATDNN(channels=64, attention=32, se=32)
    >>> encoder(torch.randn(2, 32_000)).shape
    torch.Size([2, 512])
    """

    name = "ecapa_tdnn"

    def __init__(
        self,
        dim: int = 512,
        n_mels: int = 40,
        window: str = "hamming",
        channels: int = 1024,
        mfa: int | None = None,
        attention: int = 128,
        se: int = 128,
        hop_length: int = 160,
    ) -> None:
        require_multiple_of_8(channels)
        mfa = mfa or 3 * channels
        super().__init__(dim, n_mels, window, hop_length)
        self.blocks = nn.ModuleList([TDNNBlock(n_mels, channels, kernel=5)])
        self.blocks.extend(SERes2NetBlock(channels, d, se) for d in (2, 3, 4))
        self.mfa = TDNNBlock(3 * channels, mfa)
        self.asp = AttentiveStatisticsPooling(mfa, attention)
        self.asp_bn = nn.BatchNorm1d(2 * mfa)
        self.fc = nn.Conv1d(2 * mfa, dim, 1)

    def represent(self, features: Tensor) -> Tensor:
        if features.shape[2] < 5:
            raise ValueError(
                f"the waveform gives {features.shape[2]} frames, expected at least 5 "
                f"({4 * self.features.hop_length} samples) for the reflected padding of the "
                "convolutions; is the crop too short?"
            )
        x, outputs = self.blocks[0](features.transpose(1, 2)), []
        for block in self.blocks[1:]:
            x = block(x)  # of the previous block only, not of the sum of all before
            outputs.append(x)
        x = self.mfa(torch.cat(outputs, 2))  # (B, T, mfa)
        return self.fc(self.asp_bn(self.asp(x))[:, :, None]).squeeze(2)


def convolve(conv: nn.Conv1d, x: Tensor) -> Tensor:
    """`conv` over the frames of x (B, T, C) as a matrix product, (B * T, C')."""
    taps, dilation = conv.kernel_size[0], conv.dilation[0]
    if taps > 1:  # reflected 'same' padding, then the frames under all taps side by side
        reach, frames = dilation * (taps // 2), x.shape[1]
        x = F.pad(x, (0, 0, reach, reach), mode="reflect")
        x = torch.cat([x[:, i * dilation :][:, :frames] for i in range(taps)], 2)
    return F.linear(x.flatten(0, 1), conv.weight.transpose(1, 2).flatten(1), conv.bias)


class TDNNBlock(nn.Module):
    """Convolution over time (reflected 'same' padding), ReLU, batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, dilation=dilation)
        self.norm = BatchNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(convolve(self.conv, x).relu_()).unflatten(0, x.shape[:2])


class Res2NetBlock(nn.Module):
    """Channels in `scale` groups; each group is convolved together with the result before it."""

    def __init__(self, channels: int, dilation: int, scale: int = 8) -> None:
        super().__init__()
        width = channels // scale
        self.blocks = nn.ModuleList(
            TDNNBlock(width, width, kernel=3, dilation=dilation) for _ in range(scale - 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        first, *groups = x.chunk(len(self.blocks) + 1, dim=2)
        outputs = [first, self.blocks[0](groups[0])]
        for block, group in zip(self.blocks[1:], groups[1:], strict=True):
            outputs.append(block(group + outputs[-1]))
        return torch.cat(outputs, 2)


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate in (0, 1) computed from the channels' means over time."""

    def __init__(self, channels: int, bottleneck: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(channels, bottleneck, 1)
        self.conv2 = nn.Conv1d(bottleneck, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = convolve(self.conv1, x.mean(1, keepdim=True)).relu()
        return x * convolve(self.conv2, hidden[:, None]).sigmoid()[:, None]


class SERes2NetBlock(nn.Module):
    """1x1 convolution, Res2Net, 1x1 convolution, squeeze-and-excitation; plus the input."""

    def __init__(self, channels: int, dilation: int, se: int) -> None:
        super().__init__()
        self.tdnn1 = TDNNBlock(channels, channels)
        self.res2net_block = Res2NetBlock(channels, dilation)
        self.tdnn2 = TDNNBlock(channels, channels)
        self.se_block = SqueezeExcitation(channels, se)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.se_block(self.tdnn2(self.res2net_block(self.tdnn1(x))))


class AttentiveStatisticsPooling(nn.Module):
    """Attention-weighted mean and deviation over time: (B, T, C) -> (B, 2C), in float32.

    The attention of each channel sees the frame and, as global context, the plain mean and
    deviation of the utterance.
    """

    def __init__(self, channels: int, bottleneck: int) -> None:
        super().__init__()
        self.tdnn = TDNNBlock(3 * channels, bottleneck)
        self.conv = nn.Conv1d(bottleneck, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        context = statistics(x, torch.full_like(x[:1, :, :1], 1 / x.shape[1], dtype=torch.float32))
        # tdnn(cat[x, mean, std]) without repeating mean and std for every frame
        weight = self.tdnn.conv.weight.squeeze(2)
        frame, utterance = weight.split((x.shape[2], 2 * x.shape[2]), dim=1)
        hidden = F.linear(x, frame) + F.linear(context, utterance, self.tdnn.conv.bias)[:, None]
        hidden = self.tdnn.norm(hidden.relu_().flatten(0, 1)).tanh().unflatten(0, x.shape[:2])
        return statistics(x, convolve(self.conv, hidden).view_as(x).float().softmax(1))


def statistics(x: Tensor, weights: Tensor) -> Tensor:
    """Mean and deviation of x (B, T, C) under weights that sum to 1 over T: (B, 2C), float32."""
    return Statistics.apply(x.float(), weights)


class Statistics(torch.autograd.Function):
    """`statistics`, with a gradient by hand that passes half as often over (B, T, C)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor) -> Tensor:
        """See `statistics`."""
        mean = (weights * x).sum(1, keepdim=True)
        centred = x - mean
        variance = (weights * centred).mul_(centred).sum(1, keepdim=True)
        deviation = variance.clamp(min=1e-12).sqrt()
        ctx.save_for_backward(weights, centred, variance, deviation)
        return torch.cat((mean, deviation), 2).squeeze(1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        """The gradients of x and weights."""
        weights, centred, variance, deviation = ctx.saved_tensors
        by_mean, by_deviation = gradient.unsqueeze(1).chunk(2, dim=2)
        by_variance = torch.where(variance >= 1e-12, by_deviation / (2 * deviation), 0)
        by_x = torch.addcmul(by_mean, centred, 2 * by_variance).mul_(weights)
        if not ctx.needs_input_grad[1]:
            return by_x, None
        # up to a constant over T, of which weights that sum to 1 know nothing
        return by_x, torch.addcmul(by_mean, centred, by_variance).mul_(centred)
