"""Random subscripts, reading and writing, with PyTorch's results."""
import random

import torch


def item(rng, size, rest):
    """An item of an index for an axis, as JSON and as Python, and how many axes it uses."""
    kind = rng.choice(["int", "range", "range", "index", "list", "mask", "mask2", "none", "bool", "scalar"])
    if kind == "none":
        return None, None, 0
    if kind == "bool":
        value = rng.random() < 0.7
        return value, value, 0
    if not rest:
        return None, None, 0
    if kind == "int" and size > 0:
        value = rng.randrange(-size, size)
        return value, value, 1
    if kind == "index" and size > 0:
        shape = rng.choice([[], [1], [2], [3], [2, 1], [3, 2]])
        value = torch.randint(-size, size, shape)
        return {"index": value.tolist()}, value, 1
    if kind == "scalar" and size > 0:
        value = torch.tensor(rng.randrange(-size, size))
        return {"index": value.tolist()}, value, 1
    if kind == "list" and size > 0:
        value = [rng.randrange(-size, size) for _ in range(rng.randint(0, 3))]
        return value, value, 1
    if kind == "mask":
        value = torch.rand(size) < 0.5
        return {"mask": value.tolist()}, value, 1
    if kind == "mask2" and len(rest) > 1:
        value = torch.rand(rest[:2]) < 0.5
        return {"mask": value.tolist(), "shape": rest[:2]}, value, 2
    start, stop, step = rng.randint(-3, 3), rng.randint(-3, 5), rng.choice([1, 1, 2])
    return f"{start}:{stop}:{step}", slice(start, stop, step), 1


def case(rng):
    shape = [rng.choice([1, 2, 3, 4]) for _ in range(rng.randint(1, 4))]
    texts, index, axis = [], [], 0
    while axis < len(shape) and len(texts) < 5:
        if "..." not in [t for t in texts if isinstance(t, str)] and rng.random() < 0.15:
            left = rng.randint(axis, len(shape))
            texts.append("...")
            index.append(Ellipsis)
            # The remaining subscripts are for the last axes.
            remaining = shape[left:]
            while remaining:
                text, value, used = item(rng, remaining[0], remaining)
                if used == 0:
                    continue
                texts.append(text)
                index.append(value)
                remaining = remaining[used:]
            break
        text, value, used = item(rng, shape[axis], shape[axis:])
        texts.append(text)
        index.append(value)
        axis += used
        if rng.random() < 0.2:
            break
    return shape, texts, tuple(index)


def records():
    rng = random.Random(0)
    torch.manual_seed(0)
    rows = []
    while len(rows) < 600:
        shape, texts, index = case(rng)
        x = torch.arange(torch.tensor(shape).prod().item()).reshape(shape)
        try:
            part = x[index]
        except IndexError:
            continue
        if part.numel() > 60 or part.dim() > 8:
            continue
        row = {"shape": shape, "index": texts, "part": list(part.shape), "values": part.flatten().tolist()}
        # A value that broadcasts to the part, all of whose elements differ where no position is named twice.
        size = [n if rng.random() < 0.7 else 1 for n in part.shape][rng.choice([0, 0, 0, 1]) if part.dim() else 0 :]
        value = -1 - torch.arange(torch.tensor(size or [1]).prod().item()).reshape(size)
        unique = part.unique().numel() == part.numel()
        written, added = x.clone(), x.clone()
        try:
            if unique:
                written[index] = value
            if any(isinstance(i, (torch.Tensor, list, bool)) for i in index):
                tensors = x.clone()
                positions = torch.arange(x.numel()).reshape(shape)[index]
                added = tensors.flatten().index_add(0, positions.flatten(), value.expand(part.shape).flatten()).reshape(shape)
            else:
                added[index] += value
        except (RuntimeError, IndexError):
            continue
        row |= {"value": {"shape": size, "values": value.flatten().tolist()}, "added": added.flatten().tolist()}
        if unique:
            row["written"] = written.flatten().tolist()
        rows.append(row)
    return rows
