"""Fingerprints follow the code: words do not change them, formulas do, however far away."""

import ast
import importlib
import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pytest

from lebench import registry
from lebench.data.digits import digits
from lebench.errors import LebenchError
from lebench.metrics import generalization
from lebench.models.spec import Configured, build_model
from lebench.registry import Registry
from lebench.runner import fingerprint
from lebench.runner.fingerprint import _canonical, model_fingerprint, task_fingerprint
from lebench.tasks.base import Task

TASK = '''
"""A module."""
from dataclasses import dataclass, field
from functools import lru_cache, partial
from fp import helpers
from fp.helpers import twice
from lebench.data.base import Dataset, Variant
from lebench.tasks.base import Task

POWER = 2
NAMES = frozenset({"a", "b", "c"})

class Weights:
    """Doc."""
    def of(self, value: float) -> float:
        return value ** POWER

@lru_cache
def cached(value):
    return value - 1

def score(fits, shift=0):
    """Doc."""
    # A comment.
    return {"x": twice(Weights().of(helpers.once(cached(len(fits))))) + shift, **dict.fromkeys(NAMES)}

def split(x, y, rng):
    return x, y, x, y

DATA = Dataset("d", "words", "free", "nobody", 1, (1,), ("a", "b"), None, split)
TASK = Task("t/t", "collapse", "words", "a paper", 1, "d", ("predict",), "x", (), score, (Variant(),))
PARTIAL = partial(score, shift=1)
'''
HELPERS = """
def twice(value):
    return 2 * value

def once(value):
    return value

def unrelated(value):
    return value
"""


@pytest.fixture
def prints(tmp_path, monkeypatch):
    """A function from changes of the sources to the fingerprint of the task in them."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def compute(*changes, pick="TASK", **fields):
        task, helpers = TASK, HELPERS
        for old, new in changes:
            assert old in task + helpers
            task, helpers = task.replace(old, new), helpers.replace(old, new)
        package = tmp_path / "fp"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").write_text("")
        (package / "helpers.py").write_text(helpers)
        (package / "task.py").write_text(task)
        for name in ("fp.task", "fp.helpers", "fp"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        for cached in (fingerprint._module_code, fingerprint._source_file, fingerprint._tree, fingerprint._definitions):
            cached.cache_clear()
        module = importlib.import_module("fp.task")
        chosen = module.TASK if pick == "TASK" else replace(module.TASK, score=getattr(module, pick))
        data = replace(module.DATA, **{k: v for k, v in fields.items() if k != "task"})
        return task_fingerprint(replace(chosen, **fields.get("task", {})), data)

    yield compute
    for name in ("fp.task", "fp.helpers", "fp"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "change",
    [
        ("# A comment.", "# Another comment, longer\n    # than the first."),
        ('"""Doc."""', '"""Better words."""'),
        ('"""A module."""', ""),
        ("value: float) -> float", "value)"),
        (
            "return value\n\ndef unrelated(value):\n    return value",
            "return value\n\ndef unrelated(value):\n    return 0",
        ),
        ("def score", "OTHER = 5\n\n\ndef score"),
    ],
)
def test_words_and_unrelated_code_do_not_change_it(prints, change):
    assert prints(change) == prints()


@pytest.mark.parametrize(
    "change",
    [
        ("+ shift", "- shift"),
        ("return 2 * value", "return 3 * value"),
        ("def once(value):\n    return value", "def once(value):\n    return -value"),
        ("POWER = 2", "POWER = 3"),
        ("value ** POWER", "value * POWER"),
        ("return value - 1", "return value - 2"),
        ("return x, y, x, y", "return y, x, x, y"),
        ('"b", "c"}', '"b", "d"}'),
    ],
)
def test_formula_anywhere_below_the_score_changes_it(prints, change):
    assert prints(change) != prints()


def test_where_a_file_lies_does_not_change_it(prints):
    def beside(path):
        return "POWER = 2", f"from pathlib import Path\nPOWER = Path({path!r})"

    assert prints(beside("/home/a/grid.npz")) == prints(beside("/home/b/grid.npz"))
    assert prints(beside("/home/a/grid.npz")) != prints(beside("/home/a/other.npz"))


def test_declaration_counts_but_not_its_words(prints):
    assert prints(task={"summary": "other words", "reference": "other paper"}) == prints()
    assert prints(task={"version": 2}) != prints()
    assert prints(task={"variants": ()}) != prints()
    assert prints(version=2) != prints()


def test_partial_counts_its_arguments(prints):
    assert prints(pick="PARTIAL") != prints()
    assert prints(("shift=1)", "shift=2)"), pick="PARTIAL") != prints(pick="PARTIAL")


def test_metric_of_another_formula_changes_it(monkeypatch):
    task = Task("t", "collapse", "", "", 1, "digits", (), "accuracy", ("accuracy@a",), len)
    before = task_fingerprint(task, digits)
    known = Registry("metric", index={})
    known.register("accuracy", replace(registry.metrics.get("accuracy"), function=generalization.error))
    monkeypatch.setattr(registry, "metrics", known)
    assert task_fingerprint(task, digits) != before


@dataclass(frozen=True)
class Inner:
    size: int = 1


def build(shape, outputs):
    return shape


def build_other(shape, outputs):
    return outputs


@dataclass(frozen=True)
class Model:
    inner: Inner = Inner()
    builder: Any = build
    names: frozenset = field(default=frozenset({"a", "b", "c"}))
    capabilities: ClassVar[frozenset[str]] = frozenset()


def configured(model):
    return Configured("mine", "mine", {}, "numpy", "float64", model)


@pytest.fixture
def mine(monkeypatch):
    models = Registry("model", index={})
    models.register("mine", Model)
    monkeypatch.setattr(registry, "models", models)


@pytest.mark.usefixtures("mine")
def test_model_is_its_configuration_functions_included():
    same = model_fingerprint(configured(Model()))
    assert model_fingerprint(configured(Model(inner=Inner(1)))) == same
    assert model_fingerprint(configured(Model(inner=Inner(2)))) != same
    assert model_fingerprint(configured(Model(builder=build_other))) != same


@pytest.mark.usefixtures("mine")
def test_model_that_holds_an_object_without_a_repr_is_refused():
    with pytest.raises(LebenchError, match="its repr does not say its configuration"):
        model_fingerprint(configured(Model(inner=object())))


def test_fingerprints_are_the_same_in_every_process():
    code = (
        "from lebench.data.digits import digits; from lebench.models import network;"
        "from lebench.tasks.base import Task;"
        "from lebench.metrics import generalization; from lebench.models.spec import build_model;"
        "from lebench.runner.fingerprint import _canonical, model_fingerprint, task_fingerprint;"
        "task = Task('t', 'collapse', '', '', 1, 'digits', (), 'log_loss', ('log_loss',), generalization.accuracy);"
        "print(model_fingerprint(build_model('mlp')), task_fingerprint(task, digits))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    (output,) = outputs
    assert [len(word) for word in output.split()] == [64, 64]


def test_the_text_of_a_syntax_tree_does_not_depend_on_the_version_of_python():
    """Written out by hand: a record made under another Python must have the same key."""
    tree = ast.parse("def f(x):\n    return f'{x}' if x else None\n")
    assert _canonical(tree) == (
        "Module(body=[FunctionDef(name='f',args=arguments(args=[arg(arg='x')]),body=[Return(value=IfExp("
        "test=Name(id='x'),body=JoinedStr(values=[FormattedValue(value=Name(id='x'),conversion=-1)]),"
        "orelse=Constant()))])])"
    )


def test_a_plugin_of_the_same_file_name_is_other_code(tmp_path):
    """A session may load mine.py of one folder and later that of another."""
    found = []
    for folder, value in (("one", 1), ("two", 2), ("three", 1)):
        (tmp_path / folder).mkdir()
        plugin = tmp_path / folder / "same_name.py"
        plugin.write_text(
            "from dataclasses import dataclass\n"
            "from lebench import registry\n\n"
            f"@registry.models.register('same-name-{folder}')\n"
            "@dataclass(frozen=True)\n"
            "class Model:\n"
            "    capabilities = frozenset({'predict'})\n\n"
            "    def fit(self, split, seed):\n"
            f"        return {value}\n"
        )
        registry.load_plugin(plugin)
        name = f"same-name-{folder}"
        found.append(model_fingerprint(build_model(name, None)))
        registry.models._items.pop(name), registry.models._objects.pop(name)
    del sys.modules["lebench_plugin_same_name"]
    one, two, three = found
    assert one == three != two
