"""The check of the controls, on boards where one of them misbehaves."""

import sys
from pathlib import Path

import pytest

from lebench import board, registry
from lebench.board import ControlError, Entry, EntryInfo, check_controls, make_board
from lebench.cli import main


@pytest.fixture
def planted(make_record):
    """A function that makes a board of the accuracies {entry: values by seed} on the catalogue's two tasks."""

    def make(accuracies, small=None):
        entries = []
        for name, values in accuracies.items():
            records = [make_record("toy/accuracy", name, seed, {"accuracy": v}) for seed, v in enumerate(values)]
            for seed, value in enumerate((small or {}).get(name, [])):
                records.append(make_record("toy/small", name, seed, {"accuracy@n=100": value}))
            info = EntryInfo(name=name, model=name, authors=["A"], lebench="0.1.0", command="lebench run")
            entries.append(Entry(info, tuple(records), Path(name)))
        return make_board(entries)

    registry.models.register("leak", object(), summary="Reads the test labels", tags=("control", "leak"))
    return make


HONEST = {"mlp": [0.95, 0.96, 0.97], "constant": [0.1, 0.1, 0.1]}
LEAK = {"leak": [1.0, 1.0, 1.0]}


def test_controls_that_lose_and_a_leak_that_wins_pass(planted):
    check_controls(planted(HONEST))
    check_controls(planted(HONEST | LEAK))


def test_a_control_that_beats_a_model_is_named_with_task_and_numbers(planted):
    with pytest.raises(ControlError) as caught:
        check_controls(planted(HONEST | {"linear": [0.05, 0.06, 0.04]}))
    message = str(caught.value)
    assert "control constant beats linear on toy/accuracy: accuracy 0.1 against 0.05" in message
    assert "difference 0.05 [0.02516, 0.07484] over 3 seeds" in message  # .05 -+ t .01 / sqrt 3, t = 4.303
    assert "\n" not in message


def test_a_difference_within_its_interval_is_no_defeat(planted):
    check_controls(planted({"linear": [0.05, 0.2, 0.04], "constant": [0.1, 0.1, 0.1]}))
    check_controls(planted({"linear": [0.05], "constant": [0.1]}))


def test_where_less_is_better_the_control_with_less_beats(planted):
    made = planted({"mlp": [0.4, 0.41, 0.4], "constant": [0.1, 0.1, 0.1]})
    check_controls(made)
    metrics = [m.model_copy(update={"direction": "lower"}) for m in made.metrics]
    with pytest.raises(ControlError, match="constant beats mlp"):
        check_controls(made.model_copy(update={"metrics": metrics}))


def test_what_says_nothing_about_the_labels_is_not_looked_at(planted):
    """A generalization task may rank by something that a control does well, such as being linear in its weights."""
    made = planted({"mlp": [0.4, 0.41, 0.4], "constant": [0.5, 0.51, 0.5]})
    with pytest.raises(ControlError, match="constant beats mlp"):
        check_controls(made)
    tasks = [task.model_copy(update={"primary": "norm"}) for task in made.tasks]
    scores = [score.model_copy(update={"value": "norm"}) for score in made.scores]
    metrics = [m.model_copy(update={"direction": "higher"}) for m in made.metrics]
    check_controls(made.model_copy(update={"tasks": tasks, "scores": scores, "metrics": metrics}))


def test_other_tracks_are_not_looked_at(make_record):
    entries = []
    for name, value in (("mlp", 2.0), ("constant", 1.0)):
        records = [make_record("toy/collapse", name, seed, {"spread": value + seed / 100}) for seed in range(3)]
        info = EntryInfo(name=name, model=name, authors=["A"], lebench="0.1.0", command="lebench run")
        entries.append(Entry(info, tuple(records), Path(name)))
    check_controls(make_board(entries))


def test_a_leak_that_does_not_win(planted):
    with pytest.raises(ControlError, match=r"control leak has accuracy 0\.9967 on toy/accuracy where .* give 1"):
        check_controls(planted(HONEST | {"leak": [1.0, 0.99, 1.0]}))


def test_a_leak_without_scores(planted):
    with pytest.raises(ControlError, match="nothing shows that it leaks"):
        check_controls(planted(HONEST | {"leak": []}))


def test_a_leak_that_is_not_marked(planted):
    made = planted(HONEST | LEAK)
    entries = [entry.model_copy(update={"control": False}) for entry in made.entries]
    with pytest.raises(ControlError, match="leak leaks test labels and is not marked as a control"):
        check_controls(made.model_copy(update={"entries": entries}))


def test_a_model_that_knows_what_the_leak_knows(planted):
    """Perfect wherever the leak is; a model that is perfect on one task of two is just good."""
    both = HONEST | LEAK | {"cnn": [1.0, 1.0, 1.0]}
    check_controls(planted(both, {"leak": [1.0, 1.0], "cnn": [1.0, 0.98]}))
    with pytest.raises(ControlError, match="cnn has accuracy 1 in every seed of toy/accuracy, toy/small"):
        check_controls(planted(both, {"leak": [1.0, 1.0], "cnn": [1.0, 1.0]}))


def test_the_site_is_not_built(planted, make_record, tmp_path, capsys, monkeypatch):
    for name, value in (("mlp", 0.05), ("constant", 0.1)):
        records = [make_record("toy/accuracy", name, seed, {"accuracy": value + seed / 1000}) for seed in range(3)]
        info = EntryInfo(name=name, model=name, authors=["A"], lebench="0.1.0", command="lebench run")
        board.write_entry(tmp_path / "entries", name, records, info)
    command = ["lebench", "site", "build", "--entries", str(tmp_path / "entries"), "--out", str(tmp_path / "docs")]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    lines = capsys.readouterr().err.strip().splitlines()
    assert ended.value.code == 2
    assert len(lines) == 1
    assert "control constant beats mlp on toy/accuracy" in lines[0]
    assert not (tmp_path / "docs").exists()
