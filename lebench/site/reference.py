"""The catalogue as pages: tasks, metrics with their calibration, agreement, and models, as the registry knows them."""

from __future__ import annotations

import inspect

from lebench import registry
from lebench.agree import measured
from lebench.metrics.base import Metric
from lebench.models.spec import parameters
from lebench.models.wording import values_in_words
from lebench.site import agreement, calibration
from lebench.site.pages import render
from lebench.tasks.base import TRACKS, metric_of


def pages() -> dict[str, str]:
    """Return the text of every page by its path."""
    tasks = [registry.tasks.get(name) for name in registry.tasks.names()]
    metrics = [registry.metrics.get(name) for name in registry.metrics.names()]
    used = {metric.name: [t for t in tasks if metric.name in map(metric_of, t.metrics)] for metric in metrics}
    models = [
        (item, [(each, values_in_words(each)) for each in parameters(item.name).values()])
        for item in registry.models.items()
    ]
    texts = {
        "tasks.md": render("tasks.md", tracks=TRACKS, tasks=tasks),
        "metrics.md": render("metrics.md", metrics=metrics, used=used, bounds=_bounds, call=_call),
        "calibration.md": calibration.page(metrics),
        "agreement.md": agreement.page(measured()),
        "models.md": render("models.md", models=models),
    }
    summary = "".join(f"* [{path.removesuffix('.md').capitalize()}]({path})\n" for path in texts)
    return texts | {"SUMMARY.md": summary}


def _call(metric: Metric) -> str:
    """Return how a metric is called, without the types of its arguments."""
    signature = inspect.signature(metric.function)
    plain = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return f"{metric.name}{inspect.Signature(plain)}"


def _bounds(metric: Metric) -> str:
    """Return bounds as an interval, open where it has no end."""
    low, high = (f"{end:g}".replace("inf", "∞").replace("-", "−") for end in metric.bounds)
    left, right = ("(" if "∞" in low else "["), (")" if "∞" in high else "]")
    return f"{left}{low}, {high}{right}"
