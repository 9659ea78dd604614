"""The metrics: pure functions of NumPy, torch or JAX arrays, each with its definition and its known answers.

Names are imported on first use, so that importing this package imports neither NumPy nor SciPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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

_MODULES: dict[str, tuple[str, ...]] = {
    "alignment": (
        "centre",
        "centred_kernel_alignment",
        "centred_target_alignment",
        "kernel_alignment",
        "kernel_change",
        "kernel_rotation",
        "kernel_target_alignment",
        "kernel_velocity",
        "label_kernel",
    ),
    "capacity": (
        "capacity_frobenius",
        "capacity_l1_max",
        "capacity_parameters",
        "capacity_spectral_frobenius",
        "capacity_spectral_l1",
        "capacity_unit",
        "two_layer_measures",
        "unit_capacity",
        "unit_impact",
    ),
    "capacity_bounds": ("effective_capacities", "two_layer_bound", "unit_bound", "unit_bound_norms"),
    "lazy_training": ("laziness", "two_layer_hessian_norm"),
    "width": ("error_peak", "width_exponent"),
    "regression": ("loss_ratio", "scaled_loss", "unexplained_share"),
    "population": ("relu_moments", "scaled_population_loss"),
    "clustering": (
        "KernelClustering",
        "adjusted_rand_index",
        "cluster_kernel_kmeans",
        "cluster_kmeans",
        "cluster_spectral",
        "clustering_accuracy",
        "clustering_accuracy_corrected",
        "clustering_accuracy_null",
        "normalized_mutual_information",
        "spread",
    ),
    "debiased_alignment": ("debiased_centred_kernel_alignment",),
    "comparison": ("difference_to_kernel", "gap_closed", "prediction_disagreement"),
    "dynamics": (
        "imitation_error",
        "impact_difference",
        "integrated_impact",
        "le_alpha_beta_gap",
        "noise_crossing",
        "separation",
        "tail_index",
    ),
    "feature_nodes": ("sparsity_gain", "survival_agreement", "survival_rank", "survival_threshold", "surviving_share"),
    "information": ("excess_information", "state_information"),
    "neural_collapse": (
        "class_means",
        "collapse",
        "collapse_from_gram",
    ),
    "elasticity": (
        "between_class_similarity",
        "distance_pearson",
        "distance_spearman",
        "elasticity_difference",
        "elasticity_ratio",
        "kernel_distance",
        "normalize",
        "normalize_kernel",
        "symmetrize",
        "within_class_similarity",
    ),
    "generalization": (
        "accuracy",
        "brier",
        "error",
        "expected_calibration_error",
        "generalization_gap",
        "log_loss",
        "margin",
    ),
    "generalized_collapse": (
        "gnc1",
        "gnc2_margin",
        "gnc2_uniformity",
        "gnc3",
        "minority_classes",
        "minority_cosine",
        "one_vs_rest_distances",
        "unc3",
    ),
    "kernel_fit": (
        "kernel_standard_error",
        "label_ratio",
        "label_weight",
        "relative_ridge",
        "smallest_eigenvalue",
    ),
    "layer_norms": (
        "distance_from_initialization",
        "fold_batch_norm",
        "folded_layers",
        "group_norm_product",
        "layer_bounds",
        "schatten_product",
        "spectral_complexity",
        "spectral_distance",
    ),
    "measure_environments": ("Environments", "sign_error", "sign_error_worst", "sign_errors"),
    "measure_scores": (
        "conditional_information",
        "conditional_informations",
        "granulated_tau",
        "granulated_taus",
        "kendall_tau",
    ),
    "nc1_nc2": (
        "cdnv",
        "nc1_pinv_over_C",
        "nc1_pinv_sum",
        "nc1_quotient",
        "nc2_equiangular",
        "nc2_equiangular_weights",
        "nc2_equinorm",
        "nc2_equinorm_weights",
        "nc2_weights",
    ),
    "nc3_nc4": (
        "nc3_bias",
        "nc3_selfduality",
        "nc3_zhu",
        "nc4",
        "ncc_accuracy",
    ),
    "path_norms": ("path_norm",),
    "removal": (
        "LeaveOneOut",
        "Retrained",
        "influence_changes",
        "leave_one_out_kernel_ridge",
        "leave_one_out_retraining",
        "leave_one_out_ridge",
    ),
    "sensitivity": (
        "class_sensitivity",
        "class_sensitivity_loss",
        "class_sensitivity_matrix",
        "removal_change",
    ),
    "stability": (
        "clipped_cross_entropy",
        "clipped_squared_loss",
        "elastic_bound",
        "elastic_stability",
        "elastic_to_uniform_ratio",
        "loss_changes",
        "loss_gap",
        "prediction_changes",
        "uniform_bound",
        "uniform_stability",
    ),
    "streaming": ("CollapseAccumulator", "collapse_stream"),
    "training": ("elasticity_growth", "interpolation_moment", "label_following", "terminal_ratio"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
