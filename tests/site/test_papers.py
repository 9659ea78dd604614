"""The gallery judges claims by intervals: planted records have planted verdicts."""

import itertools
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from lebench.board import Board, Estimate
from lebench.board.board import Score
from lebench.site import papers
from lebench.site.papers.base import Claim, Evidence, Finding, Paper, across, sign, together
from lebench.site.papers.figures import along, by_model
from lebench.site.pictures import Gallery

ENTRIES = Path(__file__).parents[2] / "leaderboard" / "entries"


def board(**means):
    """Return a board of one task whose models have five seeds around a mean."""
    scores = [
        Score(
            entry=model,
            task="toy/task",
            value="accuracy",
            mean=mean,
            lower=mean - 0.02,
            upper=mean + 0.02,
            seeds=5,
            by_seed={seed: mean + 0.01 * (seed - 2) * (-1) ** (model == "b") for seed in range(5)},
        )
        for model, mean in means.items()
    ]
    return Board.model_construct(level=0.95, tasks=[], metrics=[], entries=[], scores=scores)


def paper(find):
    claim = Claim("A claim", "It says.", "section 1", "Ours.", ("toy/task",), ("a", "b"), find)
    return Paper("toy", "Toy", "A <b>paper</b>", "N. N.", "2020", "https://arxiv.org/abs/0000.00000", "?", (claim,))


def ahead(evidence):
    gap = evidence.difference(("a", "toy/task", "accuracy"), ("b", "toy/task", "accuracy"))
    panels = {"accuracy": ("toy/task", "accuracy")}
    return Finding(sign(gap), "A sentence.", [by_model(evidence, "Title", panels, ("a", "b", "c"))])


@pytest.mark.parametrize(
    ("a", "b", "verdict"), [(0.9, 0.5, "holds"), (0.5, 0.9, "fails"), (0.5, 0.51, "open"), (0.5, None, "not measured")]
)
def test_verdict_follows_the_interval_of_the_paired_difference(a, b, verdict):
    means = {"a": a} if b is None else {"a": a, "b": b}
    texts = papers.pages(board(**means), Gallery(), [paper(ahead)])
    for page in ("index.md", "toy.md"):
        assert re.findall(r'data-verdict="([^"]+)"', texts[page]) == [verdict]
    assert ("figures/toy-1-1.vl.json" in texts) == (verdict != "not measured")


def test_page_says_how_to_make_the_records_again_and_escapes_what_it_is_given():
    text = papers.pages(board(a=0.9, b=0.5), Gallery(), [paper(ahead)])["toy.md"]
    assert "lebench run --model a --model b --task 'toy/task' --seeds 5" in text
    assert "<b>paper" not in text


def test_commands_make_what_was_used_and_no_more():
    def find(evidence):
        evidence.mean("a", "toy/task", "accuracy")
        evidence.arrays("b", "toy/pictured")
        return Finding("holds", "A sentence.")

    gallery = Gallery({"b": {"toy/pictured": {"x": np.zeros(1)}}})
    text = papers.pages(board(a=0.9, b=0.5), gallery, [paper(find)])["toy.md"]
    assert re.findall("lebench run.*", text) == [
        "lebench run --model a --task 'toy/task' --seeds 5",
        "lebench run --model b --task 'toy/pictured' --seeds 1",
    ]
    # Without records, all that the claim is about.
    text = papers.pages(board(), Gallery(), [paper(find)])["toy.md"]
    assert re.findall("lebench run.*", text) == ["lebench run --model a --model b --task 'toy/task' --seeds 5"]


@pytest.mark.slow
def test_commands_plan_the_records_of_the_leaderboard():
    """Also those of the tasks and models that a claim is not about, but that stand in its figure."""
    from lebench import registry
    from lebench.board import make_board, read_entries
    from lebench.site.pictures import gallery

    entries = read_entries(ENTRIES)
    there = {(entry.info.model, record.cell.task, record.cell.seed) for entry in entries for record in entry.records}
    texts = papers.pages(make_board(entries), gallery(entries))
    planned = 0
    for one in papers.PAPERS:
        for command in re.findall("^lebench run (.*)$", texts[f"{one.name}.md"], re.MULTILINE):
            options = shlex.split(command)
            given = list(zip(options[::2], options[1::2], strict=True))
            models, tasks, seeds = ([v for k, v in given if k == name] for name in ("--model", "--task", "--seeds"))
            cells = set(itertools.product(models, registry.tasks.select(tasks), range(int(seeds[0]))))
            assert cells <= there, command
            planned += len(cells)
    assert planned > 500


def test_figure_holds_the_means_and_leaves_out_models_without_a_value():
    evidence = Evidence(board(a=0.9, b=0.5), Gallery())
    picture = by_model(evidence, "Title", {"accuracy": ("toy/task", "accuracy")}, ("a", "b", "c"))
    (drawn,) = picture.spec["concat"]
    assert [(row["model"], row["mean"]) for row in drawn["data"]["values"]] == [("a", 0.9), ("b", 0.5)]
    assert "0.90 for a" in picture.sentence
    assert "c" not in json.dumps(drawn["data"])[2:-2].split('"')


def test_curve_joins_the_values_of_a_model_in_the_order_of_the_parameter():
    evidence = Evidence(board(a=0.9), Gallery())
    picture = along(evidence, "Title", "n", {"accuracy": ("toy/task", {1.0: "accuracy", 2.0: "absent"})}, ("a",))
    assert [row["x"] for row in picture.spec["concat"][0]["data"]["values"]] == [1.0]


@pytest.mark.parametrize(
    ("estimate", "verdict"),
    [((0.1, 0.3), "holds"), ((-0.3, -0.1), "fails"), ((-0.1, 0.1), "open"), ((None, None), "open")],
)
def test_sign(estimate, verdict):
    assert sign(Estimate(0.0, *estimate, 5)) == verdict


def test_parts_of_a_claim_have_the_worst_verdict_and_models_may_differ():
    assert together("holds", "open", "holds") == "open"
    assert together("holds", "fails", "open") == "fails"
    assert across("holds", "open") == "in part"
    assert across("fails", "fails") == "fails"


def test_every_paper_names_tasks_and_models_that_there_are():
    from lebench import registry

    for one in papers.PAPERS:
        assert len(one.claims) > 0
        for claim in one.claims:
            assert registry.tasks.select(claim.tasks)
            assert all(model.split("[")[0] in registry.models for model in claim.models)
