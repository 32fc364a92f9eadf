"""What can be other in assignment 6 for a class: tools/make_assignments.py --variant asks here."""

DEALT_NORM = '''### BEGIN HIDDEN TESTS
def dealt_norm(x):
    """Torch's, with 8 groups, on the channels in the order of their groups."""
    order = torch.arange(x.shape[1]).reshape(-1, 8).T.flatten()
    return F.group_norm(x[:, order], 8)[:, order.argsort()]


'''
BESIDE = '''### BEGIN HIDDEN TESTS
def beside(one, other):
    """What came up and what came across, as channels."""
{lines}


'''
BOTH = '''def both(x, query, key, *others):
    """The picture, and the weights as pictures."""
    h = F.group_norm(x, 8).flatten(2)
    asked, told = (torch.einsum("dc,bcn->bdn", m, h) for m in (query, key))
    scores = torch.einsum("bdi,bdj->bij", asked, told) / len(query) ** 0.5
    seen = scores.softmax(2).unflatten(2, x.shape[2:])
    return looked(x, query, key, *others), seen


'''
SLOPES = """    for of in (1, 2):  # small steps would measure these too coarsely
        slope = gradient(both, *arguments, of=of, mixed=True)
        own = gradient(attend, *arguments, of=of, mixed=True)
        none = {"a gradient does not get through the weights: was something detached?": 0 * slope}
        check(own, slope, none, rtol=1e-2, atol=1e-3)
"""


def vary(draft, draw):
    """Other features, other ways to share channels out, another attention and another count."""
    _features(draft, draw("order of the features", "sines first", "in pairs"))
    if draw("attention", "maps in one", "with its weights") == "maps in one":
        _maps_in_one(draft)
    else:
        _with_its_weights(draft)
    _channels(draft, draw("channels", "dealt out", "in blocks") == "dealt out")
    if draw("count", "operations", "no padding") == "operations":
        _operations(draft)
    else:
        _no_padding(draft)
    draft.text(
        (
            "in so short a run it makes no difference that can be seen.)",
            "in so short a run it makes no difference that can be seen.) All this was measured with a "
            "network that differs from yours in the order of its channels and weights. So it began "
            "with other random numbers, as with another seed.",
        )
    )


def _features(draft, order):
    """Part 1: the features in another order."""
    pairs = order == "in pairs"
    draft.text(
        (
            r"The features of $t$ are first $\cos(\omega_k t)$ for $k = 0, \dots, K - 1$, then "
            r"$\sin(\omega_k t)$ for the same $k$, with",
            r"The features of $t$ come in pairs, $\cos(\omega_k t)$ and then $\sin(\omega_k t)$, "
            r"one pair after the other for $k = 0, \dots, K - 1$, with"
            if pairs
            else r"The features of $t$ are first $\sin(\omega_k t)$ for $k = 0, \dots, K - 1$, "
            r"then $\cos(\omega_k t)$ for the same $k$, with",
        )
    )
    draft.change(
        "embed-answer",
        (
            "on cosines and sines, (B, E)",
            "on cosines and sines in turn, (B, E)" if pairs else "on sines, then cosines, (B, E)",
        ),
        (
            "features = torch.cat([angles.cos(), angles.sin()], dim=1)",
            "features = torch.empty(len(t), 2 * half)\n"
            "    features[:, ::2], features[:, 1::2] = angles.cos(), angles.sin()"
            if pairs
            else "features = torch.cat([angles.sin(), angles.cos()], dim=1)",
        ),
    )
    draft.change(
        "embed",
        (
            "[[-0.16798, 0.03545, 0.37932], [-0.14185, -0.083317, 0.24112]]",
            "⟦embed_step(t, weight_1, weight_2)⟧",
        ),
    )
    if pairs:
        draft.change(
            "embed",
            ('how.get("mixed")', 'how.get("mixed", True)'),
            ("the halves are interchanged: cosines come first",
             "each pair is turned round: the cosine comes first"),
            ("both halves are cosines: the second has to be sines",
             "both of a pair are cosines: the second has to be a sine"),
            ("both halves are sines: the first has to be cosines",
             "both of a pair are sines: the first has to be a cosine"),
            ("cosines and sines alternate: first all cosines, then all sines",
             "first come all cosines, then all sines: they have to take turns"),
            ('"mixed": True', '"mixed": False'),
        )  # fmt: skip
    else:
        draft.change(
            "embed",
            ('{"pair": ("sin", "cos")}', '{"pair": ("cos", "sin")}'),
            ('pair=("cos", "sin")', 'pair=("sin", "cos")'),
            ("the halves are interchanged: cosines come first",
             "the halves are interchanged: sines come first"),
            ("both halves are cosines: the second has to be sines",
             "both halves are cosines: the first has to be sines"),
            ("both halves are sines: the first has to be cosines",
             "both halves are sines: the second has to be cosines"),
            ("cosines and sines alternate: first all cosines, then all sines",
             "sines and cosines alternate: first all sines, then all cosines"),
        )  # fmt: skip


def _maps_in_one(draft):
    """Part 5: the maps of query, key and value come stacked."""
    draft.text(
        (
            "2. Make of each place a query, a key and a value, with the maps `query` and `key`, "
            "both $(d, C)$, and `value` $(C', C)$.",
            "2. Make of each place a query, a key and a value. Their maps come stacked in one, "
            "`maps` $(2d + C', C)$: the first $d$ rows make the query, the next $d$ the key, and "
            "the last $C'$ the value. How large $d$ is, you find from the shapes of `maps` and of "
            "`output`, which is described below.",
        ),
        (
            "attention with `query`, `key`, `value` and `output`,",
            "attention with `maps` and `output`,",
        ),
    )
    draft.change(
        "attend-answer",
        ("def attend(x, query, key, value, output):", "def attend(x, maps, output):"),
        (
            "at the others: the same shape.",
            "at the others: the same shape; `maps` makes\n"
            "    queries, keys and values, in this order.",
        ),
        (
            "q, k, v = h @ query.T, h @ key.T, h @ value.T",
            "values = output.shape[1]\n    d = (len(maps) - values) // 2\n"
            "    q, k, v = (h @ maps.T).split([d, d, values], dim=2)",
        ),
    )
    draft.change(
        "attend",
        (
            "        attend,\n        arguments,",
            "        attend,\n        (x, torch.cat(maps), arguments[-1]),",
        ),
        (
            "arguments = x, query, key, numbers(3, 8, seed=3), numbers(8, 3, seed=4)",
            "maps = torch.cat([query, key, numbers(3, 8, seed=3)])\n"
            "arguments = x, maps, numbers(8, 3, seed=4)",
        ),
    )
    draft.change("attend", ("gradients=range(5)", "gradients=range(3)"), times=2)
    draft.change(
        "given-training",
        (
            '**dict.fromkeys(("query", "key", "value", "output"), (16, 16)),',
            '"maps": (48, 16),\n    "output": (16, 16),',
        ),
    )
    draft.change("unet-answer", ('w["query"], w["key"], w["value"]', 'w["maps"]'))


def _with_its_weights(draft):
    """Part 5: the weights are a second result, as pictures."""
    draft.text(
        (
            "5. Put the places back where they were, and add `x` as it came.",
            "5. Put the places back where they were, and add `x` as it came.\n\nReturn the result "
            "and, after it, the weights as pictures, $(B, N, H, W)$: the picture with the number "
            "$i$ shows what place $i$ looks at, with $w_{ij}$ at the place $j$.",
        ),
        (
            "attention with `query`, `key`, `value` and `output`,",
            "attention with `query`, `key`, `value` and `output` (its weights are not needed),",
        ),
    )
    draft.change(
        "attend-answer",
        (
            "x (B, C, H, W), and what each place finds\n    at the others: the same shape.",
            "x (B, C, H, W) with what each place finds\n"
            "    at the others: the same shape; and the\n    weights (B, H * W, H, W).",
        ),
        (
            "return x + h.transpose(1, 2).unflatten(2, x.shape[2:])",
            "h = h.transpose(1, 2).unflatten(2, x.shape[2:])\n"
            "    return x + h, weights.unflatten(2, x.shape[2:])",
        ),
    )
    sizes = "sizes = [(2, 8, 3, 2, 5, 4), (1, 16, 4, 4, 16, 16), (3, 24, 1, 5, 2, 7)]\n"
    end = "        atol=1e-3,\n    )\n### END HIDDEN TESTS"
    draft.change(
        "attend",
        (sizes, BOTH + sizes),
        ("            looked(*arguments),\n", "            both(*arguments),\n"),
        ("        gradients=range(5),\n", "        gradients=(0, 3, 4),\n"),
        (end, end.replace("###", f"{SLOPES}###")),
        ("x, query, key = numbers(1, 8, 2, 2)", "x, query, key = numbers(1, 8, 1, 2)"),
        (
            "examine(attend, arguments, torch.Size((1, 8, 2, 2)), gradients=range(5), "
            "dtype=torch.float32)\n"
            "check(attend(*arguments)[0, 0], [[0.72312, -1.9334], [0.37243, -2.1305]])\n"
            "check(attend(*arguments)[0, 7], [[-3.2303, 4.5638], [-1.528, 5.82]])",
            "right = ⟦attend(*arguments)⟧\n"
            "examine(attend, arguments, right, gradients=(0, 3, 4), dtype=torch.float32, atol=1e-5)",
        ),
    )
    draft.change("unet-answer", ("h = attend(", "h, _ = attend("))


def _channels(draft, dealt):
    """Parts 2, 3, 4 and 7: how channels are shared out."""
    if dealt:
        draft.text(
            (
                "No layer has a bias, except where you are to count them.",
                "No layer has a bias, except where you are to count them. Where channels are "
                "shared out, they are *dealt out in turn*, as cards are, and not in blocks of "
                "neighbours. Parts 2, 3, 4 and 7 say what that means for each of them.",
            )
        )
        _dealt_norm(draft)
    else:
        _norm_by_size(draft)
    _modulate(draft, dealt)
    _bridge(draft, dealt)
    if dealt:
        _dealt_heads(draft)
    else:
        _heads_with_maps(draft)


def _dealt_norm(draft):
    """Part 2: every so-many-th channel is in one group."""
    draft.text(
        (
            "It cuts the channels into groups of neighbours: with 8 channels and 4 groups, channels "
            "0 and 1 are the first group, 2 and 3 the second, and so on.",
            "It deals the channels out to the groups: with 8 channels and 4 groups, channels 0 and "
            "4 are the first group, 1 and 5 the second, and so on.",
        ),
        (
            "Write it with means and roots; `F.group_norm` does the same, and you may compare with "
            "it.",
            "Write it with means and roots. (`F.group_norm` makes groups of neighbours, so it gives "
            "something else, except where each group has one channel, or there is one group only.)",
        ),
    )
    draft.change(
        "norm-answer",
        (
            "each group of channels of a\n    picture at mean 0 and variance 1.",
            "each group of channels of a\n    picture at mean 0 and variance 1; the channels\n"
            "    are dealt out to the groups in turn.",
        ),
        ("(groups, -1)", "(-1, groups)"),
    )
    draft.change("norm-answer", ("dim=(2, 3, 4)", "dim=(1, 3, 4)"), times=2)
    draft.change(
        "norm",
        (
            "parts = x.unflatten(1, (groups, -1) if ordinary else (-1, groups))",
            "parts = x.unflatten(1, (-1, groups) if ordinary else (groups, -1)).transpose(1, 2)",
        ),
        ("/ below).flatten(1, 2)", "/ below).transpose(1, 2).flatten(1, 2)"),
        (
            "every second channel is one group: groups are of neighbours",
            "neighbours are one group: the channels are dealt out in turn",
        ),
        ("[[-1.0954, -0.7303], [0.36515, 1.4606]]", "⟦group_norm(x, 2)[0, :2, 0]⟧"),
        ("[[0.33333, 0.33333], [-1.6667, 1.0]]", "⟦group_norm(x, 2)[0, 2:, 0]⟧"),
    )
    for part in ("block", "attend"):
        draft.pattern(part, r"F\.group_norm\((.+?), 8\)", r"dealt_norm(\1)")
        draft.change(part, ("### BEGIN HIDDEN TESTS\n", DEALT_NORM))


def _norm_by_size(draft):
    """Part 2: the function is told how many channels a group has."""
    draft.text(
        (
            "It cuts the channels into groups of neighbours: with 8 channels and 4 groups, channels "
            "0 and 1 are the first group, 2 and 3 the second, and so on.",
            "It cuts the channels into groups of neighbours, `size` of them in each: with 8 "
            "channels and a size of 2, channels 0 and 1 are the first group, 2 and 3 the second, "
            "and so on.",
        ),
        (
            "`F.group_norm` does the same, and you may compare with it.",
            "`F.group_norm` does the same, and you may compare with it, but it asks for the "
            "*number* of groups.",
        ),
    )
    draft.change(
        "norm-answer",
        ("def group_norm(x, groups):", "def group_norm(x, size):"),
        ("each group of channels of a\n", "each group of `size` channels of a\n"),
        ("(groups, -1)", "(-1, size)"),
    )
    for part, names in {"block": "xh", "attend": "x", "unet": "h"}.items():
        for name in names:  # eight groups still
            of = f"group_norm({name}, "
            draft.change(f"{part}-answer", (f"{of}8)", f"{of}{name}.shape[1] // 8)"))
    draft.change(
        "norm",
        ("[(2, 8, 3, 4, 4), (3, 6, 2, 2, 3), (1, 4, 5, 1, 2)]",
         "[(2, 8, 3, 4, 2), (3, 6, 2, 2, 2), (1, 8, 5, 1, 4)]"),
        ("        (x, groups),\n", "        (x, width // groups),\n"),
        ("(quiet.float(), groups)", "(quiet.float(), width // groups)"),
        ("(high.float(), groups)", "(high.float(), width // groups)"),
        ("gradient(group_norm, x, groups, of=0)", "gradient(group_norm, x, width // groups, of=0)"),
        ('                "the mean is not taken away":',
         '                "size is how many channels a group has, not how many groups there are": '
         "over(\n                    x, (2, 3, 4), width // groups\n                ),\n"
         '                "the mean is not taken away":'),
        ("[0.0, 0.0], [-3.0, 1.0]]).reshape(1, 4, 1, 2)\n",
         "[0.0, 0.0], [-3.0, 1.0], [2.0, 4.0], [0.0, 6.0]])\n"
         "x = x.reshape(1, 6, 1, 2)  # two groups of three channels\n"),
        ("(x, 2), torch.Size((1, 4, 1, 2))", "(x, 3), torch.Size((1, 6, 1, 2))"),
        ("group_norm(x, 2)[0, :2, 0], [[-1.0954, -0.7303], [0.36515, 1.4606]]",
         "group_norm(x, 3)[0, :3, 0], ⟦group_norm(x, 3)[0, :3, 0]⟧"),
        ("group_norm(x, 2)[0, 2:, 0], [[0.33333, 0.33333], [-1.6667, 1.0]]",
         "group_norm(x, 3)[0, 3:, 0], ⟦group_norm(x, 3)[0, 3:, 0]⟧"),
    )  # fmt: skip


def _modulate(draft, dealt):
    """Part 3: scale and shift in turn, or the shift first."""
    draft.text(
        (
            "The first $C'$ are the scale, the others the shift: each channel has one scale and "
            "one shift.",
            "They come in pairs, one pair for each channel: first its scale, then its shift."
            if dealt
            else "The first $C'$ are the shift, the others the scale: each channel has one scale "
            "and one shift.",
        )
    )
    says = "pairs of scale and shift" if dealt else "all shifts, then all scales"
    made = "(about_t @ modulate.T)[:, :, None, None]"
    draft.change(
        "block-answer",
        (
            "x (B, C, H, W), about_t (B, E): (B, C', H, W).",
            f"x (B, C, H, W), about_t (B, E): (B, C', H, W).\n    `modulate` makes {says}.\n    ",
        ),
        (
            f"scale, shift = {made}.chunk(2, dim=1)",
            f"both = {made}\n    scale, shift = both[:, ::2], both[:, 1::2]"
            if dealt
            else f"shift, scale = {made}.chunk(2, dim=1)",
        ),
    )
    draft.change(
        "block",
        (
            f"    scale, shift = {made}.chunk(2, dim=1)\n",
            f"    made = {made}\n    pairs = made.unflatten(1, (-1, 2)).unbind(2)\n"
            '    scale, shift = made.chunk(2, dim=1) if how.get("halves") else pairs\n'
            if dealt
            else f"    shift, scale = {made}.chunk(2, dim=1)\n",
        ),
        (
            "scale and shift are interchanged: the first half is the scale",
            "scale and shift are interchanged: the scale is the first of each pair"
            if dealt
            else "scale and shift are interchanged: the first half is the shift",
        ),
        ("[17.782, 8.8849, 1.5285]", "⟦residual_block(*arguments)[1, 0, 0]⟧"),
    )
    if dealt:
        twice = '    "the shortcut is added twice": {"times": 2},\n'
        said = '    "the first half is not the scale: scale and shift take turns": {"halves": True}'
        draft.change("block", (twice, f"{twice}{said},\n"))


def _bridge(draft, dealt):
    """Part 4: what came up and what came across in turn, or the latter first."""
    draft.text(
        (
            "Put what came up and `x` side by side as channels: first what came up, then `x`, as it "
            "was before the way down.",
            "Put what came up and `x`, as it was before the way down, side by side as channels, in "
            "turn: channel 0 of what came up, channel 0 of `x`, channel 1 of what came up, channel "
            "1 of `x`, and so on."
            if dealt
            else "Put what came up and `x` side by side as channels: first `x`, as it was before "
            "the way down, then what came up.",
        )
    )
    draft.change(
        "bridge-answer",
        ("and beside itself: (B, 2 C, H, W).", "in turn with itself: (B, 2 C, H, W)." if dealt else
         "and behind itself: (B, 2 C, H, W)."),
        ("torch.cat([h, x], dim=1)", "torch.stack([h, x], dim=2).flatten(1, 2)" if dealt else
         "torch.cat([x, h], dim=1)"),
    )  # fmt: skip
    draft.pattern("bridge", r"torch\.cat\(\s*\[(.*?)\], 1\s*\)", r"beside(\1)")
    if dealt:
        lines = (
            "    both = torch.cat([one, other], 1)\n"
            "    return both[:, torch.arange(both.shape[1]).reshape(2, -1).T.flatten()]"
        )
        first = '                "what comes across stands first: what comes up does": '
        whole = '                "one stands behind the other: let their channels take turns": '
        draft.change(
            "bridge",
            (first, f"{whole}torch.cat([up(h), x], 1),\n{first}"),
        )
    else:
        lines = "    return torch.cat([other, one], 1)"
        draft.change(
            "bridge",
            ("what comes across stands first: what comes up does",
             "what comes up stands first: what comes across does"),
        )  # fmt: skip
    draft.change(
        "bridge",
        ("### BEGIN HIDDEN TESTS\n", BESIDE.format(lines=lines)),
        ("torch.arange(16.0).reshape(1, 1, 4, 4), numbers(2, 1, 3, 3) / 9",
         "torch.arange(32.0).reshape(1, 2, 4, 4) / 8, numbers(2, 2, 3, 3) / 9"),
        ("halve, numbers(1, 2, 3, 3, seed=1)", "halve, numbers(2, 2, 3, 3, seed=1)"),
        ("torch.Size((1, 2, 4, 4))", "torch.Size((1, 4, 4, 4))"),
        ("[0, 0, 0], [0.1237, -0.26916, -0.30137, -0.45475]",
         "[0, 2, 0], ⟦bridge(*arguments)[0, 2, 0]⟧"),
        ("check(bridge(*arguments)[0, 1], x)",
         f"check(bridge(*arguments)[0, {'1::2' if dealt else ':2'}], x[0])"),
    )  # fmt: skip


def _dealt_heads(draft):
    """Part 7: the channels are dealt out to the heads."""
    draft.text(
        (
            "Head 1 has the first $C / \\text{heads}$ numbers of each query, key and value, head 2 "
            "the next, and so on. What the heads find stands side by side in the same order.",
            "The numbers of each query, key and value are dealt out to the heads in turn: with two "
            "heads, head 1 has the numbers 0, 2, 4 and so on, and head 2 the numbers 1, 3, 5 and so "
            "on. What the heads find goes back to the numbers that they had.",
        )
    )
    draft.change(
        "given-broken",
        ("m.reshape(B, H * W, heads, C // heads) for m in (q, k, v))  # a share for each head",
         "m.reshape(B, H * W, C // heads, heads) for m in (q, k, v))  # a share for each head"),
        ("(m.transpose(1, 2) for m in (q, k, v))", "(m.permute(0, 3, 1, 2) for m in (q, k, v))"),
        ("# the heads side by side: (B, places, C)", "# back to the channels: (B, places, C)"),
    )  # fmt: skip
    draft.change(
        "repair-answer",
        (".unflatten(2, (heads, -1)).transpose(1, 2)",
         ".unflatten(2, (-1, heads)).permute(0, 3, 1, 2)"),
        ("(weights @ v).transpose(1, 2).flatten(2)", "(weights @ v).permute(0, 2, 3, 1).flatten(2)"),
        ("the heads have to stand beside the share before the two become one.",
         "the heads have to come last before they and the share become one."),
    )  # fmt: skip
    draft.pattern("repair", r'how\.get\("merge"\)', 'how.get("merge", "share first")')
    draft.change(
        "repair",
        ('cut="ordinary"', 'cut="interleaved"'),
        ("the channels of the heads are interleaved: one head stands beside the next",
         "one head stands beside the next: their numbers go back in turn, as they were dealt out"),
        ('"merge": "share first"\n', '"merge": "ordinary"\n'),
        ("head 1 has the first channels, not every second one",
         "the numbers are dealt out to the heads, there and back, and not cut into blocks"),
        ('"cut": "interleaved",\n', '"cut": "ordinary",\n'),
        ('"merge": "share first",\n', '"merge": "ordinary",\n'),
        ("head 1 has the first channels, not every other one: this was right before",
         "the numbers are dealt out to the heads, not cut into blocks: this was right before"),
        ('"cut": "interleaved"\n', '"cut": "ordinary"\n'),
        ("[[0.7552, 1.2286], [0.63754, -6.8141]]", "⟦heads_attention(x, *maps, 2)[0, 1]⟧"),
        ("[[-0.54572, 0.5199], [0.68545, -1.061]]", "⟦heads_attention(x, *maps, 2)[0, 3]⟧"),
    )  # fmt: skip


def _heads_with_maps(draft):
    """Part 7: each head has maps of its own."""
    draft.text(
        (
            "The channels are $C$ from beginning to end, all three maps are $(C, C)$, and there is "
            "neither a normalisation nor an output map. Head 1 has the first $C / \\text{heads}$ "
            "numbers of each query, key and value, head 2 the next, and so on. What the heads find "
            "stands side by side in the same order.",
            "The channels are $C$ from beginning to end, and there is neither a normalisation nor "
            "an output map. Each head has maps of its own, from the $C$ numbers of a place to its "
            "share of them: `query`, `key` and `value` are all $(\\text{heads}, C / \\text{heads}, "
            "C)$. What the heads find stands side by side as channels, first what head 1 has found, "
            "then what head 2 has, and so on.",
        )
    )
    draft.change(
        "given-broken",
        ("(x, query, key, value, heads):", "(x, query, key, value):"),
        (
            "    q, k, v = h @ query.T, h @ key.T, h @ value.T  # three linear maps of each place\n"
            "    q, k, v = (m.reshape(B, H * W, heads, C // heads) for m in (q, k, v))"
            "  # a share for each head\n"
            "    q, k, v = (m.transpose(1, 2) for m in (q, k, v))  # (B, heads, places, share)\n",
            "    maps = (query, key, value)  # each (heads, share, C)\n"
            "    q, k, v = (h[:, None] @ m.transpose(1, 2) for m in maps)"
            "  # (B, heads, places, share)\n",
        ),
        ("(C // heads) ** 0.5", "query.shape[1] ** 0.5"),
    )
    draft.code(
        (
            "maps = [numbers(8, 8, seed=seed) for seed in (1, 2, 3)]\nfor heads in (1, 2, 4):\n"
            "    found = broken_attention(same_everywhere, *maps, heads)",
            "for heads in (1, 2, 4):\n"
            "    maps = [numbers(heads, 8 // heads, 8, seed=seed) for seed in (1, 2, 3)]\n"
            "    found = broken_attention(same_everywhere, *maps)",
        )
    )
    draft.change("repair-answer", ("(x, query, key, value, heads):", "(x, query, key, value):"))
    draft.solve(
        "repair",
        "places = x.flatten(2).transpose(1, 2)\n"
        'q, k, v = (torch.einsum("bnc,hsc->bhns", places, m) for m in (query, key, value))\n'
        "weights = (q @ k.transpose(2, 3) / q.shape[3] ** 0.5).softmax(dim=3)\n"
        "# (B, heads, places, share): the heads have to stand beside the share before the two "
        "become one.\n"
        "found = (weights @ v).transpose(1, 2).flatten(2)\n"
        "return x + found.transpose(1, 2).unflatten(2, x.shape[2:])",
    )
    draft.change(
        "repair",
        ("        heads_attention,\n        arguments,\n",
         "        heads_attention,\n        (x, *(m.unflatten(0, (heads, -1)) for m in "
         "arguments[1:4])),\n"),
        ("[numbers(4, 4, seed=seed) for", "[numbers(2, 2, 4, seed=seed) for"),
        ("arguments = x, *maps, 2\n", "arguments = x, *maps\n"),
        ("check(heads_attention(x, *maps, 1), broken_attention(x, *maps, 1))",
         "one = [each.reshape(1, 4, 4) for each in maps]\n"
         "check(heads_attention(x, *one), broken_attention(x, *one))"),
    )  # fmt: skip
    draft.pattern("repair", r"heads_attention\(x, \*maps, 2\)", "heads_attention(x, *maps)")


def _operations(draft):
    """Part 6: additions count, too."""
    draft.text(
        (
            "- how many **multiplications** it takes for one picture. Adding a bias is not a "
            "multiplication. Products with the zeros of the padding count like all others.",
            "- how many **operations** it takes for one picture, where a multiplication is one "
            "operation, and an addition another. Each number of the output begins as the bias of "
            "its channel, and the products are added to it one by one. Products with the zeros of "
            "the padding count like all others.",
        ),
        (
            "(The chapter counts operations, an addition and a multiplication each as one. Here you "
            "count the multiplications only.)",
            "(The chapter counts operations, too. Other books count the multiplications only.)",
        ),
    )
    draft.change(
        "count-answer",
        ("Weights with biases, and multiplications for", "Weights with biases, and operations for"),
        ("each * side_out**2", "2 * each * side_out**2"),
    )
    draft.change(
        "count",
        ("each + outputs, each * out**2", "each + outputs, 2 * each * out**2"),
        ('"adding a bias is no multiplication": [weights, weights * out**2],',
         '"the sum begins at the bias, so there is one addition for each product": [\n'
         "                weights,\n                products + outputs * out**2,\n            ],\n"
         '            "the first product is added, too, to the bias": [\n'
         "                weights,\n                products - outputs * out**2,\n            ],"),
        ("kernel * inputs * outputs * out**2", "2 * kernel * inputs * outputs * out**2"),
        ("                each * (side // stride) ** 2", "                2 * each * (side // stride) ** 2"),
        ("these are operations: count only the multiplications",
         "these are the multiplications: an addition is an operation, too"),
        ("[weights, 2 * products]", "[weights, products // 2]"),
        ("the multiplications at one place only:", "the operations at one place only:"),
    )  # fmt: skip
    draft.pattern("count", r"\[weights, each\b", "[weights, 2 * each")
    _counts(draft)


def _no_padding(draft):
    """Part 6: the kernel lies within the picture."""
    draft.text(
        (
            " Products with the zeros of the padding count like all others.",
            "",
        ),
        (
            "The kernel is odd, and the padding is $(k - 1)/2$. With a stride of $s$ the output has "
            "$\\lceil \\text{side} / s \\rceil$ pixels along each side: every $s$-th one, beginning "
            "with the first.",
            "There is no padding: the kernel is laid only where all of it is inside the picture, so "
            "for $k > 1$ the output is smaller than the picture, even with a stride of 1. With a stride of $s$ "
            "it is laid, along each side, on every $s$-th of these places, beginning with the "
            "first. The picture is at least as large as the kernel.",
        ),
    )
    draft.change(
        "count-answer",
        ("one picture of side x side: two ints.", "one picture of side x side, without padding:\n"
         "    two ints."),
        ("side_out = -(-side // stride)", "side_out = (side - kernel) // stride + 1"),
    )  # fmt: skip
    draft.change(
        "count",
        ("math.ceil(side / stride)", "len(range(0, side - kernel + 1, stride))"),
        ("[weights, each * side**2]", "[weights, each * (side - kernel + 1) ** 2]"),
        ("[weights, each * out * side]", "[weights, each * out * (side - kernel + 1)]"),
        ("a side that the stride does not divide is rounded up",
         "there is no padding, so there are fewer places for the kernel"),
        ("each * (side // stride) ** 2,\n            ],\n",
         "each * math.ceil(side / stride) ** 2,\n            ],\n"
         '            "the last place at which the kernel fits is missing": [\n'
         "                weights,\n                each * ((side - kernel) // stride) ** 2,\n"
         "            ],\n"),
    )  # fmt: skip
    _counts(draft)


def _counts(draft):
    """The numbers that the visible test of Part 6 shows."""
    draft.change(
        "count",
        ("(1776, 338688)", "⟦count_conv(4, 48, 3, 14)⟧"),
        ("(4640, 225792)", "⟦count_conv(16, 32, 3, 14, stride=2)⟧"),
        ("(20, 375)", "⟦count_conv(3, 5, 1, 9, stride=2)⟧"),
    )
