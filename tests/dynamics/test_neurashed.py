"""Neurashed: amplifications, survival, the bottleneck and local elasticity against closed forms and loops."""

import itertools

import numpy as np
import pytest

from lebench.dynamics import (
    Graph,
    Rule,
    contributions,
    draw_batches,
    pattern_information,
    response,
    train,
)
from lebench.errors import DataError, ParameterError

THRESHOLD = 0.5979744591971987


def matrix(rows, columns):
    """Return edges from lists of children."""
    edges = np.zeros((len(rows), columns), dtype=bool)
    for row, children in enumerate(rows):
        edges[row, children] = True
    return edges


def patterns(rows, columns):
    return matrix(rows, columns)


#: Each class owns a shared node and two of its own inputs each: shared 0, unique 1 and 2; shared 3, unique 4 and 5.
PAIRS = Graph((matrix([[0, 1, 2], [3, 4, 5]], 6),))
INPUTS, LABELS = patterns([[0, 1], [0, 2], [3, 4], [3, 5]], 6), np.array([0, 0, 1, 1])

#: Three levels: pathways of two nodes each, one of them common to two classes.
DEEP = Graph((matrix([[0, 1], [1, 2], [2, 3], [4]], 5), matrix([[0, 1], [1, 2], [3]], 4)))


def test_nodes_fire_when_enough_children_do():
    fires = DEEP.fires(patterns([[0, 1], [1, 2], [0, 3], [4], []], 5))
    np.testing.assert_array_equal(fires[:, DEEP.level(1)], patterns([[0], [1], [], [3], []], 4))
    np.testing.assert_array_equal(fires[:, DEEP.level(-1)], patterns([[0], [0, 1], [], [2], []], 3))
    strict = Graph(DEEP.edges, top="all").fires(patterns([[0, 1], [0, 1, 2]], 5))
    np.testing.assert_array_equal(strict[:, DEEP.level(-1)], patterns([[], [0]], 3))
    loose = Graph(DEEP.edges, inner="any").fires(patterns([[2]], 5))
    np.testing.assert_array_equal(loose[:, DEEP.level(1)], patterns([[1, 2]], 4))


@pytest.mark.parametrize("size", [1, 2, None])
@pytest.mark.parametrize("scope", ["global", "class"])
def test_amplifications_are_the_closed_form_in_the_number_of_firings(size, scope):
    batches = draw_batches(4, 200, size, np.random.default_rng(0))
    rule = Rule(scope=scope)
    course = train(PAIRS, INPUTS, LABELS, batches, rule, initial=2.0)
    fires = PAIRS.fires(INPUTS)
    for node in range(8):
        fired = sum(any(fires[i, node] for i in batch) for batch in batches)
        own = 0 if node in (0, 1, 2, 6) else 1
        counted = sum(scope == "global" or any(LABELS[i] == own for i in batch) for batch in batches)
        expected = np.log(2.0) + fired * np.log(1.05) + (counted - fired) * np.log(0.93)
        assert course.log_amplification[-1, node] == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_the_survival_threshold_is_the_published_constant_and_balances_the_drift():
    assert Rule().survival_threshold == pytest.approx(THRESHOLD, rel=1e-15)
    assert Rule(1.0, 3.0, kind="additive").survival_threshold == 0.75
    for rule in (Rule(), Rule(1.2, 0.5)):
        p = rule.survival_threshold
        assert p * np.log(rule.facilitation) + (1 - p) * np.log(rule.inhibition) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("rule", [Rule(), Rule(1.3, 0.8)], ids=["default", "other"])
def test_survivors_are_the_nodes_that_fire_more_often_than_the_threshold(rule):
    rng = np.random.default_rng(1)
    inputs = rng.random((30, 12)) < rng.uniform(0.2, 0.95, 12)
    inputs[:, 0] = True
    graph = Graph((matrix([range(6), range(6, 12)], 12),))
    course = train(graph, inputs, np.arange(30) % 2, draw_batches(30, 400, 1, rng), rule)
    frequency = course.facilitated.mean(axis=0)
    np.testing.assert_array_equal(course.survivors, frequency > rule.survival_threshold)
    assert 0 < course.survivors.sum() < len(frequency)


def test_single_inputs_keep_only_shared_nodes_and_the_full_batch_keeps_all():
    rule = Rule(scope="class")
    small = train(PAIRS, INPUTS, LABELS, draw_batches(4, 2000, 1, np.random.default_rng(0)), rule)
    full = train(PAIRS, INPUTS, LABELS, draw_batches(4, 2000, None, np.random.default_rng(0)), rule)
    # Within its class a shared node always fires, a unique one half of the time: 1/2 < p* < 1.
    assert np.flatnonzero(small.survivors).tolist() == [0, 3, 6, 7]
    assert full.survivors.all()
    assert small.log_amplification[-1, 1] < -10
    # Inhibited by the other class as well, even shared nodes fire too rarely.
    both = train(PAIRS, INPUTS, LABELS, draw_batches(4, 2000, 1, np.random.default_rng(0)))
    assert not both.survivors.any()


def test_the_share_of_survivors_grows_with_the_batch():
    rng = np.random.default_rng(3)
    graph, inputs = Graph((matrix([range(10), range(10, 20)], 20),)), rng.random((40, 20)) < 0.3
    shares = [
        train(graph, inputs, np.arange(40) % 2, draw_batches(40, 500, size, rng)).survivors[:20].mean()
        for size in (1, 3, 40)
    ]
    assert shares[0] < shares[-1]
    assert shares == sorted(shares)


def test_the_additive_rule_is_a_loop_that_stops_at_zero():
    rule = Rule(0.3, 0.5, kind="additive")
    batches = draw_batches(4, 60, 1, np.random.default_rng(2))
    course = train(PAIRS, INPUTS, LABELS, batches, rule)
    value, least = np.ones(8), np.inf
    for (i,) in batches:
        value = np.maximum(value + np.where(PAIRS.fires(INPUTS)[i], 0.3, -0.5), 0)
        least = min(least, value.min())
    np.testing.assert_allclose(np.exp(course.log_amplification[-1]), value, rtol=1e-12)
    assert least == 0


def alternating(steps):
    """Return shares of amplification after training on two inputs in turn, that share a node and have one each."""
    graph, inputs = Graph((matrix([[0, 1, 2], [3]], 4),)), patterns([[0, 1], [0, 2]], 4)
    course = train(graph, inputs, np.zeros(2, dtype=int), np.arange(steps)[:, None] % 2)
    return contributions(graph, inputs, course.log_amplification[-1])


@pytest.mark.parametrize(("steps", "rounded"), [(2, 1.0), (50, 1.0), (100, 0.0), (200, 0.0)])
def test_information_falls_only_if_the_state_is_rounded(steps, rounded):
    states = alternating(steps)
    assert pattern_information(states) == 1.0
    assert pattern_information(states, decimals=2) == rounded


def test_information_falls_after_its_peak_at_two_resolutions():
    for decimals, fell in ((1, 50), (3, 150)):
        course = [pattern_information(alternating(steps), decimals) for steps in (2, 10, 20, 50, 100, 150, 200)]
        assert course == sorted(course, reverse=True)
        assert course[0] == 1.0
        assert course[-1] == 0.0
        assert pattern_information(alternating(fell), decimals) == 0.0
    assert pattern_information(alternating(100), 3) > pattern_information(alternating(100), 2)


def test_information_is_the_sum_over_pairs():
    rng = np.random.default_rng(0)
    states, p = rng.integers(0, 3, (8, 1)).astype(float), rng.dirichlet(np.ones(8))
    marginal = {value: p[states[:, 0] == value].sum() for value in (0, 1, 2)}
    expected = sum(p[i] * np.log2(p[i] / (p[i] * marginal[states[i, 0]])) for i in range(8))
    assert pattern_information(states, probabilities=p) == pytest.approx(expected, rel=1e-12)
    assert pattern_information(states, 0, probabilities=p) == pytest.approx(expected, rel=1e-12)


#: Two sub-classes with a node each (0, 1), and an incidental node (2, 3, 4) in every input; the other class is node 5.
SUBS = Graph((matrix([[0, 1, 2, 3, 4], [5]], 6),))
VARIED = patterns([[sub, 2 + extra] for sub, extra in itertools.product((0, 1), (0, 1, 2))], 6)


def test_the_response_is_the_ratio_of_shared_amplifications():
    course = train(SUBS, VARIED, np.zeros(6, dtype=int), draw_batches(6, 60, 1, np.random.default_rng(0)))
    logs = course.log_amplification[-1]
    found = response(SUBS, VARIED, VARIED, logs)
    amplification = np.exp(logs[:6])
    expected = np.array([[amplification[a & b].sum() / amplification[a].sum() for b in VARIED] for a in VARIED])
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_elasticity_is_none_at_first_on_a_symmetric_graph_and_grows():
    # Of input 0 the second shares the sub-class, the fourth the incidental node.
    ratios = []
    for steps in (0, 30, 120):
        order = np.tile(np.arange(6), steps // 6 + 1)[: steps or 1, None]
        course = train(SUBS, VARIED, np.zeros(6, dtype=int), order)
        logs = course.log_amplification[steps]
        same, other = response(SUBS, VARIED[:1], VARIED[[1, 3]], logs)[0]
        ratios.append(same / other)
        # A node of a sub-class fires in half of the steps, an incidental one in a third.
        assert same / other == pytest.approx((1.05 / 0.93) ** (steps / 6), rel=1e-10)
    assert ratios[0] == pytest.approx(1, rel=1e-12)
    assert ratios[0] < ratios[1] < ratios[2]


@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_response_is_what_a_small_facilitation_does_to_the_scores(level):
    rng = np.random.default_rng(5)
    logs, inputs = rng.standard_normal(12), patterns([[0, 1], [0, 1, 2], [1, 2, 3], [0, 1, 2, 3], [3, 4]], 5)
    found = response(DEEP, inputs[:3], inputs, logs, level=level)
    before = np.exp(DEEP.log_scores(inputs, logs)).sum(axis=1)
    for s in range(3):
        changed = logs.copy()
        here = np.arange(12)[DEEP.level(level)]
        changed[here[DEEP.fires(inputs[s : s + 1])[0, here]]] += np.log(1.05)
        change = np.exp(DEEP.log_scores(inputs, changed)).sum(axis=1) - before
        np.testing.assert_allclose(found[s], change / change[s], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("combine", ["sum", "mean", "max"])
def test_scores_are_what_a_loop_over_nodes_gives(combine):
    rng = np.random.default_rng(6)
    logs, inputs = rng.standard_normal(12), rng.random((20, 5)) < 0.6
    found = np.exp(DEEP.log_scores(inputs, logs, combine))
    function = {"sum": sum, "mean": lambda values: sum(values) / len(values), "max": max}[combine]
    for row, fires in enumerate(DEEP.fires(inputs)):
        z = [np.exp(logs[k]) * fires[k] for k in range(5)]
        for level, edges in enumerate(DEEP.edges, start=1):
            offset = DEEP.level(level).start
            z = [
                np.exp(logs[offset + k]) * function([z[c] for c in np.flatnonzero(edges[k])]) * fires[offset + k]
                for k in range(len(edges))
            ]
        np.testing.assert_allclose(found[row], z, rtol=1e-12)


def test_training_for_very_long_overflows_nothing():
    course = train(PAIRS, INPUTS, LABELS, draw_batches(4, 40_000, None, np.random.default_rng(0)))
    logs = course.log_amplification[-1]
    assert logs[0] > 1900
    assert PAIRS.log_scores(INPUTS, logs).argmax(axis=1).tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(response(PAIRS, INPUTS[:1], INPUTS, logs)[0], [1, 0.5, 0, 0], rtol=1e-10)
    np.testing.assert_allclose(contributions(PAIRS, INPUTS[:1], logs)[0], [0.5, 0.5, 0, 0, 0, 0], rtol=1e-10)


def test_bad_inputs_are_named():
    edges = matrix([[0], [1]], 2)
    for bad, error, message in (
        (lambda: Graph(()), DataError, "at least one"),
        (lambda: Graph((edges.astype(int),)), DataError, "Boolean"),
        (lambda: Graph((edges, matrix([[0], [1]], 3))), DataError, "level 1 has 2 nodes .* and 3 by"),
        (lambda: Graph((matrix([[0], []], 2),)), DataError, "node 1 of level 1 has no child"),
        (lambda: Graph((edges[:1],)), ParameterError, "1 classes"),
        (lambda: Graph((edges,), top="most"), ParameterError, "by 'all' and 'most'"),
        (lambda: Rule(0.9), ParameterError, "facilitation must be above 1"),
        (lambda: Rule(inhibition=1.0), ParameterError, "between 0 and 1"),
        (lambda: Rule(0.1, 0.0, kind="additive"), ParameterError, "both must be positive"),
        (lambda: Rule(kind="other"), ParameterError, "is unknown"),
        (lambda: draw_batches(0, 5, 1, np.random.default_rng(0)), ParameterError, "0 inputs: at least 1"),
        (lambda: draw_batches(3, 0, 1, np.random.default_rng(0)), ParameterError, "0 steps: at least 1"),
        (lambda: draw_batches(3, 5, 0, np.random.default_rng(0)), ParameterError, "0 inputs in a batch"),
        (lambda: train(PAIRS, INPUTS, LABELS, np.array([[4]])), DataError, "inputs 4 to 4, but there are 4"),
        (lambda: train(PAIRS, INPUTS, LABELS, np.array([0.5])), DataError, "integers .steps, size."),
        (lambda: train(PAIRS, INPUTS, LABELS[:2], np.array([[0]])), DataError, "2 labels for 4 points"),
        (lambda: train(PAIRS, INPUTS, LABELS + 1, np.array([[0]])), DataError, "there are 2 classes"),
        (lambda: train(PAIRS, INPUTS, LABELS, np.array([[0]]), initial=0.0), ParameterError, "must be positive"),
        (lambda: PAIRS.fires(INPUTS[:, :3]), DataError, "Boolean ones .n, 6. are needed"),
        (lambda: PAIRS.log_scores(INPUTS, np.zeros(3)), DataError, "one for each of 8 nodes"),
        (lambda: PAIRS.log_scores(INPUTS, np.zeros(8), "median"), ParameterError, "'median'"),
        (lambda: contributions(PAIRS, INPUTS & False, np.zeros(8)), DataError, "for input 0"),
        (lambda: contributions(PAIRS, INPUTS, np.zeros(6)), DataError, "one for each of 8 nodes"),
        (lambda: contributions(PAIRS, INPUTS, np.full(8, np.inf)), DataError, "NaN or infinity"),
        (lambda: contributions(PAIRS, INPUTS, np.zeros(8), 7), ParameterError, "level 7 does not exist"),
        (lambda: response(PAIRS, INPUTS, INPUTS, np.zeros(8), 9), ParameterError, "level 9 does not exist"),
        (lambda: response(PAIRS, INPUTS, INPUTS, np.full(8, np.nan)), DataError, "NaN or infinity"),
        (lambda: response(PAIRS, INPUTS & False, INPUTS, np.zeros(8)), DataError, "score of source 0"),
        (lambda: response(PAIRS, INPUTS, INPUTS, np.full(8, -np.inf)), DataError, "of level 0 are 0"),
        (lambda: response(PAIRS, INPUTS, INPUTS, np.zeros(2)), DataError, "one for each of 8 nodes"),
        (lambda: pattern_information(np.ones((2, 1)), probabilities=np.array([0.5, 0.6])), DataError, "sum to 1"),
    ):
        with pytest.raises(error, match=message):
            bad()
