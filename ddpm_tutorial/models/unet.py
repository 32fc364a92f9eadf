"""The noise predictor: a small U-Net that is told the step index t."""

import math
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "PIXEL_FEATURES",
    "GroupNorm",
    "ResidualBlock",
    "SelfAttention",
    "UNet",
    "UNetConfig",
    "step_features",
    "zero_init",
]

_Layer = TypeVar("_Layer", nn.Conv2d, nn.Linear)
# Where more output channels than these are asked for, so many features of each pixel are worked out
# in the folded picture, and one layer at full size makes the outputs of them.
PIXEL_FEATURES = 32


@dataclass(frozen=True)
class UNetConfig:
    """What is needed to build a `UNet` again.

    `channels` holds the width of each resolution, finest first; the resolution is halved
    between neighbours. `num_classes = 0` means that the network takes no label; otherwise the label
    `num_classes` is the null token, which says that no class is told.
    """

    name: ClassVar = "unet"

    image_channels: int = 1
    image_size: int = 28
    channels: tuple[int, ...] = (48, 96)
    blocks: int = 2
    dropout: float = 0.0
    num_classes: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))  # a file holds it as a list
        halvings = len(self.channels)  # one by the pixel unshuffle, one between neighbours
        if not self.channels or any(width < 8 or width % 8 for width in self.channels):
            raise ValueError(
                f"channels = {self.channels}: give positive multiples of 8, finest first"
            )
        if self.image_size % 2**halvings:
            raise ValueError(
                f"image_size = {self.image_size} cannot be halved {halvings} times: "
                f"use fewer entries in channels (now {self.channels})"
            )
        if self.blocks < 1:
            raise ValueError(f"blocks = {self.blocks}: use at least 1 block for each resolution")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout = {self.dropout}: use a probability in [0, 1)")
        if self.num_classes < 0:
            raise ValueError(
                f"num_classes = {self.num_classes}: use 0 for no labels, or their count"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return (self.image_channels, self.image_size, self.image_size)

    def build(self, outputs: int = 1) -> "UNet":
        """A freshly initialised `UNet`; the weights come from torch's global seed."""
        return UNet(self, outputs)


class UNet(nn.Module):
    """A U-Net (Ronneberger et al., 2015) conditioned on t, in the shape used by Ho et al. (2020).

    The image is first folded: each 2x2 square of pixels becomes four channels. All the
    convolutions then run on a quarter of the positions, which is most of the speed on a CPU,
    and 28x28 needs no padding. It gives `outputs` numbers for each entry of the image, and does not
    know what they mean.
    """

    def __init__(self, config: UNetConfig, outputs: int = 1) -> None:
        super().__init__()
        self.config = config
        self.num_classes: int = config.num_classes
        widths = config.channels
        embedding = 4 * widths[0]
        channels = outputs * config.image_channels
        features = min(channels, PIXEL_FEATURES)

        self.embed_step = nn.Sequential(
            nn.Linear(widths[0], embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        self.embed_class = (
            nn.Embedding(config.num_classes + 1, embedding) if config.num_classes else None
        )

        def block(inputs: int, width: int) -> ResidualBlock:
            return ResidualBlock(inputs, width, embedding, config.dropout)

        self.fold = nn.PixelUnshuffle(2)
        self.first = nn.Conv2d(4 * config.image_channels, widths[0], 3, padding=1)
        down: list[nn.Module] = []  # in the order of use
        for width, next_width in zip(widths, (*widths[1:], None), strict=True):
            down += [block(width, width) for _ in range(config.blocks)]
            if next_width is not None:
                down.append(nn.Conv2d(width, next_width, 3, stride=2, padding=1))
        self.down = nn.ModuleList(down)

        self.middle_in = block(widths[-1], widths[-1])
        self.attention = SelfAttention(widths[-1])
        self.middle_out = block(widths[-1], widths[-1])

        up: list[nn.Module] = []
        for width, next_width in zip(reversed(widths), (*reversed(widths[:-1]), None), strict=True):
            up += [block(2 * width, width) for _ in range(config.blocks)]
            if next_width is not None:
                up.append(nn.Conv2d(width, next_width, 3, padding=1))
        self.up = nn.ModuleList(up)

        # The last layer of all starts at 0.
        last = nn.Conv2d(widths[0], 4 * features, 3, padding=1)
        widen: nn.Module = nn.Identity()
        if channels > features:
            widen = nn.Sequential(nn.SiLU(), zero_init(nn.Conv2d(features, channels, 1)))
        else:
            zero_init(last)
        self.last = nn.Sequential(GroupNorm(8, widths[0]), nn.SiLU(), last)
        self.unfold = nn.PixelShuffle(2)
        self.widen = widen
        self.to(memory_format=torch.channels_last)

    def forward(self, x_t: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """Predict from the noisy image.

        Shapes: `x_t` (B, C, H, W); `t` int64 (B,) in 1..T; `label` int64 (B,) in
        0..num_classes, the last the null token, for a class-conditional network only. Returns
        (B, outputs * C, H, W). Raises ValueError where a label is missing or not wanted.
        """
        embedding = self.embed_step(step_features(t, self.config.channels[0]).to(x_t.dtype))
        if self.embed_class is not None:
            if label is None:
                raise ValueError(
                    f"this network was trained with labels: pass label, one of "
                    f"0..{self.config.num_classes - 1} for each image, or "
                    f"{self.config.num_classes} to tell it nothing; model.denoiser takes it too"
                )
            embedding = embedding + self.embed_class(label)
        elif label is not None:
            raise ValueError("this network takes no label: leave label out")
        embedding = F.silu(embedding)

        h = self.first(self.fold(x_t).contiguous(memory_format=torch.channels_last))
        skips = []
        for layer in self.down:
            if isinstance(layer, ResidualBlock):
                h = layer(h, embedding)
                skips.append(h)
            else:
                h = layer(h)

        h = self.middle_out(self.attention(self.middle_in(h, embedding)), embedding)

        for layer in self.up:
            if isinstance(layer, ResidualBlock):
                h = layer(torch.cat([h, skips.pop()], dim=1), embedding)
            else:
                h = layer(F.interpolate(h, scale_factor=2.0, mode="nearest"))
        output: Tensor = self.widen(self.unfold(self.last(h)))
        return output.to(x_t.dtype)

    def hidden_weights(self) -> list[nn.Parameter]:
        """The convolutions and linear maps between features; not those that see the embedding."""
        middle = [self.middle_in, self.attention, self.middle_out]
        inside = nn.ModuleList([*self.down, *middle, *self.up])
        return [
            weight
            for name, weight in inside.named_parameters()
            if weight.ndim > 1 and "modulate" not in name
        ]


class GroupNorm(nn.GroupNorm):
    """Normalisation over groups of channels, in the precision of its weights.

    Under mixed precision that is float32: more exact, and on a CPU a third faster.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Maps x (B, width, H, W) to the same shape and dtype."""
        return super().forward(x.to(self.weight.dtype)).to(x.dtype)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut; the embedding of t scales and shifts in between."""

    def __init__(self, inputs: int, width: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.norm_1 = GroupNorm(8, inputs)
        self.conv_1 = nn.Conv2d(inputs, width, 3, padding=1)
        self.modulate = nn.Linear(embedding, 2 * width)
        self.norm_2 = GroupNorm(8, width)
        self.dropout = nn.Dropout(dropout)
        # Zero: at the start every block is its own shortcut, which makes early steps tame.
        self.conv_2 = zero_init(nn.Conv2d(width, width, 3, padding=1))
        self.shortcut = nn.Identity() if inputs == width else nn.Conv2d(inputs, width, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Maps x (B, inputs, H, W) and embedding (B, E) to (B, width, H, W)."""
        h: Tensor = self.conv_1(F.silu(self.norm_1(x)))
        scale, shift = self.modulate(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.norm_2(h) * (1 + scale) + shift
        output: Tensor = self.shortcut(x) + self.conv_2(self.dropout(F.silu(h)))
        return output


class SelfAttention(nn.Module):
    """Multi-head self-attention between the positions of a feature map, with a shortcut."""

    head_width = 24

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = self.heads_of(width)
        self.norm = GroupNorm(8, width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = zero_init(nn.Linear(width, width))

    @classmethod
    def heads_of(cls, width: int) -> int:
        """How many heads share `width` channels: about 24 channels each, all the same."""
        heads = max(1, width // cls.head_width)
        while width % heads:
            heads -= 1
        return heads

    def forward(self, x: Tensor) -> Tensor:
        """Maps x (B, width, H, W) to the same shape."""
        batch, width, height, breadth = x.shape
        h = self.norm(x).flatten(2).transpose(1, 2)
        query, key, value = (
            self.query_key_value(h)
            .view(batch, height * breadth, 3, self.heads, width // self.heads)
            .permute(2, 0, 3, 1, 4)
            .unbind(0)
        )
        # Written out: for so few positions the fused kernel of torch is six times as slow on a CPU.
        scores = query @ key.transpose(-2, -1) * (width // self.heads) ** -0.5
        h = scores.softmax(-1) @ value
        h = self.output(h.transpose(1, 2).flatten(2)).transpose(1, 2)
        output: Tensor = x + h.reshape(batch, width, height, breadth)
        return output


def step_features(t: Tensor, width: int) -> Tensor:
    """Sines and cosines of t at `width / 2` frequencies (Vaswani et al., 2017, section 3.5).

    `t` (B,) -> float32 (B, width).
    """
    frequencies = torch.exp(
        -math.log(10_000.0) * torch.arange(width // 2, device=t.device) / (width // 2)
    )
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def zero_init(layer: _Layer) -> _Layer:
    """Set the weights and the bias of `layer` to 0, in place; return it."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
