"""The page that compares models, in a real browser, against the statistics in Python."""

import json
import re

import pytest

from lebench.board import effects_on, gather, paired_difference, read_entries
from lebench.site.numbers import interval, show


@pytest.fixture
def board(site):
    return json.loads((site / "leaderboard" / "board.json").read_text(encoding="utf-8"))


def seeds(board, entry, task, value):
    found = (s["by_seed"] for s in board["scores"] if (s["entry"], s["task"], s["value"]) == (entry, task, value))
    return {int(seed): number for seed, number in next(found, {}).items()}


@pytest.fixture
def added(site, board):
    """A function: what test points add to the difference of two entries, and their number."""
    entries = read_entries(site.parent / "entries")
    points = gather(entries, site.parent / "points", keep=False)
    scored = {}
    for score in board["scores"]:
        scored.setdefault((score["task"], score["value"]), []).append(score["entry"])
    models = [entry["info"]["name"] for entry in board["entries"] if not entry["control"]]

    def found(task, value, pair):
        names = scored[task, value]
        effects = effects_on(points, task, value, names, set(models) & set(names))
        if effects is None:
            return None
        halves = effects.half_widths(effects.pair_deviations, 0.95)
        known = set(pair) <= set(names)
        return len(effects.ids), halves[names.index(pair[0]), names.index(pair[1])] if known else 0.0

    return found


def text(markup):
    return re.sub(r"<[^>]+>", "", str(markup)).replace("&lt;", "<")


@pytest.mark.parametrize("pair", [("mlp", "linear"), ("ntk-mlp", "resnet")])
def test_means_and_paired_differences_are_those_of_the_statistics(open_page, board, added, pair):
    page = open_page(f"leaderboard/compare/?entries={','.join(pair)}&values=all")
    page.wait_for_selector(".le-comparison")
    for folded in page.locator(".le-apart summary").all():
        folded.click()
    scores = {(s["entry"], s["task"], s["value"]): s for s in board["scores"]}
    direction = {metric["name"]: metric["direction"] for metric in board["metrics"]}
    bounded = {metric["name"]: None not in metric["bounds"] for metric in board["metrics"]}
    rows = page.locator(".le-comparison tbody tr:has(th[scope=row] a)").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
    )
    seen, with_points = 0, 0
    for name, *cells in rows:
        task, value = name.split("\n")[0], name.split("\n")[1].split()[0]
        metric = value.split("@")[0]
        mine, other = (seeds(board, entry, task, value) for entry in pair)
        points = added(task, value, pair)
        resampled = f"seeds and {points[0]:,} test points" if points else "seeds"
        # After that it names who is assumed to move as others do: the models with planted pictures have no recordings.
        assert name.split("\n")[2].partition(";")[0] == resampled, (task, value)
        with_points += points is not None
        for cell, entry in zip(cells, pair, strict=False):
            found = scores.get((entry, task, value))
            if not found:
                assert cell == "—"
                continue
            half = None if found["upper"] is None else (found["upper"] - found["lower"]) / 2
            expected = text(show(found["mean"], bounded[metric], half or 0.0))
            if half is not None:
                expected += text(interval(half, found["mean"], bounded[metric]))
            (mean, *width), (known, *known_width) = (re.split("±", each.replace(" ", "")) for each in (cell, expected))
            assert mean == known, (task, value)
            # Of a tie, Python and the page may round the last digit to different sides.
            digits = [[int(re.sub(r"\D", "", each)) for each in found] for found in (width, known_width)]
            assert digits[0] == pytest.approx(digits[1], abs=1), (task, value)
        difference = paired_difference(mine, other)
        if difference is None:
            assert cells[2] == "—"
            continue
        if points:
            difference = difference.widened(points[1])
        word = "not told apart"
        if direction[metric] == "none":
            word = ""
        elif difference.excludes_zero:
            word = "better" if (difference.mean > 0) == (direction[metric] == "higher") else "worse"
        half = 0.0 if difference.upper is None else difference.upper - difference.mean
        expected = ("+" if difference.mean > 0 else "") + text(show(difference.mean, bounded[metric], half))
        if difference.upper is not None:
            expected += text(interval(difference.upper - difference.mean, difference.mean, bounded[metric]))
        said = "".join(cells[2].split())
        assert said.startswith("".join(expected.split())), (task, value)
        assert said.endswith("".join(word.split())), (task, value)
        seen += 1
    assert seen > 20
    assert with_points > 5
    assert {name.split("\n")[0] for name, *_ in rows} == {
        score["task"] for score in board["scores"] if score["entry"] in pair
    }
    assert open_page.problems == []


def test_a_model_without_values_at_points_is_named(open_page, board):
    of = {
        s["entry"]: s["points"] for s in board["scores"] if (s["task"], s["value"]) == ("digits/accuracy", "accuracy")
    }
    without = next((entry for entry, points in of.items() if not points), None)
    if without is None:
        pytest.skip("the recordings of all models of digits/accuracy are there")
    page = open_page(f"leaderboard/compare/?entries=mlp,{without}")
    row = page.locator(".le-comparison th[scope=row]").filter(has_text="digits/accuracy")
    assert f"{without}: assumed to move as the other models do" in row.inner_text()


def test_the_sentence_counts_the_tasks_by_their_ranking_value(open_page, board):
    page = open_page("leaderboard/compare/?entries=mlp,linear")
    sentence = page.locator(".le-sentence").inner_text()
    better, worse, same, missing = (*map(int, re.findall(r"\b\d+", sentence)), 0)[:4]
    words = page.locator(".le-comparison .le-told").all_inner_texts()
    assert (words.count("better"), words.count("worse"), words.count("not told apart")) == (better, worse, same)
    have = [
        [bool(seeds(board, entry, task["name"], task["primary"])) for entry in ("mlp", "linear")]
        for task in board["tasks"]
    ]
    assert better + worse + same == sum(map(all, have))
    assert missing == sum(map(any, have)) - sum(map(all, have))


def test_models_are_added_left_out_and_made_the_reference(open_page):
    page = open_page("leaderboard/compare/")
    status = page.locator(".le-status")
    assert status.inner_text() == "Choose two to four models."
    for name in ("resnet", "mlp", "linear"):
        page.get_by_label("Add a model").fill(name)
        page.get_by_label("Add a model").press("Enter")
    page.wait_for_selector(".le-comparison th:has-text('resnet − linear')")
    assert page.url.endswith("?entries=resnet,mlp,linear")
    page.get_by_role("button", name="Compare the others with linear").click()
    page.wait_for_selector(".le-comparison th:has-text('linear − resnet')")
    assert page.url.endswith("?entries=linear,resnet,mlp")
    page.get_by_role("button", name="Leave out resnet").click()
    page.wait_for_selector(".le-comparison th:has-text('linear − mlp')")
    assert page.locator(".le-comparison").first.locator("thead th").count() == 4
    assert open_page.problems == []


def test_on_a_phone_a_task_is_a_card_and_nothing_overlaps(open_page):
    page = open_page("leaderboard/compare/?entries=resnet,mlp,ntk-mlp", width=390)
    page.wait_for_selector(".le-comparison")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator(".le-comparison").first.evaluate("table => table.getBoundingClientRect().right") <= 390
    row = page.locator(".le-comparison tbody tr").filter(has_text="digits/accuracy").first
    label = row.locator("td").nth(3).evaluate("cell => getComputedStyle(cell, '::before').content")
    assert label == '"resnet − mlp"'
    wide = open_page("leaderboard/compare/?entries=resnet,mlp,ntk-mlp")
    wide.wait_for_selector(".le-comparison")
    for width, shown in ((390, page), (1400, wide)):
        outside = shown.locator(".le-comparison td").evaluate_all(
            """cells => cells.filter(cell => cell.offsetParent && [...cell.querySelectorAll("*")].some(part =>
                part.getBoundingClientRect().right > cell.getBoundingClientRect().right + 1)).length"""
        )
        assert outside == 0, width


def test_an_unknown_model_in_the_address_is_named(open_page):
    page = open_page("leaderboard/compare/?entries=mlp,<b>nobody</b>,linear")
    page.wait_for_selector(".le-comparison")
    assert page.locator(".le-status").inner_text().startswith("There is no model <b>nobody</b>. Paired over the seeds")
    assert open_page.problems == []


def test_without_scripts_the_page_says_how_to_compare(open_page):
    page = open_page("leaderboard/compare/", scripts=False)
    assert "lebench compare" in page.locator("#le-compare").inner_text()
