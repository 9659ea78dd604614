"""Metrics that are invariant to scale are so from 1e-150 to 1e150, on their known answers and on random points."""

import numpy as np
import pytest

from lebench import metrics, registry
from lebench.calibrate import check, in_unit

EXPONENTS = [-150, -75, 75, 150]
INVARIANT = [name for name in registry.metrics.names() if "scale" in registry.metrics.get(name).invariant_to]


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("name", INVARIANT)
def test_known_answers(name, exponent):
    metric = registry.metrics.get(name)
    answers = in_unit(metric, 10.0**exponent)
    assert len(answers) == len(metric.known_answers)
    results = [check(metric, answer) for answer in answers]
    assert [result for result in results if not result["ok"]] == []


TRANSLATED = [
    name
    for name in registry.metrics.names()
    if "translation" in (metric := registry.metrics.get(name)).invariant_to
    and "features" in metric.known_answers[0].inputs()
]


@pytest.mark.parametrize("name", TRANSLATED)
def test_known_answers_far_from_zero(name):
    """Squares of such features have lost all digits of their spread but those that a float64 keeps of the features."""
    metric, offset = registry.metrics.get(name), 2.0**20
    for answer in metric.known_answers:
        inputs = dict(answer.inputs())
        inputs["features"] = inputs["features"] + offset
        expected = pytest.approx(answer.expected, rel=offset * max(answer.rtol, 1e-14), abs=offset * answer.atol)
        assert metric(**inputs) == expected, answer.name


@pytest.mark.parametrize("exponent", [-160, -150, -80, 80, 150, 160])
def test_correlation_with_distances(exponent):
    rng = np.random.default_rng(0)
    similarity, distance = rng.random((6, 6)), rng.random((6, 6))
    expected = metrics.distance_pearson(similarity, distance)
    assert metrics.distance_pearson(similarity * 10.0**exponent, distance) == pytest.approx(expected, rel=1e-12)
    assert metrics.distance_pearson(similarity, distance * 10.0**exponent) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("exponent", [-150, -100, -78, 78, 100, 150])
def test_collapse(exponent):
    rng = np.random.default_rng(0)
    unit, labels = 10.0**exponent, np.arange(40) % 4
    features = rng.standard_normal((40, 6)) + rng.standard_normal((4, 6))[labels]
    weights, bias = rng.standard_normal((4, 6)), rng.standard_normal(4)
    expected = metrics.collapse(features, labels, weights, bias, features[:4])
    found = metrics.collapse(features * unit, labels, weights, bias * unit, features[:4] * unit)
    expected["nc3_bias"] *= unit
    assert found == pytest.approx(expected, rel=1e-9)
    gram = features @ features.T
    assert metrics.collapse_from_gram(gram * unit * unit, labels) == pytest.approx(
        metrics.collapse_from_gram(gram, labels), rel=1e-9
    )
