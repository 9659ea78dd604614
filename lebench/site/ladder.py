"""The ladder from the infinite-width kernel of an architecture to the network itself, one step at a time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from lebench.board.board import BoardTask
from lebench.board.scores import Score
from lebench.site.leaderboard import View, family
from lebench.site.numbers import show
from lebench.site.pages import render
from lebench.site.plot import Axis, axis

#: Height of a rung, in pixels.
RUNG = 38


@dataclass(frozen=True)
class Rung:
    """A model on the ladder: its registered name, what it is, and what it leaves out or adds."""

    model: str
    name: str
    step: str
    family: str


#: From the kernel that never sees the network to the network.
_STEPS = (
    ("nngp-{}", "NNGP", "Infinite width, last layer trained"),
    ("ntk-{}", "NTK", "Infinite width, all layers trained"),
    ("lantk-hr-{}", "Label-aware NTK", "NTK plus agreement of labels"),
    ("entk-{}", "Empirical NTK", "The network’s own kernel at the start"),
    ("entk-{}-trained", "Trained empirical NTK", "The network’s own kernel after training"),
    ("lin-{}", "Linearized network", "First-order expansion at the start"),
    ("{}", "Network", "All of training, nothing left out"),
)

_WORDS = {"higher": "higher is better", "lower": "lower is better", "none": "neither end is better"}


@dataclass(frozen=True)
class Panel:
    """A task as the ladder sees it.

    Attributes
    ----------
    task : BoardTask
        Which; its primary value is shown.
    axis : Axis
        From the lowest to the highest.
    scores : tuple of (Score or None)
        By rung.
    thread : tuple of (float, int, float, int, bool)
        Lines between the scores: position in percent and rung of both ends, and whether a rung lies between them that
        was not run.
    better : str
        Which end of the axis is better.
    """

    task: BoardTask
    axis: Axis
    scores: tuple[Score | None, ...]
    thread: tuple[tuple[float, int, float, int, bool], ...]
    better: str


def rungs(architecture: str) -> tuple[Rung, ...]:
    """Return the ladder of an architecture."""
    models = ((pattern.format(architecture), name, step) for pattern, name, step in _STEPS)
    return tuple(Rung(model, name, step, family(model)) for model, name, step in models)


def panel(view: View, task: BoardTask, ladder: Sequence[Rung]) -> Panel | None:
    """Return a task on the ladder, None if fewer than two rungs have a score."""
    entries = {entry.info.model: name for name, entry in view.entries.items()}
    scores = [view.score(entries.get(rung.model, ""), task.name, task.primary) for rung in ladder]
    there = [(k, score) for k, score in enumerate(scores) if score is not None]
    if len(there) < 2:
        return None
    ends = [view.inside(task.primary, end) for _, one in there for end in (one.lower, one.upper) if end is not None]
    drawn = axis([one.mean for _, one in there], ends)
    thread = tuple(
        (drawn.at(a.mean), i, drawn.at(b.mean), j, j - i > 1) for (i, a), (j, b) in itertools.pairwise(there)
    )
    return Panel(task, drawn, tuple(scores), thread, _WORDS[view.metric(task.primary).direction])


def core_panels(view: View, ladder: Sequence[Rung]) -> list[Panel]:
    """Return the core tasks that the ladder was run on, by track."""
    core = {name for ranking in view.rankings.values() for name in ranking.tasks}
    found = (panel(view, task, ladder) for task in view.tasks() if task.name in core)
    return [one for one in found if one is not None]


def label_panels(view: View, ladder: Sequence[Rung]) -> list[Panel]:
    """Return other tasks on which the label-aware kernel, the kernel that it starts from, and the network were run."""
    core = {name for ranking in view.rankings.values() for name in ranking.tasks}
    kernel, aware, network = (next(k for k, one in enumerate(ladder) if one.name == name) for name in _AWARE)
    found = (panel(view, task, ladder) for task in view.tasks() if task.name not in core)
    return [one for one in found if one and one.scores[kernel] and one.scores[aware] and one.scores[network]]


_AWARE = ("NTK", "Label-aware NTK", "Network")


def first_panels(panels: Sequence[Panel]) -> list[Panel]:
    """Return one panel for each track: that with most rungs, of several the one whose question is the track's own."""
    best: dict[str, Panel] = {}
    for one in panels:
        track = one.task.track
        if track not in best or _run(one) > _run(best[track]):
            best[track] = one
    return list(best.values())


def _run(one: Panel) -> tuple[int, bool]:
    return sum(score is not None for score in one.scores), one.task.name.endswith(f"/{one.task.track}")


def said(view: View, one: Panel, ladder: Sequence[Rung]) -> str:
    """Return what a panel shows, in words."""
    parts = []
    for rung, score in zip(ladder, one.scores, strict=True):
        if score is None:
            parts.append(f"{rung.name} not run")
            continue
        bounded = view.bounded(one.task.primary)
        ends = [show(end, bounded).striptags() for end in (score.lower, score.upper) if end is not None]
        interval = f" ({ends[0]} to {ends[1]})" if len(ends) == 2 else ""
        parts.append(f"{rung.name} {show(score.mean, bounded).striptags()}{interval}")
    return f"{one.task.name}: " + "; ".join(parts)


def drawing(view: View, panels: Sequence[Panel], ladder: Sequence[Rung], root: str) -> str:
    """Return panels side by side as HTML."""
    seeds = sorted({score.seeds for one in panels for score in one.scores if score})
    return render("rungs.html", view=view, panels=panels, ladder=ladder, rung=RUNG, said=said, root=root, seeds=seeds)


def page(view: View, architecture: str = "mlp") -> str:
    """Return the text of the page."""
    ladder = rungs(architecture)
    core, aware = core_panels(view, ladder), label_panels(view, ladder)
    shown = {one.model for k, one in enumerate(ladder) if any(panel.scores[k] for panel in aware)}
    short = [one for one in ladder if one.model in shown]
    other = [one for task in aware if (one := panel(view, task.task, short))]
    return render(
        "ladder.md",
        view=view,
        architecture=architecture,
        core=drawing(view, core, ladder, "../") if core else "",
        aware=drawing(view, other, short, "../") if other else "",
        root="../",
    )
