"""Answers to assignment 1, wrong and right."""

import math

import torch
from variants import right, wrong

CONSTANT = "the constant is missing: the density has a factor of one over the root of 2 pi"
LOG_AS_SIGMA = "log_variance is the logarithm of sigma squared, not of sigma"
LOG_AS_VARIANCE = "log_variance was taken for the variance: did you forget exp?"
NO_ROOT = "the variance stands where the standard deviation belongs: did you forget the root?"


@wrong("density", CONSTANT)
def log_density(x, mean, log_variance):
    """No constant."""
    return -0.5 * (log_variance + (x - mean) ** 2 / log_variance.exp())


@wrong("density", LOG_AS_VARIANCE)
def log_density(x, mean, log_variance):
    """The log-variance taken for the variance."""
    return -0.5 * (math.log(2 * math.pi) + log_variance + (x - mean) ** 2 / log_variance)


@wrong("density", LOG_AS_SIGMA)
def log_density(x, mean, log_variance):
    """The log-variance taken for the log of sigma."""
    squared = (x - mean) ** 2 / (2 * log_variance).exp()
    return -0.5 * (math.log(2 * math.pi) + 2 * log_variance + squared)


@wrong("density", "the square counts for instead of against: look at the sign in the exponent")
def log_density(x, mean, log_variance):
    """The sign of the square."""
    return -0.5 * (math.log(2 * math.pi) + log_variance - (x - mean) ** 2 / log_variance.exp())


@wrong("density", "this is the density: its logarithm is asked for")
def log_density(x, mean, log_variance):
    """The density, not its logarithm."""
    squared = (x - mean) ** 2 / log_variance.exp()
    return (-0.5 * squared).exp() / (2 * math.pi * log_variance.exp()).sqrt()


@wrong("density", "the logarithm of sigma is missing: the density also has sigma in front")
def log_density(x, mean, log_variance):
    """No ln sigma."""
    return -0.5 * (math.log(2 * math.pi) + (x - mean) ** 2 / log_variance.exp())


@wrong("density", "the square lacks its factor 1/2")
def log_density(x, mean, log_variance):
    """No half at the square."""
    squared = (x - mean) ** 2 / log_variance.exp()
    return -0.5 * (math.log(2 * math.pi) + log_variance) - squared


@wrong("density", "this is the sum over all entries: give one number for each")
def log_density(x, mean, log_variance):
    """Summed over the entries."""
    squared = (x - mean) ** 2 / log_variance.exp()
    return (-0.5 * (math.log(2 * math.pi) + log_variance + squared)).sum()


@wrong("density", "ln(2 pi) is not halved: 2 pi stands under a root")
def log_density(x, mean, log_variance):
    """The whole of ln 2 pi."""
    return -math.log(2 * math.pi) - 0.5 * (log_variance + (x - mean) ** 2 / log_variance.exp())


@wrong("density", "log_variance is not halved: the root of the variance stands in front")
def log_density(x, mean, log_variance):
    """The whole of the log-variance."""
    return -0.5 * (math.log(2 * math.pi) + (x - mean) ** 2 / log_variance.exp()) - log_variance


@right("density")
def log_density(x, mean, log_variance):
    """By torch.distributions."""
    return torch.distributions.Normal(mean, torch.exp(log_variance / 2)).log_prob(x)


@right("density")
def log_density(x, mean, log_variance):
    """With sigma, in double precision."""
    sigma = torch.sqrt(torch.exp(log_variance.double()))
    z = (x.double() - mean) / sigma
    return -(z**2) / 2 - torch.log(sigma) - math.log(math.sqrt(2 * math.pi))


@right("density")
def log_density(x, mean, log_variance):
    """In a loop over the entries."""
    three = torch.broadcast_tensors(x, mean, log_variance)
    result = []
    for u, m, v in zip(*(each.flatten() for each in three), strict=True):
        result.append(-((u - m) ** 2) / (2 * torch.exp(v)) - v / 2 - 0.918938533204673)
    return torch.stack(result).reshape(three[0].shape)


@wrong("density", "no gradient reaches argument 1")
def log_density(x, mean, log_variance):
    """With Python's numbers, through which no gradient comes."""
    three = torch.broadcast_tensors(x, mean, log_variance)
    result = []
    for u, m, v in zip(*(each.flatten().tolist() for each in three), strict=True):
        result.append(-((u - m) ** 2) / (2 * math.exp(v)) - v / 2 - 0.918938533204673)
    return torch.tensor(result).reshape(three[0].shape)


@wrong("density", "only a part of the gradient reaches argument 3")
def log_density(x, mean, log_variance):
    """The variance detached."""
    variance = log_variance.detach().exp()
    return -0.5 * (math.log(2 * math.pi) + log_variance + (x - mean) ** 2 / variance)


@wrong("density", "changes what it is given: work on a copy of argument 1")
def log_density(x, mean, log_variance):
    """In place."""
    x -= mean
    return -0.5 * (math.log(2 * math.pi) + log_variance + x**2 / log_variance.exp())


@wrong("density", "the answer is not finite")
def log_density(x, mean, log_variance):
    """The logarithm of a density that underflows."""
    squared = (x - mean) ** 2 / log_variance.exp()
    return ((-0.5 * squared).exp() / (2 * math.pi * log_variance.exp()).sqrt()).log()


@wrong("density", "the answer is -92.1")
def log_density(x, mean, log_variance):
    """A small number under the logarithm of a density."""
    squared = (x - mean) ** 2 / log_variance.exp()
    return ((-0.5 * squared).exp() / (2 * math.pi * log_variance.exp()).sqrt() + 1e-40).log()


@wrong("reparameterise", NO_ROOT)
def reparameterise(mean, log_variance, eps):
    """The variance for sigma."""
    return mean + log_variance.exp() * eps


@wrong("reparameterise", LOG_AS_VARIANCE)
def reparameterise(mean, log_variance, eps):
    """The root of the log-variance."""
    return mean + log_variance.abs().sqrt() * eps


@wrong("reparameterise", "the log-variance itself is used as a scale")
def reparameterise(mean, log_variance, eps):
    """The log-variance for sigma."""
    return mean + log_variance * eps


@wrong("reparameterise", "the same call gives another answer the second time")
def reparameterise(mean, log_variance, eps):
    """Noise of its own."""
    return mean + (log_variance / 2).exp() * torch.randn_like(eps)


@wrong("reparameterise", "the mean is scaled too: only the noise is")
def reparameterise(mean, log_variance, eps):
    """The mean scaled as well."""
    return (mean + eps) * (log_variance / 2).exp()


@wrong("reparameterise", "the noise is divided by sigma: it has to be multiplied")
def reparameterise(mean, log_variance, eps):
    """Divided by sigma."""
    return mean + eps / (log_variance / 2).exp()


@wrong("reparameterise", "no gradient reaches argument 1")
def reparameterise(mean, log_variance, eps):
    """Detached, as torch's sample() does."""
    return (mean + (log_variance / 2).exp() * eps).detach()


@wrong(
    "reparameterise",
    "the scale is 1 + log_variance / 2: that is only the beginning of the exponential",
)
def reparameterise(mean, log_variance, eps):
    """The exponential cut after its first term."""
    return mean + (1 + log_variance / 2) * eps


@wrong("reparameterise", "is there a root or a logarithm of a negative number")
def reparameterise(mean, log_variance, eps):
    """The root of a log-variance that may be negative."""
    return mean + log_variance.sqrt() * eps


@wrong("reparameterise", "no gradient reaches argument 2")
def reparameterise(mean, log_variance, eps):
    """Detached sigma."""
    return mean + (log_variance / 2).exp().detach() * eps


@right("reparameterise")
def reparameterise(mean, log_variance, eps):
    """The root of the variance."""
    return torch.sqrt(torch.exp(log_variance)) * eps + mean


@right("reparameterise")
def reparameterise(mean, log_variance, eps):
    """By torch.addcmul, in double precision."""
    sigma = torch.exp(0.5 * log_variance.double()).expand_as(eps)
    return torch.addcmul(mean.double().expand_as(eps), sigma, eps.double())


@right("reparameterise")
def reparameterise(mean, log_variance, eps):
    """With an extra dimension on the way."""
    noise = torch.exp(log_variance) ** 0.5 * eps
    return torch.stack([mean.expand_as(noise), noise]).sum(0)


@wrong("kl", "the two are interchanged: this is the divergence of the second from the first")
def kl_normal(mean_1, log_variance_1, mean_2, log_variance_2):
    """The other way round."""
    ratio = (log_variance_2 - log_variance_1).exp()
    distance = (mean_1 - mean_2) ** 2 / log_variance_1.exp()
    return 0.5 * (ratio - 1 + distance + log_variance_1 - log_variance_2)


@wrong("kl", "this is twice the divergence: the factor 1/2 is missing")
def kl_normal(mean_1, log_variance_1, mean_2, log_variance_2):
    """No half."""
    ratio = (log_variance_1 - log_variance_2).exp()
    distance = (mean_1 - mean_2) ** 2 / log_variance_2.exp()
    return ratio - 1 + distance + log_variance_2 - log_variance_1


@wrong("kl", "this is too large by 1/2: of equal distributions it would not be 0")
def kl_normal(mean_1, log_variance_1, mean_2, log_variance_2):
    """The -1 forgotten."""
    ratio = (log_variance_1 - log_variance_2).exp()
    distance = (mean_1 - mean_2) ** 2 / log_variance_2.exp()
    return 0.5 * (ratio + distance + log_variance_2 - log_variance_1)


@wrong("kl", "the ratio of standard deviations stands where that of variances belongs")
def kl_normal(mean_1, log_variance_1, mean_2, log_variance_2):
    """Sigmas for variances."""
    ratio = ((log_variance_1 - log_variance_2) / 2).exp()
    distance = (mean_1 - mean_2) ** 2 / log_variance_2.exp()
    return 0.5 * (ratio - 1 + distance + log_variance_2 - log_variance_1)


@wrong(
    "kl",
    "the distance is divided by the first variance: it must be the second",
)
def kl_normal(mean_1, log_variance_1, mean_2, log_variance_2):
    """The wrong variance under the distance."""
    ratio = (log_variance_1 - log_variance_2).exp()
    distance = (mean_1 - mean_2) ** 2 / log_variance_1.exp()
    return 0.5 * (ratio - 1 + distance + log_variance_2 - log_variance_1)


@wrong("kl", "the difference of the log-variances has the wrong sign")
def kl_normal(mean_1, log_variance_1, mean_2, log_variance_2):
    """The sign of the logarithms."""
    ratio = (log_variance_1 - log_variance_2).exp()
    distance = (mean_1 - mean_2) ** 2 / log_variance_2.exp()
    return 0.5 * (ratio - 1 + distance + log_variance_1 - log_variance_2)


@wrong("kl", "the distance of the means is not squared")
def kl_normal(mean_1, log_variance_1, mean_2, log_variance_2):
    """No square at the distance."""
    ratio = (log_variance_1 - log_variance_2).exp()
    distance = (mean_1 - mean_2).abs() / log_variance_2.exp()
    return 0.5 * (ratio - 1 + distance + log_variance_2 - log_variance_1)


@wrong("kl", LOG_AS_VARIANCE)
def kl_normal(mean_1, log_variance_1, mean_2, log_variance_2):
    """Log-variances taken for variances."""
    ratio = log_variance_1 / log_variance_2
    distance = (mean_1 - mean_2) ** 2 / log_variance_2
    return 0.5 * (ratio - 1 + distance - ratio.abs().log())


@wrong("kl", "ln(sigma_2 / sigma_1) is half the difference of the log-variances, not all of it")
def kl_normal(mean_1, log_variance_1, mean_2, log_variance_2):
    """Log-variances for logs of sigma."""
    ratio = (log_variance_1 - log_variance_2).exp()
    distance = (mean_1 - mean_2) ** 2 / log_variance_2.exp()
    return log_variance_2 - log_variance_1 + 0.5 * (ratio - 1 + distance)


@right("kl")
def kl_normal(mean_1, log_variance_1, mean_2, log_variance_2):
    """With sigmas, as most books print it."""
    sigma_1, sigma_2 = torch.exp(log_variance_1 / 2), torch.exp(log_variance_2 / 2)
    squares = (sigma_1**2 + (mean_1 - mean_2) ** 2) / (2 * sigma_2**2)
    return torch.log(sigma_2 / sigma_1) + squares - 0.5


@right("kl")
def kl_normal(mean_1, log_variance_1, mean_2, log_variance_2):
    """By torch.distributions, in double precision."""
    normal_1 = torch.distributions.Normal(mean_1.double(), (log_variance_1.double() / 2).exp())
    normal_2 = torch.distributions.Normal(mean_2.double(), (log_variance_2.double() / 2).exp())
    return torch.distributions.kl_divergence(normal_1, normal_2)


@right("kl")
def kl_normal(mean_1, log_variance_1, mean_2, log_variance_2):
    """Cross-entropy minus entropy, in a loop."""
    four = torch.broadcast_tensors(mean_1, log_variance_1, mean_2, log_variance_2)
    result = []
    for m1, v1, m2, v2 in zip(*(each.flatten() for each in four), strict=True):
        cross = 0.5 * (math.log(2 * math.pi) + v2 + (v1.exp() + (m1 - m2) ** 2) / v2.exp())
        result.append(cross - 0.5 * (math.log(2 * math.pi) + v1 + 1))
    return torch.stack(result).reshape(four[0].shape)


@wrong("kl", "only a part of the gradient reaches argument 4")
def kl_normal(mean_1, log_variance_1, mean_2, log_variance_2):
    """The second deviation without a gradient."""
    with torch.no_grad():
        variance = log_variance_2.exp()
    ratio = log_variance_1.exp() / variance + (mean_1 - mean_2) ** 2 / variance
    return 0.5 * (ratio - 1 + log_variance_2 - log_variance_1)


@wrong("kl", "changes what it is given: work on a copy of argument 1")
def kl_normal(mean_1, log_variance_1, mean_2, log_variance_2):
    """In place."""
    ratio = (log_variance_1 - log_variance_2).exp()
    distance = mean_1.sub_(mean_2) ** 2 / log_variance_2.exp()
    return 0.5 * (ratio - 1 + distance + log_variance_2 - log_variance_1)


@wrong(
    "prior", "this is the mean over the latents: they are independent, so their divergences add up"
)
def prior_kl(mean, log_variance):
    """The mean over latents."""
    return 0.5 * (log_variance.exp() + mean**2 - 1 - log_variance).mean(dim=1)


@wrong("prior", "this is one number for all pictures: give one for each")
def prior_kl(mean, log_variance):
    """Summed over the pictures too."""
    return 0.5 * (log_variance.exp() + mean**2 - 1 - log_variance).sum()


@wrong("prior", "the sign is that of the term in the bound: a divergence is never negative")
def prior_kl(mean, log_variance):
    """Minus the divergence."""
    return 0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(dim=1)


@wrong("prior", "this is twice the divergence: the factor 1/2 is missing")
def prior_kl(mean, log_variance):
    """No half."""
    return (log_variance.exp() + mean**2 - 1 - log_variance).sum(dim=1)


@wrong("prior", LOG_AS_SIGMA)
def prior_kl(mean, log_variance):
    """The log-variance taken for the log of sigma."""
    return (0.5 * ((2 * log_variance).exp() + mean**2 - 1) - log_variance).sum(dim=1)


@wrong("prior", "the two are interchanged: this is the divergence of the prior from the encoder")
def prior_kl(mean, log_variance):
    """The other way round."""
    precision = (-log_variance).exp()
    return 0.5 * (precision + mean**2 * precision - 1 + log_variance).sum(dim=1)


@wrong("prior", "the sum runs over the pictures: it has to run over the latents of each")
def prior_kl(mean, log_variance):
    """Summed over the wrong dimension."""
    return 0.5 * (log_variance.exp() + mean**2 - 1 - log_variance).sum(dim=0)


@wrong("prior", "the prior has variance 1, so its log-variance is 0")
def prior_kl(mean, log_variance):
    """The variance of the prior for its logarithm."""
    zero = torch.zeros_like(mean)
    return kl_normal(mean, log_variance, zero, zero + 1).sum(dim=1)


@wrong("prior", "this is the mean over everything: add up over the latents of each picture")
def prior_kl(mean, log_variance):
    """The mean over everything."""
    return 0.5 * (log_variance.exp() + mean**2 - 1 - log_variance).mean()


@right("prior")
def prior_kl(mean, log_variance):
    """The line of most VAE programs, with the sign turned."""
    return -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp(), dim=-1)


@right("prior")
def prior_kl(mean, log_variance):
    """By torch.distributions, picture by picture, in double precision."""
    rows = []
    for m, v in zip(mean.double(), log_variance.double(), strict=True):
        encoder = torch.distributions.Normal(m, (v / 2).exp())
        prior = torch.distributions.Normal(torch.zeros_like(m), torch.ones_like(m))
        rows.append(torch.distributions.kl_divergence(encoder, prior).sum())
    return torch.stack(rows)


@right("prior")
def prior_kl(mean, log_variance):
    """Added up by einsum."""
    each = 0.5 * (mean * mean + torch.exp(log_variance) - log_variance - 1)
    return torch.einsum("bd->b", each)


@wrong("prior", "a dimension of size 1 is too many")
def prior_kl(mean, log_variance):
    """One column for the result."""
    each = 0.5 * (mean * mean + torch.exp(log_variance) - log_variance - 1)
    return each.sum(dim=1, keepdim=True)


@wrong("estimate", "the draws are made from the second distribution: the average is over the first")
def kl_estimate(mean_1, log_variance_1, mean_2, log_variance_2, eps):
    """Draws from the second."""
    x = reparameterise(mean_2, log_variance_2, eps)
    difference = log_density(x, mean_1, log_variance_1) - log_density(x, mean_2, log_variance_2)
    return difference.mean(dim=0)


@wrong("estimate", "the sign is reversed: it is the first's logarithm minus the second's")
def kl_estimate(mean_1, log_variance_1, mean_2, log_variance_2, eps):
    """The sign."""
    x = reparameterise(mean_1, log_variance_1, eps)
    difference = log_density(x, mean_2, log_variance_2) - log_density(x, mean_1, log_variance_1)
    return difference.mean(dim=0)


@wrong("estimate", "this is the sum over the draws: an average is asked for")
def kl_estimate(mean_1, log_variance_1, mean_2, log_variance_2, eps):
    """The sum over draws."""
    x = reparameterise(mean_1, log_variance_1, eps)
    difference = log_density(x, mean_1, log_variance_1) - log_density(x, mean_2, log_variance_2)
    return difference.sum(dim=0)


@wrong("estimate", "eps itself is used as the draw")
def kl_estimate(mean_1, log_variance_1, mean_2, log_variance_2, eps):
    """Standard normal draws."""
    difference = log_density(eps, mean_1, log_variance_1) - log_density(eps, mean_2, log_variance_2)
    return difference.mean(dim=0)


@wrong("estimate", "densities are subtracted: subtract their logarithms")
def kl_estimate(mean_1, log_variance_1, mean_2, log_variance_2, eps):
    """Densities, not logarithms."""
    x = reparameterise(mean_1, log_variance_1, eps)
    density_1 = log_density(x, mean_1, log_variance_1).exp()
    return (density_1 - log_density(x, mean_2, log_variance_2).exp()).mean(dim=0)


@wrong("estimate", "this is the average over draws and entries: give one estimate for each entry")
def kl_estimate(mean_1, log_variance_1, mean_2, log_variance_2, eps):
    """Averaged over the entries too."""
    x = reparameterise(mean_1, log_variance_1, eps)
    difference = log_density(x, mean_1, log_variance_1) - log_density(x, mean_2, log_variance_2)
    return difference.mean()


@wrong("estimate", "this is the average of the first logarithm alone, an entropy")
def kl_estimate(mean_1, log_variance_1, mean_2, log_variance_2, eps):
    """Only one of the two logarithms."""
    x = reparameterise(mean_1, log_variance_1, eps)
    return log_density(x, mean_1, log_variance_1).mean(dim=0)


@wrong("estimate", "each logarithm is taken at a draw of its own: take both at that of the first")
def kl_estimate(mean_1, log_variance_1, mean_2, log_variance_2, eps):
    """Two draws."""
    x_1 = reparameterise(mean_1, log_variance_1, eps)
    x_2 = reparameterise(mean_2, log_variance_2, eps)
    difference = log_density(x_1, mean_1, log_variance_1) - log_density(x_2, mean_2, log_variance_2)
    return difference.mean(dim=0)


@right("estimate")
def kl_estimate(mean_1, log_variance_1, mean_2, log_variance_2, eps):
    """By torch.distributions."""
    normal_1 = torch.distributions.Normal(mean_1, (log_variance_1 / 2).exp())
    normal_2 = torch.distributions.Normal(mean_2, (log_variance_2 / 2).exp())
    x = mean_1 + normal_1.stddev * eps
    return torch.mean(normal_1.log_prob(x) - normal_2.log_prob(x), 0)


@right("estimate")
def kl_estimate(mean_1, log_variance_1, mean_2, log_variance_2, eps):
    """Without the constants, which cancel, and in double precision."""
    x = mean_1.double() + (log_variance_1.double() / 2).exp() * eps.double()
    square_2 = (x - mean_2) ** 2 / log_variance_2.double().exp()
    return 0.5 * (log_variance_2 - log_variance_1 + square_2 - eps.double() ** 2).mean(dim=0)


@right("estimate")
def kl_estimate(mean_1, log_variance_1, mean_2, log_variance_2, eps):
    """A sum over a loop, divided at the end."""
    total = torch.zeros_like(mean_1, dtype=torch.float64)
    for each in eps.split(1000):
        x = reparameterise(mean_1, log_variance_1, each)
        first, second = (
            log_density(x, mean_1, log_variance_1),
            log_density(x, mean_2, log_variance_2),
        )
        total += (first - second).sum(0)
    return total / len(eps)


@wrong("reading", "a is not used: y is a reading of a z, not of z")
def posterior(m, V, a, W, y):
    """As if a were 1."""
    gain = V / (V + W)
    return m + gain * (y - m), (1 - gain) * V


@wrong("reading", "W was squared: it is a variance already")
def posterior(m, V, a, W, y):
    """W taken for a standard deviation."""
    gain = a * V / (a**2 * V + W**2)
    return m + gain * (y - a * m), (1 - gain * a) * V


@wrong("reading", "the prior mean m is not used")
def posterior(m, V, a, W, y):
    """The prior mean forgotten."""
    gain = a * V / (a**2 * V + W)
    return gain * y, (1 - gain * a) * V


@wrong("reading", "y is compared with m: before the reading, y was expected at a m")
def posterior(m, V, a, W, y):
    """y compared with m."""
    gain = a * V / (a**2 * V + W)
    return m + gain * (y - m), (1 - gain * a) * V


@wrong("reading", "this is the precision, one over the variance")
def posterior(m, V, a, W, y):
    """The precision for the variance."""
    gain = a * V / (a**2 * V + W)
    return m + gain * (y - a * m), 1 / V + a**2 / W


@wrong("reading", "this is the standard deviation: the variance is asked for")
def posterior(m, V, a, W, y):
    """The root of the variance."""
    gain = a * V / (a**2 * V + W)
    return m + gain * (y - a * m), ((1 - gain * a) * V).sqrt()


@wrong("reading", "this is the distribution of y before the reading, not that of z after it")
def posterior(m, V, a, W, y):
    """The marginal of y."""
    return a * m, a**2 * V + W


@wrong("reading", "variances were added: the precisions add up")
def posterior(m, V, a, W, y):
    """Variances added."""
    gain = a * V / (a**2 * V + W)
    return m + gain * (y - a * m), V + W / a**2


@wrong("reading", "y / a is a reading of z, but the variance of its noise is W / a^2, not W")
def posterior(m, V, a, W, y):
    """y / a weighted as if its noise had the variance W."""
    return (W * m + V * (y / a)) / (W + V), W * V / (W + V)


@wrong("reading", "the mean and the variance are interchanged: return the mean first")
def posterior(m, V, a, W, y):
    """The variance first."""
    gain = a * V / (a**2 * V + W)
    return (1 - gain * a) * V, m + gain * (y - a * m)


@wrong("reading", "return two things, in a tuple")
def posterior(m, V, a, W, y):
    """The mean alone."""
    return m + a * V / (a**2 * V + W) * (y - a * m)


@right("reading")
def posterior(m, V, a, W, y):
    """Precisions added."""
    precision = 1 / V + a**2 / W
    return (m / V + a * y / W) / precision, 1 / precision


@right("reading")
def posterior(m, V, a, W, y):
    """The reading of z that y / a is, weighted with the prior, in double precision."""
    m, V, a, W, y = (each.double() for each in (m, V, a, W, y))
    own = W / a**2
    return (own * m + V * (y / a)) / (own + V), own * V / (own + V)


@right("reading")
def posterior(m, V, a, W, y):
    """One tensor for both, made in a loop."""
    five, pairs = torch.broadcast_tensors(m, V, a, W, y), []
    for one in zip(*(each.flatten() for each in five), strict=True):
        m1, V1, a1, W1, y1 = one
        variance = V1 * W1 / (a1 * a1 * V1 + W1)
        pairs.append(torch.stack([variance * (m1 / V1 + a1 * y1 / W1), variance]))
    return torch.stack(pairs).T


@wrong("reading", "only a part of the gradient reaches argument 2")
def posterior(m, V, a, W, y):
    """The gain as a constant."""
    gain = (a * V / (a**2 * V + W)).detach()
    return m + gain * (y - a * m), (1 - gain * a) * V


@wrong("score", "you divided by sigma: (z - mean) has to be divided by the variance")
def score_gradient(f, mean, log_variance, eps):
    """eps for eps over sigma."""
    z = reparameterise(mean, log_variance, eps)
    return f(z) * eps


@wrong("score", "f is missing: this is the derivative of ln p alone")
def score_gradient(f, mean, log_variance, eps):
    """Without f."""
    z = reparameterise(mean, log_variance, eps)
    return (z - mean) / log_variance.exp()


@wrong("score", "the sign is reversed: ln p grows when the mean moves towards z")
def score_gradient(f, mean, log_variance, eps):
    """The sign."""
    z = reparameterise(mean, log_variance, eps)
    return f(z) * (mean - z) / log_variance.exp()


@wrong("score", "f is taken at eps: it has to be taken at the draw z")
def score_gradient(f, mean, log_variance, eps):
    """f at the noise."""
    return f(eps) * eps / (log_variance / 2).exp()


@wrong("score", "this is averaged over the draws: give one estimate for each")
def score_gradient(f, mean, log_variance, eps):
    """Averaged."""
    z = reparameterise(mean, log_variance, eps)
    return (f(z) * (z - mean) / log_variance.exp()).mean()


@wrong("score", "this multiplies with the density: the average over draws does that already")
def score_gradient(f, mean, log_variance, eps):
    """The derivative of p, not of ln p."""
    z = reparameterise(mean, log_variance, eps)
    return f(z) * (z - mean) / log_variance.exp() * log_density(z, mean, log_variance).exp()


@wrong("score", "this multiplies with ln p: its derivative by the mean is asked for")
def score_gradient(f, mean, log_variance, eps):
    """ln p itself."""
    z = reparameterise(mean, log_variance, eps)
    return f(z) * log_density(z, mean, log_variance)


@wrong("score", "the derivative is 0: z moved along with the mean. Hold z fixed")
def score_gradient(f, mean, log_variance, eps):
    """By autograd, with a draw that depends on the mean."""
    at = mean.detach().clone().requires_grad_()
    z = reparameterise(at, log_variance, eps)
    (slope,) = torch.autograd.grad(log_density(z, at, log_variance).sum(), at)
    return f(z).detach() * slope


@wrong("score", "the derivatives of all draws were added up: each draw has its own")
def score_gradient(f, mean, log_variance, eps):
    """By autograd, with one derivative for all draws."""
    z = reparameterise(mean, log_variance, eps).detach()
    at = mean.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(log_density(z, at, log_variance).sum(), at)
    return f(z) * slope


@right("score")
def score_gradient(f, mean, log_variance, eps):
    """eps over sigma."""
    sigma = torch.exp(log_variance / 2)
    return f(mean + sigma * eps) * eps / sigma


@right("score")
def score_gradient(f, mean, log_variance, eps):
    """The derivative by autograd."""
    z = reparameterise(mean, log_variance, eps).detach()
    at = mean.detach().expand_as(z).clone().requires_grad_()
    (slope,) = torch.autograd.grad(log_density(z, at, log_variance).sum(), at)
    return f(z) * slope


@right("score")
def score_gradient(f, mean, log_variance, eps):
    """Draw by draw, in double precision."""
    variance = log_variance.double().exp()
    z = (mean.double() + variance.sqrt() * eps.double()).flatten()
    each = [f(part) * (part - mean.double()) / variance for part in z.split(5000)]
    return torch.cat(each).reshape(eps.shape)


@wrong("repair", "the mistake is still there: what is scaled by a has a squared times the variance")
def jump(z_0, a, log_variance):
    """As it was."""
    return broken_jump(z_0, a, log_variance)


@wrong("repair", "the mean is scaled by a, not by its square: it was right before")
def jump(z_0, a, log_variance):
    """Everything squared, the mean too."""
    mean, variance = z_0, torch.zeros(())
    for scale, added in zip(a, log_variance, strict=True):
        mean = scale**2 * mean
        variance = scale**2 * variance + added.exp()
    return mean, variance.log()


@wrong("repair", "each step also scales its own noise: it is added after the scaling")
def jump(z_0, a, log_variance):
    """The new noise is scaled with the old."""
    mean, variance = z_0, torch.zeros(())
    for scale, added in zip(a, log_variance, strict=True):
        mean = scale * mean
        variance = scale**2 * (variance + added.exp())
    return mean, variance.log()


@wrong(
    "repair", "the noise of earlier steps is scaled by later ones: here all variances just add up"
)
def jump(z_0, a, log_variance):
    """The sum of all variances."""
    return z_0 * a.prod(), log_variance.exp().sum().log()


@wrong("repair", "standard deviations were added: it is the variances that add up")
def jump(z_0, a, log_variance):
    """With sigma in place of the variance."""
    mean, sigma = z_0, torch.zeros(())
    for scale, added in zip(a, log_variance, strict=True):
        mean = scale * mean
        sigma = scale.abs() * sigma + (added / 2).exp()
    return mean, 2 * sigma.log()


@wrong("repair", "the root of a is no cure: a scales the number, and its square the variance")
def jump(z_0, a, log_variance):
    """A root, as in the forward process."""
    mean, variance = z_0, torch.zeros(())
    for scale, added in zip(a, log_variance, strict=True):
        mean = scale * mean
        variance = scale.abs() ** 0.5 * variance + added.exp()
    return mean, variance.log()


@wrong("repair", "this is the variance: its logarithm is asked for")
def jump(z_0, a, log_variance):
    """Without the logarithm."""
    mean, variance = z_0, torch.zeros(())
    for scale, added in zip(a, log_variance, strict=True):
        mean = scale * mean
        variance = scale**2 * variance + added.exp()
    return mean, variance


@wrong("repair", "the steps are taken from the last to the first: the first one comes first")
def jump(z_0, a, log_variance):
    """From the end."""
    mean, variance = z_0, torch.zeros(())
    for scale, added in zip(a.flip(0), log_variance.flip(0), strict=True):
        mean = scale * mean
        variance = scale**2 * variance + added.exp()
    return mean, variance.log()


@wrong("repair", "what is there at first counts as variance: z_0 is given")
def jump(z_0, a, log_variance):
    """The variance starts at 1."""
    mean, variance = z_0, torch.ones(())
    for scale, added in zip(a, log_variance, strict=True):
        mean = scale * mean
        variance = scale**2 * variance + added.exp()
    return mean, variance.log()


@wrong("repair", "no gradient reaches argument 2")
def jump(z_0, a, log_variance):
    """In Python's own numbers."""
    mean, variance = z_0, torch.zeros(())
    for scale, added in zip(a.tolist(), log_variance, strict=True):
        mean = scale * mean
        variance = scale**2 * variance + added.exp()
    return mean, variance.log()


@right("repair")
def jump(z_0, a, log_variance):
    """The one line repaired."""
    mean, variance = z_0, torch.zeros(())
    for scale, added in zip(a, log_variance, strict=True):
        mean = scale * mean
        variance = scale**2 * variance + added.exp()
    return mean, variance.log()


@right("repair")
def jump(z_0, a, log_variance):
    """A sum over steps, each noise scaled by all later steps."""
    later = [a[k + 1 :].prod() for k in range(len(a))]
    each = [after**2 * added.exp() for after, added in zip(later, log_variance, strict=True)]
    return a.prod() * z_0, torch.stack(each).sum().log()


@right("repair")
def jump(z_0, a, log_variance):
    """Step by step by recursion, from the last one, in logarithms."""
    if len(a) == 1:
        return a[0] * z_0, log_variance[0]
    mean, before = jump(z_0, a[:-1], log_variance[:-1])
    return a[-1] * mean, torch.logaddexp(before + 2 * a[-1].abs().log(), log_variance[-1])
