"""Answers to assignment 3, wrong and right."""

import math

import torch
from variants import right, wrong

OTHER_STEP = "the table was read at t - 1: entry t belongs to step t, as entry 0 is the data"
ALONG_THE_WIDTH = (
    "the factors run along the width of the pictures: give them the shape (B, 1, 1, 1)"
)
ONE_FOR_ALL = "all pictures got the step of the first: each has a step of its own"
ENTRY_0 = "entry 0 is missing: the table has T + 1 entries and begins with alpha_bar_0 = 1"
ONE_STEP = "this is one step, alpha_t: what is kept of the data is the product of all up to t"
LINEAR_FLOAT32 = "compute in float64 all the way, from beta on"
COSINE_FLOAT32 = "the answer is to have the type torch.float64"


@wrong("linear", ENTRY_0)
def linear_alpha_bar(T, beta_1, beta_T):
    """Length T, counted from 0, as most programs have it."""
    return torch.cumprod(1 - torch.linspace(beta_1, beta_T, T, dtype=torch.float64), dim=0)


@wrong("linear", "entry 0 is not 1: no noise has been added to the data yet")
def linear_alpha_bar(T, beta_1, beta_T):
    """T + 1 values of beta, of which the first falls on the data."""
    return torch.cumprod(1 - torch.linspace(beta_1, beta_T, T + 1, dtype=torch.float64), dim=0)


@wrong("linear", "beta does not begin with beta_1 at t = 1: there are T values, so T - 1 strides")
def linear_alpha_bar(T, beta_1, beta_T):
    """The line drawn from t = 0."""
    t = torch.arange(T + 1, dtype=torch.float64)
    beta = beta_1 + (beta_T - beta_1) * t / T
    beta[0] = 0
    return torch.cumprod(1 - beta, dim=0)


@wrong("linear", "beta does not reach beta_T at t = T: there are T values, so T - 1 strides")
def linear_alpha_bar(T, beta_1, beta_T):
    """The line that stops one stride short."""
    t = torch.arange(T, dtype=torch.float64)
    kept = torch.cumprod(1 - beta_1 - (beta_T - beta_1) * t / T, dim=0)
    return torch.cat([torch.ones(1, dtype=torch.float64), kept])


@wrong("linear", "the betas are added up: the shares that are kept multiply")
def linear_alpha_bar(T, beta_1, beta_T):
    """A sum for the product."""
    beta = torch.linspace(beta_1, beta_T, T, dtype=torch.float64)
    return torch.cat([torch.ones(1, dtype=torch.float64), 1 - beta.cumsum(0)])


@wrong("linear", "this is the product of the betas: that of alpha = 1 - beta is asked for")
def linear_alpha_bar(T, beta_1, beta_T):
    """Beta for alpha."""
    beta = torch.linspace(beta_1, beta_T, T, dtype=torch.float64)
    return torch.cat([torch.ones(1, dtype=torch.float64), beta.cumprod(0)])


@wrong("linear", "beta falls from beta_T to beta_1: it should rise")
def linear_alpha_bar(T, beta_1, beta_T):
    """The end points interchanged."""
    beta = torch.linspace(beta_T, beta_1, T, dtype=torch.float64)
    return torch.cat([torch.ones(1, dtype=torch.float64), (1 - beta).cumprod(0)])


@wrong("linear", ONE_STEP)
def linear_alpha_bar(T, beta_1, beta_T):
    """No product."""
    beta = torch.linspace(beta_1, beta_T, T, dtype=torch.float64)
    return torch.cat([torch.ones(1, dtype=torch.float64), 1 - beta])


@wrong("linear", "the root of beta rises in a straight line: beta itself should")
def linear_alpha_bar(T, beta_1, beta_T):
    """The schedule of latent diffusion."""
    beta = torch.linspace(beta_1**0.5, beta_T**0.5, T, dtype=torch.float64) ** 2
    return torch.cat([torch.ones(1, dtype=torch.float64), (1 - beta).cumprod(0)])


@wrong("linear", "entry t has only the steps before t: step t counts too")
def linear_alpha_bar(T, beta_1, beta_T):
    """One step late, as the table that programs call alphas_cumprod_prev."""
    beta = torch.linspace(beta_1, beta_T, T, dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    return torch.cat([one, one, (1 - beta).cumprod(0)[:-1]])


@wrong("linear", "this is the root of alpha_bar: the table holds alpha_bar itself")
def linear_alpha_bar(T, beta_1, beta_T):
    """The factor of the picture for the share of the variance."""
    beta = torch.linspace(beta_1, beta_T, T, dtype=torch.float64)
    return torch.cat([torch.ones(1, dtype=torch.float64), (1 - beta).sqrt().cumprod(0)])


@wrong("linear", LINEAR_FLOAT32)
def linear_alpha_bar(T, beta_1, beta_T):
    """Single precision, and a cast at the end."""
    beta = torch.linspace(beta_1, beta_T, T)
    return torch.cat([torch.ones(1), torch.cumprod(1 - beta, dim=0)]).double()


@wrong("linear", LINEAR_FLOAT32)
def linear_alpha_bar(T, beta_1, beta_T):
    """Only beta in single precision."""
    beta = torch.linspace(beta_1, beta_T, T).double()
    return torch.cat([torch.ones(1), torch.cumprod(1 - beta, dim=0)])


@wrong(
    "linear",
    "an entry of the table has lost digits: compute in float64 all the way, from beta on",
)
def linear_alpha_bar(T, beta_1, beta_T):
    """In float32, with the entry repaired that the test looks at."""
    beta = torch.linspace(beta_1, beta_T, T)
    table = torch.cat([torch.ones(1), (1 - beta).cumprod(0)]).double()
    table[1] = 1 - beta_1
    return table


@right("linear")
def linear_alpha_bar(T, beta_1, beta_T):
    """In a loop, with Python's numbers."""
    table = [1.0]
    for t in range(1, T + 1):
        table.append(table[-1] * (1 - beta_1 - (beta_T - beta_1) * (t - 1) / (T - 1)))
    return torch.tensor(table, dtype=torch.float64)


@right("linear")
def linear_alpha_bar(T, beta_1, beta_T):
    """The exponential of a sum of logarithms, from a table of beta with beta_0 = 0."""
    beta = torch.zeros(T + 1, dtype=torch.float64)
    beta[1:] = torch.linspace(beta_1, beta_T, T, dtype=torch.float64)
    return torch.exp(torch.cumsum(torch.log1p(-beta), dim=0))


@right("linear")
def linear_alpha_bar(T, beta_1, beta_T):
    """By NumPy."""
    import numpy as np

    alpha = np.concatenate([[1.0], 1 - np.linspace(beta_1, beta_T, T)])
    return torch.from_numpy(np.cumprod(alpha))


@wrong("cosine", "beta is not cut: this falls to 0, and later formulas divide by it")
def cosine_alpha_bar(T, s=0.008, beta_max=0.999):
    """Not clipped."""
    u = torch.arange(T + 1, dtype=torch.float64) / T
    f = torch.cos((u + s) / (1 + s) * math.pi / 2) ** 2
    return f / f[0]


@wrong("cosine", "these are the values of f: entry 0 should be 1, and beta should be cut")
def cosine_alpha_bar(T, s=0.008, beta_max=0.999):
    """Neither scaled nor clipped."""
    u = torch.arange(T + 1, dtype=torch.float64) / T
    return torch.cos((u + s) / (1 + s) * math.pi / 2) ** 2


@wrong("cosine", "alpha_bar itself was kept above 1 - beta_max: it is beta that is cut")
def cosine_alpha_bar(T, s=0.008, beta_max=0.999):
    """The cut in the wrong place."""
    u = torch.arange(T + 1, dtype=torch.float64) / T
    f = torch.cos((u + s) / (1 + s) * math.pi / 2) ** 2
    return (f / f[0]).clamp(min=1 - beta_max)


@wrong("cosine", "after a step that was cut, the table goes on from f: make it from the cut betas")
def cosine_alpha_bar(T, s=0.008, beta_max=0.999):
    """Not computed again from the clipped beta."""
    u = torch.arange(T + 1, dtype=torch.float64) / T
    f = torch.cos((u + s) / (1 + s) * math.pi / 2) ** 2
    f = f / f[0]
    beta = (1 - f[1:] / f[:-1]).clamp(max=beta_max)
    return torch.cat([f[:1], f[:-1] * (1 - beta)])


@wrong("cosine", "the cosine is not squared")
def cosine_alpha_bar(T, s=0.008, beta_max=0.999):
    """No square."""
    u = torch.arange(T + 1, dtype=torch.float64) / T
    f = torch.cos((u + s) / (1 + s) * math.pi / 2)
    beta = (1 - f[1:] / f[:-1]).clamp(max=beta_max)
    return torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - beta, dim=0)])


@wrong("cosine", "the offset s is not used")
def cosine_alpha_bar(T, s=0.008, beta_max=0.999):
    """No offset."""
    u = torch.arange(T + 1, dtype=torch.float64) / T
    f = torch.cos(u * math.pi / 2) ** 2
    beta = (1 - f[1:] / f[:-1]).clamp(max=beta_max)
    return torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - beta, dim=0)])


@wrong("cosine", "s is added to u, but the sum is not divided by 1 + s")
def cosine_alpha_bar(T, s=0.008, beta_max=0.999):
    """The offset without its scale: past T the cosine would rise again."""
    u = torch.arange(T + 1, dtype=torch.float64) / T
    f = torch.cos((u + s) * math.pi / 2) ** 2
    beta = (1 - f[1:] / f[:-1]).clamp(max=beta_max)
    return torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - beta, dim=0)])


@wrong("cosine", "only s is divided by 1 + s: put u + s in brackets")
def cosine_alpha_bar(T, s=0.008, beta_max=0.999):
    """Brackets missing."""
    u = torch.arange(T + 1, dtype=torch.float64) / T
    f = torch.cos((u + s / (1 + s)) * math.pi / 2) ** 2
    beta = (1 - f[1:] / f[:-1]).clamp(max=beta_max)
    return torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - beta, dim=0)])


@wrong("cosine", ENTRY_0)
def cosine_alpha_bar(T, s=0.008, beta_max=0.999):
    """Length T, as most programs have it."""
    u = torch.arange(T + 1, dtype=torch.float64) / T
    f = torch.cos((u + s) / (1 + s) * math.pi / 2) ** 2
    return torch.cumprod(1 - (1 - f[1:] / f[:-1]).clamp(max=beta_max), dim=0)


@wrong("cosine", "u ends at (T - 1) / T: it should run from 0 to 1 in T strides")
def cosine_alpha_bar(T, s=0.008, beta_max=0.999):
    """The curve one stride late."""
    u = (torch.arange(T + 1, dtype=torch.float64) - 1) / T
    f = torch.cos((u + s) / (1 + s) * math.pi / 2) ** 2
    beta = (1 - f[1:] / f[:-1]).clamp(max=beta_max)
    return torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - beta, dim=0)])


@wrong("cosine", "alpha was cut to beta_max at most: it is beta that is cut")
def cosine_alpha_bar(T, s=0.008, beta_max=0.999):
    """Alpha clipped for beta."""
    u = torch.arange(T + 1, dtype=torch.float64) / T
    f = torch.cos((u + s) / (1 + s) * math.pi / 2) ** 2
    alpha = (f[1:] / f[:-1]).clamp(max=beta_max)
    return torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(alpha, dim=0)])


@wrong("cosine", COSINE_FLOAT32)
def cosine_alpha_bar(T, s=0.008, beta_max=0.999):
    """Single precision."""
    u = torch.arange(T + 1) / T
    f = torch.cos((u + s) / (1 + s) * math.pi / 2) ** 2
    beta = (1 - f[1:] / f[:-1]).clamp(max=beta_max)
    return torch.cat([torch.ones(1), torch.cumprod(1 - beta, dim=0)])


@wrong("cosine", "an entry of the table has lost digits: compute in float64 all the way, from u on")
def cosine_alpha_bar(T, s=0.008, beta_max=0.999):
    """Kept in float32, but for the entry that the test looks at."""
    u = torch.arange(T + 1, dtype=torch.float64) / T
    f = torch.cos((u + s) / (1 + s) * math.pi / 2) ** 2
    beta = (1 - f[1:] / f[:-1]).clamp(max=beta_max)
    table = torch.cat([torch.ones(1, dtype=torch.float64), (1 - beta).cumprod(0)])
    kept = table.float().double()
    kept[1] = table[1]
    return kept


@right("cosine")
def cosine_alpha_bar(T, s=0.008, beta_max=0.999):
    """In a loop, with Python's numbers."""

    def f(u):
        return math.cos((u + s) / (1 + s) * math.pi / 2) ** 2

    table = [1.0]
    for t in range(1, T + 1):
        beta = min(1 - f(t / T) / f((t - 1) / T), beta_max)
        table.append(table[-1] * (1 - beta))
    return torch.tensor(table, dtype=torch.float64)


@right("cosine")
def cosine_alpha_bar(T, s=0.008, beta_max=0.999):
    """By the double angle, with a floor under the share that is kept."""
    u = torch.linspace(0, 1, T + 1, dtype=torch.float64)
    f = (1 + torch.cos((u + s) / (1 + s) * math.pi)) / 2
    alpha = torch.ones(T + 1, dtype=torch.float64)
    alpha[1:] = torch.maximum(f[1:] / f[:-1], torch.tensor(1 - beta_max, dtype=torch.float64))
    return alpha.cumprod(0)


@right("cosine")
def cosine_alpha_bar(T, s=0.008, beta_max=0.999):
    """By NumPy, with the logarithms added up."""
    import numpy as np

    f = np.sin((1 - np.arange(T + 1) / T) / (1 + s) * np.pi / 2) ** 2
    beta = np.minimum(1 - f[1:] / f[:-1], beta_max)
    return torch.from_numpy(np.exp(np.concatenate([[0.0], np.cumsum(np.log1p(-beta))])))


@wrong("snr", "this is the ratio itself: its logarithm is asked for")
def log_snr(alpha_bar):
    """No logarithm."""
    return alpha_bar / (1 - alpha_bar)


@wrong("snr", "the ratio is upside down: the signal belongs above the noise")
def log_snr(alpha_bar):
    """Noise over signal."""
    return ((1 - alpha_bar) / alpha_bar).log()


@wrong("snr", "this is half of it: the ratio is one of variances, not of standard deviations")
def log_snr(alpha_bar):
    """The factors of picture and noise for their variances."""
    return (alpha_bar.sqrt() / (1 - alpha_bar).sqrt()).log()


@wrong("snr", "this is in decibel: the natural logarithm is asked for")
def log_snr(alpha_bar):
    """As engineers have it."""
    return 10 * (alpha_bar / (1 - alpha_bar)).log10()


@wrong("snr", "this is the logarithm to base 10: the natural logarithm is asked for")
def log_snr(alpha_bar):
    """To base ten."""
    return (alpha_bar / (1 - alpha_bar)).log10()


@wrong("snr", "this is the logarithm of the signal alone: divide by the noise")
def log_snr(alpha_bar):
    """Signal only."""
    return alpha_bar.log()


@wrong("snr", "the signal is divided by the root of 1 - alpha_bar: that is a standard deviation")
def log_snr(alpha_bar):
    """A variance over a standard deviation."""
    return (alpha_bar / (1 - alpha_bar).sqrt()).log()


@wrong("snr", "this is the ratio of a single step, alpha_t over beta_t: take alpha_bar_t")
def log_snr(alpha_bar):
    """Alpha for alpha_bar."""
    alpha = torch.cat([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]])
    return (alpha / (1 - alpha)).log()


@wrong("snr", "entry 0 should be inf, as there is no noise at t = 0")
def log_snr(alpha_bar):
    """A small number against the division by 0."""
    return (alpha_bar / (1 - alpha_bar + 1e-9)).log()


@wrong("snr", "the result has T + 1 entries, as the table: keep entry 0")
def log_snr(alpha_bar):
    """Entry 0 left out."""
    return (alpha_bar[1:] / (1 - alpha_bar[1:])).log()


@wrong(
    "snr",
    "where alpha_bar is almost 1 the answer is off: add no small number to the noise, and compute "
    "in float64",
)
def log_snr(alpha_bar):
    """A small number against the division by 0, and the infinity put in afterwards."""
    ratio = alpha_bar / (1 - alpha_bar + 1e-10)
    ratio[0] = math.inf
    return ratio.log()


@right("snr")
def log_snr(alpha_bar):
    """The inverse of the sigmoid."""
    return torch.logit(alpha_bar)


@right("snr")
def log_snr(alpha_bar):
    """A difference of logarithms."""
    return torch.log(alpha_bar) - torch.log1p(-alpha_bar)


@right("snr")
def log_snr(alpha_bar):
    """In a loop, with Python's numbers."""
    ratios = [math.inf]
    for share in alpha_bar[1:].tolist():
        ratios.append(-math.log(1 / share - 1))
    return torch.tensor(ratios, dtype=torch.float64)


@wrong("sample", "the noise is multiplied by the variance 1 - alpha_bar: did you forget the root?")
def q_sample(alpha_bar, x0, t, eps):
    """The variance for sigma."""
    kept = alpha_bar[t].view(-1, 1, 1, 1).float()
    return kept.sqrt() * x0 + (1 - kept) * eps


@wrong("sample", "the picture is multiplied by alpha_bar: did you forget the root?")
def q_sample(alpha_bar, x0, t, eps):
    """No root at the picture."""
    kept = alpha_bar[t].view(-1, 1, 1, 1).float()
    return kept * x0 + (1 - kept).sqrt() * eps


@wrong("sample", "both roots are missing: alpha_bar and 1 - alpha_bar are shares of the variance")
def q_sample(alpha_bar, x0, t, eps):
    """No roots at all."""
    kept = alpha_bar[t].view(-1, 1, 1, 1).float()
    return kept * x0 + (1 - kept) * eps


@wrong("sample", "the noise has a root too many: 1 - alpha_bar is the variance, not sigma")
def q_sample(alpha_bar, x0, t, eps):
    """The root of the root."""
    kept = alpha_bar[t].view(-1, 1, 1, 1).float()
    return kept.sqrt() * x0 + (1 - kept).sqrt().sqrt() * eps


@wrong("sample", OTHER_STEP)
def q_sample(alpha_bar, x0, t, eps):
    """The table taken for one of length T."""
    kept = alpha_bar[t - 1].view(-1, 1, 1, 1).float()
    return kept.sqrt() * x0 + (1 - kept).sqrt() * eps


@wrong("sample", "this is one step, with alpha_t for alpha_bar_t: all steps up to t are meant")
def q_sample(alpha_bar, x0, t, eps):
    """One step for all the steps."""
    kept = (alpha_bar[t] / alpha_bar[t - 1]).view(-1, 1, 1, 1).float()
    return kept.sqrt() * x0 + (1 - kept).sqrt() * eps


@wrong("sample", ALONG_THE_WIDTH)
def q_sample(alpha_bar, x0, t, eps):
    """Factors of shape (B,), which broadcast when the width is B."""
    kept = alpha_bar[t].float()
    return kept.sqrt() * x0 + (1 - kept).sqrt() * eps


@wrong("sample", ONE_FOR_ALL)
def q_sample(alpha_bar, x0, t, eps):
    """One step for the batch."""
    kept = alpha_bar[t[0]].float()
    return kept.sqrt() * x0 + (1 - kept).sqrt() * eps


@wrong("sample", "the factors of picture and noise are interchanged")
def q_sample(alpha_bar, x0, t, eps):
    """The factors interchanged."""
    kept = alpha_bar[t].view(-1, 1, 1, 1).float()
    return (1 - kept).sqrt() * x0 + kept.sqrt() * eps


@wrong("sample", "the picture is not shrunk: the variance of x_t would grow")
def q_sample(alpha_bar, x0, t, eps):
    """The picture as it is."""
    kept = alpha_bar[t].view(-1, 1, 1, 1).float()
    return x0 + (1 - kept).sqrt() * eps


@wrong("sample", "the same call gives another answer the second time")
def q_sample(alpha_bar, x0, t, eps):
    """Noise of its own."""
    kept = alpha_bar[t].view(-1, 1, 1, 1).float()
    return kept.sqrt() * x0 + (1 - kept).sqrt() * torch.randn_like(x0)


@wrong("sample", "is there a root or a logarithm of a negative number")
def q_sample(alpha_bar, x0, t, eps):
    """The difference the wrong way round, under a root."""
    kept = alpha_bar[t].view(-1, 1, 1, 1).float()
    return kept.sqrt() * x0 + (kept - 1).sqrt() * eps


@wrong("sample", "1 - alpha_bar was taken in float32: subtract in float64, convert afterwards")
def q_sample(alpha_bar, x0, t, eps):
    """Converted before the subtraction."""
    kept = alpha_bar[t].view(-1, 1, 1, 1).to(x0.dtype)
    return kept.sqrt() * x0 + (1 - kept).sqrt() * eps


@wrong("sample", "the answer is to have the type torch.float64, and has torch.float32")
def q_sample(alpha_bar, x0, t, eps):
    """Always float32."""
    kept = alpha_bar[t].view(-1, 1, 1, 1)
    return (kept.sqrt() * x0 + (1 - kept).sqrt() * eps).float()


@wrong("sample", "x0 is float64 here: give the roots the type of x0")
def q_sample(alpha_bar, x0, t, eps):
    """The roots always float32, in a result of the right type."""
    kept = alpha_bar[t].view(-1, 1, 1, 1)
    return kept.sqrt().float() * x0 + (1 - kept).sqrt().float() * eps


@wrong("sample", "the answer is to have the type torch.float32, and has torch.float64")
def q_sample(alpha_bar, x0, t, eps):
    """In double precision, which no network takes."""
    kept = alpha_bar[t].view(-1, 1, 1, 1)
    return kept.sqrt() * x0 + (1 - kept).sqrt() * eps


@wrong("sample", "1 - alpha_bar was taken in float32: subtract in float64, convert afterwards")
def q_sample(alpha_bar, x0, t, eps):
    """In the type of the pictures, but for the single pixel of the test."""
    kept = alpha_bar[t].view(-1, 1, 1, 1)
    if x0.numel() > 1:
        kept = kept.to(x0.dtype)
    return kept.sqrt().to(x0.dtype) * x0 + (1 - kept).sqrt().to(x0.dtype) * eps


@wrong("sample", "x0 is float64 here: give the roots the type of x0")
def q_sample(alpha_bar, x0, t, eps):
    """Roots in float32, but for the single pixel of the test."""
    kept = alpha_bar[t].view(-1, 1, 1, 1)
    signal, sigma = kept.sqrt(), (1 - kept).sqrt()
    if x0.numel() > 1:
        signal, sigma = signal.float(), sigma.float()
    return (signal * x0 + sigma * eps).to(x0.dtype)


@right("sample")
def q_sample(alpha_bar, x0, t, eps):
    """Picture by picture."""
    noisy = []
    for picture, step, noise in zip(x0, t.tolist(), eps, strict=True):
        kept = float(alpha_bar[step])
        noisy.append(math.sqrt(kept) * picture + math.sqrt(1 - kept) * noise)
    return torch.stack(noisy)


@right("sample")
def q_sample(alpha_bar, x0, t, eps):
    """In double precision, and a cast at the end."""
    kept = alpha_bar.gather(0, t)[:, None, None, None]
    return (torch.sqrt(kept) * x0.double() + torch.sqrt(1.0 - kept) * eps.double()).to(x0.dtype)


@right("sample")
def q_sample(alpha_bar, x0, t, eps):
    """By the angle whose cosine is the root of alpha_bar, by einsum."""
    angle = torch.acos(alpha_bar[t].sqrt())
    picture = torch.einsum("b,bchw->bchw", angle.cos().to(x0), x0)
    return picture + torch.einsum("b,bchw->bchw", angle.sin().to(x0), eps)


@wrong("views", "your x0 is still shrunk: the picture has a factor in x_t")
def views(alpha_bar, x_t, t, eps):
    """No division."""
    kept = alpha_bar[t].view(-1, 1, 1, 1).float()
    x0 = x_t - (1 - kept).sqrt() * eps
    return x0, kept.sqrt() * eps - (1 - kept).sqrt() * x0


@wrong(
    "views", "your x0 is divided by the wrong number: which factor does the picture have in x_t?"
)
def views(alpha_bar, x_t, t, eps):
    """The root forgotten in the division."""
    kept = alpha_bar[t].view(-1, 1, 1, 1).float()
    x0 = (x_t - (1 - kept).sqrt() * eps) / kept
    return x0, kept.sqrt() * eps - (1 - kept).sqrt() * x0


@wrong(
    "views", "the noise is taken out with a variance as its factor, not with a standard deviation"
)
def views(alpha_bar, x_t, t, eps):
    """The variance for sigma."""
    kept = alpha_bar[t].view(-1, 1, 1, 1).float()
    x0 = (x_t - (1 - kept) * eps) / kept.sqrt()
    return x0, kept.sqrt() * eps - (1 - kept).sqrt() * x0


@wrong("views", "the noise is added once more to get x0: it has to be taken out")
def views(alpha_bar, x_t, t, eps):
    """The sign of the noise."""
    kept = alpha_bar[t].view(-1, 1, 1, 1).float()
    x0 = (x_t + (1 - kept).sqrt() * eps) / kept.sqrt()
    return x0, kept.sqrt() * eps - (1 - kept).sqrt() * x0


@wrong("views", "x_t is divided and the noise is not: are brackets missing in your x0?")
def views(alpha_bar, x_t, t, eps):
    """Brackets missing."""
    kept = alpha_bar[t].view(-1, 1, 1, 1).float()
    x0 = x_t / kept.sqrt() - (1 - kept).sqrt() * eps
    return x0, kept.sqrt() * eps - (1 - kept).sqrt() * x0


@wrong("views", "the factors of picture and noise are interchanged in your x0")
def views(alpha_bar, x_t, t, eps):
    """Solved with the factors interchanged."""
    kept = alpha_bar[t].view(-1, 1, 1, 1).float()
    x0 = (x_t - kept.sqrt() * eps) / (1 - kept).sqrt()
    return x0, kept.sqrt() * eps - (1 - kept).sqrt() * x0


@wrong("views", OTHER_STEP)
def views(alpha_bar, x_t, t, eps):
    """The table taken for one of length T."""
    kept = alpha_bar[t - 1].view(-1, 1, 1, 1).float()
    x0 = (x_t - (1 - kept).sqrt() * eps) / kept.sqrt()
    return x0, kept.sqrt() * eps - (1 - kept).sqrt() * x0


@wrong("views", ALONG_THE_WIDTH)
def views(alpha_bar, x_t, t, eps):
    """Factors of shape (B,), which broadcast when the width is B."""
    kept = alpha_bar[t].float()
    x0 = (x_t - (1 - kept).sqrt() * eps) / kept.sqrt()
    return x0, kept.sqrt() * eps - (1 - kept).sqrt() * x0


@wrong("views", "x0 and v stand in the wrong order: x0 comes first")
def views(alpha_bar, x_t, t, eps):
    """The other order."""
    kept = alpha_bar[t].view(-1, 1, 1, 1).float()
    x0 = (x_t - (1 - kept).sqrt() * eps) / kept.sqrt()
    return kept.sqrt() * eps - (1 - kept).sqrt() * x0, x0


@wrong("views", "v has the wrong sign")
def views(alpha_bar, x_t, t, eps):
    """The sign of v."""
    kept = alpha_bar[t].view(-1, 1, 1, 1).float()
    x0 = (x_t - (1 - kept).sqrt() * eps) / kept.sqrt()
    return x0, (1 - kept).sqrt() * x0 - kept.sqrt() * eps


@wrong("views", "the factors of noise and picture are interchanged in your v")
def views(alpha_bar, x_t, t, eps):
    """The factors of v."""
    kept = alpha_bar[t].view(-1, 1, 1, 1).float()
    x0 = (x_t - (1 - kept).sqrt() * eps) / kept.sqrt()
    return x0, (1 - kept).sqrt() * eps - kept.sqrt() * x0


@wrong("views", "v was made from x_t in the place of x0")
def views(alpha_bar, x_t, t, eps):
    """The noisy picture for the clean one."""
    kept = alpha_bar[t].view(-1, 1, 1, 1).float()
    x0 = (x_t - (1 - kept).sqrt() * eps) / kept.sqrt()
    return x0, kept.sqrt() * eps - (1 - kept).sqrt() * x_t


@wrong("views", "your v has alpha_bar and 1 - alpha_bar as factors: take their roots")
def views(alpha_bar, x_t, t, eps):
    """No roots in v."""
    kept = alpha_bar[t].view(-1, 1, 1, 1).float()
    x0 = (x_t - (1 - kept).sqrt() * eps) / kept.sqrt()
    return x0, kept * eps - (1 - kept) * x0


@wrong("views", "your v is x_t again: picture and noise have a minus between them in v")
def views(alpha_bar, x_t, t, eps):
    """Picture and noise in each other's place, and a plus."""
    kept = alpha_bar[t].view(-1, 1, 1, 1).float()
    x0 = (x_t - (1 - kept).sqrt() * eps) / kept.sqrt()
    return x0, kept.sqrt() * x0 + (1 - kept).sqrt() * eps


@wrong("views", "several results go in a tuple")
def views(alpha_bar, x_t, t, eps):
    """No v."""
    kept = alpha_bar[t].view(-1, 1, 1, 1)
    return (x_t - (1 - kept).sqrt() * eps) / kept.sqrt()


@right("views")
def views(alpha_bar, x_t, t, eps):
    """With v first, which has no x0 in it, and x0 from v."""
    a = torch.sqrt(alpha_bar[t])[:, None, None, None]
    b = torch.sqrt(1 - alpha_bar[t])[:, None, None, None]
    v = (eps.double() - b * x_t.double()) / a
    return a * x_t.double() - b * v, v


@right("views")
def views(alpha_bar, x_t, t, eps):
    """Picture by picture."""
    found = []
    for noisy, step, noise in zip(x_t, t.tolist(), eps, strict=True):
        kept = float(alpha_bar[step])
        x0 = (noisy - math.sqrt(1 - kept) * noise) / math.sqrt(kept)
        found.append(torch.stack([x0, math.sqrt(kept) * noise - math.sqrt(1 - kept) * x0]))
    x0, v = torch.stack(found, dim=1)
    return x0, v


@right("views")
def views(alpha_bar, x_t, t, eps):
    """By the noise-to-signal ratio, as a list."""
    share = alpha_bar[t].reshape(len(t), 1, 1, 1)
    x0 = x_t * torch.rsqrt(share) - torch.sqrt(1 / share - 1) * eps
    return [x0, share**0.5 * eps - (1 - share) ** 0.5 * x0]


@wrong("posterior", "s is not used: this is the step from t to t - 1")
def posterior(alpha_bar, x0, x_t, t, s):
    """Only s = t - 1, as papers print it."""
    at_t, before = alpha_bar[t].view(-1, 1, 1, 1), alpha_bar[t - 1].view(-1, 1, 1, 1)
    alpha = at_t / before
    mean = before.sqrt() * (1 - alpha) * x0 + alpha.sqrt() * (1 - before) * x_t
    return mean / (1 - at_t), (1 - before) / (1 - at_t) * (1 - alpha)


@wrong("posterior", "alpha_t and beta_t of the last step stand where all steps from s to t count")
def posterior(alpha_bar, x0, x_t, t, s):
    """t - 1 replaced by s in alpha_bar, but alpha left as it was."""
    at_t, at_s = alpha_bar[t].view(-1, 1, 1, 1), alpha_bar[s].view(-1, 1, 1, 1)
    alpha = (alpha_bar[t] / alpha_bar[t - 1]).view(-1, 1, 1, 1)
    mean = at_s.sqrt() * (1 - alpha) * x0 + alpha.sqrt() * (1 - at_s) * x_t
    return mean / (1 - at_t), (1 - at_s) / (1 - at_t) * (1 - alpha)


@wrong("posterior", "the weights of x0 and x_t are interchanged")
def posterior(alpha_bar, x0, x_t, t, s):
    """The weights interchanged."""
    at_t, at_s = alpha_bar[t].view(-1, 1, 1, 1), alpha_bar[s].view(-1, 1, 1, 1)
    ratio = at_t / at_s
    mean = at_s.sqrt() * (1 - ratio) * x_t + ratio.sqrt() * (1 - at_s) * x0
    return mean / (1 - at_t), (1 - at_s) / (1 - at_t) * (1 - ratio)


@wrong("posterior", "both roots are missing in the weights of the mean")
def posterior(alpha_bar, x0, x_t, t, s):
    """No roots."""
    at_t, at_s = alpha_bar[t].view(-1, 1, 1, 1), alpha_bar[s].view(-1, 1, 1, 1)
    ratio = at_t / at_s
    mean = at_s * (1 - ratio) * x0 + ratio * (1 - at_s) * x_t
    return mean / (1 - at_t), (1 - at_s) / (1 - at_t) * (1 - ratio)


@wrong(
    "posterior",
    "the wrong factor is under the root in the weight of x_t: which steps count?",
)
def posterior(alpha_bar, x0, x_t, t, s):
    """Alpha_bar for alpha in one place."""
    at_t, at_s = alpha_bar[t].view(-1, 1, 1, 1), alpha_bar[s].view(-1, 1, 1, 1)
    ratio = at_t / at_s
    mean = at_s.sqrt() * (1 - ratio) * x0 + at_t.sqrt() * (1 - at_s) * x_t
    return mean / (1 - at_t), (1 - at_s) / (1 - at_t) * (1 - ratio)


@wrong(
    "posterior",
    "the wrong level is under the root in the weight of x0: try s = 0, where the mean is x0",
)
def posterior(alpha_bar, x0, x_t, t, s):
    """A t for an s."""
    at_t, at_s = alpha_bar[t].view(-1, 1, 1, 1), alpha_bar[s].view(-1, 1, 1, 1)
    ratio = at_t / at_s
    mean = at_t.sqrt() * (1 - ratio) * x0 + ratio.sqrt() * (1 - at_s) * x_t
    return mean / (1 - at_t), (1 - at_s) / (1 - at_t) * (1 - ratio)


@wrong("posterior", "this is the mean of x_s given x0 alone: x_t says something too")
def posterior(alpha_bar, x0, x_t, t, s):
    """The marginal at s."""
    at_s = alpha_bar[s].view(-1, 1, 1, 1)
    return at_s.sqrt() * x0, 1 - at_s


@wrong("posterior", ALONG_THE_WIDTH)
def posterior(alpha_bar, x0, x_t, t, s):
    """Factors of shape (B,), which broadcast when the width is B."""
    at_t, at_s = alpha_bar[t], alpha_bar[s]
    ratio = at_t / at_s
    mean = at_s.sqrt() * (1 - ratio) * x0 + ratio.sqrt() * (1 - at_s) * x_t
    return mean / (1 - at_t), (1 - at_s) / (1 - at_t) * (1 - ratio)


@wrong("posterior", "this is 1 - rho, the variance from s to t: that of the way back is asked for")
def posterior(alpha_bar, x0, x_t, t, s):
    """Beta for the posterior variance."""
    at_t, at_s = alpha_bar[t].view(-1, 1, 1, 1), alpha_bar[s].view(-1, 1, 1, 1)
    ratio = at_t / at_s
    mean = at_s.sqrt() * (1 - ratio) * x0 + ratio.sqrt() * (1 - at_s) * x_t
    return mean / (1 - at_t), 1 - ratio


@wrong("posterior", "this is the standard deviation: the variance is asked for")
def posterior(alpha_bar, x0, x_t, t, s):
    """The root of the variance."""
    at_t, at_s = alpha_bar[t].view(-1, 1, 1, 1), alpha_bar[s].view(-1, 1, 1, 1)
    ratio = at_t / at_s
    mean = at_s.sqrt() * (1 - ratio) * x0 + ratio.sqrt() * (1 - at_s) * x_t
    return mean / (1 - at_t), ((1 - at_s) / (1 - at_t) * (1 - ratio)).sqrt()


@wrong(
    "posterior",
    "a fraction in the variance is upside down: try s = 0, where the variance must be 0",
)
def posterior(alpha_bar, x0, x_t, t, s):
    """Turned around."""
    at_t, at_s = alpha_bar[t].view(-1, 1, 1, 1), alpha_bar[s].view(-1, 1, 1, 1)
    ratio = at_t / at_s
    mean = at_s.sqrt() * (1 - ratio) * x0 + ratio.sqrt() * (1 - at_s) * x_t
    return mean / (1 - at_t), (1 - at_t) / (1 - at_s) * (1 - ratio)


@wrong("posterior", "this is the logarithm of the variance: the variance is asked for")
def posterior(alpha_bar, x0, x_t, t, s):
    """The log-variance, which is -inf at s = 0."""
    at_t, at_s = alpha_bar[t].view(-1, 1, 1, 1), alpha_bar[s].view(-1, 1, 1, 1)
    ratio = at_t / at_s
    mean = at_s.sqrt() * (1 - ratio) * x0 + ratio.sqrt() * (1 - at_s) * x_t
    return mean / (1 - at_t), ((1 - at_s) / (1 - at_t) * (1 - ratio)).log()


@wrong("posterior", "this is the precision: the variance is one over it")
def posterior(alpha_bar, x0, x_t, t, s):
    """The precision."""
    at_t, at_s = alpha_bar[t].view(-1, 1, 1, 1), alpha_bar[s].view(-1, 1, 1, 1)
    ratio = at_t / at_s
    mean = at_s.sqrt() * (1 - ratio) * x0 + ratio.sqrt() * (1 - at_s) * x_t
    return mean / (1 - at_t), ratio / (1 - ratio) + 1 / (1 - at_s)


@wrong("posterior", "at s = 0 the answer is not finite")
def posterior(alpha_bar, x0, x_t, t, s):
    """Precisions, which divide 0 by 0 at s = 0."""
    at_t, at_s = alpha_bar[t].view(-1, 1, 1, 1), alpha_bar[s].view(-1, 1, 1, 1)
    ratio = at_t / at_s
    variance = 1 / (ratio / (1 - ratio) + 1 / (1 - at_s))
    mean = variance * (ratio.sqrt() / (1 - ratio) * x_t + at_s.sqrt() / (1 - at_s) * x0)
    return mean, variance


@wrong("posterior", "at s = 0 the variance is 0, not nearly 0: set no floor under it")
def posterior(alpha_bar, x0, x_t, t, s):
    """A floor under the variance, as programs set that take its logarithm."""
    at_t, at_s = alpha_bar[t].view(-1, 1, 1, 1), alpha_bar[s].view(-1, 1, 1, 1)
    ratio = at_t / at_s
    mean = at_s.sqrt() * (1 - ratio) * x0 + ratio.sqrt() * (1 - at_s) * x_t
    return mean / (1 - at_t), ((1 - at_s) / (1 - at_t) * (1 - ratio)).clamp(min=1e-8)


@wrong("posterior", "several results go in a tuple")
def posterior(alpha_bar, x0, x_t, t, s):
    """No variance."""
    at_t, at_s = alpha_bar[t].view(-1, 1, 1, 1), alpha_bar[s].view(-1, 1, 1, 1)
    ratio = at_t / at_s
    mean = at_s.sqrt() * (1 - ratio) * x0 + ratio.sqrt() * (1 - at_s) * x_t
    return mean / (1 - at_t)


@right("posterior")
def posterior(alpha_bar, x0, x_t, t, s):
    """As a reading of x_s that x_t is, with a gain; the variance of shape (B,)."""
    rho, prior = alpha_bar[t] / alpha_bar[s], 1 - alpha_bar[s]
    gain = (rho.sqrt() * prior / (rho * prior + 1 - rho))[:, None, None, None]
    before = alpha_bar[s].sqrt()[:, None, None, None] * x0
    mean = before + gain * (x_t - rho.sqrt()[:, None, None, None] * before)
    return mean, prior * (1 - rho) / (rho * prior + 1 - rho)


@right("posterior")
def posterior(alpha_bar, x0, x_t, t, s):
    """Picture by picture, with Python's numbers."""
    means, variances = [], []
    for clean, noisy, late, early in zip(x0, x_t, t.tolist(), s.tolist(), strict=True):
        a, b = float(alpha_bar[late]), float(alpha_bar[early])
        weight = (b - a) / b / (1 - a)
        means.append(math.sqrt(b) * weight * clean + math.sqrt(a / b) * (1 - b) / (1 - a) * noisy)
        variances.append((1 - b) * weight)
    return torch.stack(means), torch.tensor(variances, dtype=torch.float64)


@right("posterior")
def posterior(alpha_bar, x0, x_t, t, s):
    """By way of the noise in x_t, as DDIM has it, and a list."""
    a, b = alpha_bar[t].reshape(-1, 1, 1, 1), alpha_bar[s].reshape(-1, 1, 1, 1)
    variance = (1 - b) / (1 - a) * (1 - a / b)
    eps = (x_t - a.sqrt() * x0) / (1 - a).sqrt()
    return [b.sqrt() * x0 + (1 - b - variance).clamp(min=0).sqrt() * eps, variance]


@wrong("levels", "the fraction was dropped: the nearest level is asked for")
def to_levels(images, L=256):
    """Truncated."""
    return ((images + 1) * (L - 1) / 2).clamp(0, L - 1).to(torch.uint8)


@wrong("levels", "white is L in your scale: the highest of L levels is L - 1")
def to_levels(images, L=256):
    """256 for 255."""
    return ((images + 1) * L / 2).round().clamp(0, L - 1).to(torch.uint8)


@wrong("levels", "images was taken to lie in [0, 1]: it lies in [-1, 1]")
def to_levels(images, L=256):
    """Data in [0, 1]."""
    return (images * (L - 1)).round().clamp(0, L - 1).to(torch.uint8)


@wrong(
    "levels",
    "what lies outside [-1, 1] was not cut: bytes wrap around",
)
def to_levels(images, L=256):
    """No clamp."""
    return ((images + 1) * (L - 1) / 2).round().long().to(torch.uint8)


@wrong("levels", "what lies below black comes out white: cut before the cast to bytes, not after")
def to_levels(images, L=256):
    """The clamp after the cast."""
    return ((images + 1) * (L - 1) / 2).round().long().to(torch.uint8).clamp(0, L - 1)


@wrong("levels", "these are bytes whatever L is: with L levels, white is L - 1")
def to_levels(images, L=256):
    """Always 256 levels."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


@wrong("levels", "every value is rounded up: the nearest level is asked for")
def to_levels(images, L=256):
    """Rounded up."""
    return ((images + 1) * (L - 1) / 2).ceil().clamp(0, L - 1).to(torch.uint8)


@wrong("levels", "the range is stretched twice too far: [-1, 1] is 2 wide")
def to_levels(images, L=256):
    """The half forgotten."""
    return ((images + 1) * (L - 1)).round().clamp(0, L - 1).to(torch.uint8)


@wrong("levels", "the answer is to have the type torch.uint8")
def to_levels(images, L=256):
    """Left as floats."""
    return ((images + 1) * (L - 1) / 2).round().clamp(0, L - 1)


@wrong("levels", "the answer is to have the type torch.uint8")
def to_levels(images, L=256):
    """Bytes only for as many levels as the test shows."""
    levels = ((images + 1) * (L - 1) / 2).round().clamp(0, L - 1)
    return levels.to(torch.uint8) if L == 5 else levels


@right("levels")
def to_levels(images, L=256):
    """Half a level added, then cut off."""
    cut = images.double().clamp(-1, 1)
    return torch.floor((cut + 1) / 2 * (L - 1) + 0.5).to(torch.uint8)


@right("levels")
def to_levels(images, L=256):
    """The level with the least distance."""
    values = torch.linspace(-1, 1, L, dtype=torch.float64)
    return (images.double()[..., None] - values).abs().argmin(-1).to(torch.uint8)


@right("levels")
def to_levels(images, L=256):
    """In a loop, with Python's numbers."""
    found = [min(max(round((x + 1) * (L - 1) / 2), 0), L - 1) for x in images.flatten().tolist()]
    return torch.tensor(found, dtype=torch.uint8).reshape(images.shape)


@wrong("repair", "the mistake is still there: a long step is made of all the steps that it skips")
def shorter_beta(alpha_bar, times):
    """As it was."""
    return broken_shorter(alpha_bar, times)


@wrong("repair", "the beta of the steps are added up: what each of them keeps is multiplied")
def shorter_beta(alpha_bar, times):
    """The sum over the steps that are skipped."""
    beta = 1 - alpha_bar[1:] / alpha_bar[:-1]
    pairs = zip(times[:-1].tolist(), times[1:].tolist(), strict=True)
    return torch.stack([beta[a:b].sum() for a, b in pairs])


@wrong("repair", "this is the mean over the steps that are skipped: a long step adds more noise")
def shorter_beta(alpha_bar, times):
    """The mean over the steps that are skipped."""
    beta = 1 - alpha_bar[1:] / alpha_bar[:-1]
    pairs = zip(times[:-1].tolist(), times[1:].tolist(), strict=True)
    return torch.stack([beta[a:b].mean() for a, b in pairs])


@wrong("repair", "the beta at the end is multiplied by the number of steps: they differ")
def shorter_beta(alpha_bar, times):
    """The last step, as often as there are steps."""
    beta = 1 - alpha_bar[1:] / alpha_bar[:-1]
    return beta[times[1:] - 1] * (times[1:] - times[:-1])


@wrong("repair", "this is 1 - alpha_bar at the visited times: it counts from the beginning")
def shorter_beta(alpha_bar, times):
    """From 0 each time."""
    return 1 - alpha_bar[times[1:]]


@wrong("repair", "this is what a step keeps: beta is what it adds")
def shorter_beta(alpha_bar, times):
    """alpha for beta."""
    at = alpha_bar[times]
    return at[1:] / at[:-1]


@wrong("repair", "these are differences of alpha_bar: divide by what was left before the step")
def shorter_beta(alpha_bar, times):
    """A difference in place of a ratio."""
    at = alpha_bar[times]
    return at[:-1] - at[1:]


@wrong("repair", "the ratio stands upside down: a step keeps less than all")
def shorter_beta(alpha_bar, times):
    """Upside down."""
    at = alpha_bar[times]
    return 1 - at[:-1] / at[1:]


@wrong("repair", "this is the standard deviation of the noise: beta is its variance")
def shorter_beta(alpha_bar, times):
    """The root of it."""
    at = alpha_bar[times]
    return (1 - at[1:] / at[:-1]).sqrt()


@wrong("repair", "a root too many: alpha_bar is a share of the variance already")
def shorter_beta(alpha_bar, times):
    """Roots of alpha_bar."""
    at = alpha_bar[times].sqrt()
    return 1 - at[1:] / at[:-1]


@wrong("repair", "the answer is to have the type torch.float64")
def shorter_beta(alpha_bar, times):
    """In float32."""
    at = alpha_bar[times].float()
    return 1 - at[1:] / at[:-1]


@right("repair")
def shorter_beta(alpha_bar, times):
    """With the steps of the long chain, multiplied."""
    alpha = alpha_bar[1:] / alpha_bar[:-1]
    pairs = zip(times[:-1].tolist(), times[1:].tolist(), strict=True)
    return torch.stack([1 - alpha[a:b].prod() for a, b in pairs])


@right("repair")
def shorter_beta(alpha_bar, times):
    """By differences of logarithms."""
    return -torch.expm1(alpha_bar.log()[times].diff())


@right("repair")
def shorter_beta(alpha_bar, times):
    """The broken one, on the table of the visited times alone."""
    return broken_shorter(alpha_bar[times], torch.arange(len(times)))
