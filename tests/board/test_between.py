"""Where a model lies between a kernel and a network: the interval of the share against its test, the verdicts."""

import numpy as np
import pytest

from lebench import board
from lebench.board.between import Triple, position, triples_among


def by_seed(mean, seeds=5, spread=0.01):
    """Values that differ by seed, with the same pattern for all, which pairing removes, and a little of their own."""
    rng = np.random.default_rng(int(1e6 * abs(mean)) + 7)
    return {seed: mean + 0.3 * seed + spread * rng.standard_normal() for seed in range(seeds)}


@pytest.mark.parametrize(
    ("model", "network", "verdict"),
    [
        (0.5, 1.0, "between"),
        (1.0, 1.004, "up to the network"),
        (2.0, 1.0, "beyond the network"),
        (0.0005, 1.0, "no gain"),
        (-1.0, 1.0, "below the kernel"),
        (0.5, 0.0007, "no gap told, above the kernel"),
        (0.5, -1.0, "kernel ahead of network, above the kernel"),
        (-0.5, -1.0, "kernel ahead of network, below the kernel"),
    ],
)
def test_verdicts(model, network, verdict):
    at = position(by_seed(model), by_seed(0.0), by_seed(network))
    assert at.verdict == verdict
    assert (at.closed is None) == (network < 0.1)
    assert at.model - at.kernel == pytest.approx(at.gain.mean)


def test_where_less_is_better_the_signs_turn_and_the_share_stays():
    values = by_seed(0.4), by_seed(0.0), by_seed(1.0)
    up = position(*values)
    down = position(*({seed: -v for seed, v in each.items()} for each in values), lower_is_better=True)
    assert down.gain == up.gain
    assert down.closed == up.closed
    assert down.model == pytest.approx(-up.model)


def test_only_common_seeds_count():
    at = position(by_seed(0.4), by_seed(0.0, 3), by_seed(1.0, 4))
    assert at.gap.seeds == 3
    assert position({0: 1.0}, {1: 1.0}, {0: 1.0}) is None
    assert position({0: 1.0}, {0: 0.0}, {0: 2.0}).verdict == "one seed: no interval"


def test_triples_are_found_by_name_with_any_parameters():
    labels = ["mlp", "mlp[lr=0.01]", "ntk-mlp", "lantk-hr-mlp[permuted=true]", "cnn", "lantk-hr-cnn"]
    assert list(triples_among(labels)) == [
        Triple("lantk-hr-mlp[permuted=true]", "ntk-mlp", "mlp"),
        Triple("lantk-hr-mlp[permuted=true]", "ntk-mlp", "mlp[lr=0.01]"),
    ]


def test_what_has_no_direction_has_no_place():
    assert board.place(None, "lantk/digits-pairs", "label_ratio@3-8", Triple("a", "b", "c")) is None
