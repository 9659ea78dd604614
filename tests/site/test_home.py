"""The findings on the home page say what the ranking and the verdicts say."""

import re

import pytest

from lebench.board import make_board, read_entries
from lebench.board.ranking import Rank, Ranking
from lebench.site import home
from lebench.site.leaderboard import View
from lebench.site.papers.base import Claim, Finding, Paper


def rank(entry, number, lower, upper, score, beats):
    ends = {"score_lower": score - 5, "score_upper": score + 4, "seeds": 2 + number, "tasks": 2, "not_applicable": {}}
    return Rank(entry=entry, rank=number, lower=lower, upper=upper, score=score, beats=beats, **ends)


@pytest.fixture
def view(entries):
    ranking = Ranking(
        track="generalization",
        tasks=["toy/accuracy"],
        ranks=[rank("mlp", 1, 1, 2, 80.4, [2]), rank("cnn", 2, 1, 2, 78.0, [2]), rank("linear", 3, 3, 3, 20.2, [])],
        unranked=[],
        decided=2 / 3,
        certain=0.3333,
        neighbours=0.5,
        frozen=False,
    )
    board = make_board(read_entries(entries))
    return View(board.model_copy(update={"rankings": [ranking]}))


def test_a_card_says_who_leads_by_how_much_and_from_what(view):
    card = home.card(view, view.rankings["generalization"])
    assert card.title == "mlp and cnn, level"
    assert card.sentence == (
        "80 of 100, 95% interval 75 to 84; 60 points ahead of linear, the best model that is certainly behind."
    )
    assert card.basis == "1 task, 3 to 5 seeds, 3 models. Told apart: 67% of all 3 pairs, 1 of 2 neighbours."


@pytest.mark.parametrize(
    ("level", "title"), [(1, "mlp, alone"), (2, "mlp and cnn, level"), (3, "mlp, level with 2 others")]
)
def test_who_is_level_is_who_could_be_first(view, level, title):
    ranking = view.rankings["generalization"]
    ranks = [one.model_copy(update={"lower": 1 if k < level else 2}) for k, one in enumerate(ranking.ranks)]
    assert home.card(view, ranking.model_copy(update={"ranks": ranks})).title == title


def test_a_leader_who_beats_nobody_is_said_to(view):
    ranking = view.rankings["generalization"]
    ranks = [one.model_copy(update={"beats": []}) for one in ranking.ranks]
    sentence = home.card(view, ranking.model_copy(update={"ranks": ranks})).sentence
    assert sentence.endswith("no other model is certainly behind.")


def test_claims_are_counted_by_verdict_and_linked(view):
    def claim(title):
        return Claim(title, "It says.", "section 1", "Ours.", ("toy/task",), {}, {}, "a difference", dict)

    claims = [(claim(f"Claim <{k}>"), Finding(v, "")) for k, v in enumerate(("holds", "fails", "holds"))]
    paper = Paper("toy", "Toy", "A paper", "N. N.", "2020", "https://arxiv.org", "?", tuple(c for c, _ in claims))
    text = home.fragment(view, [(paper, claims)])
    assert "3 claims from 1 lines of work" in text
    assert re.findall(r"<b>(\d+)</b> (\w+)", text) == [("2", "hold"), ("1", "fails")]
    assert re.findall(r'flex: (\d+)" data-verdict="(\w+)"', text) == [("2", "holds"), ("1", "fails")]
    assert '<a href="gallery/toy/#claim-2">Claim &lt;1&gt;</a>' in text
    shaded = re.findall(r'<li class="le-first"><a href="leaderboard/entries/(\w+)/">', text)
    assert shaded == ["mlp", "cnn"]


def test_tasks_that_order_models_alike_agree(view):
    # Both toy tasks order mlp, cnn and linear alike, but three models are too few to say so.
    assert home.agreement(view, "collapse") is None
    task = view.board.tasks[0]
    names = ["mlp", "cnn", "linear", "other"]
    first = next(one for one in view.board.scores if one.value == task.primary)
    means = {"a": [1.0, 2.0, 3.0, 4.0], "b": [4.0, 3.0, 2.0, 1.0], "c": [1.0, 2.0, 3.0, 4.0]}
    scores = [
        first.model_copy(update={"entry": entry, "task": name, "mean": mean})
        for name, values in means.items()
        for entry, mean in zip(names, values, strict=True)
    ]
    entry = view.board.entries[0].model_copy(update={"control": False})
    entries = [entry.model_copy(update={"info": entry.info.model_copy(update={"name": name})}) for name in names]
    tasks = [task.model_copy(update={"name": name}) for name in means]
    planted = View(view.board.model_copy(update={"scores": scores, "entries": entries, "tasks": tasks}))
    assert home.agreement(planted, task.track) == pytest.approx((1 - 1 - 1) / 3)
