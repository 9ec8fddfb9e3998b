"""The results of PyTorch's CUDA autocast, op by op: the dtype of the result and of what is saved for backward.

No GPU is needed: fake tensors that claim to be on one go through the real dispatcher, and so through the real lists.
Needs PyTorch 2.4 or later:  python3 tests/golden/make.py autocast
"""
import torch
import torch.nn.functional as F

LOWS = {"float16": torch.float16, "bfloat16": torch.bfloat16}
DTYPES = {"float32": torch.float32, **LOWS}

target = lambda: torch.zeros(4, dtype=torch.int64, device="cuda")
index = lambda: torch.zeros(1, 2, dtype=torch.int64, device="cuda")
unary = lambda f: lambda x: f(x(4, 4))
OPS = {
    "matmul": lambda x: x(4, 4) @ x(4, 4),
    "linear": lambda x: F.linear(x(4, 4), x(4, 4), x(4)),
    "convolution": lambda x: F.conv2d(x(1, 2, 4, 4), x(2, 2, 3, 3), x(2)),
    "scaledDotProductAttention": lambda x: F.scaled_dot_product_attention(x(1, 2, 4, 4), x(1, 2, 4, 4), x(1, 2, 4, 4)),
    **{name: unary(getattr(torch, name)) for name in "acos asin cosh sinh tan erfinv exp expm1 log log10 log1p log2 reciprocal rsqrt".split()},
    "softplus": unary(F.softplus),
    "pow": unary(lambda x: x.pow(2.5)),
    "sum": unary(lambda x: x.sum(1)),
    "prod": unary(lambda x: x.prod(1)),
    "norm": unary(lambda x: torch.norm(x, 2, 1)),
    "logSumExp": unary(lambda x: x.logsumexp(1)),
    "cumsum": unary(lambda x: x.cumsum(1)),
    "cumprod": unary(lambda x: x.cumprod(1)),
    "softmax": unary(lambda x: x.softmax(1)),
    "logSoftmax": unary(lambda x: x.log_softmax(1)),
    "layerNorm": lambda x: F.layer_norm(x(4, 4), [4], x(4), x(4)),
    "rmsNorm": lambda x: F.rms_norm(x(4, 4), [4], x(4)),
    "groupNorm": lambda x: F.group_norm(x(2, 4, 4), 2, x(4), x(4)),
    "crossEntropy": lambda x: F.cross_entropy(x(4, 4), target()),
    "nllLoss": lambda x: F.nll_loss(x(4, 4), target()),
    "mseLoss": lambda x: F.mse_loss(x(4, 4), x(4, 4)),
    "l1Loss": lambda x: F.l1_loss(x(4, 4), x(4, 4)),
    "binaryCrossEntropyWithLogits": lambda x: F.binary_cross_entropy_with_logits(x(4, 4), x(4, 4)),
    "addcdiv": lambda x: torch.addcdiv(x(4), x(4), x(4)),
    "addcmul": lambda x: torch.addcmul(x(4), x(4), x(4)),
    "atan2": lambda x: torch.atan2(x(4), x(4)),
    "scatterAdd": lambda x: x(1, 4).scatter_add(1, index(), x(1, 2)),
    **{name: unary(getattr(torch, name)) for name in "abs neg exp2 sqrt square sin cos atan tanh erf erfc sigmoid relu sign floor".split()},
    "gelu": unary(F.gelu),
    "silu": unary(F.silu),
    "mish": unary(F.mish),
    "logSigmoid": unary(F.logsigmoid),
    "leakyRelu": unary(F.leaky_relu),
    "elu": unary(F.elu),
    "clamp": unary(lambda x: x.clamp(0, 1)),
    "add": lambda x: x(4) + x(4),
    "sub": lambda x: x(4) - x(4),
    "mul": lambda x: x(4) * x(4),
    "div": lambda x: x(4) / x(4),
    "maximum": lambda x: torch.maximum(x(4), x(4)),
    "hypot": lambda x: torch.hypot(x(4), x(4)),
    "where": lambda x: torch.where(x(4) > 0, x(4), x(4)),
    "eq": lambda x: x(4) == x(4),
    "mean": unary(lambda x: x.mean(1)),
    "var": unary(lambda x: x.var(1)),
    "std": unary(lambda x: x.std(1)),
    "amax": unary(lambda x: x.amax(1)),
    "argmax": unary(lambda x: x.argmax(1)),
    "numberDiv": unary(lambda x: 2 / x),
    "cat": lambda x: torch.cat([x(4), x(4)]),
    "stack": lambda x: torch.stack([x(4), x(4)]),
    "gather": lambda x: x(4, 4).gather(1, index()),
    "indexCopy": lambda x: x(4, 4).index_copy(0, index()[0, :1], x(1, 4)),
    "maxPool2d": lambda x: F.max_pool2d(x(1, 1, 4, 4), 2),
    "avgPool2d": lambda x: F.avg_pool2d(x(1, 1, 4, 4), 2),
    "embedding": lambda x: F.embedding(target(), x(4, 4)),
}


def name(dtype):
    return str(dtype).split(".")[1]


def run(op, low, *given):
    """The dtypes of the operands, in order. Only floating saved tensors count."""
    made, saved = [], []

    def make(*shape):
        made.append(torch.empty(shape, device="cuda", dtype=given[len(made) % len(given)], requires_grad=True))
        return made[-1]

    torch.set_autocast_dtype("cuda", low)
    torch.set_autocast_enabled("cuda", True)
    try:
        with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
            return op(make), saved
    finally:
        torch.set_autocast_enabled("cuda", False)
        torch.clear_autocast_cache()


def records():
    from torch._subclasses.fake_tensor import FakeTensorMode

    rows = []
    with FakeTensorMode():
        for op, call in OPS.items():
            for low, low_dtype in LOWS.items():
                for given in [(d,) for d in DTYPES] + [(low, "float32"), ("float32", low)]:
                    try:
                        out, saved = run(call, low_dtype, *(DTYPES[d] for d in given))
                    except (RuntimeError, torch._subclasses.fake_tensor.UnsupportedOperatorException):
                        continue
                    kept = sorted({name(t.dtype) for t in saved if t.is_floating_point()})
                    rows.append({"op": op, "low": low, "given": list(given), "out": name(out.dtype), "saved": kept})
    return rows
