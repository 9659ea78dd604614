"""Models of how training moves features: locally elastic differential equations, and Neurashed.

Names are imported on first use, so that importing this package imports neither NumPy nor SciPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lebench.dynamics.estimators import *  # noqa: F403
    from lebench.dynamics.label_noise import *  # noqa: F403
    from lebench.dynamics.le_ode import *  # noqa: F403
    from lebench.dynamics.le_sde import *  # noqa: F403
    from lebench.dynamics.neurashed import *  # noqa: F403
    from lebench.dynamics.neurashed_measures import *  # noqa: F403

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

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"lebench.dynamics.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
