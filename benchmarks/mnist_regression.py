"""Exact NTK regression on MNIST by tiles, and its Nyström approximation.

    LEBENCH_DATA=... python benchmarks/mnist_regression.py [N] [--depth 2] [--relative-ridge 1e-4] [--folder TILES]
        [--edge 4096] [--centres K]

Prints CPU and wall seconds of each part, the largest memory and the test accuracy; with `--centres` also how far the
approximation is from the exact predictions. A folder keeps the tiles in a file, and a second call goes on there.
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import timing

from lebench import progress
from lebench.architectures import mlp
from lebench.data.images import MNIST
from lebench.kernels import (
    infinite_width_operator,
    nystrom_regression,
    one_hot_targets,
    tiled_regression,
)


def clocked(title, function):
    """Call a function and print what it took."""
    start, wall = time.process_time(), time.perf_counter()
    result = function()
    seconds, elapsed = time.process_time() - start, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{title}: {seconds:.4g} CPU s, {elapsed:.4g} s; peak {peak:.3g} GiB", flush=True)
    return result


def report(place):
    if place.get("tile", 0) % 10 == 0 and "tile" in place:
        print(f"  tile {place['tile']} of {place['tiles']}", flush=True)


def accuracy(scores, labels):
    return float((scores.argmax(axis=1) == labels).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("n", type=timing.at_least(1000), nargs="?", default=10_000)
    parser.add_argument("--depth", type=timing.at_least(1), default=2)
    parser.add_argument("--relative-ridge", type=timing.at_least(0, float), default=1e-4)
    parser.add_argument("--edge", type=timing.at_least(100), default=4096)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--centres", type=timing.at_least(1))
    given = parser.parse_args()
    images, labels, test_images, test_labels = MNIST.arrays()
    x, test = (part.reshape(len(part), -1).astype(np.float32) / 255 for part in (images[: given.n], test_images))
    targets, architecture = one_hot_targets(labels[: given.n], 10), mlp(depth=given.depth)
    kernel = infinite_width_operator(architecture, x)
    print(f"NTK of {given.depth} hidden layers, {len(x):,} digits, relative ridge {given.relative_ridge:g}", flush=True)

    def fit():
        options = {"relative_ridge": given.relative_ridge, "edge": given.edge, "folder": given.folder}
        with progress.listen(report):
            return tiled_regression(kernel, targets, **options)

    exact = clocked("exact, by tiles", fit)
    scores = clocked("prediction", lambda: exact.predict(infinite_width_operator(architecture, test, x)))
    print(
        f"residual before the refinement {exact.residuals[-1]:.1e}, test accuracy {accuracy(scores, test_labels):.4f}"
    )
    if given.centres:
        fitted = clocked(
            f"Nyström, {given.centres:,} centres",
            lambda: nystrom_regression(kernel, targets, given.centres, given.relative_ridge),
        )
        close = fitted.predict(infinite_width_operator(architecture, test, x[fitted.centres]))
        difference = fitted.difference(close, scores)
        print(
            f"test accuracy {accuracy(close, test_labels):.4f}; relative difference to the exact scores "
            f"{difference['relative_difference']:.3g}, other decisions {difference['other_decisions']:.3%}"
        )


if __name__ == "__main__":
    main()
