"""Label-aware kernels: least squares on features of all pairs, streamed, against Python loops over the pairs.

Beside them the fast Johnson-Lindenstrauss transform of Chen, He & Su 2020 (epsilon = 0.01, in NumPy), which
approximates what streaming gives exactly.

Ratios of CPU seconds, one thread, interleaved in one run, median [min, max] of the rounds. The largest difference of
the estimates stands beside them, and the peak of the memory that is allocated on the way.

    python benchmarks/lantk_bench.py [--rounds 5] [--n 200 400]
"""

import argparse
import tracemalloc

import timing

timing.single_thread()

import numpy as np  # noqa: E402
from scipy import sparse  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402

from lebench.kernels import LabelAgreement, PairRegression, pair_features, two_layer_kernel  # noqa: E402

_VARIANT = "fjlt-v4-6"


def dense_design(kernel, x, labels):
    """Return the centred and scaled features (n^2, p) of all pairs with a constant, and their agreements (n^2,)."""
    features = pair_features(x, _VARIANT)
    points = features.points(x)
    design = features.block(kernel, points, points).reshape(features.count, -1).T
    design = (design - design.mean(axis=0)) / design.std(axis=0)
    agreement = 2.0 * (labels[:, None] == labels).reshape(-1) - 1
    return np.column_stack([design, np.ones(len(design))]), agreement


def transformed(kernel, x, labels):
    """Shorten the n^2 rows to k = ln(p) / epsilon^2 by random signs, a Hadamard transform and a sparse projection."""
    rng = np.random.default_rng(0)
    design, agreement = dense_design(kernel, x, labels)
    table = np.column_stack([design, agreement])
    pairs, columns = table.shape
    size = 1 << (pairs - 1).bit_length()
    padded = np.zeros((size, columns))
    padded[:pairs] = table * rng.choice([-1.0, 1.0], pairs)[:, None]
    half = 1
    while half < size:
        view = padded.reshape(-1, 2, half, columns)
        view[:, 0], view[:, 1] = view[:, 0] + view[:, 1], view[:, 0] - view[:, 1]
        half *= 2
    padded /= np.sqrt(size)
    k = int(np.log(columns - 1) / 0.01**2)
    share = np.log(columns - 1) ** 2 / pairs
    entries = rng.binomial(k * size, share)
    where = rng.integers(k, size=entries), rng.integers(size, size=entries)
    projection = sparse.csr_array((rng.standard_normal(entries) / np.sqrt(share * k), where), shape=(k, size))
    short = projection @ padded
    return (design @ np.linalg.lstsq(short[:, :-1], short[:, -1])[0]).reshape(kernel.shape)


def pair_loops(kernel, x, labels):
    """Assemble the features pair by pair in Python from precomputed matrices, as the released code does, then solve.

    The released code goes on with a transform that does not run any more; exact normal equations are in its place.
    """
    n = len(x)
    inner = x @ x.T
    norms = np.sqrt(np.diagonal(inner))
    cosine = inner / np.outer(norms, norms)
    squared = np.add.outer(norms**2, norms**2) - 2 * inner
    centred = x - x.mean(axis=0)
    codes = (centred @ np.linalg.svd(centred, full_matrices=False)[2][:5].T).tolist()
    matrices = [matrix.tolist() for matrix in (kernel, inner, cosine, squared)]
    classes = labels.tolist()
    rows, agreement = [], []
    for i in range(n):
        for j in range(n):
            row = [matrix[i][j] for matrix in matrices]
            row += [a * b for a, b in zip(codes[i], codes[j], strict=True)]
            row += [abs(a - b) for a, b in zip(codes[i], codes[j], strict=True)]
            row.append(1.0)
            rows.append(row)
            agreement.append(1.0 if classes[i] == classes[j] else -1.0)
    design, right = np.array(rows), np.array(agreement)
    scale = design.std(axis=0)
    scale[-1] = 1.0
    shifted = (design - np.append(design[:, :-1].mean(axis=0), 0.0)) / scale
    return (shifted @ np.linalg.solve(shifted.T @ shifted, shifted.T @ right)).reshape(n, n)


def streamed(kernel, x, labels):
    features = pair_features(x, _VARIANT)
    regression = PairRegression(features, kernel, x, labels, np.zeros(len(x), dtype=np.int64))
    points = features.points(x)
    coefficients = regression.solve()
    result = np.empty_like(kernel)
    for start in range(0, len(x), 64):
        rows = slice(start, start + 64)
        result[rows] = regression.evaluate(coefficients, kernel[rows], points[rows], points)
    return result


def cross_fitted(kernel, x, labels):
    """Do what the models do: one solution for any two of five folds, so that no label enters its own pairs."""
    return LabelAgreement(kernel, x, labels, _VARIANT, np.random.default_rng(0))(kernel, x, x)


def peak(function):
    tracemalloc.start()
    function()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found / 2**20


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--n", type=int, nargs="+", default=[200, 400])
    arguments = parser.parse_args()
    digits = load_digits()
    for n in arguments.n:
        x, labels = digits.data[:n] / 16, digits.target[:n].astype(np.int64)
        kernel = two_layer_kernel(x)
        contenders = {
            "pair loops": lambda k=kernel, x=x, y=labels: pair_loops(k, x, y),
            "streamed": lambda k=kernel, x=x, y=labels: streamed(k, x, y),
            "transformed": lambda k=kernel, x=x, y=labels: transformed(k, x, y),
            "cross-fitted": lambda k=kernel, x=x, y=labels: cross_fitted(k, x, y),
        }
        seconds = timing.interleaved(contenders, arguments.rounds)
        exact = contenders["pair loops"]()
        for name in ("streamed", "cross-fitted", "transformed"):
            note = ""
            if name != "cross-fitted":
                note = f"difference {np.abs(contenders[name]() - exact).max() / np.abs(exact).max():.1e}  "
            print(
                f"n={n}: pair loops / {name} = {timing.spread(timing.ratios(seconds, 'pair loops', name))}; "
                f"{name} {timing.spread(seconds[name])} CPU s  {note}peak {peak(contenders[name]):.1f} MiB",
                flush=True,
            )
        print(f"n={n}: pair loops {timing.spread(seconds['pair loops'])} CPU s", flush=True)


if __name__ == "__main__":
    main()
