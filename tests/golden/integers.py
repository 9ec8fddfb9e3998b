"""PyTorch's results for integers and bool: every elementwise op with every pair of dtypes, with numbers, in place, and along axes.

Values are texts, so that 64-bit integers arrive whole: 'uint8 3 255 0' is a tensor, '!' a call that PyTorch refuses.
"""
import itertools
import math

import torch

NAMES = ["float32", "float16", "bfloat16", "float64", "int32", "int64", "uint8", "bool"]
WHOLE = ["int32", "int64", "uint8", "bool"]
NAN, INF = math.nan, math.inf
VALUES = {
    "bool": [0, 1],
    "uint8": [0, 1, 2, 7, 128, 255],
    "int32": [-(2**31), -7, -1, 0, 1, 2, 5, 2**31 - 1],
    "int64": [-(2**63), -(2**53) - 1, -7, -1, 0, 1, 3, 2**53 + 1, 2**63 - 1],
}
FLOATS = [NAN, -INF, -2.5, -1.0, 0.0, 0.5, 3.0, 1e4]
NUMBERS = [-129, -1, 0, 1, 2, 256, 2**31, 2**53, -2.5, 0.5, NAN, INF]
FROM_LEFT = {"sub", "div", "pow", "floorDivide", "remainder", "lt", "le"}
BINARY = {
    **{name: getattr(torch, name) for name in "add sub mul div pow maximum minimum fmod remainder atan2 hypot eq ne lt le gt ge".split()},
    "floorDivide": torch.floor_divide,
    "logicalAnd": torch.logical_and,
    "logicalOr": torch.logical_or,
    "logicalXor": torch.logical_xor,
    "bitwiseAnd": torch.bitwise_and,
    "bitwiseOr": torch.bitwise_or,
    "bitwiseXor": torch.bitwise_xor,
}
DIVISIONS = ["floorDivide", "remainder", "fmod"]
COMPARES = {"eq", "ne", "lt", "le", "gt", "ge"}
UNARY = {
    **{name: getattr(torch, name) for name in "abs neg sign floor ceil round trunc exp exp2 expm1 log log2 log10 log1p sqrt rsqrt".split()},
    **{name: getattr(torch, name) for name in "reciprocal square sin cos tan asin acos atan sinh cosh tanh erf erfc erfinv sigmoid relu".split()},
    **{"isNaN": torch.isnan, "isInf": torch.isinf, "isFinite": torch.isfinite, "logicalNot": torch.logical_not},
}


def tensor(name, values):
    return torch.tensor(values, dtype=getattr(torch, name))


def number(x):
    if isinstance(x, (bool, int)):
        return str(int(x))
    return "-0" if x == 0 and math.copysign(1, x) < 0 else f"{x:.9g}"


def text(f):
    """The dtype and the elements, or '!'."""
    try:
        t = f()
    except (RuntimeError, NotImplementedError, TypeError):
        return "!"
    return " ".join([str(t.dtype).split(".")[1], *map(number, t.reshape(-1).tolist())])


def values_for(name, other):
    """If the other operand is a 16-bit float, integers that it can represent: PyTorch rounds other ones twice."""
    small = 255 if other == "bfloat16" else 2048 if other == "float16" else None
    return [v for v in VALUES.get(name, FLOATS) if small is None or name not in VALUES or abs(v) <= small]


def undefined(op, a, b, x, y):
    """Calls that end the process or are always refused, which have tests of their own, and comparisons of integers with floats."""
    whole = a in VALUES and b in VALUES
    if op in DIVISIONS and whole:
        return y == 0 or (y == -1 and x in (-(2**31), -(2**63)))
    return op == "pow" and whole and y < 0


def pairs(divisions, a, b):
    """About fifteen of all pairs of values, in random order."""
    every = list(itertools.product(values_for(a, b), values_for(b, a)))
    allowed = [p for p in every if not any(undefined(op, a, b, *p) for op in divisions)]
    return [allowed[i * 37 % len(allowed)] for i in range(min(15, len(allowed)))]


def binary():
    rows = []
    partial = [*DIVISIONS, "pow"]
    for a, b in itertools.product(NAMES, NAMES):
        if a not in VALUES and b not in VALUES:
            continue
        for ops in (BINARY.keys() - partial, partial):
            xy = pairs(ops if ops is partial else [], a, b)
            x, y = tensor(a, [p[0] for p in xy]), tensor(b, [p[1] for p in xy])
            results = {op: text(lambda: BINARY[op](x, y)) for op in sorted(ops)}
            rows.append({"a": text(lambda: x), "b": text(lambda: y), "results": results})
    return rows


def with_number(f, x, n, left):
    return lambda: f(n, x) if left else f(x, n)


def numbers():
    """A number in place of one operand. Where it is not defined for some values, the tensor without them stands beside the result."""
    rows = []
    for op, f in BINARY.items():
        for a in WHOLE:
            for left in [False, True][: 1 + (op in FROM_LEFT)]:
                result = []
                for n in NUMBERS:
                    kept = [v for v in VALUES[a] if not undefined(op, a, a if isinstance(n, int) else "float32", *((n, v) if left else (v, n)))]
                    x = tensor(a, kept or VALUES[a][-1:])
                    value = text(with_number(f, x, n, left)) if kept else "!"
                    result.append(value if len(kept) in (0, len(VALUES[a])) else [text(lambda: x), value])
                if any(r != "!" for r in result):
                    rows.append({"op": op, "a": a, "left": left, "result": result})
    return rows


def in_place():
    """Which targets accept which operands: 1 where PyTorch allows it."""
    rows = []
    for op, f in BINARY.items():
        if op in COMPARES:
            continue
        name = {"maximum": None, "minimum": None}.get(op, f.__name__)
        if name is None:
            continue
        for a in NAMES:
            ones = [text(lambda: getattr(tensor(a, [1]), f"{name}_")(tensor(b, [1]))) != "!" for b in NAMES]
            rows.append({"op": op, "a": a, "allowed": "".join("01"[x] for x in ones)})
    return rows


def unary():
    return [{"op": op, "a": text(lambda: tensor(a, VALUES[a])), "result": text(lambda: f(tensor(a, VALUES[a])))} for op, f in UNARY.items() for a in WHOLE]


BOUNDS = [None, -129, -1, 0, 2, 256, 2**40, -0.5, 1.5, NAN, INF, -INF]


def clamp():
    return [
        {"a": a, "min": low, "max": high, "result": text(lambda: tensor(a, VALUES.get(a, FLOATS)).clamp(low, high))}
        for a in ["uint8", "int32", "int64", "bool", "float32"]
        for low, high in itertools.product(BOUNDS, BOUNDS)
        if (low is not None or high is not None) and (low is None or high is None or low in (-0.5, 2, 256) or high in (0, NAN))
    ]


ALONG = {
    **{name: getattr(torch, name) for name in "sum prod amax amin argmax argmin any all mean var std norm".split()},
    **{"logSumExp": lambda x: torch.logsumexp(x, 0), "countNonzero": torch.count_nonzero},
    **{"cumsum": lambda x: x.cumsum(0), "cumprod": lambda x: x.cumprod(0), "sort": lambda x: x.sort()[0], "argsort": lambda x: x.argsort(stable=True)},
    **{"topk": lambda x: x.topk(1)[0], "softmax": lambda x: x.softmax(0), "logSoftmax": lambda x: x.log_softmax(0)},
}


def along():
    some = {"bool": [1, 0, 1], "uint8": [200, 100, 7], "int32": [2**31 - 1, 2, -3], "int64": [2**53 + 1, 5, -7]}
    return [{"op": op, "a": text(lambda: tensor(a, some[a])), "result": text(lambda: f(tensor(a, some[a])))} for op, f in ALONG.items() for a in WHOLE]


def filled():
    """masked_fill of the first element of two."""
    mask = torch.tensor([True, False])
    return [
        {"a": a, "value": value, "result": text(lambda: tensor(a, [1, 0]).masked_fill(mask, value))}
        for a in NAMES
        for value in [0, 1, 2, -1, 256, 2**40, 0.5, 1e9, NAN, INF]
    ]


def chosen():
    """where with each pair of dtypes, and with numbers."""
    c = torch.tensor([True, False])
    rows = [{"a": a, "b": b, "result": text(lambda: torch.where(c, tensor(a, [1, 1]), tensor(b, [0, 0])))} for a in NAMES for b in NAMES]
    return rows + [{"a": a, "number": n, "result": text(lambda: torch.where(c, tensor(a, [1, 1]), n))} for a in NAMES for n in (2, 0.5)]


def ternary():
    """addcmul and addcdiv of three dtypes, of which one is not a float dtype."""
    some = {"bool": [1, 0], "uint8": [200, 3], "int32": [-7, 2**31 - 1], "int64": [2**62, -5], "float32": [0.5, -3.0], "float16": [0.5, 2.0]}
    rows = []
    for a, b, c in itertools.product(some, repeat=3):
        if not {a, b, c} & set(WHOLE):
            continue
        x, y, z = (tensor(name, [v if "float16" not in (a, b, c) or abs(v) < 300 else 5 for v in some[name]]) for name in (a, b, c))
        rows.append({"a": text(lambda: x), "b": text(lambda: y), "c": text(lambda: z), "addcmul": text(lambda: torch.addcmul(x, y, z, value=3)), "addcdiv": text(lambda: torch.addcdiv(x, y, z, value=0.5))})
    return rows


def records():
    parts = {"ternary": ternary, "binary": binary, "numbers": numbers, "inPlace": in_place, "unary": unary, "clamp": clamp, "along": along, "filled": filled, "chosen": chosen}
    head = {"kind": "lists", "names": NAMES, "numbers": [number(n) for n in NUMBERS], "values": {name: [str(v) for v in VALUES[name]] for name in VALUES}}
    return [head] + [{"kind": kind, **row} for kind, rows in parts.items() for row in rows()]
