"""Figures drawn from scores: a value by model, and a value along a parameter, with intervals over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lebench.board import Estimate
from lebench.pictures.base import Picture, Spec, axis, colour, listed, make, number, panel, rounded
from lebench.site.papers.base import Evidence, NotMeasured
from lebench.tasks.base import metric_of


def by_model(
    evidence: Evidence,
    title: str,
    panels: Mapping[str, tuple[str, str]],
    models: Sequence[str],
    reference: float | None = None,
) -> Picture:
    """Return a picture of means and intervals by model, with the values of single seeds.

    Parameters
    ----------
    evidence : Evidence
        The records.
    title : str
        Of the picture.
    panels : mapping of str to (str, str)
        By the panel's title: task and value.
    models : sequence of str
        In the order in which they are drawn; those without a value are left out.
    reference : float, optional
        Where a line is drawn, such as chance.

    Raises
    ------
    NotMeasured
        If none of the models has a value.
    """
    drawn, said = [], []
    for name, (task, value) in panels.items():
        have = [model for model in models if model in evidence.models(task, value)]
        if not have:
            raise NotMeasured(f"the board has no {value} on {task} yet")
        labels = {model: evidence.label(model) for model in have}
        seeds = [
            {"model": labels[model], "v": rounded(v)}
            for model in have
            for v in evidence.by_seed(model, task, value).values()
        ]
        means = [{"model": labels[model], **interval(evidence.mean(model, task, value))} for model in have]
        drawn.append(dots(name, value, seeds, means, list(labels.values()), reference))
        said.append(f"{name}: " + listed([f"{number(point['mean'])} for {point['model']}" for point in means]))
    return make("by-model", title, f"{'. '.join(said)}.", drawn)


def along(
    evidence: Evidence,
    title: str,
    x_title: str,
    panels: Mapping[str, tuple[str, Mapping[float, str]]],
    models: Sequence[str],
    *,
    log_x: bool = False,
) -> Picture:
    """Return a picture of a value along a parameter, a line and a band of its interval for each model.

    Parameters
    ----------
    evidence : Evidence
        The records.
    title, x_title : str
        Of the picture, and of the parameter.
    panels : mapping of str to (str, mapping)
        By the panel's title: task, and values by the parameter's.
    models : sequence of str
        Those without a value are left out.
    log_x : bool, default False
        Whether the parameter's axis is logarithmic.

    Raises
    ------
    NotMeasured
        If none of the models has a value.
    """
    drawn, said, shown = [], [], dict[str, None]()
    for name, (task, values) in panels.items():
        points: list[Spec] = []
        measured = metric_of(next(iter(values.values())))
        for model in models:
            own = [
                {"model": evidence.label(model), "x": x, **interval(evidence.mean(model, task, value))}
                for x, value in values.items()
                if model in evidence.models(task, value)
            ]
            points += own
            if own:
                shown[own[0]["model"]] = None
                said.append(f"{name}, {own[0]['model']}: from {number(own[0]['mean'])} to {number(own[-1]['mean'])}")
        if not points:
            raise NotMeasured(f"the board has no values of {task} yet")
        drawn.append((name, measured, points))
    hue = colour("model", list(shown), "model")
    specs = [_lines(name, points, (x_title, y_title), hue, log_x=log_x) for name, y_title, points in drawn]
    return make("along", title, f"{'; '.join(said)}.", specs, shown)


def interval(estimate: Estimate) -> Spec:
    """Return a mean and the ends of its interval as a datum."""
    point: Spec = {"mean": rounded(estimate.mean)}
    if estimate.lower is not None and estimate.upper is not None:
        point |= {"lower": rounded(estimate.lower), "upper": rounded(estimate.upper)}
    return point


def dots(
    name: str, value: str, seeds: list[Spec], means: list[Spec], models: Sequence[str], reference: float | None
) -> Spec:
    """Return a panel of means with their intervals and the values of single seeds, a row for each model."""
    y = {"field": "model", "type": "nominal", "sort": list(models), "title": None, "axis": {"grid": True}}
    told = [{"field": "model"}, {"field": "mean"}, {"field": "lower"}, {"field": "upper"}]
    layers: list[Spec] = [
        {
            "data": {"values": seeds},
            "mark": {"type": "point", "filled": True, "opacity": 0.35, "size": 24},
            "encoding": {"x": axis("v", value), "y": y, "tooltip": [{"field": "model"}, {"field": "v"}]},
        },
        {
            "mark": {"type": "rule", "strokeWidth": 2},
            "encoding": {"x": axis("lower", value), "x2": {"field": "upper"}, "y": y},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
            "encoding": {"x": axis("mean", value), "y": y, "tooltip": told},
        },
    ]
    if reference is not None:
        line = {"type": "rule", "strokeDash": [4, 4], "opacity": 0.6}
        layers.insert(0, {"data": {"values": [{"v": reference}]}, "mark": line, "encoding": {"x": axis("v", value)}})
    return panel(name, means, layers) | {"height": {"step": 22}}


def _lines(name: str, points: list[Spec], titles: tuple[str, str], hue: Spec, *, log_x: bool) -> Spec:
    x_title, y_title = titles
    scale = {"type": "log", "nice": False} if log_x else {}
    x = axis("x", x_title, scale=scale)
    told = [{"field": "model"}, {"field": "x", "title": x_title}, *({"field": f} for f in ("mean", "lower", "upper"))]
    layers: list[Spec] = [
        {
            "mark": {"type": "area", "opacity": 0.15},
            "encoding": {"x": x, "y": axis("lower", y_title), "y2": {"field": "upper"}, "color": hue},
        },
        {
            "mark": {"type": "line", "point": {"size": 30}, "strokeWidth": 2},
            "encoding": {"x": x, "y": axis("mean", y_title), "color": hue, "tooltip": told},
        },
    ]
    return panel(name, points, layers)
