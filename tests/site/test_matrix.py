"""The heat map: effects against the middle model, and marks for what is best, cannot be run, or was not run."""

import re

import pytest

from lebench.board import make_board, read_entries
from lebench.site import matrix
from lebench.site.leaderboard import View


@pytest.fixture
def view(entries):
    return View(make_board(read_entries(entries)))


def test_an_effect_is_in_standard_deviations_and_in_the_direction_of_the_metric():
    # The quartiles of these five are 1, 2 and 3.
    means = [0.0, 1.0, 2.0, 3.0, 4.0]
    assert matrix.effect(3.0, means, 1) == pytest.approx(1.349 / 2)
    assert matrix.effect(3.0, means, -1) == pytest.approx(-1.349 / 2)
    assert matrix.effect(3.0, means[:3], 1) is None
    assert matrix.effect(3.0, [1.0] * 4, 1) == 0.0


@pytest.mark.parametrize("step", range(len(matrix.STEPS)))
def test_a_colour_changes_at_its_step(step):
    at = matrix.STEPS[step]
    assert matrix.colour(at) == f"p{step + 1}"
    assert matrix.colour(-at) == f"n{step + 1}"
    assert matrix.colour(at - 1e-9) == (f"p{step}" if step else "0")


def test_every_cell_of_the_map_is_a_score_or_says_why_not(view):
    heat = matrix.make_heat(view)
    assert len(heat.cells) + len(heat.cannot) + len(heat.missing) == len(heat.rows) * len(heat.columns)
    assert len(heat.cells) == 7
    # The control cannot do collapse: the second task of two tracks.
    top = next(y for entry, _, _, y in heat.rows if entry.control)
    column = next(one for one in heat.columns if one.task.name == "toy/collapse")
    assert heat.cannot == ((column.x + matrix.CELL / 2, top + matrix.CELL / 2),)
    # Three models are too few for a middle.
    assert {cell.colour for cell in heat.cells} == {"bare"}
    best = {cell.said.split(" on ")[0] for cell in heat.cells if cell.best and "accuracy" in cell.said}
    assert best == {"mlp", "cnn"}
    said = next(cell.said for cell in heat.cells if cell.said.startswith("linear on toy/accuracy"))
    assert re.fullmatch(r"linear on toy/accuracy: 0\.910 \(0\.8\d\d to 0\.9\d\d\), 3 seeds", said)


def test_the_page_names_every_model_and_task(view):
    text = matrix.page(view)
    for name in ("mlp", "cnn", "linear", "constant"):
        assert f'href="../entries/{name}/"' in text
    for name in ("toy-accuracy", "toy-collapse"):
        assert f'href="../tasks/{name}/"' in text
    assert text.count("<title>") == 7


def test_a_board_without_scores_says_so():
    assert "No model has a score yet" in matrix.page(View(make_board([])))
