"""A training step of SimCLR, SSL and SSPS, with the paper's encoders and that of preset `mini`.

The obvious step encodes both views one after another with gradient, in float32 and PyTorch's
default layout, with torchaudio's features and means as one writes them first, and, for SSPS, a
reference frame. Ours leaves out what nobody needs and keeps the channels last in memory; it is then
asked for more: bfloat16 (`precision="bf16"`), and, where there is a C++ compiler, `torch.compile`
(`compiler="inductor"`), alone and both together. SSPS is measured twice: `served`, where the queue
gives all positives, so that the second view needs no gradient, and `partly`, where some anchors
keep their own. `gradients` compares the gradient with that of the obvious step by their cosine.
"""

import shutil
from collections.abc import Callable, Iterator

import measuring
import torch
import torch.nn.functional as F
import torchaudio
from measuring import compare, main, row
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ssps_lib import encoders, losses, recipes
from ssps_lib.features import WINDOWS
from ssps_lib.frameworks import SimCLR
from ssps_lib.training.build import compile_training

RATE = 16_000
ENCODERS = {"fast_resnet34": (32, 64, 16, 8), "ecapa_tdnn": (32, 16, 8)}  # mini-batches B
ON_GPU = (256, 64)  # the paper's first
WITHOUT_BF16 = {"fast_resnet34": (32,), "ecapa_tdnn": (8,)}  # a CPU that is asked for less
MINI = recipes.recipe("simclr", "ssps-clustering", preset="mini")
PHASES = ("SSL", "served", "partly")
NARROW = {"fast_resnet34": {"channels": 8}, "ecapa_tdnn": {"channels": 16}}


def obvious_encoder(encoder: torch.nn.Module) -> Callable[[Tensor], Tensor]:
    """The same encoder, with the same parameters, as one writes it first.

    Features are torchaudio's; tensors keep the default layout, means and deviations are plain.
    """
    features = encoder.features
    mel = torchaudio.transforms.MelSpectrogram(
        RATE, 512, 400, features.hop_length,
        n_mels=features.n_mels, window_fn=WINDOWS[features.window],
    ).to(measuring.device)  # fmt: skip
    norm = torch.nn.InstanceNorm1d(features.n_mels)
    represent = obvious_ecapa if encoder.name == "ecapa_tdnn" else obvious_resnet
    return lambda waveform: represent(encoder, norm(torch.log(mel(waveform) + 1e-6)))


def obvious_resnet(encoder: torch.nn.Module, x: Tensor) -> Tensor:
    """Features (B, n_mels, T) -> representations (B, D) of Fast ResNet-34."""
    x = encoder.bn(encoder.conv(x[:, None])).relu()
    for stage in (encoder.block1, encoder.block2, encoder.block3, encoder.block4):
        for block in stage:
            y = block.bn2(block.conv2(block.bn1(block.conv1(x).relu())))
            y = y * block.se.fc(y.mean((2, 3)))[:, :, None, None]
            x = (y + block.downsample(x)).relu()
    return encoder.fc(encoder.pooling(x.mean(2)))


def obvious_ecapa(encoder: torch.nn.Module, x: Tensor) -> Tensor:
    """Features (B, n_mels, T) -> representations (B, D) of ECAPA-TDNN."""

    def tdnn(block: torch.nn.Module, x: Tensor) -> Tensor:
        reach = block.conv.dilation[0] * (block.conv.kernel_size[0] // 2)
        padded = F.pad(x, (reach, reach), mode="reflect") if reach else x
        return block.norm(block.conv(padded).relu())

    def statistics(x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        mean = (weights * x).sum(2, keepdim=True)
        variance = (weights * (x - mean) ** 2).sum(2, keepdim=True)
        return mean, variance.clamp(min=1e-12).sqrt()

    x, outputs = tdnn(encoder.blocks[0], x), []
    for block in encoder.blocks[1:]:
        group, *groups = tdnn(block.tdnn1, x).chunk(8, dim=1)
        filtered, last = [group], 0
        for small, group in zip(block.res2net_block.blocks, groups, strict=True):
            last = tdnn(small, group + last)
            filtered.append(last)
        y = tdnn(block.tdnn2, torch.cat(filtered, 1))
        gate = block.se_block.conv1(y.mean(2, keepdim=True)).relu()
        x = x + y * block.se_block.conv2(gate).sigmoid()
        outputs.append(x)
    x = tdnn(encoder.mfa, torch.cat(outputs, 1))
    context = [part.expand_as(x) for part in statistics(x, torch.ones_like(x) / x.shape[2])]
    hidden = tdnn(encoder.asp.tdnn, torch.cat([x, *context], 1)).tanh()
    pooled = statistics(x, encoder.asp.conv(hidden).softmax(2))
    return encoder.fc(encoder.asp_bn(torch.cat(pooled, 1))).squeeze(2)


def tones(size: int, samples: int) -> Tensor:
    """Waveforms (B, T) that differ as utterances do: each has its own harmonics, and some noise."""
    generator = torch.Generator().manual_seed(1)
    pitch = 80 * 4 ** torch.rand(size, 1, 1, generator=generator)
    level = torch.randn(size, 24, 1, generator=generator).exp()
    wave = torch.arange(samples) * (2 * torch.pi / RATE)
    voiced = (level * (pitch * torch.arange(1, 25)[:, None] * wave).sin()).sum(1)
    frames = 0.1 * voiced / voiced.std(1, keepdim=True) + 0.01 * torch.randn(size, samples)
    return frames.to(measuring.device)


class Case:
    """One encoder, its optimiser, and the frames and queue rows of a mini-batch."""

    def __init__(self, name: str, size: int, options: dict, crop: float = 2.0) -> None:
        torch.manual_seed(0)
        self.encoder = encoders.build(name, **options).to(measuring.device)
        self.framework = SimCLR(self.encoder)
        self.plain = obvious_encoder(self.encoder)
        self.optimizer = torch.optim.Adam(self.encoder.parameters())
        self.fused = torch.optim.Adam(self.encoder.parameters(), fused=True)
        self.views = [tones(size, round(crop * RATE)) for _ in range(2)]
        self.long = tones(size, 4 * RATE)
        self.rows = F.normalize(torch.randn(size, self.encoder.dim), dim=1).to(measuring.device)
        everyone = torch.ones(size, dtype=torch.bool)
        some = torch.arange(size) % 8 < 5  # 62 % served, as published with |Q'| = K
        masks = {"SSL": None, "served": everyone, "partly": some}
        self.found = {k: None if m is None else m.to(measuring.device) for k, m in masks.items()}

    def update(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def reference(self, encode: Callable[[Tensor], Tensor]) -> None:
        self.encoder.eval()
        with torch.no_grad():
            encode(self.long)
        self.encoder.train()

    def obvious(self, phase: str) -> None:
        """Both views with gradient, default layout, float32."""
        found = self.found[phase]
        z, z_pos = (self.plain(view) for view in self.views)
        if found is not None:
            z_pos = torch.where(found[:, None], self.rows, z_pos)
        self.update(losses.nt_xent(z, z_pos, 0.03), self.optimizer)
        if found is not None:
            self.reference(self.plain)

    def ours(self, phase: str, bf16: bool = False) -> None:
        """A step as `ssps_lib.training` makes it."""
        found, half = self.found[phase], (measuring.device.type, torch.bfloat16, bf16)
        with torch.autocast(*half):
            z, z_pos = self.framework(self.views, positive_gradient=phase != "served")
            if found is not None:
                z_pos = self.framework.substitute(z_pos, self.rows, found)
            loss = self.framework.loss(z, z_pos)
        self.update(loss, self.fused)
        if found is not None:
            with torch.autocast(*half):
                self.reference(self.encoder)

    def gradient(self, step: Callable[[], None]) -> Tensor:
        """The gradient (P,) of one step from the present weights, which stay as they are."""
        before = {k: v.clone() for k, v in self.encoder.state_dict().items()}
        update, self.update = self.update, lambda loss, _: loss.backward()
        self.optimizer.zero_grad()
        step()
        self.update = update
        self.encoder.load_state_dict(before)
        return torch.cat([p.grad.flatten() for p in self.encoder.parameters()]).double()


def measure_step(case: Case, phase: str, repeats: int, compiled: Case | None = None) -> dict:
    """One phase (SSL, served or partly), in one number format and the other, and compiled."""
    with FlopCounterMode(display=False) as counted:
        case.ours(phase)
    formats = {"": False} if measuring.limited() else {"": False, ", bf16": True}
    works = {"obvious": lambda: case.obvious(phase)}
    for label, bf16 in formats.items():
        works[f"ours{label}"] = lambda bf16=bf16: case.ours(phase, bf16)
        if compiled:
            works[f"ours{label}, compiled"] = lambda bf16=bf16: compiled.ours(phase, bf16)
    size = len(case.long)
    taken = compare(works, repeats, items=size)
    best = f"ours{list(formats)[-1]}"
    more = {"encoder": case.encoder.name, "phase": phase, "operations": counted.get_total_flops()}
    return row({"B": size}, taken, best, **more)


def measure_gradient(name: str, size: int, options: dict) -> dict[str, float]:
    """Cosines of our gradients of an SSL step with that of the obvious one."""
    case = Case(name, size, options)
    target = case.gradient(lambda: case.obvious("SSL"))
    works = {"ours": lambda: case.ours("SSL")}
    if not measuring.limited():
        works["ours, bf16"] = lambda: case.ours("SSL", bf16=True)
    return {k: float(F.cosine_similarity(case.gradient(w), target, 0)) for k, w in works.items()}


def measure(quick: bool) -> Iterator[tuple[str, dict]]:
    """Every encoder; SSPS and the compiler at the first mini-batch only."""
    gradients = {k: measure_gradient(k, 8, NARROW[k] if quick else {}) for k in ENCODERS}
    yield "gradients", gradients
    settings = {name: (name, sizes, {}, 2.0) for name, sizes in ENCODERS.items()}
    settings["mini"] = (MINI.encoder, (MINI.batch_size,), MINI.encoder_options, MINI.crop)
    for part, (name, sizes, options, crop) in settings.items():
        repeats = {"fast_resnet34": 5, "ecapa_tdnn": 3, "mini": 15}[part]
        if quick:
            sizes, options, repeats = (4,), NARROW[name], 1
        elif measuring.device.type == "cuda":
            sizes = ON_GPU
        elif measuring.limited():
            sizes = WITHOUT_BF16.get(part, sizes)
        for size in sizes:
            case, compiled = Case(name, size, options, crop), None
            if size == sizes[0] and shutil.which("g++") and (part == "mini" or not quick):
                compiled = Case(name, size, options, crop)
                compile_training(compiled.encoder, "inductor")
            for phase in PHASES if size == sizes[0] else ("SSL",):
                yield part, measure_step(case, phase, repeats, compiled)


if __name__ == "__main__":
    main("step", measure, __doc__)
