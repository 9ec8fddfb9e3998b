"""Tensors as PyTorch prints them. tests/printing.test.ts makes the same tensors by name."""
import math

import torch

nan, inf = math.nan, math.inf
t = torch.tensor
CASES = {
    "8 axes": lambda: torch.zeros([2] * 8, dtype=torch.uint8),
    "8 axes of size 1": lambda: torch.ones([1] * 8),
    "5 axes": lambda: torch.arange(32).reshape([2] * 5),
    "3 axes": lambda: torch.ones(2, 2, 2),
    "large, 3 axes": lambda: torch.arange(2000).reshape(2, 10, 100),
    "large, 4 axes": lambda: torch.arange(10000).reshape(10, 10, 10, 10),
    "1000 elements": lambda: torch.arange(1000),
    "1001 elements": lambda: torch.arange(1001),
    "long": lambda: torch.arange(3000).reshape(1000, 3),
    "wide": lambda: torch.arange(3000).reshape(3, 1000),
    "large, one row": lambda: torch.zeros(1, 1001),
    "expanded": lambda: torch.ones(1).expand(2000, 2000),
    "transposed": lambda: torch.arange(6).reshape(2, 3).T,
    "empty": lambda: torch.zeros(0),
    "2 x 0": lambda: torch.zeros(2, 0),
    "0 x 3": lambda: torch.zeros(0, 3),
    "2 x 0 x 3": lambda: torch.zeros(2, 0, 3, dtype=torch.int64),
    "empty bool": lambda: torch.zeros(0, dtype=torch.bool),
    "nan and inf": lambda: t([nan, inf, -inf, 1.5]),
    "all nan": lambda: t([nan, nan]),
    "nan and whole": lambda: t([nan, 1.0, 2.0]),
    "inf and whole": lambda: t([inf, -inf, 100.0]),
    "inf and large": lambda: t([inf, 1e10]),
    "int64 extremes": lambda: t([2**63 - 1, -(2**63)]),
    "least int64": lambda: t(-(2**63)),
    "bool": lambda: t([[True, False], [False, True]]),
    "true": lambda: t(True),
    "uint8": lambda: t([1, 200], dtype=torch.uint8),
    "int32": lambda: t([1, -100000], dtype=torch.int32),
    "bfloat16": lambda: t([1.5, -2.25, 3.1], dtype=torch.bfloat16),
    "float16": lambda: t([1.5, 65504.0, 6e-8], dtype=torch.float16),
    "-0": lambda: t([-0.0, 0.0]),
    "-0 and a fraction": lambda: t([-0.0, 0.5]),
    "tiny and huge": lambda: t([1e-30, 1e30]),
    "tiny": lambda: t([1e-5, 2e-5]),
    "huge": lambda: t([1e9, 2e9]),
    "a ratio of 10000": lambda: t([0.01, 100.0]),
    "a ratio of 1001": lambda: t([0.001, 1.001]),
    "subnormal": lambda: t([1e-45, 1.0]),
    "float64": lambda: t([1 / 3, 2 / 3], dtype=torch.float64),
    "float64 extremes": lambda: t([1e300, 1e-300], dtype=torch.float64),
    "one number": lambda: t(3.14159),
    "one whole number": lambda: t(3.0),
    "1e20": lambda: t(1e20),
    "nan": lambda: t(nan),
    "requires a gradient": lambda: t([1.0, 2.0], requires_grad=True),
    "several lines": lambda: torch.arange(30) / 7,
    "whole": lambda: t([1.0, 10.0, -100.0]),
    "1e8 and 1": lambda: t([1e8, 1.0]),
    "nine digits": lambda: t([123456789.0, 100000000.0]),
    "1e-4": lambda: t([1e-4, 1e-2]),
    "9.9e-5": lambda: t([9.9e-5, 1e-2]),
    "large, fractions": lambda: torch.arange(2000) / 3,
    "large values that are not shown": lambda: torch.cat([torch.full((3,), 1.5), torch.full((1000,), 1e10), torch.full((3,), 2.5)]),
}


def records():
    return [{"name": name, "text": str(make())} for name, make in CASES.items()]
