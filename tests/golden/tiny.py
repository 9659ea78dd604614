"""Every task on a few points and at most twenty updates, done by the runner's own worker within this process.

What makes a run tiny are only numbers: points of a dataset, updates of a recipe, widths of a model. Whatever computes
is lebench's own, so that a formula which changes moves a value here.
"""

from __future__ import annotations

import inspect
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import numpy as np

from lebench import registry
from lebench.capabilities import offers
from lebench.models.spec import NUMPY, parameters
from lebench.runner import plan, worker
from lebench.runner.events import CellEnded, decode
from lebench.runner.results import Origin
from lebench.tasks.base import NotFitted

#: No other test has this seed: what lebench remembers of a seed's tiny reference models is for nobody else.
SEED = 7_919
UPDATES = 20
EPOCHS, WIDTH = 2, 16
#: Training and test points that are kept of each class, or of data with real-valued targets.
POINTS = {
    "digits": (62, 12),
    "geomnist": (20, 12),
    "two-factor": (8, 8),
    "feature-graph": (6, 4),
    "teacher-8": (80, 60),
    "teacher-16": (80, 60),
    "concept-sin": (80, 60),
    "concept-tanh": (80, 60),
}
#: Made-up images of each class in the official training and test part, in place of the files of these datasets.
IMAGES = dict.fromkeys(
    (name for name in registry.datasets.names() if "files" in registry.datasets.item(name).tags), (90, 12)
)
IMAGES |= {"cifar-10": (70, 12), "cifar-100": (8, 4)}
#: Tasks for which models with JAX are asked for predictions and features only: of convolutions it compiles kernels and
#: similarities for a minute.
FEW_ANSWERS = ("digits/small-n",)
#: Images are as small as those of digits.
SIDE = 8
#: Constants of the tasks' modules that say how long something trains that is no model.
TRAINING = {"_AUTOENCODER_EPOCHS": 3}
#: Training points of a variant that has a number of them, by the beginning of the task's name, and changes of recipes.
VARIANTS: dict[str, tuple[int, tuple[tuple[str, str | int | float], ...]]] = {
    "geomnist/noise-transition": (12, (("epochs", 8), ("batch_size", 6), ("lr", 0.01))),
    "cifar-10/noise-transition": (12, (("epochs", 8), ("batch_size", 6), ("lr", 0.01))),
    "geomnist/": (9, (("record_steps", 3), ("lr", 0.01))),
    "cifar-10/": (9, (("record_steps", 3), ("lr", 0.01))),
    # A rate at which the training loss comes down far enough for capacities to be measured, and no run is unstable.
    "overparam/width": (10, (("epochs", UPDATES), ("lr", 0.05))),
    "lantk/": (40, ()),
    "digits/gap": (200, ()),
    "digits/small-n": (60, ()),
    # Its values are checked against bounds for as many points.
    "digits/stability": (500, ()),
    "mnist/clustering-5v8": (320, ()),
    "": (120, ()),
}


@dataclass
class Outcome:
    """What came of a job.

    Attributes
    ----------
    raw : dict
        What the fitted models of each variant answer to questions of our own, by capability.
    values : dict
        The values of each task.
    missing : dict
        The names of the values that are missing, for each task.
    failed : dict
        Why a task failed.
    """

    raw: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    values: dict[str, dict[str, float]] = field(default_factory=dict)
    missing: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def run(label: str, backend: str, tasks: tuple[str, ...]) -> Outcome:
    """Return what a model does on tasks of one dataset."""
    outcome = Outcome()
    with warnings.catch_warnings(), _tiny(outcome, backend):
        # A few points may not bring a kernel's ridge or an optimizer to where it likes to be.
        warnings.simplefilter("ignore")
        made = plan.make_plan(tasks, [label], [SEED], None if backend == NUMPY else backend)
        for job in made.jobs:
            worker.main(_Receiver(job, outcome), job, (), (), _origin(), None)  # type: ignore[arg-type]
    return outcome


@cache
def _origin() -> Origin:
    return Origin.here("make golden")


@dataclass
class _Receiver:
    """Takes the messages of a worker."""

    job: plan.Job
    outcome: Outcome

    def send(self, message: bytes) -> None:
        event = decode(self.job, message)
        if not isinstance(event, CellEnded):
            return
        task, record = event.cell.cell.task, event.result.record
        if record.status == "ok":
            self.outcome.values[task] = dict(sorted(record.metrics.items()))
            self.outcome.missing[task] = sorted(record.missing)
        else:
            self.outcome.failed[task] = record.reason


@contextmanager
def _tiny(outcome: Outcome, backend: str) -> Iterator[None]:
    """Put tiny tasks, datasets and models into the registries for the time being."""
    made = {
        registry.tasks: partial(tiny_task, outcome=outcome, backend=backend),
        registry.datasets: tiny_dataset,
        registry.models: tiny_model,
    }
    before = {kind: dict(kind._objects) for kind in made}
    try:
        for kind, change in made.items():
            for name in kind.names():
                original = kind.get(name)
                before[kind].setdefault(name, original)
                kind._objects[name] = change(name)
        with _training_shortened():
            yield
    finally:
        for kind, objects in before.items():
            kind._objects.clear()
            kind._objects.update(objects)


@contextmanager
def _training_shortened() -> Iterator[None]:
    modules = [module for name, module in sys.modules.items() if name.startswith("lebench.tasks.")]
    found = [(module, name) for module in modules for name in TRAINING if hasattr(module, name)]
    if len({name for _, name in found}) < len(TRAINING):
        raise LookupError(f"no task has {', '.join(TRAINING)} any more: name in {__file__} what took its place")
    before = [(module, name, getattr(module, name)) for module, name in found]
    try:
        for module, name in found:
            setattr(module, name, TRAINING[name])
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def tiny_task(name: str, outcome: Outcome, backend: str) -> Any:
    """Return a task whose variants are tiny, and which notes what the fitted models answer."""
    task = registry.tasks.get(name)
    variants = tuple(_tiny_variant(task, variant, backend) for variant in task.variants)
    few = backend == "jax" and name in FEW_ANSWERS
    return replace(task, variants=variants, score=_Noting(task, outcome, few))


def _tiny_variant(task: Any, variant: Any, backend: str) -> Any:
    points, changes = next(rule for begin, rule in VARIANTS.items() if task.name.startswith(begin))
    n_train = None if variant.n_train is None else min(variant.n_train, points)
    width = variant.width
    if backend == "jax" and width is not None:
        # A program is compiled for each width and each learning rate, for seconds.
        width = 16 if width <= 64 else 32
    if not variant.recipe:
        return replace(variant, n_train=n_train, width=width)
    given = dict(variant.recipe) | {"min_steps": 0} | {k: v for k, v in changes if k in dict(variant.recipe)}
    if backend == "jax" and str(given.get("lr", "")).startswith("x"):
        given["lr"] = "x0.1" if float(str(given["lr"])[1:]) < 0.3 else "x1"
    given["epochs"] = min(int(dict(changes).get("epochs", EPOCHS)), UPDATES)
    count = POINTS.get(task.dataset, (n_train,))[0] if n_train is None else n_train
    least = math.ceil(count * given["epochs"] / UPDATES)
    if "batch_size" in given and int(given["batch_size"]) < least:
        given["batch_size"] = least
    return replace(variant, n_train=n_train, width=width, recipe=tuple(given.items()))


class _Noting:
    """The score of a task, which looks at the fitted models before."""

    def __init__(self, task: Any, outcome: Outcome, few: bool) -> None:
        self._task, self._outcome, self._few, self._done = task, outcome, few, False

    def __call__(self, fits: Any) -> Any:
        # The second time it is asked by a recording, which has answers to the task's own questions only.
        if not self._done:
            self._done = True
            for name, fit in fits.items():
                # Below the recorder, which would keep these answers.
                fitted = getattr(fit.fitted, "_fitted", fit.fitted)
                self._outcome.raw[f"{self._task.name}:{name}"] = answers(fitted, fit.split, self._few)
        return self._task.score(fits)


def answers(fitted: Any, split: Any, few: bool = False) -> dict[str, list[float]]:
    """Return what a fitted model answers about a few points: of each array its size and its product with a probe."""
    if isinstance(fitted, NotFitted):
        return {"not fitted": []}
    x, y = split.x_test[:6], split.y_test[:6]
    asked: dict[str, Callable[[], Any]] = {
        "predict": lambda: fitted.predict(x),
        "features": lambda: fitted.features(x),
        "gram": lambda: fitted.gram(x[:4], x),
        "similarity": lambda: fitted.similarity(x[:3], y[:3], x, kind="signed"),
    }
    if few:
        asked = {name: asked[name] for name in ("predict", "features")}
    found = {name: digest(ask()) for name, ask in asked.items() if offers(fitted, name)}
    if offers(fitted, "complexity"):
        found["complexity"] = []
    return found


def digest(array: Any) -> list[float]:
    """Return the size of an array and its product with a probe."""
    flat = np.asarray(array, dtype=np.float64).ravel()
    probe = np.random.default_rng(0).standard_normal(len(flat)) / math.sqrt(len(flat))
    return [float(np.linalg.norm(flat)), float(probe @ flat)]


def tiny_dataset(name: str) -> Any:
    """Return a dataset of which few points are kept, or which is made up in place of files."""
    dataset = registry.datasets.get(name)
    if name in IMAGES:
        train, test = IMAGES[name]
        classes = len(dataset.class_names)
        sizes = {"train": train - 5, "test": dataset.splitter.keywords.get("test") and test - 2}
        drawn = sizes if "train" in dataset.splitter.keywords else {}
        splitter = partial(dataset.splitter.func, official=classes * train, **drawn)
        shape = (SIDE, SIDE, dataset.input_shape[-1])
        load = partial(made_up_images, shape, classes, train, test)
        return replace(dataset, load=load, splitter=splitter, input_shape=shape)
    if name in POINTS:
        splitter = partial(_few, dataset.splitter, *POINTS[name])
        if len(dataset.input_shape) == 1 or dataset.input_shape[0] == SIDE:
            return replace(dataset, splitter=splitter)
        shape = (SIDE, SIDE, dataset.input_shape[-1])
        return replace(dataset, load=partial(_coarse, dataset), splitter=splitter, input_shape=shape)
    return dataset


@cache
def made_up_images(shape: tuple[int, ...], classes: int, train: int, test: int) -> tuple[Any, Any]:
    """Return images of some classes as bytes, a random pattern each with noise upon it."""
    rng = np.random.default_rng(list(b"made up"))
    labels = np.concatenate([rng.permutation(np.arange(classes * n) % classes) for n in (train, test)])
    patterns = rng.uniform(60, 190, (classes, *shape))
    images = patterns[labels] + rng.normal(0, 60, (len(labels), *shape))
    return np.clip(np.rint(images), 0, 255).astype(np.uint8), labels.astype(np.int64)


def _coarse(dataset: Any) -> tuple[Any, Any]:
    x, y = dataset.arrays
    return np.ascontiguousarray(x[:, :: x.shape[1] // SIDE, :: x.shape[2] // SIDE]), y


def _few(splitter: Any, train: int, test: int, x: Any, y: Any, rng: np.random.Generator) -> tuple[Any, ...]:
    x_train, y_train, x_test, y_test = splitter(x, y, rng)
    kept, held = _first(y_train, train), _first(y_test, test)
    return x_train[kept], y_train[kept], x_test[held], y_test[held]


def _first(y: Any, count: int) -> Any:
    if y.dtype.kind == "f":
        return np.arange(count)
    return np.sort(np.concatenate([np.flatnonzero(y == label)[:count] for label in np.unique(y)]))


def tiny_model(name: str) -> Any:
    """Return a model that is small and trains for few updates by default."""
    factory = registry.models.get(name)
    known = parameters(name)
    changes: dict[str, Any] = {"epochs": EPOCHS, "min_steps": 0} if "min_steps" in known else {}
    if "width" in known:
        changes["width"] = min(WIDTH, known["width"].default // 2)
    if "draws" in known:
        changes["draws"] = 64
    return _with_defaults(factory, changes) if changes else factory


def _with_defaults(factory: Any, changes: dict[str, Any]) -> Any:
    signature = inspect.signature(factory, eval_str=True)

    def small(**given: Any) -> Any:
        return factory(**{**changes, **given})

    small.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[p.replace(default=changes.get(p.name, p.default)) for p in signature.parameters.values()]
    )
    return small
