"""Questions that can be asked of any dataset: what they need of it, and the task that asks one of one dataset.

``registry.tasks.get("wine/collapse")`` asks the question ``collapse`` of the dataset ``wine``. Variants and values of
the task derive from the classes and the size of the data. What the data cannot answer is a task all the same, which
every model is spared with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

from lebench import registry
from lebench.data.base import Dataset
from lebench.errors import UnavailableDataError
from lebench.tasks.base import Task
from lebench.tasks.baselines import STANDARD

#: For :mod:`lebench.registry`: who asks a question registers it.
_REGISTERS_FOR_CALLER = True


_ENOUGH = 10**9


@dataclass(frozen=True)
class Data:
    """What a question may know of a dataset before anything is fitted, the same for every seed.

    Attributes
    ----------
    name : str
        Registered name.
    classes : int
        Number of classes C, or of real-valued outputs.
    points : int
        Training points.
    per_class, tested_per_class : int
        Training and test points of the class that has fewest.
    labels : bool
        Whether there are labels and not real-valued targets.
    recipe : bool
        Whether the data change the recipes of networks that train on all of their points.
    """

    name: str
    classes: int
    points: int
    per_class: int
    tested_per_class: int
    labels: bool = True
    recipe: bool = False


#: The questions of a run that names none.
DEFAULT = ("accuracy", "small-n", "clustering", "elasticity", "collapse")
#: Of the data that the tasks of lebench itself are about: registering these reads no file.
DIGITS = Data("digits", classes=10, points=1347, per_class=131, tested_per_class=43)


@cache
def describe(name: str) -> Data:
    """Return what a question may know of a registered dataset, from its split of seed 0.

    Where its files are missing it is taken to have enough points, as records of it may have been made elsewhere.
    """
    dataset: Dataset = registry.datasets.get(name)
    recipe = bool(dataset.recipe)
    try:
        split = dataset.split(0)
    except UnavailableDataError:
        return Data(name, len(dataset.class_names), _ENOUGH, _ENOUGH, _ENOUGH, recipe=recipe)
    counted = (np.bincount(y, minlength=split.classes) for y in (split.y_train, split.y_test))
    per_class, tested = (int(count.min()) if split.target_train is None else len(split.y_train) for count in counted)
    return Data(name, split.classes, len(split.y_train), per_class, tested, split.target_train is None, recipe)


@dataclass(frozen=True)
class Question:
    """A question that can be asked of any dataset with enough classes and points.

    Attributes
    ----------
    name : str
        One word or a few with dashes: ``"label-noise"``.
    ask : callable
        From :class:`Data` that fulfil what follows to the task.
    classes, per_class, tested_per_class : int
        What it needs at least: classes, and training and test points of each.
    balanced : int
        Training points in a class-balanced subset that it draws; 0 if it draws none.
    formerly : mapping of str to str
        Earlier names of tasks that ask it, by their dataset.
    tags : tuple of str
        Words to select its tasks by; by default their track.
    baselines : tuple of str
        Models that lebench puts on the board on the tasks it registers.
    core : tuple of str
        Datasets of which it is in the core suite.
    """

    name: str
    ask: Callable[[Data], Task]
    classes: int = 2
    per_class: int = 2
    tested_per_class: int = 2
    balanced: int = 0
    formerly: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    baselines: tuple[str, ...] = STANDARD
    core: tuple[str, ...] = ()

    def unmet(self, data: Data) -> str | None:
        """Return why a dataset cannot answer, or None if it can."""
        if not data.labels:
            return f"asks of classes, and {data.name} has real-valued targets"
        if data.classes < self.classes:
            return f"needs {self.classes} classes, {data.name} has {data.classes}"
        needed = max(self.per_class, -(-self.balanced // data.classes))
        if data.per_class < needed:
            return f"needs {needed} training points of each class, a class of {data.name} has {data.per_class}"
        if data.tested_per_class < self.tested_per_class:
            found = data.tested_per_class
            return f"needs {self.tested_per_class} test points of each class, a class of {data.name} has {found}"
        return None

    def task(self, data: Data) -> Task:
        """Return the task that asks a dataset; one that refuses every model if the dataset cannot answer."""
        name = f"{data.name}/{self.name}"
        if (reason := self.unmet(data)) is None:
            task = replace(self.ask(data), name=name, dataset=data.name, baselines=self.baselines)
            if data.recipe and any(variant.n_train is not None for variant in task.variants):
                # Before, the recipe for all points of such data trained subsets of them, too.
                task = replace(task, version=task.version + 1)
            return replace(task, suite="core") if data.name in self.core else task
        refused = self.ask(DIGITS)
        return replace(refused, name=name, dataset=data.name, refusal=reason)


def question(name: str, *datasets: Data, **needs: Any) -> Callable[[Callable[[Data], Task]], Callable[[Data], Task]]:
    """Register what asks a dataset as a question, and the tasks that ask it of some datasets, by default of digits.

    Parameters
    ----------
    name : str
        Of the question.
    *datasets : Data
        What it is asked of already.
    **needs
        The other attributes of :class:`Question`.
    """

    def decorate(ask: Callable[[Data], Task]) -> Callable[[Data], Task]:
        asking = Question(name, ask, **needs)
        registry.questions.register(name, asking, summary=ask(DIGITS).summary)
        for data in datasets or (DIGITS,):
            task = asking.task(data)
            former = [asking.formerly[data.name]] if data.name in asking.formerly else []
            registry.tasks.register(task.name, task, tags=asking.tags or (task.track,), aliases=former)
        return ask

    return decorate


def asked(tasks: Iterable[str], datasets: Iterable[str]) -> list[str]:
    """Return the names of the tasks that ask questions of datasets.

    Parameters
    ----------
    tasks : iterable of str
        Names of questions; none of them stands for :data:`DEFAULT`.
    datasets : iterable of str
        Registered names. Without one, `tasks` are returned as they are, or the default questions are asked of digits.

    Raises
    ------
    UnknownNameError
        If there is no such question or dataset.
    """
    given, of = list(tasks), list(datasets)
    if given and not of:
        return given
    words = [registry.questions.item(question).name for question in given or DEFAULT]
    return [f"{registry.datasets.item(dataset).name}/{word}" for dataset in of or [DIGITS.name] for word in words]


def task_of(name: str) -> tuple[registry.Item, Task] | None:
    """Return the task of the name ``"dataset/question"``, None if there is no such dataset or no such question.

    Its item says that it is of whoever provides the dataset.
    """
    dataset, _, word = name.rpartition("/")
    if dataset not in registry.datasets or word not in registry.questions:
        return None
    question: Question = registry.questions.get(word)
    task, of = question.task(describe(dataset)), registry.datasets.item(dataset)
    return registry.Item(name, task.summary, (task.track,), of.target, of.source, plugin=of.plugin), task
