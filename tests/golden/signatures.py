"""The optional arguments of PyTorch's functions and classes, with their defaults, by the name that Castor has for each."""
import inspect
import json

import torch
import torch.nn.functional as F
from torch import nn, optim

aten = torch.ops.aten

# A Python function or class, or a native operator, whose schema contains its defaults.
SOURCES = {
    "F.sum": aten.sum.dim_IntList, "F.mean": aten.mean.dim, "F.prod": aten.prod.dim_int, "F.amax": aten.amax.default,
    "F.amin": aten.amin.default, "F.any": aten.any.dims, "F.all": aten.all.dims, "F.logSumExp": aten.logsumexp.default,
    "F.var": aten.var.correction, "F.std": aten.std.correction, "F.argmax": aten.argmax.default, "F.argmin": aten.argmin.default,
    "F.max": aten.max.dim, "F.min": aten.min.dim, "F.norm": torch.norm, "F.countNonzero": aten.count_nonzero.default,
    "F.cumsum": aten.cumsum.default, "F.cumprod": aten.cumprod.default, "F.topk": aten.topk.default, "F.sort": aten.sort.default,
    "F.argsort": aten.argsort.default, "F.multinomial": aten.multinomial.default, "F.softmax": F.softmax, "F.logSoftmax": F.log_softmax,
    "F.flatten": aten.flatten.using_ints, "F.squeeze": aten.squeeze.dims, "F.split": aten.split.Tensor,
    "F.chunk": aten.chunk.default, "F.unbind": aten.unbind.int, "F.cat": aten.cat.default, "F.stack": aten.stack.default,
    "F.tril": aten.tril.default, "F.triu": aten.triu.default, "F.clamp": aten.clamp.default, "F.addcmul": aten.addcmul.default,
    "F.addcdiv": aten.addcdiv.default, "F.linear": aten.linear.default, "F.conv1d": aten.conv1d.default, "F.conv2d": aten.conv2d.default,
    "F.gelu": aten.gelu.default, "F.softplus": aten.softplus.default, "F.leakyRelu": F.leaky_relu, "F.elu": F.elu, "F.dropout": F.dropout,
    "F.maxPool2d": aten.max_pool2d.default, "F.avgPool2d": aten.avg_pool2d.default, "F.layerNorm": F.layer_norm, "F.rmsNorm": F.rms_norm,
    "F.groupNorm": F.group_norm, "F.batchNorm": F.batch_norm, "F.mseLoss": F.mse_loss, "F.l1Loss": F.l1_loss,
    "F.crossEntropy": F.cross_entropy, "F.nllLoss": F.nll_loss, "F.binaryCrossEntropy": F.binary_cross_entropy,
    "F.binaryCrossEntropyWithLogits": F.binary_cross_entropy_with_logits, "F.embedding": F.embedding, "F.oneHot": aten.one_hot.default,
    "F.scaledDotProductAttention": aten.scaled_dot_product_attention.default, "F.set_": aten.index_put.default,
    "Tensor.uniform_": aten.uniform_.default, "Tensor.normal_": aten.normal_.default, "Tensor.backward": torch.Tensor.backward,
    "Tensor.requiresGrad_": aten.requires_grad_.default, "autograd.grad": torch.autograd.grad, "autograd.gradcheck": torch.autograd.gradcheck,
    "arange": aten.arange.start_step, "linspace": aten.linspace.default, "eye": aten.eye.m, "full": aten.full.default,
    "zeros": aten.zeros.default, "rand": aten.rand.default, "randint": aten.randint.low, "randperm": aten.randperm.default,
    "nn.Linear": nn.Linear, "nn.Conv2d": nn.Conv2d, "nn.BatchNorm2d": nn.BatchNorm2d, "nn.Embedding": nn.Embedding,
    "nn.LayerNorm": nn.LayerNorm, "nn.RMSNorm": nn.RMSNorm, "nn.Dropout": nn.Dropout, "nn.GELU": nn.GELU, "nn.Flatten": nn.Flatten,
    "nn.MaxPool2d": nn.MaxPool2d, "nn.MSELoss": nn.MSELoss, "nn.L1Loss": nn.L1Loss, "nn.CrossEntropyLoss": nn.CrossEntropyLoss,
    "nn.NLLLoss": nn.NLLLoss, "nn.BCELoss": nn.BCELoss, "nn.BCEWithLogitsLoss": nn.BCEWithLogitsLoss,
    "nn.clipGradNorm": nn.utils.clip_grad_norm_, "nn.clipGradValue": nn.utils.clip_grad_value_, "nn.init.uniform": nn.init.uniform_,
    "nn.init.normal": nn.init.normal_, "nn.init.xavierUniform": nn.init.xavier_uniform_, "nn.init.kaimingUniform": nn.init.kaiming_uniform_,
    "nn.Parameter": nn.Parameter.__new__, "nn.Buffer": nn.Buffer.__new__, "optim.SGD": optim.SGD, "optim.Adam": optim.Adam,
    "optim.AdamW": optim.AdamW, "GradScaler": torch.amp.GradScaler, "autocast": torch.amp.autocast,
    "model.zeroGrad": nn.Module.zero_grad, "model.loadStateDict": nn.Module.load_state_dict, "model.train": nn.Module.train,
}

# Documented defaults of arguments whose default in the code is None, or that have no default in the schema of the overload.
DOCUMENTED = {
    "F.var": {"dim": None, "correction": 1}, "F.std": {"dim": None, "correction": 1}, "F.sum": {"dim": None}, "F.mean": {"dim": None},
    "F.prod": {"dim": None}, "F.squeeze": {"dim": None}, "F.logSumExp": {"dim": None}, "F.max": {"dim": None}, "F.min": {"dim": None},
    # The Frobenius norm is the 2-norm of all elements.
    "F.norm": {"p": 2},
    # None stands for the setting of the surrounding scope, which is on.
    "autocast": {"cache_enabled": True},
    "randint": {"dtype": "int64"}, "randperm": {"dtype": "int64"},
}
# Left out: arguments about the implementation, deprecated ones, and those for the place of a new tensor.
DROPPED = {"device", "layout", "pin_memory", "out", "size_average", "reduce", "only_inputs"}
# Leaving the axis out is deprecated.
REQUIRED = {"F.softmax": {"dim"}, "F.logSoftmax": {"dim"}, "nn.Parameter": {"data"}, "nn.Buffer": {"data"}}


def plain(value):
    if isinstance(value, torch.dtype):
        return str(value).split(".")[1]
    if isinstance(value, (list, tuple)):
        # [1, 1] is 1 for both axes; [] is none given.
        return plain(value[0]) if len(set(value)) == 1 else None if not value else list(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{value!r}")


def parameters(source):
    if isinstance(source, torch._ops.OpOverload):
        return {a.name: plain(a.default_value) for a in source._schema.arguments if a.has_default_value()}
    signature = inspect.signature(source)
    return {name: plain(p.default) for name, p in signature.parameters.items() if p.default is not p.empty}


def records():
    out = []
    for name, source in SOURCES.items():
        left_out = DROPPED | REQUIRED.get(name, set()) | ({"dtype"} if isinstance(source, type) else set())
        own = parameters(source) | DOCUMENTED.get(name, {})
        defaults = {key: value for key, value in own.items() if key not in left_out and not key.startswith("_")}
        # As a text, so that numbers are not rounded.
        out.append({"name": name, "defaults": json.dumps(defaults)})
    return out
