"""What is needed to build a `DDPM` again, in words and numbers: a checkpoint carries it."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ddpm_tutorial.errors import check_choice
from ddpm_tutorial.mathematics.schedule import SCHEDULES
from ddpm_tutorial.models.ddpm import DDPM, meaning_of
from ddpm_tutorial.models.network import NetworkConfig
from ddpm_tutorial.models.transformer import TransformerConfig
from ddpm_tutorial.models.unet import UNetConfig

__all__ = [
    "NETWORKS",
    "DDPMConfig",
]

#: The configurations of networks by their words; each is called with its options.
NETWORKS: dict[str, Callable[..., NetworkConfig]] = {
    one.name: one for one in (UNetConfig, TransformerConfig)
}


@dataclass(frozen=True)
class DDPMConfig:
    """The words for schedule, parameterisation and reverse variance, and the network's own plan.

    `reverse_variance` = None takes the one that usually goes with the parameterisation. The rest is
    as in `DDPM`, and so are the errors.
    """

    schedule: str = "cosine"
    T: int = 1000
    parameterisation: str = "v"
    reverse_variance: str | None = None
    network: NetworkConfig = field(default_factory=UNetConfig)
    min_snr: float | None = None

    def __post_init__(self) -> None:
        check_choice("schedule", self.schedule, SCHEDULES)
        meaning_of(self.parameterisation, self.reverse_variance, self.min_snr)

    def build(self) -> DDPM:
        """A freshly initialised model; the weights come from torch's global seed."""
        meaning, variance = meaning_of(self.parameterisation, self.reverse_variance, self.min_snr)
        return DDPM(
            self.network.build(meaning.outputs + variance.outputs),
            SCHEDULES[self.schedule](self.T),
            meaning,
            variance,
            self.network.shape,
            self.min_snr,
        )

    def as_plain_values(self) -> dict[str, Any]:
        """For JSON: `from_plain_values` makes the same configuration of it."""
        values = dataclasses.asdict(self)
        values["network"]["name"] = self.network.name
        return values

    @classmethod
    def from_plain_values(cls, values: dict[str, Any]) -> "DDPMConfig":
        """Raises ValueError, KeyError or TypeError for what `as_plain_values` did not make."""
        network = dict(values["network"])
        name = network.pop("name")
        check_choice("network", name, NETWORKS)
        return cls(**{**values, "network": NETWORKS[name](**network)})
