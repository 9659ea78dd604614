import functools
import http.server
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import planted_pictures as planted
import pytest
from stored import agree

from lebench.artifacts import pack
from lebench.board import EntryInfo, read_entries, write_entry
from lebench.site import build

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def entries(tmp_path, make_record):
    """A folder with four entries of the small catalogue; one tries to bring its own HTML and Markdown."""
    folder = tmp_path / "entries"
    hostile = '<script>alert(1)</script>\n\n# Heading\n\n```\n--8<-- "/etc/passwd"'
    scores = {"mlp": [0.95, 0.96, 0.97], "cnn": [0.96, 0.95, 0.97], "linear": [0.90, 0.91, 0.92], "constant": [0.1] * 3}
    for name, values in scores.items():
        records = [make_record("toy/accuracy", name, seed, {"accuracy": v}) for seed, v in enumerate(values)]
        if name == "constant":
            records.append(make_record("toy/collapse", name, status="skipped", reason="needs <features>"))
        else:
            records += [
                make_record("toy/collapse", name, seed, {"spread": 2.0 * (1 - v)}, missing={"spread@test": "no & yes"})
                for seed, v in enumerate(values)
            ]
        info = EntryInfo(
            name=name,
            model=name,
            summary=hostile if name == "linear" else "",
            authors=["A. <b>Author</b>"],
            links=["https://example.org/a?b=1&c=2"],
            lebench="0.1.0",
            command=f"lebench run --model {name}",
        )
        agree(write_entry(folder, name, records, info))
    return folder


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The whole site as 'make site' builds it: the pages and entries of this checkout, two with planted pictures."""
    pytest.importorskip("material", reason="mkdocs-material is not installed (extra 'site')")
    work = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", work / "docs", ignore=shutil.ignore_patterns("leaderboard", "reference"))
    shutil.copy(ROOT / "mkdocs.yml", work)
    shutil.copytree(ROOT / "overrides", work / "overrides")
    (work / "lebench").symlink_to(ROOT / "lebench")
    shutil.copytree(ROOT / "leaderboard" / "entries", work / "entries")
    _plant_pictures(work / "entries")
    build(work / "entries", work / "docs")
    quiet = {"NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"],
        cwd=work,
        env=quiet,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return work / "site"


def _plant_pictures(folder):
    """Give two entries every kind of picture, a kind a task; pictures go by the arrays, not by the task."""
    for entry in read_entries(folder):
        if entry.name not in ("mlp", "linear"):
            continue
        seed = min(record.cell.seed for record in entry.records)
        scored = [record for record in entry.records if record.cell.seed == seed and record.status == "ok"]
        changed, arrays = {}, {}
        for record, make in zip(scored, planted.ALL.values(), strict=False):
            content, described = pack(make())
            changed[record.cell.key] = record.model_copy(update={"artifacts": described}).sealed()
            arrays[record.cell.key] = content
        assert len(changed) == len(planted.ALL)
        records = [
            changed.get(record.cell.key, record.model_copy(update={"artifacts": {}}).sealed())
            for record in entry.records
        ]
        agree(write_entry(folder, entry.name, records, entry.info, arrays))


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def address(site):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=site))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def browser():
    if CHROMIUM is None:
        pytest.skip("Debian's chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra 'dev')")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser, address):
    """A function that opens a page and collects errors and requests to other servers in ``problems``."""
    contexts, problems, asked = [], [], []

    def report(request):
        if not request.url.startswith((address, "data:", "file:")):
            problems.append(f"asks {request.url}")

    def open_at(path, width=1400, scheme="light", scripts=True):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=scripts
        )
        contexts.append(context)
        page = context.new_page()
        page.on("request", report)
        page.on("request", lambda request: asked.append(request.url))
        # Vega says "WARN" of what it settles by itself, such as an axis without values.
        ours = ("error", "warning")
        page.on(
            "console", lambda m: problems.append(m.text) if m.type in ours and not m.text.startswith("WARN ") else None
        )
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("response", lambda r: problems.append(f"{r.status} {r.url}") if r.status >= 400 else None)
        page.goto(path if path.startswith("file:") else address + path)
        return page

    open_at.problems, open_at.asked = problems, asked
    yield open_at
    for context in contexts:
        context.close()
