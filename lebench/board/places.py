"""Standings as documents: what ``board.json`` says of ranks, and by which policy they were made."""

from __future__ import annotations

from lebench.records import Document

#: The share of a track's tasks that a model must have to be ranked, and the seeds that make a task count.
MINIMUM_SHARE, MINIMUM_SEEDS = 0.5, 2
#: The share of the models that must have a task for it to rank: a task of few would leave all others without a rank.
COMMON_SHARE = 1 / 3


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
        these tasks (`seed_lower`, ...). Test points are where a task's `resampled` says so.
    """

    draws: int
    seed: int
    level: float
    minimum_share: float = MINIMUM_SHARE
    common_share: float = COMMON_SHARE
    minimum_seeds: int = MINIMUM_SEEDS
    scores: tuple[str, ...] = ("seed", "test point")
    ranks: tuple[str, ...] = ("task", "seed", "test point")
    seed_ranks: tuple[str, ...] = ("seed", "test point")


class Place(Document):
    """Where an entry stands.

    Attributes
    ----------
    entry : str
        Name.
    rank : int
        By points, from 1; equal points share the better rank.
    lower, upper, group : int
        Best and worst rank, and tie group, that tasks, seeds and test points leave open: on other tasks like these. See
        :class:`lebench.board.comparisons.Ranks`.
    seed_lower, seed_upper, seed_group : int
        The same where only seeds and test points are resampled: on exactly these tasks.
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
        How often, over the draws of tasks, seeds and test points, the entry of the row is above that of the column, in
        the order of `places`.
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
