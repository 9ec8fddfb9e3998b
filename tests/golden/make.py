"""Writes the golden values next to this file: PyTorch's results, with the inputs that they were computed from.

Run it with any Python that has PyTorch, of 2.4 or later:  python3 tests/golden/make.py
The tests only read the files, one JSON record a line, which are checked in. Names on the command line choose among them.
"""
import json
import math
import pathlib
import sys

import torch

sys.dont_write_bytecode = True
import autocast
import derivatives
import dtypes
import layers
import integers
import ops
import printing
import shapes
import signatures
import subscripts
import training
import views


def number(x):
    """9 significant digits; JSON has no infinities."""
    if isinstance(x, bool) or isinstance(x, int):
        return int(x)
    if math.isnan(x):
        return "nan"
    if math.isinf(x):
        return "inf" if x > 0 else "-inf"
    if x == 0:
        return "-0" if math.copysign(1, x) < 0 else 0
    short = float(f"{x:.9g}")
    return int(short) if short == int(short) and abs(short) < 2**53 else short


def plain(value):
    if isinstance(value, torch.Tensor):
        t = value.detach()
        return {"shape": list(t.shape), "dtype": str(t.dtype).split(".")[1], "data": [number(x) for x in t.reshape(-1).tolist()]}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return number(value) if isinstance(value, float) else value


def write(name, records):
    path = pathlib.Path(__file__).parent / f"{name}.jsonl"
    path.write_text("".join(json.dumps(plain(record), separators=(",", ":")) + "\n" for record in records))
    print(f"{path.name}: {len(records)} records, {path.stat().st_size} bytes")


FILES = {
    "ops": ops.records,
    "shapes": shapes.records,
    "derivatives": derivatives.records,
    "promotion": dtypes.promotion,
    "conversion": dtypes.conversion,
    "specials": dtypes.specials,
    "integers": integers.records,
    "optimizers": training.optimizers,
    "clipping": training.clipping,
    "curves": training.curves,
    "scaler": training.scaler,
    "autocast": autocast.records,
    "printing": printing.records,
    "layers": layers.records,
    "signatures": signatures.records,
    "subscripts": subscripts.records,
    "trajectory": training.trajectories,
    "views": views.records,
}

if __name__ == "__main__":
    for chosen in sys.argv[1:] or FILES:
        torch.manual_seed(0)
        write(chosen, FILES[chosen]())
