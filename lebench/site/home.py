"""The findings on the home page: who leads each track and how sure that is, and what became of the papers' claims."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lebench.board.ranking import SIGNS, Rank, Ranking
from lebench.site import ladder
from lebench.site.leaderboard import View, family
from lebench.site.pages import render
from lebench.site.papers import Judged

#: What it is to lead a track; how many models are shown at least, and at most if so many could be first.
_LEADS = {"generalization": "Generalizes best", "elasticity": "Most elastic", "collapse": "Most collapsed"}
_SHOWN, _LEVEL = 9, 14

#: Verdicts in the order of the bar, with what is said of one claim and of several.
VERDICTS = {
    "holds": ("holds", "hold"),
    "in part": ("holds in part", "hold in part"),
    "fails": ("fails", "fail"),
    "underpowered": ("undecided: more seeds needed", "undecided: more seeds needed"),
    "not measured": ("not measured", "not measured"),
}

#: Models that two tasks must share before their orders are compared.
_COMMON = 4


@dataclass(frozen=True)
class Line:
    """A model on a card."""

    rank: Rank
    label: str
    family: str


@dataclass(frozen=True)
class Card:
    """Who leads a track.

    Attributes
    ----------
    track, leads : str
        Which, and what it is to lead it.
    title, sentence : str
        Who could be first, and by how much.
    basis : str
        How many tasks, seeds and models that is from, and how many of them are told apart.
    lines : tuple of Line
        The first models, and so all that could be first unless they are too many.
    more : int
        Models that could be first and are not shown.
    """

    track: str
    leads: str
    title: str
    sentence: str
    basis: str
    lines: tuple[Line, ...]
    more: int


def card(view: View, ranking: Ranking) -> Card:
    """Return the card of a track in which some models are ranked."""
    lines = [
        Line(rank, view.label(entry := view.entries[rank.entry]), family(entry.info.model)) for rank in ranking.ranks
    ]
    last = max(k for k, line in enumerate(lines, 1) if line.rank.lower == 1)
    shown = max(_SHOWN, min(last, _LEVEL))
    return Card(
        ranking.track,
        _LEADS.get(ranking.track, f"First in {ranking.track}"),
        _title(lines),
        _sentence(lines, view.board.level),
        basis(ranking),
        tuple(lines[:shown]),
        sum(line.rank.lower == 1 for line in lines[shown:]),
    )


def _title(lines: Sequence[Line]) -> str:
    level = [line.label for line in lines if line.rank.lower == 1]
    if len(level) == 1:
        return f"{level[0]}, alone"
    if len(level) == 2:
        return f"{level[0]} and {level[1]}, level"
    return f"{level[0]}, level with {len(level) - 1} others"


def _sentence(lines: Sequence[Line], level: float) -> str:
    first = lines[0].rank
    said = f"{first.score:.0f} of 100, {100 * level:.0f}% interval {first.score_lower:.0f} to {first.score_upper:.0f}; "
    if not first.beats:
        return f"{said}no other model is certainly behind."
    behind = lines[first.beats[0]]
    points = max(round(first.score - behind.rank.score), 0)
    return f"{said}{points} points ahead of {behind.label}, the best model that is certainly behind."


def seeds(ranking: Ranking) -> str:
    """Return how many seeds the ranks are from: ``"3 to 5 seeds"``."""
    numbers = [rank.seeds for rank in ranking.ranks]
    return f"{min(numbers)} to {max(numbers)} seeds" if min(numbers) < max(numbers) else f"{min(numbers)} seeds"


def basis(ranking: Ranking) -> str:
    """Return what ranks rest on, in a sentence."""
    count = len(ranking.ranks)
    tasks = f"{len(ranking.tasks)} task{'' if len(ranking.tasks) == 1 else 's'}"
    return (
        f"{tasks}, {seeds(ranking)}, {count} models. Told apart: {100 * (ranking.decided or 0):.0f}% of all "
        f"{count * (count - 1) // 2} pairs, {round((ranking.neighbours or 0) * (count - 1))} of {count - 1} neighbours."
    )


def agreement(view: View, track: str) -> float | None:
    """Return the mean rank correlation between two tasks of a track (Spearman), over the models that both have.

    None if no two of its tasks have enough models in common or orders that can be compared.
    """
    from scipy.stats import spearmanr

    means = {
        task.name: {
            name: SIGNS[view.metric(task.primary).direction] * score.mean
            for name, entry in view.entries.items()
            if not entry.control and (score := view.score(name, task.name, task.primary))
        }
        for task in view.tasks(track)
        if task.name not in view.measured and SIGNS[view.metric(task.primary).direction]
    }
    found = []
    for a, b in itertools.combinations(means.values(), 2):
        common = sorted(a.keys() & b.keys())
        x, y = [a[name] for name in common], [b[name] for name in common]
        if len(common) >= _COMMON and len(set(x)) > 1 and len(set(y)) > 1:
            found.append(float(spearmanr(x, y).statistic))
    return float(np.mean(found)) if found else None


def fragment(view: View, judged: Judged) -> str:
    """Return the findings as HTML, for an address from which the leaderboard is at ``leaderboard/``."""
    counts = Counter[str](finding.verdict for _, claims in judged for _, finding in claims)
    cards = [card(view, view.rankings[track]) for track in view.ranked_tracks if view.rankings[track].ranks]
    steps = ladder.rungs("mlp")
    panels = ladder.first_panels(ladder.core_panels(view, steps))
    return render(
        "home.html",
        view=view,
        cards=cards,
        families=sorted({line.family for each in cards for line in each.lines}),
        agreement=agreement(view, "elasticity"),
        papers=judged,
        ladder=ladder.drawing(view, panels, steps, "leaderboard/") if panels else "",
        counts={verdict: counts[verdict] for verdict in VERDICTS if counts[verdict]},
        words={verdict: VERDICTS[verdict][counts[verdict] != 1] for verdict in VERDICTS},
    )
