"""Answers to assignment 2, wrong and right."""

import math

import torch
from variants import right, wrong

ALL_PICTURES = "this is one number for all pictures: give one for each"
MEAN_OF_PIXELS = (
    "this is the mean over the pixels: they are independent, so their divergences add up"
)
TERM_FOR_STEP = "the densities are in the wrong terms: a term holds two of the same x_t"


@wrong("evidence", "this is a sum of logarithms: the logarithm of a sum is asked for")
def log_evidence(log_joint):
    """The sum of the logarithms."""
    return log_joint.sum(dim=1)


@wrong("evidence", "this is the average of the logarithms: the logarithm of a sum is asked for")
def log_evidence(log_joint):
    """The average of the logarithms."""
    return log_joint.mean(dim=1)


@wrong("evidence", "this is the logarithm of an average: the kinds' probabilities add up")
def log_evidence(log_joint):
    """The logarithm of the mean."""
    return torch.logsumexp(log_joint, dim=1) - math.log(log_joint.shape[1])


@wrong("evidence", "this is the probability: its logarithm is asked for")
def log_evidence(log_joint):
    """No logarithm at the end."""
    return log_joint.exp().sum(dim=1)


@wrong("evidence", "this is the largest term alone: the other kinds count too")
def log_evidence(log_joint):
    """The maximum."""
    return log_joint.max(dim=1).values


@wrong("evidence", "exp gives 0 there, so take the largest term out of the sum first")
def log_evidence(log_joint):
    """As the formula stands."""
    return log_joint.exp().sum(dim=1).log()


@wrong("evidence", "exp gives 0 there, so take the largest term out of the sum first")
def log_evidence(log_joint):
    """As the formula stands, in double precision."""
    return log_joint.double().exp().sum(dim=1).log()


@wrong("evidence", "was a smallest or a largest value set, or a small number added")
def log_evidence(log_joint):
    """A small number under the logarithm."""
    return (log_joint.exp().sum(dim=1) + 1e-12).log()


@wrong("evidence", "the sum runs over the pictures: it has to run over the kinds of each")
def log_evidence(log_joint):
    """Summed over the wrong dimension."""
    return torch.logsumexp(log_joint, dim=0)


@wrong("evidence", ALL_PICTURES)
def log_evidence(log_joint):
    """Summed over everything."""
    return log_joint.exp().sum().log()


@wrong("evidence", "the sign is that of a loss: the logarithm itself is asked for")
def log_evidence(log_joint):
    """Minus the evidence."""
    return -torch.logsumexp(log_joint, dim=1)


@wrong("evidence", "take out of each row its own largest term, not its mean")
def log_evidence(log_joint):
    """The mean of the row taken out."""
    middle = log_joint.mean(dim=1, keepdim=True)
    return (log_joint - middle).exp().sum(dim=1).log() + middle[:, 0]


@wrong("evidence", "not the largest of all rows")
def log_evidence(log_joint):
    """The largest term of all rows taken out, in double precision."""
    largest = log_joint.double().max()
    return (log_joint.double() - largest).exp().sum(dim=1).log() + largest


@right("evidence")
def log_evidence(log_joint):
    """The largest term taken out by hand."""
    largest = log_joint.max(dim=1, keepdim=True).values
    return (log_joint - largest).exp().sum(dim=1).log() + largest[:, 0]


@right("evidence")
def log_evidence(log_joint):
    """Two at a time, in a loop over the kinds."""
    total = log_joint[:, 0]
    for k in range(1, log_joint.shape[1]):
        total = torch.logaddexp(total, log_joint[:, k])
    return total


@right("evidence")
def log_evidence(log_joint):
    """By the normaliser of a softmax, in double precision."""
    log_joint = log_joint.double()
    best = log_joint.argmax(dim=1, keepdim=True)
    column = log_joint.gather(1, best) - torch.log_softmax(log_joint, dim=1).gather(1, best)
    return column[:, 0]


@wrong("evidence", "a dimension of size 1 is too many")
def log_evidence(log_joint):
    """A column for the result."""
    return torch.logsumexp(log_joint, dim=1, keepdim=True)


@right("evidence")
def log_evidence(log_joint):
    """Row by row, in double precision."""
    rows = []
    for row in log_joint.double():
        top = row.max().detach()
        rows.append(top + sum((each - top).exp() for each in row).log())
    return torch.stack(rows)


@wrong("evidence", "no gradient reaches argument 1")
def log_evidence(log_joint):
    """With Python's numbers, through which no gradient comes."""
    rows = []
    for row in log_joint.tolist():
        top = max(row)
        rows.append(top + math.log(math.fsum(math.exp(each - top) for each in row)))
    return torch.tensor(rows, dtype=torch.float64)


@wrong("evidence", "changes what it is given: work on a copy of argument 1")
def log_evidence(log_joint):
    """The largest taken off in place."""
    top = log_joint.max(dim=1, keepdim=True).values
    log_joint -= top
    return top.flatten() + log_joint.exp().sum(dim=1).log()


@wrong("bound", "ln q is missing: this is the average of ln p(x, z) alone")
def lower_bound(log_joint, q):
    """No entropy."""
    return torch.where(q > 0, q * log_joint, 0).sum(dim=1)


@wrong("bound", "ln q has the wrong sign: it is subtracted")
def lower_bound(log_joint, q):
    """The sign of ln q."""
    return torch.where(q > 0, q * (log_joint + q.log()), 0).sum(dim=1)


@wrong("bound", "the logarithm stands outside the average: this is the evidence itself")
def lower_bound(log_joint, q):
    """The logarithm of the average."""
    return (q * (log_joint.exp() / q)).sum(dim=1).log()


@wrong("bound", "the sum is not weighted: an average over q weighs each kind with q")
def lower_bound(log_joint, q):
    """A plain sum."""
    return (log_joint - q.log()).sum(dim=1)


@wrong("bound", "all kinds count the same here: an average over q weighs each kind with q")
def lower_bound(log_joint, q):
    """A plain mean."""
    return (log_joint - q.log()).mean(dim=1)


@wrong("bound", "the mean was taken of what q has weighted already: add up")
def lower_bound(log_joint, q):
    """Weighted and averaged."""
    return (q * (log_joint - q.log())).mean(dim=1)


@wrong("bound", "the average is weighted with the posterior of z: it has to be weighted with q")
def lower_bound(log_joint, q):
    """Averaged over the posterior."""
    return (log_joint.softmax(dim=1) * (log_joint - q.log())).sum(dim=1)


@wrong("bound", "the sign is that of a loss: the bound itself is asked for")
def lower_bound(log_joint, q):
    """Minus the bound."""
    return -(q * (log_joint - q.log())).sum(dim=1)


@wrong("bound", "q itself is subtracted: its logarithm is meant")
def lower_bound(log_joint, q):
    """q for ln q."""
    return (q * (log_joint - q)).sum(dim=1)


@wrong("bound", ALL_PICTURES)
def lower_bound(log_joint, q):
    """Summed over the pictures too."""
    return (q * (log_joint - q.log())).sum()


@wrong("bound", "with q = 0 the answer is not finite: ln 0 is not, but 0 ln 0 counts as 0")
def lower_bound(log_joint, q):
    """As the formula stands."""
    return (q * (log_joint - q.log())).sum(dim=1)


@wrong("bound", "0 times infinity is not a number, so leave that kind out of the sum")
def lower_bound(log_joint, q):
    """A floor under q, but none under ln p."""
    return (q * (log_joint - q.clamp(min=1e-30).log())).sum(dim=1)


@wrong("bound", "the bound is minus infinity there, so leave a kind out only where q is 0")
def lower_bound(log_joint, q):
    """Minus infinity turned into a large number."""
    return torch.nan_to_num(q * (log_joint - torch.log(q)), nan=0.0, posinf=0.0).sum(dim=1)


@wrong("bound", "the bound is minus infinity there, so leave a kind out only where q is 0")
def lower_bound(log_joint, q):
    """All that is not finite left out."""
    each = q * (log_joint - q.log())
    return torch.where(each.isfinite(), each, 0).sum(dim=1)


@right("bound")
def lower_bound(log_joint, q):
    """Average energy and entropy, with torch's own x ln x."""
    energy = torch.where(q > 0, log_joint, 0)
    return (q * energy).sum(dim=1) - torch.special.xlogy(q, q).sum(dim=1)


@right("bound")
def lower_bound(log_joint, q):
    """Row by row, only where q is positive, in double precision."""
    rows = []
    for ln_p, weight in zip(log_joint.double(), q.double(), strict=True):
        used = weight > 0
        rows.append(weight[used] @ (ln_p[used] - weight[used].log()))
    return torch.stack(rows)


@right("bound")
def lower_bound(log_joint, q):
    """Not-a-number set to zero."""
    each = q * (log_joint - torch.log(q))
    each = torch.nan_to_num(each, nan=0.0, posinf=0.0, neginf=-math.inf)
    return each.sum(dim=1)


@right("bound")
def lower_bound(log_joint, q):
    """The evidence less a divergence."""
    log_posterior = log_joint.log_softmax(dim=1)
    lost = torch.where(q > 0, q * (q.log() - log_posterior), 0).sum(dim=1)
    return log_joint.logsumexp(dim=1) - lost


@wrong("gap", "the posterior is not normalised: this is ln p(x, z) still")
def posterior_and_gap(log_joint, q):
    """The joint for the posterior."""
    return log_joint, torch.where(q > 0, q * (q.log() - log_joint), 0).sum(dim=1)


@wrong("gap", "the posterior is normalised over the pictures: it has to add up to 1 over the kinds")
def posterior_and_gap(log_joint, q):
    """Normalised over the wrong dimension."""
    log_posterior = log_joint.log_softmax(dim=0)
    return log_posterior, torch.where(q > 0, q * (q.log() - log_posterior), 0).sum(dim=1)


@wrong("gap", "this is the posterior: its logarithm is asked for")
def posterior_and_gap(log_joint, q):
    """Probabilities in place of logarithms."""
    posterior = log_joint.softmax(dim=1)
    return posterior, torch.where(q > 0, q * (q.log() - posterior.log()), 0).sum(dim=1)


@wrong("gap", "a logarithm was divided by the evidence: subtract it, for it is a logarithm too")
def posterior_and_gap(log_joint, q):
    """A quotient of logarithms."""
    log_posterior = log_joint / torch.logsumexp(log_joint, dim=1, keepdim=True)
    return log_posterior, torch.where(q > 0, q * (q.log() - log_posterior), 0).sum(dim=1)


@wrong("gap", "the two are interchanged: this is the divergence of the posterior from q")
def posterior_and_gap(log_joint, q):
    """The other way round."""
    log_posterior = log_joint.log_softmax(dim=1)
    return log_posterior, (log_posterior.exp() * (log_posterior - q.log())).sum(dim=1)


@wrong("gap", "the sign is reversed: a divergence is never negative")
def posterior_and_gap(log_joint, q):
    """The sign."""
    log_posterior = log_joint.log_softmax(dim=1)
    return log_posterior, torch.where(q > 0, q * (log_posterior - q.log()), 0).sum(dim=1)


@wrong("gap", "ln q is missing in the divergence: this is a cross-entropy")
def posterior_and_gap(log_joint, q):
    """The cross-entropy."""
    log_posterior = log_joint.log_softmax(dim=1)
    return log_posterior, -torch.where(q > 0, q * log_posterior, 0).sum(dim=1)


@wrong("gap", "the sum is not weighted: an average over q weighs each kind with q")
def posterior_and_gap(log_joint, q):
    """A plain sum."""
    log_posterior = log_joint.log_softmax(dim=1)
    return log_posterior, (q.log() - log_posterior).sum(dim=1)


@wrong("gap", "the mean was taken of what q has weighted already: add up")
def posterior_and_gap(log_joint, q):
    """Weighted and averaged, as torch's kl_div does by default."""
    log_posterior = log_joint.log_softmax(dim=1)
    return log_posterior, torch.where(q > 0, q * (q.log() - log_posterior), 0).mean(dim=1)


@wrong("gap", "with q = 0 the gap is not finite: ln 0 is not, but 0 ln 0 counts as 0")
def posterior_and_gap(log_joint, q):
    """As the formula stands."""
    log_posterior = log_joint.log_softmax(dim=1)
    return log_posterior, (q * (q.log() - log_posterior)).sum(dim=1)


@wrong("gap", "the gap is one number for all pictures: give one for each")
def posterior_and_gap(log_joint, q):
    """Summed over the pictures too."""
    log_posterior = log_joint.log_softmax(dim=1)
    return log_posterior, torch.where(q > 0, q * (q.log() - log_posterior), 0).sum()


@wrong("gap", "return two things, in a tuple")
def posterior_and_gap(log_joint, q):
    """The posterior alone."""
    return log_joint.log_softmax(dim=1)


@wrong("gap", "return two things, in a tuple")
def posterior_and_gap(log_joint, q):
    """The gap alone."""
    log_posterior = log_joint.log_softmax(dim=1)
    return torch.where(q > 0, q * (q.log() - log_posterior), 0).sum(dim=1)


@wrong("gap", "the evidence runs along the kinds: give it the shape (B, 1)")
def posterior_and_gap(log_joint, q):
    """The evidence of each picture subtracted along the kinds."""
    log_posterior = log_joint - log_joint.logsumexp(dim=1)
    return log_posterior, torch.where(q > 0, q * (q.log() - log_posterior), 0).sum(dim=1)


@right("gap")
def posterior_and_gap(log_joint, q):
    """The difference of parts 1 and 2."""
    evidence = log_evidence(log_joint)
    return log_joint - evidence[:, None], evidence - lower_bound(log_joint, q)


@right("gap")
def posterior_and_gap(log_joint, q):
    """By torch's kl_div, in double precision."""
    log_posterior = torch.log_softmax(log_joint.double(), dim=1)
    each = torch.nn.functional.kl_div(log_posterior, q.double(), reduction="none")
    return log_posterior, each.sum(dim=1)


@right("gap")
def posterior_and_gap(log_joint, q):
    """Row by row in a list."""
    logs, gaps = [], []
    for ln_p, weight in zip(log_joint, q, strict=True):
        logs.append(ln_p - torch.logsumexp(ln_p, 0))
        used = weight.nonzero()[:, 0]
        gaps.append(torch.dot(weight[used], weight[used].log() - logs[-1][used]))
    return [torch.stack(logs), torch.stack(gaps)]


@wrong("prior", "a variance was passed to kl_normal: it takes the logarithm of the variance")
def prior_term(x0, alpha_bar):
    """The variance for its logarithm."""
    mean = alpha_bar[-1].sqrt() * x0
    return kl_normal(mean, 1 - alpha_bar[-1], 0.0, 0.0).flatten(1).sum(1)


@wrong("prior", "the prior has variance 1, so its log-variance is 0")
def prior_term(x0, alpha_bar):
    """The variance of the prior for its logarithm."""
    mean = alpha_bar[-1].sqrt() * x0
    return kl_normal(mean, (1 - alpha_bar[-1]).log(), 0.0, 1.0).flatten(1).sum(1)


@wrong("prior", "this is the log of a standard deviation: the logarithm of the variance is needed")
def prior_term(x0, alpha_bar):
    """The logarithm of sigma."""
    mean = alpha_bar[-1].sqrt() * x0
    return kl_normal(mean, (1 - alpha_bar[-1]).sqrt().log(), 0.0, 0.0).flatten(1).sum(1)


@wrong("prior", "the mean lacks the root: x_0 is scaled with the root of alpha_bar")
def prior_term(x0, alpha_bar):
    """alpha_bar for its root."""
    mean = alpha_bar[-1] * x0
    return kl_normal(mean, (1 - alpha_bar[-1]).log(), 0.0, 0.0).flatten(1).sum(1)


@wrong("prior", "this is the term at T - 1: the last entry of the table is that of T")
def prior_term(x0, alpha_bar):
    """The table read as if it began at t = 1."""
    steps = len(alpha_bar) - 1
    mean = alpha_bar[steps - 1].sqrt() * x0
    return kl_normal(mean, (1 - alpha_bar[steps - 1]).log(), 0.0, 0.0).flatten(1).sum(1)


@wrong("prior", "this is the last step alone: q(x_T | x_0) is all steps together")
def prior_term(x0, alpha_bar):
    """One step for all the steps."""
    alpha = alpha_bar[-1] / alpha_bar[-2]
    return kl_normal(alpha.sqrt() * x0, (1 - alpha).log(), 0.0, 0.0).flatten(1).sum(1)


@wrong("prior", "the two are interchanged: q(x_T | x_0) comes first")
def prior_term(x0, alpha_bar):
    """The other way round."""
    mean = alpha_bar[-1].sqrt() * x0
    return kl_normal(0.0, 0.0, mean, (1 - alpha_bar[-1]).log()).flatten(1).sum(1)


@wrong("prior", MEAN_OF_PIXELS)
def prior_term(x0, alpha_bar):
    """The mean over the pixels."""
    mean = alpha_bar[-1].sqrt() * x0
    return kl_normal(mean, (1 - alpha_bar[-1]).log(), 0.0, 0.0).flatten(1).mean(1)


@wrong("prior", ALL_PICTURES)
def prior_term(x0, alpha_bar):
    """Summed over the pictures too."""
    mean = alpha_bar[-1].sqrt() * x0
    return kl_normal(mean, (1 - alpha_bar[-1]).log(), 0.0, 0.0).sum()


@wrong("prior", "the sign is that of the term in the bound: a divergence is never negative")
def prior_term(x0, alpha_bar):
    """Minus the divergence."""
    mean = alpha_bar[-1].sqrt() * x0
    return -kl_normal(mean, (1 - alpha_bar[-1]).log(), 0.0, 0.0).flatten(1).sum(1)


@wrong("prior", "the means are not compared: the picture has not quite vanished at T")
def prior_term(x0, alpha_bar):
    """The mean taken for zero."""
    mean = torch.zeros_like(x0)
    return kl_normal(mean, (1 - alpha_bar[-1]).log(), 0.0, 0.0).flatten(1).sum(1)


@wrong("prior", "two variances were passed to kl_normal: it takes the logarithm of each")
def prior_term(x0, alpha_bar):
    """Both variances for their logarithms."""
    mean = alpha_bar[-1].sqrt() * x0
    return kl_normal(mean, 1 - alpha_bar[-1], 0.0, 1.0).flatten(1).sum(1)


@right("prior")
def prior_term(x0, alpha_bar):
    """By the formula for a standard normal prior."""
    share = alpha_bar[-1]
    return 0.5 * (share * x0**2 - share - torch.log1p(-share)).sum(dim=(1, 2, 3))


@right("prior")
def prior_term(x0, alpha_bar):
    """By torch.distributions, picture by picture, in double precision."""
    rows = []
    for picture in x0.double():
        noisy = torch.distributions.Normal(
            alpha_bar[-1] ** 0.5 * picture, (1 - alpha_bar[-1]) ** 0.5
        )
        noise = torch.distributions.Normal(torch.zeros_like(picture), 1.0)
        rows.append(torch.distributions.kl_divergence(noisy, noise).sum())
    return torch.stack(rows)


@right("prior")
def prior_term(x0, alpha_bar):
    """With Python's numbers for the table."""
    share = float(alpha_bar[len(alpha_bar) - 1])
    mean = math.sqrt(share) * x0
    log_variance = torch.full_like(mean, math.log(1 - share))
    zero = torch.zeros_like(mean)
    each = kl_normal(mean, log_variance, zero, zero)
    return torch.einsum("bchw->b", each)


@wrong("denoising", MEAN_OF_PIXELS)
def denoising_term(posterior_mean, model_mean, t, alpha_bar):
    """The mean over the pixels."""
    beta = 1 - alpha_bar[t] / alpha_bar[t - 1]
    variance = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta
    squared = ((posterior_mean - model_mean) ** 2).flatten(1).mean(1)
    return torch.where(t > 1, squared / (2 * variance), 0)


@wrong("denoising", "t and t - 1 are interchanged in the posterior variance")
def denoising_term(posterior_mean, model_mean, t, alpha_bar):
    """The fraction upside down."""
    beta = 1 - alpha_bar[t] / alpha_bar[t - 1]
    variance = (1 - alpha_bar[t]) / (1 - alpha_bar[t - 1]) * beta
    squared = ((posterior_mean - model_mean) ** 2).flatten(1).sum(1)
    return torch.where(t > 1, squared / (2 * variance), 0)


@wrong("denoising", "this is divided by beta, the variance of a step forward")
def denoising_term(posterior_mean, model_mean, t, alpha_bar):
    """beta for the posterior variance."""
    beta = 1 - alpha_bar[t] / alpha_bar[t - 1]
    squared = ((posterior_mean - model_mean) ** 2).flatten(1).sum(1)
    return torch.where(t > 1, squared / (2 * beta), 0)


@wrong("denoising", "this is twice the divergence: the factor 1/2 is missing")
def denoising_term(posterior_mean, model_mean, t, alpha_bar):
    """No half."""
    beta = 1 - alpha_bar[t] / alpha_bar[t - 1]
    variance = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta
    squared = ((posterior_mean - model_mean) ** 2).flatten(1).sum(1)
    return torch.where(t > 1, squared / variance, 0)


@wrong("denoising", "the distance of the means is not squared")
def denoising_term(posterior_mean, model_mean, t, alpha_bar):
    """No square."""
    beta = 1 - alpha_bar[t] / alpha_bar[t - 1]
    variance = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta
    distance = (posterior_mean - model_mean).abs().flatten(1).sum(1)
    return torch.where(t > 1, distance / (2 * variance), 0)


@wrong("denoising", "this is divided by a standard deviation: the variance belongs there")
def denoising_term(posterior_mean, model_mean, t, alpha_bar):
    """The root of the variance."""
    beta = 1 - alpha_bar[t] / alpha_bar[t - 1]
    variance = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta
    squared = ((posterior_mean - model_mean) ** 2).flatten(1).sum(1)
    return torch.where(t > 1, squared / (2 * variance.sqrt()), 0)


@wrong("denoising", "this is the squared error of the means: in the bound it has a weight")
def denoising_term(posterior_mean, model_mean, t, alpha_bar):
    """No weight at all."""
    squared = ((posterior_mean - model_mean) ** 2).flatten(1).sum(1)
    return torch.where(t > 1, squared, 0)


@wrong("denoising", "the table is read one entry too early: it is indexed by t itself")
def denoising_term(posterior_mean, model_mean, t, alpha_bar):
    """The table read as if it began at t = 1."""
    now, before = alpha_bar[t - 1], alpha_bar[t - 2]
    variance = (1 - before) / (1 - now) * (1 - now / before)
    squared = ((posterior_mean - model_mean) ** 2).flatten(1).sum(1)
    return torch.where(t > 1, squared / (2 * variance), 0)


@wrong(
    "denoising", "this is divided by 1 - alpha_bar_{t-1}: was beta_t taken to be 1 - alpha_bar_t?"
)
def denoising_term(posterior_mean, model_mean, t, alpha_bar):
    """alpha_bar for alpha."""
    variance = 1 - alpha_bar[t - 1]
    squared = ((posterior_mean - model_mean) ** 2).flatten(1).sum(1)
    return torch.where(t > 1, squared / (2 * variance), 0)


@wrong("denoising", "each picture has a t of its own: here all have that of the first")
def denoising_term(posterior_mean, model_mean, t, alpha_bar):
    """The first t for all pictures."""
    now, before = alpha_bar[t[0]], alpha_bar[t[0] - 1]
    variance = (1 - before) / (1 - now) * (1 - now / before)
    squared = ((posterior_mean - model_mean) ** 2).flatten(1).sum(1)
    return torch.where(t > 1, squared / (2 * variance), 0)


@wrong("denoising", ALL_PICTURES)
def denoising_term(posterior_mean, model_mean, t, alpha_bar):
    """Summed over the pictures too."""
    beta = 1 - alpha_bar[t] / alpha_bar[t - 1]
    variance = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta
    squared = ((posterior_mean - model_mean) ** 2).flatten(1).sum(1)
    return torch.where(t > 1, squared / (2 * variance), 0).sum()


@wrong("denoising", "the posterior variance is 0 there and the bound has no divergence, so give 0")
def denoising_term(posterior_mean, model_mean, t, alpha_bar):
    """A divergence at t = 1."""
    beta = 1 - alpha_bar[t] / alpha_bar[t - 1]
    variance = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta
    return ((posterior_mean - model_mean) ** 2).flatten(1).sum(1) / (2 * variance)


@wrong("denoising", "the posterior variance is 0 there and the bound has no divergence, so give 0")
def denoising_term(posterior_mean, model_mean, t, alpha_bar):
    """The variance of t = 2 used at t = 1, as some tables have it."""
    at = t.clamp(min=2)
    beta = 1 - alpha_bar[at] / alpha_bar[at - 1]
    variance = (1 - alpha_bar[at - 1]) / (1 - alpha_bar[at]) * beta
    return ((posterior_mean - model_mean) ** 2).flatten(1).sum(1) / (2 * variance)


@wrong(
    "denoising", "the variance runs along the width: give it the shape (B, 1, 1, 1), or sum first"
)
def denoising_term(posterior_mean, model_mean, t, alpha_bar):
    """The variances of the pictures used along the width."""
    beta = 1 - alpha_bar[t] / alpha_bar[t - 1]
    variance = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta
    each = (posterior_mean - model_mean) ** 2 / (2 * variance)
    return torch.where(t > 1, each.flatten(1).sum(1), 0)


@right("denoising")
def denoising_term(posterior_mean, model_mean, t, alpha_bar):
    """By kl_normal, with the two variances, and the variance of t = 2 kept away from t = 1."""
    at = t.clamp(min=2)
    precision = (alpha_bar[at] / alpha_bar[at - 1]) / (1 - alpha_bar[at] / alpha_bar[at - 1])
    log_variance = -(precision + 1 / (1 - alpha_bar[at - 1])).log().reshape(-1, 1, 1, 1)
    each = kl_normal(posterior_mean, log_variance, model_mean, log_variance)
    return each.sum(dim=(1, 2, 3)) * (t > 1)


@right("denoising")
def denoising_term(posterior_mean, model_mean, t, alpha_bar):
    """Picture by picture, in a list."""
    result = []
    for first, second, step in zip(posterior_mean, model_mean, t.tolist(), strict=True):
        if step == 1:
            result.append(0 * second.sum())
            continue
        now, before = float(alpha_bar[step]), float(alpha_bar[step - 1])
        variance = (1 - before) * (before - now) / (before * (1 - now))
        result.append((first - second).square().sum() / variance / 2)
    return torch.stack(result)


@wrong("denoising", "the gradient is not a number with respect to argument 2")
def denoising_term(posterior_mean, model_mean, t, alpha_bar):
    """A division by 0 that is thrown away, but whose gradient is not."""
    beta = 1 - alpha_bar[t] / alpha_bar[t - 1]
    variance = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta
    squared = ((posterior_mean - model_mean) ** 2).flatten(1).sum(1)
    return torch.where(t > 1, squared / (2 * variance), 0)


@wrong("denoising", "no gradient reaches argument 2")
def denoising_term(posterior_mean, model_mean, t, alpha_bar):
    """The error without a gradient, as for a table of results."""
    beta = 1 - alpha_bar[t] / alpha_bar[t - 1]
    variance = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta
    squared = ((posterior_mean - model_mean).detach() ** 2).flatten(1).sum(1)
    return torch.where(t > 1, squared / (2 * variance), 0)


@wrong("denoising", "the posterior variance is 0 there and the bound has no divergence, so give 0")
def denoising_term(posterior_mean, model_mean, t, alpha_bar):
    """A floor under the variance."""
    beta = 1 - alpha_bar[t] / alpha_bar[t - 1]
    variance = (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t]) * beta
    squared = ((posterior_mean - model_mean) ** 2).flatten(1).sum(1)
    return squared / (2 * variance.clamp(min=1e-6))


@right("denoising")
def denoising_term(posterior_mean, model_mean, t, alpha_bar):
    """Whole tables first, in double precision."""
    table = alpha_bar.double()
    before = torch.cat([torch.ones(1, dtype=torch.float64), table[:-1]])
    variance = (1 - table / before) * (1 - before) / (1 - table)
    weight = torch.nan_to_num(0.5 / variance, nan=0.0, posinf=0.0)
    weight[1] = 0
    distance = (posterior_mean.double() - model_mean.double()).flatten(1).norm(dim=1)
    return weight[t] * distance**2


@wrong("bits", "this is the mean over t: the bound is a sum over t")
def bits_per_dim(reconstruction, prior, denoising, dimensions):
    """The mean over t."""
    bound = reconstruction - prior - denoising.mean(dim=1)
    return -bound / (dimensions * math.log(2))


@wrong("bits", "these are nats: one nat is 1 / ln 2 bits")
def bits_per_dim(reconstruction, prior, denoising, dimensions):
    """Nats for bits."""
    return -(reconstruction - prior - denoising.sum(dim=1)) / dimensions


@wrong(
    "bits", "this is multiplied by ln 2: a nat is more than a bit, so there are more bits than nats"
)
def bits_per_dim(reconstruction, prior, denoising, dimensions):
    """ln 2 on the wrong side."""
    return -(reconstruction - prior - denoising.sum(dim=1)) / dimensions * math.log(2)


@wrong("bits", "these are the bits of a whole picture: they are asked for each dimension")
def bits_per_dim(reconstruction, prior, denoising, dimensions):
    """Not divided by the number of dimensions."""
    return -(reconstruction - prior - denoising.sum(dim=1)) / math.log(2)


@wrong("bits", "the sign is that of the bound: a code length is minus the bound")
def bits_per_dim(reconstruction, prior, denoising, dimensions):
    """The sign."""
    bound = reconstruction - prior - denoising.sum(dim=1)
    return bound / (dimensions * math.log(2))


@wrong(
    "bits", "the reconstruction has the wrong sign: it is a logarithm, the others are divergences"
)
def bits_per_dim(reconstruction, prior, denoising, dimensions):
    """Everything added up."""
    cost = reconstruction + prior + denoising.sum(dim=1)
    return cost / (dimensions * math.log(2))


@wrong("bits", "the prior has the wrong sign: it is a cost")
def bits_per_dim(reconstruction, prior, denoising, dimensions):
    """The prior added to the bound."""
    bound = reconstruction + prior - denoising.sum(dim=1)
    return -bound / (dimensions * math.log(2))


@wrong("bits", "the prior is missing")
def bits_per_dim(reconstruction, prior, denoising, dimensions):
    """No prior."""
    return (denoising.sum(dim=1) - reconstruction) / (dimensions * math.log(2))


@wrong("bits", "this is the average over the pictures: give one number for each")
def bits_per_dim(reconstruction, prior, denoising, dimensions):
    """Averaged over the pictures."""
    bound = reconstruction - prior - denoising.sum(dim=1)
    return -bound.mean() / (dimensions * math.log(2))


@wrong("bits", "the denoising terms of all pictures are added up: each picture has its own")
def bits_per_dim(reconstruction, prior, denoising, dimensions):
    """The denoising terms summed over the pictures too."""
    bound = reconstruction - prior - denoising.sum()
    return -bound / (dimensions * math.log(2))


@wrong("bits", "this is divided by the number of terms: they add up")
def bits_per_dim(reconstruction, prior, denoising, dimensions):
    """The mean over all terms."""
    terms = torch.cat([-reconstruction[:, None], prior[:, None], denoising], dim=1)
    return terms.mean(dim=1) / (dimensions * math.log(2))


@wrong("bits", "prior and denoising are divergences: in the bound each is subtracted")
def bits_per_dim(reconstruction, prior, denoising, dimensions):
    """Divergences added to the bound."""
    bound = reconstruction + prior + denoising.sum(dim=1)
    return -bound / (dimensions * math.log(2))


@right("bits")
def bits_per_dim(reconstruction, prior, denoising, dimensions):
    """With log2 of e, in double precision."""
    nats = prior.double() + denoising.double().sum(1) - reconstruction.double()
    return nats * math.log2(math.e) / dimensions


@right("bits")
def bits_per_dim(reconstruction, prior, denoising, dimensions):
    """A loop over t."""
    cost = prior - reconstruction
    for term in denoising.unbind(1):
        cost = cost + term
    return cost / dimensions / torch.tensor(2.0).log()


@right("bits")
def bits_per_dim(reconstruction, prior, denoising, dimensions):
    """All terms in one table, and to bits at once."""
    terms = torch.stack([-reconstruction, prior, *denoising.T])
    return [float(column.sum()) / math.log(2**dimensions) for column in terms.T]


@wrong("path", "p(x_T) is missing in the last column")
def path_terms(x0, eps, alpha_bar, model):
    """No prior."""
    terms, x, log_q = [], x0, torch.zeros_like(x0)
    for t in range(1, len(alpha_bar)):
        alpha = alpha_bar[t] / alpha_bar[t - 1]
        above = alpha.sqrt() * x + (1 - alpha).sqrt() * eps[t - 1]
        terms.append(log_normal(x, *model(above, t)) - log_q)
        log_q = log_normal(above, alpha.sqrt() * x, (1 - alpha).log())
        x = above
    return torch.stack([*terms, -log_q], dim=1)


@wrong("path", "the noise is multiplied with a variance: the standard deviation belongs there")
def path_terms(x0, eps, alpha_bar, model):
    """beta for its root."""
    terms, x, log_q = [], x0, torch.zeros_like(x0)
    for t in range(1, len(alpha_bar)):
        alpha = alpha_bar[t] / alpha_bar[t - 1]
        above = alpha.sqrt() * x + (1 - alpha) * eps[t - 1]
        terms.append(log_normal(x, *model(above, t)) - log_q)
        log_q = log_normal(above, alpha.sqrt() * x, (1 - alpha).log())
        x = above
    return torch.stack([*terms, log_normal(x, 0.0, 0.0) - log_q], dim=1)


@wrong("path", "each x_t was made from x_0 at once: on a path, it is made from x_{t-1}")
def path_terms(x0, eps, alpha_bar, model):
    """Jumps from the data."""
    terms, x, log_q = [], x0, torch.zeros_like(x0)
    for t in range(1, len(alpha_bar)):
        alpha = alpha_bar[t] / alpha_bar[t - 1]
        above = alpha_bar[t].sqrt() * x0 + (1 - alpha_bar[t]).sqrt() * eps[t - 1]
        terms.append(log_normal(x, *model(above, t)) - log_q)
        log_q = log_normal(above, alpha.sqrt() * x, (1 - alpha).log())
        x = above
    return torch.stack([*terms, log_normal(x, 0.0, 0.0) - log_q], dim=1)


@wrong("path", "q is that of x_t given x_0: given x_{t-1} is meant")
def path_terms(x0, eps, alpha_bar, model):
    """The density given the data."""
    terms, x, log_q = [], x0, torch.zeros_like(x0)
    for t in range(1, len(alpha_bar)):
        alpha = alpha_bar[t] / alpha_bar[t - 1]
        above = alpha.sqrt() * x + (1 - alpha).sqrt() * eps[t - 1]
        terms.append(log_normal(x, *model(above, t)) - log_q)
        log_q = log_normal(above, alpha_bar[t].sqrt() * x0, (1 - alpha_bar[t]).log())
        x = above
    return torch.stack([*terms, log_normal(x, 0.0, 0.0) - log_q], dim=1)


@wrong("path", "alpha_bar was used for one step: that is alpha_bar_t over alpha_bar_{t-1}")
def path_terms(x0, eps, alpha_bar, model):
    """alpha_bar for alpha."""
    terms, x, log_q = [], x0, torch.zeros_like(x0)
    for t in range(1, len(alpha_bar)):
        alpha = alpha_bar[t]
        above = alpha.sqrt() * x + (1 - alpha).sqrt() * eps[t - 1]
        terms.append(log_normal(x, *model(above, t)) - log_q)
        log_q = log_normal(above, alpha.sqrt() * x, (1 - alpha).log())
        x = above
    return torch.stack([*terms, log_normal(x, 0.0, 0.0) - log_q], dim=1)


@wrong("path", "the signs are reversed: it is ln p minus ln q")
def path_terms(x0, eps, alpha_bar, model):
    """The sign."""
    terms, x, log_q = [], x0, torch.zeros_like(x0)
    for t in range(1, len(alpha_bar)):
        alpha = alpha_bar[t] / alpha_bar[t - 1]
        above = alpha.sqrt() * x + (1 - alpha).sqrt() * eps[t - 1]
        terms.append(log_q - log_normal(x, *model(above, t)))
        log_q = log_normal(above, alpha.sqrt() * x, (1 - alpha).log())
        x = above
    return torch.stack([*terms, log_q - log_normal(x, 0.0, 0.0)], dim=1)


@wrong("path", "the model is asked at t - 1: it wants the t of the state that it is given")
def path_terms(x0, eps, alpha_bar, model):
    """The model called with t - 1."""
    terms, x, log_q = [], x0, torch.zeros_like(x0)
    for t in range(1, len(alpha_bar)):
        alpha = alpha_bar[t] / alpha_bar[t - 1]
        above = alpha.sqrt() * x + (1 - alpha).sqrt() * eps[t - 1]
        terms.append(log_normal(x, *model(above, t - 1)) - log_q)
        log_q = log_normal(above, alpha.sqrt() * x, (1 - alpha).log())
        x = above
    return torch.stack([*terms, log_normal(x, 0.0, 0.0) - log_q], dim=1)


@wrong("path", "the model is shown the lower state: it has to guess that one from the one above")
def path_terms(x0, eps, alpha_bar, model):
    """The model shown what it has to guess."""
    terms, x, log_q = [], x0, torch.zeros_like(x0)
    for t in range(1, len(alpha_bar)):
        alpha = alpha_bar[t] / alpha_bar[t - 1]
        above = alpha.sqrt() * x + (1 - alpha).sqrt() * eps[t - 1]
        terms.append(log_normal(x, *model(x, t)) - log_q)
        log_q = log_normal(above, alpha.sqrt() * x, (1 - alpha).log())
        x = above
    return torch.stack([*terms, log_normal(x, 0.0, 0.0) - log_q], dim=1)


@wrong("path", TERM_FOR_STEP)
def path_terms(x0, eps, alpha_bar, model):
    """Paired by step, not by state."""
    terms, x = [], x0
    for t in range(1, len(alpha_bar)):
        alpha = alpha_bar[t] / alpha_bar[t - 1]
        above = alpha.sqrt() * x + (1 - alpha).sqrt() * eps[t - 1]
        log_q = log_normal(above, alpha.sqrt() * x, (1 - alpha).log())
        terms.append(log_normal(x, *model(above, t)) - log_q)
        x = above
    return torch.stack([*terms, log_normal(x, 0.0, 0.0)], dim=1)


@wrong("path", "this is the sum of the terms: give each of them")
def path_terms(x0, eps, alpha_bar, model):
    """Summed over t."""
    total, x = 0, x0
    for t in range(1, len(alpha_bar)):
        alpha = alpha_bar[t] / alpha_bar[t - 1]
        above = alpha.sqrt() * x + (1 - alpha).sqrt() * eps[t - 1]
        log_q = log_normal(above, alpha.sqrt() * x, (1 - alpha).log())
        total = total + log_normal(x, *model(above, t)) - log_q
        x = above
    return total + log_normal(x, 0.0, 0.0)


@wrong("path", "rows and columns are interchanged: one row for each x_0 is asked for")
def path_terms(x0, eps, alpha_bar, model):
    """Stacked along the first dimension."""
    terms, x, log_q = [], x0, torch.zeros_like(x0)
    for t in range(1, len(alpha_bar)):
        alpha = alpha_bar[t] / alpha_bar[t - 1]
        above = alpha.sqrt() * x + (1 - alpha).sqrt() * eps[t - 1]
        terms.append(log_normal(x, *model(above, t)) - log_q)
        log_q = log_normal(above, alpha.sqrt() * x, (1 - alpha).log())
        x = above
    return torch.stack([*terms, log_normal(x, 0.0, 0.0) - log_q])


@wrong("path", "a variance was passed to log_normal: it takes the logarithm of the variance")
def path_terms(x0, eps, alpha_bar, model):
    """The variance for its logarithm, in q."""
    terms, x, log_q = [], x0, torch.zeros_like(x0)
    for t in range(1, len(alpha_bar)):
        alpha = alpha_bar[t] / alpha_bar[t - 1]
        above = alpha.sqrt() * x + (1 - alpha).sqrt() * eps[t - 1]
        terms.append(log_normal(x, *model(above, t)) - log_q)
        log_q = log_normal(above, alpha.sqrt() * x, 1 - alpha)
        x = above
    return torch.stack([*terms, log_normal(x, 0.0, 0.0) - log_q], dim=1)


@wrong("path", "the prior has variance 1, so its log-variance is 0")
def path_terms(x0, eps, alpha_bar, model):
    """The variance of the prior for its logarithm."""
    terms, x, log_q = [], x0, torch.zeros_like(x0)
    for t in range(1, len(alpha_bar)):
        alpha = alpha_bar[t] / alpha_bar[t - 1]
        above = alpha.sqrt() * x + (1 - alpha).sqrt() * eps[t - 1]
        terms.append(log_normal(x, *model(above, t)) - log_q)
        log_q = log_normal(above, alpha.sqrt() * x, (1 - alpha).log())
        x = above
    return torch.stack([*terms, log_normal(x, 0.0, 1.0) - log_q], dim=1)


@right("path")
def path_terms(x0, eps, alpha_bar, model):
    """The whole path first, then the terms by torch.distributions."""
    Normal = torch.distributions.Normal
    T, path = len(alpha_bar) - 1, [x0]
    beta = 1 - alpha_bar[1:] / alpha_bar[:-1]
    for noise, variance in zip(eps, beta, strict=True):
        path.append((1 - variance).sqrt() * path[-1] + variance.sqrt() * noise)
    columns = torch.empty(len(x0), T + 1, dtype=path[-1].dtype)
    for t in range(T + 1):
        if t == T:
            p = Normal(torch.zeros_like(path[T]), 1.0)
        else:
            mean, log_variance = model(path[t + 1], t + 1)
            p = Normal(mean, log_variance.exp().sqrt())
        columns[:, t] = p.log_prob(path[t])
        if t > 0:
            q = Normal((1 - beta[t - 1]).sqrt() * path[t - 1], beta[t - 1].sqrt())
            columns[:, t] -= q.log_prob(path[t])
    return columns


@right("path")
def path_terms(x0, eps, alpha_bar, model):
    """ln q from the noise itself, in double precision, with an extra dimension."""
    x0, eps, alpha_bar = x0.double(), eps.double(), alpha_bar.double()
    states, log_q = [x0], [torch.zeros_like(x0)]
    for t in range(1, len(alpha_bar)):
        alpha = alpha_bar[t] / alpha_bar[t - 1]
        states.append(alpha**0.5 * states[-1] + (1 - alpha) ** 0.5 * eps[t - 1])
        log_q.append(-0.5 * (math.log(2 * math.pi) + torch.log1p(-alpha) + eps[t - 1] ** 2))
    log_p = [log_normal(states[t - 1], *model(states[t], t)) for t in range(1, len(states))]
    log_p.append(-0.5 * (math.log(2 * math.pi) + states[-1] ** 2))
    return (torch.stack(log_p) - torch.stack(log_q)).T[None]


@right("path")
def path_terms(x0, eps, alpha_bar, model):
    """One path after the other, with t as a tensor."""
    rows = []
    for start, noise in zip(x0, eps.T, strict=True):
        x, row = start.reshape(1), torch.zeros(len(alpha_bar), dtype=alpha_bar.dtype)
        for t in torch.arange(1, len(alpha_bar)):
            alpha = alpha_bar[t] / alpha_bar[t - 1]
            above = alpha.sqrt() * x + (1 - alpha).sqrt() * noise[t - 1]
            row[t - 1] += log_normal(x, *model(above, t))[0]
            row[t] -= log_normal(above, alpha.sqrt() * x, (1 - alpha).log())[0]
            x = above
        row[-1] += log_normal(x, 0.0, 0.0)[0]
        rows.append(row)
    return torch.stack(rows)


@wrong("repair", "the mistake is still there: the bound has the sum over all steps, not their mean")
def bound_estimate(reconstruction, prior, denoising, drawn):
    """As it was."""
    return broken_estimate(reconstruction, prior, denoising, drawn)


@wrong("repair", "there are T - 1 denoising terms, not T")
def bound_estimate(reconstruction, prior, denoising, drawn):
    """T times the mean."""
    terms = denoising.gather(1, drawn - 2)
    return reconstruction - prior - (denoising.shape[1] + 1) * terms.mean(dim=1)


@wrong("repair", "this is the sum over the steps that were drawn: it grows with their number")
def bound_estimate(reconstruction, prior, denoising, drawn):
    """A sum for the mean."""
    return reconstruction - prior - denoising.gather(1, drawn - 2).sum(dim=1)


@wrong("repair", "the mean is multiplied by the number of draws, and T - 1 is right")
def bound_estimate(reconstruction, prior, denoising, drawn):
    """The draws counted twice: a sum, times n."""
    terms = denoising.gather(1, drawn - 2)
    return reconstruction - prior - drawn.shape[1] ** 2 * terms.mean(dim=1)


@wrong("repair", "these are all the terms: only those that were drawn are to be used")
def bound_estimate(reconstruction, prior, denoising, drawn):
    """The bound itself."""
    return reconstruction - prior - denoising.sum(dim=1)


@wrong("repair", "the divergences are added: they make the bound smaller")
def bound_estimate(reconstruction, prior, denoising, drawn):
    """A sign turned."""
    terms = denoising.gather(1, drawn - 2)
    return reconstruction - prior + denoising.shape[1] * terms.mean(dim=1)


@wrong("repair", "the prior term is multiplied by T - 1 too: it stands in the bound once")
def bound_estimate(reconstruction, prior, denoising, drawn):
    """The factor on both."""
    terms = denoising.gather(1, drawn - 2)
    return reconstruction - denoising.shape[1] * (prior + terms.mean(dim=1))


@wrong("repair", "the mean is over the pictures: take it over the steps of each one")
def bound_estimate(reconstruction, prior, denoising, drawn):
    """One mean for all pictures."""
    terms = denoising.gather(1, drawn - 2)
    return reconstruction - prior - denoising.shape[1] * terms.mean()


@wrong("repair", "IndexError")
def bound_estimate(reconstruction, prior, denoising, drawn):
    """The column is taken for t itself."""
    terms = torch.stack([row[t] for row, t in zip(denoising, drawn, strict=True)])
    return reconstruction - prior - denoising.shape[1] * terms.mean(dim=1)


@wrong("repair", "the columns are off by one: column 0 belongs to t = 2, as before")
def bound_estimate(reconstruction, prior, denoising, drawn):
    """Column 0 taken for t = 3, and the last one for t = 2."""
    terms = denoising.gather(1, (drawn - 3) % denoising.shape[1])
    return reconstruction - prior - denoising.shape[1] * terms.mean(dim=1)


@wrong("repair", "no gradient reaches argument 3")
def bound_estimate(reconstruction, prior, denoising, drawn):
    """The terms as plain numbers."""
    terms = denoising.detach().gather(1, drawn - 2)
    return reconstruction - prior - denoising.shape[1] * terms.mean(dim=1)


@right("repair")
def bound_estimate(reconstruction, prior, denoising, drawn):
    """The one line repaired."""
    terms = denoising.gather(1, drawn - 2)
    average = denoising.shape[1] * terms.mean(dim=1)
    return reconstruction - prior - average


@right("repair")
def bound_estimate(reconstruction, prior, denoising, drawn):
    """Row by row."""
    bounds = []
    for k in range(len(prior)):
        terms = denoising[k][drawn[k] - 2]
        loss = prior[k] + terms.sum() * len(denoising[k]) / len(terms)
        bounds.append(reconstruction[k] - loss)
    return torch.stack(bounds)


@right("repair")
def bound_estimate(reconstruction, prior, denoising, drawn):
    """How often each step was drawn, as a weight of its term."""
    steps = torch.arange(2, denoising.shape[1] + 2)
    often = (drawn[:, :, None] == steps).to(denoising.dtype).mean(1)
    return reconstruction - (denoising * often).sum(1) * len(steps) - prior
