import copy
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from command_line import start_processes
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ddpm_tutorial import (
    DDPM,
    NoiseSchedule,
    TrainingConfig,
    TrainingDiverged,
    TrainingRecord,
    UNet,
    UNetConfig,
    load_bundled,
    make_accelerator,
    stratified_integers,
    train,
    uniform_integers,
    update_ema,
)
from ddpm_tutorial.algorithms import training as training_module

SCHEDULE = NoiseSchedule.cosine(T=10)
CLASSES = 5


def cpu(precision: str = "no") -> Accelerator:
    return Accelerator(cpu=True, mixed_precision=precision)


def labelled_data() -> tuple[Tensor, Tensor]:
    """40 flat images, 8 of each class, whose grey level tells the class and the image apart."""
    grey = torch.linspace(-1, 1, 40)[:, None, None, None].expand(-1, 1, 4, 4).clone()
    return grey, torch.arange(40) % CLASSES


DATA, LABELS = labelled_data()


def tiny_model(seed: int = 0, num_classes: int = 0, learned: bool = False) -> DDPM:
    torch.manual_seed(seed)
    config = UNetConfig(image_size=4, channels=(16,), blocks=1, num_classes=num_classes)
    network, variance = (UNet(config, 2), "learned") if learned else (UNet(config), "small")
    return DDPM(network, SCHEDULE, reverse_variance=variance, shape=(1, 4, 4))


class Watched(DDPM):
    """A model that keeps what it was trained with."""

    def forward(self, x0: Tensor, t: Tensor, eps: Tensor, label: Tensor | None = None) -> object:
        vars(self).setdefault("seen", []).append((x0, t, eps, label))
        return super().forward(x0, t, eps, label)


class Normed(nn.Module):
    """A network with parameters and buffers."""

    num_classes = 0

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 1, 3, padding=1)
        self.norm = nn.BatchNorm2d(1)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self.norm(self.conv(x_t))


def clone(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def last(records: Iterator[TrainingRecord]) -> TrainingRecord:
    *_, record = records
    return record


# The loop


def test_records_come_step_by_step_and_nothing_runs_before_it_is_asked_for() -> None:
    model = tiny_model()
    start = clone(model)
    records = train(model, DATA, TrainingConfig(steps=4, batch_size=8), accelerator=cpu())
    torch.testing.assert_close(model.state_dict(), start, rtol=0, atol=0)
    seconds = 0.0
    for step in range(1, 5):
        record = next(records)
        assert record.step == record.state.step == step
        assert record.progress == step / 4
        assert record.seconds == record.state.seconds > seconds
        assert record.state.model is model
        assert record.ema is record.state.ema is not model
        assert math.isfinite(record.loss)
        assert record.gradient_norm > 0
        assert any((value != start[name]).any() for name, value in model.state_dict().items())
        start, seconds = clone(model), record.seconds
    with pytest.raises(StopIteration):
        next(records)


def test_the_loss_falls_on_a_few_digits() -> None:
    torch.manual_seed(0)
    unet = UNet(UNetConfig(channels=(8,), blocks=1))
    model = DDPM(unet, NoiseSchedule.cosine(20), "x0")
    digits = load_bundled("train").images[:3]
    config = TrainingConfig(steps=40, batch_size=8, learning_rate=1e-2, warmup_steps=5)
    losses = [record.loss for record in train(model, digits, config, accelerator=cpu())]
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_training_is_algorithm_1_with_adam_clipping_and_averaging_written_out() -> None:
    config = TrainingConfig(
        steps=6,
        batch_size=8,
        optimizer="adamw",
        stratified=False,
        learning_rate=5e-3,
        warmup_steps=3,
        ema_decay=0.3,
        max_gradient_norm=1.0,
        seed=3,
    )
    torch.manual_seed(1)
    model = DDPM(tiny_model().network.double(), SCHEDULE, "eps", shape=(1, 4, 4))
    twin = copy.deepcopy(model)
    average = {name: value.detach().clone() for name, value in twin.named_parameters()}
    moments = dict.fromkeys(average, (0.0, 0.0))
    generator = torch.Generator().manual_seed(3)
    data, clipped = DATA.double(), 0
    for step, record in enumerate(train(model, data, config, accelerator=cpu())):
        index = torch.randint(0, 40, (8,), generator=generator)
        t = torch.randint(1, 11, (8,), generator=generator)
        eps = torch.randn(8, 1, 4, 4, generator=generator, dtype=torch.float64)
        bar = SCHEDULE.alpha_bar[t][:, None, None, None]
        x_t = bar.sqrt() * data[index] + (1 - bar).sqrt() * eps
        loss = (twin.network(x_t, t) - eps).square().mean()
        gradients = torch.autograd.grad(loss, list(twin.parameters()))
        norm = float(sum(gradient.square().sum() for gradient in gradients)) ** 0.5
        clipped += norm > 1
        rate = 5e-3 * min(1, (step + 1) / 3) * (1 + math.cos(math.pi * step / 6)) / 2
        decay = min(0.3, (1 + step) / (10 + step))
        for (name, weight), gradient in zip(twin.named_parameters(), gradients, strict=True):
            gradient = gradient * min(1, 1 / (norm + 1e-6))  # as torch clips
            first, second = moments[name]
            first, second = 0.9 * first + 0.1 * gradient, 0.99 * second + 0.01 * gradient**2
            moments[name] = first, second
            mean, square = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.99 ** (step + 1))
            with torch.no_grad():
                weight -= rate * mean / (square.sqrt() + 1e-8)
            average[name] = decay * average[name] + (1 - decay) * weight.detach()
        assert record.loss == pytest.approx(loss.item(), rel=1e-9)
        assert record.gradient_norm == pytest.approx(norm, rel=1e-9)
        assert record.learning_rate == pytest.approx(rate, rel=1e-12)
        for ours, expected in [(model, dict(twin.named_parameters())), (record.ema, average)]:
            torch.testing.assert_close(
                dict(ours.named_parameters()), expected, rtol=1e-9, atol=1e-9
            )
    assert 0 < clipped < 6  # both cases were seen


def test_t_is_uniform_on_1_to_T_eps_is_standard_normal_and_all_data_are_used() -> None:
    torch.manual_seed(0)
    model = Watched(Normed(), SCHEDULE, shape=(1, 4, 4))
    config = TrainingConfig(steps=50, batch_size=100, stratified=False)
    for _ in train(model, DATA, config, accelerator=cpu()):
        pass
    x0, t, eps = (torch.cat(draws) for draws in list(zip(*model.seen, strict=True))[:3])
    counts = torch.bincount(t, minlength=12)
    assert counts[0] == counts[11] == 0
    # 5,000 draws, 500 expected at each t, standard deviation 21.
    assert ((counts[1:11] - 500).abs() < 4 * 21).all()
    shown = torch.bincount(((x0[:, 0, 0, 0] + 1) * 19.5).round().long(), minlength=40)
    assert ((shown - 125).abs() < 4.5 * 11.2).all()  # 40 images, 125 expected of each
    assert eps.shape == (5000, 1, 4, 4)
    for power, (moment, spread) in enumerate([(0, 1), (1, 2), (0, 15), (3, 96)], start=1):
        error = (eps.double() ** power).mean() - moment
        assert abs(float(error)) < 4 * (spread / eps.numel()) ** 0.5
    assert len(eps.flatten(1).unique(dim=0)) == 5000
    # The three are drawn independently of one another.
    together = torch.stack([x0[:, 0, 0, 0], t.float(), eps[:, 0, 0, 0]])
    assert (torch.corrcoef(together) - torch.eye(3)).abs().max() < 4 / 5000**0.5


def test_every_image_comes_with_its_own_label() -> None:
    model = Watched(tiny_model(num_classes=CLASSES).network, SCHEDULE, shape=(1, 4, 4))
    config = TrainingConfig(steps=3, batch_size=20, label_dropout=0.0)
    for _ in train(model, DATA, config, labels=LABELS, accelerator=cpu()):
        pass
    for x0, _, _, label in model.seen:
        index = ((x0[:, 0, 0, 0] + 1) * 19.5).round().long()
        torch.testing.assert_close(label, LABELS[index], rtol=0, atol=0)
    assert len({int(label) for _, _, _, labels in model.seen for label in labels}) == CLASSES


def test_label_dropout_is_how_often_the_null_token_stands_for_the_label() -> None:
    model = Watched(tiny_model(num_classes=CLASSES).network, SCHEDULE, shape=(1, 4, 4))
    config = TrainingConfig(steps=20, batch_size=100, label_dropout=0.3)
    for _ in train(model, DATA, config, labels=LABELS, accelerator=cpu()):
        pass
    label = torch.cat([label for *_, label in model.seen])
    x0 = torch.cat([x0 for x0, *_ in model.seen])
    told = label != CLASSES
    index = ((x0[:, 0, 0, 0] + 1) * 19.5).round().long()
    torch.testing.assert_close(label[told], LABELS[index][told], rtol=0, atol=0)
    share, standard_error = float((~told).double().mean()), (0.3 * 0.7 / 2000) ** 0.5
    assert abs(share - 0.3) < 4 * standard_error
    assert ((~told).view(20, 100).sum(1) < 100).all()  # image by image, not batch by batch


@pytest.mark.parametrize("label_dropout", [-0.1, 1.1, math.nan])
def test_a_label_dropout_outside_0_to_1_is_refused(label_dropout: float) -> None:
    with pytest.raises(ValueError, match=f"label_dropout = {label_dropout}"):
        TrainingConfig(steps=1, label_dropout=label_dropout)


def test_training_depends_on_its_seed_and_not_on_the_global_one() -> None:
    results = []
    for global_seed, seed in [(1, 0), (2, 0), (1, 7)]:
        model = tiny_model()
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        last(train(model, DATA, TrainingConfig(steps=2, seed=seed), accelerator=cpu()))
        torch.testing.assert_close(torch.get_rng_state(), before, rtol=0, atol=0)
        results.append(clone(model))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)
    assert any((results[0][name] != results[2][name]).any() for name in results[0])


def test_the_learning_rate_warms_up_and_ends_on_its_way_to_0() -> None:
    config = TrainingConfig(steps=40, learning_rate=0.1, warmup_steps=10, batch_size=2)
    model = DDPM(Normed(), SCHEDULE, shape=(1, 4, 4))
    rates = [record.learning_rate for record in train(model, DATA, config, accelerator=cpu())]
    for k, rate in enumerate(rates):
        warm = min(1.0, (k + 1) / 10)
        assert rate == pytest.approx(0.1 * warm * math.cos(math.pi * k / 80) ** 2, rel=1e-12)
    assert rates[0] < 0.011
    assert max(rates) == rates[9]
    assert rates[-1] < 1e-3
    assert training_module._share_of_rate(config, 40, 1.0) == pytest.approx(0, abs=1e-17)


def test_the_gradient_that_the_optimiser_sees_is_clipped_and_its_norm_reported_unclipped() -> None:
    for limit in (0.05, 1e6):
        model = tiny_model()
        config = TrainingConfig(steps=2, batch_size=8, max_gradient_norm=limit)
        for record in train(model, DATA, config, accelerator=cpu()):
            used = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
            assert record.gradient_norm > 0.05
            # 1e-4: the division is by the norm + 1e-6.
            assert float(used) == pytest.approx(min(limit, record.gradient_norm), rel=1e-4)


def test_the_caller_may_stop_early_and_train_again() -> None:
    model = tiny_model()
    for record in train(model, DATA, TrainingConfig(steps=1000), accelerator=cpu()):
        if record.step == 2:
            break
    assert record.step == 2
    assert last(train(model, DATA, TrainingConfig(steps=3), accelerator=cpu())).step == 3


@pytest.mark.parametrize("how", ["finished", "stopped early", "diverged"])
def test_mixed_precision_leaves_no_wrapping_on_the_model(how: str) -> None:
    model = tiny_model()
    x0, eps, t = DATA[:2], torch.ones(2, 1, 4, 4), torch.tensor([1, 2])
    config = TrainingConfig(steps=2, learning_rate=1e30 if how == "diverged" else 1e-3)
    records = train(model, DATA, config, accelerator=cpu("bf16"))
    try:
        record = next(records)
        if how != "stopped early":
            record = last(records)
    except TrainingDiverged:
        assert how == "diverged"
    records.close()
    assert model.forward.__func__ is DDPM.forward
    assert copy.deepcopy(model).forward.__self__ is not model
    twin = DDPM(model.network, SCHEDULE, shape=(1, 4, 4))
    if how != "diverged":
        # Autocast would round these to 3 digits.
        expected = twin(x0, t, eps).simple
        torch.testing.assert_close(model(x0, t, eps).simple, expected, rtol=0, atol=0)
        assert record.ema.forward.__func__ is DDPM.forward


def test_a_run_limited_in_minutes_stops_and_its_learning_rate_follows_the_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr(training_module, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    config = TrainingConfig(minutes=0.1, batch_size=2, warmup_steps=1)
    records = list(train(tiny_model(), DATA, config, accelerator=cpu()))
    assert [record.seconds for record in records] == [1, 2, 3, 4, 5, 6]
    assert [record.progress for record in records] == [pytest.approx(k / 6) for k in range(1, 7)]
    assert records[3].learning_rate == pytest.approx(2e-3 * 0.5)
    # A resumed run has only the rest of its time left.
    first = next(train(tiny_model(), DATA, config, accelerator=cpu()))
    resumed = train(tiny_model(), DATA, config, accelerator=cpu(), resume=first.state.tensors())
    assert [record.seconds for record in resumed] == [2, 3, 4, 5, 6]


def test_a_real_clock_stops_a_run_too() -> None:
    config = TrainingConfig(minutes=0.2 / 60, batch_size=2)
    record = last(train(tiny_model(), DATA, config, accelerator=cpu()))
    assert record.progress == 1
    assert record.seconds >= 0.2


# Errors


@pytest.mark.parametrize(
    ("data", "range_"),
    [
        ((DATA + 1) / 2, "0 to 1"),
        (DATA * 1.01, "-1.01 to 1.01"),
        (DATA.clamp(-1, 0.9) * 2, "-2 to 1.8"),
        ((DATA + 1) * 127.5, "0 to 255"),
    ],
    ids=["0..1", "above", "below", "bytes"],
)
def test_data_outside_minus_1_to_1_are_refused_with_the_remedy(data: Tensor, range_: str) -> None:
    with pytest.raises(ValueError, match=rf"run from {range_}: scale images to \[-1, 1\]"):
        next(train(tiny_model(), data, TrainingConfig(steps=1), accelerator=cpu()))


def test_a_wrong_number_of_labels_is_refused() -> None:
    records = train(
        tiny_model(num_classes=5), DATA, TrainingConfig(steps=1), labels=LABELS[:7],
        accelerator=cpu(),
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"shape \(7,\): give one for each of the 40 images"):
        next(records)


def test_a_batch_that_the_processes_cannot_share_is_refused() -> None:
    three = SimpleNamespace(num_processes=3, process_index=0)
    records = train(tiny_model(), DATA, TrainingConfig(steps=1, batch_size=8), accelerator=three)
    with pytest.raises(ValueError, match=r"batch_size = 8 cannot be shared by 3.*a multiple of 3"):
        next(records)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": None}, "steps = None, minutes = None: give one of the two"),
        ({"minutes": 1.0}, "steps = 1, minutes = 1.0: give one of the two"),
        ({"steps": 0}, "steps = 0: it must be greater than 0"),
        ({"steps": None, "minutes": -1.0}, "minutes = -1.0: it must be greater than 0"),
        ({"batch_size": 0}, "batch_size = 0: it must be"),
        ({"learning_rate": 0.0}, "learning_rate = 0.0: it must be"),
        ({"learning_rate": math.nan}, "learning_rate = nan: it must be"),
        ({"warmup_steps": 0}, "warmup_steps = 0: it must be"),
        ({"max_gradient_norm": -1.0}, "max_gradient_norm = -1.0: it must be"),
        ({"ema_decay": 1.0}, r"ema_decay = 1.0: it must lie in \[0, 1\)"),
        ({"ema_decay": -0.1}, r"ema_decay = -0.1: it must lie in \[0, 1\)"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**{"steps": 1, **settings})


class Breaks(nn.Module):
    """A network whose answer, or only its gradient, stops being finite at the third step."""

    num_classes = 0

    def __init__(self, what: str) -> None:
        super().__init__()
        self.weight, self.what, self.calls = nn.Parameter(torch.ones(())), what, 0

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        self.calls += 1
        answer = self.weight * x_t
        if self.calls < 3:
            return answer
        if self.what == "loss":
            return answer * torch.inf
        return answer + (self.weight - self.weight).abs().sqrt()  # sqrt(0): infinite slope


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_loss_or_gradient_that_is_not_finite_stops_at_its_step_and_spares_the_average(
    what: str,
) -> None:
    model = DDPM(Breaks(what), SCHEDULE, shape=(1, 4, 4))
    records = train(model, DATA, TrainingConfig(steps=9), accelerator=cpu())
    next(records)
    record = next(records)
    before = clone(record.ema)
    with pytest.raises(TrainingDiverged, match=r"step 3: the loss is .*Lower the learning rate"):
        next(records)
    assert record.state.step == 2
    torch.testing.assert_close(record.ema.state_dict(), before, rtol=0, atol=0)
    assert all(value.isfinite().all() for value in record.ema.state_dict().values())


# The averaged model


def test_the_average_is_in_eval_mode_has_no_gradient_and_copies_the_buffers() -> None:
    model = DDPM(Normed(), SCHEDULE, shape=(1, 4, 4)).eval()
    buffers = []
    for record in train(model, DATA, TrainingConfig(steps=4), accelerator=cpu()):
        assert all(module.training for module in model.modules())
        assert not any(module.training for module in record.ema.modules())
        assert not any(p.requires_grad or p.grad is not None for p in record.ema.parameters())
        ours, theirs = dict(model.named_buffers()), dict(record.ema.named_buffers())
        assert len(ours) == 3
        torch.testing.assert_close(theirs, ours, rtol=0, atol=0)
        buffers.append(float(theirs["network.norm.running_var"]))
        # Averaged, not shared.
        assert record.ema.network.conv.weight is not model.network.conv.weight
        assert record.ema.network.norm.running_var is not model.network.norm.running_var
    assert len(set(buffers)) == 4


@given(decay=st.floats(0, 0.9999), steps=st.integers(1, 40))
@settings(max_examples=20)
def test_the_average_equals_its_recursion_and_starts_warm(decay: float, steps: int) -> None:
    model = DDPM(Normed(), SCHEDULE, shape=(1, 4, 4)).double()
    ema = copy.deepcopy(model)
    expected = clone(model)["network.conv.weight"]
    for k in range(steps):
        with torch.no_grad():
            model.network.conv.weight.add_(torch.randn(1, 1, 3, 3).double())
        update_ema(ema, model, decay, k)
        d = min(decay, (1 + k) / (10 + k))
        expected = d * expected + (1 - d) * model.network.conv.weight
    torch.testing.assert_close(ema.network.conv.weight, expected, rtol=1e-10, atol=1e-12)


def test_a_frozen_parameter_stays_where_it_is() -> None:
    model = tiny_model()
    model.network.first.requires_grad_(False)
    frozen = clone(model.network.first)
    record = last(train(model, DATA, TrainingConfig(steps=2), accelerator=cpu()))
    torch.testing.assert_close(model.network.first.state_dict(), frozen, rtol=0, atol=0)
    torch.testing.assert_close(record.ema.network.first.state_dict(), frozen)


# Resuming


def state_of(record: TrainingRecord) -> dict[str, Tensor]:
    return {name: value for name, value in record.state.tensors().items() if name != "seconds"}


def moments_of(record: TrainingRecord, parameter: Tensor) -> list[Tensor]:
    """What the optimiser that trains it keeps for a weight, but for its counter."""
    states = [optimizer.state.get(parameter, {}) for optimizer in record.state.optimizers]
    return [value for state in states for value in state.values() if value.ndim]


@pytest.mark.parametrize("precision", ["float32", "the machine's own"])
def test_resuming_at_any_step_changes_no_bit(precision: str) -> None:
    def run(seed: int, resume: dict[str, Tensor] | None = None) -> Iterator[TrainingRecord]:
        accelerator = cpu() if precision == "float32" else make_accelerator()
        return train(
            tiny_model(seed, CLASSES, learned=True),
            DATA,
            TrainingConfig(steps=5, batch_size=8, warmup_steps=2),
            labels=LABELS,
            accelerator=accelerator,
            resume=resume,
        )

    saved, losses = [], []
    for record in run(seed=0):
        saved.append(record.state.tensors())
        losses.append(record.loss)
    uninterrupted = state_of(record)
    kinds = {name.partition(".")[0] for name in uninterrupted}
    assert kinds == {"model", "ema", "optimizer", "generator", "step"}
    for stop in range(1, 5):
        records = list(run(seed=99, resume=saved[stop - 1]))
        assert [record.step for record in records] == list(range(stop + 1, 6))
        assert [record.loss for record in records] == losses[stop:]
        resumed = state_of(records[-1])
        assert resumed.keys() == uninterrupted.keys()
        torch.testing.assert_close(resumed, uninterrupted, rtol=0, atol=0)


def test_a_finished_run_that_is_resumed_has_nothing_left_to_do() -> None:
    config = TrainingConfig(steps=2)
    state = last(train(tiny_model(), DATA, config, accelerator=cpu())).state.tensors()
    assert list(train(tiny_model(), DATA, config, accelerator=cpu(), resume=state)) == []


def test_a_saved_state_is_a_contiguous_cpu_snapshot_that_later_steps_leave_alone() -> None:
    records = train(tiny_model(), DATA, TrainingConfig(steps=3), accelerator=cpu())
    tensors = next(records).state.tensors()
    before = {name: value.clone() for name, value in tensors.items()}
    list(records)
    torch.testing.assert_close(tensors, before, rtol=0, atol=0)
    assert all(value.is_contiguous() and not value.requires_grad for value in tensors.values())
    assert tensors["step"] == 1
    assert tensors["generator"].dtype == torch.uint8


def test_restored_moments_keep_the_memory_layout_of_their_parameters() -> None:
    config = TrainingConfig(steps=3)
    state = next(train(tiny_model(), DATA, config, accelerator=cpu())).state.tensors()
    state = {name: value.clone() for name, value in state.items()}
    record = next(train(tiny_model(1), DATA, config, accelerator=cpu(), resume=state))
    unlike = 0
    for parameter in record.state.parameters:
        moments = moments_of(record, parameter)
        assert len(moments) in (1, 2)
        for moment in moments:
            assert moment.stride() == parameter.stride()
        unlike += not parameter.is_contiguous()
    assert unlike > 3  # or this test would show nothing


# Several processes


def weights_of_a_run(accelerator: Accelerator) -> dict[str, Tensor]:
    """Three steps in float64: gradients, weights and average by name, and the losses."""
    model = tiny_model(num_classes=CLASSES).double()
    config = TrainingConfig(steps=3, batch_size=8, warmup_steps=1, max_gradient_norm=0.5)
    result: dict[str, Tensor] = {}
    for record in train(model, DATA.double(), config, labels=LABELS, accelerator=accelerator):
        result[f"loss.{record.step}"] = torch.tensor([record.loss, record.gradient_norm])
        for name, parameter in model.named_parameters():
            result[f"gradient.{record.step}.{name}"] = parameter.grad.clone()
    result |= {f"model.{name}": value for name, value in clone(model).items()}
    return result | {f"ema.{name}": value for name, value in clone(record.ema).items()}


def test_two_processes_with_half_the_batch_each_take_the_steps_of_one(tmp_path: Path) -> None:
    workers = start_processes(2, __file__, tmp_path)
    alone = weights_of_a_run(cpu())
    for worker in workers:
        _, errors = worker.communicate(timeout=100)
        assert worker.returncode == 0, errors
    for rank in (0, 1):
        shared = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert shared.pop("processes") == 2
        assert shared.keys() == alone.keys()
        # 1e-9: float64, but Adam divides by gradients that may be small; losses travel as float32.
        for name, value in shared.items():
            scale = 1e-6 if name.startswith("loss") else 1e-9
            torch.testing.assert_close(value, alone[name], rtol=scale, atol=scale, msg=name)


# Small parts


@given(low=st.integers(-5, 5), width=st.integers(1, 6))
@settings(max_examples=20)
def test_uniform_integers_reach_both_ends_and_nothing_beyond(low: int, width: int) -> None:
    drawn = uniform_integers(low, low + width, 300, torch.Generator().manual_seed(0))
    assert drawn.dtype == torch.int64
    assert sorted(set(drawn.tolist())) == list(range(low, low + width))


@given(low=st.integers(-5, 5), width=st.integers(1, 40), count=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_stratified_integers_leave_no_gap_and_each_is_uniform(low, width, count) -> None:
    seen = torch.zeros(count, width, dtype=torch.int64)
    for first in range(width):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                training_module, "uniform_integers", lambda *_, f=first: torch.tensor([f])
            )
            drawn = stratified_integers(low, low + width, count, torch.Generator())
        assert drawn.dtype == torch.int64
        seen[torch.arange(count), drawn - low] += 1
        counts = torch.bincount(drawn - low, minlength=width)
        assert counts.max() - counts.min() <= 1
        gaps = (drawn.roll(-1) - drawn) % width
        assert count == 1 or set(gaps.tolist()) <= {
            width // count % width,
            -(-width // count) % width,
        }
    assert (seen == 1).all()  # over all first integers each place has seen each value once


def test_the_steps_of_a_batch_are_stratified_unless_they_are_not_to_be() -> None:
    for stratified in (True, False):
        model = Watched(Normed(), SCHEDULE, shape=(1, 4, 4))
        config = TrainingConfig(steps=5, batch_size=20, stratified=stratified)
        for _ in train(model, DATA, config, accelerator=cpu()):
            pass
        counts = [torch.bincount(t, minlength=11)[1:] for _, t, *_ in model.seen]
        assert all((each == 2).all() for each in counts) == stratified


def work() -> None:
    """One of the two processes of the test above."""
    accelerator = Accelerator(cpu=True, mixed_precision="no")
    result = weights_of_a_run(accelerator)
    result["processes"] = torch.tensor(accelerator.num_processes)
    torch.save(result, Path(sys.argv[1]) / f"{accelerator.process_index}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    work()
