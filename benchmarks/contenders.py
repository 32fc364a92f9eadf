"""This package and its peers, each as: how to train one step, and how to sample.

Every library brings its own network, noise process, loss and sampler, at the sizes below. What is
not its own is the same for all: the data, the batch, bfloat16 where the machine is fast at it, a
learning rate that warms up and then falls to 0 along a half cosine within the time given, no
dropout, and an average of the weights that starts warm. Ours is trained as `train` does by default,
the peers by AdamW at a rate up to 1e-3, the default of two of them.
"""

import contextlib
import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from ddpm_tutorial import DDPMConfig, needs_extra, sample, update_ema

BATCH, STEPS = 32, 50
LEARNING_RATE, WARMUP, EMA_DECAY = 1e-3, 100, 0.999


class Peer:
    """A library to compare with. `network` holds the weights; images are in [-1, 1]."""

    name: str
    settings: str
    network: nn.Module

    def loss(self, x0: Tensor) -> Tensor:
        """The library's training loss on a batch (B, 1, 28, 28)."""
        raise NotImplementedError

    def draw(self, network: nn.Module, n: int) -> Tensor:
        """Sample (n, 1, 28, 28) in 50 DDIM steps."""
        raise NotImplementedError

    def evaluate(self, x: Tensor) -> Any:
        """One evaluation of the network."""
        raise NotImplementedError


class Diffusers(Peer):
    name = "diffusers"
    settings = "UNet2DModel (32, 64, 64), attention at the two lower levels; v, cosine"

    def __init__(self) -> None:
        with needs_extra("bench"):
            from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel

        self.network = UNet2DModel(
            sample_size=28,
            in_channels=1,
            out_channels=1,
            block_out_channels=(32, 64, 64),
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
            norm_num_groups=8,
        )
        process = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}
        self.noising = DDPMScheduler(1000, **process)
        self.sampler = DDIMScheduler(1000, timestep_spacing="trailing", **process)

    def loss(self, x0: Tensor) -> Tensor:
        eps = torch.randn_like(x0)
        t = torch.randint(0, 1000, (len(x0),))
        output = self.network(self.noising.add_noise(x0, eps, t), t).sample
        return nn.functional.mse_loss(output, self.noising.get_velocity(x0, eps, t))

    def draw(self, network: nn.Module, n: int) -> Tensor:
        x = torch.randn(n, 1, 28, 28)
        self.sampler.set_timesteps(STEPS)
        for t in self.sampler.timesteps:
            output = network(x, t).sample.float()
            x = self.sampler.step(output, t, x, use_clipped_model_output=True).prev_sample
        return x

    def evaluate(self, x: Tensor) -> Any:
        return self.network(x, torch.full((len(x),), 500)).sample


class DenoisingDiffusionPytorch(Peer):
    name = "denoising-diffusion-pytorch"
    settings = "Unet(dim=32, dim_mults=(1, 2, 4)); v, cosine"

    def __init__(self) -> None:
        with needs_extra("bench"):
            from denoising_diffusion_pytorch import GaussianDiffusion, Unet

        self.network = GaussianDiffusion(
            Unet(dim=32, dim_mults=(1, 2, 4), channels=1),
            image_size=28,
            timesteps=1000,
            sampling_timesteps=STEPS,
            objective="pred_v",
            beta_schedule="cosine",
        )

    def loss(self, x0: Tensor) -> Tensor:
        return self.network((x0 + 1) / 2)

    def draw(self, network: nn.Module, n: int) -> Tensor:
        with _no_bars("denoising_diffusion_pytorch.denoising_diffusion_pytorch"):
            return network.sample(batch_size=n) * 2 - 1

    def evaluate(self, x: Tensor) -> Any:
        return self.network.model(x, torch.full((len(x),), 500))


class Smalldiffusion(Peer):
    name = "smalldiffusion"
    settings = "Scaled(PredV(Unet)) (ch=32, ch_mult=(1, 1, 2), attention at 14); v, log-linear"

    def __init__(self) -> None:
        with needs_extra("bench"):
            from smalldiffusion import PredV, Scaled, ScheduleLogLinear, Unet

        class Network(Scaled(PredV(Unet))):  # type: ignore[misc]
            def predict_eps(self, *arguments: Any, **options: Any) -> Tensor:
                # Else the sampler's own sums would be rounded to bfloat16.
                return super().predict_eps(*arguments, **options).float()

        self.network = Network(
            28, 1, 1, ch=32, ch_mult=(1, 1, 2), attn_resolutions=(14,), dropout=0.0
        )
        self.schedule = ScheduleLogLinear(N=800, sigma_min=0.01, sigma_max=20)  # as its example

    def loss(self, x0: Tensor) -> Tensor:
        from smalldiffusion.diffusion import generate_train_sample

        x0, sigma, eps, _ = generate_train_sample(x0, self.schedule)
        return self.network.get_loss(x0, sigma, eps)

    def draw(self, network: nn.Module, n: int) -> Tensor:
        from accelerate import Accelerator
        from smalldiffusion import samples

        sigmas = self.schedule.sample_sigmas(STEPS)
        *_, x0 = samples(network, sigmas, batchsize=n, accelerator=Accelerator())
        return x0.float()

    def evaluate(self, x: Tensor) -> Any:
        return self.network(x, torch.tensor(1.0))


class Ours(Peer):
    """The default model of this package."""

    name = "ddpm_tutorial"
    settings = "UNet (48, 96), image folded 2x2, attention at 7; v, cosine"

    def __init__(self) -> None:
        self.network = DDPMConfig().build()

    def draw(self, network: nn.Module, n: int) -> Tensor:
        return sample(network, n, "ddim", STEPS, batch_size=n)

    def evaluate(self, x: Tensor) -> Any:
        return self.network.network(x, torch.full((len(x),), 500))


CONTENDERS: list[type[Peer]] = [Ours, Diffusers, DenoisingDiffusionPytorch, Smalldiffusion]


class Trainer:
    """Plain training of a peer, one step at a time."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.parameters = [p for p in peer.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.0, fused=True
        )
        self.ema = copy.deepcopy(peer.network).eval().requires_grad_(False)
        self.step_number = 0
        peer.network.train()

    def step(
        self, x0: Tensor, autocast: contextlib.AbstractContextManager[Any], progress: float = 0.0
    ) -> None:
        """Forward, backward, clipped update, average; `progress` is how much of the run is done."""
        warmup = min(1.0, (self.step_number + 1) / WARMUP)
        for group in self.optimizer.param_groups:
            group["lr"] = LEARNING_RATE * warmup * 0.5 * (1 + math.cos(math.pi * progress))
        with autocast:
            loss = self.peer.loss(x0)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        update_ema(self.ema, self.peer.network, EMA_DECAY, self.step_number)
        self.step_number += 1


@contextlib.contextmanager
def _no_bars(module: str) -> Any:
    """Silence the progress bar that a library draws for every batch."""
    import functools
    import importlib

    library = importlib.import_module(module)
    bar = library.tqdm
    library.tqdm = functools.partial(bar, disable=True)
    try:
        yield
    finally:
        library.tqdm = bar
