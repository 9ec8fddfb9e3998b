"""Derivatives over the whole range of 16-bit floats and at special points: one record for each call.

Operands and incoming gradients are exact in float16, bfloat16 and float32 alike, so that one truth, PyTorch's in float64, serves
all three. `out` is the value itself, at special points and of sums. Beside the truth stands how far PyTorch's own gradients in those dtypes are from it, in units of the last place: the yardstick
of the test. `second` holds the derivatives of the weighted sum of the gradients, by each operand and by the incoming gradient.
"""
import itertools
import math

import torch
import torch.nn.functional as F

INF = math.inf
NAN = math.nan
LOW = {"float16": (torch.float16, 10, -14), "bfloat16": (torch.bfloat16, 7, -126), "float32": (torch.float32, 23, -126)}
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 1000.0, -1000.0, 2.0**-24, -(2.0**-24), INF, -INF, NAN]
FEW = [0.0, -0.0, 1.0, -1.0, 2.5, -3.0, INF, -INF, NAN]
INCOMING = [1.0, 0.0, INF, -INF]


class Bits:
    """A stream of numbers that does not depend on the version of PyTorch."""

    def __init__(self, seed):
        self.state = seed

    def __call__(self, below):
        self.state = (self.state * 1103515245 + 12345) % 2**31
        return (self.state >> 12) % below


def exact(bits, k):
    """A number in [2^k, 2^(k + 1)) with at most 8 bits, and with no more than float16 has there."""
    fine = min(7, k + 24)
    return (1 + bits(2**fine) / 2**fine) * 2.0**k


def magnitudes(low, high, per, bits):
    return [exact(bits, k) for k in range(low, high) for _ in range(per)]


def line(low=-23, high=14, per=2, negative=True, seed=1):
    """Over every octave, with both signs."""
    bits = Bits(seed)
    values = []
    for k in range(low, high):
        values += [exact(bits, k) for _ in range(per)]
        if negative:
            values += [-exact(bits, k) for _ in range(per)]
    return torch.tensor(values, dtype=torch.float64)


def unit(per=3, seed=2):
    """(-1, 1), with as many points near the ends as near 0."""
    near = [1 - 2.0**-k for k in range(2, 9)]
    values = line(-23, -1, per, seed=seed).tolist() + near + [-x for x in near]
    return torch.tensor(values, dtype=torch.float64)


def probabilities(per=3, seed=3):
    near = [1 - 2.0**-k for k in range(2, 9)]
    return torch.tensor(line(-23, -1, per, negative=False, seed=seed).tolist() + near, dtype=torch.float64)


def grid(n, low=-22, high=13, step=5, negative=True, seed=4):
    """n operands, each combination of coarse magnitudes, signs by chance: n tensors."""
    bits = Bits(seed)
    rows = []
    for ks in itertools.product(range(low, high, step), repeat=n):
        for _ in range(3 if n == 2 else 1):
            rows.append([exact(bits, k + bits(step)) * (-1 if negative and bits(2) else 1) for k in ks])
    return list(torch.tensor(rows, dtype=torch.float64).T.contiguous())


def incoming(shape, seed=5):
    bits = Bits(seed)
    count = math.prod(shape)
    values = [exact(bits, [0, 0, -9, 0, 7][bits(5)]) * (-1 if bits(2) else 1) for _ in range(count)]
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def values(*shape, seed=6, low=-3, high=2):
    bits = Bits(seed)
    data = [exact(bits, low + bits(high - low)) * (-1 if bits(2) else 1) for _ in range(math.prod(shape))]
    return torch.tensor(data, dtype=torch.float64).reshape(shape)


def weights(t):
    i = torch.arange(t.numel(), dtype=torch.float64)
    return (torch.sin(1.7 * i + 0.6) + 1.3).reshape(t.shape)


def ulps(found, truth, bits, lowest, largest):
    """The error, in units of the last place of the true value, or of the largest true value of the tensor."""
    top = (2 - 2.0**-bits) * 2.0 ** (127 if lowest == -126 else 15)
    scale = max((abs(t) for t in truth if math.isfinite(t)), default=0.0)
    result = []
    for f, t in zip(found, truth):
        if math.isnan(t) or math.isnan(f):
            result.append(0 if math.isnan(t) and math.isnan(f) else INF)
            continue
        if abs(t) >= top + 2.0 ** (math.frexp(top)[1] - 2 - bits):
            t = math.copysign(INF, t)
        if t == f:
            result.append(0)
            continue
        if math.isinf(t) or math.isinf(f):
            result.append(INF)
            continue
        size = scale if largest else abs(t)
        exponent = max(math.frexp(size)[1] - 1 if size else lowest, lowest)
        error = abs(f - t) / 2.0 ** (exponent - bits)
        result.append(float(f"{error:.2g}"))
    return result


def summary(errors, group):
    """The largest error of each group of neighbours, or one number if no error exceeds that of rounding."""
    most = [max(errors[i : i + group]) for i in range(0, len(errors), group)]
    return 0.5 if all(e <= 0.5 for e in most) else most


def flat(t):
    # PyTorch returns some zeros as tensors without memory; an addition makes them ordinary tensors.
    return None if t is None else (t.detach().to(torch.float64) + torch.zeros(t.shape)).reshape(-1).tolist()


def gradients(f, inputs, grad, dtype, graph):
    leaves = [x.to(dtype).detach().requires_grad_() if x is not None and x.is_floating_point() else x for x in inputs]
    out = f(*leaves)
    out = out[0] if isinstance(out, tuple) else out
    seed = grad.to(out.dtype).requires_grad_(graph)
    wanted = [x for x in leaves if x is not None and x.is_floating_point()]
    found = iter(torch.autograd.grad(out, wanted, seed, create_graph=graph, allow_unused=True))
    return [next(found) if x is not None and x.is_floating_point() else None for x in leaves], wanted, seed


def short(x):
    return float(f"{x:.6g}")


def second_of(f, inputs, grad):
    try:
        firsts, wanted, seed = gradients(f, inputs, grad, torch.float64, True)
        total = sum((g * weights(g)).sum() for g in firsts if g is not None and g.requires_grad)
        if not torch.is_tensor(total):
            return None
        found = torch.autograd.grad(total, [*wanted, seed], allow_unused=True)
        return [[short(v) for v in flat(torch.zeros_like(x) if g is None else g)] for g, x in zip(found, [*wanted, seed])]
    except RuntimeError:
        return None


def record(name, op, f, *inputs, grad=None, options=None, largest=False, second=True, group=6):
    """f: PyTorch's call. largest: errors are counted in units of the largest element of a gradient, for sums."""
    with torch.no_grad():
        out = f(*inputs)
    out = out[0] if isinstance(out, tuple) else out
    shape = list(out.shape)
    grad = incoming(shape) if grad is None else grad
    truth = [flat(g) for g in gradients(f, inputs, grad, torch.float64, False)[0]]
    errors = {}
    for dtype, (low, bits, lowest) in LOW.items():
        try:
            found = gradients(f, inputs, grad, low, False)[0]
            errors[dtype] = [None if t is None else summary(ulps(flat(g), t, bits, lowest, largest), group) for g, t in zip(found, truth)]
        except RuntimeError:
            errors[dtype] = None
    return {
        "name": name,
        "op": op,
        "inputs": list(inputs),
        "options": options or {},
        "grad": grad,
        "largest": largest,
        "group": group,
        "out": flat(out) if group == 1 or largest else None,
        "truth": truth,
        "errors": errors,
        "second": second_of(f, inputs, grad) if second else None,
    }


def special(name, op, f, n, points, **more):
    """Every combination of special operands and incoming gradients."""
    rows = list(itertools.product(*[points] * n, INCOMING if n == 1 else INCOMING[:3]))
    *inputs, grad = list(torch.tensor(rows, dtype=torch.float64).T.contiguous())
    return record(f"{name} at special points", op, f, *inputs, grad=grad, group=1, **more)


WHOLE = "abs neg sign floor ceil round trunc exp exp2 expm1 square sin cos tan atan sinh cosh tanh erf erfc sigmoid relu reciprocal".split()
UNIT = "asin acos erfinv".split()
POSITIVE = "log log2 log10 log1p sqrt rsqrt".split()
ACTIVATIONS = {
    "logSigmoid": (F.logsigmoid, {}),
    "silu": (F.silu, {}),
    "mish": (F.mish, {}),
    "gelu": (F.gelu, {}),
    "gelu tanh": (lambda x: F.gelu(x, approximate="tanh"), {"approximate": "tanh"}),
    "softplus": (F.softplus, {}),
    "softplus, beta and threshold": (lambda x: F.softplus(x, 2.5, 3), {"beta": 2.5, "threshold": 3}),
    "leakyRelu": (lambda x: F.leaky_relu(x, 0.1), {"slope": 0.1}),
    "elu": (lambda x: F.elu(x, 1.5), {"alpha": 1.5}),
    "clamp": (lambda x: torch.clamp(x, -0.5, 2), {"min": -0.5, "max": 2}),
    "clamp from below": (lambda x: torch.clamp(x, min=1), {"min": 1}),
}


def unary():
    for names, points in ((WHOLE, line()), (UNIT, unit()), (POSITIVE, line(negative=False, per=4))):
        for name in names:
            yield record(name, name, getattr(torch, name), points)
            yield special(name, name, getattr(torch, name), 1, SPECIAL)
    yield record("log1p below 0", "log1p", torch.log1p, -probabilities())
    for name, (f, options) in ACTIVATIONS.items():
        op = name.split(",")[0].split(" ")[0]
        yield record(name, op, f, line(), options=options)
        yield record(f"{name} around 0", op, f, line(-3, 4, 12), options=options)
        yield special(name, op, f, 1, SPECIAL, options=options)


BINARY = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "maximum": torch.maximum, "minimum": torch.minimum,
    "fmod": torch.fmod, "remainder": torch.remainder, "atan2": torch.atan2, "hypot": torch.hypot, "pow": torch.pow,
}


def binary():
    for name, f in BINARY.items():
        if name == "pow":
            bases, exponents = line(-22, 13, 8, negative=False), values(280, low=-2, high=2)
            yield record(name, name, f, bases, exponents)
        else:
            yield record(name, name, f, *grid(2))
        yield special(name, name, f, 2, FEW)
        for value in (2.0, -0.5, 0.0):
            if not (value == 0 and name in ("div", "fmod", "remainder")):
                number = lambda x: f(x, value) if name in ("add", "sub", "mul", "div", "pow") else f(x, torch.tensor(value, dtype=x.dtype))
                yield record(f"{name} with {value:g}", name, number, line(-20, 12, 1, negative=name != "pow"), options={"right": value})
            if name != "pow" or value > 0:
                number = lambda x: f(torch.tensor(value, dtype=x.dtype), x)
                yield record(f"{value:g} and {name}", name, number, line(-20, 3 if name == "pow" else 12, 1), options={"left": value})
    whole = torch.tensor([49.0, -49, 7, 5.5, 6, -6, 1000, 0.75], dtype=torch.float64)
    parts = torch.tensor([49.0, 49, -3.5, 1.375, 3, 3, 0.125, -0.25], dtype=torch.float64)
    for name in ("fmod", "remainder"):
        yield record(f"{name} at whole quotients", name, BINARY[name], whole, parts)
    yield record("pow with whole exponents", "pow", torch.pow, line(-9, 9, 2), torch.tensor([0.0, 1, 2, 3, -1, -2] * 12, dtype=torch.float64))
    for exponent in (0.5, 1.0, 3.0, -1.0, -0.5, -2.0, 2.5):
        yield record(f"pow with {exponent:g}", "pow", lambda x: torch.pow(x, exponent), line(-12, 8, 2, negative=False), options={"right": exponent})
        yield special(f"pow with {exponent:g}", "pow", lambda x: torch.pow(x, exponent), 1, SPECIAL, options={"right": exponent})


def ternary():
    a, b, c = grid(3, step=7)
    yield record("addcmul", "addcmul", lambda x, y, z: torch.addcmul(x, y, z, value=0.75), a, b, c, options={"value": 0.75})
    yield record("addcdiv", "addcdiv", lambda x, y, z: torch.addcdiv(x, y, z, value=0.75), a, b, c, options={"value": 0.75})
    weight = values(a.numel(), low=-6, high=1)
    yield record("lerp", "lerp", torch.lerp, a, b, weight)
    yield record("lerp with a number", "lerp", lambda x, y: torch.lerp(x, y, 0.25), a, b, options={"weight": 0.25})
    few = [0.0, 1.0, -2.0, INF]
    yield special("addcmul", "addcmul", lambda x, y, z: torch.addcmul(x, y, z, value=0.75), 3, few, options={"value": 0.75})
    yield special("addcdiv", "addcdiv", lambda x, y, z: torch.addcdiv(x, y, z, value=0.75), 3, few, options={"value": 0.75})
    yield special("lerp", "lerp", torch.lerp, 3, few)
    yield special("where", "where", lambda x, y: torch.where(x > 0, x, y), 2, FEW)


def rows():
    """Rows of different size, so that a 16-bit intermediate overflows or vanishes in some."""
    scale = torch.tensor([2.0**-14, 2.0**-7, 1, 2.0**6, 2.0**11], dtype=torch.float64).reshape(5, 1)
    return values(5, 9, seed=7) * scale


def reductions():
    x = rows()
    for name, f in {"sum": torch.sum, "mean": torch.mean, "amax": torch.amax, "amin": torch.amin, "logSumExp": torch.logsumexp}.items():
        for axes in ([1], [0, 1]):
            yield record(f"{name} over {axes}", name, lambda t: f(t, axes), x, options={"axes": axes}, largest=True)
    for p in (0, 0.5, 1, 1.5, 2, 3, 4, INF, -INF):
        f = lambda t: torch.linalg.vector_norm(t, ord=p, dim=1)
        yield record(f"norm of order {p}", "norm", f, x, options={"p": p, "axes": [1]}, largest=True)
        with_zeros = torch.tensor([[0, 0, 0], [0, 2.0, -1.0], [0, 0, 2.0**-10]], dtype=torch.float64)
        yield record(f"norm of order {p} of zeros", "norm", f, with_zeros, options={"p": p, "axes": [1]})
    equal = torch.tensor([[2.0, 2, 2], [0.125, 0.125, 0.125], [0, 0, 0]], dtype=torch.float64)
    for name, f in {"var": torch.var, "std": torch.std}.items():
        for correction in (0, 1):
            options = {"axes": [1], "correction": correction}
            yield record(f"{name}, correction {correction}", name, lambda t: f(t, dim=1, correction=correction), x, options=options, largest=True)
            yield record(f"{name} of equal values, correction {correction}", name, lambda t: f(t, dim=1, correction=correction), equal, options=options)
            both = {"axes": [0, 1], "correction": correction}
            yield record(f"{name} of equal values over both axes, correction {correction}", name, lambda t: f(t, correction=correction), equal[:1], options=both)
    products = {
        "no zero": [2, -3, 0.5, 4], "one zero": [2, 0, 0.5, 4], "two zeros": [2, 0, 0, 4], "three zeros": [0, 0, 3, 0],
        "a zero first": [0, 2, 3, -1], "a zero last": [2, 3, -1, 0],
    }
    for name, row in products.items():
        t = torch.tensor([row, [1, 2, 3, 4]], dtype=torch.float64)
        yield record(f"prod with {name}", "prod", lambda t: torch.prod(t, 1), t, options={"axes": [1]})
        yield record(f"prod over both axes with {name}", "prod", lambda t: torch.prod(t), t, options={"axes": [0, 1]})
        yield record(f"cumprod with {name}", "cumprod", lambda t: torch.cumprod(t, 1), t, options={"axis": 1})
    yield record("prod of small values", "prod", lambda t: torch.prod(t, 1), values(3, 6, low=-6, high=-2), options={"axes": [1]})
    yield record("prod of large values", "prod", lambda t: torch.prod(t, 1), values(3, 6, low=1, high=5), options={"axes": [1]})
    yield record("cumprod of small values", "cumprod", lambda t: torch.cumprod(t, 1), values(3, 6, low=-6, high=-2), options={"axis": 1}, largest=True)
    yield record("cumsum", "cumsum", lambda t: torch.cumsum(t, 1), x, options={"axis": 1}, largest=True)
    ties = torch.tensor([[1.0, 3, 3], [2, 2, 2], [-INF, -INF, 0], [INF, 1, INF]], dtype=torch.float64)
    for g in (1.0, 0.0, INF):
        grad = torch.full([4], g, dtype=torch.float64)
        for name, f in {"amax": torch.amax, "amin": torch.amin, "logSumExp": torch.logsumexp}.items():
            yield record(f"{name} of ties and infinities, incoming {g:g}", name, lambda t: f(t, [1]), ties, grad=grad, options={"axes": [1]}, second=False)
    for name, f in {"softmax": torch.softmax, "logSoftmax": torch.log_softmax}.items():
        yield record(name, name, lambda t: f(t, 1), x, options={"axis": 1}, largest=True)
        yield record(f"{name} along the first axis", name, lambda t: f(t, 0), values(6, 4, high=4), options={"axis": 0}, largest=True)
        far = torch.tensor([[1000.0, -1000, 0], [-INF, 0, 1], [3, 3, 3]], dtype=torch.float64)
        yield record(f"{name} of far values", name, lambda t: f(t, 1), far, options={"axis": 1}, largest=True)
    yield record("sort", "sort", lambda t: torch.sort(t, dim=1, stable=True), x, options={"axis": 1})
    yield record("topk", "topk", lambda t: torch.topk(t, 3, 1), x, options={"k": 3, "axis": 1})
    yield record("max with an axis", "max", lambda t: torch.max(t, 1), x, options={"axis": 1})
    yield record("min with an axis", "min", lambda t: torch.min(t, 1), x, options={"axis": 1})


def special_rows():
    """Reductions, cumulative ops, and ops that sort."""
    x = torch.tensor([[NAN, 1, 2], [INF, 1, 2], [-INF, 1, 2], [INF, -INF, 0], [0, -0.0, 0], [1000, -1000, 0], [1, 1, 1], [3, 3, -3]], dtype=torch.float64)
    over = {"sum": torch.sum, "mean": torch.mean, "amax": torch.amax, "amin": torch.amin, "logSumExp": torch.logsumexp}
    along = {"prod": torch.prod, "var": torch.var, "std": torch.std}
    one = {"cumsum": torch.cumsum, "cumprod": torch.cumprod, "softmax": torch.softmax, "logSoftmax": torch.log_softmax, "max": torch.max, "min": torch.min}
    more = {"group": 1, "second": False}
    for name, f in over.items():
        yield record(f"{name} of special rows", name, lambda t: f(t, [1]), x, options={"axes": [1]}, **more)
    for name, f in along.items():
        correction = {} if name == "prod" else {"correction": 1}
        yield record(f"{name} of special rows", name, lambda t: f(t, dim=1, **correction), x, options={"axes": [1], **correction}, **more)
    for name, f in one.items():
        yield record(f"{name} of special rows", name, lambda t: f(t, 1), x, options={"axis": 1}, **more)
    for p in (0, 1, 2, 3, INF, -INF):
        yield record(f"norm of order {p} of special rows", "norm", lambda t: torch.linalg.vector_norm(t, ord=p, dim=1), x, options={"p": p, "axes": [1]}, **more)
    yield record("sort of special rows", "sort", lambda t: torch.sort(t, dim=1, stable=True), x, options={"axis": 1}, **more)
    yield record("topk of special rows", "topk", lambda t: torch.topk(t, 2, 1), x, options={"k": 2, "axis": 1}, **more)
    image = torch.tensor([[[[NAN, 1, INF, 1], [2, 2, 1, -INF], [-INF, -INF, 3, 3], [-INF, -INF, 3, 3]]]], dtype=torch.float64)
    yield record("maxPool2d of special values", "maxPool2d", lambda t: F.max_pool2d(t, 2), image, options={"kernel": [2, 2]}, **more)
    yield record("avgPool2d of special values", "avgPool2d", lambda t: F.avg_pool2d(t, 2), image, options={"kernel": [2, 2]}, **more)


def norms():
    # Far apart in size, beside eps, and with a mean that is large beside the rest.
    sizes = torch.tensor([2.0**-20, 2.0**-9, 1, 2.0**11, 2.0**12], dtype=torch.float64).reshape(5, 1)
    x, w, b = values(5, 9, seed=7, low=-3, high=1) * sizes, values(9, seed=8), values(9, seed=9)
    bits = Bits(22)
    beside = torch.tensor([[128.0 + bits(12) for _ in range(8)] for _ in range(5)], dtype=torch.float64)
    for t, n, name in ((x, 9, "of rows of every size"), (beside, 8, "beside a large mean")):
        weight, bias = w[:n], b[:n]
        yield record(f"layerNorm {name}", "layerNorm", lambda x, w, b: F.layer_norm(x, [n], w, b), t, weight, bias, options={"shape": [n], "eps": 1e-5}, largest=True)
        yield record(f"rmsNorm {name}", "rmsNorm", lambda x, w: F.rms_norm(x, [n], w, 1e-6), t, weight, options={"shape": [n], "eps": 1e-6}, largest=True)
        batch = lambda x, w, b: F.batch_norm(x, None, None, w, b, True)
        yield record(f"batchNorm {name}", "batchNorm", batch, t, weight, bias, options={"training": True}, largest=True)
        whole = lambda x, w, b: F.group_norm(x, 1, w, b)
        yield record(f"groupNorm {name}", "groupNorm", whole, t, weight, bias, options={"groups": 1}, largest=True)
    for name, size in (("", 9), (" of many rows", 17)):
        t = values(size, 9, seed=10)
        yield record(f"layerNorm{name}", "layerNorm", lambda x, w, b: F.layer_norm(x, [9], w, b), t, w, b, options={"shape": [9], "eps": 1e-5}, largest=True)
        yield record(f"rmsNorm{name}", "rmsNorm", lambda x, w: F.rms_norm(x, [9], w, 1e-6), t, w, options={"shape": [9], "eps": 1e-6}, largest=True)
    yield record("layerNorm without weight", "layerNorm", lambda x: F.layer_norm(x, [9], None, None, 1e-3), values(3, 9), options={"shape": [9], "eps": 1e-3}, largest=True)
    yield record("layerNorm of two axes", "layerNorm", lambda x, w, b: F.layer_norm(x, [3, 2], w, b), values(4, 3, 2), values(3, 2, seed=8), values(3, 2, seed=9), options={"shape": [3, 2], "eps": 1e-5}, largest=True)
    yield record("rmsNorm without weight", "rmsNorm", lambda x: F.rms_norm(x, [9], None, 1e-3), values(3, 9), options={"shape": [9], "eps": 1e-3}, largest=True)
    image, w4, b4 = values(3, 4, 3, 2), values(4, seed=8), values(4, seed=9)
    for groups in (1, 2, 4):
        yield record(f"groupNorm, {groups} groups", "groupNorm", lambda x, w, b: F.group_norm(x, groups, w, b), image, w4, b4, options={"groups": groups}, largest=True)
    yield record("groupNorm without weight", "groupNorm", lambda x: F.group_norm(x, 2), image, options={"groups": 2}, largest=True)
    yield record("batchNorm", "batchNorm", lambda x, w, b: F.batch_norm(x, None, None, w, b, True), image, w4, b4, options={"training": True}, largest=True)
    yield record("batchNorm without weight", "batchNorm", lambda x: F.batch_norm(x, None, None, None, None, True), image, options={"training": True}, largest=True)
    mean, var = torch.tensor([0.5, -1, 2, 0], dtype=torch.float64), torch.tensor([1.0, 0.25, 4, 2], dtype=torch.float64)
    f = lambda x, w, b: F.batch_norm(x, mean.to(x.dtype), var.to(x.dtype), w, b, False)
    yield record("batchNorm, evaluation", "batchNorm", f, image, w4, b4, options={"training": False, "mean": mean, "var": var}, largest=True)


def losses():
    x = line(-12, 9, 3)
    hard = torch.tensor([0.0, 1.0] * (x.numel() // 2), dtype=torch.float64)
    soft = values(x.numel(), low=-4, high=0).abs()
    positive = torch.tensor(2.5, dtype=torch.float64)
    names = {"mean": "mean", "sum": "sum", "none": "none"}
    for target_name, target in (("hard", hard), ("soft", soft)):
        yield record(f"binaryCrossEntropyWithLogits, {target_name} targets", "binaryCrossEntropyWithLogits", lambda x: F.binary_cross_entropy_with_logits(x, target.to(x.dtype), reduction="none"), x, options={"target": target, "reduction": "none"})
        yield record(f"binaryCrossEntropyWithLogits, {target_name} targets, posWeight", "binaryCrossEntropyWithLogits", lambda x: F.binary_cross_entropy_with_logits(x, target.to(x.dtype), reduction="none", pos_weight=positive.to(x.dtype)), x, options={"target": target, "reduction": "none", "posWeight": positive})
    both = lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction="none")
    yield record("binaryCrossEntropyWithLogits, gradients of targets", "binaryCrossEntropyWithLogits", both, x, soft, options={"reduction": "none"})
    # PyTorch's own has no gradient for the weight of the positive class.
    all_three = lambda x, t, w: (1 - t) * x + ((w - 1) * t + 1) * F.softplus(-x)
    yield record("binaryCrossEntropyWithLogits, gradients of weights", "binaryCrossEntropyWithLogits", all_three, x, soft, values(x.numel(), seed=21, low=-3, high=0).abs(), options={"reduction": "none"})
    p = probabilities()
    for name, target in (("hard", torch.tensor([0.0, 1, 1, 0, 1] * 20, dtype=torch.float64)[: p.numel()]), ("soft", values(p.numel(), low=-4, high=0).abs())):
        yield record(f"binaryCrossEntropy, {name} targets", "binaryCrossEntropy", lambda x, t: F.binary_cross_entropy(x, t, reduction="none"), p, target, options={"reduction": "none"}, second=name == "hard")
    ends, wanted = torch.tensor([0.0, 0, 1, 1, 0.5, 0, 1], dtype=torch.float64), torch.tensor([0.0, 1, 0, 1, 1, 0.5, 0.5], dtype=torch.float64)
    yield record("binaryCrossEntropy of saturated probabilities", "binaryCrossEntropy", lambda x: F.binary_cross_entropy(x, wanted.to(x.dtype), reduction="none"), ends, grad=torch.ones(7, dtype=torch.float64), options={"target": wanted, "reduction": "none"}, group=1)
    a, b = grid(2)
    for name, f in {"mseLoss": F.mse_loss, "l1Loss": F.l1_loss}.items():
        for reduction in names:
            if reduction == "none":
                yield record(f"{name}, none", name, lambda x, t: f(x, t, reduction="none"), a[:60], b[:60], options={"reduction": "none"})
            else:
                yield record(f"{name}, {reduction}", name, lambda x, t: f(x, t, reduction=reduction), values(64, high=3), values(64, seed=11, high=3), options={"reduction": reduction}, largest=True)
    logits, ids, class_weight = values(5, 4, high=3), torch.tensor([0, 3, 2, 2, 1]), torch.tensor([0.5, 1, 2, 1.5], dtype=torch.float64)
    every = {
        "plain": ({}, {}),
        "ignoreIndex": ({"ignore_index": 2}, {"ignoreIndex": 2}),
        "labelSmoothing": ({"label_smoothing": 0.25}, {"labelSmoothing": 0.25}),
        "both": ({"label_smoothing": 0.25, "ignore_index": 2}, {"labelSmoothing": 0.25, "ignoreIndex": 2}),
        "none": ({"reduction": "none", "ignore_index": 3}, {"reduction": "none", "ignoreIndex": 3}),
        "sum": ({"reduction": "sum"}, {"reduction": "sum"}),
    }
    for name, (theirs, ours) in every.items():
        for w in (None, class_weight):
            f = lambda x: F.cross_entropy(x, ids, weight=None if w is None else w.to(x.dtype), **theirs)
            yield record(f"crossEntropy, {name}{'' if w is None else ', weight'}", "crossEntropy", f, logits, options={**ours, "ids": ids, **({} if w is None else {"weight": w})}, largest=True)
    far = torch.tensor([[1000.0, -1000, 0, 4], [-8, -8, -8, -8], [9984, 9984, 0, -9984], [2.0**-20, 0, 0, 0], [30, 0, 0, 0]], dtype=torch.float64)
    for smoothing in (0.0, 0.25):
        yield record(f"crossEntropy of far logits, smoothing {smoothing}", "crossEntropy", lambda x: F.cross_entropy(x, ids, reduction="none", label_smoothing=smoothing), far, options={"ids": ids, "reduction": "none", "labelSmoothing": smoothing}, largest=True)
    yield record("nllLoss", "nllLoss", lambda x: F.nll_loss(x, ids, weight=class_weight.to(x.dtype), ignore_index=1), -logits.abs(), options={"ids": ids, "weight": class_weight, "ignoreIndex": 1}, largest=True)


def indexing():
    x, i = values(3, 4), torch.tensor([[0, 2, 1], [3, 0, 2], [1, 1, 3]])
    distinct, one = torch.tensor([[2, 0, 3], [1, 3, 0], [0, 1, 2]]), torch.tensor([2, 0, 3])
    small = values(3, 3, seed=12)
    yield record("gather", "gather", lambda t: t.gather(1, i), x, options={"index": i}, largest=True)
    yield record("indexSelect", "indexSelect", lambda t: t.index_select(1, torch.tensor([2, 0, 2])), x, options={"index": torch.tensor([2, 0, 2])}, largest=True)
    yield record("scatter", "scatter", lambda t, s: t.scatter(1, distinct, s), x, small, options={"index": distinct})
    yield record("scatterAdd", "scatterAdd", lambda t, s: t.scatter_add(1, i, s), x, small, options={"index": i})
    yield record("indexCopy", "indexCopy", lambda t, s: t.index_copy(1, one, s), x, small, options={"index": one})
    yield record("indexAdd", "indexAdd", lambda t, s: t.index_add(1, torch.tensor([2, 0, 2]), s), x, small, options={"index": torch.tensor([2, 0, 2])})
    yield record("embedding", "embedding", lambda t: F.embedding(torch.tensor([[1, 1], [2, 1]]), t), values(3, 4), options={"index": torch.tensor([[1, 1], [2, 1]])}, largest=True)


def attention(q, k, v, mask=None, causal=False):
    """PyTorch's fused kernel in 16 bits; otherwise, and for second derivatives, the formula of its documentation."""
    if q.dtype in (torch.float16, torch.bfloat16):
        return F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if causal:
        scores = scores.masked_fill(~torch.ones(scores.shape[-2:], dtype=torch.bool).tril(), -INF)
    if mask is not None:
        scores = scores.masked_fill(~mask, -INF) if mask.dtype == torch.bool else scores + mask
    return torch.softmax(scores, -1) @ v


def products():
    a, b, w, bias = values(2, 3, 5), values(2, 5, 4, seed=13), values(4, 5, seed=14), values(4, seed=15)
    yield record("matmul", "matmul", torch.matmul, a, b, largest=True)
    yield record("matmul with one matrix", "matmul", torch.matmul, a, values(5, 4, seed=13), largest=True)
    yield record("matmul of vectors", "matmul", torch.matmul, values(5), values(5, seed=13), largest=True)
    yield record("linear", "linear", F.linear, a, w, bias, largest=True)
    cases = {"plain": {}, "stride and padding": {"stride": [2, 1], "padding": [1, 1]}, "groups": {"groups": 2, "dilation": [2, 1]}}
    for name, options in cases.items():
        weight = values(4, 4 // options.get("groups", 1), 2, 2, seed=16)
        yield record(f"conv2d, {name}", "conv2d", lambda x, w, b: F.conv2d(x, w, b, **options), values(2, 4, 5, 4), weight, bias, options=options, largest=True)
    yield record("maxPool2d", "maxPool2d", lambda x: F.max_pool2d(x, 2, stride=1), values(2, 2, 4, 4), options={"kernel": [2, 2], "stride": [1, 1]}, largest=True)
    yield record("avgPool2d", "avgPool2d", lambda x: F.avg_pool2d(x, 2, stride=1, padding=1), values(2, 2, 4, 4), options={"kernel": [2, 2], "stride": [1, 1], "padding": [1, 1]}, largest=True)
    q, k, v = values(2, 2, 3, 4), values(2, 2, 5, 4, seed=17), values(2, 2, 5, 3, seed=18)
    yield record("attention", "attention", attention, q, k, v, largest=True)
    yield record("attention, causal", "attention", lambda *t: attention(*t, causal=True), q, k, v, options={"causal": True}, largest=True)
    yield record("attention with an added mask", "attention", attention, q, k, v, values(2, 1, 3, 5, seed=19), largest=True)
    mask = torch.tensor([[True, False, True, True, False], [True, True, False, True, True], [False, False, True, False, False]])
    yield record("attention with a mask of truth values", "attention", lambda *t: attention(*t, mask=mask), q, k, v, options={"mask": mask}, largest=True)


def views():
    x = values(3, 4)
    yield record("to", "to", lambda t: t.clone(), x)
    yield record("cat", "cat", lambda a, b: torch.cat([a, b, a], 1), x, values(3, 2, seed=20), largest=True)
    yield record("reshape", "reshape", lambda t: t.reshape(2, 6), x)
    yield record("expand", "expand", lambda t: t.expand(2, 3, 4), x, largest=True)
    yield record("permute", "permute", lambda t: t.permute(1, 0), x)
    yield record("slice", "slice", lambda t: t[:, 1:4:2], x)
    yield record("tril", "tril", torch.tril, x)
    yield record("triu", "triu", lambda t: torch.triu(t, 1), x)


def records():
    """Operands that several records share are in records of their own, before the first record that uses them."""
    parts = (unary, binary, ternary, reductions, special_rows, norms, losses, indexing, products, views)
    shared, lines = {}, []

    def named(t):
        if t is None or t.numel() < 20:
            return t
        key = str((list(t.shape), t.tolist()))
        if key not in shared:
            shared[key] = f"points {len(shared)}"
            lines.append({"name": shared[key], "points": t})
        return shared[key]

    for part in parts:
        for item in part():
            item["inputs"] = [named(t) for t in item["inputs"]]
            item["grad"] = named(item["grad"])
            lines.append(item)
    return lines
