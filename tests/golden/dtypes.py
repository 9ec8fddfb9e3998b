"""PyTorch's rules for dtypes: promotion, conversion, and special values."""
import itertools
import math

import torch

INF = math.inf
NAN = math.nan
NAMES = ["float32", "float16", "bfloat16", "float64", "int32", "int64", "uint8", "bool"]


def dtype_of(name):
    return getattr(torch, name)


def name_of(dtype):
    return str(dtype).split(".")[1]


def one(name, rank):
    return torch.ones([2] * rank, dtype=dtype_of(name))


def or_error(f):
    try:
        return name_of(f().dtype)
    except RuntimeError:
        return None


def promotion():
    """For each left dtype the result dtypes, in the order of NAMES."""
    rows = []
    for ranks in ((1, 1), (1, 0), (0, 1), (0, 0)):
        for a in NAMES:
            rows.append({"op": "add", "ranks": ranks, "left": a, "right": NAMES, "result": [name_of(torch.add(one(a, ranks[0]), one(b, ranks[1])).dtype) for b in NAMES]})
    for op in ("mul", "div", "maximum", "eq"):
        for a in NAMES:
            rows.append({"op": op, "ranks": (1, 1), "left": a, "right": NAMES, "result": [or_error(lambda: getattr(torch, op)(one(a, 1), one(b, 1))) for b in NAMES]})
    for value in (2, 0.5):
        for op in ("add", "div", "pow"):
            rows.append({"op": op, "scalar": value, "right": NAMES, "result": [name_of(getattr(torch, op)(one(b, 1), value).dtype) for b in NAMES]})
    for op in ("sum", "prod", "amax", "cumsum", "exp", "abs"):
        args = {"cumsum": (0,), "amax": (0,)}.get(op, ())
        rows.append({"op": op, "right": NAMES, "result": [or_error(lambda: getattr(torch, op)(one(b, 1), *args)) for b in NAMES]})
    rows.append({"op": "cat", "right": NAMES, "result": [name_of(torch.cat([one("int32", 1), one(b, 1)]).dtype) for b in NAMES]})
    rows.append({"op": "where", "right": NAMES, "result": [name_of(torch.where(one("bool", 1), one("float32", 1), one(b, 1)).dtype) for b in NAMES]})
    return rows


def conversion():
    """float32 to 16 bits and back: ties, the edges of the range, numbers below the normal ones."""
    values = [1, 1.0009765625, 1.00048828125, 1.00146484375, 65504, 65519.996, 65520, 1e5, 6.1e-5, 5.96e-8, 2.98e-8, 2.99e-8, 8.94e-8, 1e-9, INF, NAN, -0.0]
    values += [1.00390625, 1.01171875, 3.3895314e38, 3.39e38, 1e-40, 9.2e-41, 4.6e-41, 1 / 3, 0.1, 255.5, -1.5, 2049, 2051]
    x = torch.tensor(values, dtype=torch.float32)
    return [{"from": x, "to": name, "result": x.to(dtype_of(name)).to(torch.float32)} for name in ("float16", "bfloat16")] + [
        {"from": torch.tensor([0.9, -0.9, 1.5, -1.5, 200.7, 0]), "to": name, "result": torch.tensor([0.9, -0.9, 1.5, -1.5, 200.7, 0]).to(dtype_of(name))}
        for name in ("int32", "int64", "bool")
    ]


SPECIAL = [NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1e-40, -1e-30, 9e37, -9e37, 88.5, -88.5, -104.0, 1e5]
UNARY = {
    **{name: name for name in "abs neg sign floor ceil round trunc exp exp2 expm1 log log2 log10 log1p sqrt rsqrt reciprocal square".split()},
    **{name: name for name in "sin cos tan asin acos atan sinh cosh tanh erf erfc erfinv sigmoid relu".split()},
    **{"isNaN": "isnan", "isInf": "isinf", "isFinite": "isfinite", "logicalNot": "logical_not"},
}
NN = {"logSigmoid": torch.nn.functional.logsigmoid, "silu": torch.nn.functional.silu, "mish": torch.nn.functional.mish, "gelu": torch.nn.functional.gelu}
BINARY = {
    **{name: name for name in "add sub mul div pow maximum minimum fmod remainder atan2 hypot eq ne lt le gt ge".split()},
    **{"floorDivide": "floor_divide", "logicalAnd": "logical_and", "logicalOr": "logical_or", "logicalXor": "logical_xor"},
}
PAIRS = [NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 2.5, -3.0]


def specials():
    functions = {**{name: getattr(torch, f) for name, f in UNARY.items()}, **NN}
    rows = []
    for dtype in (torch.float64, torch.float32):
        x = torch.tensor(SPECIAL, dtype=dtype)
        rows += [{"op": name, "inputs": [x], "result": f(x)} for name, f in functions.items()]
        a, b = torch.tensor(list(itertools.product(PAIRS, PAIRS)), dtype=dtype).T.contiguous()
        rows += [{"op": name, "inputs": [a, b], "result": getattr(torch, f)(a, b)} for name, f in BINARY.items()]
    return rows
