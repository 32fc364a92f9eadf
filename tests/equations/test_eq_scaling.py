"""Chapter 20: arithmetic and memory by hand, shared batches, and noise at another resolution."""

import pytest
import torch
from torch.nn import Conv2d
from torch.nn.functional import avg_pool2d
from torch.utils.flop_counter import FlopCounterMode
from toys import number

from ddpm_tutorial import (
    DDPMConfig,
    NoiseSchedule,
    ResidualBlock,
    SelfAttention,
    UNet,
    UNetConfig,
    attention_activations,
    attention_flops,
    block_activations,
    conv_flops,
    sample,
    unet_cost,
)

# Distinct sizes, so that no two can be taken for one another.
n, k, inputs, outputs, C, heads = (number(value) for value in (35, 3, 4, 6, 48, 2))


def counted(run):
    """FLOP of `run()`, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        run()
    return number(counter.get_total_flops())


def kept(layer, *arguments):
    """How many numbers autograd keeps of one image's maps; layer statistics are smaller."""
    weights = {p.untyped_storage().data_ptr() for p in layer.parameters()}
    found = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and storage.nbytes() > 4 * 200:
            found[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(*arguments)
    return number(sum(storage.nbytes() for storage in found.values()) / 4)


@pytest.mark.equation("eq-flop-convolution", latex="1cbc6fe8", code=[conv_flops])
def test_arithmetic_of_a_convolution(claim):
    layer = Conv2d(4, 6, 3, padding=1)
    printed = claim.printed(n=n, k=k, C_in=inputs, C_out=outputs)
    claim.equal(counted(lambda: layer(torch.zeros(1, 4, 5, 7))), printed)
    claim.equal(number(conv_flops(4, 6, 3, 35)), printed)


@pytest.mark.equation("eq-flop-attention", latex="be0d6980", code=[attention_flops])
def test_arithmetic_of_attention(claim):
    printed = claim.printed(n=n, C=C)
    claim.equal(counted(lambda: SelfAttention(48)(torch.zeros(1, 48, 5, 7))), printed)
    claim.equal(number(attention_flops(48, 35)), printed)


@pytest.mark.equation("eq-flop-training", latex="e83118f1")
def test_arithmetic_of_a_backward_pass(claim):
    """The layers that see the data are the first convolution and the first map of t."""
    config = UNetConfig(channels=(16, 24))
    network, x_t, t = UNet(config), torch.zeros(1, 1, 28, 28), torch.tensor([1])
    forward = counted(lambda: network(x_t, t))
    first = number(conv_flops(4, 16, 3, 14**2) + conv_flops(16, 64, 1, 1))
    printed = claim.printed(F=forward, F_data=first)
    claim.equal(counted(lambda: network(x_t, t).sum().backward()), printed)
    claim.equal(number(unet_cost(config).training), printed)


@pytest.mark.equation("eq-flop-sampling", latex="f1c1f8d1")
def test_arithmetic_of_sampling(claim):
    config = DDPMConfig(T=20, network=UNetConfig(channels=(8, 16), blocks=1))
    model, S, N = config.build().eval(), number(4), number(3)
    F = number(unet_cost(config.network).forward)
    printed = claim.printed(S=S, N=N, F=F)
    generator = torch.Generator().manual_seed(0)
    claim.equal(counted(lambda: sample(model, 3, "ddim", 4, generator=generator)), printed)


@pytest.mark.equation("eq-memory-block", latex="31cae548", code=[block_activations])
def test_memory_of_a_block(claim):
    block = ResidualBlock(16, 48, 8, 0.0).to(memory_format=torch.channels_last)
    x = torch.randn(1, 16, 5, 7).contiguous(memory_format=torch.channels_last)
    C_in = number(16)
    printed = claim.printed(n=n, C_in=C_in, C=C)
    claim.equal(kept(block, x.requires_grad_(), torch.randn(1, 8)), printed)
    claim.equal(number(block_activations(16, 48, 35)), printed)


@pytest.mark.equation("eq-memory-attention", latex="134fe89e", code=[attention_activations])
def test_memory_of_attention(claim):
    layer = SelfAttention(48)
    x = torch.randn(1, 48, 5, 7).contiguous(memory_format=torch.channels_last)
    printed = claim.printed(n=n, C=C, h=heads)
    claim.equal(kept(layer, x.requires_grad_()), printed)
    claim.equal(number(attention_activations(48, 35, layer.heads)), printed)


@pytest.mark.equation("eq-shared-gradient", latex="6de78a10")
def test_the_average_of_the_shares_is_the_gradient_of_the_batch(claim):
    weights = torch.linspace(-1, 1, 5).double().requires_grad_()
    x = torch.randn(12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def gradient(rows):
        return torch.autograd.grad(torch.tanh(rows @ weights).square().mean(), weights)[0]

    B, P = 12, 3
    share = B // P

    def sum_of_share(p):
        """What a processor can say of its share: it knows the average."""
        return share * gradient(x[(p - 1) * share : p * share])

    printed = claim.printed({r"\sum_{i \in \mathcal{B}_p} \mathbf{g}_i": sum_of_share}, B=B, P=P)
    claim.equal(gradient(x), printed)
    one_by_one = {i: gradient(x[i - 1 : i]) for i in range(1, B + 1)}
    claim.equal(claim.printed(side=0, g=one_by_one, B=B), printed)


@pytest.mark.equation("eq-same-noise", latex="ac410e89")
def test_the_variance_of_a_gradient_whose_shares_are_copies(claim):
    """The mean is a fixed map of the B / P draws that differ: its variance by that map."""
    B, P, variance = number(12), number(3), number(0.7)
    copies = torch.eye(4, dtype=torch.float64).repeat(3, 1)  # 12 gradients, 4 of them different
    weights = copies.mean(0)
    values = {"sigma": variance.sqrt(), "B": B, "P": P}
    printed = torch.stack([claim.printed(clause=c, **values) for c in (0, 1)])
    apart = torch.full((12,), 1 / 12, dtype=torch.float64)
    both = torch.stack([variance * (apart @ apart), variance * (weights @ weights)])
    claim.equal(both, printed)


@pytest.mark.equation("eq-pooled-noise", latex="ed6f1b5a")
def test_averaging_divides_the_variance_of_noise(claim):
    """The averaging is a matrix A, so the covariance of A times noise is A A^T."""
    factor = number(3)
    pictures = torch.eye(36, dtype=torch.float64).view(36, 1, 6, 6)
    A = avg_pool2d(pictures, 3).flatten(1).T
    sigma_squared = number(0.8)
    printed = claim.printed(sigma=sigma_squared.sqrt(), k=factor)
    covariance = sigma_squared * A @ A.T
    claim.equal(covariance.diagonal(), printed)
    claim.equal(1 + covariance - covariance.diagonal().diag(), torch.ones(4, 4).double())


@pytest.mark.equation("eq-shifted-schedule", latex="f164cfe0", code=[NoiseSchedule.shifted])
def test_a_schedule_for_larger_images(claim):
    """Signal and noise of the averaged picture, scaled to unit variance, are the old ones."""
    schedule, factor = NoiseSchedule.cosine(30), number(4)
    alpha_bar = schedule.alpha_bar[1:]
    printed = claim.printed(alpha_bar=schedule.alpha_bar, t=torch.arange(1, 31), k=factor)
    signal, noise = printed, (1 - printed) / factor**2  # after averaging 4 x 4
    claim.equal(signal / (signal + noise), alpha_bar)
    claim.equal(schedule.shifted(4).alpha_bar[1:], printed)
