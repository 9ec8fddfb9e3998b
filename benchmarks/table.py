"""The cases of table.ts in PyTorch: functions of a side n and a dtype, which return a function whose call is measured. All work on n^2
elements."""
import math

import torch
import torch.nn.functional as F

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def unary(fn, positive=False):
    def case(n, dtype):
        x = (torch.rand(n, n) + 0.5 if positive else torch.randn(n, n)).to(dtype)
        return lambda: fn(x)

    return case


def binary(fn, positive=False):
    def case(n, dtype):
        a, b = ((torch.rand(n, n) + 0.5 if positive else torch.randn(n, n)).to(dtype) for _ in range(2))
        return lambda: fn(a, b)

    return case


def leaves(dtype, *shapes):
    return [torch.randn(shape).to(dtype).requires_grad_() for shape in shapes]


def forward_only(make):
    """make(n, dtype) returns a function and its leaves."""

    def case(n, dtype):
        fn, _ = make(n, dtype)

        def run():
            with torch.no_grad():
                fn()

        return run

    return case


def both_ways(make):
    def case(n, dtype):
        fn, inputs = make(n, dtype)
        gradient = torch.randn_like(fn())
        return lambda: torch.autograd.grad(fn(), inputs, gradient)

    return case


def softmax(n, dtype):
    (x,) = leaves(dtype, (n, n))
    return lambda: x.softmax(-1), [x]


def gelu(n, dtype):
    (x,) = leaves(dtype, (n, n))
    return lambda: F.gelu(x), [x]


def layer_norm(n, dtype):
    x, weight, bias = leaves(dtype, (n, n), (n,), (n,))
    return lambda: F.layer_norm(x, (n,), weight, bias), [x, weight, bias]


def batch_norm(n, dtype):
    channels = n // 16
    x = leaves(dtype, (n // 16, channels, 16, 16))[0]
    weight, bias = leaves(dtype, (channels,), (channels,))
    mean, var = torch.zeros(channels, dtype=dtype), torch.ones(channels, dtype=dtype)
    return lambda: F.batch_norm(x, mean, var, weight, bias, training=True), [x, weight, bias]


def cross_entropy(n, dtype):
    (x,) = leaves(dtype, (n, n))
    target = torch.randint(0, n, (n,))
    return lambda: F.cross_entropy(x, target), [x]


def embedding(n, dtype):
    (weight,) = leaves(dtype, (4 * n, n))
    ids = torch.randint(0, 4 * n, (n,))
    return lambda: F.embedding(ids, weight), [weight]


def attention(n, dtype):
    q, k, v = leaves(dtype, *[(n // 128, 8, n // 4, 64)] * 3)
    return lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True), [q, k, v]


def convolution(size, padding, groups=1):
    def make(n, dtype):
        x, weight = leaves(dtype, (n // 64, 64, 32, 32), (64, 64 // groups, size, size))
        return lambda: F.conv2d(x, weight, padding=padding, groups=groups), [x, weight]

    return make


def max_pool(n, dtype):
    (x,) = leaves(dtype, (n // 64, 64, 32, 32))
    return lambda: F.max_pool2d(x, 2), [x]


def gather(n, dtype):
    x, index = torch.randn(n, n).to(dtype), torch.randint(0, n, (n, n))
    return lambda: x.gather(1, index)


def where(n, dtype):
    a, b = (torch.randn(n, n).to(dtype) for _ in range(2))
    condition = torch.rand(n, n) > 0.5
    return lambda: torch.where(condition, a, b)


def adamw(n, dtype):
    (p,) = leaves(torch.float32, (n, n))
    p.grad = torch.randn(n, n)
    return torch.optim.AdamW([p], lr=1e-4).step


CASES = {
    "add": binary(torch.add),
    "mul": binary(torch.mul),
    "div": binary(torch.div, positive=True),
    "pow": binary(torch.pow, positive=True),
    "maximum": binary(torch.maximum),
    "addRow": lambda n, dtype: (lambda x, row: lambda: x + row)(torch.randn(n, n).to(dtype), torch.randn(n).to(dtype)),
    "exp": unary(torch.exp),
    "log": unary(torch.log, positive=True),
    "sqrt": unary(torch.sqrt, positive=True),
    "sin": unary(torch.sin),
    "cos": unary(torch.cos),
    "tanh": unary(torch.tanh),
    "erf": unary(torch.erf),
    "sigmoid": unary(torch.sigmoid),
    "relu": unary(torch.relu),
    "silu": unary(F.silu),
    "gelu": forward_only(gelu),
    "gelu.both": both_ways(gelu),
    "where": where,
    "dropout": unary(lambda x: F.dropout(x, 0.5)),
    "castLow": unary(lambda x: x.to(torch.bfloat16)),
    "castWide": lambda n, dtype: unary(lambda x: x.to(torch.float32))(n, torch.bfloat16),
    "transpose": unary(lambda x: x.T.contiguous()),
    "cat": binary(lambda a, b: torch.cat([a, b])),
    "sum": unary(torch.sum),
    "sumRows": unary(lambda x: x.sum(1)),
    "sumColumns": unary(lambda x: x.sum(0)),
    "mean": unary(torch.mean),
    "max": unary(torch.max),
    "maxRows": unary(lambda x: x.amax(1)),
    "argmaxRows": unary(lambda x: x.argmax(1)),
    "cumsum": unary(lambda x: x.cumsum(1)),
    "sort": unary(lambda x: x.sort(1)),
    "topk": unary(lambda x: x.topk(16, 1)),
    "softmax": forward_only(softmax),
    "softmax.both": both_ways(softmax),
    "logSoftmax": unary(lambda x: x.log_softmax(-1)),
    "layerNorm": forward_only(layer_norm),
    "layerNorm.both": both_ways(layer_norm),
    "batchNorm": forward_only(batch_norm),
    "batchNorm.both": both_ways(batch_norm),
    "crossEntropy": forward_only(cross_entropy),
    "crossEntropy.both": both_ways(cross_entropy),
    "embedding": forward_only(embedding),
    "embedding.both": both_ways(embedding),
    "gather": gather,
    "attention": forward_only(attention),
    "attention.both": both_ways(attention),
    "conv3x3": forward_only(convolution(3, 1)),
    "conv3x3.both": both_ways(convolution(3, 1)),
    "conv1x1": forward_only(convolution(1, 0)),
    "depthwise": forward_only(convolution(3, 1, groups=64)),
    "maxPool": forward_only(max_pool),
    "adamw": adamw,
}


def case_of_table(s):
    return {s["name"]: CASES[s["name"]](math.isqrt(s["elements"]), DTYPES[s["dtype"]])}
