"""A plug-in for the tests: models and scores that draw from every global generator and leave their process changed."""

import os
import random
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge

from lebench import registry
from lebench.data.base import Dataset, Variant
from lebench.tasks.base import Task


def _dropped():
    # Imported by the first fit that needs it, when its generator has not been seeded yet.
    import torch

    torch.set_default_dtype(torch.float64)
    return float(torch.nn.functional.dropout(torch.ones(100)).mean() + torch.rand(()))


_DRAWS = {"dropout": _dropped, "random": random.random, "numpy": np.random.rand, "normal": np.random.standard_normal}


def _split(x, y, rng):
    order = rng.permutation(len(x))
    return x[order[:8]], y[order[:8]], x[order[8:]], y[order[8:]]


def _load():
    return np.arange(32.0).reshape(16, 2), np.arange(16) % 2


registry.datasets.register("drawn", Dataset("drawn", "Few points", "CC0", "none", 1, (2,), ("a", "b"), _load, _split))


def _score(fits):
    answers = [fit.fitted.predict(fit.split.x_test) for fit in fits.values()]
    drawn = random.random() + np.random.rand()  # noqa: NPY002
    return {"log_loss": abs(float(sum(answer.mean() for answer in answers))) + drawn}


_VARIANTS = {
    "drawn/one": (Variant(),),
    "drawn/two": (Variant(), Variant("again", repetition=1)),
    "drawn/few": (Variant("n=2", n_train=2), Variant()),
}
for _name, _which in _VARIANTS.items():
    registry.tasks.register(
        _name,
        Task(
            _name,
            "generalization",
            _name,
            "none",
            1,
            "drawn",
            ("predict",),
            "log_loss",
            ("log_loss",),
            _score,
            _which,
        ),
    )


@registry.models.register("drawing")
@dataclass(frozen=True)
class Drawing:
    """Its answers are sums of draws; how many of them are made before shifts what comes after in a shared stream."""

    draws: Literal[tuple(_DRAWS)] = "random"
    times: Annotated[int, Ge(1)] = 1

    capabilities: ClassVar[frozenset[str]] = frozenset({"predict"})

    def fit(self, split, seed):
        os.environ["DRAWN"] = os.environ.get("DRAWN", "") + "x"
        np.seterr(all="raise")
        os.chdir("/")
        drawn = sum(_DRAWS[self.draws]() for _ in range(self.times))
        # Different if another fit of this process has been here before and nobody took it back.
        return _Answering(drawn * len(os.environ["DRAWN"]) + split.x_train.mean())


class _Answering:
    def __init__(self, value):
        self.value = value

    def predict(self, x):
        return np.column_stack([np.full(len(x), self.value), x[:, 0] + random.random()])
