"""Fast ResNet-34 with self-attentive pooling, 1.4 M parameters (Section IV-C)."""

import torch
from torch import Tensor, nn

from ssps_lib.encoders.encoder import Encoder, require_multiple_of_8
from ssps_lib.norms import BatchNorm


class FastResNet34(Encoder):
    """ResNet-34 with a quarter of the usual channels, on (mel, time) images.

    Four stages of 3, 4, 6 and 3 residual blocks with `channels` x 1, 2, 4 and 8 channels; stages 2
    and 3 halve both axes. Frequency is averaged, time is pooled by self-attention (SAP).

    Args:
        dim: dimension of the representation.
        n_mels, window, hop_length: see `LogMel`.
        channels: channels of the first stage, a multiple of 8 (the paper: 16).

    >>> encoder = FastResNet34()
    >>> sum(p.numel() for p in encoder.parameters())
    1437078
    >>> encoder(torch.randn(2, 32_000)).shape
    torch.Size([2, 512])
    """

    name = "fast_resnet34"

    def __init__(
        self,
        dim: int = 512,
        n_mels: int = 40,
        window: str = "hamming",
        channels: int = 16,
        hop_length: int = 160,
    ) -> None:
        require_multiple_of_8(channels)
        super().__init__(dim, n_mels, window, hop_length)
        c = channels
        self.conv = nn.Conv2d(1, c, 7, stride=(2, 1), padding=3, bias=False)
        self.bn = BatchNorm(c)
        self.block1 = stage(c, c, blocks=3, stride=1)
        self.block2 = stage(c, 2 * c, blocks=4, stride=2)
        self.block3 = stage(2 * c, 4 * c, blocks=6, stride=2)
        self.block4 = stage(4 * c, 8 * c, blocks=3, stride=1)
        self.pooling = SelfAttentivePooling(8 * c)
        self.fc = nn.Linear(8 * c, dim)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def represent(self, features: Tensor) -> Tensor:
        x = self.conv(features[:, None])
        x = x.contiguous(memory_format=torch.channels_last)  # in which convolutions are fast
        x = self.bn(x).relu()  # (B, c, mels/2, frames)
        x = self.block4(self.block3(self.block2(self.block1(x))))  # (B, 8c, mels/8, frames/4)
        return self.fc(self.pooling(x.mean(2)))


def stage(inputs: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    """Residual blocks of one width; the first of them changes the resolution."""
    first = SEBasicBlock(inputs, channels, stride)
    return nn.Sequential(first, *(SEBasicBlock(channels, channels) for _ in range(blocks - 1)))


class SEBasicBlock(nn.Module):
    """Two 3x3 convolutions with squeeze-and-excitation and a residual connection.

    The first convolution is followed by ReLU and then by batch norm, as published.
    """

    def __init__(self, inputs: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, padding=1, bias=False)
        self.bn1 = BatchNorm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = BatchNorm(channels)
        self.se = SqueezeExcitation2d(channels)
        self.downsample = nn.Identity()
        if stride != 1 or inputs != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, channels, 1, stride, bias=False), BatchNorm(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x).relu())
        y = self.se(self.bn2(self.conv2(y)))
        return (y + self.downsample(x)).relu()


class SqueezeExcitation2d(nn.Module):
    """Scales each channel by a gate in (0, 1) computed from the channels' means."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // reduction),
            nn.ReLU(),
            nn.Linear(channels // reduction, channels),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)  # (B, H * W, C), no copy in channels-last
        ones = pixels.new_ones(1, pixels.shape[1])
        means = (ones @ pixels).squeeze(1) / pixels.shape[1]  # faster backwards than x.mean((2, 3))
        return x * self.fc(means)[:, :, None, None]


class SelfAttentivePooling(nn.Module):
    """Mean over time weighted by attention: (B, C, T) -> (B, C), computed in float32."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.sap_linear = nn.Linear(channels, channels)
        self.attention = nn.Parameter(torch.empty(channels, 1))
        nn.init.xavier_normal_(self.attention)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2).float()  # (B, T, C)
        scores = self.sap_linear(x).tanh() @ self.attention  # (B, T, 1)
        return (scores.float().softmax(1) * x).sum(1)
