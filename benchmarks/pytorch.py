"""The same figures with PyTorch, for `npm run bench`: one JSON line for each figure. Needs `import torch`; CPU, two threads."""
import json
import statistics
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(2)
torch.manual_seed(0)


def seconds(fn, calls, rounds=9):
    def once():
        start = time.perf_counter()
        for _ in range(calls):
            fn()
        return (time.perf_counter() - start) / calls

    once()
    return statistics.median(once() for _ in range(rounds))


def figure(name, value):
    print(json.dumps({"name": name, "value": value}), flush=True)


def op_overhead():
    a, b = (torch.randn(8, requires_grad=True) for _ in range(2))
    seed = torch.randn(8)

    def chain():
        t = a
        for _ in range(50):
            t = t * b + a
        return t

    def both():
        chain().backward(seed)
        a.grad = b.grad = None

    figure("op.forward.us", seconds(chain, 200) / 100 * 1e6)
    figure("op.forwardBackward.us", seconds(both, 200) / 100 * 1e6)


def gemm():
    n = 1024
    a, b = torch.randn(n, n), torch.randn(n, n)
    forms = {"nn": lambda: a @ b, "nt": lambda: a @ b.T, "tn": lambda: a.T @ b, "tt": lambda: a.T @ b.T}
    for form, fn in forms.items():
        figure(f"gemm.f32.{form}.gflops", 2 * n**3 / seconds(fn, 4, 15) / 1e9)


def mlp():
    model = torch.nn.Sequential(torch.nn.Linear(784, 512), torch.nn.ReLU(), torch.nn.Linear(512, 512), torch.nn.ReLU(), torch.nn.Linear(512, 10))
    optimizer = torch.optim.Adam(model.parameters())
    x, target = torch.rand(64, 784), torch.randint(0, 10, (64,))

    def step():
        optimizer.zero_grad()
        F.cross_entropy(model(x), target).backward()
        optimizer.step()

    figure("mlp.adam.ms", seconds(step, 10, 15) * 1e3)


def add():
    a, b = torch.rand(2**24), torch.rand(2**24)
    figure("add.16m.gbps", 12 * 2**24 / seconds(lambda: a + b, 3, 15) / 1e9)


class Block(torch.nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        self.qkv, self.project = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
        self.widen, self.narrow = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-2, -1)) * (c // self.heads) ** -0.5
        scores = scores.masked_fill(torch.ones(t, t, dtype=torch.bool).triu(1), float("-inf"))
        x = x + self.project((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, c))
        return x + self.narrow(F.gelu(self.widen(self.norm2(x))))


class Gpt(torch.nn.Module):
    def __init__(self, layers=4, width=128, heads=4, context=128, vocabulary=256):
        super().__init__()
        self.tokens, self.positions = torch.nn.Embedding(vocabulary, width), torch.nn.Embedding(context, width)
        self.blocks = torch.nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm, self.head = torch.nn.LayerNorm(width), torch.nn.Linear(width, vocabulary, bias=False)

    def forward(self, ids):
        x = self.tokens(ids) + self.positions.weight
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def gpt():
    model = Gpt()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    ids, target = torch.randint(0, 256, (16, 128)), torch.randint(0, 256, (2048,))

    def step():
        optimizer.zero_grad()
        F.cross_entropy(model(ids).view(-1, 256), target).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1)
        optimizer.step()

    figure("gpt.step.f32.ms", seconds(step, 2, 7) * 1e3)


for part in (op_overhead, gemm, mlp, add, gpt):
    part()
