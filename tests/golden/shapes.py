"""Special shapes: sizes 0 and 1, and rank 0. One record for each call: its result, first and second gradients, or that PyTorch
refuses it. Only shapes are stored: the elements of an input follow from its place, by values_of here and in the test. A gradient is its elements, in
the shape of its input; null stands for zeros.
"""
import itertools

import torch
import torch.nn.functional as F

INF = float("inf")


def values_of(shape, place):
    """Values between 0.2 and 1.8, all different within an input."""
    count = 1
    for size in shape:
        count *= size
    i = torch.arange(count, dtype=torch.float64)
    return (1 + 0.8 * torch.sin(1.7 * i + 0.9 * place + 0.3)).reshape(shape)


def seed_of(t):
    i = torch.arange(t.numel(), dtype=torch.float64)
    return (torch.sin(1.7 * i + 0.6) + 1.3).reshape(t.shape)


def total_of(outputs):
    sums = [(out * seed_of(out)).sum() for out in outputs]
    return sum(sums[1:], sums[0])


def short(t):
    return [float(f"{x:.7g}") for x in t.detach().reshape(-1).tolist()]


def elements(gradients):
    return [short(g) if g.count_nonzero() > 0 else None for g in gradients]


def gradients_of(outputs, leaves, second):
    smooth = [out for out in outputs if out.is_floating_point() and out.requires_grad]
    if not smooth or not leaves:
        return [torch.zeros_like(x) for x in leaves]
    found = torch.autograd.grad(total_of(smooth), leaves, create_graph=second, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, leaves)]


def record(op, f, *shapes, **options):
    leaves = [values_of(shape, place).requires_grad_() for place, shape in enumerate(shapes)]
    known = {"op": op, "inputs": [list(shape) for shape in shapes], "options": options}
    try:
        result = f(*leaves)
        outputs = [x for x in (result if isinstance(result, (tuple, list)) else [result])]
    except (RuntimeError, IndexError, ValueError, TypeError):
        return {**known, "refused": True}
    known["outputs"] = [[list(x.shape), short(x) if x.is_floating_point() else [int(i) for i in x.reshape(-1).tolist()]] for x in outputs]
    # Calls on which PyTorch's own backward fails have no gradients here; calls whose gradient is NaN have no second ones.
    try:
        first = gradients_of(outputs, leaves, True)
        known["gradients"] = elements(first)
        if not any(g.isnan().any() for g in first):
            known["second"] = elements(gradients_of(first, leaves, False))
    except RuntimeError:
        pass
    return known


SIZES = (0, 1, 2)


def matmuls():
    for m, k, n in itertools.product(SIZES, SIZES, SIZES):
        if 0 not in (m, k, n) and 1 not in (m, k, n):
            continue
        forms = [([m, k], [k, n]), ([3, m, k], [k, n]), ([m, k], [3, k, n]), ([0, m, k], [k, n]), ([0, m, k], [0, k, n]), ([1, m, k], [0, k, n]),
                 ([2, 1, m, k], [3, k, n]), ([2, 0, m, k], [1, 1, k, n])]
        if m == 1:
            forms += [([k], [k, n]), ([k], [2, k, n]), ([k], [0, k, n])]
        if n == 1:
            forms += [([m, k], [k]), ([2, m, k], [k]), ([0, m, k], [k])]
        if m == 1 and n == 1:
            forms += [([k], [k])]
        for a, b in forms:
            yield record("matmul", torch.matmul, a, b)
    yield record("matmul", torch.matmul, [], [2])
    yield record("matmul", torch.matmul, [2], [])


def linears():
    for k, n in itertools.product(SIZES, SIZES):
        for lead in ([], [0], [1], [2], [0, 3], [2, 0], [1, 2], [2, 1, 2]):
            yield record("linear", F.linear, [*lead, k], [n, k], [n])
            yield record("linear", F.linear, [*lead, k], [n, k])
    yield record("linear", F.linear, [], [2, 1])


def convolutions():
    shapes = [([0, 2, 3, 3], [2, 2, 2, 2], 1), ([1, 0, 3, 3], [2, 0, 2, 2], 1), ([2, 2, 3, 3], [0, 2, 2, 2], 1), ([0, 0, 3, 3], [2, 0, 2, 2], 1),
              ([1, 2, 0, 3], [2, 2, 1, 1], 1), ([1, 2, 3, 3], [2, 2, 0, 1], 1), ([1, 1, 1, 1], [1, 1, 1, 1], 1), ([0, 4, 3, 3], [4, 2, 2, 2], 2),
              ([1, 4, 3, 3], [3, 2, 2, 2], 2), ([1, 3, 3, 3], [4, 2, 2, 2], 2), ([2, 1, 1, 4], [1, 1, 1, 2], 1), ([0, 2, 1, 1], [2, 1, 1, 1], 2),
              ([1, 2, 1, 1], [2, 1, 3, 3], 2)]
    for x, w, groups in shapes:
        for padding in (0, 1):
            for bias in (True, False):
                f = lambda x, w, b=None: F.conv2d(x, w, b, padding=padding, groups=groups)
                yield record("conv2d", f, x, w, *([[w[0]]] if bias else []), padding=padding, groups=groups)
    for x, w in [([0, 2, 3], [2, 2, 2]), ([1, 2, 0], [2, 2, 1]), ([2, 0, 3], [2, 0, 2]), ([1, 1, 1], [1, 1, 1]), ([2, 1, 3], [0, 1, 2])]:
        yield record("conv1d", F.conv1d, x, w, [w[0]])
    for x in ([0, 2, 4, 4], [1, 0, 4, 4], [1, 2, 0, 4], [1, 2, 2, 2], [1, 1, 1, 1]):
        yield record("maxPool2d", lambda x: F.max_pool2d(x, 2), x, kernel=2)
        yield record("avgPool2d", lambda x: F.avg_pool2d(x, 2), x, kernel=2)
        yield record("maxPool2d", lambda x: F.max_pool2d(x, 1), x, kernel=1)
        yield record("avgPool2d", lambda x: F.avg_pool2d(x, 1), x, kernel=1)


def norms():
    shapes = [[0], [1], [2], [0, 2], [2, 0], [2, 1], [1, 2], [1, 1], [2, 3, 1], [2, 1, 3], [0, 3, 1], [2, 0, 1], [2, 3, 0], [1, 1, 1, 1], [2, 1, 0, 3], [2, 1, 2, 1]]
    for shape in shapes:
        for count in range(1, len(shape) + 1):
            own = shape[-count:]
            yield record("layerNorm", lambda x, w, b: F.layer_norm(x, own, w, b), shape, own, own, shape=own)
            yield record("layerNorm", lambda x: F.layer_norm(x, own), shape, shape=own)
            yield record("rmsNorm", lambda x, w: F.rms_norm(x, own, w, eps=1e-5), shape, own, shape=own)
    for shape in ([0, 2], [2, 0], [1, 2], [2, 1], [1, 1], [0, 2, 3], [2, 2, 0], [2, 2, 1], [1, 2, 3], [1, 4, 1, 1], [2, 2, 0, 1], [0, 2, 0]):
        c = shape[1]
        affine = [shape, [c], [c]]
        for groups in (1, 2):
            yield record("groupNorm", lambda x, w, b: F.group_norm(x, groups, w, b), *affine, groups=groups)
        for training in (True, False):
            f = lambda x, w, b: F.batch_norm(x, torch.zeros(c, dtype=torch.float64), torch.ones(c, dtype=torch.float64), w, b, training)
            yield record("batchNorm", f, *affine, training=training)


def reductions():
    shapes = [[], [0], [1], [2], [0, 2], [2, 0], [1, 0], [1, 1], [2, 1], [1, 2], [0, 0], [2, 0, 3], [2, 1, 3]]
    several = {"sum": torch.sum, "mean": torch.mean, "amax": torch.amax, "amin": torch.amin, "var": torch.var, "std": torch.std, "logSumExp": torch.logsumexp,
               "norm": lambda x, dim, keepdim: torch.linalg.vector_norm(x, 2, dim, keepdim)}
    one = {"prod": torch.prod, "argmax": torch.argmax, "argmin": torch.argmin, "any": torch.any, "all": torch.all}
    picks = {"max": torch.max, "min": torch.min}
    along = {"cumsum": torch.cumsum, "cumprod": torch.cumprod, "softmax": torch.softmax, "logSoftmax": torch.log_softmax,
             "sort": lambda x, dim: torch.sort(x, dim=dim, stable=True), "argsort": lambda x, dim: torch.argsort(x, dim=dim, stable=True)}
    for shape in shapes:
        axes = range(-1, max(1, len(shape)))
        for axis in axes:
            for name, f in {**several, **one}.items():
                for keepdim in (False, True) if axis < 0 else (False,):
                    yield record(name, lambda x: f(x, dim=axis, keepdim=keepdim), shape, axis=axis, keepdim=keepdim)
            for name, f in picks.items():
                yield record(name, lambda x: f(x, dim=axis), shape, axis=axis)
            for name, f in along.items():
                yield record(name, lambda x: f(x, dim=axis), shape, axis=axis)
            for k in (0, 1):
                yield record("topk", lambda x: torch.topk(x, k, axis), shape, axis=axis, k=k)
        for name, f in {"sum": torch.sum, "mean": torch.mean, "prod": torch.prod, "var": torch.var, "std": torch.std, "amax": torch.amax, "any": torch.any,
                        "all": torch.all, "argmax": torch.argmax, "max": torch.max, "min": torch.min}.items():
            yield record(name, lambda x: f(x), shape)


def indexing():
    def index(shape, limit):
        count = torch.Size(shape).numel()
        return (torch.arange(count) % max(limit, 1)).reshape(shape)

    def ranked(shape, axis):
        own = list(shape)
        for size in (0, 1, 2):
            if shape:
                own[axis] = size
            yield own
        if not shape:
            yield [1]
            yield [0]
            yield [2]

    for shape in ([], [1], [2], [0], [2, 0], [0, 2], [1, 2], [2, 1], [2, 0, 3], [2, 1, 3]):
        for axis in range(-1, max(1, len(shape))):
            limit = shape[axis] if shape else 1
            for own in ranked(shape, axis):
                at = index(own, limit)
                options = dict(axis=axis, index=at)
                yield record("gather", lambda x: torch.gather(x, axis, at), shape, **options)
                yield record("scatter", lambda x, s: torch.scatter(x, axis, at, s), shape, own, **options)
                yield record("scatterAdd", lambda x, s: torch.scatter_add(x, axis, at, s), shape, own, **options)
                yield record("scatter", lambda x: torch.scatter(x, axis, at, 1.5), shape, **options, value=1.5)
            for n in ([0], [1], [2], []):
                at = index(n, limit)
                source = list(shape)
                if shape:
                    source[axis] = at.numel()
                options = dict(axis=axis, index=at)
                yield record("indexSelect", lambda x: torch.index_select(x, axis, at), shape, **options)
                for more in [source] if shape else ([], [1]):
                    yield record("indexCopy", lambda x, s: torch.index_copy(x, axis, at, s), shape, more, **options)
                    yield record("indexAdd", lambda x, s: torch.index_add(x, axis, at, s), shape, more, **options)
    for n in ([], [0], [1], [2, 0], [2, 2]):
        for rows, width in ((1, 0), (2, 1), (2, 3)):
            at = index(n, rows)
            yield record("embedding", lambda w: F.embedding(at, w), [rows, width], index=at)
    yield record("embedding", lambda w: F.embedding(torch.zeros(0, dtype=torch.int64), w), [0, 3], index=torch.zeros(0, dtype=torch.int64))


def attentions():
    sizes = [(0, 1, 2, 2, 2, 2), (1, 0, 2, 2, 2, 2), (1, 1, 0, 2, 2, 2), (1, 1, 2, 0, 2, 2), (1, 1, 2, 2, 2, 0), (1, 1, 1, 1, 1, 1), (2, 1, 1, 3, 2, 1),
             (1, 1, 3, 1, 2, 2), (1, 1, 0, 0, 2, 2), (1, 1, 2, 2, 0, 2)]
    for b, h, l, s, e, f in sizes:
        for causal in (False, True):
            call = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=0.5)
            yield record("scaledDotProductAttention", call, [b, h, l, e], [b, h, s, e], [b, h, s, f], causal=causal)
        call = lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, attn_mask=m, scale=0.5)
        yield record("scaledDotProductAttention", call, [b, h, l, e], [b, h, s, e], [b, h, s, f], [l, s])


def blind():
    """Queries that see no key."""
    hidden = torch.tensor([[False, True, False], [True, True, True], [False, False, False], [True, True, False]])
    for b, h, l, s in ((1, 1, 4, 3), (2, 2, 4, 3), (1, 2, 2, 1), (1, 1, 4, 2)):
        own = hidden[:l, :s].clone()
        own[1] = True
        for added in (False, True):
            mask = torch.zeros(l, s, dtype=torch.float64).masked_fill(own, -INF) if added else ~own
            call = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=0.5)
            yield record("scaledDotProductAttention", call, [b, h, l, 2], [b, h, s, 2], [b, h, s, 3], hidden=own.int(), added=added)


def losses():
    for n, c in ((0, 3), (1, 1), (2, 1), (1, 3)):
        for reduction in ("mean", "sum", "none"):
            at = torch.arange(n) % c
            yield record("crossEntropy", lambda x: F.cross_entropy(x, at, reduction=reduction), [n, c], index=at, reduction=reduction)


def records():
    torch.use_deterministic_algorithms(False)
    groups = (matmuls, linears, convolutions, norms, reductions, indexing, attentions, blind, losses)
    return [made for group in groups for made in group()]
