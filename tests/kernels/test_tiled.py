"""Regression by tiles and by Nyström's approximation against one eigendecomposition of the whole kernel."""

import json
import os
import resource

import numpy as np
import pytest

from lebench.architectures import Architecture, Conv, Dense, Flatten, Relu, mlp
from lebench.errors import DataError, ParameterError
from lebench.kernels import (
    gram_operator,
    infinite_width_kernel,
    infinite_width_operator,
    nystrom_regression,
    ridge_regression,
    tiled,
    tiled_regression,
)
from lebench.kernels.nystrom import pivoted_cholesky


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((230, 6)).astype(np.float32), rng.standard_normal((230, 3)), rng.standard_normal((40, 6))


@pytest.mark.parametrize("edge", [1000, 230, 64, 50])
def test_the_solution_is_that_of_ridge_regression(data, edge):
    x, targets, new = data
    kernel = infinite_width_operator(mlp(), x)
    fitted = tiled_regression(kernel, targets, relative_ridge=1e-2, edge=edge, refinements=3)
    whole = infinite_width_kernel(mlp(), x).astype(np.float64)
    mean = np.trace(whole) / len(x)
    expected = np.linalg.solve(whole + 1e-2 * mean * np.eye(len(x)), targets)
    np.testing.assert_allclose(fitted.coefficients, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    assert fitted.ridge == pytest.approx(1e-2 * mean, rel=1e-6)
    # Each refinement gains digits: the residual is that of the solution before it.
    assert fitted.residuals[0] > 10 * fitted.residuals[1]
    between = infinite_width_operator(mlp(), new.astype(np.float32), x)
    np.testing.assert_allclose(
        fitted.predict(between), fitted.predict(between.block(slice(None), slice(None))), rtol=1e-5, atol=1e-6
    )


def test_the_ridge_is_that_of_leave_one_out(data):
    x, targets, _ = data
    kernel = infinite_width_operator(mlp(), x)
    everything = tiled_regression(kernel, targets, subset=500)
    expected = ridge_regression(infinite_width_kernel(mlp(), x), targets)
    assert (everything.relative_ridge, everything.subset) == (expected.relative_ridge, 230)
    some = tiled_regression(kernel, targets, subset=100, seed=3)
    chosen = np.sort(np.random.default_rng(3).permutation(230)[:100])
    expected = ridge_regression(infinite_width_kernel(mlp(), x[chosen]), targets[chosen])
    assert (some.relative_ridge, some.subset) == (expected.relative_ridge, 100)


class Killed(Exception):
    pass


@pytest.mark.parametrize("at", [1, 5, 9])
@pytest.mark.parametrize("torn", [False, True])
def test_work_goes_on_after_a_kill(data, tmp_path, at, torn, monkeypatch):
    x, targets, _ = data
    options = {"relative_ridge": 1e-2, "edge": 60, "identity": "x"}
    expected = tiled_regression(infinite_width_operator(mlp(), x), targets, **options).coefficients
    kernel = infinite_width_operator(mlp(), x)
    computed = []
    inner = kernel._block

    def block(rows, columns):
        if len(computed) == at:
            raise Killed
        computed.append((rows.start, columns.start))
        return inner(rows, columns)

    kernel._block = block
    with pytest.raises(Killed):
        tiled_regression(kernel, targets, folder=tmp_path / "tiles", **options)
    journal = tmp_path / "tiles" / "journal.jsonl"
    assert len(journal.read_text().splitlines()) == 1 + 2 * at
    if torn:
        # Killed while the last tile was written, and while the journal was.
        lines = journal.read_text().splitlines()[:-1]
        journal.write_text("\n".join(lines) + '\n["fac')
        i, j = json.loads(lines[-1])[1:]
        tiles = tiled.Tiles(230, 60, tmp_path / "tiles", json.loads(lines[0]))
        tiles[i, j][:] = np.nan
        tiles._numbers.flush()
        del tiles
    again = infinite_width_operator(mlp(), x)
    seen = []
    inner_again = again._block
    again._block = lambda rows, columns: seen.append((rows.start, columns.start)) or inner_again(rows, columns)
    found = tiled_regression(again, targets, folder=tmp_path / "tiles", **options).coefficients
    np.testing.assert_array_equal(found, expected)
    # 10 tiles to factorize, and one block for the residual.
    assert len(seen) == 10 - at + torn + 1


def test_a_folder_of_another_regression_is_refused(data, tmp_path):
    x, targets, _ = data
    kernel = infinite_width_operator(mlp(), x)
    tiled_regression(kernel, targets, relative_ridge=1e-2, folder=tmp_path)
    with pytest.raises(DataError, match="tiles of another regression"):
        tiled_regression(kernel, targets, relative_ridge=1e-1, folder=tmp_path)
    (tmp_path / "tiles.float32").unlink()
    with pytest.raises(DataError, match="missing or of another size"):
        tiled_regression(kernel, targets, relative_ridge=1e-2, folder=tmp_path)


def test_a_kernel_that_is_not_positive_definite_is_refused_with_its_smallest_eigenvalue():
    matrix = np.diag([1.0, 2.0, -3.0, 4.0])
    kernel = gram_operator(lambda a, b: matrix[np.ix_(a[:, 0], b[:, 0])], np.arange(4)[:, None])
    with pytest.raises(DataError, match=r"not positive definite in float32: the smallest eigenvalue .* is -3"):
        tiled_regression(kernel, np.ones(4), relative_ridge=1e-3, edge=2)


def test_what_makes_no_sense_is_refused(data):
    x, targets, _ = data
    kernel = infinite_width_operator(mlp(), x)
    with pytest.raises(ParameterError, match="relative_ridge=0"):
        tiled_regression(kernel, targets, relative_ridge=0)
    with pytest.raises(ParameterError, match="edge=0"):
        tiled_regression(kernel, targets, edge=0)
    with pytest.raises(DataError, match=r"\(230, C\) is needed"):
        tiled_regression(kernel, targets[:5])
    with pytest.raises(DataError, match="between two sets"):
        tiled_regression(infinite_width_operator(mlp(), x, x[:7]), targets)
    with pytest.raises(ParameterError, match="rank=0"):
        nystrom_regression(kernel, targets, 0, 1e-2)


IMAGES = Architecture((Conv(2), Relu, Flatten(), Dense()))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("network", [mlp(), IMAGES])
def test_operators(network, dtype, monkeypatch):
    rng = np.random.default_rng(0)
    x, z = rng.standard_normal((50, 3, 2, 1)).astype(dtype), rng.standard_normal((20, 3, 2, 1)).astype(dtype)
    monkeypatch.setattr("lebench.kernels.operators._EDGE", 16)
    near = {"rtol": 1e-5 if dtype == np.float32 else 1e-12, "atol": 1e-6 if dtype == np.float32 else 1e-13}
    for second in (None, z):
        kernel = infinite_width_operator(network, x, second)
        expected = infinite_width_kernel(network, x, second)
        assert (kernel.shape, kernel.dtype) == (expected.shape, dtype)
        vectors = rng.standard_normal((kernel.shape[1], 3))
        np.testing.assert_allclose(kernel @ vectors, expected.astype(float) @ vectors, **near)
        np.testing.assert_allclose(kernel @ vectors[:, 0], expected.astype(float) @ vectors[:, 0], **near)
        np.testing.assert_allclose(kernel.block(slice(3, 40), slice(2, 18)), expected[3:40, 2:18], **near)
        np.testing.assert_allclose(kernel.rows(slice(7, 9)), expected[7:9], **near)
        np.testing.assert_allclose(kernel.columns(np.array([1, 15, 3])), expected[:, [1, 15, 3]], **near)
    kernel = infinite_width_operator(network, x)
    np.testing.assert_allclose(kernel.diagonal(), np.diag(infinite_width_kernel(network, x)), **near)
    np.testing.assert_allclose(kernel.among(np.array([4, 30])), infinite_width_kernel(network, x[[4, 30]]), **near)
    with pytest.raises(DataError, match="between two sets"):
        infinite_width_operator(network, x, z).diagonal()
    with pytest.raises(DataError, match=r"vectors have shape \(3,\): \(50,\)"):
        kernel @ np.ones(3)


def test_pivoted_cholesky_is_the_nystrom_approximation(data):
    x, _, _ = data
    kernel = infinite_width_operator(mlp(), x.astype(np.float64))
    whole = infinite_width_kernel(mlp(), x.astype(np.float64))
    centres, factor, left = pivoted_cholesky(kernel, 60, np.random.default_rng(0))
    assert len(set(centres.tolist())) == len(centres) == 60
    nystrom = whole[:, centres] @ np.linalg.solve(whole[np.ix_(centres, centres)], whole[centres])
    np.testing.assert_allclose(factor @ factor.T, nystrom, atol=1e-8 * whole.max())
    assert left == pytest.approx(np.trace(whole - nystrom) / np.trace(whole), rel=1e-6)


def test_of_all_centres_the_approximation_is_exact(data):
    x, targets, new = data
    x, new = x.astype(np.float64), new.astype(np.float64)
    kernel, between = infinite_width_operator(mlp(), x), infinite_width_kernel(mlp(), new, x)
    exact = tiled_regression(infinite_width_operator(mlp(), x), targets, relative_ridge=1e-2, refinements=3)
    scores = exact.predict(between)
    differences = []
    for rank in (20, 100, 230):
        fitted = nystrom_regression(kernel, targets, rank, 1e-2)
        found = fitted.difference(fitted.predict(between[:, fitted.centres]), scores)
        differences.append(found["relative_difference"])
    assert differences[0] > differences[1] > differences[2]
    assert differences[2] < 1e-6
    assert found["other_decisions"] == 0


def test_duplicates_end_the_approximation_at_the_rank_of_the_kernel(data):
    x, targets, _ = data
    twice = np.concatenate([x[:30], x[:30]]).astype(np.float64)
    fitted = nystrom_regression(infinite_width_operator(mlp(), twice), targets[:60], 60, 1e-3)
    assert len(fitted.centres) == 30
    assert fitted.left_over == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("reserves", [True, False])
def test_a_full_disk_is_named_and_a_second_try_begins_anew(data, tmp_path, monkeypatch, reserves):
    x, targets, _ = data
    if not reserves:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(DataError, match=r"tiles.float32 cannot be made of 211,600 bytes: .*; use another folder"):
            tiled_regression(infinite_width_operator(mlp(), x), targets, relative_ridge=1e-2, folder=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
    fitted = tiled_regression(infinite_width_operator(mlp(), x), targets, relative_ridge=1e-2, folder=tmp_path)
    inside = tiled_regression(infinite_width_operator(mlp(), x), targets, relative_ridge=1e-2)
    np.testing.assert_array_equal(fitted.coefficients, inside.coefficients)
    assert (tmp_path / "tiles.float32").stat().st_blocks * 512 >= 100_000
