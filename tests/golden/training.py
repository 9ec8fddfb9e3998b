"""Optimizers, clipping, training curves, and the update of the loss scale."""
import math

import torch
import torch.nn.functional as F

from ops import attention, randn


def optimizers():
    settings = [
        ("SGD", dict(lr=0.1)),
        ("SGD", dict(lr=0.1, momentum=0.9)),
        ("SGD", dict(lr=0.1, momentum=0.9, nesterov=True, weightDecay=0.05)),
        ("SGD", dict(lr=0.1, momentum=0.8, dampening=0.3, maximize=True)),
        ("Adam", dict(lr=0.05)),
        ("Adam", dict(lr=0.05, betas=[0.8, 0.95], eps=1e-3, weightDecay=0.1)),
        ("Adam", dict(lr=0.05, amsgrad=True)),
        ("AdamW", dict(lr=0.05, weightDecay=0.3)),
        ("AdamW", dict(lr=0.05, amsgrad=True, maximize=True)),
    ]
    rows = []
    for name, options in settings:
        start = [randn(2, 3), randn(4)]
        params = [p.clone().requires_grad_() for p in start]
        torch_options = {"weight_decay" if key == "weightDecay" else key: value for key, value in options.items()}
        optimizer = getattr(torch.optim, name)(params, **torch_options)
        gradients, steps = [], []
        for step in range(10):
            # Large at first and then small, so that amsgrad has an effect.
            gradients.append([randn(*p.shape) * (4 if step == 1 else 0.25) for p in params])
            for p, g in zip(params, gradients[-1]):
                p.grad = g.clone()
            optimizer.step()
            steps.append([p.detach().clone() for p in params])
        rows.append({"optimizer": name, "options": options, "start": start, "gradients": gradients, "steps": steps})
    return rows


def clipping():
    rows = []
    for norm_type, limit in ((2.0, 1.0), (2.0, 100.0), (1.0, 0.5), (math.inf, 0.7)):
        gradients = [randn(2, 3), randn(4), randn(1)]
        params = [torch.zeros_like(g).requires_grad_() for g in gradients]
        for p, g in zip(params, gradients):
            p.grad = g.clone()
        total = torch.nn.utils.clip_grad_norm_(params, limit, norm_type)
        rows.append({"normType": norm_type, "maxNorm": limit, "gradients": gradients, "total": total, "clipped": [p.grad for p in params]})
    return rows


def mlp():
    weights = {"w1": randn(8, 4) * 0.5, "b1": randn(8) * 0.125, "w2": randn(3, 8) * 0.5, "b2": randn(3) * 0.125}
    data = {"x": randn(16, 4), "target": torch.randint(0, 3, (16,))}

    def loss(w, d):
        return F.cross_entropy(F.linear(torch.relu(F.linear(d["x"], w["w1"], w["b1"])), w["w2"], w["b2"]), d["target"])

    return "mlp", weights, data, loss, lambda params: torch.optim.SGD(params, lr=0.5, momentum=0.9)


def block():
    """One pre-norm transformer block between an embedding and a tied output, on two sequences of six ids."""
    width, vocabulary = 8, 7
    weights = {
        "embedding": randn(vocabulary, width),
        "gain1": torch.ones(width, dtype=torch.float64),
        "shift1": torch.zeros(width, dtype=torch.float64),
        "qkv": randn(3 * width, width) * 0.25,
        "out": randn(width, width) * 0.25,
        "gain2": torch.ones(width, dtype=torch.float64),
        "shift2": torch.zeros(width, dtype=torch.float64),
        "up": randn(16, width) * 0.25,
        "down": randn(width, 16) * 0.25,
    }
    data = {"ids": torch.randint(0, vocabulary, (2, 6)), "target": torch.randint(0, vocabulary, (2, 6))}

    def loss(w, d):
        x = F.embedding(d["ids"], w["embedding"])
        q, k, v = F.linear(F.layer_norm(x, [width], w["gain1"], w["shift1"]), w["qkv"]).chunk(3, -1)
        heads = lambda t: t.reshape(2, 6, 2, 4).transpose(1, 2)
        mixed = attention(heads(q), heads(k), heads(v), causal=True).transpose(1, 2).reshape(2, 6, width)
        x = x + F.linear(mixed, w["out"])
        hidden = F.gelu(F.linear(F.layer_norm(x, [width], w["gain2"], w["shift2"]), w["up"]))
        x = x + F.linear(hidden, w["down"])
        return F.cross_entropy(F.linear(x, w["embedding"]).reshape(-1, vocabulary), d["target"].reshape(-1))

    return "block", weights, data, loss, lambda params: torch.optim.AdamW(params, lr=0.03, weight_decay=0.1)


def curves():
    rows = []
    for name, weights, data, loss, optimizer_of in (mlp(), block()):
        own = {key: value.clone().requires_grad_() for key, value in weights.items()}
        optimizer = optimizer_of(list(own.values()))
        losses = []
        for _ in range(10):
            value = loss(own, data)
            losses.append(value.item())
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        rows.append({"model": name, "weights": weights, "data": data, "losses": losses, "trained": own})
    return rows


def scaler():
    """The rule of torch._amp_update_scale_, which PyTorch runs on GPUs only: back off after an overflow, grow after an interval without."""
    rows = []
    for growth, backoff, interval, start, pattern in ((2.0, 0.5, 3, 8.0, "0000100001000000"), (4.0, 0.25, 1, 1024.0, "0110010"), (1.5, 0.8, 2, 3.0, "000011000")):
        scale, tracker, scales, trackers = start, 0, [], []
        for found in pattern:
            if found == "1":
                scale, tracker = scale * backoff, 0
            elif tracker + 1 == interval:
                scale, tracker = scale * growth, 0
            else:
                tracker += 1
            scales.append(scale)
            trackers.append(tracker)
        rows.append({"growthFactor": growth, "backoffFactor": backoff, "growthInterval": interval, "initScale": start, "overflows": [int(found) for found in pattern], "scales": scales, "trackers": trackers})
    return rows


def trajectories():
    """Scaled training with infinities injected: four batches, growth every iteration, the third batch's gradient overflows."""
    rows = []
    for name, optimizer_of in (
        ("SGD", lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.5)),
        ("Adam", lambda params: torch.optim.Adam(params, lr=0.01)),
        ("AdamW", lambda params: torch.optim.AdamW(params, lr=0.01, amsgrad=True)),
    ):
        weights = [torch.randn(8, 8) * 0.5, torch.randn(8), torch.randn(8, 8) * 0.5, torch.randn(8)]
        batches = [(torch.randn(8, 8), torch.randn(8, 8)) for _ in range(4)]
        params = [w.clone().requires_grad_() for w in weights]
        optimizer = optimizer_of(params)
        scaler = torch.amp.GradScaler("cpu", init_scale=128.0, growth_interval=1)
        scales, losses = [], []
        for i, (x, y) in enumerate(batches):
            optimizer.zero_grad()
            loss = F.mse_loss(F.linear(F.linear(x, params[0], params[1]), params[2], params[3]), y)
            scaler.scale(loss).backward()
            if i == 2:
                params[1].grad[0] = float("inf")
            scaler.step(optimizer)
            scaler.update()
            scales.append(scaler.get_scale())
            losses.append(loss.item())
        rows.append({"optimizer": name, "weights": weights, "batches": batches, "scales": scales, "losses": losses, "trained": params})
    return rows
