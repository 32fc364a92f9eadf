"""Stand-ins for a GPU: code that passes here keeps everything on one device and never waits for it.

On the meta device there are no values: a tensor left on the CPU, or a hidden `.item()`, fails.
A fake tensor only claims to be on cuda:0, and meets the checks of devices and types there.
"""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from accelerate import Accelerator
from chains import CHAINS
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ddpm_tutorial import (
    DDIM,
    DDPM,
    Ancestral,
    AveragePooling,
    Blur,
    Clipped,
    DDPMConfig,
    Denoiser,
    Distance,
    Distillation,
    GaussianMixture,
    Mask,
    MatchedGuidance,
    Measurement,
    NoiseSchedule,
    PosteriorGuidance,
    Replacement,
    Resampled,
    Sampler,
    TrainingConfig,
    TransformerConfig,
    UNetConfig,
    ddim_invert,
    filled_like,
    p_reverse,
    particle_filter,
    probability_flow_log_prob,
    sample,
    sample_path,
    score,
    timestep_pairs,
    train,
    tweedie,
)
from ddpm_tutorial.algorithms import sampling as sampling_module
from ddpm_tutorial.algorithms import training as training_module

CUDA = torch.device("cuda:0")
META = torch.device("meta")
# A sampler, its steps, and how the denoiser is asked for.
SAMPLERS = [
    ("ddpm", 3, {}),
    (Ancestral("large"), 3, {}),
    ("ddpm", timestep_pairs(12, 3, "quadratic"), {"clip": False}),
    ("ddim", 3, {}),
    (DDIM(0.5), 3, {}),
    ("dpm++", 3, {}),
    ("dpm++", 3, {"guidance": 2.0}),
    ("heun", 3, {}),
]
every_chain = pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
every_sampler = pytest.mark.parametrize(("sampler", "steps", "settings"), SAMPLERS, ids=str)
NETWORKS = {
    "unet": UNetConfig(channels=(8, 16), blocks=1),
    "transformer": TransformerConfig(width=32, blocks=1),
}
every_network = pytest.mark.parametrize("network", NETWORKS)
learned_or_not = pytest.mark.parametrize("learned", [False, True])
# A network that weighs levels needs no learned variance.
every_output = pytest.mark.parametrize(
    ("parameterisation", "learned"),
    [(view, learned) for view in ("eps", "x0", "v", "velocity") for learned in (False, True)]
    + [("levels", False)],
)


def tiny_model(
    parameterisation: str = "v",
    learned: bool = False,
    num_classes: int = 10,
    network: str = "unet",
) -> DDPM:
    config = dataclasses.replace(NETWORKS[network], num_classes=num_classes)
    variance = "learned" if learned else None
    return DDPMConfig("cosine", 12, parameterisation, variance, config).build()


def cpu_generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def meta_accelerator() -> Accelerator:
    accelerator = Accelerator(cpu=True, mixed_precision="no")
    accelerator.state.device = META
    return accelerator


class OneDevice(TorchDispatchMode):
    """Refuses an operation that mixes devices, but for copies and single numbers.

    Torch lets a meta tensor index a table on the CPU, and a generator on the CPU fill a meta
    tensor, which on a real GPU fail.
    """

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple = (),
        kwargs: dict | None = None,
    ) -> object:
        kwargs = kwargs or {}
        inputs = tree_leaves((args, kwargs))
        devices = {x.device for x in inputs if isinstance(x, Tensor) and x.ndim > 0}
        copies = func in (torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default)
        assert len(devices) < 2 or copies, f"{func} mixes {devices}"
        generator, device = kwargs.get("generator"), kwargs.get("device") or torch.device("cpu")
        assert generator is None or generator.device == device, f"{func} draws on {device}"
        return func(*args, **kwargs)


@contextmanager
def fake_gpu(model: DDPM) -> Iterator[None]:
    """Inside, weights and buffers claim to be on cuda:0; the tables of the schedule stay real.

    Samples are not looked at when they are done, which is where sampling waits for the device.
    Skips the test where PyTorch was built without CUDA: such a one cannot even pretend.
    """
    if torch.version.cuda is None:
        pytest.skip("needs a PyTorch that was built with CUDA, though no GPU")
    with pytest.MonkeyPatch.context() as patch, FakeTensorMode(allow_non_fake_inputs=True):
        patch.setattr(sampling_module, "check_finite", lambda *_: None)
        for module in model.modules():
            for name, weight in list(module.named_parameters(recurse=False)):
                on_gpu = torch.empty_strided(weight.shape, weight.stride(), device=CUDA)
                setattr(module, name, torch.nn.Parameter(on_gpu))
            for name, table in list(module.named_buffers(recurse=False)):
                setattr(module, name, torch.empty_like(table, device=CUDA))
        yield


@every_network
@every_output
def test_training_runs_on_the_meta_device(
    parameterisation: str,
    learned: bool,
    network: str,
    meta_accelerator: Accelerator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trains_on_meta(
        tiny_model(parameterisation, learned, network=network), meta_accelerator, monkeypatch
    )


def test_distillation_runs_on_the_meta_device(
    meta_accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    trains_on_meta(Distillation(tiny_model("v"), 3), meta_accelerator, monkeypatch)


def trains_on_meta(
    model: DDPM | Distillation, meta_accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the real loop but `_finite`, the one place in a step that waits for the device."""
    norms = []

    def without_waiting(step: int, loss: Tensor, norm: Tensor, _: object) -> tuple[float, float]:
        assert loss.device == norm.device == META
        norms.append(norm)
        return 0.0, 0.0

    monkeypatch.setattr(training_module, "_finite", without_waiting)
    assert meta_accelerator.device == META
    data, labels = torch.linspace(-1, 1, 4 * 784).view(4, 1, 28, 28), torch.arange(4)
    records = train(
        model,
        data,
        TrainingConfig(steps=2, batch_size=4),
        labels=labels,
        accelerator=meta_accelerator,
    )
    with OneDevice():
        collected = list(records)
    for record in collected:
        state = record.state
        tensors = [*state.model.state_dict().values(), *record.ema.state_dict().values()]
        kept = [value for each in state.optimizers for value in each.state.values()]
        moments = [value for state in kept for value in state.values() if value.ndim]
        assert len(moments) > len(state.parameters)
        assert all(tensor.device == META for tensor in (*tensors, *moments))
    assert len(norms) == 2


@every_network
@every_sampler
@learned_or_not
@pytest.mark.parametrize("seeded", [False, True])
def test_every_sampler_runs_on_the_meta_device(
    sampler: str | Sampler, steps: object, settings: dict, learned: bool, seeded: bool, network: str
) -> None:
    model = tiny_model(learned=learned, network=network).to(META)
    generator = cpu_generator() if seeded else None
    denoiser = model.denoiser(torch.zeros(2, dtype=torch.int64, device=META), **settings)
    with OneDevice():
        path = list(sample_path(denoiser, 2, sampler, steps, generator))
    assert len(path) == 4
    for _, x_t, x0_hat in path:
        assert x_t.device == x0_hat.device == META
        assert x_t.shape == x0_hat.shape == (2, 1, 28, 28)
    images = sample(denoiser, 2, sampler, steps, batch_size=1)
    assert (images.device, images.shape) == (META, (2, 1, 28, 28))


def wrapper_of(likelihood: str, wrapper: str) -> Callable[[DDPM], Denoiser]:
    """What wraps the denoiser of a model, with what was measured on the CPU."""
    known = torch.zeros(1, 28, 28, dtype=torch.bool)
    known[:, :14] = True
    A = {"mask": Mask(known), "averages": AveragePooling(4), "blur": Blur(1.0)}[likelihood]
    measured = Measurement(A(torch.zeros(2, 1, 28, 28)), A, 0.1)
    wrap = {
        "replacement": lambda inside: Replacement(inside, measured),
        "posterior": lambda inside: Clipped(PosteriorGuidance(inside, measured)),
        "distance": lambda inside: PosteriorGuidance(inside, Distance(measured.y, A, 1.0)),
        "matched": lambda inside: Clipped(MatchedGuidance(inside, measured, 2)),
    }[wrapper]
    return lambda model: wrap(model.denoiser(clip=False))


WRAPPED = [
    (likelihood, wrapper)
    for wrapper in ("replacement", "posterior", "distance", "matched")
    for likelihood in ("mask", "averages", "blur")
    if (likelihood, wrapper) != ("blur", "replacement")
]
every_wrapper = pytest.mark.parametrize(("likelihood", "wrapper"), WRAPPED, ids=str)
samplers_around = pytest.mark.parametrize("sampler", ["ddpm", Resampled(DDIM(0.5), 2)], ids=str)


@every_wrapper
@samplers_around
def test_every_wrapper_runs_on_the_meta_device(
    likelihood: str, wrapper: str, sampler: str | Sampler
) -> None:
    model = tiny_model(num_classes=0).to(META)
    denoiser = wrapper_of(likelihood, wrapper)(model)
    with OneDevice():
        path = list(sample_path(denoiser, 2, sampler, 3, cpu_generator()))
    for _, x_t, x0_hat in path:
        assert (x_t.device, x_t.shape) == (META, (2, 1, 28, 28))
        assert (x0_hat.device, x0_hat.shape) == (META, (2, 1, 28, 28))
    assert sample(denoiser, 2, sampler, 3, batch_size=1).device == META


def test_particles_run_on_the_meta_device() -> None:
    measured = Measurement(torch.zeros(1, 1, 7, 7), AveragePooling(4), 0.1)
    model = tiny_model(num_classes=0).to(META)
    guidance = PosteriorGuidance(model.denoiser(clip=False), measured)
    with OneDevice():
        *_, particles = particle_filter(guidance, 2, 3, cpu_generator())
    tensors = [part for part in particles if isinstance(part, Tensor)]
    assert all(tensor.device == META for tensor in tensors)
    assert particles.x.shape == (2, 1, 28, 28)


def test_inversion_runs_on_the_meta_device() -> None:
    model = tiny_model().to(META)
    images = torch.zeros(2, 1, 28, 28, device=META)
    with OneDevice():
        denoiser = model.denoiser(torch.zeros(2, dtype=torch.int64, device=META))
        x_T = ddim_invert(denoiser, images, 3)
    assert (x_T.device, x_T.shape) == (META, (2, 1, 28, 28))


@every_chain
@learned_or_not
@pytest.mark.parametrize("seeded", [False, True])
def test_every_chain_runs_on_the_meta_device(chain: Callable, learned: bool, seeded: bool) -> None:
    model = tiny_model(learned=learned, num_classes=0).to(META)
    x = torch.zeros(2, 1, 28, 28, device=META)
    with OneDevice():
        *_, state = chain(model, x, cpu_generator() if seeded else None)
    tensors = [part for part in tree_leaves(state) if isinstance(part, Tensor)]
    assert all(tensor.device == META for tensor in tensors)
    assert tensors[0].shape == (2, 1, 28, 28)


@every_output
def test_score_and_tweedie_run_on_the_meta_device(parameterisation: str, learned: bool) -> None:
    model = tiny_model(parameterisation, learned, num_classes=0).to(META)
    x_t = torch.zeros(2, 1, 28, 28, device=META)
    with OneDevice():
        t = filled_like(x_t, 5)
        slope = score(model.denoiser(), x_t, t)
        x0_hat = tweedie(model.schedule, x_t, t, slope)
    assert slope.device == x0_hat.device == META
    assert slope.shape == x0_hat.shape == x_t.shape


def exact_model() -> GaussianMixture:
    return GaussianMixture(NoiseSchedule.cosine(12), [0.3, 0.7], [-0.6, 0.5], [0.01, 0.02])


def move(mixture: GaussianMixture, device: torch.device) -> None:
    """By hand: a `GaussianMixture` keeps its three small tables on the CPU."""
    for name in ("weights", "means", "variances"):
        setattr(mixture, name, getattr(mixture, name).to(device))


def test_likelihood_of_the_flow_runs_on_the_meta_device() -> None:
    mixture, x0 = exact_model(), torch.zeros(3, 2, device=META)
    move(mixture, META)
    with OneDevice():
        log_prob = probability_flow_log_prob(mixture, x0, 4)
    assert (log_prob.device, log_prob.shape) == (META, (3,))


def on_cuda(tensor: Tensor) -> bool:
    return isinstance(tensor, FakeTensor) and tensor.device == CUDA


def cuda_batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x0, t, eps and label, claimed to be on the GPU."""
    images = torch.zeros(2, 1, 28, 28, device=CUDA)
    steps = torch.ones(2, dtype=torch.int64, device=CUDA)
    return images, steps, images + 1, steps


@every_network
@every_output
def test_forward_pass_and_loss_run_on_a_fake_gpu(
    parameterisation: str, learned: bool, network: str
) -> None:
    model = tiny_model(parameterisation, learned, network=network)
    with fake_gpu(model):
        x0, t, eps, label = cuda_batch()
        output = model.network(x0, t, label)
        assert on_cuda(output)
        channels = 256 if parameterisation == "levels" else 2 if learned else 1
        assert output.shape == (2, channels, 28, 28)
        terms = model(x0, t, eps, label)
        assert all(on_cuda(term) and term.shape == (2,) for term in terms if term is not None)
        assert (terms.variational is not None) == (learned or parameterisation == "levels")


@every_output
def test_the_reverse_step_runs_on_a_fake_gpu(parameterisation: str, learned: bool) -> None:
    model = tiny_model(parameterisation, learned)
    with fake_gpu(model):
        x_t, t, _, label = cuda_batch()
        for clip in (False, True):
            denoiser = model.denoiser(label, clip=clip)
            x0_hat, eps_hat = denoiser(x_t, t)[:2]
            mean, log_variance = p_reverse(denoiser, x_t, t)
            assert all(on_cuda(value) for value in (x0_hat, eps_hat, mean, log_variance))


@every_network
@every_sampler
@learned_or_not
@pytest.mark.parametrize("seeded", [False, True])
def test_every_sampler_runs_on_a_fake_gpu(
    sampler: str | Sampler, steps: object, settings: dict, learned: bool, seeded: bool, network: str
) -> None:
    model = tiny_model(learned=learned, network=network)
    generator = cpu_generator() if seeded else None
    with fake_gpu(model):
        _, _, _, label = cuda_batch()
        denoiser = model.denoiser(label, **settings)
        path = list(sample_path(denoiser, 2, sampler, steps, generator))
        assert len(path) == 4
        for _, x_t, x0_hat in path:
            assert on_cuda(x_t)
            assert on_cuda(x0_hat)
            assert x_t.dtype == torch.float32
        assert on_cuda(sample(denoiser, 2, sampler, steps, batch_size=1))


@pytest.fixture
def no_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backward pass on cuda:0 asks for a driver, even of fake tensors; its answer is invented."""

    def grad(_: Tensor, x: Tensor, **__: object) -> tuple[Tensor]:
        return (torch.ones_like(x),)

    monkeypatch.setattr(torch.autograd, "grad", grad)


@every_chain
@learned_or_not
@pytest.mark.parametrize("seeded", [False, True])
@pytest.mark.usefixtures("no_backward_pass")
def test_every_chain_runs_on_a_fake_gpu(chain: Callable, learned: bool, seeded: bool) -> None:
    model = tiny_model(learned=learned, num_classes=0)
    with fake_gpu(model):
        x, *_ = cuda_batch()
        *_, state = chain(model, x, cpu_generator() if seeded else None)
        tensors = [part for part in tree_leaves(state) if isinstance(part, Tensor)]
        assert all(on_cuda(tensor) for tensor in tensors)
        assert tensors[0].dtype == torch.float32


@every_output
def test_score_and_tweedie_run_on_a_fake_gpu(parameterisation: str, learned: bool) -> None:
    model = tiny_model(parameterisation, learned, num_classes=0)
    with fake_gpu(model):
        x_t, t, _, _ = cuda_batch()
        slope = score(model.denoiser(), x_t, t)
        assert on_cuda(slope)
        assert on_cuda(tweedie(model.schedule, x_t, t, slope))


@pytest.mark.usefixtures("no_backward_pass")
def test_likelihood_of_the_flow_runs_on_a_fake_gpu() -> None:
    mixture = exact_model()
    with FakeTensorMode(allow_non_fake_inputs=True):
        move(mixture, CUDA)
        log_prob = probability_flow_log_prob(mixture, torch.zeros(3, 2, device=CUDA), 4)
        assert on_cuda(log_prob)
        assert log_prob.shape == (3,)


@every_wrapper
@samplers_around
@pytest.mark.usefixtures("no_backward_pass")
def test_every_wrapper_runs_on_a_fake_gpu(
    likelihood: str, wrapper: str, sampler: str | Sampler
) -> None:
    model, wrap = tiny_model(num_classes=0), wrapper_of(likelihood, wrapper)
    with fake_gpu(model):
        path = list(sample_path(wrap(model), 2, sampler, 3))
        assert all(on_cuda(x_t) and on_cuda(x0_hat) for _, x_t, x0_hat in path)


@pytest.mark.usefixtures("no_backward_pass")
def test_particles_run_on_a_fake_gpu() -> None:
    measured = Measurement(torch.zeros(1, 1, 7, 7), AveragePooling(4), 0.1)
    model = tiny_model(num_classes=0)
    with fake_gpu(model):
        guidance = PosteriorGuidance(model.denoiser(clip=False), measured)
        *_, particles = particle_filter(guidance, 2, 3, cpu_generator())
        assert all(on_cuda(part) for part in particles if isinstance(part, Tensor))
