import os
import subprocess
import sys

import pytest

from lebench.sandbox import confined, why_not

PLUGIN = '''
"""Models of somebody else."""
import os
import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lebench import registry
from lebench.backends.base import Recipe
from lebench.errors import TrainingError
from lebench.models.network import Network

print("3 of 3 records that were run again agree", file=sys.stderr)


@registry.models.register("guest-net")
def guest_net(width: int = 8, lr: float = 0.1):
    """A network of somebody else."""

    def build(shape, outputs):
        import torch

        size = int(np.prod(shape))
        return torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(size, width), torch.nn.ReLU(), torch.nn.Linear(width, outputs)
        )

    return Network(build, Recipe(epochs=2, min_steps=8, lr=lr))


@registry.models.register("guest-labels")
@dataclass(frozen=True)
class Labels:
    """Says what it was shown."""

    how: str = "honest"
    capabilities: ClassVar[frozenset[str]] = frozenset({"predict"})

    def fit(self, split, seed):
        if self.how == "diverges":
            raise TrainingError("training diverged")
        if self.how == "dies":
            os._exit(3)
        return Fitted(self.how, split)


class Fitted:
    def __init__(self, how, split):
        self.how, self.split = how, split

    def predict(self, x):
        if self.how == "prints":
            os.write(1, b"garbage" * 100)
            print("noise")
        shapes = {"too many": (len(x), 2**14), "too few": (len(x) - 1, 10), "deep": (len(x), 10, 1)}
        if self.how in shapes:
            return np.zeros(shapes[self.how])
        if self.how == "nan":
            return np.full((len(x), 10), np.nan)
        if self.how == "object":
            return np.array([object()] * len(x))
        shown = np.eye(10)[np.clip(self.split.y_test, 0, 9)][: len(x)]
        return shown if len(shown) == len(x) else np.zeros((len(x), 10))
'''


@pytest.fixture(scope="session")
def sandbox():
    """Skips where no sandbox can be made; returns a function that runs Python code in one and returns its output."""
    if reason := why_not():
        pytest.skip(reason)

    def run(code, user=None, **options):
        command = confined([sys.executable, "-c", code], **options)
        extra = {"user": user, "group": user, "extra_groups": []} if user else {}
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **extra)

    return run


@pytest.fixture(scope="session")
def plugin(tmp_path_factory):
    """A file of models of somebody else."""
    path = tmp_path_factory.mktemp("plugin") / f"guest_{os.getpid()}.py"
    path.write_text(PLUGIN)
    return path
