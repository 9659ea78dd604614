"""The calibration as a page: how far every metric is from its known answers, on which library."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from lebench import registry
from lebench.calibrate import LIBRARIES, calibrate
from lebench.metrics.base import Metric
from lebench.site.pages import render
from lebench.tasks.base import TRACKS

#: How the array libraries write themselves.
_NAMES = {"numpy": "NumPy", "torch": "torch", "jax": "JAX"}


@dataclass(frozen=True)
class Precision:
    """The checks of a known answer in one dtype, one for each library in order, and their common tolerance."""

    checks: tuple[dict[str, Any], ...]
    tolerance: float


@dataclass(frozen=True)
class Answer:
    """A known answer: what is planted, what must come out, and how far each library is from it."""

    name: str
    source: str
    expected: float
    precisions: tuple[Precision, ...]

    @property
    def out(self) -> list[str]:
        """What is out of tolerance, and how; empty if nothing is."""
        return [
            f"{_NAMES[check['backend']]} {check['dtype']}: {check['reason'] or check['value']}"
            for precision in self.precisions
            for check in precision.checks
            if not check["ok"]
        ]


@dataclass(frozen=True)
class Group:
    """The metrics of one topic with their known answers."""

    name: str
    metrics: tuple[tuple[Metric, tuple[Answer, ...]], ...]


def page(metrics: Sequence[Metric]) -> str:
    """Calibrate metrics on every installed array library and return the page that says how it went."""
    results = calibrate([metric.name for metric in metrics])
    libraries = [library for library in LIBRARIES if any(result["backend"] == library for result in results)]
    return render(
        "calibration.md",
        groups=_groups(metrics, results),
        answers=sum(len(metric.known_answers) for metric in metrics),
        metrics=metrics,
        checks=len(results),
        out=sum(not result["ok"] for result in results),
        libraries=[_NAMES[library] for library in libraries],
        versions=[f"{_NAMES[library]} {version(library)}" for library in libraries],
        missing=[_NAMES[library] for library in LIBRARIES if library not in libraries],
        dtypes=list(dict.fromkeys(result["dtype"] for result in results)),
    )


def _groups(metrics: Iterable[Metric], results: Sequence[dict[str, Any]]) -> list[Group]:
    """Return the metrics by track, and within a track by topic: the last of their tags."""
    checks: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for result in results:
        of_answer = checks.setdefault((result["metric"], result["known_answer"]), {})
        of_answer.setdefault(result["dtype"], []).append(result)
    tags = {metric.name: registry.metrics.item(metric.name).tags or ("other",) for metric in metrics}
    ranks: dict[str, int] = {track: rank for rank, track in enumerate(TRACKS)}
    by_topic: dict[str, list[tuple[Metric, tuple[Answer, ...]]]] = {}
    for metric in sorted(metrics, key=lambda m: (ranks.get(tags[m.name][0], len(ranks)), tags[m.name], m.name)):
        answers = tuple(
            Answer(
                answer.name,
                answer.source,
                answer.expected,
                tuple(
                    Precision(tuple(of_dtype), of_dtype[0]["tolerance"])
                    for of_dtype in checks[metric.name, answer.name].values()
                ),
            )
            for answer in metric.known_answers
        )
        by_topic.setdefault(tags[metric.name][-1], []).append((metric, answers))
    return [Group(topic, tuple(entries)) for topic, entries in by_topic.items()]
