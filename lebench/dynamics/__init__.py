"""Models of how training moves features: locally elastic differential equations, and Neurashed.

Names are imported on first use, so that importing this package imports neither NumPy nor SciPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lebench.dynamics.estimators import Impacts, differentiate, estimate_difference, estimate_impacts, window_rates
    from lebench.dynamics.label_noise import noise_transition, noisy_loss
    from lebench.dynamics.le_ode import (
        class_coordinates,
        class_directions,
        log_gains,
        power_law_impact,
        separation_rate,
        solve_le_ode,
    )
    from lebench.dynamics.le_sde import sample_le_sde
    from lebench.dynamics.neurashed import Course, Graph, Rule, draw_batches, train
    from lebench.dynamics.neurashed_measures import contributions, pattern_information, response

_MODULES = {
    "estimators": ("Impacts", "differentiate", "estimate_difference", "estimate_impacts", "window_rates"),
    "label_noise": ("noise_transition", "noisy_loss"),
    "le_ode": (
        "class_coordinates",
        "class_directions",
        "log_gains",
        "power_law_impact",
        "separation_rate",
        "solve_le_ode",
    ),
    "le_sde": ("sample_le_sde",),
    "neurashed": ("Course", "Graph", "Rule", "draw_batches", "train"),
    "neurashed_measures": ("contributions", "pattern_information", "response"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Course",
    "Graph",
    "Impacts",
    "Rule",
    "class_coordinates",
    "class_directions",
    "contributions",
    "differentiate",
    "draw_batches",
    "estimate_difference",
    "estimate_impacts",
    "log_gains",
    "noise_transition",
    "noisy_loss",
    "pattern_information",
    "power_law_impact",
    "response",
    "sample_le_sde",
    "separation_rate",
    "solve_le_ode",
    "train",
    "window_rates",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"lebench.dynamics.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
