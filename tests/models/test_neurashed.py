"""Neurashed as a model: the closed forms of the graph behind what it predicts."""

import numpy as np
import pytest

from lebench import registry
from lebench.data.base import Split, Variant
from lebench.data.feature_graph import GROUPS
from lebench.dynamics import Rule
from lebench.errors import DataError, TrainingError
from lebench.models.neurashed import Neurashed
from lebench.testing import check_model

NAMES = ("first", "second")
#: Each class owns a shared node and two of its own inputs each; standardized or not, a node fires above its mean.
X = np.array([[1, 1, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0], [0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 0, 1]], float)
Y = np.array([0, 0, 1, 1])
SPLIT = Split(3 * X - 1, Y, 3 * X - 1, Y, NAMES)


def test_it_keeps_the_contracts():
    assert check_model(Neurashed()) == []
    graph = Variant("v", groups=GROUPS).apply(registry.datasets.get("feature-graph").split(0), 0)
    assert check_model(Neurashed(batch_size=1), graph) == []


def test_full_batches_strengthen_all_nodes_alike_in_closed_form():
    fitted = Neurashed(batch_size=4, epochs=10, min_steps=0).fit(SPLIT, 0)
    each = 1.05**10
    np.testing.assert_allclose(fitted.features(SPLIT.x_test), each * X, rtol=1e-12)
    expected = each**2 * np.array([[2, 0], [2, 0], [0, 2], [0, 2]])
    np.testing.assert_allclose(fitted.predict(SPLIT.x_test), expected, rtol=1e-12)
    # Two nodes fire for an input, one of them is shared.
    block = np.array([[1, 0.5], [0.5, 1]])
    np.testing.assert_allclose(fitted.similarity(SPLIT.x_test, Y, SPLIT.x_test), np.kron(np.eye(2), block), rtol=1e-12)
    kernel = fitted.similarity(SPLIT.x_test, Y, SPLIT.x_test, "kernel")
    np.testing.assert_allclose(kernel, 2 * each**2 * np.kron(np.eye(2), block), rtol=1e-12)
    assert [point.time for point in fitted.checkpoints()] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_single_inputs_keep_what_fires_above_the_survival_threshold():
    fitted = Neurashed(batch_size=1, epochs=500).fit(SPLIT, 0)
    grown = (fitted.features(np.ones((1, 6))) > fitted.checkpoints()[0].fitted.features(np.ones((1, 6))))[0]
    # Within its class a shared node always fires, a unique one half of the time.
    assert 0.5 < Rule().survival_threshold < 1
    assert grown.tolist() == [True, False, False, True, False, False]
    # What an input has for itself has gone: all of a class respond alike.
    np.testing.assert_allclose(fitted.similarity(X, Y, X), np.kron(np.eye(2), np.ones((2, 2))), atol=1e-3)


def test_a_recipe_says_how_long_and_on_which_batches():
    model = Neurashed().with_recipe((("batch_size", "x4"), ("lr", 0.1), ("epochs", 7), ("min_steps", 0)))
    assert model == Neurashed(batch_size=32, epochs=7, min_steps=0)


def test_errors_say_what_to_do():
    with pytest.raises(TrainingError, match="choose fewer epochs"):
        Neurashed(batch_size=4, epochs=10_000).fit(SPLIT, 0)
    empty = Split(np.zeros((4, 2)), Y, np.zeros((4, 2)), Y, NAMES)
    with pytest.raises(DataError, match="point of class first"):
        Neurashed().fit(empty, 0)
