"""The overview: a row a model, controls in a band of their own, what could be first shaded."""

import re

import pytest

from lebench.board import make_board, read_entries
from lebench.board.ranking import Rank, Ranking, Unranked
from lebench.board.suite import CoreTask
from lebench.site import overview
from lebench.site.leaderboard import View


def rank(entry, number, lower, score):
    rest = {"score_lower": score - 5, "score_upper": score + 4, "seeds": 3, "tasks": 1, "not_applicable": {}}
    return Rank(entry=entry, rank=number, lower=lower, upper=number, score=score, beats=[], **rest)


@pytest.fixture
def view(entries):
    ranking = Ranking(
        track="generalization",
        tasks=["toy/accuracy"],
        ranks=[rank("mlp", 1, 1, 80.4), rank("cnn", 2, 2, 78.0)],
        unranked=[Unranked(entry="linear", reason="no score", lacking=["toy/accuracy"])],
        decided=0.25,
        certain=0.0,
        neighbours=0.0,
        frozen=True,
    )
    board = make_board(read_entries(entries))
    anchors = CoreTask(track="generalization", version=1, centre=0.1, scale=0.3, reliability=0.9)
    suite = board.suite.model_copy(update={"tasks": {"toy/accuracy": anchors}})
    return View(board.model_copy(update={"rankings": [ranking], "suite": suite}))


def test_models_controls_and_others_stand_apart(view):
    found = overview.make_overview(view)
    assert [row.label for row in found.models] == ["mlp", "cnn"]
    assert [row.label for row in found.controls] == ["constant"]
    assert [row.label for row in found.others] == ["linear"]
    assert [row.tasks for row in (*found.models, *found.controls)] == [2, 2, 1]
    # The control is at the centre of the anchors.
    assert found.controls[0].places[0].score == pytest.approx(50.0)
    assert found.controls[0].places[0].lower is None


def test_a_control_without_frozen_anchors_has_no_score(view):
    ranking = view.rankings["generalization"].model_copy(update={"frozen": False})
    found = overview.make_overview(View(view.board.model_copy(update={"rankings": [ranking]})))
    assert found.controls[0].places[0].score is None


def test_the_page_shades_who_could_be_first_and_says_numbers(view):
    text = overview.page(view)
    rows = dict(re.findall(r'<tr data-entry="(\w+)".*?(<td class="le-place.*?</td>)', text, re.DOTALL))
    assert list(rows) == ["mlp", "cnn"]
    assert "le-first" in rows["mlp"]
    assert "(could be first)" in rows["mlp"]
    assert "le-first" not in rows["cnn"]
    assert 'aria-label="generalization: 80 of 100, interval 75 to 84"' in rows["mlp"]
    assert '<line class="le-iv le-f-other" x1="75.4%" x2="84.4%"' in rows["mlp"]
    assert "1 task, 3 seeds; 25% of pairs told apart" in text
    models, controls = text.split('<tbody class="le-controls">')
    assert 'href="entries/constant/"' in controls
    assert 'href="entries/constant/"' not in models
    assert "One more has no track score yet" in text
