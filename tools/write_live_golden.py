"""What the live views of the book must compute: writes book/_live/golden.json, from the package."""

import json
import math
from pathlib import Path
from typing import Any

import torch

from ddpm_tutorial import (
    SCHEDULES,
    GaussianMixture,
    JointMixture,
    Mask,
    Measurement,
    NoiseSchedule,
    PosteriorGuidance,
    elbo_terms,
    p_reverse,
    posterior_variance,
    q_posterior,
    sample_path,
    timestep_pairs,
)

OUT = Path(__file__).parent.parent / "book" / "_live" / "golden.json"
MIXTURES = {
    "example": ([0.3, 0.7], [-0.6, 0.5], [0.01, 0.02]),
    "other": ([0.85, 0.15], [0.2, -1.1], [0.09, 0.0025]),
}
POINTS = torch.linspace(-2.4, 2.4, 13, dtype=torch.float64)[:, None]


def numbers(values: torch.Tensor) -> list[float]:
    return values.flatten().double().tolist()


def tables() -> list[dict[str, Any]]:
    found = []
    for name, make in SCHEDULES.items():
        for T in (10, 1000):
            chain = make(T)
            t = torch.arange(0, T + 1, max(1, T // 20))
            entry = {"name": name, "T": T, "t": t.tolist()}
            entry |= {"alpha_bar": numbers(chain.alpha_bar[t]), "beta": numbers(chain.beta[t])}
            found.append(entry)
    return found


def places() -> list[dict[str, Any]]:
    """Densities, scores, guesses and steps back at some points."""
    found = []
    for name, parts in MIXTURES.items():
        for schedule, T, t, s in (
            ("cosine", 1000, 230, 229),
            ("linear", 1000, 700, 300),
            ("straight", 20, 4, 3),
            ("log-snr", 5, 1, 0),
            ("cosine", 5, 5, 4),
        ):
            exact = GaussianMixture(SCHEDULES[schedule](T), *parts)
            at, to = (torch.full((len(POINTS),), time) for time in (t, s))
            seen = exact(POINTS, at)
            mean, log_variance = p_reverse(exact, POINTS, at, to)
            found.append(
                {"mixture": name, "schedule": schedule, "T": T, "t": t, "s": s}
                | {"x": numbers(POINTS), "log_density": numbers(exact.log_prob(POINTS, at))}
                | {"score": numbers(exact.score(POINTS, at)), "guess": numbers(seen.x0_hat)}
                | {"uncertainty": numbers(seen.x0_variance)}  # type: ignore[arg-type]
                | {"mean": numbers(mean), "variance": numbers(log_variance.exp())}
            )
    return found


def true_steps_back() -> list[dict[str, Any]]:
    """Ln q(x_{t-1} | x_t) by Bayes' rule, and its divergence from the normal with its moments."""
    found = []
    for T, t in ((5, 1), (5, 2), (20, 4), (100, 20)):
        exact = GaussianMixture(NoiseSchedule.cosine(T), *MIXTURES["example"])
        x_t, alpha = torch.tensor([[-0.1]], dtype=torch.float64), exact.schedule.alpha[t]
        mean, log_variance = p_reverse(exact, x_t, torch.tensor([t]))
        fine = torch.linspace(-12, 12, 4001, dtype=torch.float64)[:, None]
        points = mean + (log_variance / 2).exp() * fine

        def log_true(x: torch.Tensor, t: int = t, alpha: torch.Tensor = alpha) -> torch.Tensor:
            before = exact.log_prob(x, torch.full((len(x),), t - 1))  # noqa: B023
            step = torch.distributions.Normal(alpha.sqrt() * x, (1 - alpha).sqrt())
            after = exact.log_prob(x_t, torch.tensor([t]))  # noqa: B023
            return before + step.log_prob(x_t)[:, 0] - after  # noqa: B023

        normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
        true = log_true(points)
        divergence = (true.softmax(0) * (true - normal.log_prob(points)[:, 0])).sum()
        some = torch.linspace(-1.2, 1.0, 12, dtype=torch.float64)[:, None]
        found.append(
            {"T": T, "t": t, "x_t": -0.1, "divergence": float(divergence)}
            | {"x": numbers(some), "log_density": numbers(log_true(some))}
        )
    return found


def bounds() -> list[dict[str, Any]]:
    """The terms of the bound, averaged by Gauss-Hermite quadrature, with `elbo_terms` itself."""
    roots, shares = torch.linalg.eigh(
        torch.diag(torch.arange(1, 64, dtype=torch.float64).sqrt(), 1)
        + torch.diag(torch.arange(1, 64, dtype=torch.float64).sqrt(), -1)
    )
    nodes, shares = roots, shares[0].square()  # averages over N(0, 1)
    found = []
    for T in (5, 20, 100):
        exact = GaussianMixture(NoiseSchedule.cosine(T), *MIXTURES["example"])
        data = exact.means[:, None] + exact.variances.sqrt()[:, None] * nodes
        weight = (exact.weights[:, None] * shares)[..., None] * shares
        x0 = data[..., None].expand(-1, -1, len(nodes)).reshape(-1, 1)
        eps = nodes.expand(2, len(nodes), -1).reshape(-1, 1)
        terms = elbo_terms(exact, x0, eps=eps)
        weight = weight.flatten()
        denoising = weight @ terms.denoising
        evidence = weight @ exact.log_prob(x0, torch.zeros(len(x0), dtype=torch.int64))
        found.append(
            {"T": T, "denoising": numbers(denoising), "prior": float(weight @ terms.prior)}
            | {"reconstruction": float(weight @ terms.reconstruction)}
            | {"gap": float(evidence - weight @ terms.bound())}
        )
    return found


def fixed_variances() -> list[dict[str, Any]]:
    """The denoising terms of perfect guesses with a variance that does not depend on x_t.

    Each is the divergence of the posterior from the model's step, averaged over x_0 and x_t.
    """
    found = []
    x_t = torch.linspace(-4.5, 4.5, 1201, dtype=torch.float64)[:, None]
    for T in (5, 20):
        exact = GaussianMixture(NoiseSchedule.cosine(T), *MIXTURES["example"])
        terms: dict[str, list[float]] = {"tilde": [], "beta": [], "best": []}
        for t in range(2, T + 1):
            at = torch.full((len(x_t),), t)
            weight = exact.log_prob(x_t, at).softmax(0)
            error = weight @ exact(x_t, at).x0_variance[:, 0]  # type: ignore[index]
            tilde = posterior_variance(exact.schedule, torch.tensor(t))
            zero, one = torch.zeros(1, 1).double(), torch.ones(1, 1).double()
            w, _ = q_posterior(exact.schedule, one, zero, torch.tensor([t]))
            distance = w.square() * error
            choices = {"tilde": tilde, "beta": exact.schedule.beta[t], "best": tilde + distance}
            for name, variance in choices.items():
                ratio = tilde / variance
                terms[name].append(float((ratio + distance / variance - 1 - ratio.log()) / 2))
        found.append({"T": T} | terms)
    return found


def answers() -> list[dict[str, Any]]:
    """Guesses moved towards a measurement of the number itself, and the exact ones."""
    found = []
    schedule = NoiseSchedule.cosine(1000)
    weights, means, variances = MIXTURES["example"]
    covariances = [[[variance]] for variance in variances]
    toy = JointMixture(schedule, weights, [[mean] for mean in means], covariances)
    for y, sigma, t in ((-0.2, 0.4, 400), (0.9, 0.15, 120), (-1.1, 0.8, 900)):
        measured = torch.tensor([[y]], dtype=torch.float64)
        likelihood = Measurement(measured, Mask(torch.tensor([True])), sigma)
        truth, _ = toy.given(torch.ones(1, 1), measured[0], sigma)
        at = torch.full((len(POINTS),), t)
        ways = {
            "exact": truth,
            "dps": PosteriorGuidance(toy, likelihood),
            "variance": PosteriorGuidance(toy, likelihood, with_variance=True),
        }
        guesses = {name: numbers(way(POINTS, at).x0_hat) for name, way in ways.items()}
        found.append({"y": y, "sigma": sigma, "t": t, "x": numbers(POINTS)} | guesses)
    return found


def two_pixels() -> list[dict[str, Any]]:
    """The gap and the divergence of two pixels, by their definitions."""
    joint = torch.tensor([[0.5, 0.1], [0.1, 0.3]], dtype=torch.float64)
    product = joint.sum(1)[:, None] * joint.sum(0)
    found = []
    for T in (1, 3, 16):
        u = torch.linspace(0, 1, T + 1, dtype=torch.float64)
        for name, alpha_bar in (("even", 1 - u), ("cosine", (u * math.pi / 2).cos() ** 2)):
            together = alpha_bar.diff().square().sum()
            drawn = (1 - together) * joint + together * product
            gap = together * (joint * (joint / product).log()).sum()
            divergence = (joint * (joint / drawn).log()).sum()
            found.append(
                {"T": T, "schedule": name, "gap": float(gap), "divergence": float(divergence)}
                | {"joint": numbers(joint), "drawn": numbers(drawn)}
            )
    return found


def paths() -> list[dict[str, Any]]:
    found = []
    starts = torch.tensor([[-1.4], [-0.3], [0.2], [1.7]], dtype=torch.float64)
    for schedule, steps in (("cosine", 7), ("straight", 4), ("linear", 10)):
        exact = GaussianMixture(SCHEDULES[schedule](1000), *MIXTURES["example"])
        for sampler in ("ddim", "dpm++", "heun"):
            states = [x for _, x, _ in sample_path(exact, 4, sampler, steps, x_T=starts)]
            found.append(
                {"schedule": schedule, "sampler": sampler, "pairs": timestep_pairs(1000, steps)}
                | {"x": torch.cat(states, 1).tolist()}
            )
    return found


def golden() -> dict[str, Any]:
    found = {"mixtures": MIXTURES, "schedules": tables(), "places": places()}
    found |= {"steps_back": true_steps_back(), "bounds": bounds(), "paths": paths()}
    found["fixed_variances"] = fixed_variances()
    found |= {"answers": answers(), "two_pixels": two_pixels()}
    found["normal_share"] = [[z, 0.5 * math.erfc(-z / 2**0.5)] for z in (-6, -2.5, -0.1, 0, 1, 4)]
    return found


def main() -> None:
    OUT.write_text(json.dumps(golden()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
