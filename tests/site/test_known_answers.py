"""Known answers: those of the table hold on the records of the leaderboard, and the page shows both."""

import math
from pathlib import Path

import pytest

from lebench import registry
from lebench.board import Score, make_board, read_entries, read_entry
from lebench.board.scores import collect
from lebench.site import leaderboard
from lebench.site.known_answers import answered
from lebench.site.pictures import Gallery
from lebench.tasks.facts import KnownAnswer

ROOT = Path(__file__).parents[2]


def score(mean, value="accuracy"):
    return Score(
        entry="e", task="t", value=value, mean=mean, lower=None, upper=None, seeds=1, by_seed={0: mean}
    )  # fmt: skip


@pytest.fixture(scope="module")
def means():
    """Means over seeds of all values, by task and value: registered name of the model and mean."""
    entries = read_entries(ROOT / "leaderboard" / "entries")
    current = {
        entry.name: [
            record
            for record in entry.records
            if record.cell.task in registry.tasks
            and record.cell.task_version == registry.tasks.get(record.cell.task).version
        ]
        for entry in entries
    }
    models = {entry.name: entry.info.model.partition("[")[0] for entry in entries}
    return {
        key: [(models[entry], math.fsum(seeds.values()) / len(seeds)) for entry, seeds in of.items()]
        for key, of in collect(current).items()
    }


def test_answers_are_of_models_that_there_are():
    answers = [answer for name in registry.tasks.names() for answer in registry.tasks.get(name).known]
    assert len(answers) > 60
    assert all(model in registry.models or model == "*" for answer in answers for model in answer.models)


def test_what_is_known_holds_on_the_leaderboard(means):
    checked = 0
    for (task, value), scores in means.items():
        for answer in (each for each in registry.tasks.get(task).known if each.value == value):
            for model, mean in scores:
                if model in answer.models or "*" in answer.models:
                    assert answer.holds(mean), (task, value, model, mean, answer.number)
                    checked += 1
    assert checked > 60


def test_scores_farthest_from_the_answer_are_shown():
    exact = KnownAnswer("accuracy", 0.5, "a coin", "it knows nothing", ("coin",), "is about", 0.05)
    scores = [("coin", "coin", score(0.52)), ("coin", "coin[2]", score(0.4)), ("mlp", "mlp", score(0.9))]
    found = answered(exact, scores)
    assert [label for label, _ in found.scores] == ["coin[2]", "coin"]
    assert not found.holds
    assert answered(exact, scores[:1]).holds
    bound = KnownAnswer("accuracy", 0.95, "all", "a bound", ("*",), "is at most")
    assert [label for label, _ in answered(bound, scores, 1).scores] == ["mlp"]
    assert answered(bound, scores).holds
    assert not KnownAnswer("accuracy", 0.5, "all", "a bound", ("*",), "is at most").holds(0.5 + 1e-5)


def test_the_page_shows_what_must_be_beside_what_is():
    folder = ROOT / "leaderboard" / "entries"
    entries = [read_entry(folder / name) for name in ("constant", "leak-kernel", "rbf", "knn")]
    page = leaderboard.pages(make_board(entries), Gallery())["tasks/digits-accuracy.md"]
    table = page.partition('id="answers-here"')[2].partition("</table>")[0]
    rows = [row for row in table.split("<tr>") if "<code>accuracy</code>" in row]
    assert ["about 0.1" in row for row in rows] == [True, True, False]
    assert "constant 0.1" in rows[0]
    assert "leak-kernel 1.000" in rows[2]
    assert "not as it must be" not in page
    # Four models are needed to say how scores are distributed.
    assert "Distribution" not in page
