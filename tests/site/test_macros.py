"""Numbers in prose come from the records, and from nowhere else."""

import json
import re

import pytest
from markdown import Markdown

from lebench.board import make_board, read_entries
from lebench.errors import LebenchError
from lebench.site import macros
from lebench.site.leaderboard import View


@pytest.fixture
def figures(entries):
    return macros.Figures(View(make_board(read_entries(entries))))


def _answers(tmp_path, figures, text):
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    return {call: re.sub("<[^>]+>", "", said) for call, said in macros.answers([tmp_path / "page.md"], figures).items()}


def test_a_call_is_answered_with_interval_and_seeds(tmp_path, figures):
    said = _answers(
        tmp_path, figures, '{{ mean("mlp", "toy/accuracy") }} and {{ difference("mlp", "linear", "toy/accuracy") }}'
    )
    mean, difference = said.values()
    assert re.fullmatch(r"0\.960 \[0\.9\d+ to 0\.9\d+; 3 seeds\]", mean)
    assert re.fullmatch(r"\+0\.0500 \[\+0\.0500 to \+0\.0500; 3 seeds\]", difference)


def test_above_and_below_are_said_only_where_the_interval_says_so(tmp_path, figures):
    calls = [
        f'against("{a}", "{b}", "toy/accuracy")' for a, b in (("mlp", "linear"), ("linear", "mlp"), ("mlp", "cnn"))
    ]
    said = _answers(tmp_path, figures, " ".join(f"{{{{ {call} }}}}" for call in calls))
    assert [said[call].split(" (")[0] for call in calls] == ["above", "below", "not told apart from"]


def test_what_was_not_measured_is_said_to_be(tmp_path, figures):
    calls = ('mean("nobody", "toy/accuracy")', 'mean("mlp", "no/task")', 'leads("elasticity")', 'agreement("collapse")')
    said = _answers(tmp_path, figures, " ".join(f"{{{{ {call} }}}}" for call in calls))
    assert set(said.values()) == {"not measured yet"}


@pytest.mark.parametrize("call", ["mean(", "unknown", 'mean("mlp")', 'verdict("nothing")', "mean.__globals__"])
def test_a_call_that_cannot_be_understood_names_the_page(tmp_path, figures, call):
    with pytest.raises(LebenchError, match=r"page\.md: \{\{ "):
        _answers(tmp_path, figures, f"{{{{ {call} }}}}")


def test_markdown_puts_answers_in_place_also_in_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "docs" / macros.FIGURES
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"version": "1.2"}), encoding="utf-8")
    convert = Markdown(extensions=[macros.Macros()]).convert
    assert convert("Version {{version}}.") == "<p>Version 1.2.</p>"
    assert "1.2" in convert("    {{ version }}")
    with pytest.raises(LebenchError, match=r"no answer to \{\{ date \}\}: run 'lebench site build' first"):
        convert("{{ date }}")
