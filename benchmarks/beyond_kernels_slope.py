"""How the loss of a network and of a kernel falls with the dimension of a teacher network: catalogue entry BN-4.

Targets are the mean of |w.x| over d orthonormal directions, 8 d^2 training and 5,000 test points, all drawn anew for
each seed. The kernel is the tangent kernel of two layers without biases, at the best of four ridges on the test points,
which favours it. The network has one hidden layer and the recipe of the tasks ``overparam/teacher-*``, but for the
number of steps: `--passes` over the training points, and never fewer than the tasks take. Prints d times the test loss
of both, and the slope of the log loss in log d as mean and Student's 95 % interval over seeds.

    python benchmarks/beyond_kernels_slope.py [--dimensions 8 16 32] [--seeds 3] [--passes 0 750] [--width 512]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import t as student

from lebench import registry
from lebench.architectures import mlp
from lebench.data.base import Split
from lebench.data.teachers import teacher
from lebench.kernels import infinite_width_kernel
from lebench.tasks.beyond_kernels import _TEACHER_RECIPE, homogeneous_floor

RIDGES = (1e-5, 1e-4, 1e-3, 1e-2)
TEST = 5_000


def teacher_split(d: int, seed: int) -> Split:
    """Return 8 d^2 training and 5,000 test points of the teacher in d dimensions."""
    n = 8 * d**2
    x = np.random.default_rng([d, seed]).standard_normal((n + TEST, d))
    y, none = teacher(x), np.zeros(n + TEST, int)
    return Split(x[:n], none[:n], x[n:], none[n:], ("target",), target_train=y[:n], target_test=y[n:])


def network_loss(split: Split, seed: int, passes: float, width: int = 512) -> float:
    """Return the test loss of a network that sees every training point `passes` times, at least as in the tasks."""
    recipe = dict(_TEACHER_RECIPE)
    steps = max(int(recipe["min_steps"]), round(passes * len(split.x_train) / int(recipe["batch_size"])))
    network = registry.models.get("mlp")(depth=1, width=width)
    fitted = network.with_recipe(tuple((recipe | {"min_steps": steps}).items())).fit(split, seed)
    return float(np.square(fitted.predict(split.x_test) - split.target_test).mean())


def kernel_loss(split: Split) -> float:
    """Return the test loss of the tangent kernel of two layers without biases at the best ridge."""
    train, n = split.x_train, len(split.x_train)
    without_biases = replace(mlp(depth=1), bias_variance=0.0)
    kernel, across = (infinite_width_kernel(without_biases, points, train) for points in (train, split.x_test))
    losses, scale, diagonal = [], np.trace(kernel) / n, np.diag_indices(n)
    for ridge in np.diff(RIDGES, prepend=0.0):
        kernel[diagonal] += ridge * scale
        solution = cho_solve(cho_factor(kernel, check_finite=False), split.target_train)
        losses.append(float(np.square(across @ solution - split.target_test).mean()))
    return min(losses)


def slopes(dimensions: list[int], losses: np.ndarray) -> np.ndarray:
    """Return the least-squares slope of log loss in log dimension for each seed; losses are (dimensions, seeds)."""
    return np.polyfit(np.log(dimensions), np.log(losses), 1)[0]


def told(values: np.ndarray) -> str:
    """Return the mean with Student's 95 % interval, alone if there is one value."""
    if len(values) < 2:
        return f"{values.mean():.2f}"
    width = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.2f} [{values.mean() - width:.2f}, {values.mean() + width:.2f}]"


def main() -> None:
    """Fit both at every dimension and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--passes", type=float, nargs="+", default=[0, 750], help="0 is the number of the tasks")
    parser.add_argument("--width", type=int, default=512, help="hidden units")
    parser.add_argument("--only", choices=("network", "kernel"), help="leave out the other")
    options = parser.parse_args()
    found: dict[str, np.ndarray] = {}
    print("d    seed  model                 d x test loss  of the floor  CPU s")
    for row, d in enumerate(options.dimensions):
        for seed in range(options.seeds):
            split = teacher_split(d, seed)
            jobs = {} if options.only == "network" else {"kernel": lambda split=split: kernel_loss(split)}
            for passes in [] if options.only == "kernel" else options.passes:
                jobs[f"network, {passes:g} passes"] = lambda split=split, seed=seed, passes=passes: network_loss(
                    split, seed, passes, options.width
                )
            for name, job in jobs.items():
                start = time.process_time()
                loss = job()
                found.setdefault(name, np.empty((len(options.dimensions), options.seeds)))[row, seed] = loss
                share, seconds = d * loss / homogeneous_floor(d), time.process_time() - start
                print(f"{d:<4d} {seed:4d}  {name:21} {d * loss:13.6f}  {share:12.4f}  {seconds:5.1f}", flush=True)
    for name, losses in found.items():
        print(f"slope of log loss in log d, {name}: {told(slopes(options.dimensions, losses))}")
    floor = np.array([[homogeneous_floor(d) / d] for d in options.dimensions])
    print(f"slope of the floor of homogeneous kernels: {told(slopes(options.dimensions, floor))}")


if __name__ == "__main__":
    main()
