"""The page that compares models, in a real browser, against the statistics in Python."""

import json
import re

import pytest

from lebench.board import paired_difference
from lebench.board.statistics import mean_interval
from lebench.site.numbers import interval, show


@pytest.fixture
def board(site):
    return json.loads((site / "leaderboard" / "board.json").read_text(encoding="utf-8"))


def seeds(board, entry, task, value):
    found = (s["by_seed"] for s in board["scores"] if (s["entry"], s["task"], s["value"]) == (entry, task, value))
    return {int(seed): number for seed, number in next(found, {}).items()}


def text(markup):
    return re.sub(r"<[^>]+>", "", str(markup)).replace("&lt;", "<")


def test_means_and_paired_differences_are_those_of_the_statistics(open_page, board):
    page = open_page("leaderboard/compare/?entries=mlp,linear&values=all")
    page.wait_for_selector(".le-comparison")
    direction = {metric["name"]: metric["direction"] for metric in board["metrics"]}
    bounded = {metric["name"]: None not in metric["bounds"] for metric in board["metrics"]}
    rows = page.locator(".le-comparison tbody tr:has(th[scope=row] a)").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
    )
    seen = 0
    for name, *cells in rows:
        task, value = name.split("\n")[0], name.split("\n")[1].split()[0]
        metric = value.split("@")[0]
        mine, other = (seeds(board, entry, task, value) for entry in ("mlp", "linear"))
        for cell, values in zip(cells, (mine, other), strict=False):
            if not values:
                assert cell == "—"
                continue
            found = mean_interval(values.values())
            expected = text(show(found.mean, bounded[metric]))
            if found.upper is not None:
                expected += text(interval(found.upper - found.mean, found.mean, bounded[metric]))
            assert cell.replace(" ", "") == expected.replace(" ", ""), (task, value)
        difference = paired_difference(mine, other)
        if difference is None:
            assert cells[2] == "—"
            continue
        word = "not told apart"
        if direction[metric] == "none":
            word = ""
        elif difference.excludes_zero:
            word = "better" if (difference.mean > 0) == (direction[metric] == "higher") else "worse"
        expected = ("+" if difference.mean > 0 else "") + text(show(difference.mean, bounded[metric]))
        assert cells[2].replace("\n", " ").startswith(expected), (task, value)
        assert cells[2].endswith(word), (task, value)
        seen += 1
    assert seen > 50
    assert {name.split("\n")[0] for name, *_ in rows} == {
        score["task"] for score in board["scores"] if score["entry"] in ("mlp", "linear")
    }
    assert open_page.problems == []


def test_the_sentence_counts_the_tasks_by_their_ranking_value(open_page, board):
    page = open_page("leaderboard/compare/?entries=mlp,linear")
    sentence = page.locator(".le-sentence").inner_text()
    better, worse, same, missing = (*map(int, re.findall(r"\d+", sentence)), 0)[:4]
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
    assert page.locator(".le-comparison thead th").count() == 4
    assert open_page.problems == []


def test_an_unknown_model_in_the_address_is_named(open_page):
    page = open_page("leaderboard/compare/?entries=mlp,<b>nobody</b>,linear")
    page.wait_for_selector(".le-comparison")
    assert page.locator(".le-status").inner_text().startswith("There is no model <b>nobody</b>. Paired over the seeds")
    assert open_page.problems == []


def test_without_scripts_the_page_says_how_to_compare(open_page):
    page = open_page("leaderboard/compare/", scripts=False)
    assert "lebench compare" in page.locator("#le-compare").inner_text()
