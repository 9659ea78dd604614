"""Many trials at once against a loop by automatic differentiation, one trial after the other."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from lebench.backends.trials import train_trials
from lebench.errors import DataError, LebenchError, ParameterError, TrainingError

POINTS, STEPS, TRIALS = 12, 15, 3


def convolutional():
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False), nn.ReLU(),
        nn.Flatten(), nn.Linear(4 * 2 * 2, 6), nn.ReLU(), nn.Linear(6, 3),
    )  # fmt: skip


def dense():
    return nn.Sequential(nn.Flatten(), nn.Linear(128, 7), nn.ReLU(), nn.Linear(7, 3))


def loop(network, x, y, points, lr):
    """The released pipeline: one point at a time, its scores logged before the step."""
    network = copy.deepcopy(network).double()
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    logged = []
    for point in points:
        scores = network(x[point : point + 1])
        logged.append(scores.detach()[0].numpy())
        optimizer.zero_grad()
        nn.functional.cross_entropy(scores, y[point : point + 1]).backward()
        optimizer.step()
    return np.array(logged), network


@pytest.mark.parametrize("make", [convolutional, dense])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_trials_are_the_loop_over_trials(make, dtype, tolerance):
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    networks = [make() for _ in range(TRIALS)]
    x, y = rng.standard_normal((POINTS, 8, 8, 2)), rng.integers(0, 3, (TRIALS, POINTS))
    points = rng.integers(0, POINTS, (STEPS, TRIALS))
    tensor = torch.from_numpy(np.moveaxis(x, -1, 1).copy())
    expected = [loop(net, tensor, torch.from_numpy(y[t]), points[:, t], 0.1) for t, net in enumerate(networks)]
    found = train_trials(networks, x, y, points, 0.1, dtype)
    assert found.scores.shape == (STEPS, TRIALS, 3)
    for trial, (scores, network) in enumerate(expected):
        np.testing.assert_allclose(found.scores[:, trial], scores, atol=tolerance)
        # The networks keep their own precision.
        for ours, theirs in zip(found.networks[trial].parameters(), network.parameters(), strict=True):
            np.testing.assert_allclose(ours.detach(), theirs.detach(), atol=max(tolerance, 1e-6))
    assert np.abs(np.diff(found.scores, axis=0)).max() > 0.1


def test_what_cannot_be_stacked_is_named():
    x, y, points = np.zeros((4, 5)), np.zeros(4, int), np.zeros((2, 1), int)
    net = nn.Sequential(nn.Linear(5, 3))
    with pytest.raises(LebenchError, match="Tanh is none of"):
        train_trials([nn.Sequential(nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 3))], x, y, points, 0.1)
    with pytest.raises(LebenchError, match="differ in structure"):
        train_trials([net, nn.Sequential(nn.Linear(5, 2))], x, y, np.zeros((2, 2), int), 0.1)
    with pytest.raises(ParameterError, match="not positive"):
        train_trials([net], x, y, points, 0.0)
    with pytest.raises(ParameterError, match="at least one step"):
        train_trials([net], x, y, points[:0], 0.1)
    with pytest.raises(DataError, match="do not fit 4 inputs"):
        train_trials([net], x, y, points + 4, 0.1)
    with pytest.raises(ParameterError, match="at least one trial"):
        train_trials([], x, y, points[:, :0], 0.1)
    with pytest.raises(DataError, match="labels up to 3 for 3 scores"):
        train_trials([net], x, y + 3, points, 0.1)
    with pytest.raises(TrainingError, match="trial 0 diverged, and 0 others: take a smaller lr than 1e"):
        train_trials([nn.Sequential(nn.Linear(5, 3))], 1e30 * (x + 1), y, np.zeros((9, 1), int), 1e30)
