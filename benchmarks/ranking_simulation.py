"""What the ranks promise, simulated: coverage of differences and rank ranges, familywise error, and power.

*Null*: 20 models of one quality on three tasks that share fits (correlation 0.6). Errors are Student's t with five
degrees of freedom, variances of models log-normal with a standard deviation of 1.4, and half of the models are trained.
Printed are the share of intervals of differences that hold zero, of rank ranges that hold every rank, and of boards on
which Holm's procedure over all pairs tells anybody apart.

*Power*: means and standard deviations of models on the core tasks as the committed records have them, with the same
errors around them. Printed is the share of pairs that are told apart and, of those, of pairs told in the wrong order.
Beside it stands the rule before: a bootstrap over seeds of the shares of models beaten, here as the paired t-test of
seeds on these shares with the same correction.

    python benchmarks/ranking_simulation.py [--boards 100] [--entries leaderboard/entries] [--seeds 3 5 10] [--write]

With ``--write`` the page on ranks shows it.
"""

import argparse
import json
import sys
from pathlib import Path

from timing import single_thread

single_thread()

import numpy as np  # noqa: E402
from scipy.stats import rankdata, t  # noqa: E402

from lebench import registry, stats  # noqa: E402
from lebench.board import is_control, read_entries  # noqa: E402
from lebench.board.frame import direction_of  # noqa: E402
from lebench.board.ranking import SIGNS, is_random  # noqa: E402
from lebench.board.scores import collect  # noqa: E402
from lebench.board.suite import core_suite  # noqa: E402

SHARED = 0.6
FILE = Path(__file__).parents[1] / "lebench/board/simulated.json"


def errors(rng, tasks, models, seeds):
    """Errors of unit variance, correlated over the tasks of a fit."""
    shared, own = (rng.standard_t(5, size) for size in ((1, models, seeds), (tasks, models, seeds)))
    return (np.sqrt(SHARED) * shared + np.sqrt(1 - SHARED) * own) / np.sqrt(5 / 3)


def null(rng, boards, seeds, models=20, tasks=3):
    """Return coverage of differences, coverage of rank ranges, and familywise error."""
    trained = np.arange(models) % 2
    covered, held, wrong = [], [], 0
    upper = np.triu_indices(models, 1)
    for _ in range(boards):
        spread = 0.2 * np.exp(rng.normal(0, 1.4, models) / 2)[:, None]
        found = stats.compare(
            spread * errors(rng, tasks, models, seeds), np.zeros(tasks), np.ones(tasks), ["one"] * tasks, trained
        )
        ranks = stats.ranks_of(found)
        covered.append((found.p[upper] > 0.05).mean())
        held.append(((ranks.lower == 1) & (ranks.upper == models)).mean())
        wrong += bool(ranks.certain.any())
    return np.mean(covered), np.mean(held), wrong / boards


def before(scores):
    """Return who is told apart by shares of models beaten, seed by seed: the rule without moderation."""
    shares = np.nanmean([(rankdata(task, axis=0) - 1) / (len(task) - 1) for task in scores], axis=0)
    difference = shares[:, None] - shares
    seeds = shares.shape[1]
    error = difference.std(axis=2, ddof=1) / np.sqrt(seeds)
    mean = difference.mean(axis=2)
    p = 2 * t.sf(np.abs(mean) / np.maximum(error, 1e-9), seeds - 1)
    p[mean == 0] = 1.0
    np.fill_diagonal(p, 1.0)
    count = len(p)
    others = ~np.eye(count, dtype=bool)
    apart = np.zeros_like(others)
    apart[others] = stats.holm(p[others].reshape(count, count - 1), 0.05).ravel()
    return apart & apart.T


def power(rng, boards, seeds, means, spread, anchors, trained):
    """Return the shares of pairs that are told apart by this rule and that before, and of those in the wrong order."""
    upper = np.triu_indices(means.shape[1], 1)
    truth = stats.compare(means[:, :, None].repeat(2, axis=2), *anchors, ["one"] * len(means), trained).differences
    told, old, wrong = [], [], []
    for _ in range(boards):
        scores = means[:, :, None] + spread[:, :, None] * errors(rng, *means.shape, seeds)
        found = stats.compare(scores, *anchors, ["one"] * len(means), trained)
        apart = stats.ranks_of(found).apart[upper]
        told.append(apart.mean())
        wrong.append((apart & (found.differences[upper] * truth[upper] < 0)).sum() / max(apart.sum(), 1))
        old.append(before(scores)[upper].mean())
    return np.mean(told), np.mean(old), np.mean(wrong)


def blocks(entries):
    """Yield each track of the core with means and deviations of its models, anchors, and who is trained."""
    suite = core_suite()
    models = [entry for entry in entries if not is_control(entry.info.model)]
    values = collect({entry.name: entry.current.records for entry in models})
    labels = {entry.name: entry.info.model for entry in models}
    for track in dict.fromkeys(task.track for task in suite.tasks.values()):
        names = [name for name, task in suite.tasks.items() if task.track == track]
        of = [values[name, registry.tasks.get(name).primary] for name in names]
        whole = [m for m in sorted(labels) if all(len(task.get(m, ())) >= suite.minimum_seeds for task in of)]
        signs = [SIGNS[direction_of(registry.tasks.get(name).primary)] for name in names]
        scores = [
            sign * stats.as_array(task, whole, sorted({seed for m in whole for seed in task[m]}))
            for sign, task in zip(signs, of, strict=True)
        ]
        means = np.array([np.nanmean(task, axis=1) for task in scores])
        spread = np.array([np.nanstd(task, axis=1, ddof=1) for task in scores])
        anchors = tuple(np.array([[suite.tasks[n].centre, suite.tasks[n].scale] for n in names]).T)
        yield track, means, spread, anchors, [is_random(labels[m]) for m in whole]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--boards", type=int, default=100)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 10])
    parser.add_argument("--entries", type=Path, default=Path("leaderboard/entries"))
    parser.add_argument("--write", action="store_true", help=f"write {FILE.name}")
    asked = parser.parse_args()
    rng = np.random.default_rng(20200501)
    found = {"boards": asked.boards, "null": [], "power": []}
    print(f"null, {asked.boards} boards: intervals of differences, rank ranges, familywise error")
    for seeds in asked.seeds:
        covered, held, wrong = map(float, null(rng, asked.boards, seeds))
        print(f"  {seeds:2} seeds: {covered:.3f}  {held:.3f}  {wrong:.3f}")
        found["null"].append({"seeds": seeds, "differences": covered, "ranks": held, "wrong": wrong})
    print("power: pairs told apart, by the rule before, told in the wrong order")
    for track, *block in blocks(read_entries(asked.entries)):
        for seeds in asked.seeds:
            told, old, wrong = map(float, power(rng, asked.boards, seeds, *block))
            print(f"  {track:15} {seeds:2} seeds: {told:.3f}  {old:.3f}  {wrong:.4f}")
            found["power"].append({"track": track, "seeds": seeds, "told": told, "before": old, "wrong": wrong})
    if asked.write:
        FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
