"""What can be other in assignment 7 for a class: tools/make_assignments.py --variant asks here."""

SET_BY_SET = """def by_numpy(distance, features, reference, sizes):
    points = []
    for n in sizes:
        sets = [features[k * n : (k + 1) * n] for k in range(len(features) // n)]
        points += [(1 / n, float(distance(each, reference))) for each in sets]
    b, a = np.polyfit(*zip(*points), 1)
    return torch.tensor([a, b])
"""
INSIDE = '''def in_balls(real, made, k):
    """By loops: precision, and how many of the balls hold something."""
    away = np.linalg.norm(real[:, None] - made[None], axis=2)
    own = np.linalg.norm(real[:, None] - real[None], axis=2)
    radius = np.array([sorted(np.delete(row, n))[k - 1] for n, row in enumerate(own)])
    inside = away <= radius[:, None]
    return [float(inside.any(0).mean()), float(inside.any(1).mean())]


'''
SHARES_TEST = """
from ddpm_tutorial.coursework import Known


def by_counting(samples, train, unseen):
    away = (samples[:, None] - train).square().sum(2).sqrt()
    usual = (unseen[:, None] - train).square().sum(2).sqrt().amin(1).sort().values
    near, index = away.min(1)
    return index, torch.searchsorted(usual, near) / len(usual)


for N, L, M, D in [(9, 7, 20, 2), (30, 50, 40, 6), (1, 3, 5, 1), (500, 20, 300, 3)]:
    train, unseen = normal_numbers(L, D, seed=L), normal_numbers(M, D, seed=M)
    samples = 0.8 * normal_numbers(N, D, seed=N + 1)
    other = Known(by_counting(samples, train, unseen), case="for other numbers of images")
    examine(find_copies, (samples, train, unseen), other)
    examine(find_copies, (samples.float(), train.float(), unseen.float()), other)
# A sample that lies exactly as near as an unseen image: that image does not lie nearer.
line = torch.tensor([[0.0], [10.0]])
arguments = (torch.tensor([[1.0], [8.0], [0.0]]), line, torch.tensor([[1.0], [3.0], [9.5], [8.0]]))
as_near = Known((torch.tensor([0, 1, 0]), [0.25, 0.5, 0.0]), case="where two are equally near")
examine(find_copies, arguments, as_near)
"""


def vary(draft, draw):
    """Another form of nearly every measure."""
    if draw("moments", "covariance first", "scatter") == "scatter":
        _scatter(draft)
    else:
        _covariance_first(draft)
    if draw("distance", "its root", "two parts") == "its root":
        _root_of_the_distance(draft)
    else:
        _two_parts(draft)
    if draw("line", "each set counts", "dealt out") == "dealt out":
        _dealt_out(draft)
    else:
        _each_set_counts(draft)
    if draw("regions", "coverage", "the member counts") == "coverage":
        _coverage(draft)
    else:
        _the_member_counts(draft)
    if draw("error bars", "two ends", "code lengths") == "two ends":
        _two_ends(draft)
    else:
        _code_lengths(draft)
    if draw("copies", "shares", "city blocks") == "shares":
        _shares(draft)
    else:
        _city_blocks(draft)


def _covariance_first(draft):
    """Part 1: the two in the other order."""
    draft.text(
        (
            "Return $\\mathbf{m}$ of shape $(D,)$ and $\\mathbf{C}$ of shape $(D, D)$, in this "
            "order.",
            "Return $\\mathbf{C}$ of shape $(D, D)$ and $\\mathbf{m}$ of shape $(D,)$, in this "
            "order.",
        ),
        (
            "## Part 1: the mean and the covariance of a cloud",
            "## Part 1: the covariance and the mean of a cloud",
        ),
    )
    draft.change(
        "moments-answer",
        ("Mean (D,) and covariance (D, D)\n", "Covariance (D, D) and mean (D,)\n"),
        ("return mean, off.T @ off / (len(features) - 1)",
         "return off.T @ off / (len(features) - 1), mean"),
    )  # fmt: skip
    draft.change(
        "distance-answer",
        ("mean_1, covariance_1 = ", "covariance_1, mean_1 = "),
        ("mean_2, covariance_2 = ", "covariance_2, mean_2 = "),
    )
    draft.change(
        "moments",
        ("([2.0, 1.2, 1.5], covariance)", "(covariance, [2.0, 1.2, 1.5])"),
        ("right = (features.mean(0), torch.as_tensor(np.cov(features.numpy().T)).reshape(D, D))",
         "right = (torch.as_tensor(np.cov(features.numpy().T)).reshape(D, D), features.mean(0))"),
        ("moments(far)[1]", "moments(far)[0]"),
    )  # fmt: skip


def _scatter(draft):
    """Part 1: the sum that is not yet divided, and Part 3 divides it."""
    draft.text(
        (
            "## Part 1: the mean and the covariance of a cloud",
            "## Part 1: the mean and the scatter of a cloud",
        ),
        (
            "With $\\mathbf{f}_n$ for the rows, these are",
            "The covariance comes from the *scatter matrix*, which can be added up over several "
            "parts of a set. With $\\mathbf{f}_n$ for the rows, the mean and the scatter are",
        ),
        (
            "\\mathbf{C} = \\frac{1}{N - 1} \\sum_{n=1}^{N} (\\mathbf{f}_n - \\mathbf{m})",
            "\\mathbf{S} = \\sum_{n=1}^{N} (\\mathbf{f}_n - \\mathbf{m})",
        ),
        (
            "Dividing by $N - 1$ makes $\\mathbf{C}$ right on average, because $\\mathbf{m}$ lies "
            "nearer to the rows than the true mean does. `features` is $(N, D)$ with $N \\ge 2$. "
            "Return $\\mathbf{m}$ of shape $(D,)$ and $\\mathbf{C}$ of shape $(D, D)$, in this "
            "order.",
            "The covariance is $\\mathbf{C} = \\mathbf{S} / (N - 1)$. Dividing by $N - 1$ makes it "
            "right on average, because $\\mathbf{m}$ lies nearer to the rows than the true mean "
            "does. You divide in Part 3, and not yet here. `features` is $(N, D)$ with $N \\ge 2$. "
            "Return $\\mathbf{m}$ of shape $(D,)$ and $\\mathbf{S}$ of shape $(D, D)$, in this "
            "order.",
        ),
        (
            "With $\\mathbf{m}_1, \\mathbf{C}_1$ of one set and $\\mathbf{m}_2, \\mathbf{C}_2$ of "
            "the other in the place of the true means and covariances,",
            "Part 1 gives you means and scatters, and these divided by $N - 1$ and $M - 1$ are the "
            "covariances. With $\\mathbf{m}_1, \\mathbf{C}_1$ of one set and $\\mathbf{m}_2, "
            "\\mathbf{C}_2$ of the other in the place of the true means and covariances,",
        ),
    )
    draft.change(
        "moments-answer",
        ("Mean (D,) and covariance (D, D)\n", "Mean (D,) and scatter (D, D)\n"),
        ("return mean, off.T @ off / (len(features) - 1)", "return mean, off.T @ off"),
    )
    draft.change(
        "distance-answer",
        ("mean_1, covariance_1 = moments(features_1)\n",
         "mean_1, scatter_1 = moments(features_1)\n"),
        ("    mean_2, covariance_2 = moments(features_2)\n",
         "    mean_2, scatter_2 = moments(features_2)\n"
         "    covariance_1 = scatter_1 / (len(features_1) - 1)\n"
         "    covariance_2 = scatter_2 / (len(features_2) - 1)\n"),
    )  # fmt: skip
    draft.change(
        "moments",
        ("covariance = [[2.5, -1.25, -1.5], [-1.25, 3.7, 0.5], [-1.5, 0.5, 1.25]]",
         "scatter = [[10.0, -5.0, -6.0], [-5.0, 14.8, 2.0], [-6.0, 2.0, 5.0]]"),
        ("([2.0, 1.2, 1.5], covariance)", "([2.0, 1.2, 1.5], scatter)"),
        ("right = (features.mean(0), torch.as_tensor(np.cov(features.numpy().T)).reshape(D, D))",
         "scatter = torch.as_tensor((N - 1) * np.cov(features.numpy().T)).reshape(D, D)\n"
         "    right = (features.mean(0), scatter)"),
        ("(torch.as_tensor(moments(far)[1]).double() - right)",
         "(torch.as_tensor(moments(far)[1]).double() / 49 - right)"),
        ("where the features lie far from 0 the covariance is wrong",
         "where the features lie far from 0 the scatter is wrong"),
    )  # fmt: skip


def _root_of_the_distance(draft):
    """Part 3: in the unit of the features."""
    draft.text(
        (
            "Return $d^2$, one number. As in the chapter, no root is taken of it.",
            "Return $d$, one number: the root of this, which is in the unit of the features. (The "
            "chapter calls $d^2$ the distance, and takes no root of it.) Where rounding has made "
            "$d^2$ a little less than 0, $d$ is 0.",
        ),
        (
            "In the cells below the test it is your `frechet`.",
            "In the cells below the test it is the square of your `frechet`, because it is $d^2$ "
            "whose bias falls as $1/N$.",
        ),
        (
            "of the other in the place of the true means and covariances, the distance is",
            "of the other in the place of the true means and covariances, the square of the "
            "distance is",
        ),
        ("The distance that $N$ samples show is", "The square $d^2$ that $N$ samples show is"),
        (
            "So the true distance is $(1.5 - 1)^2 = 0.25$",
            "So the true $d^2$ is $(1.5 - 1)^2 = 0.25$",
        ),
        ("where $d^2$ is the true distance.", "where $d$ is the true distance."),
        (
            "Is the difference of their distances then free of bias,",
            "Is the difference of their $\\hat d^2$ then free of bias,",
        ),
    )
    draft.code(('plt.ylabel("Fréchet distance")', 'plt.ylabel("squared Fréchet distance")'))
    draft.change(
        "distance-answer",
        ("The Fréchet distance of features (N, D)\n    and (M, D): one number.",
         "The Fréchet distance of features (N, D)\n    and (M, D), as d and not as d^2: one number."),
        ("return of_means + (covariance_1 + covariance_2 - 2 * both).trace()",
         "of_spread = (covariance_1 + covariance_2 - 2 * both).trace()\n"
         "    return (of_means + of_spread).clamp(min=0).sqrt()"),
    )  # fmt: skip
    draft.change(
        "distance",
        ("4.68048", "⟦frechet(first, second)⟧"),
        ("(first, first), 0.0, atol=1e-4)", "(first, first), 0.0, atol=1e-2)"),
        ("right = frechet_distance(one, other)", "right = math.sqrt(frechet_distance(one, other))"),
        ("(one, one.flip(0)), same, atol=1e-3)", "(one, one.flip(0)), same, atol=1e-2)"),
        ("Known(4.0 * D,", "Known(2 * math.sqrt(D),"),
        ("(small.mean(0) - smaller.mean(0)).square().sum()\n",
         "(small.mean(0) - smaller.mean(0)).square().sum()\nright = right.sqrt()\n"),
        ("(small.float(), small.float()), 0.0, atol=1e-3)",
         "(small.float(), small.float()), 0.0, atol=1e-2)"),
        ("right = frechet_distance(one[:, :3], 2 * other[:, :3])",
         "right = math.sqrt(frechet_distance(one[:, :3], 2 * other[:, :3]))"),
    )  # fmt: skip
    _distance_of_the_cells(draft, "frechet(one, other) ** 2")


def _two_parts(draft):
    """Part 3: what the means give, and what the covariances give."""
    draft.text(
        (
            "Return $d^2$, one number. As in the chapter, no root is taken of it. A set has the "
            "distance 0 from itself.",
            "Return its two parts, each a number: first what the means give, $\\| \\mathbf{m}_1 - "
            "\\mathbf{m}_2 \\|^2$, then what the covariances give, the trace. So one sees which of "
            "them is to blame. As in the chapter, no root is taken. Both parts are 0 for a set and "
            "itself.",
        ),
        (
            "In the cells below the test it is your `frechet`.",
            "In the cells below the test it is the sum of the two parts from your `frechet`.",
        ),
    )
    draft.change(
        "distance-answer",
        ("The Fréchet distance of features (N, D)\n    and (M, D): one number.",
         "The Fréchet distance of features (N, D) and\n"
         "    (M, D): the part of the means, and that of\n    the covariances."),
        ("return of_means + (covariance_1 + covariance_2 - 2 * both).trace()",
         "return of_means, (covariance_1 + covariance_2 - 2 * both).trace()"),
    )  # fmt: skip
    draft.change(
        "distance",
        ("4.68048", "⟦frechet(first, second)⟧"),
        ("(first, first), 0.0, atol=1e-4)", "(first, first), (0.0, 0.0), atol=1e-4)"),
        ("from ddpm_tutorial.coursework import Known\n",
         "from ddpm_tutorial.coursework import Known\n\n\n"
         "def apart(one, other):\n"
         "    of_means = (one.mean(0) - other.mean(0)).square().sum()\n"
         "    return of_means, frechet_distance(one, other) - of_means\n\n"),
        ("right = frechet_distance(one, other)", "right = apart(one, other)"),
        ("same = Known(0.0,", "same = Known((0.0, 0.0),"),
        ("Known(4.0 * D,", "Known((4.0 * D, 0.0),"),
        ("right = right + (small.mean(0) - smaller.mean(0)).square().sum()\n",
         "right = ((small.mean(0) - smaller.mean(0)).square().sum(), right)\n"),
        ("math.isfinite(float(frechet(small, smaller)))",
         "all(math.isfinite(float(part)) for part in frechet(small, smaller))"),
        ("(small.float(), small.float()), 0.0, atol=1e-3)",
         "(small.float(), small.float()), (0.0, 0.0), atol=1e-3)"),
        ("frechet_distance(one[:, :3], 2 * other[:, :3])", "apart(one[:, :3], 2 * other[:, :3])"),
    )  # fmt: skip
    _distance_of_the_cells(draft, "sum(frechet(one, other))")


def _distance_of_the_cells(draft, squared):
    """The cells after Part 4 measure with a number that is d^2."""
    draft.code(
        (
            "for D, rows in ((1, 20_000), (8, 4000)):",
            "def squared(one, other):\n"
            '    """The squared distance, from your Part 3."""\n'
            f"    return {squared}\n\n\n"
            "for D, rows in ((1, 20_000), (8, 4000)):",
        ),
        ("extrapolate(frechet, wide,", "extrapolate(squared, wide,"),
        ("extrapolate(frechet, features, others,", "extrapolate(squared, features, others,"),
        ("float(frechet(s, others))", "float(squared(s, others))"),
    )


def _each_set_counts(draft):
    """Part 4: the line through all sets, and not through their means."""
    draft.text(
        (
            "Compare each set with the whole `reference`, and take the mean over the sets. That "
            "gives one number $d_N$ for each size.",
            "Compare each set with the whole `reference`. That gives one number $d$ for each set, "
            "and a small $N$ has many sets.",
        ),
        (
            "Then find the line, $d_N \\approx a + b / N$, with the smallest sum of squared errors "
            "over the sizes, each of which counts once. With $x$ for $1/N$, and a bar for the mean "
            "over the sizes,",
            "Then find the line, $d \\approx a + b / N$, with the smallest sum of squared errors "
            "over *all sets* of all sizes, each of which counts once. So a size with many sets has "
            "more of a say. With $x$ for the $1/N$ of a set, sums over all sets, and a bar for the "
            "mean over all sets,",
        ),
    )
    draft.change(
        "limit-answer",
        ("it rises with 1/N.", "it rises with 1/N, by the line through all sets."),
        ("    means = []\n", "    x, d = [], []\n"),
        ("        means.append(sum(float(distance(each, reference)) for each in sets) / len(sets))\n",
         "        x += [1 / n] * len(sets)\n"
         "        d += [float(distance(each, reference)) for each in sets]\n"),
        ("x, d = 1 / torch.tensor(sizes).double(), torch.tensor(means).double()",
         "x, d = torch.tensor(x).double(), torch.tensor(d).double()"),
    )  # fmt: skip
    by_size = draft.cell("limit").source.partition("def by_numpy")[2].partition("\n\n\n")[0]
    draft.change(
        "limit",
        ("[6.75173, 6.91075]", "⟦extrapolate(gap_of_means, eleven, few, [5, 3, 2])⟧"),
        (f"def by_numpy{by_size}\n", SET_BY_SET),
    )


def _dealt_out(draft):
    """Part 4: the rows are dealt out to the sets."""
    draft.text(
        (
            "For each $N$, cut the rows in their order into sets of $N$: the first $N$ rows, the "
            "next $N$, and so on, for as long as there are $N$ left. Rows that are left over are "
            "not used at this $N$.",
            "The rows may be sorted, say by digit. So for each $N$, deal the rows out: there are $K = "
            "\\lfloor L / N \\rfloor$ sets, and row 0 goes to the first set, row 1 to the second, "
            "and so on; after the $K$-th set comes the first again, until each has $N$ rows. Rows "
            "that are left over at the end are not used at this $N$.",
        ),
        (
            "the one after it draws the two lines.",
            "the one after it sorts them by digit and draws the two lines.",
        ),
    )
    draft.change(
        "limit-answer",
        ("sets = features[: len(features) // n * n].split(n)",
         "count = len(features) // n\n        sets = [features[k::count][:n] for k in range(count)]"),
        ("it rises with 1/N.", "it rises with 1/N; rows are dealt out to sets."),
    )  # fmt: skip
    draft.change(
        "limit",
        ("[6.75173, 6.91075]", "⟦extrapolate(gap_of_means, eleven, few, [5, 3, 2])⟧"),
        ("sets = [[features[k * n : (k + 1) * n] for k in range(len(features) // n)] for n in sizes]",
         "sets = []\n    for n in sizes:\n        count = len(features) // n\n"
         "        used = features[: count * n].reshape(n, count, -1)\n"
         "        sets.append(used.unbind(dim=1))"),
    )  # fmt: skip
    draft.code(
        ("sizes = [100, 150, 300]\n",
         "sizes = [100, 150, 300]\norder = load_bundled(\"train\").labels[:600].argsort(stable=True)\n"),
        ('{"real": real, "blurred": blurred}.items():\n    found = [sum(',
         '{"real": real[order], "blurred": blurred[order]}.items():\n    found = [sum('),
        ("for s in features.split(n)) * n / 600 for n in sizes]",
         "for s in features.reshape(n, -1, 128).unbind(1))\n             * n / 600 for n in sizes]"),
    )  # fmt: skip


def _coverage(draft):
    """Part 5: coverage in the place of recall."""
    draft.text(
        (
            "precision and recall, bits per dimension with an error bar,",
            "precision and coverage, bits per dimension with an error bar,",
        ),
        ("## Part 5: precision and recall", "## Part 5: precision and coverage"),
        (
            "These two numbers tell them apart.",
            "Precision and recall tell them apart. For the second fault there is another measure, "
            "*coverage*. It asks for no region of the made images, whose balls grow where samples "
            "stray.",
        ),
        (
            "1. A set stands for a *region*. Around each of its members there is a ball.",
            "1. The real images stand for a *region*. Around each of them there is a ball.",
        ),
        (
            "The radius is the distance from this member to its $k$-th nearest neighbour in the "
            "same set. The member itself does not count as its own neighbour.",
            "The radius is the distance from this image to its $k$-th nearest neighbour among the "
            "real images. The image itself does not count as its own neighbour.",
        ),
        (
            "*Recall* is the share of real images that lie in the region of the made ones.",
            "*Coverage* is the share of real images in whose ball at least one made image lies.",
        ),
        (
            "and $k$ is less than both $N$ and $M$. Return precision and recall, in this order.",
            "and $k$ is less than $N$. Return precision and coverage, in this order.",
        ),
    )
    draft.change(
        "regions-answer",
        ("def precision_and_recall(", "def precision_and_coverage("),
        ("Two shares in [0, 1], from features (N, D)\n    of real and (M, D) of made images.\n",
         "Two shares in [0, 1], from features (N, D)\n"
         "    of real and (M, D) of made images; only the\n    real ones have balls.\n"),
    )  # fmt: skip
    draft.solve(
        "regions",
        "real, made = real.double(), made.double()\n"
        "own = torch.cdist(real, real).fill_diagonal_(math.inf)\n"
        "radius = own.sort(dim=1).values[:, k - 1]\n"
        "inside = torch.cdist(real, made) <= radius[:, None]  # a row for each ball\n"
        "return inside.any(dim=0).double().mean(), inside.any(dim=1).double().mean()",
    )
    draft.everywhere(r"\bprecision_and_recall\b", "precision_and_coverage")
    draft.change(
        "regions",
        ("[0.857143, 0.875]", "⟦precision_and_coverage(points, more, 3)⟧"),
        ("from ddpm_tutorial import precision_recall\n", ""),
        ("import Known\n\n", f"import Known\n\n\n{INSIDE}"),
        ("right = precision_recall(alike, there, 2)\n",
         "right = in_balls(alike.numpy(), there.numpy(), 2)\n"),
        ("    list(right),\n", "    right,\n"),
        ("list(precision_recall(one, other, k))", "in_balls(one.numpy(), other.numpy(), k)"),
        ("list(precision_recall(one, other))", "in_balls(one.numpy(), other.numpy(), 3)"),
    )  # fmt: skip
    no_edge = "(torch.cdist(alike, there) < away.sort(1).values[:, 2:3]).any(1)"
    draft.change(
        "regions",
        ("[no_copies, right.recall]", "[no_copies, right[1]]"),
        ("            right.recall,\n", f"            {no_edge}.double().mean(),\n"),
    )
    draft.code(
        ("precision, recall = precision_and_coverage(", "precision, coverage = precision_and_coverage("),
        ("recall {recall:.2f}", "coverage {coverage:.2f}"),
    )  # fmt: skip


def _the_member_counts(draft):
    """Part 5: a member is its own first neighbour, as in many programs."""
    draft.text(
        (
            "The member itself does not count as its own neighbour. A second image with the same "
            "features does count.",
            "The member itself counts as the first of them, at the distance 0, as in many programs. "
            "So $k = 1$ would make balls without extent, and $k = 4$ makes those that the chapter "
            "has with $k = 3$. A second image with the same features counts, too.",
        ),
        ("and $k$ is less than both $N$ and $M$.", "and $k$ is at most $N$ and at most $M$."),
    )
    draft.change(
        "regions-answer",
        ("(real, made, k=3):", "(real, made, k=4):"),
        ("of real and (M, D) of made images.\n",
         "of real and (M, D) of made images; a member is\n    its own first neighbour.\n"),
        (".fill_diagonal_(math.inf)", ".fill_diagonal_(0)"),
    )  # fmt: skip
    draft.change(
        "regions",
        ("(points, more, 3), [0.857143, 0.875]",
         "(points, more, 3), ⟦precision_and_recall(points, more, 3)⟧"),
        ("    precision_and_recall(alike, there, 2),\n",
         "    precision_and_recall(alike, there, 3),\n"),
        ("[(40, 40, 2, 3), (30, 55, 5, 1), (12, 9, 1, 5), (60, 25, 3, 24), (8, 8, 20, 7)]",
         "[(40, 40, 2, 3), (30, 55, 5, 2), (12, 9, 1, 5), (60, 25, 3, 25), (8, 8, 20, 8)]"),
        ("list(precision_recall(one, other, k))", "list(precision_recall(one, other, k - 1))"),
        ("list(precision_recall(one, other))", "list(precision_recall(one, other, 3))"),
        ("leave out the member itself, not all at distance \"\n        \"0\"",
         "count each, not only the \"\n        \"member itself\""),
    )  # fmt: skip


def _two_ends(draft):
    """Parts 6 and 7: the ends of an interval in the place of mean and standard error."""
    draft.text(
        (
            "Return the mean of the $L_i$, and its standard error: the standard deviation of the "
            "$L_i$ (with $B - 1$ below the sum of squares) divided by $\\sqrt B$.",
            "The *standard error* of the mean is the standard deviation of the $L_i$ (with $B - 1$ "
            "below the sum of squares) divided by $\\sqrt B$. Return the two ends of an interval, "
            "the lower one first: the mean of the $L_i$ less two standard errors, and the mean plus "
            "two.",
        ),
        (
            "and to report how uncertain that estimate is, as a standard error.",
            "and to report how uncertain that estimate is: it returns the two ends of an interval, "
            "two standard errors below the mean and two above it.",
        ),
        (
            "The program runs, and the mean is right. With $K = 1$ the error is right as well. With "
            "more it is not.",
            "The program runs, and the middle of the interval is right. With $K = 1$ its width is "
            "right as well. With more it is not.",
        ),
        (
            "The next cell measures the latter. It makes 400 sets of 50 images each, and counts in "
            "how many of them the truth lies within two of the standard errors that are reported.",
            "The next cell measures the latter. It makes 400 sets of 50 images each, and counts in "
            "how many of them the truth lies in the interval that is reported.",
        ),
    )
    draft.change(
        "bits-answer",
        ("The mean code length of images, in bits per\n    dimension, and its standard error.",
         "The mean code length of images, in bits per\n"
         "    dimension: two ends, two standard errors\n    below it and above it."),
        ("return bits.mean(), bits.std() / math.sqrt(len(bits))",
         "wide = 2 * bits.std() / math.sqrt(len(bits))\n"
         "    return bits.mean() - wide, bits.mean() + wide"),
    )  # fmt: skip
    draft.change(
        "bits",
        ("[3.16191, 0.379993]",
         "⟦bits_per_dim(torch.tensor([-14.0, -9.5, -17.0, -12.1]), 6)⟧"),
        ("[3.2343, 0.318484]", "⟦bits_per_dim(density, 6, 1 / 256)⟧"),
        ("Known([mean, error],", "Known([mean - 2 * error, mean + 2 * error],"),
        ("Known([8.0, 0.0],", "Known([8.0, 8.0],"),
    )  # fmt: skip
    draft.change(
        "given-broken",
        ("Mean and standard error in bits per dimension, from estimates (B, K). With a mistake.",
         "Two ends, in bits per dimension, from estimates (B, K). With a mistake."),
        ("    return mean, error\n", "    return mean - 2 * error, mean + 2 * error\n"),
    )  # fmt: skip
    draft.code(
        (
            "        mean, error = report(estimates(50, K, seed), 784)\n"
            "        hits += abs(float(mean) - truth) < 2 * float(error)\n",
            "        low, high = report(estimates(50, K, seed), 784)\n"
            "        hits += float(low) < truth < float(high)\n",
        ),
        (
            "the truth lies within two standard errors of the mean.",
            "the truth lies in the interval.",
        ),
        ("within two standard errors {within_two", "in the interval {within_two"),
    )
    draft.change(
        "repair-answer",
        ("return of_images.mean(), of_images.std() / math.sqrt(len(of_images))",
         "wide = 2 * of_images.std() / math.sqrt(len(of_images))\n"
         "    return of_images.mean() - wide, of_images.mean() + wide"),
    )  # fmt: skip
    draft.change(
        "repair",
        ("[2.95352, 0.506209]", "⟦report(nats, 3)⟧"),
        ("[2.64494, 0.636169]", "⟦report(nats[:, :1], 3)⟧"),
        ("Known([mean, error],", "Known([mean - 2 * error, mean + 2 * error],"),
    )  # fmt: skip


def _code_lengths(draft):
    """Part 6: from code lengths, which are positive; Part 7: a column for each image."""
    draft.text(
        (
            "`log_prob` $(B,)$ holds $\\ln p_i$ for $B \\ge 2$ images.",
            "`nats` $(B,)$ holds $-\\ln p_i$ for $B \\ge 2$ images, as training reports it. "
            "Where $w = 1$, that is the length of the code.",
        ),
        (
            "`nats` is $(B, K)$: $K$ independent estimates of the code length of each of $B$ "
            "images.",
            "`nats` is $(K, B)$, with a column for each image: $K$ independent estimates of the "
            "code length of each of $B$ images.",
        ),
    )
    draft.change(
        "bits-answer",
        ("def bits_per_dim(log_prob,", "def bits_per_dim(nats,"),
        ("dimension, and its standard error.", "dimension, and its standard error; from nats\n"
         "    (B,), which are -ln p."),
        ("log_prob = log_prob.double() + dimensions * math.log(width)",
         "nats = nats.double() - dimensions * math.log(width)"),
        ("bits = -log_prob / (dimensions * math.log(2))", "bits = nats / (dimensions * math.log(2))"),
    )  # fmt: skip
    draft.change(
        "bits",
        ("torch.tensor([-14.0, -9.5, -17.0, -12.1])", "torch.tensor([14.0, 9.5, 17.0, 12.1])"),
        ("(density, 6, 1 / 256)", "(-density, 6, 1 / 256)"),
        ("(log_prob, D, width)", "(-log_prob, D, width)"),
        ("(log_prob.float(), D, width)", "(-log_prob.float(), D, width)"),
        ("(even, 784)", "(-even, 784)"),
    )
    draft.change(
        "given-broken",
        ("from estimates (B, K). With a mistake.", "from estimates (K, B). With a mistake."),
        ("# over images and estimates", "# over estimates and images"),
        ("def estimates(B, K, seed):", "def estimates(K, B, seed):"),
        ("normal_numbers(B, 1, seed=seed)", "normal_numbers(1, B, seed=seed)"),
        ("normal_numbers(B, K, seed=seed + 10_000)", "normal_numbers(K, B, seed=seed + 10_000)"),
    )
    draft.code(("estimates(50, K, seed)", "estimates(K, 50, seed)"))
    draft.change("repair-answer", ("bits.mean(dim=1)", "bits.mean(dim=0)"))
    draft.change(
        "repair",
        ("examine(report, (nats, 3), [", "examine(report, (nats.T, 3), ["),
        ("(nats[:, :1], 3)", "(nats[:, :1].T, 3)"),
        ("nats = estimates(B, K, seed=B)", "nats = estimates(K, B, seed=B)"),
        ("for row in nats.tolist()]", "for row in nats.T.tolist()]"),
    )


def _shares(draft):
    """Part 8: for each sample, how many unseen images lie nearer."""
    draft.text(
        (
            "3. The threshold is the quantile of these, as `torch.quantile(distances, share)` or "
            "`numpy.quantile` gives it: with a `share` of 0.01, one unseen image in a hundred lies "
            "nearer.\n"
            "4. A sample is a suspected copy if it lies nearer than the threshold.",
            "3. For each sample, find the share of the unseen images that lie nearer than it: whose "
            "distance from step 2 is *less* than the sample's from step 1. A sample with a share of "
            "0.5 is as near as unseen images are. A share close to 0 makes it a suspected copy: "
            "hardly any unseen image comes so near by chance.",
        ),
        (
            "and whether it is suspected, true or false, $(N,)$. (The chapter's program has a "
            "threshold for each digit, because a 1 is always near another 1. Here there is one for "
            "all.)",
            "and its share, a number from 0 to 1, $(N,)$. (The chapter's program compares images of "
            "the same digit, because a 1 is always near another 1, and it has a threshold for each. "
            "Here all are compared, and where to draw the line is left to whoever reads the "
            "shares.)",
        ),
    )
    draft.change(
        "copies-answer",
        ("def find_copies(samples, train, unseen, share=0.01):",
         "def find_copies(samples, train, unseen):"),
        ("training image, and whether it is a suspected\n    copy: (N,) and (N,).",
         "training image, and the share of unseen images\n    that lie nearer: (N,) and (N,)."),
        ("return near.indices, near.values < usual.quantile(share)",
         "nearer = usual < near.values[:, None]  # (N, M)\n"
         "    return near.indices, nearer.double().mean(dim=1)"),
    )  # fmt: skip
    draft.change(
        "copies",
        ("(torch.tensor([2, 2, 0, 4, 2, 1, 3, 4]), torch.tensor([0, 1, 1, 0, 0, 1, 0, 1]).bool())",
         "(torch.tensor([2, 2, 0, 4, 2, 1, 3, 4]), "
         "⟦find_copies(torch.tensor(made), images, new)[1]⟧)"),
        ("(torch.tensor(made), images, new, 0.4)", "(torch.tensor(made), images, new)"),
    )  # fmt: skip
    source = draft.cell("copies").source
    old = source.partition("### BEGIN HIDDEN TESTS\n")[2].partition("# The positive control:")[0]
    draft.change(
        "copies",
        (old, SHARES_TEST.lstrip("\n")),
        ("index, copied = (torch.as_tensor(each).flatten() for each in",
         "index, nearer = (torch.as_tensor(each).flatten() for each in"),
        ("bool(copied[:5].bool().all())", "bool((nearer[:5] < 0.01).all())"),
        ("of five planted copies not all are suspected",
         "of five planted copies not all have a share below 0.01"),
        ("int(copied[5:].sum()) <= 2", "int((nearer[5:] < 0.01).sum()) <= 2"),
        ("of forty new digits more than two are suspected",
         "of forty new digits more than two have a share below 0.01"),
        ("(planted, torch.ones(5).bool())", "(planted, torch.zeros(5))"),
    )  # fmt: skip
    draft.code(
        ("_, suspected = find_copies(", "_, nearer = find_copies("),
        ("suspected = torch.as_tensor(suspected).flatten()",
         "suspected = torch.as_tensor(nearer).flatten() < 0.01  # your line, drawn at one in a hundred"),
    )  # fmt: skip


def _city_blocks(draft):
    """Part 8: the sum of absolute differences in the place of the Euclidean distance."""
    draft.text(
        (
            "by the Euclidean distance of the rows, and that distance.",
            "by the *city-block* distance of the rows, and that distance. It is the sum of the "
            "absolute differences of their numbers. A few pixels that differ much weigh less in it "
            "than in the Euclidean distance, which the chapter takes, and many that differ a little "
            "weigh more.",
        ),
        ("find the distance to *its* nearest training image.",
         "find the same distance to *its* nearest training image."),
    )  # fmt: skip
    draft.change(
        "copies-answer",
        ("copy: (N,) and (N,).", "copy, by city-block distances: (N,) and (N,)."),
        ("torch.cdist(samples.double(), train.double())",
         "torch.cdist(samples.double(), train.double(), p=1)"),
        ("torch.cdist(unseen.double(), train.double())",
         "torch.cdist(unseen.double(), train.double(), p=1)"),
    )  # fmt: skip
    draft.change(
        "copies",
        ("(torch.tensor([2, 2, 0, 4, 2, 1, 3, 4]), torch.tensor([0, 1, 1, 0, 0, 1, 0, 1]).bool())",
         "⟦find_copies(torch.tensor(made), images, new, 0.4)⟧"),
        ("right = ⟦", "index, copied = ⟦"),
        ("[8.5, 9]", "[9.5, 9]"),  # which is as near to one image as to another
        ("examine(find_copies, (torch.tensor(made), images, new, 0.4), right)",
         "right = (torch.tensor(index), torch.tensor(copied))\n"
         "examine(find_copies, (torch.tensor(made), images, new, 0.4), right)"),
        ("(samples[:, None] - train).square().sum(2).sqrt()", "(samples[:, None] - train).abs().sum(2)"),
        ("(unseen[:, None] - train).square().sum(2).sqrt()", "(unseen[:, None] - train).abs().sum(2)"),
        ("torch.cdist(samples, train), torch.cdist(unseen, train)",
         "torch.cdist(samples, train, p=1), torch.cdist(unseen, train, p=1)"),
        ("noise = 0.05 * normal_numbers", "noise = 0.02 * normal_numbers"),
    )  # fmt: skip
    draft.code(("for noise in (0.0, 0.1, 0.15, 0.2):", "for noise in (0.0, 0.02, 0.04, 0.06):"))
