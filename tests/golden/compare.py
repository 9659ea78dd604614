"""What moved in a golden case, and whose version has to be raised for it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from golden import tiny
from golden.cases import Case, versions

from lebench import registry
from lebench.models.spec import NUMPY, parse_spec
from lebench.tasks.base import metric_of
from lebench.tasks.facts import SHARES

#: Between AVX2 and SSE4.1 half of the numbers differ by less than 3e-8 after at most 20 updates, and all by less than
#: these; the second is for small differences of large numbers, such as slopes. A formula that changes moves more.
RELATIVE, ABSOLUTE = 1e-5, 1e-6
#: A share may jump by one of some 600 points: features of a symmetric model tie, and rounding decides.
JUMP = 2e-3
#: By whose fits a change of a backend is told from one of a model.
OTHERS = ("mlp", "cnn", "lin-mlp")

Kind = Literal["fit", "value"]
#: Of datasets and tasks by name: the version, and points or variants.
Facts = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Moved:
    """A number that is not what it was.

    Attributes
    ----------
    kind : {"fit", "value"}
        What a fitted model answers to a question of our own, or a value of a task.
    task : str
        The task.
    text : str
        What moved and how far.
    """

    kind: Kind
    task: str
    text: str


def computed(case: Case) -> Case:
    """Return a case with the values and the versions of today."""
    outcome = tiny.run(case.label, case.backend, case.tasks)
    done = Case(case.label, case.backend, tuple(sorted(outcome.values)), failed=outcome.failed)
    done.raw = {fit: answers for fit, answers in outcome.raw.items() if fit.split(":")[0] in done.tasks}
    done.values, done.missing = outcome.values, outcome.missing
    if done.tasks:
        done.versions = versions(done)
    return done


def timed(case: Case) -> tuple[float, Case]:
    """Return the CPU seconds that a case takes, and its values."""
    began = time.process_time()
    done = computed(case)
    return time.process_time() - began, done


def moved(before: Case, after: Case) -> list[Moved]:
    """Return what differs beyond the tolerance."""
    return [*_moved_fits(before, after), *_moved_values(before, after)]


def _moved_fits(before: Case, after: Case) -> Iterator[Moved]:
    for fit, answers in before.raw.items():
        task = fit.split(":", 1)[0]
        if task in after.failed:
            continue
        now = after.raw.get(fit, {})
        for name in sorted(answers.keys() | now.keys()):
            old, new = answers.get(name), now.get(name)
            if old is None or new is None:
                yield Moved("fit", task, f"{fit}: {name} is {'no more' if new is None else 'new'}")
            elif old and np.abs(np.subtract(old, new)).max() > RELATIVE * max(old[0], new[0]) + ABSOLUTE:
                yield Moved("fit", task, f"{fit}: {name} had {old}, has {new}")


def _moved_values(before: Case, after: Case) -> Iterator[Moved]:
    for task in before.tasks:
        if task in after.failed:
            yield Moved("value", task, f"{task}: fails now: {after.failed[task]}")
            continue
        old, new = before.values[task], after.values.get(task, {})
        for name in sorted(old.keys() | new.keys()):
            if name not in old or name not in new:
                yield Moved("value", task, f"{task}: {name} is {'missing now' if name in old else 'no longer missing'}")
            elif abs(old[name] - new[name]) > RELATIVE * max(abs(old[name]), abs(new[name])) + (
                JUMP if metric_of(name) in SHARES else ABSOLUTE
            ):
                yield Moved("value", task, f"{task}: {name} was {old[name]:.9g}, is {new[name]:.9g}")
        if set(before.missing[task]) - set(after.missing.get(task, [])) - new.keys():
            yield Moved("value", task, f"{task}: no longer declares all of its values")


def verdict(case: Case, known: list[Case], facts: Facts) -> str:
    """Return what is wrong with a committed case and what to do, empty if nothing moved."""
    after = computed(case)
    found = moved(case, after)
    if not found:
        return ""
    blamed = sorted(responsible(case, found, known, facts))
    today = versions(case)
    asked = [name for name in blamed if today.get(name) == case.versions.get(name)]
    todo = f"raise the version of {' and of '.join(asked)}" if asked else "the version is raised"
    shown = "\n  ".join(one.text for one in found[:12])
    return f"{case.name}: {len(found)} numbers moved; {todo}, then run `make golden`\n  {shown}"


def responsible(case: Case, found: list[Moved], known: list[Case], facts: Facts) -> set[str]:
    """Return whose version has to be raised: ``{"backend torch"}``.

    Where fits moved it is the dataset, if its points did, the backend, if other models moved too, or the model. Where
    only values moved it is a model that the task trains itself, if that moved, or the task.

    Parameters
    ----------
    case : Case
        As committed.
    found : list of Moved
        What moved in it.
    known : list of Case
        All committed cases.
    facts : dict
        The committed facts.
    """
    blamed: set[str] = set()
    for task in {one.task for one in found}:
        if any(one.kind == "fit" and one.task == task for one in found):
            blamed |= _of_fits(case, known, facts)
        else:
            blamed |= _of_references(task, known) or {f"task {task}"}
    return blamed


def _of_fits(case: Case, known: list[Case], facts: Facts) -> set[str]:
    if points_moved(case.dataset, facts):
        return {f"dataset {case.dataset}"}
    name, _ = parse_spec(case.label)
    others = [other for other in OTHERS if other != name and _fits_of(other, case.backend, known)]
    if case.backend != NUMPY and others and all(_model_moved(other, case.backend, known) for other in others):
        return {f"backend {case.backend}"}
    return {f"model {name}"}


def _of_references(task: str, known: list[Case]) -> set[str]:
    references = getattr(registry.tasks.get(task), "references", ())
    backends = {name: getattr(registry.models.get(name)(), "backend", None) or NUMPY for name in references}
    return {
        blamed
        for name, backend in backends.items()
        if (case := _fits_of(name, backend, known)) and _model_moved(name, backend, known)
        for blamed in _of_fits(case, known, {})
    }


def _model_moved(name: str, backend: str, known: list[Case]) -> bool:
    case = _fits_of(name, backend, known)
    assert case is not None, "asked for only where there is one"
    if case.name not in _MODELS:
        _MODELS[case.name] = bool(moved(case, computed(case)))
    return _MODELS[case.name]


_MODELS: dict[str, bool] = {}


def _fits_of(name: str, backend: str, known: list[Case]) -> Case | None:
    """Return a case with the fit of a model to the digits, None if none is committed."""
    task = "digits/accuracy"
    case = next((c for c in known if (c.label, c.backend) == (name, backend) and task in c.tasks), None)
    return case and Case(
        name,
        backend,
        (task,),
        raw={fit: answers for fit, answers in case.raw.items() if fit.startswith(f"{task}:")},
        values={task: case.values[task]},
        missing={task: case.missing[task]},
    )


def facts_of_today() -> Facts:
    """Return the points of every dataset in a few numbers, and the fits that every task asks for."""
    facts: Facts = {}
    for item in registry.datasets.items():
        if "digits-pairs" in item.tags and not item.name.endswith(("0v1", "4v9")):
            continue
        dataset = registry.datasets.get(item.name)
        made = tiny.tiny_dataset(item.name) if item.name in tiny.IMAGES else dataset
        facts[f"dataset {item.name}"] = {"version": dataset.version, "points": _points(made.split(tiny.SEED))}
    for name in registry.tasks.names():
        task = registry.tasks.get(name)
        facts[f"task {name}"] = {"version": task.version, "variants": [_changes(variant) for variant in task.variants]}
    return facts


def _points(split: Any) -> list[float]:
    arrays = (split.x_train, split.y_train, split.x_test, split.y_test, split.target_train, split.target_test)
    return [number for array in arrays if array is not None for number in tiny.digest(array)]


def _changes(variant: Any) -> dict[str, Any]:
    """Return what a variant changes, so that a new kind of change leaves those of today alone."""
    changed = {f.name: getattr(variant, f.name) for f in fields(variant) if getattr(variant, f.name) != f.default}
    return dict(json.loads(json.dumps(changed)))


def fact_moved(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Return whether points or variants differ."""
    if "points" in before:
        old, new = before["points"], after["points"]
        return len(old) != len(new) or not np.allclose(old, new, rtol=1e-9, atol=1e-9)
    return bool(before["variants"] != after["variants"])


def points_moved(dataset: str, facts: Facts) -> bool:
    """Return whether the points of a dataset are others than they were."""
    name = f"dataset {dataset}"
    return name in facts and fact_moved(facts[name], facts_of_today()[name])
