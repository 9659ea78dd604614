"""Which measure explains generalization? Measures scored on a grid of trained networks that is kept with lebench."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lebench import metrics
from lebench.data.base import Variant
from lebench.data.measure_grid import AXES, SEEDS, GridNetwork, load_grid
from lebench.errors import DataError
from lebench.metrics.base import Missing
from lebench.tasks.base import Fit, Scored, Values, declare, declared

_VARIANTS = (Variant(n_train=60),)


def score_measures(fits: Mapping[str, Fit]) -> Scored:
    """Score the order of a measure's values over the networks of one seed, and its sign errors over the others.

    Sign errors compare settings over seeds and need four of them: those other than the cell's own, so that five cells
    leave each out once.
    """
    (fit,) = fits.values()
    own_seed = SEEDS[fit.seed % len(SEEDS)]
    grid = load_grid()
    own = [network for network in grid if network.seed == own_seed]
    others = [network for network in grid if network.seed != own_seed]
    measured, gaps, settings = _table(fit, own)
    psi = metrics.granulated_taus(measured, gaps, settings)
    values: Values = {
        "granulated_tau": metrics.granulated_tau(measured, gaps, settings),
        "kendall_tau": metrics.kendall_tau(measured, gaps),
        "conditional_information": metrics.conditional_information(measured, gaps, settings),
        **{f"granulated_tau@{axis}": float(value) for axis, value in zip(AXES, psi, strict=True)},
    }
    try:
        found = metrics.sign_errors(*_table(fit, others), test_points=len(own[0].split.y_test))
        values |= {"sign_error": float(found.errors.mean()), "sign_error_worst": float(found.errors.max())}
    except DataError as error:
        values |= dict.fromkeys(("sign_error", "sign_error_worst"), Missing(str(error)))
    # Infinite bounds come last, but no picture can show them.
    finite = np.isfinite(measured)
    return Scored(values, {"measure": measured[finite], "gap": gaps[finite]})


def _table(fit: Fit, networks: list[GridNetwork]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values of the measure (n,), gaps (n,) and settings (n, axes) of networks."""
    return (
        np.array([fit.fitted.complexity(network) for network in networks]),
        np.array([network.gap for network in networks]),
        np.array([[network.setting[axis] for axis in AXES] for network in networks]),
    )


declare(
    declared(
        name="overparam/measures",
        track="generalization",
        summary="Does a measure order trained networks by their generalization gap, one hyper-parameter at a time?",
        reference="Jiang et al. 2020 (granulated tau, conditional information), Dziugaite et al. 2020 (sign errors). "
        "Ours: perceptrons on digits, two values of six hyper-parameters, five seeds, at training cross-entropy 0.01",
        dataset="digits",
        needs=("complexity",),
        primary="granulated_tau",
        metrics=(
            "granulated_tau",
            "kendall_tau",
            "conditional_information",
            *(f"granulated_tau@{axis}" for axis in AXES),
            "sign_error",
            "sign_error_worst",
        ),
        score=score_measures,
        baselines=("measure",),
        variants=_VARIANTS,
    ),
    "overparam",
)
