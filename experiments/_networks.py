"""The U-Net with one part left out at a time, and transformers that cost as much."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ddpm_tutorial import (
    GroupNorm,
    ResidualBlock,
    SelfAttention,
    Transformer,
    TransformerConfig,
    UNet,
    UNetConfig,
    zero_init,
)

WHOLE = "the whole U-Net"


def unet() -> UNet:
    """The default."""
    return UNetConfig().build()


def without_skips(first: int, last: int) -> UNet:
    """The blocks from `first` to `last` on the way up get zeros for what comes across."""
    network = unet()
    on_the_way_up = [layer for layer in network.up if isinstance(layer, ResidualBlock)]
    for block in on_the_way_up[first:last]:
        block.register_forward_pre_hook(cut)
    return network


def cut(_: nn.Module, inputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The input of a block on the way up, its second half (the skip connection) set to zero."""
    from_below, across = inputs[0].chunk(2, dim=1)
    return torch.cat([from_below, torch.zeros_like(across)], dim=1), inputs[1]


def without_attention() -> UNet:
    """Then a position hears of others through convolutions only."""
    network = unet()
    network.attention = nn.Identity()
    return network


def with_attention_at_14() -> UNet:
    """One layer more: attention on the way down between the 14 x 14 positions too."""
    network = unet()
    network.down.insert(UNetConfig().blocks, SelfAttention(UNetConfig().channels[0]))
    return network


class NotToldT(UNet):
    """Told the same step, whatever t is."""

    def embed(self, t: Tensor, label: Tensor | None, dtype: torch.dtype) -> Tensor:
        """That of step 0."""
        return super().embed(torch.zeros_like(t), label, dtype)


def without_normalisation() -> UNet:
    """Each layer takes what it gets."""
    network = unet()
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, GroupNorm):
                setattr(module, name, nn.Identity())
    return network


def without_zero_start() -> UNet:
    """The layers that start at 0 start at random, as all others do."""
    network = unet()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and not layer.weight.any():
            layer.reset_parameters()
    return network


def without_fold(channels: tuple[int, ...]) -> UNet:
    """Resolutions of 28 x 28 and 14 x 14 instead of 14 x 14 and 7 x 7."""
    network, width = UNetConfig(channels=channels).build(), channels[0]
    network.fold, network.unfold = nn.Identity(), nn.Identity()
    network.first = nn.Conv2d(1, width, 3, padding=1)
    network.last[-1] = zero_init(nn.Conv2d(width, 1, 3, padding=1))
    return network.to(memory_format=torch.channels_last)


def transformer(patch: int, width: int, blocks: int) -> Transformer:
    """The sizes below cost as much as the default U-Net, to 2 %."""
    return TransformerConfig(patch=patch, width=width, blocks=blocks).build()


@dataclass(frozen=True)
class Variant:
    """How to build a network, and its learning rate as a multiple of the usual one."""

    build: Callable[[], UNet | Transformer]
    rate: float = 1.0


TRANSFORMER = functools.partial(transformer, 4, 192, 5)
VARIANTS = {
    WHOLE: Variant(unet),
    "transformer, patches of 4": Variant(TRANSFORMER),
    "no skip connections": Variant(functools.partial(without_skips, 0, 4)),
    "no attention": Variant(without_attention),
    "not told t": Variant(functools.partial(NotToldT, UNetConfig())),
    "no normalisation": Variant(without_normalisation),
    "no zero start": Variant(without_zero_start),
    "no fold, half as wide": Variant(functools.partial(without_fold, (24, 48))),
    "no skips at 14 x 14": Variant(functools.partial(without_skips, 2, 4)),
    "no skips at 7 x 7": Variant(functools.partial(without_skips, 0, 2)),
    "transformer, patches of 2": Variant(functools.partial(transformer, 2, 96, 4)),
    "attention at 14 x 14 too": Variant(with_attention_at_14),
    "transformer, half the rate": Variant(TRANSFORMER, 0.5),
    "transformer, patches of 7": Variant(functools.partial(transformer, 7, 288, 7)),
    "transformer, twice the rate": Variant(TRANSFORMER, 2.0),
}
# Not trained, only counted.
COUNTED = {"no fold, as wide": functools.partial(without_fold, UNetConfig().channels)}
