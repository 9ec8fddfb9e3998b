"""Random programs of views, in-place writes and gradients, with PyTorch's results.

A program is a list of steps. Each step but a write makes a new tensor, which later steps name by its number. A step that PyTorch
refuses is stored with "error": it makes nothing and changes nothing. At the end a weighted sum of some tensors is differentiated.
"""
import math
import random

import torch

UNARY = ["neg", "sin", "square", "exp", "tanh", "relu"]
BINARY = ["add", "sub", "mul", "div"]
SHAPES = [[2], [3], [4], [2, 3], [3, 2], [2, 2], [2, 1, 3], [4, 3], [1, 3]]


def data(rng, shape):
    return [round(rng.uniform(0.5, 2), 3) for _ in range(math.prod(shape))]


def view_step(rng, t, i):
    kinds = ["view", "unsqueeze", "detach"] if t.dim() == 0 else ["select", "narrow", "slice", "permute", "view", "expand", "unsqueeze", "detach"]
    kind = rng.choice(kinds)
    axis = rng.randrange(max(t.dim(), 1))
    if kind == "select":
        return [kind, i, axis, rng.randrange(t.shape[axis])]
    if kind == "narrow":
        start = rng.randrange(t.shape[axis])
        return [kind, i, axis, start, rng.randint(1, t.shape[axis] - start)]
    if kind == "slice":
        start = rng.randrange(t.shape[axis])
        return [kind, i, axis, start, t.shape[axis], rng.choice([1, 2])]
    if kind == "permute":
        return [kind, i, rng.sample(range(t.dim()), t.dim())]
    if kind == "view":
        n = t.numel()
        return [kind, i, rng.choice([[n], [1, n], [n, 1]] + [[a, n // a] for a in (2, 3) if n % a == 0])]
    if kind == "expand":
        # For the same shape Castor returns the tensor itself, PyTorch another object.
        wider = [3 if size == 1 else size for size in t.shape]
        return [kind, i, [2, *t.shape] if rng.random() < 0.5 or wider == list(t.shape) else wider]
    return [kind, i, rng.randrange(t.dim() + 1)] if kind == "unsqueeze" else [kind, i]


def step(rng, tensors):
    i = rng.randrange(len(tensors))
    t = tensors[i]
    j = rng.randrange(len(tensors))
    draw = rng.random()
    if draw < 0.38:
        return view_step(rng, t, i)
    if draw < 0.45:
        return [rng.choice(UNARY), i]
    if draw < 0.52:
        return [rng.choice(BINARY), i, j]
    if draw < 0.56:
        return [rng.choice(["clone", "contiguous"]), i]
    if draw < 0.60:
        return ["retain", i]
    if draw < 0.72:
        return [rng.choice(UNARY) + "_", i]
    if draw < 0.90:
        return [rng.choice([*BINARY, "copy", "copy"]) + "_", i, j]
    return [rng.choice(["mul_", "add_", "fill_", "zero_"]), i, {"value": rng.choice([0.5, 2, 3])}]


VIEWS = {
    "select": lambda t, axis, index: t.select(axis, index),
    "narrow": lambda t, axis, start, size: t.narrow(axis, start, size),
    "slice": lambda t, axis, start, end, by: t[(slice(None),) * axis + (slice(start, end, by),)],
    "permute": lambda t, order: t.permute(order),
    "view": lambda t, shape: t.view(shape),
    "expand": lambda t, shape: t.expand(shape),
    "unsqueeze": lambda t, axis: t.unsqueeze(axis),
    "detach": lambda t: t.detach(),
    "clone": lambda t: t.clone(memory_format=torch.contiguous_format),
    "contiguous": lambda t: t.contiguous(),
}


def run(name, tensors, i, *rest):
    t = tensors[i]
    if name in VIEWS:
        return VIEWS[name](t, *rest)
    if name == "retain":
        t.retain_grad()
        return None
    operands = [r["value"] if isinstance(r, dict) else tensors[r] for r in rest]
    if name == "zero_":
        operands = []
    out = getattr(t, name)(*operands)
    return None if name.endswith("_") else out


def apart(t, others, name):
    """Cases in which Castor differs on purpose, or PyTorch defines nothing.

    Castor copies operands that overlap what is written; a view made under
    no_grad requires no gradient. PyTorch takes some views of tensors that got a gradient later for leaves.
    """
    if name.endswith("_") and any(o is not t and o.untyped_storage().data_ptr() == t.untyped_storage().data_ptr() for o in others):
        return True
    return name == "retain" and t.is_leaf and t._is_view()


def program(rng):
    tensors, steps, passed = [], [], set()
    for kind in ["leaf", rng.choice(["leaf", "plain"]), "plain"]:
        shape = rng.choice(SHAPES)
        values = data(rng, shape)
        steps.append({"do": [kind, shape, values]})
        tensors.append(torch.tensor(values, dtype=torch.float64).reshape(shape).clone().requires_grad_(kind == "leaf"))
    # Leaves may not be written to, so most programs continue with results.
    steps.append({"do": ["neg", 0]})
    tensors.append(tensors[0].neg())
    for _ in range(rng.randint(5, 14)):
        do = step(rng, tensors)
        quiet = rng.random() < 0.06
        record = {"do": do, **({"noGrad": True} if quiet else {})}
        t = tensors[do[1]]
        others = [tensors[r] for r in do[2:] if isinstance(r, int) and do[0] not in VIEWS]
        try:
            if apart(t, others, do[0]) or (do[1] in passed and do[0] in ["retain", *VIEWS]):
                continue
            with torch.set_grad_enabled(not quiet):
                out = run(do[0], tensors, *do[1:])
            if out is not None and out.numel() > 64:
                continue
        except RuntimeError as error:
            taken_for_leaf = "a leaf Variable" in str(error) and t._is_view()
            # PyTorch's elementwise results keep the layout of their operands, so that it refuses views that Castor has.
            if "some elements of the input tensor" in str(error) or taken_for_leaf or do[0] == "view":
                continue
            record["error"] = True
            out = None
        # After a write PyTorch's views of views no longer pass through the views between; so no gradients are requested there.
        if do[0] == "retain" or (do[0] in VIEWS and t._is_view()):
            passed.add(do[1])
        steps.append(record)
        if out is not None:
            tensors.append(out)
    return tensors, steps


def outcome(rng, tensors, steps):
    # With 3, which always has a gradient: PyTorch also differentiates sums that depend on nothing but views made under no_grad.
    chosen = sorted({3, *rng.sample(range(len(tensors)), rng.randint(1, min(4, len(tensors))))})
    loss = 0
    for n, i in enumerate(chosen):
        t = tensors[i]
        weights = torch.arange(t.numel(), dtype=torch.float64).add(1 + n).reshape(t.shape)
        loss = loss + (t * weights).sum()
    loss.backward()
    grads = [t.grad for t in tensors]
    if not all(torch.isfinite(t).all() for t in [*tensors, *(g for g in grads if g is not None)]):
        return None
    if max(t.abs().max() for t in [*tensors, *(g for g in grads if g is not None)]) > 1e6:
        return None
    return {"steps": steps, "loss": chosen, "values": tensors, "grads": grads}


def records():
    rng = random.Random(7)
    found = []
    while len(found) < 300:
        tensors, steps = program(rng)
        if not any(s["do"][0].endswith("_") and "error" not in s for s in steps):
            continue
        try:
            record = outcome(rng, tensors, steps)
        except RuntimeError:
            continue
        if record is not None:
            found.append(record)
    return found
