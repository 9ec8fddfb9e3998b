"""Layers of torch.nn with options that differ from their defaults, and how PyTorch initialises layers."""
import torch
from torch import nn

CONVOLUTIONS = [
    {},
    {"bias": False},
    {"stride": 2},
    {"stride": [2, 3]},
    {"padding": 1},
    {"padding": [0, 2]},
    {"dilation": 2},
    {"dilation": [1, 2]},
    {"groups": 2},
    {"groups": 4},
    {"stride": [3, 2], "padding": [2, 1], "dilation": [2, 1], "groups": 2, "bias": False},
]
BATCH_NORMS = [
    {},
    {"eps": 0.5},
    {"momentum": 0.5},
    {"momentum": 0.0},
    {"momentum": 1.0},
    {"affine": False},
    {"track_running_stats": False},
    {"eps": 0.125, "momentum": 0.25, "affine": False, "track_running_stats": False},
]
NORMS = [
    ("LayerNorm", [5], {}),
    ("LayerNorm", [4, 5], {"eps": 0.5}),
    ("LayerNorm", [5], {"elementwise_affine": False}),
    ("LayerNorm", [5], {"bias": False}),
    ("RMSNorm", [5], {"eps": 0.5}),
    ("RMSNorm", [4, 5], {"eps": 0.25}),
    ("RMSNorm", [5], {"eps": 0.25, "elementwise_affine": False}),
]
POOLS = [{}, {"stride": 1}, {"stride": [1, 2], "padding": 1}, {"padding": [0, 1]}]
INITIAL = {
    "Linear": (nn.Linear, [200, 300]),
    "Conv2d": (nn.Conv2d, [32, 64, 5]),
    "Conv2d groups": (lambda *sizes: nn.Conv2d(*sizes, groups=8), [32, 64, 5]),
    "BatchNorm2d": (nn.BatchNorm2d, [50]),
    "Embedding": (nn.Embedding, [300, 200]),
    "LayerNorm": (nn.LayerNorm, [50]),
    "RMSNorm": (nn.RMSNorm, [50]),
}


def pairs(options):
    return {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}


def fill(module):
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, dtype=torch.float64).mul(0.5))
    return dict(module.named_parameters())


def convolution(options):
    layer = nn.Conv2d(4, 8, (3, 2), dtype=torch.float64, **pairs(options))
    state = fill(layer)
    x = torch.randn(2, 4, 7, 6, dtype=torch.float64)
    return {"layer": "Conv2d", "args": [4, 8, [3, 2]], "options": options, "state": state, "x": x, "outputs": [layer(x)]}


def batch_norm(options):
    layer = nn.BatchNorm2d(3, dtype=torch.float64, **options)
    state = fill(layer)
    x = torch.randn(2, 3, 2, 4, dtype=torch.float64)
    outputs = [layer(x), layer(x * 2 + 1)]
    outputs += [] if layer.running_mean is None else [layer.running_mean.clone(), layer.running_var.clone()]
    return {"layer": "BatchNorm2d", "args": [3], "options": options, "state": state, "x": x, "outputs": [*outputs, layer.eval()(x)]}


def norm(name, shape, options):
    layer = getattr(nn, name)(shape, dtype=torch.float64, **options)
    state = fill(layer)
    x = torch.randn(2, 4, 5, dtype=torch.float64)
    return {"layer": name, "args": [shape], "options": options, "state": state, "x": x, "outputs": [layer(x)]}


def pool(options):
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64)
    layer = nn.MaxPool2d((3, 2), **pairs(options))
    return {"layer": "MaxPool2d", "args": [[3, 2]], "options": options, "state": {}, "x": x, "outputs": [layer(x)]}


def initial(name):
    make, sizes = INITIAL[name]
    layer = make(*sizes)
    moments = {
        key: {"shape": list(t.shape), "mean": t.mean().item(), "std": t.std().item(), "largest": t.abs().max().item()}
        for key, t in layer.state_dict().items()
        if t.is_floating_point()
    }
    return {"layer": name.split(" ")[0], "sizes": sizes, "groups": getattr(layer, "groups", 1), "moments": moments}


def records():
    return [
        *map(convolution, CONVOLUTIONS),
        *map(batch_norm, BATCH_NORMS),
        *(norm(*row) for row in NORMS),
        *map(pool, POOLS),
        *map(initial, INITIAL),
    ]
