"""What a person should look at before an entry is believed: each flag says its evidence, and decides nothing.

*Copies*: of the numbers that two recordings have in common, the share that agree within 1%, up to a factor and a shift
for each answer. *Errors in common*: points that either of two entries gets wrong, and how many of them both give the
same wrong class; hard points are hard for all, so the largest share among other entries stands beside it. Models that
are the same function by their mathematics agree as copies do, and the flag says so.

Of records that were run again, test points that only one of both gets right are as often on either side (McNemar 1947,
exact and one-sided), and deviations from what was claimed have mean zero (Student's t, with a floor under the
deviation), even if each of them is within its tolerance.
"""

from __future__ import annotations

import math
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lebench import registry
from lebench.board.entries import Entry, EntryError
from lebench.board.frame import direction_of
from lebench.errors import LebenchError
from lebench.records import Record
from lebench.runner.current import outdated
from lebench.runner.recorded_predictions import asked_of_test_points, predictions
from lebench.runner.recording_format import DECIDED, parts
from lebench.runner.tolerance import allowed
from lebench.tasks.base import Task
from lebench.verify.rerun import Rerun
from lebench.verify.texts import skeleton

Kind = Literal["copy", "errors", "paired", "deviation", "text", "cost"]
_Row = NDArray[Any]
_Numbers = dict[tuple[bytes, int, tuple[int, ...]], _Row]
_Cell = tuple[str, int]
_Pair = tuple[NDArray[np.int64], NDArray[np.int64]]
#: By seed and variant: predicted and true classes of test points.
_Classes = dict[tuple[int, str], _Pair]

#: Numbers of an answer from which it is compared, of all answers in common, and of one entry that are looked at: honest
#: ones of 3 MB have a tenth of that.
_SHORT, _FEW, _MOST = 20, 100, 20_000_000
#: Share of an answer's numbers that may be the same within 1%, so that they tell who made it.
_OFTEN = 0.05
#: Relative difference within which two numbers are the same, and the share of those that makes a copy.
_NEAR, _COPIED = 1e-2, 0.95
#: Points that one of two entries gets wrong from which errors are compared, and the share in common.
_FEW_WRONG, _SAME_WRONG = 20, 0.9
#: Level of the tests on what was run again, and records that they need.
_LEVEL, _FEW_RUNS = 0.01, 2
#: How much cheaper than the cheapest of the board, or than when run again, a record may be.
_CHEAPER, _FASTER = 20.0, 30.0
#: Seconds that clocks and roundings may make.
_CLOCK_S = 1.0
#: Models of lebench that are the same function, at least on some tasks, and why.
_EXPECTED = (
    ({"linear", "logistic-regression", "linear-kernel", "deep-linear"}, "all are linear in the inputs"),
    (
        {"leak-kernel", "rbf", "laplace", "knn"},
        "the control reads the labels that the others learn, by a Gaussian kernel",
    ),
    ({"lin-mlp", "entk-mlp"}, "the one is the linearization of the other's network, with the same weights"),
    ({"ntk-mlp", "lantk-hr-mlp", "lantk-nth-mlp"}, "a label-aware kernel is the NTK where its weight is zero"),
    ({"ntk-cnn", "lantk-hr-cnn"}, "a label-aware kernel is the NTK where its weight is zero"),
)


@dataclass(frozen=True)
class Flag:
    """Something to look at.

    Attributes
    ----------
    kind : {"copy", "errors", "paired", "deviation", "text", "cost"}
        What was looked at.
    evidence : str
        What was found, with its numbers.
    expected : str
        Why that was to be expected; empty if lebench knows no reason.
    """

    kind: Kind
    evidence: str
    expected: str = ""

    def __str__(self) -> str:
        """Return one line."""
        return f"look at: {self.evidence}" + (f" (expected: {self.expected})" if self.expected else "")


def flags(entry: Entry, others: Iterable[Entry]) -> list[Flag]:
    """Return what a person should look at in an entry, by itself and beside all others.

    Parameters
    ----------
    entry : Entry
        Valid; its recordings may come from anybody.
    others : iterable of Entry
        Of the board. One with the same name is left out.
    """
    others = [other for other in others if other.name != entry.name]
    return [*_texts(entry, others), *_costs(entry, others), *_answers(entry, others)]


# Answers.


def _answers(entry: Entry, others: Sequence[Entry]) -> Iterator[Flag]:
    # Before anything of it is unpacked: zeros take no room in a file. A number has three bytes.
    held = [record for record in entry.records if entry.recording_path(record).is_file()]
    if sum(each.bytes for record in held for each in record.recorded.values()) > 3 * _MOST:
        yield Flag("copy", f"has more than {_MOST:,} recorded numbers, ten times what honest entries have")
        return
    try:
        own = _recordings(entry)
    except EntryError as error:
        yield Flag("copy", f"recordings cannot be compared with the board: {error}")
        return
    numbers = {cell: _telling(parts(arrays)) for cell, arrays in own.items()}
    classes = {entry.name: _by_task(own)}
    for other in others:
        theirs = {cell: arrays for cell, arrays in _recordings(other).items() if cell in own}
        yield from _copied(entry, other, {cell: _near(numbers[cell], parts(theirs[cell])) for cell in theirs})
        classes[other.name] = _by_task(theirs)
    for other in others:
        yield from _same_errors(entry, other, classes)


def _recordings(entry: Entry) -> dict[_Cell, dict[str, NDArray[Any]]]:
    """Return the recordings of an entry by task and seed."""
    records = (record for record in entry.records if record.recorded and not outdated(record.cell))
    found = {(record.cell.task, record.cell.seed): entry.recording(record) for record in records}
    return {cell: arrays for cell, arrays in found.items() if arrays}


def _telling(numbers: _Numbers) -> dict[tuple[bytes, int, tuple[int, ...]], tuple[_Row, _Row]]:
    """Return the numbers of each answer and which of them say something of who made them.

    Zeros, and the values of labels, to which models come close that know them, are those of many points. Good models
    name the same classes.
    """
    found = {}
    for question, x in numbers.items():
        size = np.maximum(np.abs(x), np.finfo(np.float32).tiny)
        bins = np.sign(x) * (1e5 + np.round(np.log(size) / (2 * _NEAR)))
        _, where, counts = np.unique(bins, return_inverse=True, return_counts=True)
        telling = counts[where] <= _OFTEN * x.size
        if question[1] == DECIDED:
            telling[: 2 * question[2][0]] = False
        found[question] = x, telling
    return found


def _near(ours: Mapping[Any, tuple[_Row, _Row]], theirs: _Numbers) -> tuple[int, int]:
    """Return how many of the numbers in common agree, up to a factor and a shift for each answer, of how many."""
    near = total = 0
    for question in ours.keys() & theirs.keys():
        x, there = ours[question]
        x, y = x[there], theirs[question][there]
        if x.size < _SHORT or not (spread := y.std()) or not x.std():
            continue
        factor = float(((x - x.mean()) * (y - y.mean())).mean() / spread**2)
        fitted = [y] if not factor else [y, x.mean() + factor * (y - y.mean())]
        near += max(int((np.abs(x - z) <= _NEAR * np.abs(x)).sum()) for z in fitted)
        total += x.size
    return near, total


def _copied(entry: Entry, other: Entry, shares: Mapping[_Cell, tuple[int, int]]) -> Iterator[Flag]:
    found = {cell: (near, all_) for cell, (near, all_) in shares.items() if all_ >= _FEW and near >= _COPIED * all_}
    if found:
        near, total = (sum(column) for column in zip(*found.values(), strict=True))
        where = f"{near:,} of {total:,} recorded numbers on {_listed(task for task, _ in found)}"
        yield Flag("copy", f"{where} are those of {other.name} within 1%", _expected(entry, other))


def _by_task(recordings: Mapping[_Cell, Mapping[str, NDArray[Any]]]) -> dict[str, _Classes]:
    found: dict[str, _Classes] = defaultdict(dict)
    for (task, seed), arrays in recordings.items():
        found[task] |= {(seed, variant): pair for variant, pair in _classes(task, seed, arrays).items()}
    return found


def _classes(task: str, seed: int, arrays: Mapping[str, NDArray[Any]]) -> dict[str, _Pair]:
    try:
        return predictions(_questions(task, seed), arrays)
    except LebenchError:
        return {}


@lru_cache(maxsize=1000)
def _questions(task: str, seed: int) -> dict[str, tuple[bytes, NDArray[np.int64]]]:
    known: Task = registry.tasks.get(task)
    return asked_of_test_points(known, registry.datasets.get(known.dataset).split(seed), seed)


def _in_common(one: _Classes, other: _Classes) -> tuple[int, int]:
    """Return at how many points both give the same wrong class, of those that either gets wrong."""
    same = either = 0
    for where in one.keys() & other.keys():
        (a, y), (b, _) = one[where], other[where]
        # With two classes there is one wrong one.
        if len(a) == len(b) and len(np.unique(y)) > 2:
            same += int(((a == b) & (a != y)).sum())
            either += int(((a != y) | (b != y)).sum())
    return same, either


def _same_errors(entry: Entry, other: Entry, classes: Mapping[str, dict[str, _Classes]]) -> Iterator[Flag]:
    ours, theirs = classes[entry.name], classes[other.name]
    for task in sorted(ours.keys() & theirs.keys()):
        same, either = _in_common(ours[task], theirs[task])
        if either < _FEW_WRONG or same < _SAME_WRONG * either:
            continue
        beside = [classes[name][task] for name in sorted(classes) if name != entry.name and task in classes[name]]
        pairs = (_in_common(*pair) for pair in combinations(beside, 2))
        usual = max((s / e for s, e in pairs if e >= _FEW_WRONG and s < _SAME_WRONG * e), default=0.0)
        said = f"on {task} it gives the same wrong class as {other.name} at {same} of {either} test points"
        rest = f"that either gets wrong; of two others that are not alike it is at most {usual:.0%}"
        yield Flag("errors", f"{said} {rest}", _expected(entry, other))


def _expected(entry: Entry, other: Entry) -> str:
    """Return why two models of lebench answer alike, empty if there is no reason; others' models have none."""
    models = {each.info.model.split("[", 1)[0] for each in (entry, other)}
    own = all(name in registry.models and registry.models.item(name).source == "lebench" for name in models)
    if own and len(models) == 1:
        return "the same model with other parameters"
    return next((why for alike, why in _EXPECTED if own and models <= alike), "")


# What was run again.


def flags_of_reruns(entry: Entry, reruns: Sequence[Rerun]) -> list[Flag]:
    """Return what records that were run again say together.

    Parameters
    ----------
    entry : Entry
        Whose they are.
    reruns : sequence of Rerun
        From :func:`lebench.verify.run_again`.
    """
    compared = [each for each in reruns if each.again is not None and each.rule and each.rule != "exact"]
    return [*_paired(entry, compared), *_deviation(compared), *_faster(reruns)]


def _paired(entry: Entry, reruns: Sequence[Rerun]) -> Iterator[Flag]:
    from scipy.stats import binomtest

    claimed_only = again_only = 0
    for each in reruns:
        cell = each.record.cell
        claimed = _classes(cell.task, cell.seed, entry.recording(each.record))
        again = _classes(cell.task, cell.seed, each.recording)
        for variant in claimed.keys() & again.keys():
            (a, y), (b, _) = claimed[variant], again[variant]
            claimed_only += int(((a == y) & (b != y)).sum())
            again_only += int(((a != y) & (b == y)).sum())
    both = claimed_only + again_only
    p = float(binomtest(claimed_only, both, alternative="greater").pvalue) if both else 1.0
    if p < _LEVEL:
        said = f"{claimed_only} test points are right only as claimed, {again_only} only when run again"
        yield Flag("paired", f"{said}; chance makes that with probability {p:.2g}")


def _deviation(reruns: Sequence[Rerun]) -> Iterator[Flag]:
    from scipy.stats import t as student

    found = []
    for each in reruns:
        primary = registry.tasks.get(each.record.cell.task).primary
        sign = {"higher": 1.0, "lower": -1.0, "none": 0.0}[direction_of(primary)]
        if each.again and sign and primary in each.record.metrics and primary in each.again.metrics:
            claimed = each.record.metrics[primary]
            # Of another processor: a tie, or rounding.
            found.append(sign * (claimed - each.again.metrics[primary]) / allowed(primary, claimed, "closed form"))
    if len(found) < _FEW_RUNS:
        return
    mean, spread = float(np.mean(found)), max(1.0, float(np.std(found, ddof=1)))
    # With the floor the deviation is known, without it it is estimated.
    freedom = math.inf if spread == 1.0 else len(found) - 1
    p = float(student.sf(mean * math.sqrt(len(found)) / spread, freedom))
    if p < _LEVEL:
        better = sum(value > 0 for value in found)
        said = f"claimed values are better than when run again in {better} of {len(found)} records"
        yield Flag(
            "deviation", f"{said}, by {mean:.2g} roundings in the mean; chance makes that with probability {p:.2g}"
        )


def _faster(reruns: Iterable[Rerun]) -> Iterator[Flag]:
    for each in reruns:
        claimed, again = each.record.cost, each.again.cost if each.again else None
        if claimed and again and again.cpu_s > _FASTER * claimed.cpu_s and again.cpu_s > _CLOCK_S:
            said = f"{_where(each.record)} is claimed to take {claimed.cpu_s:.2g} CPU s and took {again.cpu_s:.2g}"
            yield Flag("cost", said)


# Costs and texts.


def _costs(entry: Entry, others: Sequence[Entry]) -> Iterator[Flag]:
    cheapest: dict[str, float] = {}
    for record in (record for other in others for record in other.records):
        if record.cost and record.status == "ok":
            cheapest[record.cell.task] = min(record.cost.cpu_s, cheapest.get(record.cell.task, math.inf))
    seen: dict[tuple[float, float, float], Record] = {}
    for record in entry.records:
        if record.cost is None or record.status != "ok":
            continue
        cost, where = record.cost, _where(record)
        least = cheapest.get(record.cell.task, 0.0)
        if cost.cpu_s < least / _CHEAPER:
            said = f"took {cost.cpu_s:.2g} CPU s; the cheapest record of the board took {least:.2g}"
            yield Flag("cost", f"{where} {said}")
        lasted = datetime.fromisoformat(record.run.finished) - datetime.fromisoformat(record.run.started)
        if cost.score_s > lasted.total_seconds() + _CLOCK_S:
            yield Flag("cost", f"{where} was scored for {cost.score_s:.3g} s in {lasted.total_seconds():.3g} s")
        if other := seen.get(key := (cost.fit_s, cost.score_s, cost.cpu_s)):
            yield Flag("cost", f"{where} has the cost of {_where(other)}, to the last digit")
        seen[key] = record


def _texts(entry: Entry, others: Sequence[Entry]) -> Iterator[Flag]:
    shown: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for other in others:
        for what, text in _shown(other):
            shown[what, skeleton(text)].append((text, other.name))
    for what, text in _shown(entry):
        alike = {(said, name) for said, name in shown.get((what, skeleton(text)), ()) if said != text}
        for said, name in sorted(alike)[:1]:
            letters = ", ".join(sorted({unicodedata.name(c, "?") for c in text if not c.isascii()})[:3])
            also = f"; it has {letters}" if letters else ""
            yield Flag("text", f"the {what} {text!r} looks like {said!r} of {name}{also}")


def _shown(entry: Entry) -> Iterator[tuple[str, str]]:
    yield "name", entry.name
    yield "model", entry.info.model.split("[", 1)[0]
    yield "summary", entry.info.summary
    yield from (("author", author) for author in entry.info.authors)


def _where(record: Record) -> str:
    return f"{record.cell.task} seed {record.cell.seed}"


def _listed(names: Iterable[str]) -> str:
    found = sorted(set(names))
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more tasks" if len(found) > 3 else "")
