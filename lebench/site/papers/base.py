"""What a page of the gallery is made of: a paper, its claims, and what the records say of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from lebench.board import Board, Estimate, paired_difference
from lebench.pictures import Arrays, Picture
from lebench.pictures.base import number
from lebench.site.pictures import Gallery

T = TypeVar("T")

Verdict = Literal["holds", "in part", "fails", "open", "not measured"]


@dataclass(frozen=True)
class Finding:
    """What the records say of a claim.

    Attributes
    ----------
    verdict : {"holds", "in part", "fails", "open", "not measured"}
        ``in part`` if it holds for some models only; ``open`` if the intervals do not decide.
    sentence : str
        With the numbers and their intervals.
    pictures : sequence of Picture
        What it looks like.
    commands : sequence of str
        The commands that make its records again.
    """

    verdict: Verdict
    sentence: str
    pictures: Sequence[Picture] = ()
    commands: Sequence[str] = ()


@dataclass(frozen=True)
class Claim:
    """Something that a paper says and that the records can contradict.

    Attributes
    ----------
    title : str
        In a few words.
    says : str
        What the paper says, in a sentence of ours.
    source : str
        Where: section, equation, figure.
    setting : str
        What we measure instead of the paper's own experiment, and how that differs.
    tasks, models : tuple of str
        What has to be run to make the records.
    find : callable
        Evidence to :class:`Finding`; raises :class:`NotMeasured` if records are missing.
    """

    title: str
    says: str
    source: str
    setting: str
    tasks: tuple[str, ...]
    models: tuple[str, ...]
    find: Callable[[Evidence], Finding]

    def judge(self, evidence: Evidence) -> Finding:
        """Return the finding with the commands that make again what it is made of.

        Without records it says why, and the command is the one that would make them.
        """
        evidence.used.clear()
        try:
            finding = self.find(evidence)
        except NotMeasured as missing:
            return Finding("not measured", str(missing), commands=[_command(self.models, self.tasks, _SEEDS)])
        return replace(finding, commands=_commands(evidence.used))


#: Seeds that are asked for where there are no records yet.
_SEEDS = 5


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


def sign(estimate: Estimate, above: float = 0.0) -> Verdict:
    """Return whether an estimate is claimed rightly to lie above a number: by its interval."""
    if estimate.lower is None or estimate.upper is None:
        return "open"
    return "holds" if estimate.lower > above else "fails" if estimate.upper < above else "open"


def short_of(bound: float, estimate: Estimate) -> Estimate:
    """Return by how much an estimate lies below a number, with its interval.

    Examples
    --------
    >>> short_of(1.0, Estimate(0.5, 0.25, 0.75, 5))
    Estimate(mean=0.5, lower=0.25, upper=0.75, seeds=5)
    """
    lower, upper = (None if end is None else bound - end for end in (estimate.upper, estimate.lower))
    return Estimate(bound - estimate.mean, lower, upper, estimate.seeds)


def together(*verdicts: Verdict) -> Verdict:
    """Return the verdict on a claim that has several parts, all of which it needs: the worst of theirs."""
    order: tuple[Verdict, ...] = ("fails", "not measured", "open", "in part", "holds")
    return min(verdicts, key=order.index)


def across(*verdicts: Verdict) -> Verdict:
    """Return the verdict on a claim about several models: theirs if they agree, ``in part`` if it holds for some.

    Examples
    --------
    >>> across("holds", "fails"), across("holds", "holds"), across("fails", "open")
    ('in part', 'holds', 'open')
    """
    if len(set(verdicts)) == 1:
        return verdicts[0]
    return "in part" if "holds" in verdicts else "open"
