"""What a task is: one short declaration of a standardized question."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from numpy.typing import NDArray

from lebench import registry
from lebench.arrays import FloatArray, IntArray
from lebench.data.base import Split, Variant, balanced_subset
from lebench.errors import DataError, LebenchError
from lebench.metrics.base import Missing as Missing
from lebench.registry import Change
from lebench.seeds import generator
from lebench.tasks.facts import SHARES, Derived, Fact, KnownAnswer, Share

#: For :mod:`lebench.registry`: whose task it is declares it.
_REGISTERS_FOR_CALLER = True

Track = Literal["generalization", "elasticity", "collapse"]
Suite = Literal["core", "explore", "replicate"]
TRACKS: tuple[Track, ...] = ("generalization", "elasticity", "collapse")


@dataclass(frozen=True)
class NotFitted:
    """Stands in for the fitted model of a variant that may fail and whose training broke down.

    Attributes
    ----------
    reason : str
        What happened, in one line.
    """

    reason: str


@dataclass(frozen=True)
class Fit:
    """One fitted model together with the data it was fitted to.

    Attributes
    ----------
    split : Split
        Data of the variant.
    fitted : object
        What ``model.fit`` returned; it offers the task's needs. Or :class:`NotFitted`, if the variant may fail and
        training raised a :class:`~lebench.errors.TrainingError`.
    seed : int
        Root seed of the cell.
    """

    split: Split
    fitted: Any
    seed: int


#: Values by name ``"metric"`` or ``"metric@qualifier"``.
Scores = Mapping[str, "float | Missing"]
#: The same while they are collected.
Values = dict[str, "float | Missing"]


def or_missing(value: Callable[[], float]) -> float | Missing:
    """Return a value, or the reason why it is undefined."""
    try:
        return value()
    except DataError as problem:
        return Missing(str(problem))


@dataclass(frozen=True)
class Scored:
    """Values, and the arrays behind them that pictures are made from.

    Attributes
    ----------
    values : mapping
        By name ``"metric"`` or ``"metric@qualifier"``.
    artifacts : mapping of str to ndarray
        Finite numbers, kept in single precision beside the record.
    """

    values: Scores
    artifacts: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Task:
    """A standardized question: data, variants to fit, capabilities needed, metrics, in one track.

    Attributes
    ----------
    name : str
        ``"family/question"``.
    track : {"generalization", "elasticity", "collapse"}
        Where it is ranked.
    summary : str
        The question in one line.
    reference : str
        The paper, with section or equation.
    version : int
        Raised when its numbers change.
    dataset : str
        Registered name.
    needs : tuple of str or of tuples
        Capabilities; a tuple inside means any one of these: ``(("features", "gram"),)``.
    primary : str
        The metric that ranks.
    metrics : tuple of str
        Names of all values that `score` returns, ``"metric"`` or ``"metric@qualifier"``, where ``metric`` is
        registered (its direction and bounds are looked up there).
    score : callable
        ``{variant name: Fit}`` to ``{name: value}``, or to :class:`Scored`.
    variants : tuple of Variant
        Each is one fit.
    suite : {"core", "explore", "replicate"}
        Ranks are made on the core; other tasks are shown and compared, or ask a paper's own question.
    history : tuple of Change
        What raised the version, as ``lebench info NAME --versions`` shows it.
    references : tuple of str
        Registered names of the models that `score` itself fits, to compare with. Their versions, and those of the
        backends they run on, are part of the identity of the task's records.
    facts : tuple of Share, Derived or Relation
        What each value is a share of or follows from, and what holds between them; see :mod:`lebench.tasks.facts`.
    known : tuple of KnownAnswer
        What controls and models whose score is known must score.
    baselines : tuple of str
        Models that lebench puts on the board on it: specifications or tags.
    refusal : str
        Why no model can do it, if the data cannot answer the question; see :mod:`lebench.tasks.questions`.

    Raises
    ------
    LebenchError
        If a share of points is not declared under `facts`, or a fact is of no value of the task.
    """

    name: str
    track: Track
    summary: str
    reference: str
    version: int
    dataset: str
    needs: tuple[str | tuple[str, ...], ...]
    primary: str
    metrics: tuple[str, ...]
    score: Callable[[Mapping[str, Fit]], Scores | Scored]
    variants: tuple[Variant, ...] = (Variant(),)
    references: tuple[str, ...] = ()
    suite: Suite = "explore"
    history: tuple[Change, ...] = ()
    facts: tuple[Fact, ...] = ()
    known: tuple[KnownAnswer, ...] = ()
    baselines: tuple[str, ...] = ()
    refusal: str = ""

    def __post_init__(self) -> None:
        """Refuse facts of values that the task does not have, and shares of points that it does not declare."""
        variants = tuple(variant.name for variant in self.variants)
        shares = {name for fact in self.facts if isinstance(fact, Share) for name, _ in fact.names(variants)}
        # Not every variant has each value.
        shares -= {name for name in shares - set(self.metrics) if shares & set(self.metrics)}
        derived = {name for fact in self.facts if isinstance(fact, Derived) for name in (fact.value, *fact.others)}
        for name in sorted(shares | derived | {answer.value for answer in self.known}):
            if name not in self.metrics:
                raise LebenchError(f"task {self.name!r} declares a fact of {name!r}, which is none of its values")
        for name in self.metrics:
            if metric_of(name) in SHARES and name not in shares | derived:
                rule = f"Share(test, ({name!r},)) says of which points it is a share, Derived what it follows from"
                raise LebenchError(f"task {self.name!r} does not declare its value {name!r} under facts: {rule}")

    @property
    def trains(self) -> str | None:
        """Why it is no question about a model that is trained already, or None if it is one."""
        return "trains models of its own" if self.references or self.variants != (Variant(),) else None

    def unmet(self, capabilities: frozenset[str], lacks: Mapping[str, str] | None = None) -> str | None:
        """Return why a model with these capabilities cannot do this task, or None; `lacks` says why it lacks others."""
        if self.refusal:
            return self.refusal
        for need in self.needs:
            options = (need,) if isinstance(need, str) else need
            if not capabilities.intersection(options):
                for option in options:
                    if lacks and option in lacks:
                        return lacks[option]
                return f"needs the capability {' or '.join(options)}, which the model does not offer"
        return None


#: Held-out points per class between which similarities and kernels are measured.
POINTS_PER_CLASS = 10


#: A task of the first version; a question gives its tasks name and dataset.
declared = partial(Task, name="", version=1, dataset="")


def held_out(fit: Fit) -> tuple[FloatArray, IntArray]:
    """Return the same few test points of each class, and their labels, for every question that compares points."""
    split = fit.split
    count = POINTS_PER_CLASS * split.classes
    chosen = balanced_subset(split.y_test, count, split.classes, generator(fit.seed, "probe"))
    return split.x_test[chosen], split.y_test[chosen]


def declare(task: Task, *tags: str) -> Task:
    """Register a task under its name, with words to select it by; return it."""
    return registry.tasks.register(task.name, task, tags=tags)


def metric_of(name: str) -> str:
    """Return the registered metric of a recorded value: ``"accuracy"`` for ``"accuracy@n=50"``."""
    return name.split("@", 1)[0]
