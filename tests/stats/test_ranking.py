"""The comparison of all pairs against t-tests, closed forms and simulation."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr

from lebench.stats import anchors, compare, holm, moderate, ranks_of, reliability
from lebench.stats.ranking import Comparisons

RNG = np.random.default_rng(20200501)


def slope(x, centre=0.0, scale=1.0):
    return stats.norm.pdf((x - centre) / scale) / scale


def run(scores, clusters=None, trained=None, **options):
    scores = np.asarray(scores, dtype=float)
    tasks, models, _ = scores.shape
    return compare(
        scores,
        np.zeros(tasks),
        np.ones(tasks),
        list(range(tasks)) if clusters is None else clusters,
        [1] * models if trained is None else trained,
        **options,
    )


def test_two_models_on_a_task_are_compared_by_the_paired_t_test_of_their_influences():
    a, b = RNG.normal(0.4, 0.1, 5), RNG.normal(-0.2, 0.1, 5)
    found = run([[a, b]])
    influence = slope(a.mean()) * (a - a.mean()) - slope(b.mean()) * (b - b.mean())
    difference = ndtr(a.mean()) - ndtr(b.mean())
    assert found.differences[0, 1] == pytest.approx(difference)
    assert found.differences[1, 0] == pytest.approx(-difference)
    expected = stats.ttest_1samp(influence + difference, 0).pvalue
    assert found.p[0, 1] == found.p[1, 0] == pytest.approx(expected, rel=1e-9)


def test_what_seeds_do_to_both_models_cancels():
    shared = RNG.normal(0, 0.5, 5)
    own = RNG.normal(0, 0.01, (2, 5)) + np.array([[0.02], [-0.02]])
    assert run([shared + own]).p[0, 1] < 0.05
    assert run([np.stack([shared + own[0], np.roll(shared, 2) + own[1]])]).p[0, 1] > 0.5


def test_tasks_of_a_cluster_are_added_before_the_variance_and_others_after():
    scores = RNG.normal(0, 0.1, (2, 2, 6))
    scores[:, 0] += 0.2
    means = scores.mean(axis=2)
    influence = slope(means)[:, :, None] * (scores - means[:, :, None]) / 2
    d = influence[:, 0] - influence[:, 1]
    difference = (ndtr(means[:, 0]) - ndtr(means[:, 1])).mean()
    expected = stats.ttest_1samp(d.sum(axis=0) + difference, 0).pvalue
    assert run(scores, clusters=["one", "one"]).p[0, 1] == pytest.approx(expected, rel=1e-9)
    parts = d.var(axis=1, ddof=1) / 6
    freedom = parts.sum() ** 2 / (parts**2 / 5).sum()
    expected = 2 * stats.t.sf(difference / np.sqrt(parts.sum()), freedom)
    assert run(scores).p[0, 1] == pytest.approx(expected, rel=1e-9)


def test_variances_are_moderated_within_a_kind_of_pair():
    scores = RNG.normal(0, 0.1, (1, 7, 4)) * np.array([0.01] * 4 + [1.0] * 3)[:, None]
    trained = [0, 0, 0, 0, 1, 1, 1]
    found = run(scores, trained=trained)
    means = scores[0].mean(axis=1)
    influence = slope(means)[:, None] * (scores[0] - means[:, None])
    for kind, members in ((0, (0, 1, 2, 3)), (2, (4, 5, 6))):
        pairs = [(a, b) for a in members for b in members if a < b]
        s2 = [np.var(influence[a] - influence[b], ddof=1) for a, b in pairs]
        moderated, freedom = moderate(s2, [3.0] * len(pairs), most=3.0 * (len(members) - 1))
        for (a, b), variance, nu in zip(pairs, moderated, freedom, strict=True):
            t = (ndtr(means[a]) - ndtr(means[b])) / np.sqrt(variance / 4)
            assert found.p[a, b] == pytest.approx(2 * stats.t.sf(abs(t), nu), rel=1e-9), kind


def test_models_are_compared_over_the_seeds_and_tasks_that_both_have():
    scores = RNG.normal(0, 0.05, (2, 2, 6))
    scores[1] += 2.0
    scores[0, 1, 4:] = np.nan
    scores[1, 1] = np.nan
    found = run(scores)
    a, b = scores[0, 0], scores[0, 1, :4]
    influence = slope(a.mean()) * (a - a.mean())
    # To first order: the influence of the seeds that the other lacks is taken off.
    difference = ndtr(a.mean()) + influence[:4].mean() - ndtr(b.mean())
    assert found.differences[0, 1] == pytest.approx(difference)
    d = influence[:4] - slope(b.mean()) * (b - b.mean())
    assert found.p[0, 1] == pytest.approx(stats.ttest_1samp(d - d.mean() + difference, 0).pvalue, rel=1e-9)
    assert found.scores[0] == pytest.approx(ndtr(scores[:, 0].mean(axis=1)).mean())
    scores[0, 1, 1:] = np.nan
    assert run(scores).p[0, 1] == 1.0


def test_equal_models_are_never_told_apart_and_no_spread_has_a_tolerance():
    same = np.repeat(RNG.normal(0, 0.1, (1, 1, 5)), 3, axis=1)
    assert run(same).p.min() == 1.0
    flat = np.zeros((1, 3, 5))
    flat[0, 1] += 1e-8
    flat[0, 2] += 0.1
    found = run(flat)
    assert (found.p[0, 1], found.p[0, 2] < 1e-6) == (1.0, True)


def test_test_points_are_added_with_the_slope_of_the_score():
    from lebench.stats import effects_of, point_effects

    scores = RNG.normal(0, 0.02, (1, 2, 5)) + np.array([[[0.3], [0.0]]])
    right = RNG.integers(0, 2, (2, 200)).astype(float)
    ids, effects = effects_of([(np.arange(200, dtype=np.uint32), right)])
    points = point_effects({0: (ids, ["a", "b"], effects)}, 1.0, ["a", "b"], ["a", "b"])
    found = run(scores, points=[points])
    means = scores[0].mean(axis=1)
    moved = slope(means)[:, None] * right
    influence = slope(means)[:, None] * (scores[0] - means[:, None])
    seeds = np.var(influence[0] - influence[1], ddof=1) / 5
    total = seeds + stats.sem(moved[0] - moved[1]) ** 2
    nu = 4 * (total / seeds) ** 2
    expected = 2 * stats.t.sf(abs(found.differences[0, 1]) / np.sqrt(total), nu)
    assert found.p[0, 1] == pytest.approx(expected, rel=1e-5)


def test_track_scores_have_intervals_on_the_arcsine_scale():
    scores = RNG.normal(2.0, 0.3, (1, 2, 5))
    found = run(scores)
    value = ndtr(scores[0].mean(axis=1))
    s2 = (slope(scores[0].mean(axis=1)) ** 2) * scores[0].var(axis=1, ddof=1)
    half = stats.t.ppf(0.975, 4) * np.sqrt(np.maximum(s2, s2.mean()) / 5)
    angle = np.arcsin(np.sqrt(value))
    spread = half / (2 * np.sqrt(value * (1 - value)))
    np.testing.assert_allclose(found.scores, value)
    np.testing.assert_allclose(found.lower, np.sin(np.maximum(angle - spread, 0)) ** 2)
    np.testing.assert_allclose(found.upper, np.sin(np.minimum(angle + spread, np.pi / 2)) ** 2)


def test_with_frozen_anchors_clones_reverse_nobody():
    scores = RNG.normal(0, 1, (3, 8, 5)) + RNG.normal(0, 1, (3, 8, 1))
    more = np.concatenate([scores, np.repeat(scores[:, :1], 6, axis=1) + 1e-3], axis=1)
    before, after = run(scores).differences, run(more).differences[:8, :8]
    np.testing.assert_allclose(before, after, atol=1e-12)


def test_anchors_are_median_and_interquartile_range():
    centre, scale = anchors([[0.0, 1.0, 2.0, 3.0, np.nan], [5.0] * 5])
    assert (centre.tolist(), scale.tolist()) == ([1.5, 5.0], [pytest.approx(1.5 / 1.349), 1.0])


def test_holm_is_that_of_statsmodels():
    from statsmodels.stats.multitest import multipletests

    p = RNG.uniform(0, 0.3, (20, 9)) ** 3
    p[:3, :4] = p[:3, 1:2]
    expected = [multipletests(row, alpha=0.05, method="holm")[0] for row in p]
    np.testing.assert_array_equal(holm(p, 0.05), expected)
    assert 0 < np.mean(expected) < 1


def test_rank_ranges_count_who_is_told_apart_in_both_rows():
    points = np.array([0.9, 0.8, 0.8, 0.1])
    p = np.ones((4, 4))
    p[3, :3] = p[:3, 3] = 1e-6
    # Enough for the row of the first against one of three, not for that of the second.
    p[0, 1] = p[1, 0] = 0.03
    d = points[:, None] - points
    found = ranks_of(Comparisons(points[None], points, points, points, d, p))
    assert found.rank.tolist() == [1, 2, 2, 4]
    assert found.lower.tolist() == [1, 1, 1, 4]
    assert found.upper.tolist() == [3, 3, 3, 4]
    assert found.apart.sum() == 6
    assert (found.certain == found.apart).all()


def test_reliability_is_the_share_that_is_not_noise():
    rng = np.random.default_rng(5)
    scores = rng.normal(0, 2, (4000, 1)) + rng.normal(0, 2, (4000, 4))
    assert reliability(scores) == pytest.approx(4 / (4 + 1), abs=0.02)
    assert reliability(np.zeros((3, 4))) == 0.0


@pytest.mark.parametrize(
    ("bad", "message"), [({"centre": [0.0, 1.0]}, "for each task"), ({"scores": np.nan}, "any score")]
)
def test_bad_input_says_what_is_wrong(bad, message):
    scores = np.zeros((1, 2, 3)) * bad.get("scores", 1.0)
    with pytest.raises(ValueError, match=message):
        compare(scores, bad.get("centre", [0.0]), [1.0], ["a"], [0, 1])


def null_boards(boards, models=8, seeds=5, tasks=3, seed=0):
    """Boards of models of one quality: heavy tails, variances that differ by model, tasks that share fits."""
    rng = np.random.default_rng(seed)
    for _ in range(boards):
        spread = 0.2 * np.exp(rng.normal(0, 0.7, models))[:, None]
        fits = rng.standard_t(5, (models, seeds))
        yield spread * (0.77 * fits + 0.63 * rng.standard_t(5, (tasks, models, seeds)))


def test_models_of_one_quality_are_told_apart_on_one_board_in_twenty_at_most():
    boards, wrong, held = 150, 0, []
    for scores in null_boards(boards):
        ranks = ranks_of(run(scores, clusters=["one"] * 3, trained=[0, 0, 0, 1, 1, 1, 1, 1]))
        wrong += bool(ranks.certain.any())
        held.append(np.mean((ranks.lower == 1) & (ranks.upper == 8)))
    error = np.sqrt(0.05 * 0.95 / boards)
    assert wrong / boards < 0.05 + 3 * error
    assert np.mean(held) > 0.95 - 3 * error
