"""Standings: the ranks of a track, or of all tracks together, with what the evidence leaves open.

The policy is stated once, in :class:`lebench.board.places.Method`, and written into the board. Controls take no rank. A
model is compared only where it has scores: what is missing is never a zero, and a model with too few of a track's tasks
is listed as unranked, with the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lebench.board import bootstrap, comparisons, rules
from lebench.board.places import COMMON_SHARE, MINIMUM_SEEDS, MINIMUM_SHARE, Place, Standings, Unranked
from lebench.board.point_effects import Effects, Moves
from lebench.stats import LEVEL, as_array

FloatArray = NDArray[np.float64]

#: The standings over the tasks of all tracks.
OVERALL = "overall"


def make_standings(
    scope: str,
    values: Mapping[str, Mapping[str, Mapping[int, float]]],
    signs: Mapping[str, int],
    tracks: Mapping[str, str],
    models: Collection[str],
    *,
    level: float = LEVEL,
    draws: int = bootstrap.DRAWS,
    seed: int = bootstrap.SEED,
    effects: Mapping[str, Effects] | None = None,
) -> Standings:
    """Rank models over tasks.

    Parameters
    ----------
    scope : str
        Name of the standings.
    values : mapping
        ``{task: {model: {seed: value}}}``; other models than `models` are not looked at.
    signs : mapping of str to int
        By task: 1 if more is better, -1 if less.
    tracks : mapping of str to str
        By task. Each track weighs the same, and a model must have its share of the tasks of each.
    models : collection of str
        Who is to be ranked: without controls.
    level, draws, seed
        Confidence level of intervals, number of draws and the seed of their random numbers.
    effects : mapping of str to Effects, optional
        By task: of its test points on these values, where they are known.

    Returns
    -------
    Standings
        The same for the same values, in whatever order they come.

    Raises
    ------
    LebenchError
        If a library of the extra ``site`` is missing.

    Examples
    --------
    >>> seeds = lambda *values: dict(enumerate(values))
    >>> values = {
    ...     f"task {t}": {"good": seeds(0.9, 0.91), "fair": seeds(0.8, 0.81), "poor": seeds(0.5, 0.51)}
    ...     for t in range(9)
    ... }
    >>> signs, tracks = dict.fromkeys(values, 1), dict.fromkeys(values, "all")
    >>> made = make_standings("all", values, signs, tracks, ["good", "fair", "poor"])
    >>> [(place.entry, place.rank, place.lower, place.upper) for place in made.places]
    [('good', 1, 1, 1), ('fair', 2, 2, 2), ('poor', 3, 3, 3)]
    """
    counted = {
        task: {m: of for m, of in values[task].items() if m in models and len(of) >= MINIMUM_SEEDS}
        for task in sorted(values)
    }
    tasks = [task for task in counted if len(counted[task]) >= max(2, COMMON_SHARE * len(models))]
    ranked, unranked = _split(models, tasks, counted, tracks)
    tasks = [task for task in tasks if sum(model in counted[task] for model in ranked) >= 2]
    if len(ranked) < 2 or not tasks:
        reason = "there is no other model to compare it with"
        unranked += [Unranked(entry=model, tasks=0, reason=reason) for model in ranked]
        return Standings(
            scope=scope,
            tasks=[],
            places=[],
            unranked=sorted(unranked, key=lambda one: one.entry),
            win_probability=[],
            critical_difference=None,
            disagreements=[],
            notes=["Nobody is ranked: ranks need two models with the same task."],
        )

    seeds = sorted({s for task in tasks for model in ranked for s in counted[task].get(model, ())})
    scores = np.stack([signs[task] * as_array(counted[task], ranked, seeds) for task in tasks])
    size = {track: sum(tracks[task] == track for task in tasks) for track in tracks.values()}
    weights = np.array([1 / size[tracks[task]] for task in tasks])
    moves = [_moves(effects or {}, task, ranked, counted[task], signs[task]) for task in tasks]
    found = bootstrap.draw_points(scores, weights, draws, seed, moves)
    means = bootstrap.mean_over_seeds(scores)
    present = ~np.isnan(means)

    common = present.T.astype(np.int64) @ present
    over_tasks = comparisons.win_probabilities(found.draws)
    p = comparisons.pair_p_values(found.points, found.draws, _freedom(present, weights), over_tasks)
    # No comparison is surer than a sign test in which all common tasks agree.
    full = comparisons.ranks_of(found.points, np.maximum(p, np.minimum(1.0, 2.0 ** (1 - common))), level)
    over_seeds = comparisons.win_probabilities(found.seed_draws)
    fewest = np.minimum.outer(found.seeds, found.seeds)
    p = comparisons.pair_p_values(found.points, found.seed_draws, fewest - 1, over_seeds)
    here = comparisons.ranks_of(found.points, p, level)

    won, weight = comparisons.shares_won(means, weights)
    of_model = present * weights[:, None]
    share = (np.nan_to_num(found.shares) * of_model).sum(axis=0) / of_model.sum(axis=0)
    scored = {
        "points": found.points,
        "mean_rank": share,
        "win_rate": np.nanmean(won, axis=1),
        "bradley_terry": comparisons.bradley_terry(won, weight * (len(tasks) / weights.sum())),
    }
    order = sorted(range(len(ranked)), key=lambda m: (full.rank[m], ranked[m]))
    places = [
        Place(
            entry=ranked[m],
            rank=int(full.rank[m]),
            lower=int(full.lower[m]),
            upper=int(full.upper[m]),
            group=int(full.group[m]),
            seed_lower=int(here.lower[m]),
            seed_upper=int(here.upper[m]),
            seed_group=int(here.group[m]),
            points=rules.rounded(found.points[m]),
            mean_rank=rules.rounded(1 + (len(ranked) - 1) * (1 - share[m])),
            win_rate=rules.rounded(scored["win_rate"][m]),
            strength=rules.rounded(scored["bradley_terry"][m]),
            tasks=int(present[:, m].sum()),
        )
        for m in order
    ]
    disagreements = rules.disagreements(places, scored, order)
    diagram = rules.critical_difference(means, tasks, ranked, level)
    return Standings(
        scope=scope,
        tasks=tasks,
        places=places,
        unranked=unranked,
        win_probability=over_tasks[np.ix_(order, order)].round(4).tolist(),
        critical_difference=diagram,
        disagreements=disagreements,
        notes=rules.notes(tasks, places, disagreements, diagram, level),
    )


def _moves(
    effects: Mapping[str, Effects], task: str, ranked: Sequence[str], scored: Collection[str], sign: int
) -> Moves | None:
    if task not in effects:
        return None
    moves = effects[task].among(ranked, [model for model in ranked if model in scored])
    return None if moves is None else moves.times(sign)


def _split(
    models: Collection[str],
    tasks: Sequence[str],
    counted: Mapping[str, Mapping[str, Mapping[int, float]]],
    tracks: Mapping[str, str],
) -> tuple[list[str], list[Unranked]]:
    """Return who has enough tasks of every track, and who has not."""
    ranked, unranked = [], []
    for model in sorted(models):
        have = [task for task in tasks if model in counted[task]]
        reason = ""
        for track in sorted({tracks[task] for task in tasks}):
            of_track = [task for task in tasks if tracks[task] == track]
            number, needed = sum(task in have for task in of_track), int(np.ceil(MINIMUM_SHARE * len(of_track)))
            if number < needed:
                reason = f"it has {number} of {len(of_track)} common tasks of {track}, a rank needs {needed}"
                break
        if reason:
            unranked.append(Unranked(entry=model, tasks=len(have), reason=reason))
        else:
            ranked.append(model)
    return ranked, unranked


def _freedom(present: NDArray[np.bool_], weights: FloatArray) -> NDArray[np.int64]:
    """Return, for each pair, the effective number of common tasks (Kish) less one."""
    cells = present.astype(np.float64)
    total, squares = cells.T @ (cells * weights[:, None]), cells.T @ (cells * weights[:, None] ** 2)
    effective = np.divide(total**2, squares, out=np.zeros_like(total), where=squares > 0)
    return np.floor(effective + 1e-9).astype(np.int64) - 1
