"""What a page of the gallery is made of: a paper, its claims as hypotheses, and what the records say of them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from lebench.board import Board, Estimate, bounds_of, paired_difference
from lebench.pictures import Arrays, Picture
from lebench.pictures.base import listed, number
from lebench.site.pictures import Gallery
from lebench.stats import FREE, Bounds, Judgement, judge

T = TypeVar("T")

Verdict = Literal["holds", "in part", "fails", "underpowered", "not measured"]
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Contrast:
    """One case of a claim: a number for each seed, above a threshold where the claim is right.

    Attributes
    ----------
    values : tuple of float
        By seed, on the scale on which it is judged.
    threshold : float
        Set beforehand.
    ratio : bool
        Whether the values are logarithms of ratios; they are told as ratios then.
    under : bool
        Whether the claim is right below the threshold instead.
    bounds : (float, float)
        Between which values lie, and so the intervals that are told.
    """

    values: tuple[float, ...]
    threshold: float = 0.0
    ratio: bool = False
    under: bool = False
    bounds: Bounds = FREE

    @property
    def supporting(self) -> list[float]:
        """By how much each seed is on the side of the claim."""
        return [(self.threshold - v if self.under else v - self.threshold) for v in self.values]

    def told(self, estimate: Estimate) -> str:
        """Return an estimate of :attr:`supporting` as it stands in a sentence, on the scale of the values."""
        ends = [estimate.mean, estimate.lower, estimate.upper]
        if self.under:
            ends = [None if end is None else -end for end in (estimate.mean, estimate.upper, estimate.lower)]
        low, high = self.bounds
        shifted = [None if end is None else min(max(end + self.threshold, low), high) for end in ends]
        if self.ratio:
            shifted = [None if end is None else math.exp(min(end, 700.0)) for end in shifted]
        assert shifted[0] is not None
        text = told(Estimate(shifted[0], shifted[1], shifted[2], estimate.seeds))
        return f"{text} times" if self.ratio else text


@dataclass(frozen=True)
class Finding:
    """What the records say of a claim.

    Attributes
    ----------
    verdict : {"holds", "in part", "fails", "underpowered", "not measured"}
        See :func:`lebench.stats.judge`.
    sentence : str
        What was estimated, or why nothing was.
    cases : sequence of (str, str, str)
        Name, estimate with its interval, and outcome of each case.
    change : str
        What would change the verdict.
    note : str
        A sentence beside them.
    pictures : sequence of Picture
        What it looks like.
    commands : sequence of str
        The commands that make its records again.
    """

    verdict: Verdict
    sentence: str
    cases: Sequence[tuple[str, str, str]] = ()
    change: str = "The records of the command below."
    note: str = ""
    pictures: Sequence[Picture] = ()
    commands: Sequence[str] = ()


@dataclass(frozen=True)
class Claim:
    """Something that a paper says, declared as a hypothesis before the records are looked at.

    Attributes
    ----------
    title : str
        In a few words.
    statement : str
        The paper's statement: its own words between quotation marks, else in ours.
    source : str
        Its place: section, equation, figure.
    setting : str
        What we measure instead of the paper's own experiment, and how that differs.
    tasks : tuple of str
        What has to be run to make the records.
    judged, comparators : mapping of str to str
        Labels of the models that are judged and of those that they are compared with, and which of the paper's models
        each stands for.
    estimand : str
        What is estimated, on which scale, in words that go on with the cases: ``"accuracy of kernel minus network"``.
    cases : callable
        Evidence to the contrasts by case; raises :class:`NotMeasured` if records are missing.
    pictures : callable, optional
        Evidence to pictures.
    note : callable, optional
        Evidence to a sentence beside the verdict.
    paper_settings : bool
        Whether it is run at the paper's own settings.
    """

    title: str
    statement: str
    source: str
    setting: str
    tasks: tuple[str, ...]
    judged: Mapping[str, str]
    comparators: Mapping[str, str]
    estimand: str
    cases: Callable[[Evidence], Mapping[str, Contrast]]
    pictures: Callable[[Evidence], Sequence[Picture]] | None = None
    note: Callable[[Evidence], str] | None = None
    paper_settings: bool = False

    @property
    def models(self) -> tuple[str, ...]:
        """Labels of all models that it needs."""
        return (*self.judged, *(label for label in self.comparators if label not in self.judged))

    def judge(self, evidence: Evidence) -> Finding:
        """Return the finding with the commands that make again what it is made of.

        Without records it says why, and the command is the one that would make them.
        """
        evidence.used.clear()
        try:
            cases = self.cases(evidence)
        except NotMeasured as missing:
            why = f"{str(missing)[0].upper()}{str(missing)[1:]}."
            return Finding("not measured", why, commands=[_command(self.models, self.tasks, _SEEDS)])
        judgement = judge({name: case.supporting for name, case in cases.items()}, evidence.board.level)
        said = []
        for name, found in judgement.cases.items():
            more = "" if found.outcome != "undecided" else f": {_needed(found.seeds_needed)}"
            said.append((name, cases[name].told(found.estimate), f"{found.outcome}{more}"))
        note, drawn = "", list[Picture]()
        try:
            note = self.note(evidence) if self.note else ""
            drawn += self.pictures(evidence) if self.pictures else ()
        except NotMeasured as missing:
            note = f"{note} Not shown: {missing}.".strip()
        sentence = f"{self.estimand[0].upper()}{self.estimand[1:]}."
        change = _change(judgement)
        return Finding(judgement.verdict, sentence, said, change, note, drawn, _commands(evidence.used))


def _change(judgement: Judgement) -> str:
    """Say what would change a verdict."""
    failing = [name for name, case in judgement.cases.items() if case.outcome == "fails"]
    undecided = {name: case.seeds_needed for name, case in judgement.cases.items() if case.outcome == "undecided"}
    seeds = [needed for needed in undecided.values() if needed is not None]
    said = {
        "holds": "Further seeds that bring the interval of a case to the threshold.",
        "fails": "A case that holds; then it would hold in part.",
        "in part": f"It would hold if these cases did, too: {listed([*failing, *undecided])}.",
        "underpowered": "More seeds.",
    }[judgement.verdict]
    if seeds:
        what = "all" if len(seeds) == len(undecided) else str(len(seeds))
        said += f" {max(seeds)} seeds would decide {what} of what is undecided, if means and spreads stay as they are."
    return said


def _needed(seeds: int | None) -> str:
    return "no number of seeds below 1,000 would decide" if seeds is None else f"{seeds} seeds would decide"


#: Seeds that are asked for where there are no records yet.
_SEEDS = 10


def _command(models: Sequence[str], tasks: Sequence[str], seeds: int) -> str:
    asked = " ".join([*(f"--model {shlex.quote(name)}" for name in models), *(f"--task '{name}'" for name in tasks)])
    return f"lebench run {asked} --seeds {seeds}"


def _commands(used: Mapping[tuple[str, str], int]) -> list[str]:
    """Return the fewest commands for the seeds of each model and task: one for models with the same tasks and seeds."""
    of_model: dict[str, dict[str, int]] = {}
    for (model, task), seeds in used.items():
        of_model.setdefault(model, {})[task] = seeds
    groups: dict[tuple[tuple[str, ...], int], list[str]] = {}
    for model, asked in of_model.items():
        for seeds in sorted(set(asked.values())):
            tasks = tuple(sorted(task for task, number in asked.items() if number == seeds))
            groups.setdefault((tasks, seeds), []).append(model)
    return [_command(models, tasks, seeds) for (tasks, seeds), models in groups.items()]


@dataclass(frozen=True)
class Paper:
    """A paper and what it claims.

    Attributes
    ----------
    name : str
        Name of the page.
    short : str
        A name of two or three words.
    title, authors, venue, link : str
        The paper; the link is its page on arXiv.
    question : str
        What it asks, in a sentence.
    claims : tuple of Claim
        In the order of the paper.
    released : tuple of str
        How the released code departs from the paper, where there is any, and what lebench does.
    """

    name: str
    short: str
    title: str
    authors: str
    venue: str
    link: str
    question: str
    claims: tuple[Claim, ...]
    released: tuple[str, ...] = ()


class NotMeasured(Exception):
    """The board has no record of something."""


@dataclass(frozen=True)
class Evidence:
    """The numbers of the board, by entry, task and value.

    Attributes
    ----------
    board : Board
        All scores.
    gallery : Gallery
        The arrays of entries.
    used : dict of (str, str) to int
        How many seeds of a model, as ``--model`` takes it, on a task were asked for since this was last emptied.
    """

    board: Board
    gallery: Gallery
    used: dict[tuple[str, str], int] = field(default_factory=dict)
    _by_seed: dict[tuple[str, str, str], dict[int, float]] = field(init=False, repr=False)
    _means: dict[tuple[str, str, str], Estimate] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        scores = {(s.entry, s.task, s.value): s for s in self.board.scores}
        object.__setattr__(self, "_by_seed", {key: s.by_seed for key, s in scores.items()})
        means = {key: Estimate(s.mean, s.lower, s.upper, s.seeds) for key, s in scores.items()}
        object.__setattr__(self, "_means", means)

    def models(self, task: str, value: str) -> list[str]:
        """Return the entries with a score, by name."""
        return sorted(entry for entry, t, v in self._means if (t, v) == (task, value))

    def label(self, model: str) -> str:
        """Return the model that an entry holds: ``"mlp[lr=0.01]"`` of the entry ``"mlp-lr0.01"``."""
        return next((entry.info.model for entry in self.board.entries if entry.info.name == model), model)

    def mean(self, model: str, task: str, value: str) -> Estimate:
        """Return a model's mean over seeds with its interval."""
        return self._get(self._means, model, task, value)

    def by_seed(self, model: str, task: str, value: str) -> Mapping[int, float]:
        """Return a model's values by seed."""
        return self._get(self._by_seed, model, task, value)

    def difference(self, a: tuple[str, str, str], b: tuple[str, str, str]) -> Estimate:
        """Return the mean of a - b with the interval of the pairs, each (model, task, value), over common seeds."""
        found = paired_difference(self.by_seed(*a), self.by_seed(*b), self.board.level)
        if found is None:
            raise NotMeasured(f"{a[0]} and {b[0]} have no seed of {a[1]} in common")
        return found

    def contrast(
        self, a: Key, b: Key | None = None, *, threshold: float | None = None, ratio: bool = False, under: bool = False
    ) -> Contrast:
        """Return a - b, or a / b where ratios are judged, by common seed; ``a`` alone without ``b``.

        Parameters
        ----------
        a, b : (str, str, str)
            Model, task and value.
        threshold : float, optional
            By default 0, of a ratio 1.
        ratio : bool
            Whether ratios are judged, by their logarithms.
        under : bool
            Whether the claim is that they lie below the threshold.
        """
        first = self.by_seed(*a)
        second = dict.fromkeys(first, 1.0 if ratio else 0.0) if b is None else self.by_seed(*b)
        seeds = sorted(first.keys() & second.keys())
        if not seeds:
            raise NotMeasured(f"{a[0]} and {b[0] if b else ''} have no seed of {a[1]} in common")
        if not ratio:
            low, high = bounds_of(a[2])
            bounds = (low, high) if b is None else (low - high, high - low)
            values = tuple(first[seed] - second[seed] for seed in seeds)
            return Contrast(values, threshold or 0.0, under=under, bounds=bounds)
        if min(min(first[seed], second[seed]) for seed in seeds) <= 0:
            raise NotMeasured(f"{a[2]} of {a[0]} on {a[1]} is not above 0 in every seed, so that it has no ratio")
        logs = tuple(math.log(first[seed] / second[seed]) for seed in seeds)
        return Contrast(logs, math.log(threshold) if threshold else 0.0, ratio=True, under=under)

    def arrays(self, model: str, task: str) -> Arrays:
        """Return the arrays of a model's first seed on a task."""
        arrays = self.gallery.arrays.get(model, {}).get(task)
        if not arrays:
            raise NotMeasured(f"the board has no arrays of {model} on {task}")
        self._use(model, task, 1)
        return arrays

    def _get(self, table: Mapping[tuple[str, str, str], T], model: str, task: str, value: str) -> T:
        try:
            found = table[model, task, value]
        except KeyError:
            raise NotMeasured(f"the board has no {value} of {model} on {task} yet") from None
        self._use(model, task, max(self._by_seed[model, task, value]) + 1)
        return found

    def _use(self, model: str, task: str, seeds: int) -> None:
        key = self.label(model), task
        self.used[key] = max(seeds, self.used.get(key, 0))


def told(estimate: Estimate) -> str:
    """Return an estimate as it stands in a sentence.

    Examples
    --------
    >>> told(Estimate(0.5, 0.25, 0.75, 5))
    '0.50 [0.25, 0.75]'
    """
    if estimate.lower is None or estimate.upper is None:
        return number(estimate.mean)
    return f"{number(estimate.mean)} [{number(estimate.lower)}, {number(estimate.upper)}]"
