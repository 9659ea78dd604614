"""Tables in a real browser: sorted, filtered, searched, narrowed, saved; on a phone; and what the address remembers."""

import csv
import io
import json
import re
from pathlib import Path

import pytest


@pytest.fixture
def board(site):
    return json.loads((site / "leaderboard" / "board.json").read_text(encoding="utf-8"))


def models_of(board):
    """The entries of the overview: measures of capacity stand below it."""
    return [entry for entry in board["entries"] if not entry["info"]["model"].startswith("measure-")]


def measured(board):
    """The tasks on which only measures of capacity have scores."""
    models = {entry["info"]["name"] for entry in models_of(board)}
    scored = {score["task"] for score in board["scores"] if score["entry"] in models}
    return {task["name"] for task in board["tasks"]} - scored


def means(board, task):
    primary = next(each["primary"] for each in board["tasks"] if each["name"] == task)
    return {s["entry"]: s["mean"] for s in board["scores"] if (s["task"], s["value"]) == (task, primary)}


def shown(page):
    rows = page.locator("#models tbody tr:not([hidden])")
    return rows.evaluate_all("rows => rows.map(row => row.dataset.entry)")


def head(page, key):
    return page.locator(f"#models th[data-key='{key}']")


@pytest.mark.parametrize(("task", "sign"), [("digits/small-n", -1), ("digits/collapse", 1)])
def test_the_first_click_brings_the_best_to_the_top_and_blanks_stay_last(open_page, board, task, sign):
    page = open_page("leaderboard/table/")
    before = shown(page)
    scored = means(board, task)
    # The collapse task has entries without a score, and low is good there.
    column = head(page, task.replace("/", "-"))
    for direction in (sign, -sign):
        column.locator("button").click()
        found = shown(page)
        # The page has six digits of each.
        expected = sorted(scored.values(), key=lambda mean: direction * mean)
        assert [scored[entry] for entry in found if entry in scored] == pytest.approx(expected, rel=1e-5)
        assert set(found[len(scored) :]) == set(before) - set(scored)
        assert column.get_attribute("aria-sort") == ("ascending" if direction > 0 else "descending")
        words = "best first" if direction == sign else "worst first"
        assert page.locator(".le-status").inner_text() == f"{len(before)} models, sorted by {task}, {words}"
    column.locator("button").click()
    assert shown(page) == before
    assert column.get_attribute("aria-sort") is None
    assert open_page.problems == []


def test_names_sort_from_a_to_z(open_page):
    page = open_page("leaderboard/table/")
    head(page, "model").locator("button").click()
    assert shown(page) == sorted(shown(page))


def test_sorting_is_done_by_keyboard(open_page):
    page = open_page("leaderboard/table/")
    before = shown(page)
    head(page, "digits-accuracy").locator("button").focus()
    page.keyboard.press("Enter")
    assert head(page, "digits-accuracy").get_attribute("aria-sort") == "descending"
    page.keyboard.press("Space")
    assert head(page, "digits-accuracy").get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Space")
    assert shown(page) == before


def test_search_and_filter_narrow_the_rows_and_say_so(open_page, board):
    page = open_page("leaderboard/table/")
    count = len(models_of(board))
    page.get_by_label("Find", exact=True).fill("ntk MLP")
    found = shown(page)
    assert found
    assert all("ntk" in entry and "mlp" in entry for entry in found)
    assert page.locator(".le-status").inner_text() == f"{len(found)} of {count} models"
    assert page.locator(".le-status").get_attribute("role") == "status"
    page.get_by_label("Find", exact=True).fill("")
    page.get_by_label("Family").select_option("control")
    controls = {entry["info"]["name"] for entry in models_of(board) if entry["control"]}
    assert set(shown(page)) == controls
    page.get_by_label("Find", exact=True).fill("no such model")
    assert shown(page) == []


def test_columns_are_chosen_one_by_one_and_by_track(open_page):
    page = open_page("leaderboard/table/")
    track = page.locator("[data-group-head='generalization']")
    tasks = track.evaluate("th => th.colSpan")
    page.locator(".le-columns summary").click()
    page.get_by_label("digits/accuracy", exact=True).uncheck()
    assert not head(page, "digits-accuracy").is_visible()
    column = int(head(page, "digits-accuracy").get_attribute("data-col"))
    assert not page.locator("#models tbody tr").first.locator("> *").nth(column).is_visible()
    assert track.evaluate("th => th.colSpan") == tasks - 1
    page.get_by_label("collapse", exact=True).uncheck()
    assert not page.locator("[data-group-head='collapse']").is_visible()
    assert page.locator("th[data-group='collapse']:visible").count() == 0
    page.keyboard.press("Escape")
    assert not page.locator(".le-panel-of-columns").is_visible()
    # Shown columns stand under their heads.
    first = page.locator("#models tbody tr").first
    for th in page.locator("#models thead th[data-col]:visible").all()[:4]:
        cell = first.locator("> *").nth(int(th.get_attribute("data-col")))
        left, right = th.bounding_box(), cell.bounding_box()
        assert left["x"] == pytest.approx(right["x"], abs=1)
        assert left["width"] == pytest.approx(right["width"], abs=1)


def test_the_address_keeps_what_was_chosen(open_page):
    page = open_page("leaderboard/table/")
    head(page, "digits-small-n").locator("button").click()
    page.get_by_label("Find", exact=True).fill("mlp")
    page.get_by_label("Family").select_option("kernel")
    page.locator(".le-columns summary").click()
    page.get_by_label("digits/accuracy", exact=True).uncheck()
    address, rows = page.url, shown(page)
    chosen = set(address.partition("?")[2].split("&"))
    assert chosen == {"q=mlp", "family=kernel", "sort=digits-small-n:desc", "hide=digits-accuracy"}
    again = open_page("leaderboard/" + address.partition("/leaderboard/")[2])
    assert shown(again) == rows
    assert again.get_by_label("Find", exact=True).input_value() == "mlp"
    assert not head(again, "digits-accuracy").is_visible()
    assert head(again, "digits-small-n").get_attribute("aria-sort") == "descending"


def test_nonsense_in_the_address_does_no_harm(open_page, board):
    page = open_page("leaderboard/table/?sort=nothing:up&hide=a,b&family=<b>&view=1&q=%20")
    assert len(shown(page)) == len(models_of(board))
    assert open_page.problems == []


def test_csv_is_what_is_shown_with_all_digits(open_page, board):
    page = open_page("leaderboard/table/?sort=digits-small-n:desc&family=network")
    with page.expect_download() as started:
        page.get_by_role("button", name="CSV").click()
    text = Path(started.value.path()).read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["model"] for row in rows] == shown(page)
    scored = means(board, "digits/small-n")
    assert sum(bool(row["digits-small-n"]) for row in rows) == len(scored.keys() & set(shown(page))) > 0
    for row in (row for row in rows if row["digits-small-n"]):
        assert float(row["digits-small-n"]) == pytest.approx(scored[row["model"]], rel=1e-5)
        assert 0 < float(row["digits-small-n half width"]) < 0.1
    rank = {rank["entry"]: rank for ranking in board["rankings"][:1] for rank in ranking["ranks"]}
    shown_ranks = {row["model"]: row["rank-generalization"] for row in rows if row["rank-generalization"]}
    assert shown_ranks == {m: f"{rank[m]['lower']}-{rank[m]['upper']}" for m in shown_ranks}
    assert shown_ranks


def test_models_are_picked_for_a_comparison(open_page):
    page = open_page("leaderboard/table/")
    for name in ("mlp", "linear"):
        page.get_by_label(f"Compare {name}", exact=True).check()
    page.get_by_role("link", name="Compare 2").click()
    page.wait_for_url("**/compare/?entries=mlp,linear")
    page.wait_for_selector(".le-comparison")
    assert open_page.problems == []


def test_on_a_phone_rows_are_cards_that_open(open_page, board):
    page = open_page("leaderboard/table/", width=390)
    card = page.locator("#models tbody tr[data-entry='mlp']")
    assert not page.locator("#models thead").is_visible()
    scores = card.locator("td.le-folded")
    assert scores.count() == len(board["tasks"]) - len(measured(board))
    assert not scores.first.is_visible()
    card.locator(".le-opener").click()
    assert card.locator(".le-opener").get_attribute("aria-expanded") == "true"
    assert scores.first.is_visible()
    label = scores.first.evaluate("cell => getComputedStyle(cell, '::before').content")
    assert label.strip('"') in {task["name"] for task in board["tasks"]}
    # As blocks they still are rows and cells to those who hear them.
    assert page.get_by_role("row", name="mlp").count() >= 1
    page.get_by_role("button", name="Table").click()
    assert page.locator("#models thead").is_visible()
    assert "view=table" in page.url
    assert page.locator("#models").get_attribute("role") is None
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_first_column_stays_while_a_phone_scrolls_the_table(open_page):
    page = open_page("leaderboard/table/?view=table", width=390)
    scroll = page.locator(".le-scroll").first
    first = page.locator("table.le-board tbody th").first
    before = first.bounding_box()["x"]
    scrolled = scroll.evaluate("element => { element.scrollLeft = 250; return element.scrollLeft }")
    assert scrolled == 250
    assert first.bounding_box()["x"] == pytest.approx(before, abs=2)


def test_without_scripts_all_rows_are_there_and_no_tools(open_page, board):
    for width in (1400, 390):
        page = open_page("leaderboard/table/", width=width, scripts=False)
        rows = page.locator("#models tbody tr")
        assert rows.count() == len(models_of(board))
        assert all(row.is_visible() for row in rows.all())
        assert page.locator(".le-tools").count() == 0
        assert page.locator("#models thead").is_visible()


@pytest.mark.parametrize("scripts", [True, False])
def test_a_long_table_answers_with_its_first_rows_and_the_others_come(open_page, site, scripts):
    before, rows, after = re.split(
        r"(?<=<tbody>)|(?=</tbody>)",
        (site / "leaderboard" / "table" / "index.html").read_text(encoding="utf-8"),
        maxsplit=2,
    )
    page = open_page("leaderboard/table/", scripts=scripts)
    page.route(
        "**/leaderboard/table/", lambda route: route.fulfill(body=before + 4 * rows + after, content_type="text/html")
    )
    page.goto(page.url)
    count = 4 * rows.count('scope="row"')
    seen = page.locator("#models tbody tr:visible")
    if not scripts:
        assert seen.count() == count
        return
    all_there = f"document.querySelectorAll('#models tbody tr:not(.le-held)').length === {count}"
    page.wait_for_function(all_there)
    assert seen.count() == count

    click = """button => {
        button.click();
        return [...document.querySelectorAll("#models tbody tr")].filter(row => row.offsetHeight).length;
    }"""
    button = head(page, "digits-small-n").locator("button")
    assert button.evaluate(click) == 50
    page.wait_for_function(all_there)
    assert seen.count() == count
    # Who has scrolled down stays there.
    page.locator(".le-tall").evaluate("frame => { frame.scrollTop = frame.scrollHeight }")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert button.evaluate(click) == count
    # What is found stands among the first rows, wherever it stood.
    page.locator(".le-tall").evaluate("frame => { frame.scrollTop = 0 }")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.get_by_label("Find", exact=True).fill("vgg")
    assert seen.count() == 4
    assert open_page.problems == []


def test_one_row_is_counted_as_one(open_page, board):
    assert len(means(board, "overparam/width")) == 1
    page = open_page("leaderboard/tasks/overparam-width/")
    assert page.locator(".le-status").inner_text() == "1 model"
    page.get_by_label("Find", exact=True).fill("nothing has this name")
    assert page.locator(".le-status").inner_text() == "0 of 1 models"
