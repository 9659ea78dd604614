"""What is done with kernels does not depend on their unit: metamorphic tests from 1e-150 to 1e150."""

import numpy as np
import pytest

from lebench.kernels import (
    gradient_flow,
    gram_operator,
    kernel_average,
    nystrom_regression,
    one_hot_targets,
    ridge_regression,
    solve_spd,
    tiled_regression,
    two_layer_kernel,
)

RNG = np.random.default_rng(0)
X, NEW = RNG.standard_normal((30, 5)), RNG.standard_normal((8, 5))
LABELS = np.arange(30) % 3
TARGETS = one_hot_targets(LABELS)


def smooth(a, b):
    return a @ b.T + np.exp(-np.square(a[:, None] - b).sum(axis=-1))


KERNEL, BETWEEN = smooth(X, X), smooth(NEW, X)


def operator(unit):
    return gram_operator(lambda a, b: smooth(a, b) * unit, X)


def by_ridge(unit):
    fitted = ridge_regression(KERNEL * unit, TARGETS)
    return fitted.predict(BETWEEN * unit), fitted.relative_ridge, fitted.leave_one_out


def by_flow(unit):
    flow = gradient_flow(KERNEL * unit, TARGETS)
    return flow.predict(BETWEEN * unit, 3.0 / unit), flow.train(0.2 / unit), flow.predict(BETWEEN * unit, np.inf)


def by_cholesky(unit):
    return (BETWEEN * unit @ solve_spd(KERNEL * unit, TARGETS, 1e-3 * unit).coefficients,)


def by_tiles(unit):
    fitted = tiled_regression(operator(unit), TARGETS, relative_ridge=1e-3, edge=8, refinements=4)
    return (fitted.predict(BETWEEN * unit),)


def by_nystrom(unit):
    fitted = nystrom_regression(operator(unit), TARGETS, 10, 1e-3)
    return (fitted.predict(BETWEEN[:, fitted.centres] * unit),)


def by_averages(unit):
    names = ("kr-v1", "kr-v2-two-layer")
    return [kernel_average(KERNEL * unit, LABELS, name, ridge=1e-3)(BETWEEN * unit) for name in names]


def of_inputs(unit):
    return (two_layer_kernel(X * unit, NEW * unit) / unit / unit,)


FUNCTIONS = [by_ridge, by_flow, by_cholesky, by_tiles, by_nystrom, by_averages, of_inputs]


@pytest.mark.parametrize("exponent", [-150, -100, -30, 30, 100, 150])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_of_kernels(function, exponent):
    for found, expected in zip(function(10.0**exponent), function(1.0), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("exponent", [-150, -30, 30, 150])
def test_of_targets(exponent):
    unit = 10.0**exponent
    scaled, plain = ridge_regression(KERNEL, TARGETS * unit), ridge_regression(KERNEL, TARGETS)
    np.testing.assert_allclose(scaled.coefficients / unit, plain.coefficients, rtol=1e-10)
    tiled = tiled_regression(operator(1.0), TARGETS * unit, relative_ridge=1e-3, edge=8, refinements=4)
    np.testing.assert_allclose(
        tiled.coefficients / unit, solve_spd(KERNEL, TARGETS, tiled.ridge).coefficients, rtol=1e-7, atol=1e-9
    )
