"""Zensical, the successor of mkdocs-material, builds the same folder."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_zensical_builds_the_same_pages(site, tmp_path):
    command = Path(sys.executable).with_name("zensical")
    if not command.exists():
        pytest.skip("zensical is not installed (extra 'dev')")
    shutil.copytree(site.parent / "docs", tmp_path / "docs")
    (tmp_path / "lebench").symlink_to((site.parent / "lebench").resolve())
    shutil.copy(site.parent / "mkdocs.yml", tmp_path)
    shutil.copytree(site.parent / "overrides", tmp_path / "overrides")
    done = subprocess.run([command, "build", "--strict"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    def pages(folder):
        return {str(path.relative_to(folder)) for path in folder.rglob("*.html")}

    assert pages(tmp_path / "site") == pages(site)
    text = (tmp_path / "site" / "api" / "index.html").read_text(encoding="utf-8")
    assert re.findall(r":(?:func|class|data|mod|meth):", text) == []
    overview = (tmp_path / "site" / "leaderboard" / "index.html").read_text(encoding="utf-8")
    assert 'data-le-table="models"' in overview
