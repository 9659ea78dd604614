"""Kernels of architectures, and regression with kernels.

Names are imported on first use, so that importing this package imports neither NumPy nor SciPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lebench.kernels.averages import *  # noqa: F403
    from lebench.kernels.hierarchy import *  # noqa: F403
    from lebench.kernels.infinite_width import *  # noqa: F403
    from lebench.kernels.label_aware import *  # noqa: F403
    from lebench.kernels.nystrom import *  # noqa: F403
    from lebench.kernels.operators import *  # noqa: F403
    from lebench.kernels.pair_regression import *  # noqa: F403
    from lebench.kernels.regression import *  # noqa: F403
    from lebench.kernels.solvers import *  # noqa: F403
    from lebench.kernels.tiled import *  # noqa: F403

_MODULES = {
    "hierarchy": (
        "HierarchyCorrection",
        "fourth_order",
        "hierarchy_weights",
        "orthant_moments",
        "orthant_root",
        "two_layer_diagonal",
        "two_layer_kernel",
    ),
    "infinite_width": ("infinite_width_diagonal", "infinite_width_kernel"),
    "nystrom": ("Nystrom", "nystrom_regression"),
    "operators": ("KernelOperator", "gram_operator", "infinite_width_operator"),
    "tiled": ("TiledRegression", "tiled_regression"),
    "averages": ("KernelAverage", "kernel_average"),
    "label_aware": (
        "LABEL_RATIOS",
        "LabelAgreement",
        "LabelAwareRegression",
        "label_aware_regression",
        "restricted_regression",
    ),
    "pair_regression": ("PairFeatures", "PairRegression", "pair_features"),
    "regression": (
        "RIDGES",
        "GradientFlow",
        "RidgeRegression",
        "gradient_flow",
        "one_hot_targets",
        "ridge_regression",
    ),
    "solvers": ("Solution", "solve_spd"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"lebench.kernels.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
