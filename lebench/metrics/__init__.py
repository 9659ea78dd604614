"""The metrics: pure functions of NumPy, torch or JAX arrays, each with its definition and its known answers.

All raise ``DataError`` for arrays that are empty, do not fit each other, hold NaN or infinity, or lack a class; what a
metric refuses besides, it says. Names are imported on first use, so that this package imports neither NumPy nor SciPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lebench import registry
from lebench.registering import read_index

if TYPE_CHECKING:
    from lebench.metrics.alignment import *  # noqa: F403
    from lebench.metrics.capacity import *  # noqa: F403
    from lebench.metrics.capacity_bounds import *  # noqa: F403
    from lebench.metrics.clustering import *  # noqa: F403
    from lebench.metrics.comparison import *  # noqa: F403
    from lebench.metrics.dynamics import *  # noqa: F403
    from lebench.metrics.elasticity import *  # noqa: F403
    from lebench.metrics.feature_nodes import *  # noqa: F403
    from lebench.metrics.generalization import *  # noqa: F403
    from lebench.metrics.generalized_collapse import *  # noqa: F403
    from lebench.metrics.information import *  # noqa: F403
    from lebench.metrics.kernel_fit import *  # noqa: F403
    from lebench.metrics.layer_norms import *  # noqa: F403
    from lebench.metrics.lazy_training import *  # noqa: F403
    from lebench.metrics.measure_environments import *  # noqa: F403
    from lebench.metrics.measure_scores import *  # noqa: F403
    from lebench.metrics.nc1_nc2 import *  # noqa: F403
    from lebench.metrics.nc3_nc4 import *  # noqa: F403
    from lebench.metrics.neural_collapse import *  # noqa: F403
    from lebench.metrics.path_norms import *  # noqa: F403
    from lebench.metrics.removal import *  # noqa: F403
    from lebench.metrics.sensitivity import *  # noqa: F403
    from lebench.metrics.stability import *  # noqa: F403
    from lebench.metrics.streaming import *  # noqa: F403
    from lebench.metrics.training import *  # noqa: F403

#: What the modules offer besides registered metrics, whose modules the index says.
_OTHERS: dict[str, tuple[str, ...]] = {
    "alignment": ("centre", "label_kernel"),
    "capacity": ("two_layer_measures", "unit_capacity", "unit_impact"),
    "capacity_bounds": ("effective_capacities",),
    "clustering": (
        "KernelClustering",
        "cluster_kernel_kmeans",
        "cluster_kmeans",
        "cluster_spectral",
        "clustering_accuracy_null",
    ),
    "elasticity": ("kernel_distance", "normalize", "normalize_kernel", "symmetrize"),
    "generalized_collapse": ("minority_classes", "one_vs_rest_distances"),
    "layer_norms": ("fold_batch_norm", "folded_layers", "layer_bounds"),
    "lazy_training": ("two_layer_hessian_norm",),
    "measure_environments": ("Environments", "sign_errors"),
    "measure_scores": ("conditional_informations", "granulated_taus"),
    "neural_collapse": ("class_means", "collapse", "collapse_from_gram"),
    "population": ("relu_moments",),
    "removal": (
        "LeaveOneOut",
        "Retrained",
        "influence_changes",
        "leave_one_out_kernel_ridge",
        "leave_one_out_retraining",
        "leave_one_out_ridge",
    ),
    "sensitivity": ("class_sensitivity_matrix",),
    "stability": ("clipped_cross_entropy", "clipped_squared_loss", "loss_changes", "prediction_changes"),
    "streaming": ("CollapseAccumulator", "collapse_stream"),
    "training": ("interpolation_moment",),
}
_HOME = {name: entry["target"] for name, entry in read_index()["metric"].items()}
_HOME |= {name: f"{__name__}.{module}" for module, names in _OTHERS.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    # One that is registered and not in the index yet is found too, so that the index can be made.
    module = _HOME.get(name) or (registry.metrics.item(name).target if name in registry.metrics else "")
    if not module.startswith(f"{__name__}."):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
