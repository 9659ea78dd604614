"""The ladder: rungs in their order, what was not run, and where the marks stand."""

import re

import pytest

from lebench.board import EntryInfo, make_board, read_entries, write_entry
from lebench.site import ladder
from lebench.site.leaderboard import View

#: What the rungs of the toy ladder score; the label-aware kernel was not run.
MEANS = {"nngp-mlp": 0.2, "ntk-mlp": 0.4, "entk-mlp": 0.3, "mlp": 0.8}


@pytest.fixture
def view(tmp_path, make_record):
    for name, mean in MEANS.items():
        records = [make_record("toy/accuracy", name, seed, {"accuracy": mean + 0.01 * seed}) for seed in range(3)]
        info = EntryInfo(
            name=name, model=name, summary="", authors=["N. N."], links=[], lebench="0.1.0", command="lebench run"
        )
        write_entry(tmp_path / "entries", name, records, info)
    return View(make_board(read_entries(tmp_path / "entries")))


def test_rungs_go_from_the_kernel_to_the_network():
    names = [rung.model for rung in ladder.rungs("cnn")]
    assert names[0] == "nngp-cnn"
    assert names[-1] == "cnn"
    assert names.index("ntk-cnn") < names.index("lantk-hr-cnn") < names.index("entk-cnn-trained")


def test_a_panel_has_a_place_for_each_rung_and_a_gap_where_one_was_not_run(view):
    rungs = ladder.rungs("mlp")
    found = ladder.panel(view, view.tasks()[0], rungs)
    run = {rung.model: score.mean for rung, score in zip(rungs, found.scores, strict=True) if score}
    assert run == pytest.approx({name: mean + 0.01 for name, mean in MEANS.items()})
    assert [(i, j, gap) for _, i, _, j, gap in found.thread] == [(0, 1, False), (1, 3, True), (3, 6, True)]
    # Positions rise with the scores.
    ends = [found.thread[0][0], *(line[2] for line in found.thread)]
    assert sorted(range(4), key=ends.__getitem__) == [0, 2, 1, 3]
    assert found.better == "higher is better"


def test_one_rung_alone_is_no_ladder(view):
    assert ladder.panel(view, view.tasks()[0], ladder.rungs("mlp")[:1]) is None


def test_a_drawing_says_its_numbers_in_words(view):
    rungs = ladder.rungs("mlp")
    text = ladder.drawing(view, [ladder.panel(view, view.tasks()[0], rungs)], rungs, "../")
    said = re.search(r'aria-label="(toy/accuracy: [^"]*)"', text).group(1)
    assert "NNGP 0.210" in said
    assert "Label-aware NTK not run" in said
    assert text.count("<i>not run</i>") == 3
    assert "over 3 seeds" in text


def test_a_page_without_rungs_says_so():
    assert "Fewer than two rungs were run" in ladder.page(View(make_board([])))
