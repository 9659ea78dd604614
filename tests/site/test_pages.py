import html
import json
import re

import pytest
from markupsafe import Markup

from lebench.board import EntryError, make_board, read_entries, read_entry, write_verification
from lebench.errors import LebenchError
from lebench.site import build, cost, home, leaderboard, overview, tracks
from lebench.site.numbers import interval, megabytes, seconds, show
from lebench.site.pages import write_pages
from lebench.site.pictures import Gallery
from lebench.site.plot import axis
from lebench.verify import Rerun, make_verification


@pytest.fixture
def built(entries, tmp_path, monkeypatch):
    # The catalogue of this test has no models that could be described.
    monkeypatch.setattr("lebench.site.reference.pages", dict)
    build(entries, tmp_path / "docs")
    return tmp_path / "docs" / "leaderboard"


def _cells(text):
    return re.findall(r"<td.*?</td>|<th scope=\"row\".*?</th>", text)


def test_every_track_task_and_entry_has_a_page(built):
    files = {path.relative_to(built) for path in built.rglob("*") if path.is_file()}
    # A picture is drawn as a file, too, where that can be done.
    paths = {str(path) for path in files if path.suffix not in (".svg", ".png")}
    assert paths == {
        ".generated",
        "SUMMARY.md",
        "_home.html",
        "board.csv",
        "board.json",
        "board.parquet",
        "changes.md",
        "collapse.md",
        "compare.md",
        "cost.md",
        "data/cnn.json",
        "data/constant.json",
        "data/linear.json",
        "data/mlp.json",
        "downloads.md",
        "entries/cnn.md",
        "entries/constant.md",
        "entries/linear.md",
        "entries/mlp.md",
        "explorer.md",
        "feed.xml",
        "figures.json",
        "generalization.md",
        "index.md",
        "ladder.md",
        "matrix.md",
        "pictures/cost-collapse.vl.json",
        "pictures/cost-generalization.vl.json",
        "ranks.md",
        "table.md",
        "tasks/toy-accuracy.md",
        "tasks/toy-collapse.md",
    }


def test_the_table_sorts_marks_and_names_what_is_missing(built):
    text = (built / "table.md").read_text()
    rows = re.findall(r"entries/(\w+)/\">", text)
    # mlp and cnn each beat linear on two tasks; the control stands last although it loses to nobody on collapse.
    assert rows == ["cnn", "mlp", "linear", "constant"]
    # Their means are equal on both tasks, up to rounding.
    assert 2 <= text.count('class="le-best"') - text.count('le-key le-best"') <= 4
    assert re.search(r'<td class="le-missing" title="skipped: needs &lt;features&gt;">—', text)
    assert '<span class="le-control">control</span>' in text
    assert "0.960" in text


def test_tasks_with_most_scores_stand_first_in_their_track(entries):
    board = make_board(read_entries(entries))
    scores = [each for each in board.scores if each.task != "toy/accuracy" or each.entry == "linear"]
    tasks = [task.model_copy(update={"track": "generalization"}) for task in board.tasks]
    for kept, order in ((board.scores, ["accuracy", "collapse"]), (scores, ["collapse", "accuracy"])):
        texts = leaderboard.pages(board.model_copy(update={"scores": kept, "tasks": tasks}), Gallery())
        head = texts["table.md"].split("<tbody>")[0]
        assert list(dict.fromkeys(re.findall(r"tasks/toy-(\w+)/", head))) == order


def test_who_has_no_score_is_named_by_the_reason(built):
    text = (built / "tasks" / "toy-collapse.md").read_text()
    table, lacking = text.split("Without a score:")
    assert 'data-entry="constant"' not in table
    assert "skipped: needs &lt;features&gt;: <a" in lacking
    assert ">constant</a>" in lacking
    assert "Without a score" not in (built / "tasks" / "toy-accuracy.md").read_text()


def test_measures_of_capacity_stand_below_the_models(entries, monkeypatch):
    # As if linear were a measure, and nobody else had a score of collapse.
    board = make_board(read_entries(entries))
    scores = [each for each in board.scores if each.task != "toy/collapse" or each.entry == "linear"]
    monkeypatch.setattr(leaderboard, "_tags", lambda model: ("measure",) if model == "linear" else ("network",))
    texts = leaderboard.pages(board.model_copy(update={"scores": scores}), Gallery())
    table, below = texts["table.md"].split("## Measures of capacity")
    assert re.findall(r'data-entry="(\w+)"', table) == ["cnn", "mlp", "constant"]
    assert "toy-accuracy" in table
    assert "toy-collapse" not in table
    assert "1 entries are no models" not in below
    assert 'href="../tasks/toy-collapse/"' in below.split("## Tracks")[0]
    assert 'href="../entries/linear/"' in below.split("## Tracks")[0]
    assert 'data-entry="linear"' in texts["tasks/toy-collapse.md"]
    view = leaderboard.View(board.model_copy(update={"scores": scores}))
    assert "## Measures of capacity" not in tracks.page(view, "generalization")
    assert "## Measures of capacity" in tracks.page(view, "collapse")


def test_best_and_tie_are_marked_and_a_control_never(built):
    text = (built / "tasks" / "toy-accuracy.md").read_text()
    tags = r'(?: <span[^>]*>control</span>)? <a class="le-badge[^>]*>[\w-]+</a>\s*'
    marked = dict(re.findall(rf'entries/(\w+)/">\w+</a>{tags}</th>\s*<td( class="[\w-]+")? data-v', text))
    # Their means are equal.
    assert marked["mlp"] == marked["cnn"] == ' class="le-best"'
    assert marked["linear"] == marked["constant"] == ""


def test_what_an_entry_says_is_text_on_one_line(built):
    text = (built / "entries" / "linear.md").read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; # Heading ``` --8&lt;-- &#34;/etc/passwd&#34;</p>" in text
    assert "A. &lt;b&gt;Author&lt;/b&gt;" in text
    assert "no &amp; yes" in text


def test_an_entry_page_has_cost_environment_and_command(built):
    text = (built / "entries" / "mlp.md").read_text()
    assert "<code>lebench run --model mlp</code>" in text
    assert "<td>2.0 s</td><td>100 ms</td><td>2.2 s</td><td>300 MB</td>" in text
    assert "Python 3.11.7, numpy 2.4.6, torch 2.13.0" in text
    assert "<code>000000000000</code>" in text


def test_an_entry_page_says_which_intervals_include_test_points(entries):
    board = make_board(read_entries(entries))
    scores = [each.model_copy(update={"points": 1450 if each.task == "toy/accuracy" else 0}) for each in board.scores]
    text = leaderboard.pages(board.model_copy(update={"scores": scores}), Gallery())["entries/mlp.md"].replace(
        "<wbr>", ""
    )
    rows = re.findall(r'<th scope="row">([\w@]+)(?: [↑↓]?)?</th>((?:(?!<tr>).)*?)</tr>', text, re.DOTALL)
    points = {name: re.findall(r"<td>3</td><td>([\d,]*)</td>", row) for name, row in rows}
    assert points == {"accuracy": ["1,450"], "norm": [], "spread": [""], "spread@test": []}


def test_the_page_of_ranks_says_tasks_seeds_and_how_many_pairs_are_told_apart(entries):
    board = make_board(read_entries(entries))
    text = leaderboard.pages(board, Gallery())["ranks.md"]
    for ranking in board.rankings:
        (listed,) = re.findall(rf'<span id="tasks-{ranking.track}">(.*?)</span>', text, re.DOTALL)
        assert re.findall(r">([\w/-]+)</a>", listed) == ranking.tasks
        assert f"{100 * ranking.decided:.0f}% of all pairs of {len(ranking.ranks)} models are told apart" in text
        rows = text.split(f'id="ranks-{ranking.track}"')[1].split("</table>")[0]
        assert re.findall(r'data-entry="(\w+)"', rows) == [rank.entry for rank in ranking.ranks]
    assert [ranking.tasks for ranking in board.rankings] == [["toy/accuracy"], ["toy/collapse"]]
    assert "constant" not in text.split("## Generalization")[1].split("## The smallest")[0]


def test_every_page_says_how_far_an_entry_is_checked(entries, built):
    badge = r'href="[^"]*entries/(\w+)/#checks" title="([^"]*)">([\w-]+)</a>'
    for page in ("index.md", "generalization.md", "tasks/toy-accuracy.md"):
        found = {name: (status, why) for name, why, status in re.findall(badge, (built / page).read_text())}
        assert set(found) == {"mlp", "cnn", "linear", "constant"}
        assert {status for status, _ in found.values()} == {"re-run"}
    mlp = read_entry(entries / "mlp")
    reruns = [Rerun(record, "agrees", rule="exact", deviation=0.0) for record in mlp.records[:3]]
    write_verification(mlp, make_verification(mlp, [], reruns, "<b>text</b>"))
    build(entries, built.parent)
    why = "3 of 6 records, drawn at random, were run again from scratch and agree."
    assert ("mlp", why, "re-run") in re.findall(badge, (built / "index.md").read_text())
    text = (built / "entries" / "mlp.md").read_text()
    assert why in text
    assert "Drawn by the text <code>&lt;b&gt;text&lt;/b&gt;</code>" in text
    assert "../trust/#what-the-badges-mean" in (built / "index.md").read_text()
    (entry,) = [entry for entry in make_board([mlp]).entries if entry.info.name == "mlp"]
    assert (entry.verification.status, entry.verification.rerun, entry.verification.total) == ("re-run", 3, 6)


def test_the_board_is_there_as_json(built):
    board = json.loads((built / "board.json").read_text())
    assert {entry["info"]["name"] for entry in board["entries"]} == {"mlp", "cnn", "linear", "constant"}


def test_building_again_changes_nothing_and_removes_what_is_gone(entries, built):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in built.rglob("*.md")}
    (built / "entries" / "old.md").write_text("gone")
    build(entries, built.parent)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in built.rglob("*.md")} == before


def test_no_entries_make_a_page_that_says_so(tmp_path):
    (tmp_path / "none").mkdir()
    view = leaderboard.View(make_board([]))
    assert "There are no entries yet" in overview.page(view)
    assert "No track has two models with a rank yet" in home.fragment(view, [])


def test_a_folder_of_somebody_else_is_left_alone(tmp_path, entries):
    mine = tmp_path / "docs" / "leaderboard"
    mine.mkdir(parents=True)
    (mine / "thesis.md").write_text("mine")
    with pytest.raises(LebenchError, match="holds files that lebench has not written"):
        build(entries, tmp_path / "docs")
    assert (mine / "thesis.md").read_text() == "mine"
    with pytest.raises(LebenchError, match=r"cannot write pages to .*thesis\.md: "):
        write_pages({"a.md": ""}, mine / "thesis.md")
    with pytest.raises(EntryError, match="no folder"):
        build(tmp_path / "nowhere", tmp_path / "docs")


@pytest.mark.parametrize(
    ("value", "bounded", "text"),
    [
        (0.5, True, "0.500"),
        (-0.0001, True, "0.000"),
        (-0.25, True, "−0.250"),
        (0.0, False, "0.00"),
        (9.996, False, "10.0"),
        (1234.5, False, "1234"),
        (0.00123, False, "0.00123"),
        (12345.0, False, "1.23×10⁴"),
        (9.999e-4, False, "0.00100"),
        (-2.5e-7, False, "−2.50×10⁻⁷"),
    ],
)
def test_numbers_have_the_digits_a_reader_can_use(value, bounded, text):
    assert show(value, bounded) == Markup(text)


def test_half_widths_end_where_their_value_ends():
    assert interval(0.0123, 0.9, True) == "±\u202f0.012"
    assert interval(0.0, 0.1, True) == "±\u202f0.000"
    assert interval(0.0004, 0.9, True) == "±\u202f&lt;\u202f0.001"
    assert interval(1.234, 6.851, False) == "±\u202f1.23"
    assert interval(3e-6, 2.5e-5, False) == "±\u202f0.30×10⁻⁵"


def test_durations_and_sizes():
    assert [seconds(s) for s in (0.0001, 0.9996, 99.96, 3600)] == ["< 1 ms", "1.0 s", "1 min 40 s", "60 min 0 s"]
    assert megabytes(1e9) == "1000 MB"


def test_an_axis_shows_all_points_between_round_ticks():
    line = axis([0.72, 0.98], [0.71, 0.99])
    assert not line.log
    assert 0 < line.at(0.71) < line.at(0.72) < line.at(0.98) < line.at(0.99) < 100
    assert line.at(0.5 * (line.low + line.high)) == 50
    assert (line.side(0.1), line.side(0.9), line.side(1.5)) == (-1, 0, 1)
    assert [label for _, label in line.ticks()] == ["0.70", "0.75", "0.80", "0.85", "0.90", "0.95", "1.00"]


def test_values_over_orders_of_magnitude_get_a_logarithmic_axis():
    line = axis([0.001, 10.0], [-0.001, 12.0])
    assert line.log
    assert line.at(0.1) == pytest.approx((line.at(0.01) + line.at(1.0)) / 2, abs=0.02)
    assert [label for _, label in line.ticks()] == ["0.001", "0.01", "0.1", "1", "10"]
    assert (line.at(-1.0), line.side(-1.0)) == (0.0, -1)


def test_one_value_alone_has_an_axis():
    assert axis([0.0], []).at(0.0) == 50
    assert axis([0.3, 0.3], [0.3]).at(0.3) == 50


def test_the_cheapest_that_cannot_be_told_from_the_best_is_named(entries):
    board = make_board(read_entries(entries))
    dear = {"mlp": 8.0, "cnn": 2.0, "linear": 0.5, "constant": 0.1}
    changed = [
        entry.model_copy(
            update={"costs": {t: c.model_copy(update={"cpu_s": dear[entry.info.name]}) for t, c in entry.costs.items()}}
        )
        for entry in board.entries
    ]
    view = leaderboard.View(board.model_copy(update={"entries": changed}))
    found = cost.bargain(view, next(task for task in board.tasks if task.name == "toy/accuracy"))
    # mlp and cnn have equal means and are tied; linear is cheaper and worse, the control is cheapest and left out.
    assert found.cheapest.label == "cnn"
    assert found.times == dear[found.best.label] / 2.0


def test_the_code_of_a_model_is_shown_as_text(entries, tmp_path, monkeypatch):
    monkeypatch.setattr("lebench.site.reference.pages", dict)
    hostile = '"""</code><script>alert(1)</script>"""\n\n# Heading\n--8<-- "/etc/passwd"\nif 1 < 2:\n    x = "é"\n'
    (entries / "mlp" / "plugin.py").write_text(hostile, encoding="utf-8")
    build(entries, tmp_path / "docs")
    pages = tmp_path / "docs" / "leaderboard" / "entries"
    (shown,) = re.findall(r"<pre><code>(&#34;.*)</code></pre></div></details>", (pages / "mlp.md").read_text("utf-8"))
    assert html.unescape(shown) == hostile
    assert "<" not in shown
    assert "plugin.py" not in (pages / "cnn.md").read_text("utf-8")


def test_the_page_of_a_track_shows_scores_and_who_is_ahead_of_whom(entries):
    view = leaderboard.View(make_board(read_entries(entries)))
    ranking = view.rankings["generalization"]
    text = tracks.page(view, "generalization")
    ahead = tracks.make_ahead(view, ranking)
    assert len(ahead.ahead) == len(ahead.behind) == sum(len(rank.beats) for rank in ranking.ranks)
    assert set(ahead.ahead) == {(column, row) for row, column in ahead.behind}
    assert f"{len(ahead.ahead)} of 3 pairs are told apart" in text
    assert text.count('class="le-iv') == len(ranking.ranks) == 3
    assert f"{ranking.ranks[0].score:.0f} of 100" in text
    ranked_nobody = view.board.model_copy(update={"rankings": []})
    assert "Nobody is ranked in this track" in tracks.page(leaderboard.View(ranked_nobody), "generalization")
