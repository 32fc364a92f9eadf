"""What a training run is made of: its settings, and all that it needs to go on."""

import copy
import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from ddpm_tutorial.algorithms.optimizers import MOMENTS, OPTIMIZERS
from ddpm_tutorial.errors import check_choice, check_seed, check_whole
from ddpm_tutorial.models.ddpm import DDPM
from ddpm_tutorial.models.network import hidden_weights_of

__all__ = [
    "TrainingConfig",
    "TrainingState",
    "with_prefix",
]


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Give either `steps` or `minutes`. The learning rate rises linearly for `warmup_steps`, then
    falls along a half cosine to 0 at the end. `batch_size` counts the images of all processes.
    `optimizer` is a word of `OPTIMIZERS`; `learning_rate` is that of AdamW, and Muon's is ten times
    as high. `stratified` spreads the steps t of a batch evenly over 1..T; each alone is uniform.
    `label_dropout`, in [0, 1], is how often a class-conditional model is told the null token for
    its label (Ho and Salimans, 2022, Algorithm 1), so that it can be guided later.
    Raises ValueError for values that cannot work.
    """

    steps: int | None = None
    minutes: float | None = None
    batch_size: int = 32
    optimizer: str = "muon"
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    ema_decay: float = 0.999
    max_gradient_norm: float = 1.0
    stratified: bool = True
    label_dropout: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "warmup_steps", "seed"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check_whole(name, getattr(self, name)))
        if (self.steps is None) == (self.minutes is None):
            raise ValueError(f"steps = {self.steps}, minutes = {self.minutes}: give one of the two")
        positive = "steps minutes batch_size learning_rate warmup_steps max_gradient_norm"
        for name in positive.split():
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} = {value}: it must be greater than 0, and finite")
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay = {self.ema_decay}: it must lie in [0, 1)")
        if not 0 <= self.label_dropout <= 1:
            raise ValueError(f"label_dropout = {self.label_dropout}: it must lie in [0, 1]")
        check_seed(self.seed)


class TrainingState:
    """All that a training run would need to go on as if it had never stopped.

    Dropout is the exception: it draws from torch's global generator, which is not held here.
    Raises ValueError for a model none of whose weights can be trained.
    """

    def __init__(self, model: DDPM, config: TrainingConfig, device: torch.device) -> None:
        self.model = model.to(device).train()
        self.ema = copy.deepcopy(model).eval().requires_grad_(False)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        if not self.parameters:
            raise ValueError(
                "none of the model's weights can be trained: a model that was loaded has them "
                "frozen, and model.requires_grad_(True) frees them"
            )
        inside = {id(p) for p in hidden_weights_of(model.network)}
        hidden = [p for p in self.parameters if id(p) in inside]
        others = [p for p in self.parameters if id(p) not in inside]
        self.optimizers = OPTIMIZERS[config.optimizer](hidden, others, config.learning_rate)
        self._optimizer_of = {
            parameter: optimizer
            for optimizer in self.optimizers
            for group in optimizer.param_groups
            for parameter in group["params"]
        }
        # Numbers are drawn where the model runs, if that place has a generator of its own.
        source = device if device.type in ("cuda", "mps") else "cpu"
        self.seed = config.seed
        self.generator = torch.Generator(source).manual_seed(config.seed)
        self.step = 0
        self.seconds = 0.0

    def tensors(self) -> dict[str, Tensor]:
        """The state as named CPU tensors, for a file that needs no code to be read."""
        named = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        named |= {f"ema.{name}": value for name, value in self.ema.state_dict().items()}
        for index, parameter in enumerate(self.parameters):
            for name, value in self._optimizer_of[parameter].state[parameter].items():
                named[f"optimizer.{index}.{name}"] = value
        named["generator"] = self.generator.get_state()
        named["step"] = torch.tensor(self.step)
        named["seconds"] = torch.tensor(self.seconds, dtype=torch.float64)
        return {  # copies, which the next step will not change
            name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, value in named.items()
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `tensors()` of an earlier run of the same configuration gave.

        On another kind of device than that run's, whose random numbers cannot be drawn here, it
        warns, and others are drawn. Raises ValueError for a state that is not of such a run, before
        anything is taken over.
        """
        wanted = _shapes(self.tensors() | self._moments())
        if wanted != _shapes(tensors):
            raise ValueError(
                "resume: this is not the state of a run of such a model: give "
                "record.state.tensors() of one with the same configuration, and as many weights "
                "frozen"
            )
        self.model.load_state_dict(with_prefix(tensors, "model."))
        self.ema.load_state_dict(with_prefix(tensors, "ema."))
        for index, parameter in enumerate(self.parameters):
            optimizer = self._optimizer_of[parameter]
            fused = optimizer.param_groups[0].get("fused", False)
            optimizer.state[parameter] = {
                # Moments keep the memory layout of their parameter: the fused optimiser walks
                # both by address, so channels_last beside contiguous would mix up the entries.
                # It counts its steps where the parameter is, the other one on the CPU.
                name: torch.empty_like(parameter).copy_(value)
                if value.ndim
                else value.to(parameter.device if fused else "cpu", copy=True)
                for name, value in with_prefix(tensors, f"optimizer.{index}.").items()
            }
        self.step = int(tensors["step"])
        self.seconds = float(tensors["seconds"])
        if tensors["generator"].shape == self.generator.get_state().shape:
            self.generator.set_state(tensors["generator"])
        else:
            warnings.warn(
                f"this run was saved on another kind of device than {self.generator.device.type}: "
                f"it goes on from step {self.step} with other random numbers than it would have "
                f"drawn there",
                stacklevel=2,
            )
            self.generator.manual_seed((self.seed + self.step) % 2**64)

    def _moments(self) -> dict[str, Tensor]:
        """A tensor of the shape of each moment that a run has after its first step."""
        return {
            f"optimizer.{index}.{name}": parameter
            for index, parameter in enumerate(self.parameters)
            for name in MOMENTS[type(self._optimizer_of[parameter])]
        }


def with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries whose name starts with `prefix`, named without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _shapes(tensors: dict[str, Tensor]) -> dict[str, torch.Size]:
    """Those of a training state, but for what differs between devices."""
    return {
        name: value.shape
        for name, value in tensors.items()
        if name != "generator" and not (name.startswith("optimizer.") and not value.ndim)
    }
