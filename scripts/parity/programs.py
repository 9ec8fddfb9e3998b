"""Random programs with PyTorch's results: python3 programs.py COUNT SEED prints one JSON record per line.

A program is a list of steps. A step is an input, or a call by Castor's name with arguments in Castor's form, where {"t": 3} is tensor
3. Inputs and results are numbered in their order; methods that write in place make nothing new, and a call that PyTorch refuses is
marked "error". At the end a weighted sum of some tensors is differentiated. What Castor does otherwise on purpose
(docs/differences.md) is left out.
"""
import json
import math
import random
import sys
import warnings

import torch
import torch.nn.functional as F

REFUSED = (RuntimeError, IndexError, ValueError, ZeroDivisionError)


def stored(t):
    words = {"inf": "inf", "-inf": "-inf", "nan": "nan"}
    data = [v if math.isfinite(v) else words[str(v)] for v in map(float, t.detach().reshape(-1).tolist())]
    return {"shape": list(t.shape), "dtype": str(t.dtype).removeprefix("torch."), "data": data}


def subscript(items):
    """Castor's items as PyTorch's: '1:' is a slice, '...' an ellipsis."""
    def one(item):
        if item == "...":
            return Ellipsis
        if isinstance(item, str):
            return slice(*[int(part) if part else None for part in item.split(":")])
        return torch.tensor(item, dtype=torch.bool) if isinstance(item, list) and item and isinstance(item[0], bool) else item
    return tuple(map(one, items))


def set_(x, items, value, options=None):
    if options is None:
        x[subscript(items)] = value
        return
    places = torch.arange(x.numel()).reshape(x.shape)[subscript(items)]
    value = (value if isinstance(value, torch.Tensor) else torch.tensor(value, dtype=x.dtype)).expand(places.shape)
    x.copy_(x.reshape(-1).index_add(0, places.reshape(-1), value.reshape(-1)).reshape(x.shape))


def options(given, **names):
    return {theirs: given[ours] for ours, theirs in names.items() if ours in given}


UNARY = ["neg", "sin", "square", "exp", "tanh", "relu", "abs", "sigmoid", "reciprocal", "cos", "sign", "erf", "expm1", "atan"]
BINARY = ["add", "sub", "mul", "div"]
WRITES = [*BINARY, "atan2", "hypot", "fmod", "remainder"]
VIEWS = {
    "select": lambda t, axis, index: t.select(axis, index),
    "narrow": lambda t, axis, start, size: t.narrow(axis, start, size),
    "permute": lambda t, order: t.permute(order),
    "transpose": lambda t, a, b: t.transpose(a, b),
    "view": lambda t, shape: t.view(shape),
    "expand": lambda t, shape: t.expand(shape),
    "squeeze": lambda t, axis: t.squeeze(axis),
    "unsqueeze": lambda t, axis: t.unsqueeze(axis),
    "at": lambda t, *items: t[subscript(items)],
}
CALLS = {
    **VIEWS,
    "detach": lambda t: t.detach(),
    "clone": lambda t: t.clone(memory_format=torch.contiguous_format),
    "split": lambda t, size, axis: list(t.split(size, axis)),
    "flip": lambda t, axes: t.flip(axes),
    "cat": lambda tensors, axis: torch.cat(tensors, axis),
    "set_": set_,
    "copy_": lambda t, source: t.copy_(source),
    "fill_": lambda t, value: t.fill_(value),
    "maskedFill": lambda t, mask, value: t.masked_fill(mask, value),
    "sum": lambda t, axes, o: torch.sum(t, axes, **o),
    "mean": lambda t, axes, o: torch.mean(t, axes, **o),
    "amax": lambda t, axes, o: torch.amax(t, axes, **o),
    "std": lambda t, axis, o: torch.std(t, axis, **o),
    "prod": lambda t, axis: torch.prod(t, axis),
    "logSumExp": lambda t, axis: torch.logsumexp(t, axis),
    "norm": lambda t, p, axis: torch.linalg.vector_norm(t, p, axis),
    "cumsum": lambda t, axis: torch.cumsum(t, axis),
    "cumprod": lambda t, axis: torch.cumprod(t, axis),
    "softmax": lambda t, axis: torch.softmax(t, axis),
    "logSoftmax": lambda t, axis: torch.log_softmax(t, axis),
    "sort": lambda t, axis: list(torch.sort(t, dim=axis, stable=True)),
    "gather": lambda t, axis, index: t.gather(axis, index),
    "scatterAdd": lambda t, axis, index, source: t.scatter_add(axis, index, source),
    "indexAdd": lambda t, axis, index, source: t.index_add(axis, index, source),
    "matmul": torch.matmul,
    "linear": F.linear,
    "conv2d": lambda x, w, b, o: F.conv2d(x, w, b, **o),
    "maxPool2d": lambda x, kernel, o: F.max_pool2d(x, kernel, **o),
    "avgPool2d": lambda x, kernel, o: F.avg_pool2d(x, kernel, **options(o, stride="stride", padding="padding", countIncludePad="count_include_pad")),
    "layerNorm": F.layer_norm,
    "groupNorm": F.group_norm,
    "scaledDotProductAttention": lambda q, k, v, o: F.scaled_dot_product_attention(q, k, v, **options(o, causal="is_causal", scale="scale")),
    "crossEntropy": lambda x, t, o: F.cross_entropy(x, t, **options(o, reduction="reduction", ignoreIndex="ignore_index", labelSmoothing="label_smoothing")),
    "mseLoss": lambda x, t, o: F.mse_loss(x, t, **o),
    "binaryCrossEntropyWithLogits": lambda x, t, o: F.binary_cross_entropy_with_logits(x, t, **o),
    **{name: (lambda name: lambda t: getattr(torch, name)(t))(name) for name in UNARY},
    **{name: (lambda name: lambda a, b: getattr(torch, name)(a, b))(name) for name in BINARY},
    **{name + "_": (lambda name: lambda t: getattr(t, name + "_")())(name) for name in UNARY},
    **{name + "_": (lambda name: lambda a, b: getattr(a, name + "_")(b))(name) for name in WRITES},
}


class Refused(Exception):
    """A step that PyTorch refuses."""


class Program:
    def __init__(self, rng):
        self.rng, self.tensors, self.steps, self.inputs = rng, [], [], []

    def resolve(self, arg):
        if isinstance(arg, dict):
            return self.tensors[arg["t"]] if "t" in arg else {key: self.resolve(value) for key, value in arg.items()}
        return [self.resolve(item) for item in arg] if isinstance(arg, list) else arg

    def input(self, t, grad=False):
        self.steps.append({"input": stored(t), "grad": grad})
        self.inputs.append(len(self.tensors))
        self.tensors.append(t.requires_grad_(grad))
        return {"t": len(self.tensors) - 1}

    def floats(self, shape, low=0.5, high=2.0, grad=True):
        values = [round(self.rng.uniform(low, high), 3) for _ in range(math.prod(shape))]
        return self.input(torch.tensor(values, dtype=torch.float64).reshape(shape).clone(), grad)

    def integers(self, shape, low, high):
        values = [self.rng.randrange(low, high) for _ in range(math.prod(shape))]
        return self.input(torch.tensor(values, dtype=torch.int64).reshape(shape))

    def mask(self, shape):
        return self.input(torch.tensor([self.rng.random() < 0.5 for _ in range(math.prod(shape))], dtype=torch.bool).reshape(shape))

    def call(self, name, *args):
        try:
            out = CALLS[name](*map(self.resolve, args))
        except REFUSED as error:
            self.steps.append({"call": name, "args": args, "error": True})
            raise Refused(str(error)) from error
        self.steps.append({"call": name, "args": args})
        if not name.endswith("_"):
            self.tensors += out if isinstance(out, list) else [out]
        return {"t": len(self.tensors) - 1}


# ---- one call, with sizes 0 and 1 -------------------------------------------------------------------------------------------------


def shape_of(p, least=1, most=3):
    return [p.rng.choice([0, 1, 1, 2, 3, 4]) for _ in range(p.rng.randint(least, most))]


def axis_of(p, shape):
    """An axis, in most cases one that exists."""
    return p.rng.randint(-len(shape), len(shape) - 1) if p.rng.random() < 0.9 else p.rng.choice([-len(shape) - 1, len(shape)])


def reductions(p):
    shape, name = shape_of(p), p.rng.choice(["sum", "mean", "amax", "std", "prod", "logSumExp", "cumsum", "cumprod", "softmax", "logSoftmax", "sort", "norm"])
    axis = axis_of(p, shape)
    x = p.floats(shape, -2, 2)
    if name in ["sum", "mean", "amax"]:
        return p.call(name, x, p.rng.choice([axis, [axis]]), {"keepdim": p.rng.random() < 0.5})
    if name == "std":
        return p.call(name, x, axis, {"correction": 0})
    return p.call(name, x, p.rng.choice([1, 2, 3, 0.5]), axis) if name == "norm" else p.call(name, x, axis)


def products(p):
    k = p.rng.choice([0, 1, 2, 5])
    first, second = p.rng.choice([[k], [2, k], [3, 1, k]]), p.rng.choice([[k], [k, 3], [k + 1, 2], [2, k, 1]])
    if p.rng.random() < 0.5:
        return p.call("matmul", p.floats(first), p.floats(second))
    return p.call("linear", p.floats(first), p.floats([p.rng.choice([0, 1, 4]), k]))


def windows(p):
    groups, sizes = p.rng.choice([1, 1, 2]), [p.rng.randint(1, 6), p.rng.randint(1, 6)]
    x = p.floats([p.rng.choice([1, 2]), 2 * groups, *sizes], -2, 2)
    given = {name: p.rng.choice([1, 2]) for name in ["stride", "padding"] if p.rng.random() < 0.5}
    name = p.rng.choice(["conv2d", "maxPool2d", "avgPool2d"])
    if name != "conv2d":
        return p.call(name, x, p.rng.choice([1, 2, [2, 3]]), given)
    weight = p.floats([2 * groups, 2, p.rng.randint(1, 3), p.rng.randint(1, 3)], -1, 1)
    return p.call(name, x, weight, p.rng.choice([None, p.floats([2 * groups])]), {**given, "groups": groups})


def norms(p):
    if p.rng.random() < 0.5:
        shape = shape_of(p)
        return p.call("layerNorm", p.floats(shape, -2, 2), shape[-1:], p.floats(shape[-1:]), p.floats(shape[-1:]), 0.01)
    return p.call("groupNorm", p.floats([2, 4, *shape_of(p, 0, 2)], -2, 2), p.rng.choice([1, 2, 4, 3]), p.floats([4]), p.floats([4]), 0.01)


def losses(p):
    reduction = {"reduction": p.rng.choice(["mean", "sum", "none"])}
    name = p.rng.choice(["crossEntropy", "mseLoss", "binaryCrossEntropyWithLogits"])
    shape = [p.rng.choice([1, 2, 3]), p.rng.choice([1, 3]), *shape_of(p, 0, 1)]
    x = p.floats(shape, -4, 4)
    if name != "crossEntropy":
        return p.call(name, x, p.floats(shape, 0, 1, grad=False), reduction)
    target = p.integers([shape[0], *shape[2:]], -1 if p.rng.random() < 0.05 else 0, shape[1])
    return p.call(name, x, target, {**reduction, "labelSmoothing": p.rng.choice([0.0, 0.1])})


def attention(p):
    lead, (l, s, e) = p.rng.choice([[], [2], [1, 2]]), [p.rng.choice([1, 2, 5]) for _ in range(3)]
    q, k, v = [p.floats([*lead, n, e], -1, 1) for n in (l, s, s)]
    return p.call("scaledDotProductAttention", q, k, v, {"causal": p.rng.random() < 0.5, "scale": p.rng.choice([0.5, 1.0])})


def lookups(p):
    shape = [max(size, 1) for size in shape_of(p)]
    axis = p.rng.randrange(len(shape))
    x, n = p.floats(shape), p.rng.choice([0, 1, 3])
    index_shape = [*shape[:axis], n, *shape[axis + 1:]]
    name = p.rng.choice(["gather", "scatterAdd", "indexAdd"])
    index = p.integers([n] if name == "indexAdd" else index_shape, 0, shape[axis] + (p.rng.random() < 0.05))
    return p.call(name, x, axis, index, *([] if name == "gather" else [p.floats(index_shape)]))


# ---- subscripts -----------------------------------------------------------------------------------------------------------------------


def items_for(p, shape):
    items = []
    for size in shape[: p.rng.randint(0, len(shape))]:
        kind = p.rng.random()
        if kind < 0.25 and size > 0:
            items.append(p.rng.randrange(-size, size))
        elif kind < 0.45:
            items.append(p.rng.choice([":", "1:", ":-1", "::2"]))
        elif kind < 0.6 and size > 0:
            items.append(p.rng.sample(range(size), p.rng.randint(1, size)))
        elif kind < 0.75 and size > 0:
            items.append(p.integers(p.rng.choice([[], [2], [1, 3]]), -size, size))
        elif kind < 0.9:
            items.append(p.mask([size]))
        else:
            items.append(None)
    return items or ["..."]


def subscripts(p):
    shape = shape_of(p, 0, 4)
    leaf = p.floats(shape)
    x = p.call("clone", leaf)
    items = items_for(p, shape)
    if p.rng.random() < 0.5:
        return p.call("at", x, *items) if items != ["..."] else x
    try:
        part = torch.arange(math.prod(shape)).reshape(shape)[subscript([p.resolve(item) for item in items])]
    except REFUSED:
        return p.call("set_", x, items, 5)
    repeats = len(set(part.reshape(-1).tolist())) < part.numel()
    value = 5 if p.rng.random() < 0.4 else p.floats([size if p.rng.random() < 0.7 else 1 for size in part.shape])
    adds = p.rng.random() < 0.4
    if repeats and not adds:
        value = 5
    return p.call("set_", x, items, value, *([{"accumulate": True}] if adds else []))


# ---- views and writes -----------------------------------------------------------------------------------------------------------------


def view_of(p, i):
    t, rng = p.tensors[i], p.rng
    kind = rng.choice(["unsqueeze", "view", "detach", "clone"] if t.dim() == 0 else [*VIEWS, "flip", "detach", "clone"])
    axis = rng.randrange(max(t.dim(), 1))
    size = t.shape[axis] if t.dim() > 0 else 1
    args = {
        "select": lambda: [axis, rng.randrange(max(size, 1))],
        "narrow": lambda: [axis, size // 2, size - size // 2],
        "permute": lambda: [rng.sample(range(t.dim()), t.dim())],
        "transpose": lambda: [axis, rng.randrange(t.dim())],
        "view": lambda: [rng.choice([[t.numel()], [1, t.numel()], [t.numel(), 1]])],
        "expand": lambda: [[2, *t.shape]],
        "squeeze": lambda: [axis],
        "unsqueeze": lambda: [rng.randrange(t.dim() + 1)],
        "at": lambda: [rng.choice(["1:", ":-1", "::2"])],
        "flip": lambda: [[axis]],
    }.get(kind, list)()
    return p.call(kind, {"t": i}, *args)


def overlaps(t, other):
    return t.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


def write_to(p, i):
    t, rng = p.tensors[i], p.rng
    if t.is_leaf and t._is_view() or any(stride == 0 for stride in t.stride()):
        return
    kind = rng.random()
    if kind < 0.35:
        p.call(rng.choice(UNARY) + "_", {"t": i})
    elif kind < 0.5:
        p.call("set_", {"t": i}, items_for(p, list(t.shape)), 5)
    else:
        j = rng.randrange(len(p.tensors))
        if p.tensors[j].is_floating_point() and not overlaps(t, p.tensors[j]):
            p.call(rng.choice([*WRITES, "copy"]) + "_", {"t": i}, {"t": j})


def views(p):
    for grad in [True, p.rng.random() < 0.5]:
        p.floats(p.rng.choice([[2], [3], [2, 3], [3, 2], [2, 1, 3], [1, 3], [4, 3], [0, 2]]), grad=grad)
    p.call("neg", {"t": 0})
    for _ in range(p.rng.randint(4, 12)):
        i = p.rng.randrange(len(p.tensors))
        if not p.tensors[i].is_floating_point():
            continue
        try:
            draw = p.rng.random()
            if draw < 0.45:
                view_of(p, i)
            elif draw < 0.6:
                p.call(p.rng.choice(UNARY), {"t": i})
            elif draw < 0.95:
                write_to(p, i)
        except Refused as error:
            # Layouts of results, and which views are leaves, differ in Castor; everything else must be the same.
            if any(text in str(error) for text in ["view size", "a leaf", "single memory"]):
                p.steps.pop()


# ---- records ----------------------------------------------------------------------------------------------------------------------------


FAMILIES = [reductions, products, windows, norms, losses, attention, lookups, subscripts, subscripts, views, views, views]


def moderate(tensors):
    return all(t.numel() == 0 or (torch.isfinite(t.double()).all() and t.double().abs().max() < 1e4) for t in tensors)


def outcome(p):
    """The record with values and gradients; None where rounding alone decides, or where PyTorch's backward fails."""
    wanted = [i for i, t in enumerate(p.tensors) if t.requires_grad]
    loss = sorted(p.rng.sample(wanted, min(len(wanted), p.rng.randint(1, 3))))
    values = [t.data.clone() for t in p.tensors]
    if loss:
        try:
            total = 0
            for i in loss:
                t = p.tensors[i]
                total = total + (t * torch.arange(1, t.numel() + 1, dtype=t.dtype).reshape(t.shape)).sum()
            total.backward()
        except RuntimeError:
            return None
    # If an op changes nothing, Castor returns the tensor itself, so only inputs are certainly the same leaves.
    grads = [(i, p.tensors[i].grad) for i in p.inputs]
    if not moderate([*values, *(g for _, g in grads if g is not None)]):
        return None
    gradients = [[i, None if g is None else stored(g)] for i, g in grads]
    return {"steps": p.steps, "loss": loss, "values": [*map(stored, values)], "gradients": gradients}


def main(count, seed):
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    number = made = 0
    while made < count:
        number += 1
        p = Program(random.Random(seed * 1_000_003 + number))
        family = p.rng.choice(FAMILIES)
        try:
            family(p)
        except Refused:
            pass
        record = outcome(p)
        if record is not None:
            made += 1
            print(json.dumps({"family": family.__name__, "number": number, **record}))


main(int(sys.argv[1]), int(sys.argv[2]))
