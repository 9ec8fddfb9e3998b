"""Ops with their gradients: one record for each call. Inputs are float64; a gradient belongs to every floating input."""
import math

import torch
import torch.nn.functional as F

INF = math.inf
NAN = math.nan


def randn(*shape):
    """Numbers with three decimals, which JSON represents exactly."""
    return torch.round(torch.randn(*shape, dtype=torch.float64), decimals=3)


def tensor(values, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype)


def ids(*values):
    return torch.tensor(values)


def seed_of(out):
    """The gradient of a result. Its elements differ, and are the same in the tests."""
    i = torch.arange(out.numel(), dtype=torch.float64)
    return (torch.sin(1.7 * i + 0.6) + 1.3).reshape(out.shape)


def record(name, op, f, *inputs, options=None, gradient=True):
    leaves = [x.clone().requires_grad_(gradient) if x is not None and x.is_floating_point() else x for x in inputs]
    result = f(*leaves)
    outputs = list(result) if isinstance(result, (tuple, list)) else [result]
    smooth = [out for out in outputs if out.requires_grad]
    gradients = []
    if smooth:
        torch.autograd.backward(smooth, [seed_of(out) for out in smooth])
        gradients = [x.grad if x is not None and x.is_floating_point() else None for x in leaves]
    return {"name": name, "op": op, "inputs": list(inputs), "options": options or {}, "outputs": outputs, "gradients": gradients}


def reductions():
    x = randn(3, 4)
    for correction in (0, 1, 3):
        for op in ("var", "std"):
            f = getattr(torch, op)
            yield record(f"{op} with correction {correction}", op, lambda t: f(t, dim=1, correction=correction), x, options={"axes": [1], "correction": correction})
    yield record("var over two axes", "var", lambda t: torch.var(t, dim=(0, 2), correction=1, keepdim=True), randn(2, 3, 4), options={"axes": [0, 2], "correction": 1, "keepdim": True})
    y = tensor([[1.5, 0, -2], [0, 0, 0], [-3, 4, 0.5]])
    for p in (0, 0.5, 1, 2, 3, INF, -INF):
        # PyTorch gives NaN at zeros for 0 < p < 1; there is no gradient there.
        smooth = y[2:] if p == 0.5 else y
        yield record(f"norm of order {p}", "norm", lambda t: torch.linalg.vector_norm(t, ord=p, dim=1), smooth, options={"p": p, "axes": [1]})
    yield record("logSumExp of infinities", "logSumExp", lambda t: torch.logsumexp(t, 1), tensor([[1, 2, 3], [-INF, 0, 1], [100, 1000, 999]]), options={"axes": [1]})
    yield record("amax shares the gradient among equals", "amax", lambda t: torch.amax(t, 1), tensor([[1, 3, 3], [2, 2, 2], [0, -1, -2]]), options={"axes": [1]})
    yield record("amin shares the gradient among equals", "amin", lambda t: torch.amin(t, (0, 1)), tensor([[1, 3, 3], [2, 1, 2]]), options={"axes": [0, 1]})
    yield record("max with an axis gives the gradient to the first", "max", lambda t: torch.max(t, 1), tensor([[1, 3, 3], [2, 2, 2], [0, NAN, 5]]), options={"axis": 1})
    zeros = {"no zero": [2, -3, 0.5, 4], "one zero": [2, 0, 0.5, 4], "two zeros": [2, 0, 0, 4], "a zero at the end": [2, 3, 1, 0]}
    for name, values in zeros.items():
        t = tensor([values, [1, 2, 3, 4]])
        yield record(f"prod with {name}", "prod", lambda t: torch.prod(t, 1), t, options={"axes": [1]})
        yield record(f"cumprod with {name}", "cumprod", lambda t: torch.cumprod(t, 1), t, options={"axis": 1})
    yield record("prod of all with a zero", "prod", lambda t: torch.prod(t), tensor([[1, 2], [0, 4]]), options={"axes": [0, 1]})
    yield record("cumsum along the first axis", "cumsum", lambda t: torch.cumsum(t, 0), randn(3, 2), options={"axis": 0})
    yield record("std of equal values", "std", lambda t: torch.std(t, 1), tensor([[1, 2, 4]]), options={"axes": [1]})


def windows():
    cases = [
        ("stride and padding", (2, 3, 6, 5), (4, 3, 3, 2), dict(stride=[2, 1], padding=[1, 2])),
        ("dilation", (1, 2, 9, 8), (3, 2, 3, 2), dict(dilation=[2, 3], padding=[2, 0])),
        ("groups", (2, 4, 5, 5), (6, 2, 2, 3), dict(groups=2, stride=2)),
        ("one group a channel", (1, 3, 6, 6), (3, 1, 3, 3), dict(groups=3, padding=1)),
        ("everything at once", (2, 4, 9, 7), (4, 2, 3, 2), dict(stride=[2, 3], padding=[3, 1], dilation=[1, 2], groups=2)),
    ]
    for name, shape, weight, options in cases:
        yield record(f"conv2d with {name}", "conv2d", lambda x, w, b: F.conv2d(x, w, b, **options), randn(*shape), randn(*weight), randn(weight[0]), options=options)
    options = dict(stride=2, padding=3, dilation=2, groups=2)
    yield record("conv1d", "conv1d", lambda x, w, b: F.conv1d(x, w, b, **options), randn(2, 4, 9), randn(6, 2, 3), randn(6), options=options)
    options = dict(stride=[2, 1], padding=[1, 0], dilation=[1, 2])
    pool = lambda x: F.max_pool2d(x, [3, 2], return_indices=True, **options)
    yield record("maxPool2d with padding and dilation", "maxPool2d", pool, randn(2, 2, 6, 7), options={"kernel": [3, 2], **options})
    yield record("maxPool2d of equal values", "maxPool2d", lambda x: F.max_pool2d(x, 2, return_indices=True), tensor([[[[1, 1, 2, 0], [1, 1, 2, 2]]]]), options={"kernel": [2, 2]})
    for count in (True, False):
        average = lambda x: F.avg_pool2d(x, [3, 2], [2, 1], [1, 1], count_include_pad=count)
        yield record(f"avgPool2d with countIncludePad {count}", "avgPool2d", average, randn(1, 2, 6, 5), options={"kernel": [3, 2], "stride": [2, 1], "padding": [1, 1], "countIncludePad": count})


def norms():
    yield record("layerNorm over two axes", "layerNorm", lambda x, w, b: F.layer_norm(x, [3, 4], w, b, 1e-3), randn(2, 3, 4), randn(3, 4), randn(3, 4), options={"shape": [3, 4], "eps": 1e-3})
    yield record("groupNorm", "groupNorm", lambda x, w, b: F.group_norm(x, 2, w, b, 1e-3), randn(2, 4, 3, 2), randn(4), randn(4), options={"groups": 2, "eps": 1e-3})

    def batch_norm(x, weight, bias):
        mean, var = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
        F.batch_norm(x.detach() * 2 + 1, mean, var, weight, bias, training=True, momentum=0.3)
        out = F.batch_norm(x, mean, var, weight, bias, training=True, momentum=0.3, eps=1e-3)
        return out, mean, var, F.batch_norm(x.detach(), mean, var, weight.detach(), bias.detach(), training=False)

    yield record("batchNorm: two steps of training, running statistics, evaluation", "batchNorm", batch_norm, randn(4, 3, 2), randn(3), randn(3))


def losses():
    x, target = randn(5, 4), ids(0, 3, 2, 2, 1)
    weight = tensor([0.5, 1, 2, 1.5])
    every = [
        ("plain", {}),
        ("ignoreIndex", {"ignoreIndex": 2}),
        ("labelSmoothing", {"labelSmoothing": 0.15}),
        ("labelSmoothing and ignoreIndex", {"labelSmoothing": 0.15, "ignoreIndex": 2}),
        ("sum", {"reduction": "sum", "labelSmoothing": 0.1}),
        ("none", {"reduction": "none", "ignoreIndex": 3}),
    ]
    names = {"ignoreIndex": "ignore_index", "labelSmoothing": "label_smoothing", "reduction": "reduction"}
    for name, options in every:
        torch_options = {names[key]: value for key, value in options.items()}
        for w in (None, weight):
            f = lambda t, y: F.cross_entropy(t, y, weight=w, **torch_options)
            yield record(f"crossEntropy, {name}{', weight' if w is not None else ''}", "crossEntropy", f, x, target, options={**options, **({"weight": w} if w is not None else {})})
    probabilities = tensor([[0.1, 0.2, 0.3, 0.4], [1, 0, 0, 0], [0.25] * 4, [0.5, 0, 0.5, 0], [0, 0.1, 0.1, 0.8]])
    for w in (None, weight):
        f = lambda t: F.cross_entropy(t, probabilities, weight=w, label_smoothing=0.2)
        options = {"labelSmoothing": 0.2, "target": probabilities, **({"weight": w} if w is not None else {})}
        yield record(f"crossEntropy with probabilities{', weight' if w is not None else ''}", "crossEntropy", f, x, options=options)
    yield record("crossEntropy of images", "crossEntropy", lambda t, y: F.cross_entropy(t, y), randn(2, 3, 2, 2), torch.tensor([[[0, 1], [2, 2]], [[1, 0], [0, 2]]]))
    yield record("nllLoss", "nllLoss", lambda t, y: F.nll_loss(t, y, weight=weight, ignore_index=1), -randn(5, 4).abs(), target, options={"weight": weight, "ignoreIndex": 1})
    positive = tensor([2, 0.5, 3, 1])
    f = lambda t, y: F.binary_cross_entropy_with_logits(t, y, pos_weight=positive)
    yield record("binaryCrossEntropyWithLogits with posWeight", "binaryCrossEntropyWithLogits", f, tensor([[50, -3, 0.5, -60], [0, 1, -1, 2]]), tensor([[1, 0, 0.5, 1], [0, 1, 0.25, 1]]), options={"posWeight": positive})
    yield record("binaryCrossEntropy", "binaryCrossEntropy", lambda t, y: F.binary_cross_entropy(t, y), tensor([[0.2, 0.9], [0.5, 0.01]]), tensor([[0, 1], [0.5, 1]]))
    yield record("l1Loss where both are equal", "l1Loss", lambda a, b: F.l1_loss(a, b), tensor([1, 2, 3]), tensor([1, 0, 5]))
    yield record("mseLoss", "mseLoss", lambda a, b: F.mse_loss(a, b, reduction="sum"), randn(3, 2), randn(3, 2), options={"reduction": "sum"})


def attention(q, k, v, mask=None, causal=False, scale=None):
    """The formula in the documentation of PyTorch's scaled_dot_product_attention."""
    scores = q @ k.transpose(-2, -1) * (scale or 1 / math.sqrt(q.shape[-1]))
    if causal:
        scores = scores.masked_fill(~torch.ones(scores.shape[-2:], dtype=torch.bool).tril(), -INF)
    if mask is not None:
        scores = scores.masked_fill(~mask, -INF) if mask.dtype == torch.bool else scores + mask
    return torch.softmax(scores, -1) @ v


def attentions():
    name = "scaledDotProductAttention"
    q, k, v = randn(2, 2, 3, 4), randn(2, 2, 5, 4), randn(2, 2, 5, 3)
    yield record("attention", name, attention, q, k, v)
    yield record("attention, causal, with more keys than queries", name, lambda *t: attention(*t, causal=True, scale=0.3), q, k, v, options={"causal": True, "scale": 0.3})
    mask = torch.tensor([[True, False, True, True, False], [True, True, False, True, True], [False, False, True, False, False]])
    yield record("attention with a mask of truth values", name, lambda *t: attention(*t, mask=mask), q, k, v, options={"mask": mask})
    yield record("attention with an added mask", name, attention, q, k, v, randn(2, 1, 3, 5))


def indexing():
    x = torch.arange(2 * 3 * 4 * 5, dtype=torch.float64).reshape(2, 3, 4, 5)
    i, j = ids(1, 0, 1), torch.tensor([[2, 0, 1], [-1, 1, -2]])
    cases = [
        ("1:, ..., ::2", lambda t: t[1:, ..., ::2]),
        ("..., -1", lambda t: t[..., -1]),
        ("1, 0", lambda t: t[1, 0]),
        (":, 1:3, -2:, :-1", lambda t: t[:, 1:3, -2:, :-1]),
        ("0, ..., 4:1", lambda t: t[0, ..., 4:1]),
    ]
    for index, f in cases:
        yield record(f"x[{index}]", "at", f, x, options={"index": [index]})
    yield record("x[None, 1, ..., None]", "at", lambda t: t[None, 1, ..., None], x, options={"index": [None, 1, "...", None]})
    advanced = [
        ("x[i]", lambda t: t[i], [i]),
        ("x[:, j]", lambda t: t[:, j], [":", j]),
        ("x[i, j]", lambda t: t[i, j], [i, j]),
        ("x[i, :, j]", lambda t: t[i, :, j], [i, ":", j]),
        ("x[:, j, i]", lambda t: t[:, j, i], [":", j, i]),
        ("x[..., j, 1:3]", lambda t: t[..., j, 1:3], ["...", j, "1:3"]),
        ("x[i, 1, ..., j]", lambda t: t[i, 1, ..., j], [i, 1, "...", j]),
    ]
    for name, f, index in advanced:
        yield record(name, "at", f, x, options={"index": index})
    yield record("embedding with repeated ids", "embedding", lambda n, w: F.embedding(n, w), torch.tensor([[1, 1], [3, 1]]), randn(4, 3))
    yield record("scatterAdd with repeated positions", "scatterAdd", lambda t, n, s: t.scatter_add(1, n, s), randn(2, 3), torch.tensor([[0, 0, 2], [1, 1, 1]]), randn(2, 3), options={"axis": 1})


def ordering():
    x = tensor([[3, 1, 2, 3, 1], [NAN, 5, -INF, INF, 5]])
    for descending in (False, True):
        f = lambda t: torch.sort(t, dim=1, stable=True, descending=descending)
        yield record(f"sort, {'descending' if descending else 'ascending'}, with ties and NaN", "sort", f, x, options={"axis": 1, "descending": descending}, gradient=False)
    yield record("the gradient of sort", "sort", lambda t: torch.sort(t, dim=0), randn(5, 2), options={"axis": 0})
    for largest in (True, False):
        f = lambda t: torch.topk(t, 3, 1, largest=largest)
        yield record(f"topk of the {'largest' if largest else 'smallest'}", "topk", f, randn(2, 6), options={"k": 3, "axis": 1, "largest": largest})
    yield record("topk with NaN", "topk", lambda t: torch.topk(t, 2, 0)[0], tensor([1, NAN, 7, INF]), options={"k": 2, "axis": 0}, gradient=False)
    ties = tensor([[1, 4, 4], [NAN, 2, NAN]])
    yield record("argmax takes the first", "argmax", lambda t: torch.argmax(t, 1), ties, options={"axis": 1}, gradient=False)
    yield record("argmin takes the first", "argmin", lambda t: torch.argmin(t, 1), -ties, options={"axis": 1}, gradient=False)


def corners():
    """Gradients at points where a formula divides by zero or a limit is reached."""
    yield record("clamp at its bounds", "clamp", lambda t: torch.clamp(t, -1, 1), tensor([-2, -1, 0, 1, 2]), options={"min": -1, "max": 1})
    yield record("abs at zero", "abs", torch.abs, tensor([-1, 0, 2]))
    yield record("relu at zero", "relu", torch.relu, tensor([-1, 0, 2]))
    yield record("pow with zeros", "pow", torch.pow, tensor([0, 0, 2, 3, 0]), tensor([0, 1, 0, 2, 2.5]))
    yield record("maximum of equals", "maximum", torch.maximum, tensor([1, 2, 3]), tensor([1, 3, 2]))
    yield record("minimum of equals", "minimum", torch.minimum, tensor([1, 2, 3]), tensor([1, 3, 2]))
    yield record("gelu far out", "gelu", F.gelu, tensor([-50, -6, 0, 6, 50]))
    yield record("softplus beyond its threshold", "softplus", lambda t: F.softplus(t, 2, 3), tensor([-9, 0, 1.4, 1.6, 40]), options={"beta": 2, "threshold": 3})
    yield record("fmod", "fmod", torch.fmod, tensor([7, -7, 7, -7, 5.5]), tensor([3, 3, -3, -3, -2]))
    yield record("remainder", "remainder", torch.remainder, tensor([7, -7, 7, -7, 5.5]), tensor([3, 3, -3, -3, -2]))
    yield record("atan2 in every quadrant", "atan2", torch.atan2, tensor([1, 1, -1, -1]), tensor([1, -1, 1, -1]))
    yield record("where keeps NaN out", "where", lambda a, b: torch.where(a > 0, torch.sqrt(a), b), tensor([4, -1, 9]), tensor([1, 2, 3]))
    yield record("softmax of -infinity", "softmax", lambda t: torch.softmax(t, 1), tensor([[-INF, 0, 1], [3, 3, -INF]]), options={"axis": 1})


def records():
    parts = (reductions, windows, norms, losses, attentions, indexing, ordering, corners)
    return [item for part in parts for item in part()]
