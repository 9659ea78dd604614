"""The state of training in torch as arrays and plain values: weights, optimizer, generators, what was recorded."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lebench.checkpoints import State

#: Time, loss, error and scores of probe points at each moment that is recorded.
Recorded = list[tuple[float, float, float, NDArray[np.float64]]]


def collect(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    recorded: Recorded,
    moments: list[dict[str, Tensor]],
    place: Mapping[str, Any],
) -> State:
    """Return the state of training after a step at a `place` of the course so far, with the weights at its moments."""
    arrays = {f"module/{name}": _array(value) for name, value in module.state_dict().items()}
    for number, values in optimizer.state_dict()["state"].items():
        arrays |= {f"optimizer/{number}/{name}": _array(value) for name, value in values.items() if value is not None}
    for number, weights in enumerate(moments):
        arrays |= {f"moment/{number}/{name}": _array(value) for name, value in weights.items()}
    arrays["course"] = np.array([moment[:3] for moment in recorded])
    arrays["scores"] = np.stack([moment[3] for moment in recorded])
    arrays["torch"] = _array(torch.get_rng_state())
    for number, state in enumerate(torch.cuda.get_rng_state_all() if _on_gpu() else ()):
        arrays[f"cuda/{number}"] = _array(state)
    version, internal, gauss = random.getstate()
    kind, words, *rest = np.random.get_state()  # noqa: NPY002
    arrays["numpy"] = np.asarray(words)
    facts = {**place, "random": [version, list(internal), gauss], "numpy": [kind, *rest]}
    return arrays, facts


def restore(
    state: State,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    recorded: Recorded,
    moments: list[dict[str, Tensor]],
) -> Mapping[str, Any]:
    """Set everything as it was in :func:`collect`, and return the place."""
    arrays, facts = state
    parts: dict[str, dict[str, Tensor]] = {"module": {}}
    memory: dict[int, dict[str, Tensor]] = {}
    for name, array in arrays.items():
        kind, _, rest = name.partition("/")
        number, _, inner = rest.partition("/")
        if kind == "module":
            parts["module"][rest] = torch.from_numpy(array)
        elif kind == "optimizer":
            memory.setdefault(int(number), {})[inner] = torch.from_numpy(array)
        elif kind == "moment":
            parts.setdefault(number, {})[inner] = torch.from_numpy(array)
    module.load_state_dict(parts.pop("module"))
    optimizer.load_state_dict({"state": memory, "param_groups": optimizer.state_dict()["param_groups"]})
    moments[:] = [parts[number] for number in sorted(parts, key=int)]
    course = zip(arrays["course"].tolist(), arrays["scores"], strict=True)
    recorded[:] = [(time, loss, error, scores) for (time, loss, error), scores in course]
    torch.set_rng_state(torch.from_numpy(arrays["torch"]))
    devices = [torch.from_numpy(array) for name, array in arrays.items() if name.startswith("cuda/")]
    if devices and _on_gpu():
        torch.cuda.set_rng_state_all(devices)
    version, internal, gauss = facts["random"]
    random.setstate((version, tuple(internal), gauss))
    kind, *rest = facts["numpy"]
    np.random.set_state((kind, arrays["numpy"], *rest))  # noqa: NPY002
    return facts


def _array(tensor: Tensor) -> NDArray[Any]:
    return np.asarray(tensor.detach().cpu().numpy())


def _on_gpu() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
