"""What test points add to intervals: against standard errors in closed form, and as board and command line use it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t

from lebench.board import (
    PointHalves,
    TaskPoints,
    gather,
    halves_of_values,
    is_control,
    make_board,
    mean_interval,
    paired_difference,
    read_entries,
)

N = 400
TASK, VALUE = "digits/accuracy", "accuracy"


@pytest.fixture
def right():
    """Which of 400 points three models got right: two that often agree, and one that does not."""
    rng = np.random.default_rng(0)
    first = rng.random(N) < 0.9
    second = np.where(rng.random(N) < 0.8, first, rng.random(N) < 0.9)
    return {name: of.astype(np.uint8) for name, of in zip("abc", (first, second, rng.random(N) < 0.7), strict=True)}


def halves(right, scored, overlap=1.0, controls=()):
    points = TaskPoints(
        overlap=overlap,
        ids={"default": np.arange(N, dtype=np.uint32)},
        of_entries={name: {("default", "accuracy"): values} for name, values in right.items()},
        sums={name: frozenset({VALUE}) for name in right},
    )
    return halves_of_values({(TASK, VALUE): scored}, {TASK: points}, controls).get((TASK, VALUE))


def test_they_are_the_standard_errors_over_the_points(right):
    found = halves(right, "abc")
    quantile = t.ppf(0.975, N - 1)
    assert found.count == N
    assert found.known.all()
    for k, name in enumerate("abc"):
        np.testing.assert_allclose(found.of_scores[k], quantile * np.std(right[name], ddof=1) / np.sqrt(N), rtol=1e-6)
        for other, of in zip("abc", found.of_all[k], strict=True):
            paired = np.std(right[name] - right[other].astype(float), ddof=1) / np.sqrt(N)
            np.testing.assert_allclose(of, quantile * paired, rtol=1e-6)
        np.testing.assert_allclose(found.of_differences(k), found.of_all[k], rtol=1e-6)


def test_only_the_points_that_seeds_share_are_added(right):
    whole, quarter = halves(right, "abc"), halves(right, "abc", overlap=0.25)
    np.testing.assert_allclose(quarter.of_all, whole.of_all / 2, rtol=1e-6)
    assert halves(right, "abc", overlap=0.0) is None


def test_a_model_without_points_moves_as_the_others_and_by_itself(right):
    found = halves(right, "abcu")
    assert found.known.tolist() == [True, True, True, False]
    assert found.of_scores[3] == 0
    # Apart from any other by at least what it moves by itself, which is more than the closest two are apart.
    assert min(found.of_all[3, :3]) > found.of_all[0, 1] > 0
    # Controls are no field: with too few models of known points, only seeds are resampled.
    assert halves(right, "abcuvw", controls="bc") is None


def test_nothing_is_added_where_nothing_is_known():
    found = PointHalves(None, ["a", "b"], ())
    assert found.count == 0
    assert not found.of_scores.any()
    assert not found.of_all.any()
    assert not found.of_differences(0).any()


@pytest.fixture(scope="module")
def leaderboard():
    """The entries of this checkout, and their values at test points."""
    folder = Path(__file__).parents[2] / "leaderboard" / "entries"
    entries = read_entries(folder)
    return entries, gather(entries, folder.parent / "points", keep=False)


@pytest.mark.slow
def test_the_scores_and_marks_of_the_board_follow_from_them(leaderboard):
    entries, points = leaderboard
    board = make_board(entries, draws=50, points=points)
    controls = [entry.info.name for entry in board.entries if entry.control]
    of = {score.entry: score for score in board.scores if (score.task, score.value) == (TASK, VALUE)}
    found = halves_of_values({(TASK, VALUE): of}, points, controls)[TASK, VALUE]
    best = next(score for score in of.values() if score.best)
    row = found.of_differences(found.entries.index(best.entry))
    for score in of.values():
        own = mean_interval(score.by_seed.values()).widened(found.of_scores[found.entries.index(score.entry)])
        assert (score.lower, score.upper) == pytest.approx((own.lower, own.upper), rel=1e-12)
        if score.best or score.entry in controls:
            continue
        difference = paired_difference(best.by_seed, score.by_seed).widened(row[found.entries.index(score.entry)])
        assert score.tied == (not difference.excludes_zero)


@pytest.mark.slow
def test_the_command_line_has_the_intervals_of_the_board(leaderboard, tmp_path):
    entries, points = leaderboard
    by_seed = {
        entry.name: {r.cell.seed: r.metrics[VALUE] for r in entry.records if r.cell.task == TASK and VALUE in r.metrics}
        for entry in entries
    }
    scored = [name for name, values in by_seed.items() if values]
    controls = [entry.name for entry in entries if is_control(entry.info.model)]
    found = halves_of_values({(TASK, VALUE): scored}, points, controls)[TASK, VALUE]
    half = found.of_differences(found.entries.index("resnet"))[found.entries.index("mlp")]
    alone = paired_difference(by_seed["resnet"], by_seed["mlp"])
    command = [sys.executable, "-c", "from lebench.cli import main; main()", "compare", "resnet", "mlp", "-t", TASK]
    done = subprocess.run([*command, "-o", tmp_path, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = next(row for row in json.loads(done.stdout) if row["metric"] == VALUE)
    assert said["upper"] - said["difference"] == pytest.approx(np.hypot(alone.upper - alone.mean, half), rel=1e-12)
    assert (said["points"], said["seeds"]) == (found.count, alone.seeds)
