"""Kernels against their peers, with pytest-benchmark: 'make bench-compare'.

pytest-benchmark measures lebench in CPU seconds. Before each of its rounds every peer runs once and is measured in the
same way, so that a busy machine disturbs all alike. The ratios are printed, and stored with the benchmark as
`extra_info` (``--benchmark-json FILE``). Contestants and inputs are those of
``entk_bench.py`` and ``kernels_bench.py``.
"""

import time
from functools import partial

import entk_bench
import kernels_bench
import pytest
import timing
import torch

ROUNDS = 5
#: What is asked for, by case and peer: times the CPU seconds of lebench.
AT_LEAST = {
    ("mlp", "torch.func"): 150,
    ("mlp", "neural-tangents NTK_VECTOR_PRODUCTS"): 150,
    ("mlp", "neural-tangents STRUCTURED_DERIVATIVES"): 2,
    ("digits", "torch.func"): 15,
    ("resnet", "torch.func"): 1,
    ("dense5000", "neural-tangents"): 4,
    ("flatten100", "neural-tangents"): 12,
    ("gap", "neural-tangents"): 200,
}


@pytest.fixture
def compare(benchmark, capsys):
    """Return a function that measures "ours" and its peers in turn, and tells the ratios."""

    def measured(case, title, functions):
        peers = {name: function for name, function in functions.items() if name != "ours"}
        seconds = {name: [] for name in peers}
        results = {name: function() for name, function in functions.items()}  # compiles

        def run_peers():
            for name, function in peers.items():
                timing.settle()
                start = time.process_time()
                function()
                seconds[name].append(time.process_time() - start)
            timing.settle()

        benchmark.group = title
        benchmark.pedantic(functions["ours"], setup=run_peers, rounds=ROUNDS)
        seconds["ours"] = benchmark.stats.stats.data
        with capsys.disabled():
            print()
            for name in peers:
                ratios = timing.ratios(seconds, name, "ours")
                benchmark.extra_info[f"{name} / ours"] = sorted(ratios)
                asked = f", at least {AT_LEAST[case, name]} is asked for" if (case, name) in AT_LEAST else ""
                print(f"{title}: {name} / ours = {timing.spread(ratios)}{asked}")
        return results

    return measured


@pytest.mark.parametrize("case", ["loop", "mlp", "digits", "resnet"])
def test_empirical_kernel(compare, case):
    torch.set_num_threads(1)
    net, x = entk_bench.made(case)
    functions = {name: partial(method, net, x) for name, method in entk_bench.contestants(case, net, x).items()}
    results = compare(case, entk_bench.CASES[case][0], functions)
    assert entk_bench.deviation(results["ours"], entk_bench.exact_kernel(net, x)) < 1e-6


@pytest.mark.parametrize("case", ["dense5000", "flatten100", "gap"])
def test_infinite_width_kernel(compare, case):
    functions, exact = kernels_bench.contestants(case)
    results = compare(case, kernels_bench.CASES[case][0], functions)
    off_the_diagonal, _ = kernels_bench.deviations(results["ours"], exact)
    assert off_the_diagonal < 3e-7
