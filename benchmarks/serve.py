"""How PyTorch's side of a benchmark answers: gpu.py and cpu.py are started by torch.ts, and measure what they are asked for, so that
Castor and PyTorch take turns on one device."""
import json
import sys

import torch


def serve(parts, about):
    """Writes `about` with the names of the parts, then reads {"part", "sizes", "how"}, one JSON object a line, and writes {"figures"} or
    {"error"}. parts[part](sizes) prepares data, which is kept until another part or other sizes are requested, and returns the function
    that measures; it is called with the values of "how" by their names."""
    print(json.dumps({**about, "parts": list(parts)}), flush=True)
    current, measure = None, None
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if (asked["part"], asked["sizes"]) != current:
                current, measure = (asked["part"], asked["sizes"]), None
                if torch.cuda.is_initialized():
                    torch.cuda.empty_cache()
                measure = parts[asked["part"]](asked["sizes"])
            answer = {"figures": measure(**asked.get("how", {}))}
        except Exception as error:  # one part that fails must not end the others
            current, measure, answer = None, None, {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
