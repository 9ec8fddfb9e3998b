"""PyTorch's side of benchmarks/gpu.ts: the two take turns on the device. Parts and figures have the names of gpuParts.ts."""
import statistics
import time

import torch
import torch.nn.functional as F

from model import Gpt
from serve import serve

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ROUNDS = 5
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False


def synchronize():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def seconds(fn, calls, rounds=ROUNDS):
    def once():
        synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            fn()
        synchronize()
        return (time.perf_counter() - start) / calls

    once()
    return statistics.median(once() for _ in range(rounds))


def gbps(bytes_, time_):
    return bytes_ / time_ / 1e9


def randn(*shape, dtype=torch.float32, grad=False):
    return torch.randn(*shape, device=DEVICE, dtype=dtype, requires_grad=grad)


def copy(s):
    a, b = randn(s["elements"]), randn(s["elements"])
    return lambda: {"copy.gbps": gbps(8 * s["elements"], seconds(lambda: b.copy_(a), s["calls"]))}


def add(s):
    n, figures = s["elements"], {}
    pairs = [(short, randn(n, dtype=d), randn(n, dtype=d)) for short, d in (("f32", torch.float32), ("bf16", torch.bfloat16))]

    def measure():
        for short, a, b in pairs:
            figures[f"add.{short}.gbps"] = gbps(3 * n * a.element_size(), seconds(lambda: a + b, s["calls"]))
        return figures

    return measure


def both_ways(forward, inputs, gradient, calls):
    return seconds(lambda: torch.autograd.grad(forward(), inputs, gradient), calls) * 1e3


def softmax(s):
    shape, d = (s["rows"], s["columns"]), torch.bfloat16
    x, g = randn(*shape, dtype=d, grad=True), randn(*shape, dtype=d)
    return lambda: {"softmax.bf16.ms": both_ways(lambda: x.softmax(-1), [x], g, s["calls"])}


def layer_norm(s):
    shape, d = (s["rows"], s["columns"]), torch.bfloat16
    x, g = randn(*shape, dtype=d, grad=True), randn(*shape, dtype=d)
    weight, bias = (randn(s["columns"], dtype=d, grad=True) for _ in range(2))
    forward = lambda: F.layer_norm(x, (s["columns"],), weight, bias)
    return lambda: {"layerNorm.bf16.ms": both_ways(forward, [x, weight, bias], g, s["calls"])}


def model_of(s):
    return Gpt(**s["gpt"]).to(DEVICE)


def unscale(s):
    grads = [torch.randn_like(p) for p in model_of(s).parameters()]
    elements = sum(g.numel() for g in grads)
    found, inverse = (torch.full((), v, device=DEVICE) for v in (0.0, 1.0))
    run = lambda: torch._amp_foreach_non_finite_check_and_unscale_(grads, found, inverse)
    return lambda: {"unscale.gbps": gbps(8 * elements, seconds(run, s["calls"])), "unscale.tensors": len(grads)}


def adamw(s):
    model = model_of(s)
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    return lambda: {"adamw.ms": seconds(optimizer.step, s["calls"]) * 1e3}


def matmul(s):
    n = s["square"]
    a, b = randn(n, n, dtype=torch.bfloat16), randn(n, n, dtype=torch.bfloat16)
    return lambda: {"matmul.bf16.tflops": 2 * n**3 / seconds(lambda: a @ b, s["calls"]) / 1e12}


def launch(s):
    a, b = randn(1024), randn(1024)

    def once():
        synchronize()
        start = time.perf_counter()
        for _ in range(500):
            a + b
        return (time.perf_counter() - start) / 500 * 1e6

    def measure():
        once()
        value = statistics.median(once() for _ in range(9))
        synchronize()
        return {"launch.us": value}

    return measure


def gpt(name, dtype):
    def prepare(s):
        if DEVICE == "cuda":
            torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() if DEVICE == "cuda" else 0
        model = model_of(s)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
        vocabulary, shape = s["gpt"]["vocabulary"], (s["batch"], s["gpt"]["context"])
        ids, targets = (torch.randint(0, vocabulary, shape, device=DEVICE) for _ in range(2))

        def step():
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=dtype == "bf16"):
                loss = F.cross_entropy(model(ids).view(-1, vocabulary), targets.view(-1))
            loss.backward()
            optimizer.step()

        def measure():
            figures = {f"{name}.tokens": ids.numel() / seconds(step, s["steps"], 3)}
            if DEVICE == "cuda":
                figures[f"{name}.peak.mb"] = (torch.cuda.max_memory_allocated() - before) / 2**20
            return figures

        return measure

    return prepare


PARTS = {
    "copy": copy,
    "add": add,
    "softmax": softmax,
    "layerNorm": layer_norm,
    "unscale": unscale,
    "adamw": adamw,
    "matmul": matmul,
    "launch": launch,
    "gpt.bf16": gpt("gpt.bf16", "bf16"),
    "gpt.f32": gpt("gpt.f32", "f32"),
}


if __name__ == "__main__":
    torch.manual_seed(0)
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu"
    serve(PARTS, {"torch": torch.__version__, "cuda": torch.version.cuda, "device": name})
