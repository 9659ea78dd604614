"""The closed-form LE-ODE of 10,000 steps: against a loop of Euler steps and scipy's integrator.

Run ``python benchmarks/dynamics_bench.py``. Target: the closed form in under 50 ms.
"""

from __future__ import annotations

from typing import Any

import timing

timing.single_thread()

import numpy as np  # noqa: E402
from scipy.integrate import solve_ivp  # noqa: E402

from lebench.dynamics import class_coordinates, class_directions, sample_le_sde, solve_le_ode  # noqa: E402

STEPS, CLASSES = 10_000, 10


def drift(means: Any, alpha: float, beta: float, model: str) -> Any:
    """Return the right-hand side of the LE-ODE."""
    pulled = means if model == "I" else class_coordinates(means)[:, None] * class_directions(CLASSES)
    return ((alpha - beta) * pulled + beta * pulled.sum(axis=0)) / CLASSES


def main() -> None:
    """Print CPU seconds, the ratios to the closed form, and how far the results are apart."""
    times = np.arange(STEPS + 1, dtype=float)
    a, b = 2.0 * (np.sqrt(1 + times) - 1), -0.5 * (np.sqrt(1 + times) - 1)
    start = np.random.default_rng(0).standard_normal((CLASSES, CLASSES))
    for model in ("I", "L"):

        def closed(model: Any = model) -> Any:
            return solve_le_ode(start, a, b, model)

        def euler(model: Any = model) -> Any:
            rng = np.random.default_rng(0)
            return sample_le_sde(start[:, None], times, a, b, rng, model=model, noise=0.0, method="euler")[:, :, 0]

        def integrated(model: Any = model) -> Any:
            def f(t: float, y: Any) -> Any:
                rate = 1 / np.sqrt(1 + t)
                return drift(y.reshape(start.shape), rate, -0.25 * rate, model).ravel()

            found = solve_ivp(f, (0, STEPS), start.ravel(), t_eval=times, method="DOP853", rtol=1e-9, atol=1e-9)
            return found.y.T.reshape(-1, *start.shape)

        contestants = {"closed form": closed, "Euler": euler, "solve_ivp": integrated}
        seconds = timing.interleaved(contestants)
        exact = closed()
        for name, function in contestants.items():
            off = np.abs(function() / exact - 1).max(axis=(1, 2))[-1]
            slower = timing.spread(timing.ratios(seconds, name, "closed form"))
            print(f"{model}-model {name:12s} {timing.spread(seconds[name])} s, {slower} times, off by {off:.1e}")


if __name__ == "__main__":
    main()
