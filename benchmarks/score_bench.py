"""``lebench.score`` of a residual network on 10,000 images against the passes of plain torch that it needs.

Run ``python benchmarks/score_bench.py``. Needed are, in float64: one forward pass of all points, for scores and
features together; and for elasticity one forward pass of 100 test points and a backward pass for each of their scores.
Target: at most 1.3 times their time.
"""

from __future__ import annotations

import copy
import math
import time

import timing

timing.single_thread()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

import lebench  # noqa: E402

TRAIN, TEST, CLASSES = 8_000, 2_000, 10


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.two = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm, self.other = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.short = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if stride != 1 or inputs != outputs else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.other(self.two(torch.relu(self.norm(self.one(x)))))
        return torch.relu(y + (x if self.short is None else self.short(x)))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    blocks = (Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES)
    )


def main() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, CLASSES, TRAIN + TEST)
    x = rng.standard_normal((CLASSES, 3, 16, 16))[y] + rng.standard_normal((TRAIN + TEST, 3, 16, 16))
    module = network()
    train, test = slice(TRAIN), slice(TRAIN, None)
    few = np.concatenate([np.flatnonzero(y[test] == c)[:10] for c in range(CLASSES)]) + TRAIN
    plain, inputs = copy.deepcopy(module).double().eval(), torch.from_numpy(x)

    def needed() -> None:
        with torch.no_grad():
            for part in inputs.split(1024):
                plain(part)
        scores = plain(inputs[few])
        for c in range(CLASSES):
            torch.autograd.grad(scores[:, c].sum(), list(plain.parameters()), retain_graph=True)

    parts = {"needed": needed, "score": lambda: lebench.score(module, x[train], y[train], x[test], y[test])}
    times = dict.fromkeys(parts, math.inf)
    for _ in range(2):
        for name, part in parts.items():
            start = time.process_time()
            part()
            times[name] = min(times[name], time.process_time() - start)
    ratio = times["score"] / times["needed"]
    print(f"needed {times['needed']:.1f} CPU s, score {times['score']:.1f} CPU s: {ratio:.2f} times")


if __name__ == "__main__":
    main()
