"""Answers to assignment 7, wrong and right."""

import math

import numpy as np
import torch
from variants import answer_to, right, slip, wrong


def slips(part, *those):
    """Wrong answers to one part, each as hint, name and changes of the instructor's text."""
    answer = answer_to("07-evaluation", part)
    return [slip(part, hint, name, answer, *changes) for hint, name, *changes in those]


@wrong("moments", "this is the covariance of the images: the features are the columns")
def moments(features):
    """torch.cov as it is: it takes the rows for the variables."""
    features = features.double()
    return features.mean(0), torch.cov(features)


@wrong("moments", "the function changes what it is given: work on a copy of argument 1")
def moments(features):
    """Shifted in place."""
    mean = features.mean(0)
    features -= mean
    features = features.double()
    return mean, features.T @ features / (len(features) - 1)


@wrong("moments", "compute in float64, or take the mean away before you multiply")
def moments(features):
    """The average of squares less the square of the average, in float32."""
    features = features.float()
    mean, n = features.mean(0), len(features)
    return mean, (features.T @ features - n * torch.outer(mean, mean)) / (n - 1)


@wrong("moments", "these are variances alone: give a matrix, (D, D)")
def moments(features):
    """A variance for each feature."""
    return features.double().mean(0), features.double().var(0)


@right("moments")
def moments(features):
    """By NumPy."""
    rows = features.double().numpy()
    covariance = np.atleast_2d(np.cov(rows, rowvar=False))
    return torch.tensor(rows.mean(axis=0)), torch.tensor(covariance)


@right("moments")
def moments(features):
    """By torch.cov, with the features as rows."""
    return features.double().mean(0), features.double().T.cov().reshape(features.shape[1], -1)


@right("moments")
def moments(features):
    """Row by row."""
    mean = sum(features.double()) / len(features)
    total = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for row in features.double():
        total = total + torch.outer(row - mean, row - mean)
    return mean, total / (len(features) - 1)


@wrong("root", "this is the root of each entry: take that of the eigenvalues")
def root(matrix):
    """Entry by entry, with the sign kept."""
    return matrix.double().abs().sqrt() * matrix.sign()


@wrong("root", "this is Cholesky's factor")
def root(matrix):
    """Cholesky's factor."""
    return torch.linalg.cholesky(matrix.double())


@wrong("root", "is there a root or a logarithm of a negative number")
def root(matrix):
    """torch.sqrt, as if it were that of a matrix."""
    return torch.sqrt(matrix.double())


@wrong("root", "of a singular matrix the root is not finite")
def root(matrix):
    """By powers of the logarithms of the eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix.double())
    return vectors * (values.log() / 2).exp() @ vectors.T


@right("root")
def root(matrix):
    """By NumPy, as a sum over the eigenvectors."""
    values, vectors = np.linalg.eigh(matrix.double().numpy())
    total = np.zeros(matrix.shape)
    for k in range(len(values)):
        total += max(values[k], 0.0) ** 0.5 * np.outer(vectors[:, k], vectors[:, k])
    return torch.from_numpy(total)


@right("root")
def root(matrix):
    """By singular values."""
    left, scale, _ = torch.linalg.svd(matrix.double())
    return left @ torch.diag(scale.sqrt()) @ left.T


@right("root")
def root(matrix):
    """Those above 0 alone, and relu for the rest."""
    values, vectors = torch.linalg.eigh(matrix.double())
    kept = values > 0
    return vectors[:, kept] @ torch.diag(values[kept] ** 0.5) @ vectors[:, kept].mT


@wrong("distance", "only the variances are compared: the covariance has more than its diagonal")
def frechet(features_1, features_2):
    """As if the features were independent."""
    one, other = features_1.double(), features_2.double()
    off = one.mean(0) - other.mean(0)
    return off.square().sum() + (one.std(0) - other.std(0)).square().sum()


@wrong("distance", "this is the squared difference of the covariances, entry by entry")
def frechet(features_1, features_2):
    """Frobenius."""
    (m, a), (n, b) = moments(features_1), moments(features_2)
    return (m - n).square().sum() + (a - b).square().sum()


@wrong("distance", "with fewer images than features the distance is not finite")
def frechet(features_1, features_2):
    """By Cholesky's factors, which a singular covariance does not have."""
    (m, a), (n, b) = moments(features_1), moments(features_2)
    half, info = torch.linalg.cholesky_ex(a)
    if info:
        return torch.tensor(math.nan)
    both = root(half.T @ b @ half).trace()
    return (m - n).square().sum() + a.trace() + b.trace() - 2 * both


@right("distance")
def frechet(features_1, features_2):
    """By the eigenvalues of the product, which are not negative but for rounding."""
    (m, a), (n, b) = moments(features_1), moments(features_2)
    values = torch.linalg.eigvals(torch.as_tensor(a) @ torch.as_tensor(b)).real
    both = values.clamp(min=0).sqrt().sum()
    off = torch.as_tensor(m) - torch.as_tensor(n)
    return off @ off + torch.trace(a) + torch.trace(b) - 2 * both


@right("distance")
def frechet(features_1, features_2):
    """By NumPy, with the root of the other covariance, and a float at the end."""
    (m, a), (n, b) = moments(features_1), moments(features_2)
    m, a, n, b = (np.asarray(each) for each in (m, a, n, b))
    half = np.asarray(root(torch.as_tensor(b)))
    values = np.linalg.eigvalsh(half @ a @ half).clip(min=0)
    return float(np.sum((m - n) ** 2) + np.trace(a + b) - 2 * np.sqrt(values).sum())


@right("distance")
def frechet(features_1, features_2):
    """By the nuclear norm of the product of the two clouds."""
    one, other = features_1.double(), features_2.double()
    a = (one - one.mean(0)) / (len(one) - 1) ** 0.5
    b = (other - other.mean(0)) / (len(other) - 1) ** 0.5
    off = one.mean(0) - other.mean(0)
    shared = torch.linalg.matrix_norm(a @ b.T, "nuc")
    return off.square().sum() + a.square().sum() + b.square().sum() - 2 * shared


@wrong("limit", "the sets overlap: each row belongs to one set of a size")
def extrapolate(distance, features, reference, sizes):
    """A window that moves by one row."""
    means = []
    for n in sizes:
        sets = features.unfold(0, n, 1).transpose(1, 2)
        means.append(sum(float(distance(each, reference)) for each in sets) / len(sets))
    x, d = 1 / torch.tensor(sizes).double(), torch.tensor(means).double()
    b = ((x - x.mean()) * (d - d.mean())).sum() / (x - x.mean()).square().sum()
    return d.mean() - b * x.mean(), b


@wrong("limit", "each set counts once, so small N count for more")
def extrapolate(distance, features, reference, sizes):
    """All sets in one cloud of points."""
    x, d = [], []
    for n in sizes:
        for k in range(len(features) // n):
            x.append(1 / n)
            d.append(float(distance(features[k * n : (k + 1) * n], reference)))
    b, a = np.polyfit(x, d, 1)
    return a, b


@wrong("limit", "the line leads through 0: at 1 / N = 0 it may be anything")
def extrapolate(distance, features, reference, sizes):
    """A line without a constant."""
    means = []
    for n in sizes:
        sets = features[: len(features) // n * n].split(n)
        means.append(sum(float(distance(each, reference)) for each in sets) / len(sets))
    x, d = 1 / torch.tensor(sizes).double(), torch.tensor(means).double()
    return 0.0, (x * d).sum() / x.square().sum()


@wrong("limit", "the line is drawn through two of the sizes")
def extrapolate(distance, features, reference, sizes):
    """The largest and the smallest."""

    def mean(n):
        sets = features[: len(features) // n * n].split(n)
        return sum(float(distance(each, reference)) for each in sets) / len(sets)

    most, least = max(sizes), min(sizes)
    b = (mean(most) - mean(least)) / (1 / most - 1 / least)
    return mean(most) - b / most, b


@right("limit")
def extrapolate(distance, features, reference, sizes):
    """By numpy.polyfit."""
    means = []
    for n in sizes:
        starts = range(0, len(features) - n + 1, n)
        means.append(np.mean([float(distance(features[s : s + n], reference)) for s in starts]))
    b, a = np.polyfit(1 / np.array(sizes), means, 1)
    return a, b


@right("limit")
def extrapolate(distance, features, reference, sizes):
    """By torch.linalg.lstsq."""
    x = torch.tensor([[1.0, 1 / n] for n in sizes], dtype=torch.float64)
    d = torch.zeros(len(sizes), 1, dtype=torch.float64)
    for row, n in enumerate(sizes):
        for k in range(len(features) // n):
            found = torch.as_tensor(distance(features[k * n : (k + 1) * n], reference))
            d[row] += found.double() / (len(features) // n)
    return tuple(torch.linalg.lstsq(x, d).solution.flatten())


@right("limit")
def extrapolate(distance, features, reference, sizes):
    """By the normal equations, in Python's own numbers."""
    pairs = []
    for n in sizes:
        count = len(features) // n
        sets = features[: count * n].reshape(count, n, -1)
        pairs.append((1 / n, sum(float(distance(each, reference)) for each in sets) / count))
    s1, sx, sd = len(pairs), sum(x for x, _ in pairs), sum(d for _, d in pairs)
    sxx, sxd = sum(x * x for x, _ in pairs), sum(x * d for x, d in pairs)
    b = (s1 * sxd - sx * sd) / (s1 * sxx - sx * sx)
    return (sd - b * sx) / s1, b


@wrong("regions", "only the ball of the nearest member is asked: any ball will do")
def precision_and_recall(real, made, k=3):
    """In the ball of the nearest member."""

    def inside(points, members):
        own = torch.cdist(members, members).fill_diagonal_(math.inf)
        radius = own.sort(1).values[:, k - 1]
        near = torch.cdist(points, members).min(1)
        return (near.values <= radius[near.indices]).double().mean()

    real, made = real.double(), made.double()
    return inside(made, real), inside(real, made)


@wrong("regions", "squares of distances are compared with distances")
def precision_and_recall(real, made, k=3):
    """One of the two is squared."""

    def inside(points, members):
        radius = torch.cdist(members, members).sort(1).values[:, k]
        away = (points[:, None] - members).square().sum(2)
        return (away <= radius).any(1).double().mean()

    return inside(made.double(), real.double()), inside(real.double(), made.double())


@wrong("regions", "two images may have the same features: leave out the member itself")
def precision_and_recall(real, made, k=3):
    """All at distance 0 are taken for the member itself."""

    def inside(points, members):
        own = torch.cdist(members, members)
        radius = torch.where(own > 0, own, math.inf).sort(1).values[:, k - 1]
        return (torch.cdist(points, members) <= radius).any(1).double().mean()

    return inside(made.double(), real.double()), inside(real.double(), made.double())


@wrong("regions", "the radius is the mean distance to k neighbours")
def precision_and_recall(real, made, k=3):
    """The mean of the k."""

    def inside(points, members):
        radius = torch.cdist(members, members).sort(1).values[:, 1 : k + 1].mean(1)
        return (torch.cdist(points, members) <= radius).any(1).double().mean()

    return inside(made.double(), real.double()), inside(real.double(), made.double())


@wrong("regions", "the function changes what it is given: work on a copy of argument 1")
def precision_and_recall(real, made, k=3):
    """Scaled in place, which changes no share."""
    real /= 2
    made /= 2

    def inside(points, members):
        radius = torch.cdist(members, members).sort(1).values[:, k]
        return (torch.cdist(points, members) <= radius).any(1).double().mean()

    return inside(made.double(), real.double()), inside(real.double(), made.double())


@right("regions")
def precision_and_recall(real, made, k=3):
    """By NumPy, with squares on both sides."""

    def squares(one, other):
        return ((one[:, None, :] - other[None, :, :]) ** 2).sum(-1)

    def inside(points, members):
        radius = np.partition(squares(members, members), k, axis=1)[:, k]
        return (squares(points, members) <= radius).any(axis=1).mean()

    real, made = real.double().numpy(), made.double().numpy()
    return inside(made, real), inside(real, made)


@right("regions")
def precision_and_recall(real, made, k=3):
    """By topk, with the member itself as the first of k + 1."""
    real, made = real.double(), made.double()
    radii = [
        torch.cdist(each, each).topk(k + 1, largest=False).values.amax(1) for each in (real, made)
    ]
    between = torch.cdist(real, made)
    precision = (between <= radii[0][:, None]).any(0).double().mean()
    return precision, (between <= radii[1]).any(1).double().mean()


@right("regions")
def precision_and_recall(real, made, k=3):
    """In loops."""

    def inside(points, members):
        radii = []
        for i, one in enumerate(members):
            away = sorted(math.dist(one, other) for j, other in enumerate(members) if j != i)
            radii.append(away[k - 1])
        found = [
            any(math.dist(point, m) <= r for m, r in zip(members, radii, strict=True))
            for point in points
        ]
        return sum(found) / len(found)

    real, made = real.tolist(), made.tolist()
    return inside(made, real), inside(real, made)


@wrong("bits", "the average was taken of probabilities: average the logarithms")
def bits_per_dim(log_prob, dimensions, width=1.0):
    """The logarithm of the mean probability."""
    log_prob = log_prob.double() + dimensions * math.log(width)
    bits = -log_prob / (dimensions * math.log(2))
    mean = -(log_prob.logsumexp(0) - math.log(len(bits))) / (dimensions * math.log(2))
    return mean, bits.std() / math.sqrt(len(bits))


@wrong("bits", "the shift by the width is in the error, too: a shift changes no spread")
def bits_per_dim(log_prob, dimensions, width=1.0):
    """Both results are put into bits by one function."""

    def in_bits(nats):
        return -nats / (dimensions * math.log(2)) - math.log2(width)

    log_prob = log_prob.double()
    return in_bits(log_prob.mean()), in_bits(-log_prob.std() / len(log_prob) ** 0.5)


@wrong("bits", "the error is negative: the sign of the mean got into it")
def bits_per_dim(log_prob, dimensions, width=1.0):
    """Both results are multiplied by one factor."""
    factor = -1 / (dimensions * math.log(2))
    log_prob = log_prob.double() + dimensions * math.log(width)
    return factor * log_prob.mean(), factor * log_prob.std() / len(log_prob) ** 0.5


@right("bits")
def bits_per_dim(log_prob, dimensions, width=1.0):
    """By NumPy and its logarithm to base 2."""
    bits = -log_prob.double().numpy() / np.log(2) / dimensions - np.log2(width)
    return bits.mean(), bits.std(ddof=1) / np.sqrt(bits.size)


@right("bits")
def bits_per_dim(log_prob, dimensions, width=1.0):
    """The scale is put in at the end, and the error from the variance."""
    log_prob = log_prob.double()
    mean = (-log_prob.mean() / dimensions - math.log(width)) / math.log(2)
    return mean, (log_prob.var() / len(log_prob)) ** 0.5 / (dimensions * math.log(2))


@right("bits")
def bits_per_dim(log_prob, dimensions, width=1.0):
    """In Python's own numbers."""
    bits = [
        -(p + dimensions * math.log(width)) / dimensions / math.log(2) for p in log_prob.tolist()
    ]
    mean = sum(bits) / len(bits)
    return mean, math.sqrt(sum((b - mean) ** 2 for b in bits) / len(bits) / (len(bits) - 1))


@wrong("repair", "the mistake is still there")
def report(nats, dimensions):
    """Another way to write the same."""
    bits = nats.double().flatten() / (dimensions * math.log(2))
    return bits.mean(), (bits.var() / len(bits)) ** 0.5


@wrong("repair", "only the first estimate of each image is used")
def report(nats, dimensions):
    """With K = 1 it was right."""
    bits = nats[:, 0].double() / (dimensions * math.log(2))
    return bits.mean(), bits.std() / math.sqrt(len(bits))


@wrong("repair", "the noise within an image is in the spread of its means already")
def report(nats, dimensions):
    """Both kinds of spread, added up as independent ones."""
    bits = nats.double() / (dimensions * math.log(2))
    between = bits.mean(1).var() / len(bits)
    if nats.shape[1] == 1:
        return bits.mean(), between.sqrt()
    within = bits.var(1).mean() / bits.numel()
    return bits.mean(), (between + within).sqrt()


@right("repair")
def report(nats, dimensions):
    """As the broken one, with one line changed."""
    bits = nats.double() / (dimensions * math.log(2))
    mean = bits.mean()
    deviation = bits.mean(dim=1).std()
    error = deviation / math.sqrt(len(bits))
    return mean, error


@right("repair")
def report(nats, dimensions):
    """By the bits of Part 6, of each image's mean."""
    return bits_per_dim(-nats.double().mean(1), dimensions)


@right("repair")
def report(nats, dimensions):
    """By NumPy."""
    bits = nats.double().numpy().mean(axis=1) / dimensions / np.log(2)
    return bits.mean(), bits.std(ddof=1) / len(bits) ** 0.5


@wrong("copies", "the threshold is the quantile of all distances: take those to the nearest")
def find_copies(samples, train, unseen, share=0.01):
    """The quantile of the whole table."""
    near = torch.cdist(samples.double(), train.double()).min(1)
    usual = torch.cdist(unseen.double(), train.double()).flatten()
    return near.indices, near.values < usual.quantile(share)


@wrong("copies", "this is how near the samples come to the unseen images")
def find_copies(samples, train, unseen, share=0.01):
    """Compared with the unseen images."""
    samples, train, unseen = samples.double(), train.double(), unseen.double()
    usual = torch.cdist(unseen, train).amin(1)
    near = torch.cdist(samples, unseen).amin(1)
    return torch.cdist(samples, train).argmin(1), near < usual.quantile(share)


@wrong("copies", "the threshold is too small")
def find_copies(samples, train, unseen, share=0.01):
    """The threshold from the training images among themselves."""
    near = torch.cdist(samples.double(), train.double()).min(1)
    among = torch.cdist(train.double(), train.double()).fill_diagonal_(math.inf).amin(1)
    return near.indices, near.values < among.quantile(share)


@wrong("copies", "this is the unseen image that is nearest: look among the training images")
def find_copies(samples, train, unseen, share=0.01):
    """train and unseen interchanged."""
    near = torch.cdist(samples.double(), unseen.double()).min(1)
    usual = torch.cdist(train.double(), unseen.double()).amin(1)
    return near.indices, near.values < usual.quantile(share)


@right("copies")
def find_copies(samples, train, unseen, share=0.01):
    """By NumPy, image by image."""
    rows, others = train.double().numpy(), unseen.double().numpy()
    index, away = [], []
    for one in samples.double().numpy():
        distance = np.sqrt(((rows - one) ** 2).sum(axis=1))
        index.append(int(distance.argmin()))
        away.append(distance.min())
    usual = [np.sqrt(((rows - one) ** 2).sum(axis=1)).min() for one in others]
    return np.array(index), np.array(away) < np.quantile(usual, share)


@right("copies")
def find_copies(samples, train, unseen, share=0.01):
    """By topk and torch.quantile, with plain lists at the end."""
    train = train.double()
    away, index = torch.cdist(samples.double(), train).topk(1, largest=False)
    usual, _ = torch.cdist(unseen.double(), train).topk(1, largest=False)
    threshold = torch.quantile(usual.flatten(), share).item()
    return index.flatten().tolist(), [distance < threshold for distance in away.flatten().tolist()]


@right("copies")
def find_copies(samples, train, unseen, share=0.01):
    """By sorted distances, with the quantile between two of them written out."""
    samples, train, unseen = samples.double(), train.double(), unseen.double()
    usual = sorted(float((train - one).norm(dim=1).min()) for one in unseen)
    at = share * (len(usual) - 1)
    low, part = int(at), at - int(at)
    threshold = usual[low] + part * (usual[min(low + 1, len(usual) - 1)] - usual[low])
    away = torch.stack([(train - one).norm(dim=1) for one in samples])
    return away.argmin(1), away.amin(1) < threshold


SLIPS = [
    *slips(
        "moments",
        ("this divides by N: divide by N - 1", "By N.", ("(len(features) - 1)", "len(features)")),
        (
            "this is divided by nothing: divide by N - 1",
            "A sum.",
            (" / (len(features) - 1)", ""),
        ),
        (
            "the mean is not taken away: these are the averages of products",
            "Not centred.",
            ("features - mean", "features"),
        ),
        (
            "this is the covariance of the images: the features are the columns",
            "The transpose on the other side.",
            (
                "off.T @ off",
                "(features - features.mean(1, keepdim=True))"
                " @ (features - features.mean(1, keepdim=True)).T",
            ),
            ("(len(features) - 1)", "(features.shape[1] - 1)"),
        ),
        (
            "this is the mean over the features of each image",
            "The other dimension.",
            ("return mean,", "return features.mean(dim=1),"),
        ),
        ("return two things, in a tuple", "The covariance alone.", ("return mean, ", "return ")),
        (
            "this is the correlation: do not divide by the standard deviations",
            "The correlation.",
            ("off.T @ off / (len(features) - 1)", "torch.corrcoef(features.T)"),
        ),
    ),
    *slips(
        "root",
        ("no root was taken of the eigenvalues", "No root.", (".sqrt()", "")),
        (
            "the eigenvectors are the columns, not the rows",
            "The transpose first.",
            (
                "vectors * values.clamp(min=0).sqrt() @ vectors.T",
                "vectors.T * values.clamp(min=0).sqrt() @ vectors",
            ),
        ),
        (
            "the eigenvectors are not turned back",
            "No second factor.",
            (" @ vectors.T", ""),
        ),
        (
            "these are the roots of the eigenvalues on a diagonal: turn them back",
            "The roots as a column.",
            (
                "vectors * values.clamp(min=0).sqrt()",
                "values.clamp(min=0).sqrt()[:, None] * vectors",
            ),
        ),
        (
            "of a singular matrix the root is not finite",
            "No clamp.",
            (".clamp(min=0)", ""),
        ),
        ("this is one over the root", "The inverse.", (".sqrt()", ".rsqrt()")),
    ),
    *slips(
        "distance",
        (
            "the root of what is asked for: return the square of the distance",
            "A root at the end.",
            (
                "return of_means + (covariance_1 + covariance_2 - 2 * both).trace()",
                "return (of_means + (covariance_1 + covariance_2 - 2 * both).trace())"
                ".clamp(min=0).sqrt()",
            ),
        ),
        ("the means are missing", "The covariances alone.", ("return of_means + ", "return ")),
        (
            "the distance of the means is not squared",
            "A norm.",
            ("(mean_1 - mean_2).square().sum()", "(mean_1 - mean_2).norm()"),
        ),
        ("the root of the product counts twice", "The 2 forgotten.", ("2 * both", "both")),
        (
            "no root is taken of the product of the covariances",
            "No root.",
            ("both = root(half @ covariance_2 @ half)", "both = half @ covariance_2 @ half"),
        ),
        (
            "the product of two roots is not the root of the product",
            "A product of two roots.",
            ("root(half @ covariance_2 @ half)", "half @ root(covariance_2)"),
        ),
        (
            "this is the root of the product with the covariance where its root belongs",
            "The covariance for its root.",
            ("half = root(covariance_1)", "half = covariance_1"),
        ),
        (
            "this is the mean over the features: the trace is a sum",
            "A mean of the diagonal.",
            (".trace()", ".diag().mean()"),
        ),
        (
            "the sum over all entries of the matrix is no trace: take the diagonal",
            "The sum of all entries.",
            (".trace()", ".sum()"),
        ),
    ),
    *slips(
        "limit",
        (
            "only the first N rows are used: cut all rows into sets",
            "One set of each size.",
            ("features[: len(features) // n * n].split(n)", "[features[:n]]"),
        ),
        (
            "rows that are left over make a smaller set here: leave them out",
            "What is left over is a set.",
            ("features[: len(features) // n * n].split(n)", "features.split(n)"),
        ),
        (
            "the reference is cut as well: compare with the whole of it",
            "The reference cut.",
            ("distance(each, reference)", "distance(each, reference[:n])"),
        ),
        (
            "the line is drawn against N: draw it against 1 / N",
            "Against N.",
            ("x, d = 1 / torch.tensor(sizes).double()", "x, d = torch.tensor(sizes).double()"),
        ),
        (
            "the line is drawn against the root of 1 / N: draw it against 1 / N",
            "Against the root.",
            ("1 / torch.tensor(sizes).double()", "torch.tensor(sizes).double().rsqrt()"),
        ),
        (
            "the slope comes second",
            "The slope first.",
            ("return d.mean() - b * x.mean(), b", "return b, d.mean() - b * x.mean()"),
        ),
        (
            "the first number is the distance at the largest N",
            "The last point.",
            ("return d.mean() - b * x.mean(), b", "return d[x.argmin()], b"),
        ),
        (
            "this is the sum over the sets: take their mean",
            "A sum.",
            (" / len(sets)", ""),
        ),
        (
            "the slope has the wrong sign",
            "The sign.",
            ("b = (off", "b = -(off"),
        ),
    ),
    *slips(
        "regions",
        (
            "the two are interchanged: precision comes first",
            "Interchanged.",
            (
                "return share_inside(made, real), share_inside(real, made)",
                "return share_inside(real, made), share_inside(made, real)",
            ),
        ),
        (
            "a member counts as its own neighbour: leave it out",
            "The member itself is the first neighbour.",
            (".fill_diagonal_(math.inf)", ""),
        ),
        (
            "the radius is the distance to neighbour k + 1",
            "One too far.",
            ("[:, k - 1]", "[:, k]"),
        ),
        (
            "a point on the edge of a ball is inside, even where the radius is 0",
            "Nearer, and not as near.",
            ("<= radius", "< radius"),
        ),
        (
            "a point has to be in any ball, not in all",
            "In all.",
            (".any(dim=1)", ".all(dim=1)"),
        ),
        (
            "this is the share of pairs: a point is in the region if it is in any ball",
            "Of pairs.",
            (".any(dim=1)", ""),
        ),
        (
            "this is the share of balls with a point in them",
            "The other dimension.",
            (".any(dim=1)", ".any(dim=0)"),
        ),
        (
            "all balls have the same radius, the mean: each has its own",
            "One radius for all.",
            ("[:, k - 1]", "[:, k - 1].mean()"),
        ),
        (
            "the radius is the distance to the nearest neighbour, whatever k is",
            "The first neighbour.",
            ("[:, k - 1]", "[:, 0]"),
        ),
    ),
    *slips(
        "bits",
        (
            "a code length is minus the logarithm: look at the sign",
            "The sign.",
            ("bits = -log_prob", "bits = log_prob"),
        ),
        (
            "this is in nats: divide by ln 2",
            "Nats.",
            ("(dimensions * math.log(2))", "dimensions"),
        ),
        (
            "this is for the whole image: divide by the number of dimensions",
            "Of the whole image.",
            ("(dimensions * math.log(2))", "math.log(2)"),
        ),
        (
            "this is the standard deviation: divide it by the root of the number of images",
            "The standard deviation.",
            (" / math.sqrt(len(bits))", ""),
        ),
        (
            "the standard deviation is divided by the number of images: divide by its root",
            "Divided by B.",
            ("math.sqrt(len(bits))", "len(bits)"),
        ),
        (
            "the sum of squares is divided by B: divide by B - 1",
            "Divided by B inside.",
            ("bits.std()", "bits.std(correction=0)"),
        ),
        (
            "the width is not used",
            "No width.",
            (" + dimensions * math.log(width)", ""),
        ),
        (
            "the width counts once, and not for each dimension",
            "Once.",
            ("dimensions * math.log(width)", "math.log(width)"),
        ),
        (
            "the logarithm of the width has the wrong sign",
            "The sign of the width.",
            ("+ dimensions * math.log(width)", "- dimensions * math.log(width)"),
        ),
    ),
    *slips(
        "repair",
        (
            "the deviation from one estimate to the next holds the noise of each, too",
            "All estimates, over the root of B.",
            ("of_images.std()", "bits.std()"),
        ),
        (
            "but then divided by the root of the number of estimates: only images count",
            "Over the root of all.",
            ("math.sqrt(len(of_images))", "math.sqrt(bits.numel())"),
        ),
        (
            "the other way round",
            "Averaged over the images.",
            ("of_images = bits.mean(dim=1)", "of_images = bits.mean(dim=0)"),
        ),
        (
            "this is how far the estimates of one image lie apart, over the root of K",
            "Within the images.",
            (
                "of_images.std() / math.sqrt(len(of_images))",
                "bits.std(dim=1).mean() / math.sqrt(bits.shape[1])",
            ),
        ),
        (
            "the error is not divided by a root any more",
            "No root of B.",
            (" / math.sqrt(len(of_images))", ""),
        ),
        (
            "this divides by the number of images: divide by its root",
            "Over B.",
            ("math.sqrt(len(of_images))", "len(of_images)"),
        ),
        (
            "the sum of squares is divided by B: divide by B - 1, as before",
            "Another standard deviation.",
            ("of_images.std()", "of_images.std(correction=0)"),
        ),
        (
            "the estimates of an image are added up: average them",
            "A sum.",
            ("bits.mean(dim=1)", "bits.sum(dim=1)"),
        ),
        (
            "this is in nats: bits were right before",
            "Nats.",
            ("(dimensions * math.log(2))", "dimensions"),
        ),
    ),
    *slips(
        "copies",
        (
            "the samples that are far away are suspected: those that are nearer are",
            "The wrong side.",
            ("near.values < ", "near.values > "),
        ),
        (
            "the threshold comes from the samples themselves",
            "The samples' own.",
            ("usual.quantile(share)", "near.values.quantile(share)"),
        ),
        (
            "the threshold is too large",
            "The other quantile.",
            ("usual.quantile(share)", "usual.quantile(1 - share)"),
        ),
        (
            "the threshold is too small",
            "The smallest.",
            ("usual.quantile(share)", "usual.min()"),
        ),
        (
            "the share itself is taken for the threshold",
            "The share for the threshold.",
            ("usual.quantile(share)", "share"),
        ),
        (
            "the indices are counted from 1: count from 0",
            "Counted from 1.",
            ("return near.indices,", "return near.indices + 1,"),
        ),
        (
            "these are distances: return the index of the nearest training image",
            "Distances.",
            ("return near.indices,", "return near.values,"),
        ),
        (
            "squares of distances meet distances",
            "One of the two squared.",
            ("usual.quantile(share)", "usual.quantile(share) ** 2"),
        ),
    ),
]
