"""The gallery judges claims by intervals: planted records have planted verdicts."""

import itertools
import json
import math
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lebench.architectures import Dense
from lebench.board import Board, entry_name, make_board, read_entries
from lebench.board.board import Score
from lebench.models.spec import build_model
from lebench.site import papers
from lebench.site.papers.base import Claim, Contrast, Evidence, NotMeasured, Paper
from lebench.site.papers.figures import along, by_model
from lebench.site.pictures import Gallery
from lebench.stats import judge

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


def paper(cases, pictures=None, **changes):
    claim = Claim(
        "A claim",
        "It says.",
        "section 1",
        "Ours.",
        ("toy/task",),
        {"a": "theirs"},
        {"b": "another"},
        "accuracy of a minus b's",
        cases,
        pictures,
        **changes,
    )
    return Paper("toy", "Toy", "A <b>paper</b>", "N. N.", "2020", "https://arxiv.org/abs/0000.00000", "?", (claim,))


def ahead(evidence):
    return {"toy": evidence.contrast(("a", "toy/task", "accuracy"), ("b", "toy/task", "accuracy"))}


def drawn(evidence):
    return [by_model(evidence, "Title", {"accuracy": ("toy/task", "accuracy")}, ("a", "b", "c"))]


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [(0.9, 0.5, "holds"), (0.5, 0.9, "fails"), (0.5, 0.51, "underpowered"), (0.5, None, "not measured")],
)
def test_verdict_follows_the_interval_of_the_paired_difference(a, b, verdict):
    means = {"a": a} if b is None else {"a": a, "b": b}
    texts = papers.pages(papers.judge(board(**means), Gallery(), [paper(ahead, drawn)]))
    for page in ("index.md", "toy.md"):
        assert re.findall(r'data-verdict="([^"]+)"', texts[page])[-1] == verdict
    assert ("figures/toy-1-1.vl.json" in texts) == (verdict != "not measured")
    assert ("seeds would decide" in texts["toy.md"]) == (verdict == "underpowered")
    assert "Not run at the paper’s settings." in texts["toy.md"]
    assert "<code>a</code> as theirs" in texts["toy.md"]


def test_a_ratio_is_judged_on_the_log_scale_and_told_as_one():
    """Values over orders of magnitude, all above: on a linear scale the interval holds 1, on that of logarithms not."""
    values = {0: 8.0, 1: 70.0, 2: 15.0}
    scores = [
        Score(entry=m, task="t", value="v", mean=1, lower=None, upper=None, seeds=3, by_seed=v)
        for m, v in (("a", values), ("b", dict.fromkeys(values, 1.0)))
    ]
    evidence = Evidence(Board.model_construct(level=0.95, tasks=[], metrics=[], entries=[], scores=scores), Gallery())
    ratio = evidence.contrast(("a", "t", "v"), ("b", "t", "v"), ratio=True)
    assert judge({"t": ratio.supporting}).verdict == "holds"
    assert judge({"t": [v - 1 for v in values.values()]}).verdict == "underpowered"
    told = ratio.told(judge({"t": ratio.supporting}).cases["t"].estimate)
    assert told.startswith("20 [")
    assert told.endswith("] times")
    under = evidence.contrast(("b", "t", "v"), ("a", "t", "v"), ratio=True, under=True)
    assert judge({"t": under.supporting}).verdict == "holds"
    assert under.told(judge({"t": under.supporting}).cases["t"].estimate).startswith("0.049 [")
    assert Contrast((0.2, 0.3), 0.5, under=True).supporting == pytest.approx([0.3, 0.2])


def test_page_says_how_to_make_the_records_again_and_escapes_what_it_is_given():
    text = papers.pages(papers.judge(board(a=0.9, b=0.5), Gallery(), [paper(ahead, drawn)]))["toy.md"]
    assert "lebench run --model a --model b --task 'toy/task' --seeds 5" in text
    assert "<b>paper" not in text


def test_commands_make_what_was_used_and_no_more():
    def cases(evidence):
        return {"toy": evidence.contrast(("a", "toy/task", "accuracy"))}

    def pictures(evidence):
        evidence.arrays("b", "toy/pictured")
        return []

    gallery = Gallery({"b": {"toy/pictured": {"x": np.zeros(1)}}})
    text = papers.pages(papers.judge(board(a=0.9, b=0.5), gallery, [paper(cases, pictures)]))["toy.md"]
    assert re.findall("lebench run.*", text) == [
        "lebench run --model a --task 'toy/task' --seeds 5",
        "lebench run --model b --task 'toy/pictured' --seeds 1",
    ]
    # Without records, all that the claim is about.
    text = papers.pages(papers.judge(board(), Gallery(), [paper(cases, pictures)]))["toy.md"]
    assert re.findall("lebench run.*", text) == ["lebench run --model a --model b --task 'toy/task' --seeds 10"]


@pytest.mark.slow
def test_commands_plan_the_records_of_the_leaderboard():
    """Also those of the tasks and models that a claim is not about, but that stand in its figure."""
    from lebench import registry
    from lebench.site.pictures import gallery

    entries = read_entries(ENTRIES)
    there = {(entry.info.model, record.cell.task, record.cell.seed) for entry in entries for record in entry.records}
    texts = papers.pages(papers.judge(make_board(entries), gallery(entries)))
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


@pytest.fixture(scope="module")
def committed():
    return make_board(read_entries(ENTRIES))


CLAIMS = [claim for one in papers.PAPERS for claim in one.claims]


def complaints(claim, board):
    """Say where a claim is about models that it does not declare, or lacks the records of one that it declares."""
    evidence = Evidence(board, Gallery())
    cases = claim.cases(evidence)
    used = {label for label, _ in evidence.used}
    declared = {evidence.label(entry_name(label)) for label in claim.models}
    return [
        *(f"{label} is not declared" for label in used - declared),
        *(f"{label} is not compared" for label in declared - used),
        *(f"{name} has too few seeds" for name, case in cases.items() if len(case.values) < 3),
    ]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda each: each.title)
def test_every_claim_is_about_the_models_it_declares_and_has_their_records(committed, claim):
    """Who is judged or compared is declared, with the paper's model that it stands for, and everybody declared is."""
    from lebench import registry

    assert claim.judged
    assert all((*claim.judged.values(), *claim.comparators.values(), claim.statement, claim.source, claim.estimand))
    assert registry.tasks.select(claim.tasks)
    assert complaints(claim, committed) == []
    # What is judged is looked for: without the records of any model, or with another one declared, it is noticed.
    for label in claim.models:
        scores = [score for score in committed.scores if score.entry != entry_name(label)]
        with pytest.raises(NotMeasured):
            claim.cases(Evidence(committed.model_copy(update={"scores": scores}), Gallery()))
    assert complaints(replace(claim, judged={"laplace": "another"}, comparators={}), committed)


def test_a_claim_says_how_many_layers_its_networks_have():
    """A network that stands for one of the paper's has the layers that are said, whatever the paper has."""
    looked_at = 0
    for claim in CLAIMS:
        for label, role in (claim.judged | claim.comparators).items():
            said = re.search("(two|three)(-layer| layers)", role)
            network = build_model(label).model.network if said else None
            if said:
                looked_at += 1
                assert sum(isinstance(layer, Dense) for layer in network.layers) == {"two": 2, "three": 3}[said[1]]
    assert looked_at > 10


def test_no_claim_is_lost():
    assert len(CLAIMS) == 34


def test_intervals_of_bounded_values_stay_within_their_range(committed):
    """What is told of an accuracy, a correlation or a spread is one, however few the seeds."""
    evidence = Evidence(committed, Gallery())
    spread = evidence.contrast(("mlp", "digits/learning-rate", "spread@rates"), threshold=0.1)
    assert spread.bounds == (0, math.inf)
    few = replace(spread, values=(0.05, 0.9))
    assert few.told(judge({"": few.supporting}).cases[""].estimate).startswith("0.48 [0, ")
    accuracies = [(model, "digits/accuracy", "accuracy") for model in ("mlp", "linear")]
    assert evidence.contrast(*accuracies).bounds == (-1, 1)


@pytest.mark.parametrize(
    ("seeds", "verdict", "change"),
    [
        ({"a": [1, 1.1, 0.9]}, "holds", "bring the interval of a case to the threshold"),
        ({"a": [1, 1.1, 0.9], "b": [-1, -1.1, -0.9]}, "in part", "It would hold if these cases did, too: b."),
        ({"a": [-1, -1.1, -0.9]}, "fails", "A case that holds"),
        ({"a": [1, -0.4, 0.9]}, "underpowered", "22 seeds would decide all"),
    ],
)
def test_a_page_says_what_would_change_the_verdict(seeds, verdict, change):
    (claim,) = paper(lambda _: {name: Contrast(tuple(values)) for name, values in seeds.items()}).claims
    found = claim.judge(Evidence(board(), Gallery()))
    assert found.verdict == verdict
    assert change in found.change
