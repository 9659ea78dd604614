"""What the project promises about itself: its layers, its recipes, its pins and its vendored files."""

import argparse
import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from lebench import registry
from lebench.errors import install_hint
from lebench.registry import load_plugin
from lebench.tasks.base import Fit

ROOT = Path(__file__).parents[1]
FRAMEWORKS = {"torch", "jax", "jaxlib", "neural_tangents"}


def _blocks(file, language="python"):
    return re.findall(rf"```{language}[^\n]*\n(.*?)```", (ROOT / file).read_text(encoding="utf-8"), re.DOTALL)


def _imports(node):
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return {node.module.split(".")[0]}
    return set()


def _at_import(tree):
    """Return what runs when a module is imported: everything outside functions and TYPE_CHECKING blocks."""
    for node in ast.iter_child_nodes(tree):
        lazy = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if not lazy and not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
            yield node
            yield from _at_import(node)


def test_only_backends_import_a_framework_when_imported():
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "lebench").rglob("*.py")
        for node in _at_import(ast.parse(path.read_text(encoding="utf-8")))
        if _imports(node) & FRAMEWORKS
    }
    assert found
    assert {path for path in found if not path.startswith("lebench/backends/")} == set()


def test_one_file_at_most_knows_neural_tangents():
    users = [
        path.name
        for path in (ROOT / "lebench").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if "neural_tangents" in _imports(node)
    ]
    assert len(set(users)) <= 1


def test_nothing_below_the_command_line_prints():
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / "lebench").rglob("*.py")
        if "cli" not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert found == []


def test_the_layers_hold():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def _plugin(tmp_path, text):
    file = tmp_path / f"recipe_{hashlib.sha256(text.encode()).hexdigest()[:8]}.py"
    file.write_text(text, encoding="utf-8")
    load_plugin(file)


def _fits(model, task, seed=0):
    split = registry.datasets.get(task.dataset).split(seed)
    parts = {variant.name: variant.apply(split, seed) for variant in task.variants}
    return {name: Fit(part, model.fit(part, seed), seed) for name, part in parts.items()}


def test_the_recipes_of_the_documentation_work_together(tmp_path, own_registries):
    model, metric, task, checks = _blocks("docs/extend.md")
    for recipe in (model, metric, task):
        _plugin(tmp_path, recipe)
    few = registry.tasks.get("digits/few")
    fits = _fits(registry.models.get("nearest-mean-of-pixels")(every=2), few)
    values = few.score(fits)
    # A tenth is chance; nearest means of one and two digits per class do far better.
    assert set(values) == set(few.metrics)
    assert 0.3 < values["accuracy@n=10"] < values["accuracy@n=20"] < 1.0
    assert checks.count("assert check_") == 3
    _plugin(tmp_path, checks)


def test_the_model_of_the_readme_is_the_one_of_the_docs_and_equals_scikit_learns(tmp_path, own_registries):
    (example,) = (block for block in _blocks("README.md") if "nearest-mean" in block)
    documented = (ROOT / "docs/assets/examples/nearest_mean.py").read_text(encoding="utf-8")
    assert example.split("\n", 1)[1].strip() == documented.split('"""\n', 1)[1].strip()
    _plugin(tmp_path, example)

    from sklearn.neighbors import NearestCentroid

    split = registry.datasets.get("digits").split(0)
    predicted = registry.models.get("nearest-mean")().fit(split, 0).predict(split.x_test).argmax(axis=1)
    x_train, x_test = (x.reshape(len(x), -1) for x in (split.x_train, split.x_test))
    np.testing.assert_array_equal(predicted, NearestCentroid().fit(x_train, split.y_train).predict(x_test))


def test_examples_stand_in_the_pages_as_they_are_run():
    """Included where the site is built, with a link for those who read the text of a page itself."""
    pages = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
    included = {name for text in pages.values() for name in re.findall(r'--8<-- "assets/examples/(.+?)"', text)}
    assert included == {path.name for path in (ROOT / "docs/assets/examples").glob("*.py")}
    for name in included:
        assert any(f"[{name}](assets/examples/{name})" in text for text in pages.values()), name
    (walked,) = re.findall(r'title="mine.py"\n(.*?)```', pages["submit.md"], re.DOTALL)
    assert walked == (ROOT / "docs/assets/examples/nearest_mean.py").read_text(encoding="utf-8")


def test_vendored_files_are_the_listed_ones():
    (listing,) = _blocks("docs/assets/README.md", "")
    listed = {name: digest for digest, name in (line.split() for line in listing.splitlines())}
    folder = ROOT / "docs/assets"
    vendored = chain(*((folder / name).rglob("*") for name in ("katex", "vega")))
    present = {str(path.relative_to(folder)) for path in vendored if path.is_file()}
    assert present == set(listed)
    for name, digest in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name


def test_vendored_files_bring_their_licences():
    folder = ROOT / "docs/assets"
    for name, holder in (
        ("katex/LICENSE", "Khan Academy"),
        ("vega/LICENSE-vega", "University of Washington"),
        ("vega/LICENSE-vega-lite", "University of Washington"),
        ("vega/LICENSE-vega-embed", "University of Washington"),
    ):
        text = (folder / name).read_text()
        assert holder in text
        assert "Permission is hereby granted" in text or "Redistribution and use in source and binary forms" in text
    tops = {path.name.split(".")[0] for path in (folder / "vega").glob("*.js")}
    assert {f"LICENSE-{top}" for top in tops} == {path.name for path in (folder / "vega").glob("LICENSE*")}


def test_the_source_distribution_leaves_out_the_records_of_the_leaderboard():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    assert all(path.startswith("/") for path in build["sdist"]["include"])
    assert "/leaderboard" not in build["sdist"]["include"]
    assert build["wheel"]["packages"] == ["lebench"]


def test_what_the_workflows_install_is_pinned_by_checksum_as_the_constraints_say():
    lines = (ROOT / ".ci/requirements.txt").read_text().splitlines()[1:]
    locked = {}
    for line in lines:
        name, version, digest = re.fullmatch(r"([a-z0-9-]+)==(\S+) --hash=sha256:([0-9a-f]{64})", line).groups()
        locked[name] = version
        assert digest
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert len(locked) == len(lines) > 100
    assert {n: (v, pins[n]) for n, v in locked.items() if n in pins and pins[n] != v} == {}
    assert {"torch", "jax", "numpy", "neural-tangents", "hatchling", "build", "zizmor"} <= set(locked)


def test_hints_name_a_command_that_works_here():
    assert install_hint("jax") == f"pip install -e '{ROOT}[jax]'"


def test_constraints_pin_every_dependency_once_and_exactly():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    assert len(pins) == len(lines)
    assert pins["torch"] == "2.13.0"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = chain(project["dependencies"], *project["optional-dependencies"].values())
    names = {re.split(r"[\[<>=]", requirement)[0] for requirement in wanted} - {"lebench"}
    assert names - set(pins) == set()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_sets_up_once(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)

    def plan(target):
        # These tests run under make themselves, whose variables would make this one a child of it.
        own = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        command = ["make", "-n", "--no-print-directory", target]
        return subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True, check=True).stdout

    for target in ("run", "test"):
        assert "constraints.txt" in plan(target)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".ready").touch()
    assert plan("run").strip() == ".venv/bin/lebench run --model resnet --seeds 3"
    assert "pip" not in plan("test")


@pytest.mark.parametrize(
    ("smallest", "kind", "text", "said"),
    [
        (2, int, "1", "1 is not a number of at least 2"),
        (1, int, "few", "few is not a number of at least 1"),
        (0, float, "0", "0 is not a positive number"),
        (0, float, "nan", "nan is not a positive number"),
        (0, float, "inf", "inf is not a positive number"),
    ],
)
def test_numbers_of_benchmarks_that_make_no_sense_are_named(script, smallest, kind, text, said):
    read = script("timing").at_least(smallest, kind)
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{said}$"):
        read(text)
    assert read("3") == 3


def test_what_describes_a_release_names_the_same_version_and_title():
    import json

    import yaml

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    zenodo = json.loads((ROOT / ".zenodo.json").read_text())
    assert project["version"] == citation["version"] == zenodo["version"]
    assert citation["title"] == zenodo["title"]
    assert citation["license"] == zenodo["license"] == project["license"]
    assert citation["keywords"] == zenodo["keywords"]
    assert citation["title"] in (ROOT / "docs/cite.md").read_text()
