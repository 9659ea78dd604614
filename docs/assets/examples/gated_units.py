"""A network of your own at every width that a task asks for: units that multiply a rectified and a linear map."""

from dataclasses import dataclass, replace
from functools import partial
from math import prod

from torch import nn

import lebench


class Gated(nn.Module):
    def __init__(self, width, input_shape, outputs):
        super().__init__()
        self.gate, self.value = (nn.Linear(prod(input_shape), width) for _ in range(2))
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        x = x.flatten(1)
        return self.head(self.gate(x).relu() * self.value(x))


@dataclass(frozen=True)
class AtAnyWidth(lebench.Network):
    def with_width(self, width):
        return replace(self, network=partial(Gated, width))


@lebench.register_model("gated")
def gated(width: int = 64, lr: float = 0.02):
    """Perceptron whose units multiply a rectified and a linear map."""
    return AtAnyWidth(partial(Gated, width), lebench.Recipe(lr=lr))
