"""Standings: the ranks of a track, or of all tracks together, with what the evidence leaves open.

The policy is stated once, in :class:`Method`, and written into the board. Controls take no rank. A model is compared
only where it has scores: what is missing is never a zero, and a model with too few of a track's tasks is listed as
unranked, with the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lebench.board import bootstrap, comparisons
from lebench.board.statistics import LEVEL, smallest_difference
from lebench.records import Document

FloatArray = NDArray[np.float64]

#: The share of a track's tasks that a model must have to be ranked, and the seeds that make a task count.
MINIMUM_SHARE, MINIMUM_SEEDS = 0.5, 2
#: The share of the models that must have a task for it to rank: a task of few would leave all others without a rank.
COMMON_SHARE = 1 / 3
#: The standings over the tasks of all tracks.
OVERALL = "overall"


class Method(Document):
    """How the numbers of a board were made.

    Attributes
    ----------
    draws, seed : int
        Of the bootstrap.
    level : float
        Confidence level of all intervals.
    minimum_share : float
        Share of a track's common tasks that a model must have to be ranked in it.
    common_share : float
        Share of the models that must have a task for it to count for ranks.
    minimum_seeds : int
        Seeds that make a model's score on a task count for ranks.
    scores, ranks, seed_ranks : tuple of str
        What was resampled for the intervals of scores, for ranks (`lower`, `upper`, `group`) and for ranks on exactly
        these tasks (`seed_lower`, ...).
    """

    draws: int
    seed: int
    level: float
    minimum_share: float = MINIMUM_SHARE
    common_share: float = COMMON_SHARE
    minimum_seeds: int = MINIMUM_SEEDS
    scores: tuple[str, ...] = ("seed",)
    ranks: tuple[str, ...] = ("task", "seed")
    seed_ranks: tuple[str, ...] = ("seed",)


class Place(Document):
    """Where an entry stands.

    Attributes
    ----------
    entry : str
        Name.
    rank : int
        By points, from 1; equal points share the better rank.
    lower, upper, group : int
        Best and worst rank, and tie group, that tasks and seeds leave open: on other tasks like these. See
        :class:`lebench.board.comparisons.Ranks`.
    seed_lower, seed_upper, seed_group : int
        The same where only seeds are resampled: on exactly these tasks.
    points : float
        Share of the other models that it beats, fitted over tasks, see :mod:`lebench.board.bootstrap`.
    mean_rank : float
        Mean over the tasks that it has of its rank there, on the scale from 1 to the number of ranked models.
    win_rate : float
        Mean over the other models of the share of common tasks on which it beats them.
    strength : float
        Bradley-Terry: a difference of strengths is the log odds of a win on a task; zero in the mean.
    tasks : int
        Number of tasks that it is ranked on.
    """

    entry: str
    rank: int
    lower: int
    upper: int
    group: int
    seed_lower: int
    seed_upper: int
    seed_group: int
    points: float
    mean_rank: float
    win_rate: float
    strength: float
    tasks: int


class Unranked(Document):
    """A model that is not ranked, and why; controls are not listed."""

    entry: str
    tasks: int
    reason: str


class Disagreement(Document):
    """Ranks of an entry by four rules that do not agree; `within` says whether all lie in its interval."""

    entry: str
    points: int
    mean_rank: int
    win_rate: int
    bradley_terry: int
    within: bool


class CriticalDifference(Document):
    """What a critical-difference diagram shows, see :class:`lebench.board.comparisons.Friedman`.

    Attributes
    ----------
    tasks : list of str
        Tasks that all ranked entries have: the test needs complete blocks.
    mean_ranks : dict
        By entry, the best first.
    difference : float
        Critical difference of mean ranks, Nemenyi.
    statistic, p : float
        Of Friedman's test that all models are alike.
    cliques : list of list of str
        Entries that a bar joins.
    """

    tasks: list[str]
    mean_ranks: dict[str, float]
    difference: float
    statistic: float
    p: float
    cliques: list[list[str]]


class Standings(Document):
    """Ranks over the tasks of a track, or over all.

    Attributes
    ----------
    scope : str
        A track, or ``"overall"``, where each track weighs the same.
    tasks : list of str
        Tasks that count: their primary value has a direction and at least two models have it.
    places : list of Place
        By rank, then name.
    unranked : list of Unranked
        By name.
    win_probability : list of list of float
        How often, over the draws of tasks and seeds, the entry of the row is above that of the column, in the order of
        `places`.
    critical_difference : CriticalDifference or None
        None if there are fewer than three ranked entries or two tasks that all of them have.
    disagreements : list of Disagreement
        Entries that another rule ranks elsewhere, in the order of `places`.
    notes : list of str
        What a reader should know of these ranks, in sentences.
    """

    scope: str
    tasks: list[str]
    places: list[Place]
    unranked: list[Unranked]
    win_probability: list[list[float]]
    critical_difference: CriticalDifference | None
    disagreements: list[Disagreement]
    notes: list[str]


class Resolution(Document):
    """The smallest difference that a task can resolve, see :func:`lebench.board.statistics.smallest_difference`.

    Attributes
    ----------
    task, value : str
        The task and its primary value.
    deviation : float
        Standard deviation of paired differences between seeds: the median over pairs of models, controls left out.
    seeds : int
        Number of seeds that most pairs have in common.
    difference : float
        What a paired t test on so many seeds finds with a probability of 80%.
    pairs : int
        Number of pairs.
    """

    task: str
    value: str
    deviation: float
    seeds: int
    difference: float
    pairs: int


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
    found = bootstrap.draw_points(scores, weights, draws, seed)
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
    rules = {
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
            points=_rounded(found.points[m]),
            mean_rank=_rounded(1 + (len(ranked) - 1) * (1 - share[m])),
            win_rate=_rounded(rules["win_rate"][m]),
            strength=_rounded(rules["bradley_terry"][m]),
            tasks=int(present[:, m].sum()),
        )
        for m in order
    ]
    disagreements = _disagreements(places, rules, order)
    diagram = _critical_difference(means, tasks, ranked, level)
    return Standings(
        scope=scope,
        tasks=tasks,
        places=places,
        unranked=unranked,
        win_probability=over_tasks[np.ix_(order, order)].round(4).tolist(),
        critical_difference=diagram,
        disagreements=disagreements,
        notes=_notes(tasks, places, disagreements, diagram, level),
    )


def make_resolution(
    task: str, value: str, of_models: Mapping[str, Mapping[int, float]], level: float = LEVEL
) -> Resolution | None:
    """Return the smallest difference that the seeds of a task can resolve, None if no two models have two seeds.

    Parameters
    ----------
    task, value : str
        The task and its primary value.
    of_models : mapping
        ``{model: {seed: value}}``, without controls.
    level : float, default 0.95
        One minus the size of the test.
    """
    names = sorted(of_models)
    seeds = sorted({seed for of in of_models.values() for seed in of})
    if len(names) < 2 or len(seeds) < 2:
        return None
    scores = as_array(of_models, names, seeds)
    rows, columns = np.triu_indices(len(names), 1)
    differences = scores[rows] - scores[columns]
    differences = differences[(~np.isnan(differences)).sum(axis=1) >= 2]
    if not len(differences):
        return None
    count = int(np.median((~np.isnan(differences)).sum(axis=1)))
    deviation = float(np.median(np.nanstd(differences, axis=1, ddof=1)))
    return Resolution(
        task=task,
        value=value,
        deviation=deviation,
        seeds=count,
        difference=smallest_difference(deviation, count, level),
        pairs=len(differences),
    )


def as_array(of_models: Mapping[str, Mapping[int, float]], models: Sequence[str], seeds: Sequence[int]) -> FloatArray:
    """Return ``{model: {seed: value}}`` as an array, models x seeds, NaN where there is no value."""
    return np.array([[of_models.get(model, {}).get(seed, np.nan) for seed in seeds] for model in models])


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


def _disagreements(
    places: Sequence[Place], rules: Mapping[str, FloatArray], order: Sequence[int]
) -> list[Disagreement]:
    # Bradley-Terry is found by iteration: strengths that agree to so many digits are equal.
    ranks = {}
    for rule, score in rules.items():
        rounded = np.round(score, 6)
        ranks[rule] = 1 + (rounded[:, None] > rounded).sum(axis=0)
    found = []
    for place, m in zip(places, order, strict=True):
        own = {rule: int(rank[m]) for rule, rank in ranks.items()}
        if len(set(own.values())) > 1:
            within = all(place.lower <= rank <= place.upper for rank in own.values())
            found.append(Disagreement(entry=place.entry, **own, within=within))
    return found


def _critical_difference(
    means: FloatArray, tasks: Sequence[str], ranked: Sequence[str], level: float
) -> CriticalDifference | None:
    complete = np.asarray(~np.isnan(means).any(axis=1))
    if complete.sum() < 2 or len(ranked) < 3:
        return None
    test = comparisons.friedman(means[complete], level)
    order = np.argsort(test.mean_ranks, kind="stable")
    return CriticalDifference(
        tasks=[task for task, kept in zip(tasks, complete.tolist(), strict=True) if kept],
        mean_ranks={ranked[m]: _rounded(test.mean_ranks[m]) for m in order},
        difference=_rounded(test.difference),
        statistic=_rounded(test.statistic),
        p=float(f"{test.p:.6g}"),
        cliques=[[ranked[m] for m in clique] for clique in test.cliques],
    )


def _notes(
    tasks: Sequence[str],
    places: Sequence[Place],
    disagreements: Sequence[Disagreement],
    diagram: CriticalDifference | None,
    level: float,
) -> list[str]:
    notes = []
    if 2.0 ** (1 - len(tasks)) > 1 - level:
        notes.append(
            f"{len(tasks)} {'task' if len(tasks) == 1 else 'tasks'} cannot say who would lead on others like them: "
            f"that needs at least {int(np.floor(2 - np.log2(1 - level)))}. Ranks on exactly these tasks are narrower."
        )
    firsts = {"points": places[0].entry}
    for one in disagreements:
        firsts |= {rule: one.entry for rule in ("mean_rank", "win_rate", "bradley_terry") if getattr(one, rule) == 1}
    titles = {"mean_rank": "the mean rank", "win_rate": "the win rate", "bradley_terry": "Bradley-Terry"}
    notes += [
        f"By {titles[rule]}, {entry} is first, by points {firsts['points']}."
        for rule, entry in firsts.items()
        if rule in titles and entry != firsts["points"]
    ]
    outside = sum(not one.within for one in disagreements)
    if disagreements:
        notes.append(
            f"{len(disagreements)} of {len(places)} models have another rank by another rule, "
            f"{outside or 'none'} of them outside of the interval."
        )
    else:
        notes.append("Points, mean rank, win rate and Bradley-Terry give the same ranks.")
    if diagram is not None and len(diagram.tasks) < len(tasks):
        notes.append(f"The critical difference is over the {len(diagram.tasks)} tasks that all ranked models have.")
    elif diagram is None:
        notes.append("There is no critical difference: it needs three models and two tasks that all of them have.")
    return notes


def _rounded(value: float) -> float:
    return round(float(value), 6)
