"""The U-Net with one part left out at a time, and a transformer that costs as much."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ddpm_tutorial import (
    GroupNorm,
    ResidualBlock,
    Transformer,
    TransformerConfig,
    UNet,
    UNetConfig,
    zero_init,
)


def unet() -> UNet:
    """The default."""
    return UNetConfig().build()


def without_skips() -> UNet:
    """The blocks on the way up get zeros for what comes across."""
    network = unet()
    for block in network.up:
        if isinstance(block, ResidualBlock):
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


def transformer() -> Transformer:
    """Its training takes as many operations as that of the U-Net, to one in ten thousand."""
    return TransformerConfig(patch=4, width=192, blocks=5).build()


WHOLE = "whole"
VARIANTS: dict[str, Callable[[], UNet | Transformer]] = {
    WHOLE: unet,
    "transformer": transformer,
    "no_skips": without_skips,
    "no_attention": without_attention,
    "not_told_t": functools.partial(NotToldT, UNetConfig()),
    "no_normalisation": without_normalisation,
    "no_zero_start": without_zero_start,
}
ONE_RUN = "no_fold_half_as_wide"
# With as many operations as the whole U-Net, and with as many channels.
WITHOUT_FOLD: dict[str, Callable[[], UNet]] = {
    ONE_RUN: functools.partial(without_fold, (24, 48)),
    "no_fold_as_wide": functools.partial(without_fold, UNetConfig().channels),
}
