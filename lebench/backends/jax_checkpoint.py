"""The state of training in JAX as arrays and plain values: weights, optimizer, what was recorded."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from lebench.checkpoints import State

#: Time, loss, error and scores of probe points at each moment that is recorded.
Recorded = list[tuple[float, float, float, NDArray[np.float64]]]


def collect(carry: Any, recorded: Recorded, moments: list[Any], made: int) -> State:
    """Return the state of training after so many steps, `carry` being weights, statistics, optimizer and steps."""
    arrays = {f"carry/{number}": np.asarray(leaf) for number, leaf in enumerate(jax.tree.leaves(carry))}
    for place, moment in enumerate(moments):
        arrays |= {f"moment/{place}/{number}": leaf for number, leaf in enumerate(jax.tree.leaves(moment))}
    arrays["course"] = np.array([each[:3] for each in recorded])
    arrays["scores"] = np.stack([each[3] for each in recorded])
    return arrays, {"made": made}


def restore(state: State, carry: Any, recorded: Recorded, moments: list[Any]) -> tuple[Any, int]:
    """Set the course as it was in :func:`collect`, and return carry and number of steps; `carry` has its structure."""
    arrays, facts = state

    def tree(like: Any, prefix: str) -> Any:
        leaves, structure = jax.tree.flatten(like)
        return jax.tree.unflatten(structure, [arrays[f"{prefix}/{number}"] for number in range(len(leaves))])

    course = zip(arrays["course"].tolist(), arrays["scores"], strict=True)
    recorded[:] = [(time, loss, error, scores) for (time, loss, error), scores in course]
    moments[:] = [tree(carry[:2], f"moment/{place}") for place in range(len(recorded))]
    return jax.tree.map(jnp.asarray, tree(carry, "carry")), int(facts["made"])
