"""The metrics: pure functions of NumPy, torch or JAX arrays, each with its definition and its known answers.

Names are imported on first use, so that importing this package imports neither NumPy nor SciPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lebench.metrics.clustering import (
        KernelClustering as KernelClustering,
    )
    from lebench.metrics.clustering import (
        adjusted_rand_index as adjusted_rand_index,
    )
    from lebench.metrics.clustering import (
        cluster_kernel_kmeans as cluster_kernel_kmeans,
    )
    from lebench.metrics.clustering import (
        cluster_kmeans as cluster_kmeans,
    )
    from lebench.metrics.clustering import (
        cluster_spectral as cluster_spectral,
    )
    from lebench.metrics.clustering import (
        clustering_accuracy as clustering_accuracy,
    )
    from lebench.metrics.clustering import (
        clustering_accuracy_corrected as clustering_accuracy_corrected,
    )
    from lebench.metrics.clustering import (
        clustering_accuracy_null as clustering_accuracy_null,
    )
    from lebench.metrics.clustering import (
        normalized_mutual_information as normalized_mutual_information,
    )
    from lebench.metrics.collapse import (
        cdnv as cdnv,
    )
    from lebench.metrics.collapse import (
        class_means as class_means,
    )
    from lebench.metrics.collapse import (
        collapse as collapse,
    )
    from lebench.metrics.collapse import (
        collapse_from_gram as collapse_from_gram,
    )
    from lebench.metrics.collapse import (
        nc1_pinv_over_C as nc1_pinv_over_C,
    )
    from lebench.metrics.collapse import (
        nc1_pinv_sum as nc1_pinv_sum,
    )
    from lebench.metrics.collapse import (
        nc1_quotient as nc1_quotient,
    )
    from lebench.metrics.collapse import (
        nc2_equiangular as nc2_equiangular,
    )
    from lebench.metrics.collapse import (
        nc2_equiangular_weights as nc2_equiangular_weights,
    )
    from lebench.metrics.collapse import (
        nc2_equinorm as nc2_equinorm,
    )
    from lebench.metrics.collapse import (
        nc2_equinorm_weights as nc2_equinorm_weights,
    )
    from lebench.metrics.collapse import (
        nc2_weights as nc2_weights,
    )
    from lebench.metrics.collapse import (
        nc3_bias as nc3_bias,
    )
    from lebench.metrics.collapse import (
        nc3_selfduality as nc3_selfduality,
    )
    from lebench.metrics.collapse import (
        nc3_zhu as nc3_zhu,
    )
    from lebench.metrics.collapse import (
        nc4 as nc4,
    )
    from lebench.metrics.collapse import (
        ncc_accuracy as ncc_accuracy,
    )
    from lebench.metrics.elasticity import (
        between_class_similarity as between_class_similarity,
    )
    from lebench.metrics.elasticity import (
        class_sensitivity as class_sensitivity,
    )
    from lebench.metrics.elasticity import (
        class_sensitivity_loss as class_sensitivity_loss,
    )
    from lebench.metrics.elasticity import (
        class_sensitivity_matrix as class_sensitivity_matrix,
    )
    from lebench.metrics.elasticity import (
        distance_pearson as distance_pearson,
    )
    from lebench.metrics.elasticity import (
        distance_spearman as distance_spearman,
    )
    from lebench.metrics.elasticity import (
        elasticity_difference as elasticity_difference,
    )
    from lebench.metrics.elasticity import (
        elasticity_ratio as elasticity_ratio,
    )
    from lebench.metrics.elasticity import (
        kernel_distance as kernel_distance,
    )
    from lebench.metrics.elasticity import (
        normalize as normalize,
    )
    from lebench.metrics.elasticity import (
        normalize_kernel as normalize_kernel,
    )
    from lebench.metrics.elasticity import (
        symmetrize as symmetrize,
    )
    from lebench.metrics.elasticity import (
        within_class_similarity as within_class_similarity,
    )
    from lebench.metrics.generalization import (
        accuracy as accuracy,
    )
    from lebench.metrics.generalization import (
        brier as brier,
    )
    from lebench.metrics.generalization import (
        error as error,
    )
    from lebench.metrics.generalization import (
        expected_calibration_error as expected_calibration_error,
    )
    from lebench.metrics.generalization import (
        generalization_gap as generalization_gap,
    )
    from lebench.metrics.generalization import (
        log_loss as log_loss,
    )
    from lebench.metrics.generalization import (
        margin as margin,
    )

_MODULES: dict[str, tuple[str, ...]] = {
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
    ),
    "collapse": (
        "cdnv",
        "class_means",
        "collapse",
        "collapse_from_gram",
        "nc1_pinv_over_C",
        "nc1_pinv_sum",
        "nc1_quotient",
        "nc2_equiangular",
        "nc2_equiangular_weights",
        "nc2_equinorm",
        "nc2_equinorm_weights",
        "nc2_weights",
        "nc3_bias",
        "nc3_selfduality",
        "nc3_zhu",
        "nc4",
        "ncc_accuracy",
    ),
    "elasticity": (
        "between_class_similarity",
        "class_sensitivity",
        "class_sensitivity_loss",
        "class_sensitivity_matrix",
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
