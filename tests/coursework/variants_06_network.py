"""Answers to assignment 6, wrong and right."""

import torch
import torch.nn.functional as F
from variants import answer_to, right, slip, wrong


def slips(part, *those):
    """Wrong answers to one part, each as hint, name and changes of the instructor's text."""
    answer = answer_to("06-network", part)
    answer = answer[answer.rindex("\ndef ") + 1 :] if "\ndef " in answer else answer
    return [slip(part, hint, name, answer, *changes) for hint, name, *changes in those]


@wrong("embed", "cosines and sines alternate: first all cosines, then all sines")
def embed_step(t, weight_1, weight_2):
    """One pair after the other."""
    half = weight_1.shape[1] // 2
    angles = t[:, None] * 10_000.0 ** (-torch.arange(half) / half)
    features = torch.stack([angles.cos(), angles.sin()], dim=2).flatten(1)
    return F.silu(features @ weight_1.T) @ weight_2.T


@wrong("embed", "the function changes what it is given: work on a copy of argument 1")
def embed_step(t, weight_1, weight_2):
    """t counted from 0, in place, and back by one in the angle."""
    t -= 1
    half = weight_1.shape[1] // 2
    angles = (t[:, None] + 1) * 10_000.0 ** (-torch.arange(half) / half)
    features = torch.cat([angles.cos(), angles.sin()], dim=1)
    return F.silu(features @ weight_1.T) @ weight_2.T


@wrong("embed", "was it detached?")
def embed_step(t, weight_1, weight_2):
    """All of it under no_grad, since features have no gradient."""
    with torch.no_grad():
        half = weight_1.shape[1] // 2
        angles = t[:, None] * 10_000.0 ** (-torch.arange(half) / half)
        features = torch.cat([angles.cos(), angles.sin()], dim=1)
        return F.silu(features @ weight_1.T) @ weight_2.T


@right("embed")
def embed_step(t, weight_1, weight_2):
    """By exponential and logarithm, with torch's own functions for the layers."""
    import math

    half = weight_1.shape[1] // 2
    speeds = torch.exp(-math.log(10_000) / half * torch.arange(half))
    angles = torch.outer(t.float(), speeds)
    h = F.linear(torch.hstack([torch.cos(angles), torch.sin(angles)]), weight_1)
    return F.linear(h * torch.sigmoid(h), weight_2)


@right("embed")
def embed_step(t, weight_1, weight_2):
    """Step by step in loops of Python's own numbers."""
    import math

    half, rows = weight_1.shape[1] // 2, []
    for step in t.tolist():
        angles = [step / 10_000 ** (k / half) for k in range(half)]
        features = torch.tensor([math.cos(a) for a in angles] + [math.sin(a) for a in angles])
        rows.append(weight_2 @ F.silu(weight_1 @ features))
    return torch.stack(rows)


@right("embed")
def embed_step(t, weight_1, weight_2):
    """In double precision; a cosine as a sine of an angle a quarter further on."""
    width = weight_1.shape[1]
    k = torch.arange(width // 2, dtype=torch.float64)
    angles = t.double().unsqueeze(1) * torch.pow(1e4, -2 * k / width)
    features = torch.sin(torch.cat([angles + torch.pi / 2, angles], dim=1))
    h = features @ weight_1.double().T
    return ((h / (1 + (-h).exp())) @ weight_2.double().T).float()


@wrong("norm", "pictures see each other: take mean and variance of each picture on its own")
def group_norm(x, groups):
    """The batch counted in."""
    parts = x.unflatten(1, (groups, -1))
    mean = parts.mean(dim=(0, 2, 3, 4), keepdim=True)
    variance = parts.var(dim=(0, 2, 3, 4), keepdim=True, correction=0)
    return ((parts - mean) / (variance + 1e-5).sqrt()).flatten(1, 2)


@wrong("norm", "every second channel is one group: groups are of neighbours")
def group_norm(x, groups):
    """Channels dealt out to the groups like cards."""
    parts = x.unflatten(1, (-1, groups))
    mean = parts.mean(dim=(1, 3, 4), keepdim=True)
    variance = parts.var(dim=(1, 3, 4), keepdim=True, correction=0)
    return ((parts - mean) / (variance + 1e-5).sqrt()).flatten(1, 2)


@wrong("norm", "only a part of the gradient reaches argument 1: was something detached")
def group_norm(x, groups):
    """Mean and variance as if they were constants."""
    parts = x.unflatten(1, (groups, -1))
    with torch.no_grad():
        mean = parts.mean(dim=(2, 3, 4), keepdim=True)
        variance = parts.var(dim=(2, 3, 4), keepdim=True, correction=0)
    return ((parts - mean) / (variance + 1e-5).sqrt()).flatten(1, 2)


@wrong("norm", "the function changes what it is given: work on a copy of argument 1")
def group_norm(x, groups):
    """In place."""
    parts = x.unflatten(1, (groups, -1))
    mean = parts.mean(dim=(2, 3, 4), keepdim=True)
    variance = parts.var(dim=(2, 3, 4), keepdim=True, correction=0)
    parts -= mean
    parts /= (variance + 1e-5).sqrt()
    return x


@wrong("norm", "a group that is the same everywhere is divided by 0")
def group_norm(x, groups):
    """Nothing under the root."""
    parts = x.unflatten(1, (groups, -1))
    mean = parts.mean(dim=(2, 3, 4), keepdim=True)
    variance = parts.var(dim=(2, 3, 4), keepdim=True, correction=0)
    return ((parts - mean) / variance.sqrt()).flatten(1, 2)


@right("norm")
def group_norm(x, groups):
    """One row of numbers for each group."""
    rows = x.reshape(len(x) * groups, -1)
    centred = rows - rows.mean(1, keepdim=True)
    return (centred / (centred.pow(2).mean(1, keepdim=True) + 1e-5) ** 0.5).reshape(x.shape)


@right("norm")
def group_norm(x, groups):
    """Group by group in a loop, by the mean of squares less the square of the mean."""
    found = []
    for part in x.double().chunk(groups, dim=1):
        mean = part.mean((1, 2, 3), keepdim=True)
        variance = part.square().mean((1, 2, 3), keepdim=True) - mean.square()
        found.append((part - mean) * (variance + 1e-5).rsqrt())
    return torch.cat(found, dim=1).to(x.dtype)


@right("norm")
def group_norm(x, groups):
    """The function of torch."""
    return torch.nn.functional.group_norm(x, groups)


@wrong("block", "the step is put in after the SiLU: put it in before")
def residual_block(x, about_t, conv_1, modulate, conv_2, shortcut=None):
    """Scale and shift after the SiLU."""
    h = F.conv2d(F.silu(group_norm(x, 8)), conv_1, padding=1)
    scale, shift = (about_t @ modulate.T)[:, :, None, None].chunk(2, dim=1)
    h = F.silu(group_norm(h, 8)) * (1 + scale) + shift
    return F.conv2d(h, conv_2, padding=1) + (x if shortcut is None else F.conv2d(x, shortcut))


@wrong("block", "the answer has shape (2, 8, 1, 1), expected (2, 8, 3, 3)")
def residual_block(x, about_t, conv_1, modulate, conv_2, shortcut=None):
    """No padding in the second convolution, and the shortcut cut to fit."""
    h = F.conv2d(F.silu(group_norm(x, 8)), conv_1, padding=1)
    scale, shift = (about_t @ modulate.T)[:, :, None, None].chunk(2, dim=1)
    h = F.conv2d(F.silu(group_norm(h, 8) * (1 + scale) + shift), conv_2)
    x = x if shortcut is None else F.conv2d(x, shortcut)
    return h + x[:, :, : h.shape[2], : h.shape[3]]


@wrong("block", "no gradient reaches argument 6")
def residual_block(x, about_t, conv_1, modulate, conv_2, shortcut=None):
    """The shortcut is not used: the mean of the channels stands for it."""
    h = F.conv2d(F.silu(group_norm(x, 8)), conv_1, padding=1)
    scale, shift = (about_t @ modulate.T)[:, :, None, None].chunk(2, dim=1)
    h = F.conv2d(F.silu(group_norm(h, 8) * (1 + scale) + shift), conv_2, padding=1)
    return h + (x if shortcut is None else x.mean(1, keepdim=True).expand_as(h))


@right("block")
def residual_block(x, about_t, conv_1, modulate, conv_2, shortcut=None):
    """Everything by torch's own functions, and the two halves of modulate on their own."""
    width = len(conv_2)
    h = F.conv2d(F.silu(F.group_norm(x, 8)), conv_1, padding="same")
    scale = F.linear(about_t, modulate[:width]).reshape(-1, width, 1, 1)
    shift = F.linear(about_t, modulate[width:]).reshape(-1, width, 1, 1)
    h = F.group_norm(h, 8)
    h = h + scale * h + shift
    change = F.conv2d(h * h.sigmoid(), conv_2, padding="same")
    if shortcut is not None:
        x = torch.einsum("oi,bihw->bohw", shortcut[:, :, 0, 0], x)
    return x + change


@right("block")
def residual_block(x, about_t, conv_1, modulate, conv_2, shortcut=None):
    """Picture by picture, each with group normalisation's own scale and shift."""
    found = []
    for picture, told in zip(x, about_t, strict=True):
        h = F.conv2d(F.silu(group_norm(picture[None], 8)), conv_1, padding=1)
        scale, shift = (modulate @ told).chunk(2)
        h = F.silu(F.group_norm(h, 8, 1 + scale, shift))
        past = picture[None] if shortcut is None else F.conv2d(picture[None], shortcut)
        found.append(past + F.conv2d(h, conv_2, padding=1))
    return torch.cat(found)


@right("block")
def residual_block(x, about_t, conv_1, modulate, conv_2, shortcut=None):
    """In double precision, and back."""
    kind, (x, about_t) = x.dtype, (x.double(), about_t.double())
    h = F.conv2d(F.silu(group_norm(x, 8)), conv_1.double(), padding=1)
    both = about_t @ modulate.double().T
    scale, shift = both.unflatten(1, (2, -1))[..., None, None].unbind(1)
    h = torch.addcmul(shift, group_norm(h, 8), 1 + scale)
    h = F.conv2d(F.silu(h), conv_2.double(), padding=1)
    return (h + (x if shortcut is None else F.conv2d(x, shortcut.double()))).to(kind)


@wrong("bridge", "what comes across has been down and up: take x from before")
def bridge(x, inner, halve, double):
    """The skip taken after the picture was made coarser."""
    h = inner(F.conv2d(x, halve, stride=2, padding=1))
    x = F.avg_pool2d(x, 2)
    h = F.conv2d(F.interpolate(h, scale_factor=2.0), double, padding=1)
    return torch.cat([h, F.interpolate(x, scale_factor=2.0)], dim=1)


@wrong("bridge", "what comes across has lost every second pixel: take x from before")
def bridge(x, inner, halve, double):
    """The skip taken with a stride, and its values copied."""
    h = inner(F.conv2d(x, halve, stride=2, padding=1))
    h = F.conv2d(F.interpolate(h, scale_factor=2.0), double, padding=1)
    return torch.cat([h, F.interpolate(x[:, :, ::2, ::2], scale_factor=2.0)], dim=1)


@wrong("bridge", "the picture is averaged before the convolution: use a stride")
def bridge(x, inner, halve, double):
    """Averaged, then convolved."""
    h = inner(F.conv2d(F.avg_pool2d(x, 2), halve, padding=1))
    h = F.conv2d(F.interpolate(h, scale_factor=2.0), double, padding=1)
    return torch.cat([h, x], dim=1)


@wrong("bridge", "every second pixel is left out before the convolution: use a stride")
def bridge(x, inner, halve, double):
    """Every second pixel, then convolved."""
    h = inner(F.conv2d(F.interpolate(x, scale_factor=0.5), halve, padding=1))
    h = F.conv2d(F.interpolate(h, scale_factor=2.0), double, padding=1)
    return torch.cat([h, x], dim=1)


@right("bridge")
def bridge(x, inner, halve, double):
    """All convolved, of which every second is kept; values copied by repeating them."""
    h = inner(F.conv2d(x, halve, padding=1)[:, :, ::2, ::2])
    h = h.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    return torch.hstack([F.conv2d(F.pad(h, (1, 1, 1, 1)), double), x])


@right("bridge")
def bridge(x, inner, halve, double):
    """Layers of torch.nn, without their own weights, and a tensor that is filled."""
    low = inner(F.conv2d(x, halve, None, 2, 1))
    up = torch.nn.Upsample(size=x.shape[2:], mode="nearest")(low)
    found = x.new_zeros(len(x), 2 * x.shape[1], *x.shape[2:])
    found[:, : x.shape[1]] = F.conv2d(up, double, None, 1, 1)
    found[:, x.shape[1] :] = x
    return found


@right("bridge")
def bridge(x, inner, halve, double):
    """Copied by a product with a square of ones."""
    low = inner(F.conv2d(x, halve, stride=2, padding=1))
    large = torch.kron(low.contiguous(), torch.ones(1, 1, 2, 2))
    return torch.cat((F.conv2d(large, double, padding="same"), x), 1)


@wrong("attend", "channels and places are mixed up by reshape, on the way there and back")
def attend(x, query, key, value, output):
    """reshape for transpose, twice."""
    h = group_norm(x, 8).reshape(len(x), -1, x.shape[1])
    q, k, v = h @ query.T, h @ key.T, h @ value.T
    weights = (q @ k.transpose(1, 2) / q.shape[2] ** 0.5).softmax(dim=2)
    return x + (weights @ v @ output.T).reshape(x.shape)


@wrong("attend", "reshape mixes channels and places up: flatten the places, then transpose")
def attend(x, query, key, value, output):
    """reshape for transpose, on the way there."""
    h = group_norm(x, 8).reshape(len(x), -1, x.shape[1])
    q, k, v = h @ query.T, h @ key.T, h @ value.T
    weights = (q @ k.transpose(1, 2) / q.shape[2] ** 0.5).softmax(dim=2)
    return x + (weights @ v @ output.T).transpose(1, 2).reshape(x.shape)


@wrong("attend", "what is added is x after the normalisation: add it as it came")
def attend(x, query, key, value, output):
    """x overwritten by the normalised one."""
    x = group_norm(x, 8)
    h = x.flatten(2).transpose(1, 2)
    q, k, v = h @ query.T, h @ key.T, h @ value.T
    weights = (q @ k.transpose(1, 2) / q.shape[2] ** 0.5).softmax(dim=2)
    return x + (weights @ v @ output.T).transpose(1, 2).reshape(x.shape)


@right("attend")
def attend(x, query, key, value, output):
    """The function of torch."""
    h = group_norm(x, 8).flatten(2).transpose(1, 2)
    maps = (h @ each.T for each in (query, key, value))
    found = F.scaled_dot_product_attention(*maps) @ output.T
    return x + found.transpose(1, 2).reshape(x.shape)


@right("attend")
def attend(x, query, key, value, output):
    """Channels first throughout, so that the softmax goes over the dimension before the last."""
    h = group_norm(x, 8).flatten(2)
    q, k, v = query @ h, key @ h, value @ h
    scores = k.transpose(1, 2) @ q * len(query) ** -0.5  # (B, looked at, looks)
    return x + (output @ (v @ scores.softmax(dim=1))).reshape(x.shape)


@right("attend")
def attend(x, query, key, value, output):
    """Place by place in a loop, the softmax by hand."""
    places = group_norm(x, 8).flatten(2).unbind(2)
    keys = torch.stack([p @ key.T for p in places], 1)
    values = torch.stack([p @ value.T @ output.T for p in places], 1)
    found = []
    for place in places:
        scores = torch.einsum("bd,bnd->bn", place @ query.T, keys) / len(query) ** 0.5
        raised = torch.exp(scores - scores.amax(1, keepdim=True))
        found.append(torch.einsum("bn,bnc->bc", raised / raised.sum(1, keepdim=True), values))
    return torch.stack(found, 2).reshape(x.shape) + x


@wrong("count", "these are operations: count only the multiplications")
def count_conv(inputs, outputs, kernel, side, stride=1):
    """Additions counted, as the chapter does."""
    each = kernel**2 * inputs * outputs
    return each + outputs, 2 * each * (-(-side // stride)) ** 2


@wrong("count", "there is one bias for each output channel, not for each input channel")
def count_conv(inputs, outputs, kernel, side, stride=1):
    """As many biases as channels come in."""
    each = kernel**2 * inputs * outputs
    return each + inputs, each * (-(-side // stride)) ** 2


@wrong("count", "count in whole numbers: use // for /")
def count_conv(inputs, outputs, kernel, side, stride=1):
    """Floats."""
    each = kernel**2 * inputs * outputs
    return each + outputs, each * ((side - 1) // stride + 1) ** 2 / 1


@right("count")
def count_conv(inputs, outputs, kernel, side, stride=1):
    """By the formula of torch's documentation; a list."""
    padding = (kernel - 1) // 2
    out = (side + 2 * padding - kernel) // stride + 1
    one = inputs * kernel * kernel
    return [outputs * (one + 1), out * out * outputs * one]


@right("count")
def count_conv(inputs, outputs, kernel, side, stride=1):
    """Asks a layer of torch."""
    layer = torch.nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
    found = layer(torch.zeros(1, inputs, side, side))
    weights = sum(weight.numel() for weight in layer.parameters())
    return weights, found.numel() * inputs * kernel**2


@right("count")
def count_conv(inputs, outputs, kernel, side, stride=1):
    """Counted out in loops."""
    weights = sum(outputs for _ in range(kernel) for _ in range(kernel) for _ in range(inputs))
    products = 0
    for _ in range(0, side, stride):
        for _ in range(0, side, stride):
            products += weights
    return weights + outputs, products


@wrong("repair", "the mistake is still there: follow the dimensions of what the heads find")
def heads_attention(x, query, key, value, heads):
    """As it was."""
    return broken_attention(x, query, key, value, heads)


@wrong("repair", "this is one head with all channels: there are several")
def heads_attention(x, query, key, value, heads):
    """One head is right, so one head it is."""
    return broken_attention(x, query, key, value, 1)


@wrong("repair", "the heads are averaged: they stand side by side")
def heads_attention(x, query, key, value, heads):
    """The mean of the heads, repeated."""
    B, C, H, W = x.shape
    h = x.flatten(2).transpose(1, 2)
    maps = (h @ query.T, h @ key.T, h @ value.T)
    q, k, v = (m.reshape(B, H * W, heads, C // heads).transpose(1, 2) for m in maps)
    weights = (q @ k.transpose(2, 3) / (C // heads) ** 0.5).softmax(dim=3)
    h = (weights @ v).mean(dim=1).repeat(1, 1, heads)
    return x + h.transpose(1, 2).reshape(B, C, H, W)


@wrong("repair", "each head gets other places instead of other channels, there and back")
def heads_attention(x, query, key, value, heads):
    """Made consistent: the shares cut as they are joined."""
    B, C, H, W = x.shape
    h = x.flatten(2).transpose(1, 2)
    maps = (h @ query.T, h @ key.T, h @ value.T)
    q, k, v = (m.reshape(B, heads, H * W, C // heads) for m in maps)
    weights = (q @ k.transpose(2, 3) / (C // heads) ** 0.5).softmax(dim=3)
    h = (weights @ v).reshape(B, H * W, C)
    return x + h.transpose(1, 2).reshape(B, C, H, W)


@wrong("repair", "head 1 has the first channels, not every second one")
def heads_attention(x, query, key, value, heads):
    """Channels dealt out to the heads like cards."""
    B, C, H, W = x.shape
    h = x.flatten(2).transpose(1, 2)
    maps = (h @ query.T, h @ key.T, h @ value.T)
    q, k, v = (m.reshape(B, H * W, C // heads, heads).permute(0, 3, 1, 2) for m in maps)
    weights = (q @ k.transpose(2, 3) / (C // heads) ** 0.5).softmax(dim=3)
    h = (weights @ v).permute(0, 2, 3, 1).reshape(B, H * W, C)
    return x + h.transpose(1, 2).reshape(B, C, H, W)


@right("repair")
def heads_attention(x, query, key, value, heads):
    """The one line repaired."""
    B, C, H, W = x.shape
    h = x.flatten(2).transpose(1, 2)
    q, k, v = h @ query.T, h @ key.T, h @ value.T
    q, k, v = (m.reshape(B, H * W, heads, C // heads) for m in (q, k, v))
    q, k, v = (m.transpose(1, 2) for m in (q, k, v))
    weights = (q @ k.transpose(2, 3) / (C // heads) ** 0.5).softmax(dim=3)
    h = (weights @ v).transpose(1, 2).reshape(B, H * W, C)
    return x + h.transpose(1, 2).reshape(B, C, H, W)


@right("repair")
def heads_attention(x, query, key, value, heads):
    """Head by head in a loop, channels first."""
    h, found = x.flatten(2), []
    for q, k, v in zip(*(m.chunk(heads) for m in (query, key, value)), strict=True):
        scores = (q @ h).transpose(1, 2) @ (k @ h) / len(q) ** 0.5
        found.append(v @ h @ scores.softmax(-1).transpose(1, 2))
    return x + torch.cat(found, dim=1).reshape(x.shape)


@right("repair")
def heads_attention(x, query, key, value, heads):
    """The broken one, asked for one head at a time, on its share of the maps."""
    share, h = x.shape[1] // heads, x.flatten(2)
    q, k, v = ((m @ h).unflatten(1, (heads, share)) for m in (query, key, value))
    weights = torch.einsum("bhcn,bhcm->bhnm", q, k).div(share**0.5).softmax(3)
    return torch.einsum("bhnm,bhcm->bhcn", weights, v).reshape(x.shape) + x


@wrong("unet", "it should be below 0.295")
def unet(w, x_t, t):
    """Folded by reshape, which tears neighbours apart."""
    about_t = embed_step(t, w["embed_1"], w["embed_2"])

    def block(name, h):
        of_block = (w[f"{name}_{part}"] for part in ("conv_1", "modulate", "conv_2"))
        return residual_block(h, about_t, *of_block, w.get(f"{name}_shortcut"))

    def bottom(h):
        h = attend(block("low_1", h), w["query"], w["key"], w["value"], w["output"])
        return block("low_2", h)

    height, breadth = x_t.shape[2] // 2, x_t.shape[3] // 2
    h = F.conv2d(x_t.reshape(-1, 4, height, breadth), w["first"], padding=1)
    h = block("join", bridge(block("fine", h), bottom, w["halve"], w["double"]))
    h = F.conv2d(F.silu(group_norm(h, 8)), w["last"], padding=1)
    return h.reshape(x_t.shape)


@wrong("unet", "`last` is not the last layer: only unfold after it")
def unet(w, x_t, t):
    """Bent into [-1, 1], since pictures lie there."""
    about_t = embed_step(t, w["embed_1"], w["embed_2"])

    def block(name, h):
        of_block = (w[f"{name}_{part}"] for part in ("conv_1", "modulate", "conv_2"))
        return residual_block(h, about_t, *of_block, w.get(f"{name}_shortcut"))

    def bottom(h):
        h = attend(block("low_1", h), w["query"], w["key"], w["value"], w["output"])
        return block("low_2", h)

    h = block("fine", F.conv2d(F.pixel_unshuffle(x_t, 2), w["first"], padding=1))
    h = block("join", bridge(h, bottom, w["halve"], w["double"]))
    h = F.conv2d(F.silu(group_norm(h, 8)), w["last"], padding=1)
    return F.pixel_shuffle(h, 2).tanh()


@right("unet")
def unet(w, x_t, t):
    """All written out, with torch's own normalisation and attention."""
    about = embed_step(t, w["embed_1"], w["embed_2"])
    h = F.conv2d(F.pixel_unshuffle(x_t, 2), w["first"], padding=1)
    h = fine = residual_block(h, about, w["fine_conv_1"], w["fine_modulate"], w["fine_conv_2"])
    h = F.conv2d(h, w["halve"], stride=2, padding=1)
    h = residual_block(h, about, w["low_1_conv_1"], w["low_1_modulate"], w["low_1_conv_2"])
    places = F.group_norm(h, 8).flatten(2).transpose(1, 2)
    maps = (places @ w[name].T for name in ("query", "key", "value"))
    found = F.scaled_dot_product_attention(*maps) @ w["output"].T
    h = h + found.transpose(1, 2).reshape(h.shape)
    h = residual_block(h, about, w["low_2_conv_1"], w["low_2_modulate"], w["low_2_conv_2"])
    h = F.conv2d(F.interpolate(h, scale_factor=2.0), w["double"], padding=1)
    join = (w[f"join_{part}"] for part in ("conv_1", "modulate", "conv_2", "shortcut"))
    h = residual_block(torch.cat([h, fine], dim=1), about, *join)
    return F.pixel_shuffle(F.conv2d(F.silu(F.group_norm(h, 8)), w["last"], padding=1), 2)


@right("unet")
def unet(w, x_t, t):
    """The embedding through one more SiLU, as the book's network has it; attention first."""
    about = F.silu(embed_step(t, w["embed_1"], w["embed_2"]))

    def block(h, name, more=()):
        parts = ("conv_1", "modulate", "conv_2", *more)
        return residual_block(h, about, *(w[f"{name}_{part}"] for part in parts))

    def bottom(h):
        h = attend(h, *(w[name] for name in ("query", "key", "value", "output")))
        return block(block(h, "low_1"), "low_2")

    h = block(F.conv2d(F.pixel_unshuffle(x_t, 2), w["first"], padding=1), "fine")
    h = block(bridge(h, bottom, w["halve"], w["double"]), "join", ["shortcut"])
    return F.pixel_shuffle(F.conv2d(F.silu(group_norm(h, 8)), w["last"], padding=1), 2)


@right("unet")
def unet(w, x_t, t):
    """With a class for the blocks, and what comes across as the first channels."""

    class Block:
        def __init__(self, name):
            self.of_block = [w[f"{name}_{part}"] for part in ("conv_1", "modulate", "conv_2")]
            self.past = w.get(name + "_shortcut")

        def __call__(self, h):
            return residual_block(h, about_t, *self.of_block, self.past)

    about_t = embed_step(t, w["embed_1"], w["embed_2"])
    kept = Block("fine")(F.conv2d(F.pixel_unshuffle(x_t, 2), w["first"], padding=1))
    h = Block("low_1")(F.conv2d(kept, w["halve"], stride=2, padding=1))
    h = Block("low_2")(attend(h, w["query"], w["key"], w["value"], w["output"]))
    h = F.conv2d(F.interpolate(h, scale_factor=2.0), w["double"], padding=1)
    h = Block("join")(torch.cat([kept, h], dim=1))
    return F.pixel_shuffle(F.conv2d(F.silu(group_norm(h, 8)), w["last"], padding=1), 2)


SLIPS = [
    *slips(
        "embed",
        (
            "the halves are interchanged: cosines come first",
            "Sines first.",
            ("[angles.cos(), angles.sin()]", "[angles.sin(), angles.cos()]"),
        ),
        (
            "both halves are cosines: the second has to be sines",
            "Copied, and not changed.",
            ("angles.sin()", "angles.cos()"),
        ),
        ("nothing stands between the two layers: SiLU does", "No SiLU.", ("F.silu", "")),
        ("this is ReLU between the layers: take SiLU", "ReLU.", ("F.silu", "F.relu")),
        (
            "there is a SiLU after the second layer, too: leave it out",
            "SiLU at the end, too.",
            (
                "F.silu(features @ weight_1.T) @ weight_2.T",
                "F.silu(F.silu(features @ weight_1.T) @ weight_2.T)",
            ),
        ),
        (
            "the exponent is divided by K - 1: divide it by K",
            "A geometric row up to both ends.",
            ("arange(half) / half", "arange(half) / (half - 1)"),
        ),
        (
            "the exponent is divided by the width: divide it by K",
            "Divided by W.",
            ("arange(half) / half", "arange(half) / (2 * half)"),
        ),
        ("the speeds grow: look at the sign of the exponent", "The sign.", ("(-torch", "(torch")),
        (
            "t is divided by 1000 first: use it as it is",
            "t in 0..1.",
            ("t[:, None]", "t[:, None] / 1000"),
        ),
        ("cannot be multiplied", "Weights the other way round.", ("weight_1.T", "weight_1")),
    ),
    *slips(
        "norm",
        (
            "each channel is normalised on its own: take those of a group together",
            "Instance normalisation.",
            ("mean = parts.mean(dim=(2, 3, 4)", "mean = parts.mean(dim=(3, 4)"),
            (".square().mean(dim=(2, 3, 4)", ".square().mean(dim=(3, 4)"),
        ),
        (
            "all channels are normalised together: take each group on its own",
            "Layer normalisation.",
            ("mean = parts.mean(dim=(2, 3, 4)", "mean = parts.mean(dim=(1, 2, 3, 4)"),
            (".square().mean(dim=(2, 3, 4)", ".square().mean(dim=(1, 2, 3, 4)"),
        ),
        (
            "each place is normalised on its own: take all places together",
            "Over channels only.",
            ("mean = parts.mean(dim=(2, 3, 4)", "mean = parts.mean(dim=(2,)"),
            (".square().mean(dim=(2, 3, 4)", ".square().mean(dim=(2,)"),
        ),
        ("this divides by the variance: take its root", "No root.", (".sqrt()", "")),
        (
            "the mean is not taken away",
            "Divided only.",
            ("return ((parts - mean) /", "return (parts /"),
        ),
        (
            "the variance divides by one less than the count: take the plain mean",
            "torch.var as it is.",
            ("(parts - mean).square().mean(dim", "parts.var(dim"),
        ),
        ("expected (2, 8, 3, 4)", "Left in groups.", (".flatten(1, 2)", "")),
    ),
    *slips(
        "block",
        (
            "scale alone multiplies: it has to be 1 + scale",
            "scale for 1 + scale.",
            ("(1 + scale)", "scale"),
        ),
        (
            "scale and shift are interchanged: the first half is the scale",
            "Interchanged.",
            ("scale, shift = (", "shift, scale = ("),
        ),
        (
            "the step is put in before the normalisation, which takes it out again",
            "The step before the normalisation.",
            ("group_norm(h, 8) * (1 + scale) + shift", "group_norm(h * (1 + scale) + shift, 8)"),
        ),
        (
            "the input is not added: where is the shortcut?",
            "No shortcut.",
            ("return h + (", "return h + 0 * ("),
        ),
        (
            "the first normalisation is missing",
            "Not normalised.",
            ("F.silu(group_norm(x, 8))", "F.silu(x)"),
        ),
        (
            "the second normalisation is missing",
            "Normalised once.",
            ("group_norm(h, 8) *", "h *"),
        ),
        (
            "there is no SiLU before the second convolution",
            "No second SiLU.",
            ("F.silu(h)", "h"),
        ),
        (
            "there is no SiLU before the first convolution",
            "No first SiLU.",
            ("F.silu(group_norm(x, 8))", "group_norm(x, 8)"),
        ),
        (
            "no gradient reaches argument 3",
            "The first convolution forgotten.",
            (
                "F.conv2d(F.silu(group_norm(x, 8)), conv_1, padding=1)",
                "F.conv2d(F.silu(group_norm(x, 8)), conv_1.detach(), padding=1)",
            ),
        ),
    ),
    *slips(
        "bridge",
        (
            "what comes across stands first: what comes up does",
            "The other order.",
            ("[h, x]", "[x, h]"),
        ),
        (
            "what comes across is added: put it beside, as channels",
            "Added.",
            ("torch.cat([h, x], dim=1)", "h + x"),
        ),
        ("nothing comes across", "No skip.", ("torch.cat([h, x], dim=1)", "h")),
        (
            "the way up convolves first and doubles then: double first",
            "Convolved, then doubled.",
            (
                "F.conv2d(F.interpolate(h, scale_factor=2.0), double, padding=1)",
                "F.interpolate(F.conv2d(h, double, padding=1), scale_factor=2.0)",
            ),
        ),
        (
            "the values are interpolated: copy each into a square",
            "Bilinear.",
            ("scale_factor=2.0", "scale_factor=2.0, mode='bilinear'"),
        ),
        (
            "what is below was not put through inner",
            "inner called, and its answer dropped.",
            (
                "h = inner(F.conv2d(x, halve, stride=2, padding=1))",
                "h = F.conv2d(x, halve, stride=2, padding=1); inner(h)",
            ),
        ),
        ("Sizes of tensors must match", "No stride.", ("stride=2, ", "")),
        ("what comes up stands there twice", "h twice.", ("[h, x]", "[h, h]")),
    ),
    *slips(
        "attend",
        (
            "the weights of what one place looks at have to add up to 1",
            "The other dimension.",
            ("softmax(dim=2)", "softmax(dim=1)"),
        ),
        (
            "the softmax goes over the pictures of the batch",
            "Over the batch.",
            ("softmax(dim=2)", "softmax(dim=0)"),
        ),
        ("the scores are not divided by the root of d", "No root.", (" / q.shape[2] ** 0.5", "")),
        ("the scores are divided by d: take its root", "By d.", ("shape[2] ** 0.5", "shape[2]")),
        (
            "the scores are divided by the root of C: d is the length of a query",
            "By the root of C.",
            ("q.shape[2] ** 0.5", "x.shape[1] ** 0.5"),
        ),
        ("x is not added", "No shortcut.", ("return x + h", "return h")),
        ("x is not normalised first", "Not normalised.", ("group_norm(x, 8)", "x")),
        (
            "queries and keys are interchanged: place i asks with q_i",
            "Interchanged.",
            ("q, k, v = h", "k, q, v = h"),
        ),
        (
            "the weights do not add up to 1: take a softmax",
            "Sigmoid.",
            (".softmax(dim=2)", ".sigmoid()"),
        ),
        ("there is no softmax", "Scores as weights.", (".softmax(dim=2)", "")),
        (
            "the places are not put back where they were: transpose before you reshape",
            "Reshaped at the end.",
            ("h.transpose(1, 2).unflatten(2, x.shape[2:])", "h.reshape(x.shape)"),
        ),
    ),
    *slips(
        "count",
        ("the biases are missing among the weights", "No bias.", ("each + outputs,", "each,")),
        (
            "the two come in the wrong order: weights first",
            "The other order.",
            ("each + outputs, each * side_out**2", "each * side_out**2, each + outputs"),
        ),
        ("the kernel has kernel x kernel pixels", "A row of it.", ("kernel**2", "kernel")),
        (
            "the output has side x side pixels: this is one row of them",
            "A row of the output.",
            ("side_out**2", "side_out"),
        ),
        (
            "with a stride there are fewer outputs: count those",
            "The stride forgotten.",
            ("-(-side // stride)", "side"),
        ),
        (
            "a side that the stride does not divide is rounded up",
            "Rounded down.",
            ("-(-side // stride)", "side // stride"),
        ),
        (
            "a stride leaves fewer outputs along both sides",
            "The stride along one side.",
            ("side_out**2", "side_out * side"),
        ),
        (
            "adding a bias is no multiplication",
            "The bias multiplied.",
            ("each * side_out**2", "(each + outputs) * side_out**2"),
        ),
        (
            "the multiplications at one place only: there are many places",
            "One place.",
            ("each * side_out**2", "each"),
        ),
    ),
    *slips(
        "repair",
        (
            "what the heads find is turned the wrong way: places first, then heads",
            "The last two dimensions turned.",
            (
                "(weights @ v).transpose(1, 2).flatten(2)",
                "(weights @ v).transpose(2, 3).reshape(len(x), H * W, C)",
            ),
        ),
        (
            "the channels of the heads are interleaved: one head stands beside the next",
            "Places, share, heads.",
            ("(weights @ v).transpose(1, 2)", "(weights @ v).permute(0, 2, 3, 1)"),
        ),
        (
            "the softmax has another dimension: it was right before",
            "What was right, changed.",
            ("softmax(dim=3)", "softmax(dim=2)"),
        ),
        (
            "the root is that of C: a query of one head has C / heads numbers",
            "The root of C.",
            ("(heads / C) ** 0.5", "C**-0.5"),
        ),
        ("x is not added: this was right before", "No x.", ("return x + found", "return found")),
        (
            "the end is no longer turned back to channels first: this was right before",
            "Not turned back.",
            ("found.transpose(1, 2).unflatten(2, (H, W))", "found.reshape(x.shape)"),
        ),
        (
            "each head gets other places, not other channels: this was right before",
            "Shares cut by reshape.",
            (
                "(places @ m.T).unflatten(2, (heads, -1)).transpose(1, 2)",
                "(places @ m.T).reshape(len(x), heads, H * W, C // heads)",
            ),
        ),
    ),
    *slips(
        "unet",
        (
            "another t changes nothing: tell it to the blocks",
            "t not told.",
            ("embed_step(t,", "embed_step(torch.ones_like(t),"),
        ),
        (
            "the answer for a picture depends on the others of its batch, or on their t",
            "The first t for all.",
            ("embed_step(t,", "embed_step(t[:1].expand(len(t)),"),
        ),
        (
            "with the way up at 0 nothing of the picture is left",
            "Zeros come across.",
            (
                'h = block("join", bridge(h, bottom, w["halve"], w["double"]))',
                'h = bridge(h, bottom, w["halve"], w["double"])\n'
                "    up, across = h.chunk(2, dim=1)\n"
                '    h = block("join", torch.cat([up, 0 * across], dim=1))',
            ),
        ),
        (
            "with the way up at 0 nothing of the picture is left",
            "What came up stands there twice.",
            (
                'h = block("join", bridge(h, bottom, w["halve"], w["double"]))',
                'h = bridge(h, bottom, w["halve"], w["double"])\n'
                "    up, across = h.chunk(2, dim=1)\n"
                '    h = block("join", torch.cat([up, up], dim=1))',
            ),
        ),
        (
            "the weights query have no say in the answer",
            "No attention.",
            (
                'attend(block("low_1", h), w["query"], w["key"], w["value"], w["output"])',
                'block("low_1", h)',
            ),
        ),
        (
            "the weights low_2_conv_1 have no say in the answer",
            "One block twice.",
            ('block("low_2", h)', 'block("low_1", h)'),
        ),
        ("expected (3, 1, 28, 28)", "Not unfolded.", ("return F.pixel_shuffle(h, 2)", "return h")),
        (
            "the input is added to the answer: the answer at the start is 0",
            "A shortcut around the whole.",
            ("return F.pixel_shuffle(h, 2)", "return x_t + F.pixel_shuffle(h, 2)"),
        ),
        (
            "twice the input gives the same answer: the picture itself is not to be normalised",
            "The picture normalised.",
            ("F.pixel_unshuffle(x_t, 2)", "group_norm(F.pixel_unshuffle(x_t, 2), 1)"),
        ),
        (
            "no gradient reaches argument 2: was it detached?",
            "Nothing goes back through the bridge.",
            ("bridge(h, bottom", "bridge(h.detach(), bottom"),
        ),
    ),
]
