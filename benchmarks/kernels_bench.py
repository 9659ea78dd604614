"""Infinite-width kernels and kernel solves against neural-tangents and NumPy.

Ratios of CPU seconds, one thread, interleaved in one run, median [min, max] of the rounds; what JAX and numba take to
compile is not counted. Errors are the largest deviation relative to the largest entry, from neural-tangents in float64
(on its diagonal an upper bound: it takes the angle of an input with itself from a rounded cosine).

    python benchmarks/kernels_bench.py [--rounds 5] [--only dense|flatten|gap|digits|solve|memory]
"""

import argparse
import multiprocessing
import time
from functools import partial
from pathlib import Path

import timing

if __name__ == "__main__":
    timing.single_thread()

import jax
import numpy as np
from sklearn.datasets import load_digits

from lebench.architectures import Architecture, Conv, Dense, Flatten, GlobalAvgPool, Relu, mlp
from lebench.backends.neural_tangents import stax_network
from lebench.kernels import infinite_width_kernel, solve_spd

BODY = (Conv(8), Relu) * 3
VANILLA = Architecture((*BODY, Flatten(), Dense()), weight_variance=1.0)
POOLED = Architecture((*BODY, GlobalAvgPool(), Dense()), weight_variance=1.0)


CASES = {
    "dense2000": ("NTK, dense, depth 5, d=784, n=2000", mlp(depth=4), (2000, 784)),
    "dense5000": ("NTK, dense, depth 5, d=784, n=5000", mlp(depth=4), (5000, 784)),
    "flatten50": ("CNTK, flatten, 32x32x3, n=50", VANILLA, (50, 32, 32, 3)),
    "flatten100": ("CNTK, flatten, 32x32x3, n=100", VANILLA, (100, 32, 32, 3)),
    "gap": ("CNTK, global average pooling, 8x8x3, n=48", POOLED, (48, 8, 8, 3)),
}


def deviations(got, exact):
    """Return the largest deviation off and on the diagonal, relative to the largest entry."""
    off = np.abs(np.asarray(got, dtype=np.float64) - exact) / np.abs(exact).max()
    diagonal = np.diag(off).max()
    np.fill_diagonal(off, 0)
    return off.max(), diagonal


def error(got, exact):
    return "{:.1e} ({:.1e} on the diagonal)".format(*deviations(got, exact))


def contestants(case):
    """Return two functions that compute the kernel of a case in float32, and its value in float64."""
    _, architecture, shape = CASES[case]
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    kernel = jax.jit(lambda x: stax_network(architecture).kernel(x, None, "ntk"))
    with jax.enable_x64(True):
        exact = np.asarray(jax.jit(lambda x: stax_network(architecture).kernel(x, None, "ntk"))(x.astype(np.float64)))
    return {
        "neural-tangents": lambda: np.asarray(kernel(x)),
        "ours": lambda: infinite_width_kernel(architecture, x),
    }, exact


def against_neural_tangents(case, rounds):
    functions, exact = contestants(case)
    kept = {}

    def keep(name):
        kept[name] = functions[name]()

    seconds = timing.interleaved({name: partial(keep, name) for name in functions}, rounds)
    ratio = timing.spread(timing.ratios(seconds, "neural-tangents", "ours"))
    print(
        f"{CASES[case][0]}, float32: neural-tangents / ours = {ratio}; ours {timing.spread(seconds['ours'])} CPU s, "
        f"error {error(kept['ours'], exact)}; of neural-tangents {error(kept['neural-tangents'], exact)}",
        flush=True,
    )


def dense(rounds):
    for case in ("dense2000", "dense5000"):
        against_neural_tangents(case, rounds)


def flatten(rounds):
    for case in ("flatten50", "flatten100"):
        against_neural_tangents(case, rounds)


def gap(rounds):
    against_neural_tangents("gap", rounds)


def digits(rounds):
    x = load_digits().images.astype(np.float32)[..., None] / 16
    start = time.process_time()
    kernel = infinite_width_kernel(POOLED, x)
    seconds = time.process_time() - start
    some = np.arange(0, 1797, 30)
    exact = infinite_width_kernel(POOLED, x[some].astype(np.float64))
    print(
        f"CNTK, global average pooling, all 1,797 digits, float32: {seconds:.3g} CPU s; error on 60 of them "
        f"{error(kernel[np.ix_(some, some)], exact)} of our float64",
        flush=True,
    )


def solve(rounds):
    n, outputs = 4000, 10
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 40)) @ rng.standard_normal((40, 200))
    kernel = infinite_width_kernel(mlp(depth=2), x)
    targets = rng.standard_normal((n, outputs))
    ridge = 1e-3 * np.trace(kernel) / n
    kept = {}

    def ours():
        kept["ours"] = solve_spd(kernel, targets, ridge).coefficients

    def numpy():
        kept["numpy"] = np.linalg.solve(kernel + ridge * np.eye(n), targets)

    seconds = timing.interleaved({"numpy.linalg.solve": numpy, "ours": ours}, rounds)
    difference = np.abs(kept["ours"] - kept["numpy"]).max() / np.abs(kept["numpy"]).max()
    print(
        f"ridge regression, n={n}, {outputs} outputs: numpy.linalg.solve / ours = "
        f"{timing.spread(timing.ratios(seconds, 'numpy.linalg.solve', 'ours'))}; ours {timing.spread(seconds['ours'])} "
        f"CPU s, difference {difference:.1e}",
        flush=True,
    )


def _resident(name):
    """Return bytes of this process that lie in memory: "VmRSS" now, "VmHWM" at most."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split(f"{name}:")[1].split()[0])


def _peak(architecture, shape, queue):
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    infinite_width_kernel(architecture, x[:2])
    # The peak of the compiler must not hide that of the computation.
    Path("/proc/self/clear_refs").write_text("5")
    before = _resident("VmRSS")
    start = time.process_time()
    kernel = infinite_width_kernel(architecture, x)
    seconds = time.process_time() - start
    queue.put((_resident("VmHWM") - before, kernel.nbytes, seconds))


def memory(rounds):
    """Measure the peak of a process of its own; on Linux, which can forget an earlier peak."""
    context = multiprocessing.get_context("spawn")
    for title, architecture, shape in (
        ("dense, depth 5, n=5,000", mlp(depth=4), (5000, 784)),
        ("dense, depth 5, n=10,000", mlp(depth=4), (10_000, 784)),
        ("flatten, 32x32x3, n=1,000", VANILLA, (1000, 32, 32, 3)),
        ("global average pooling, 32x32x3, n=16", POOLED, (16, 32, 32, 3)),
    ):
        queue = context.Queue()
        process = context.Process(target=_peak, args=(architecture, shape, queue))
        process.start()
        peak, result, seconds = queue.get()
        process.join()
        print(
            f"{title}: {peak / 1e6:.4g} MB beyond inputs, of which {result / 1e6:.4g} MB are the result; "
            f"{seconds:.3g} CPU s",
            flush=True,
        )


PARTS = {"memory": memory, "dense": dense, "flatten": flatten, "gap": gap, "digits": digits, "solve": solve}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=PARTS)
    arguments = parser.parse_args()
    for name, part in PARTS.items():
        if arguments.only in (None, name):
            part(arguments.rounds)
