"""NC1 to NC4 of 50,000 x 512 features in 10 classes: ours against what people write, and against accumulators.

Run ``python benchmarks/collapse_bench.py``. Targets: at least 20 times straightforward float64 NumPy, at least 5 times
accumulated covariance with a pseudo-inverse, values equal to 1e-6, less than 10 MB beyond the features. With
``--streams`` it streams 50,000 x 2,048 features in 10 and in 1,000 classes in two passes instead, beside the float64
products that the definitions need; targets 2 and 10 s.
"""

from __future__ import annotations

import sys
import tracemalloc
from typing import Any

import timing

timing.single_thread()

import numpy as np  # noqa: E402
import scipy.sparse.linalg  # noqa: E402

from lebench import metrics  # noqa: E402


def planted(n: int = 50_000, p: int = 512, classes: int = 10) -> dict[str, Any]:
    """Return float32 features of classes on their way to collapse, with a classifier near their means."""
    rng = np.random.default_rng(0)
    means = rng.standard_normal((classes, p))
    labels = rng.integers(0, classes, n)
    features = means[labels] + 0.5 + 0.3 * rng.standard_normal((n, p))
    weights = means - means.mean(axis=0) + 0.2 * rng.standard_normal((classes, p))
    bias = 0.1 * rng.standard_normal(classes)
    return {"features": features.astype(np.float32), "labels": labels, "weights": weights, "bias": bias}


def straightforward(features: Any, labels: Any, weights: Any, bias: Any) -> dict[str, float]:
    """Compute NC1 to NC4 as the definitions read, in float64, with a pseudo-inverse of the (p, p) covariance."""
    h = features.astype(np.float64)
    classes = len(weights)
    means = np.array([h[labels == c].mean(axis=0) for c in range(classes)])
    centre = means.mean(axis=0)
    centred = means - centre
    within = sum((h[labels == c] - means[c]).T @ (h[labels == c] - means[c]) for c in range(classes)) / len(h)
    between = centred.T @ centred / classes
    norms = np.linalg.norm(centred, axis=1)
    cosines = (centred / norms[:, None]) @ (centred / norms[:, None]).T
    off = ~np.eye(classes, dtype=bool)
    distances = np.stack([np.linalg.norm(h - mean, axis=1) for mean in means], axis=1)
    chosen = (h @ weights.T + bias).argmax(axis=1)
    return {
        "nc1_pinv_over_C": float(np.trace(within @ np.linalg.pinv(between, rcond=1e-10, hermitian=True)) / classes),
        "nc2_equinorm": float(norms.std(ddof=1) / norms.mean()),
        "nc2_equiangular": float(np.abs(cosines[off] + 1 / (classes - 1)).mean()),
        "nc3_selfduality": float(
            np.linalg.norm(weights / np.linalg.norm(weights) - centred / np.linalg.norm(centred)) ** 2
        ),
        "nc4": float(np.mean(chosen != distances.argmin(axis=1))),
    }


def accumulated(features: Any, labels: Any, weights: Any, bias: Any, batch: int = 128) -> dict[str, float]:
    """Compute NC1 to NC4 by float32 accumulators over batches, as the neural-collapse repository does, written anew.

    Three passes: class means; covariance and class variances; decisions. Then a pseudo-inverse of rank C-1.
    """
    classes, p = weights.shape
    counts = np.bincount(labels, minlength=classes).astype(np.float32)
    weights32, bias32 = weights.astype(np.float32), bias.astype(np.float32)
    batches = [slice(start, start + batch) for start in range(0, len(features), batch)]

    def one_hot(y: Any) -> Any:
        return np.equal.outer(np.arange(classes), y).astype(np.float32)

    sums = np.zeros((classes, p), dtype=np.float32)
    for part in batches:
        sums += one_hot(labels[part]) @ features[part]
    means = sums / counts[:, None]

    covariance, variances = np.zeros((p, p), dtype=np.float32), np.zeros(classes, dtype=np.float32)
    for part in batches:
        deviations = features[part] - means[labels[part]]
        covariance += deviations.T @ deviations
        variances += (one_hot(labels[part]) @ deviations**2).sum(axis=1)

    agree = 0
    for part in batches:
        h = features[part]
        distances = (h**2).sum(axis=1)[:, None] + (means**2).sum(axis=1) - 2 * h @ means.T
        agree += int(np.count_nonzero((h @ weights32.T + bias32).argmax(axis=1) == distances.argmin(axis=1)))

    centred = (means - means.mean(axis=0)).astype(np.float64)
    values, vectors = scipy.sparse.linalg.eigsh(centred.T @ centred / classes, k=classes - 1)
    inverse = vectors / values @ vectors.T
    norms = np.linalg.norm(centred, axis=1)
    cosines = (centred / norms[:, None]) @ (centred / norms[:, None]).T
    off = ~np.eye(classes, dtype=bool)
    return {
        "nc1_pinv_over_C": float(np.trace(covariance / len(features) @ inverse) / classes),
        "nc1_quotient": float((variances.sum() / len(features)) / (centred**2).sum() * classes),
        "nc2_equinorm": float(norms.std(ddof=1) / norms.mean()),
        "nc2_equiangular": float(np.abs(cosines[off] + 1 / (classes - 1)).mean()),
        "nc3_selfduality": float(
            np.linalg.norm(weights / np.linalg.norm(weights) - centred / np.linalg.norm(centred)) ** 2
        ),
        "nc4": 1 - agree / len(features),
    }


def streamed(features: Any, labels: Any, weights: Any, bias: Any, batch: int = 1000) -> dict[str, Any]:
    """Compute what one pass of lebench's accumulator gives."""
    stream = metrics.CollapseAccumulator(len(weights), weights, bias)
    for start in range(0, len(features), batch):
        stream.update(features[start : start + batch], labels[start : start + batch])
    return stream.result()


def streams(n: int = 50_000, p: int = 2048) -> None:
    """Print what two passes over a stream cost."""
    print(f"collapse_stream, {n:,} x {p:,} float32 features: CPU seconds, median [min, max] of 5 interleaved rounds")
    for classes in (10, 1000):
        data = planted(n, p, classes)
        features, labels, weights, bias = data.values()
        batches = [(features[i : i + 500], labels[i : i + 500]) for i in range(0, n, 500)]
        whole = metrics.collapse(**data | {"features": features.astype(np.float64)})

        def products(features: Any = features, weights: Any = weights) -> None:
            for start in range(0, len(features), 1000):
                block = features[start : start + 1000].astype(np.float64)
                similar = block @ weights.T
                _ = similar.T @ similar, block @ weights.T

        def two_passes(batches: Any = batches, weights: Any = weights, bias: Any = bias) -> dict[str, Any]:
            return metrics.collapse_stream(batches, len(weights), weights, bias)

        values = two_passes()
        off = max(abs(values[key] / whole[key] - 1) for key in whole if isinstance(whole[key], float) and whole[key])
        seconds = timing.interleaved({"two passes": two_passes, "products alone": products})
        for name in seconds:
            print(f"  C = {classes:<6,} {name:<16} {timing.spread(seconds[name])}")
        print(f"  C = {classes:<6,} largest relative deviation from metrics.collapse {off:.1e}")


def main() -> None:
    if "--streams" in sys.argv:
        streams()
        return
    data = planted()
    ours = "lebench.metrics.collapse"
    contestants = {
        ours: lambda: metrics.collapse(**data),
        "float64 NumPy, pseudo-inverse": lambda: straightforward(**data),
        "accumulators, pseudo-inverse": lambda: accumulated(**data),
        "lebench, one-pass stream": lambda: streamed(**data),
    }
    truth = straightforward(**data)
    seconds = timing.interleaved(contestants)
    print("NC1-NC4, 50,000 x 512 float32 features, 10 classes: CPU seconds, median [min, max] of 5 interleaved rounds")
    for name, run in contestants.items():
        values = run()
        # NC4 is a fraction that can be zero; the rest is compared relatively.
        deviation = max(
            abs(values[key] - truth[key]) / (1 if key == "nc4" else abs(truth[key]))
            for key in truth
            if isinstance(values[key], float)
        )
        ratio = timing.spread(timing.ratios(seconds, name, ours))
        print(f"  {name:<30} {timing.spread(seconds[name]):<26} ratio {ratio:<20} deviation {deviation:.1e}")
    tracemalloc.start()
    metrics.collapse(**data)
    print(f"  memory beyond the features: {tracemalloc.get_traced_memory()[1] / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
