"""The built site in a real browser: what a reader sees, without any other server."""

import html
import os
import re
from pathlib import Path

import planted_pictures as planted
import pytest

from lebench import pictures, registry
from lebench.site import standalone

DOCS = ["", "getting-started/", "use-our-metrics/", "extend/", "faq/", "statistics/", "concepts/", "cite/", "api/"]
REFERENCE = ["tasks", "metrics", "calibration", "agreement", "models"]
PAGES = [*DOCS, "results/", *(f"reference/{page}/" for page in REFERENCE)]
VIEWS = ["compare/?entries=mlp,linear", "table/", "matrix/", "ladder/", "ranks/", "cost/", "explorer/", "downloads/"]


def _one_of_each_kind(site):
    kinds = ["", "/collapse", "/tasks/*", "/entries/*"]
    globs = [*(f"leaderboard{kind}/index.html" for kind in kinds), "gallery/index.html", "gallery/*/index.html"]
    firsts = [str(min(site.glob(kind)).parent.relative_to(site)) for kind in globs]
    return [*(f"{path}/" for path in firsts), *(f"leaderboard/{view}" for view in VIEWS)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 1024, 390])
def test_pages_load_cleanly_and_fit_the_screen(open_page, site, width, scheme):
    page = open_page("", width, scheme)
    base = page.url
    for path in PAGES + _one_of_each_kind(site):
        page.goto(base + path)
        assert page.locator("h1").count() == 1, path
        inside = page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert inside, f"{path} is wider than {width} pixels"
        _keep_screenshot(page, f"{path or 'home'}-{width}-{scheme}")
    page.wait_for_load_state("networkidle")
    assert open_page.problems == []


def _keep_screenshot(page, name):
    """Save the page where LEBENCH_SCREENSHOTS names a folder: continuous integration keeps them."""
    folder = os.environ.get("LEBENCH_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{re.sub('[^a-z0-9]+', '-', name).strip('-')}.png", full_page=True)


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_axe_finds_nothing_serious(open_page, site, width, scheme):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe is not installed (extra 'dev')"
    ).Axe()
    page = open_page("", width, scheme)
    base = page.url
    # The page of the API is long and made by others; equations are read from their own MathML.
    for path in [page for page in PAGES if page != "api/"] + _one_of_each_kind(site):
        page.goto(base + path)
        page.wait_for_load_state("networkidle")
        found = axe.run(page, context={"exclude": [".katex"]}).response["violations"]
        serious = [
            (path, each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")
        ]
        assert serious == []


def test_no_link_of_the_site_is_broken(site):
    broken = []
    for file in site.rglob("*.html"):
        if file.name == "404.html":
            continue
        for target in re.findall(r'(?:href|src)="([^"#?]+)', file.read_text(encoding="utf-8")):
            if re.match(r"[a-z]+:", target):
                continue
            path = (file.parent / target).resolve()
            if not (path.is_file() or (path / "index.html").is_file()):
                broken.append(f"{file.relative_to(site)}: {target}")
    assert broken == []


def test_the_table_is_there_without_scripts(open_page):
    page = open_page("leaderboard/table/", scripts=False)
    assert page.locator("table.le-board thead .le-track").all_inner_texts() == [
        "generalization",
        "elasticity",
        "collapse",
    ]
    rows = page.locator("table.le-board tbody tr")
    assert rows.count() >= 1
    assert rows.first.locator("td").first.is_visible()
    assert re.search(r"\d", " ".join(rows.first.locator("td").all_inner_texts()))


def test_the_calibration_is_there_without_scripts_and_on_a_phone(open_page):
    page = open_page("reference/calibration/", width=390, scripts=False)
    answer = page.locator("tbody#elasticity_ratio tr:has-text('no elasticity')")
    assert answer.locator("th").is_visible()
    assert answer.locator("td").all_inner_texts()[:2] == ["0.5", "ok"]
    scroll = page.locator(".le-scroll", has=answer)
    assert scroll.evaluate("element => { element.scrollLeft = 250; return element.scrollLeft }") == 250
    assert answer.locator("th").bounding_box()["x"] >= scroll.bounding_box()["x"]


def test_a_definition_leads_to_its_calibration_and_back(open_page):
    page = open_page("reference/metrics/")
    page.locator("a[href='../calibration/#nc1_pinv_over_C']").click()
    page.wait_for_url("**/reference/calibration/#nc1_pinv_over_C")
    group = page.locator("tbody#nc1_pinv_over_C")
    page.wait_for_function("document.getElementById('nc1_pinv_over_C').getBoundingClientRect().top < innerHeight")
    header = page.locator(".md-header").bounding_box()
    assert group.bounding_box()["y"] >= header["y"] + header["height"]
    # The head of the table is out of sight, so the group that was asked for names its columns, and no other does.
    assert group.locator(".le-again").first.is_visible()
    assert page.locator(".le-again:visible").count() == 2
    group.locator(".le-group a").click()
    page.wait_for_url("**/reference/metrics/#nc1_pinv_over_C")
    assert page.locator("h2#nc1_pinv_over_C").is_visible()
    assert open_page.problems == []


def test_every_metric_on_the_site_is_defined_and_calibrated(site):
    def found(page, pattern):
        return set(re.findall(pattern, (site / page / "index.html").read_text(encoding="utf-8")))

    calibrated = found("reference/calibration", r'<tbody id="(\w+)"')
    assert calibrated == set(registry.metrics.names())
    assert calibrated == found("reference/metrics", r'<h2 id="(\w+)"')
    assert calibrated == found("reference/metrics", r'href="\.\./calibration/#(\w+)"')
    for term in ("Better", "Bounds", "Unit", "Invariant to", "Source", "Call", "Known answers"):
        text = (site / "reference" / "metrics" / "index.html").read_text(encoding="utf-8")
        assert text.count(f"<dt>{term}</dt>") == len(calibrated), term
    for page in (site / "leaderboard" / "tasks").glob("*/index.html"):
        links = found(page.parent, r'href="\.\./\.\./\.\./reference/calibration/#(\w+)"')
        assert links
        assert links <= calibrated


def test_examples_are_shown_as_they_are(site):
    shown = [
        html.unescape(re.sub(r"<[^>]+>", "", (site / page / "index.html").read_text(encoding="utf-8")))
        for page in ("use-our-metrics", "getting-started", "data", "statistics")
    ]
    for file in (site / "assets" / "examples").glob("*.py"):
        assert any(file.read_text(encoding="utf-8").strip() in text for text in shown), file.name


def test_the_scheme_follows_the_system_and_the_toggle(open_page):
    page = open_page("leaderboard/", scheme="dark")
    scheme = "document.body.getAttribute('data-md-color-scheme')"
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(scheme) == "slate"
    dark = page.evaluate(ground)
    page.locator("label[title='Use the light scheme']").click()
    page.wait_for_function(f"{scheme} === 'default'")
    light = page.evaluate(ground)
    assert _brightness(dark) < 60 < 200 < _brightness(light)
    page.locator("label[title='Use the dark scheme']").click()
    page.wait_for_function(f"{scheme} === 'slate'")


def _brightness(color):
    red, green, blue = map(int, re.findall(r"\d+", color)[:3])
    return (red + green + blue) / 3


def test_equations_are_set(open_page):
    page = open_page("reference/metrics/")
    page.wait_for_selector(".katex-display")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".katex-error").count() == 0
    assert page.locator(".katex").count() >= page.locator("h2").count()
    assert open_page.problems == []


def test_docstrings_show_no_markup(site):
    text = (site / "api" / "index.html").read_text(encoding="utf-8")
    assert "make_plan" in text
    assert re.findall(r":(?:func|class|data|mod|meth):", text) == []


def test_search_finds_a_page(open_page):
    page = open_page("")
    page.wait_for_timeout(1500)
    page.locator("input.md-search__input").click()
    page.keyboard.type("collapse")
    page.wait_for_selector(".md-search-result__item a")
    assert "collapse" in page.locator(".md-search-result__list").inner_text().lower()


def _draw_all(page):
    """Scroll to every picture, wait until it is drawn, and return the pictures."""
    figures = page.locator(".le-picture")
    for number in range(figures.count()):
        figures.nth(number).scroll_into_view_if_needed()
        page.wait_for_function("i => document.querySelectorAll('.le-picture')[i].dataset.drawn", arg=number)
    assert figures.evaluate_all("all => all.map(one => one.dataset.drawn)") == ["yes"] * figures.count()
    return figures


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (1400, "dark"), (390, "light"), (390, "dark")])
def test_every_picture_is_drawn_inside_the_screen(open_page, width, scheme):
    page = open_page("leaderboard/entries/mlp/", width, scheme)
    figures = _draw_all(page)
    assert figures.count() == len(planted.ALL)
    assert page.locator(".le-panel > svg, .le-panel > canvas").count() >= 2 * len(planted.ALL) - 1
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    # No panel is cut off either.
    assert (
        page.locator(".le-panel").evaluate_all("all => all.filter(one => one.scrollWidth > one.clientWidth + 1)") == []
    )
    ink = page.locator(".le-panel svg text").first.evaluate("text => getComputedStyle(text).fill")
    assert _brightness(ink) > 120 if scheme == "dark" else _brightness(ink) < 120
    assert open_page.problems == []


def test_pictures_follow_the_toggle(open_page):
    page = open_page("leaderboard/entries/mlp/", scheme="light")
    _draw_all(page)
    label = "getComputedStyle(document.querySelector('.le-panel svg text')).fill"
    light = page.evaluate(label)
    page.locator("label[title='Use the light scheme']").click()
    page.locator("label[title='Use the dark scheme']").click()
    page.wait_for_function(f"document.querySelector('.le-panel svg text') && {label} !== '{light}'")
    assert _brightness(page.evaluate(label)) > 120 > _brightness(light)
    assert open_page.problems == []


def test_a_task_compares_models_in_pictures(open_page, site):
    compared = [p for p in site.glob("leaderboard/tasks/*/index.html") if "le-picture" in p.read_text(encoding="utf-8")]
    assert compared
    page = open_page(f"{compared[0].parent.relative_to(site)}/", width=390, scheme="dark")
    _draw_all(page)
    assert open_page.problems == []


def test_the_scripts_of_pictures_are_loaded_only_where_one_comes_into_view(open_page):
    page = open_page("leaderboard/")
    page.wait_for_load_state("networkidle")
    page = open_page("leaderboard/entries/mlp/")
    page.wait_for_load_state("networkidle")
    assert [url for url in open_page.asked if "vega" in url or url.endswith(".vl.json")] == []
    _draw_all(page)
    loaded = [url.rpartition("/")[2] for url in open_page.asked if "/assets/vega/" in url]
    assert loaded == ["vega.min.js", "vega-lite.min.js", "vega-embed.min.js"]


def test_without_scripts_the_caption_says_what_a_picture_shows(open_page):
    page = open_page("leaderboard/entries/mlp/", scripts=False)
    caption = page.locator(".le-picture figcaption").filter(has_text="Correlation with geodesic distance").first
    assert caption.is_visible()
    assert "Correlation with geodesic distance: of relative similarity −1.0" in caption.inner_text()
    assert page.locator(".le-series:visible").count() == 0
    data = caption.locator("a").get_attribute("href")
    assert page.request.get(f"{page.url}{data}").json()["description"] in caption.inner_text()


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_the_page_of_show_needs_no_server(open_page, tmp_path, width, scheme):
    path = tmp_path / "pictures.html"
    made = [(name, pictures.of_model(make())) for name, make in planted.ALL.items()]
    standalone.write(path, "lebench: mlp[width=8]", made)
    page = open_page(path.as_uri(), width, scheme)
    assert _draw_all(page).count() == len(planted.ALL)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (_brightness(ground) < 60 and scheme == "dark") or ground == "rgba(0, 0, 0, 0)"
    assert {url for url in open_page.asked if not url.startswith("data:")} == {path.as_uri()}
    assert open_page.problems == []


def test_pages_are_small_and_a_first_visit_is_light(open_page, site):
    """At most 5,000 elements before a click, 600 kB to read the first page, and no id twice."""
    page = open_page("")
    base = page.url
    sizes = []
    page.on("response", lambda response: sizes.append(int(response.headers.get("content-length", 0))))
    page.reload()
    page.wait_for_load_state("networkidle")
    assert 100_000 < sum(sizes) <= 600_000
    largest = sorted(site.rglob("index.html"), key=lambda file: file.read_text(encoding="utf-8").count("<"))[-8:]
    for file in largest:
        page.goto(f"{base}{file.parent.relative_to(site)}/")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.querySelectorAll('*').length") <= 5000, file
    for file in site.rglob("*.html"):
        ids = re.findall(r'\sid="([^"]+)"', file.read_text(encoding="utf-8"))
        assert len(ids) == len(set(ids)), file


def test_every_page_says_which_board_it_is_of_and_has_an_address_of_its_own(site):
    addresses = set()
    for file in site.rglob("index.html"):
        text = file.read_text(encoding="utf-8")
        assert '<span class="le-stamp">lebench ' in text, file
        assert ">How to cite</a>" in text
        addresses |= set(re.findall(r'<link rel="canonical" href="([^"]+)"', text))
    assert len(addresses) == len(list(site.rglob("index.html")))
    listed = re.findall(r"<loc>([^<]+)</loc>", (site / "sitemap.xml").read_text(encoding="utf-8"))
    assert set(listed) == addresses
    assert "There is no such page" in (site / "404.html").read_text(encoding="utf-8")
    assert "not measured yet" not in (site / "results" / "index.html").read_text(encoding="utf-8")


def test_equations_are_loaded_only_where_there_is_one(open_page):
    open_page("faq/").wait_for_load_state("networkidle")
    assert [url for url in open_page.asked if "katex" in url] == []
    page = open_page("concepts/")
    page.locator(".arithmatex").first.scroll_into_view_if_needed()
    page.wait_for_selector(".katex")


def test_back_undoes_a_filter(open_page):
    page = open_page("leaderboard/table/")
    rows = page.locator("table.le-board tbody tr:visible")
    page.wait_for_selector(".le-status:not(:empty)")
    all_rows = rows.count()
    page.locator("select").first.select_option("kernel")
    assert 0 < rows.count() < all_rows
    assert "family=kernel" in page.url
    page.go_back()
    page.wait_for_function("!location.search")
    assert rows.count() == all_rows
    assert page.locator("select").first.input_value() == ""


def test_without_scripts_pictures_and_a_comparison_are_there(open_page, site):
    page = open_page("leaderboard/cost/", scripts=False)
    picture = page.locator(".le-still").first
    picture.scroll_into_view_if_needed()
    assert picture.is_visible()
    assert page.request.get(f"{page.url}{picture.get_attribute('src')}").ok
    page = open_page("leaderboard/compare/", scripts=False)
    assert page.locator("table.le-board tbody tr").count() >= 4
    page = open_page("leaderboard/elasticity/", scripts=False)
    assert page.locator(".le-forest li").count() > 5
    assert page.locator("svg.le-ahead").is_visible()
    page = open_page("leaderboard/explorer/", scripts=False)
    assert page.locator(".le-explorer circle").count() >= 100


def test_the_explorer_follows_a_click_and_the_arrow_keys(open_page):
    page = open_page("leaderboard/explorer/")
    drawing = page.locator(".le-explorer svg").first
    page.wait_for_function("document.querySelector('.le-explorer p').textContent")
    before = page.locator(".le-explorer p").all_inner_texts()
    drawing.click(position={"x": 20, "y": 180})
    page.wait_for_function("location.search")
    clicked = page.url
    assert page.locator(".le-explorer p").all_inner_texts() != before
    drawing.press("ArrowRight")
    assert page.url != clicked
    assert page.locator(".le-chosen").count() == page.locator(".le-explorer svg").count()
    page.locator("#le-kind").select_option("signed")
    assert page.locator(".le-against").count() > 0
    assert open_page.problems == []


def test_from_a_disk_links_lead_to_pages_and_pictures_are_there(open_page, site):
    page = open_page((site / "index.html").as_uri())
    page.locator(".le-foot a[href*='leaderboard/elasticity']").click()
    page.wait_for_url("**/leaderboard/elasticity/index.html")
    page = open_page((site / "leaderboard" / "cost" / "index.html").as_uri())
    page.locator(".le-picture").first.scroll_into_view_if_needed()
    page.wait_for_selector(".le-panels .le-still")


def test_the_site_works_below_another_address(site):
    """Pages name each other relatively; only that of what is not found says where the site is."""
    for path in ("index.html", "leaderboard/index.html", "leaderboard/entries/mlp/index.html"):
        assert re.findall(r'(?:href|src)="(/[^/"][^"]*)"', (site / path).read_text(encoding="utf-8")) == []
    (home,) = re.findall(
        r'<link rel="canonical" href="https?://[^/]+(/[^"]*)"', (site / "index.html").read_text("utf-8")
    )
    assert f'href="{home}assets/' in (site / "404.html").read_text(encoding="utf-8")
