"""Scores of models with their intervals, the best at the top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lebench.pictures.base import Picture, Spec, axis, listed, make, number, panel, rounded

#: A model, its score, the ends of the interval (NaN if there is none), and whether it takes a rank.
Row = tuple[str, float, float, float, bool]
#: Height of a model's line in pixels.
_LINE = 16


def ranked(questions: Mapping[str, Sequence[Row]]) -> Picture:
    """Return a panel for each question; models without a rank are drawn as squares.

    Parameters
    ----------
    questions : mapping of str to sequence of (model, score, lower, upper, ranked)
        The best model first.
    """
    panels = [_panel(question, rows) for question, rows in questions.items()]
    best = {question: [row for row in rows if row[4]] for question, rows in questions.items()}
    told = [f"{rows[0][0]} ({number(rows[0][1])}) on {question}" for question, rows in best.items() if rows]
    sentence = f"The best with a rank is {listed(told)}." if told else "None has a rank."
    return make("ranked", "Scores and 95% intervals", sentence, panels)


def _panel(question: str, rows: Sequence[Row]) -> Spec:
    values = []
    for model, score, lower, upper, has_rank in rows:
        value = {"model": model, "v": rounded(score), "rank": "ranked" if has_rank else "not ranked"}
        if lower == lower and upper == upper:
            value |= {"lower": rounded(lower), "upper": rounded(upper)}
        values.append(value)
    y: Spec = {"field": "model", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 220}}
    hue: Spec = {"field": "rank", "type": "nominal", "title": None, "scale": {"domain": ["ranked", "not ranked"]}}
    ends = {
        "transform": [{"filter": "isValid(datum.lower)"}],
        "mark": {"type": "rule", "strokeWidth": 1.5},
        "encoding": {"x": axis("lower", "score"), "x2": {"field": "upper"}, "y": y, "color": hue},
    }
    tooltip = [{"field": name} for name in ("model", "v", "lower", "upper")]
    points = {
        "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
        "encoding": {"x": axis("v", "score"), "y": y, "color": hue, "shape": hue, "tooltip": tooltip},
    }
    return panel(question, values, [ends, points]) | {"height": _LINE * max(len(rows), 2)}
