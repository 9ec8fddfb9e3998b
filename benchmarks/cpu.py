"""PyTorch's side of `npm run bench`. Parts and their cases have the names that the TypeScript files of this folder give them. Each part
returns functions, of which one call is a case."""
import time

import torch
import torch.nn.functional as F
from torch import nn

from model import Gpt
from serve import serve
from table import case_of_table

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def timed(prepare):
    """Makes a part of a function that returns its cases: `calls` calls of a case take {"seconds"} each. If there are several, one
    more call comes before them, because the other side has used the caches since the last one."""

    def prepared(sizes):
        cases = prepare(sizes)

        def measure(case, calls, threads, clock):
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
            fn, now = cases[case], {"wall": time.perf_counter, "processor": time.thread_time}[clock]
            if calls > 1:
                fn()
            start = now()
            for _ in range(calls):
                fn()
            return {"seconds": (now() - start) / calls}

        return measure

    return prepared


def op(s):
    a, b = (torch.randn(8, requires_grad=True) for _ in range(2))
    seed = torch.randn(8)

    def chain():
        t = a
        for _ in range(s["length"] // 2):
            t = t * b + a
        return t

    def both():
        chain().backward(seed)
        a.grad = b.grad = None

    return {"forward": chain, "forwardBackward": both}


def add(s):
    a, b = torch.rand(s["elements"]), torch.rand(s["elements"])
    return {"add": lambda: a + b}


def products(s):
    m, k, n, dtype = s["m"], s["k"], s["n"], DTYPES[s["dtype"]]
    batch = [s["batch"]] if "batch" in s else []
    a, b = torch.randn(*batch, m, k).to(dtype), torch.randn(*batch, k, n).to(dtype)
    at, bt = (x.transpose(-2, -1).contiguous().transpose(-2, -1) for x in (a, b))
    return {"nn": lambda: a @ b, "nt": lambda: a @ bt, "tn": lambda: at @ b, "tt": lambda: at @ bt}


def step_of(model, optimizer, loss, dtype, clip):
    """A training step in float32, or under autocast; in float16 with a scaler."""
    scaler = torch.amp.GradScaler("cpu", enabled=dtype == "f16")

    def step():
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=DTYPES[dtype] if dtype != "f32" else torch.bfloat16, enabled=dtype != "f32"):
            value = loss()
        scaler.scale(value).backward()
        if clip:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1)
        scaler.step(optimizer)
        scaler.update()

    return step


def gpt_step(gpt, batch, dtype):
    model = Gpt(**gpt)
    vocabulary, shape = gpt["vocabulary"], (batch, gpt["context"])
    ids, target = (torch.randint(0, vocabulary, shape) for _ in range(2))
    loss = lambda: F.cross_entropy(model(ids).view(-1, vocabulary), target.view(-1))
    return step_of(model, torch.optim.AdamW(model.parameters(), lr=1e-4), loss, dtype, clip=True)


def gpt(s):
    return {dtype: gpt_step(s["gpt"], s["batch"], dtype) for dtype in s["dtypes"]}


def classifier_step(model, x, dtype):
    target = torch.randint(0, 10, (x.shape[0],))
    loss = lambda: F.cross_entropy(model(x), target)
    return step_of(model, torch.optim.Adam(model.parameters()), loss, dtype, clip=False)


def mlp_step(s, dtype):
    width = s["width"]
    layers = nn.Linear(784, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
    return classifier_step(nn.Sequential(*layers), torch.rand(s["batch"], 784), dtype)


def mlp(s):
    return {dtype: mlp_step(s, dtype) for dtype in s["dtypes"]}


def convnet_step(s, dtype):
    blocks = []
    for channels, to in zip([1, *s["channels"]], s["channels"]):
        blocks += [nn.Conv2d(channels, to, 3, padding=1), nn.BatchNorm2d(to), nn.ReLU(), nn.MaxPool2d(2)]
    model = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(s["channels"][-1] * 49, 10))
    return classifier_step(model, torch.rand(s["batch"], 1, 28, 28), dtype)


def convnet(s):
    return {dtype: convnet_step(s, dtype) for dtype in s["dtypes"]}


def doubling(s):
    return {name: gpt_step(one["gpt"], one["batch"], s["dtype"]) for name, one in s["cases"].items()}


PARTS = {
    "op": op,
    "add": add,
    "matmul": products,
    "gpt": gpt,
    "mlp": mlp,
    "convnet": convnet,
    "doubling": doubling,
    "table": case_of_table,
}

if __name__ == "__main__":
    torch.manual_seed(0)
    serve({name: timed(part) for name, part in PARTS.items()}, {"torch": torch.__version__, "level": torch.backends.cpu.get_cpu_capability()})
