"""The registry: lazy, with hints, and open to third parties."""

import json
import subprocess
import sys
import textwrap
import warnings
from datetime import date
from importlib import metadata

import pytest

from lebench import registry
from lebench.errors import LebenchError, UnknownNameError
from lebench.registering import Change, Registry, read_index


@pytest.fixture
def shapes():
    shapes = Registry("shape", index={})
    shapes.register("round/circle", object(), summary="Round", tags=("round",))
    shapes.register("round/ellipse", object(), summary="Less round", tags=("round",))
    shapes.register("square", object(), summary="Not round")
    return shapes


def test_the_index_is_that_of_the_code():
    """If this fails, something was registered or renamed: run 'make index'."""
    code = "import json; from lebench.registry import build_index; print(json.dumps(build_index()))"
    fresh = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
    assert fresh == read_index()


def test_names_tags_and_globs_select(shapes):
    assert shapes.select(["square"]) == ["square"]
    assert shapes.select(["round"]) == ["round/circle", "round/ellipse"]
    assert shapes.select(["*e", "round/*"]) == ["round/circle", "round/ellipse", "square"]


def test_unknown_names_get_a_hint(shapes):
    with pytest.raises(UnknownNameError, match=r"unknown shape 'sqare'; did you mean 'square'\?"):
        shapes.get("sqare")
    with pytest.raises(UnknownNameError, match="see 'lebench list shapes'"):
        shapes.select(["zzz*"])


def test_a_name_cannot_be_taken_twice(shapes):
    with pytest.raises(LebenchError, match="'square' is already registered"):
        shapes.register("square", object())


def test_an_earlier_name_stands_for_today_s_and_for_nothing_else(shapes):
    disc = shapes.register("round/disc", object(), aliases=["plate/disc"])
    assert shapes.get("plate/disc") is disc
    assert shapes.item("plate/disc").name == "round/disc"
    assert shapes.select(["plate/*"]) == ["round/disc"] == shapes.select(["plate/disc"])
    assert (shapes.aliases(), "plate/disc" in shapes.names()) == ({"plate/disc": "round/disc"}, False)
    for name, aliases in (("plate/disc", ()), ("bowl", ["plate/disc"]), ("bowl", ["square"])):
        with pytest.raises(LebenchError, match=r"cannot have the name '.*', which stands for '(round/disc|square)'"):
            shapes.register(name, object(), aliases=aliases)


def test_a_decorator_returns_its_object_unchanged(shapes):
    @shapes.register("triangle")
    class Triangle:
        """Three corners."""

    assert shapes.get("triangle") is Triangle
    assert shapes.item("triangle").summary == "Three corners"


def test_a_version_is_kept_and_checked(shapes):
    shapes.register("hexagon", object(), version=3)
    assert (shapes.item("hexagon").version, shapes.item("square").version) == (3, 1)
    for version in (0, 1.5, "2", True):
        with pytest.raises(LebenchError, match="'heptagon': its version must be a whole number from 1"):
            shapes.register("heptagon", object(), version=version)


def test_whoever_raises_a_version_says_what_changed():
    """``version=2, history=(Change(2, "2026-12-01", "..."),)``: shown by ``lebench info NAME --versions``."""
    for kind, known in registry.REGISTRIES.items():
        for item in known.items():
            if item.source != "lebench":
                continue
            declared = known.get(item.name) if kind in ("task", "dataset") else item
            if kind not in ("task", "dataset"):
                known.get(item.name)
                declared = known.item(item.name)
            history = getattr(declared, "history", ())
            version = getattr(declared, "version", 1)
            assert [change.version for change in history] == list(range(2, version + 1)), item.name
            assert all(date.fromisoformat(change.date) and change.what for change in history)


def test_what_raised_a_version_is_kept(shapes):
    change = Change(2, "2026-12-01", "twice as round")
    shapes.register("octagon", object(), version=2, history=[change])
    assert shapes.item("octagon").history == (change,)


def test_an_index_has_versions_too():
    entry = {"summary": "", "tags": [], "target": "nowhere"}
    known = Registry("shape", index={"a": entry | {"version": 4}, "b": entry})
    assert [item.version for item in known.items()] == [4, 1]


def test_what_is_asked_for_is_collected(shapes):
    shapes.get("square")
    with shapes.watched() as asked:
        shapes.get("round/circle")
        shapes.item("square")
    shapes.get("round/ellipse")
    assert asked == {"round/circle"}


def test_a_lazy_name_is_imported_on_first_use():
    lazy = Registry("thing", index={"ordered": {"summary": "", "tags": [], "target": "collections:OrderedDict"}})
    from collections import OrderedDict

    assert lazy.get("ordered") is OrderedDict


def test_a_builtin_name_cannot_be_registered_by_somebody_else():
    with pytest.raises(LebenchError, match="already registered by lebench"):
        registry.models.register("mlp", object())


def test_entry_points_are_found_and_a_broken_one_leaves_the_rest(monkeypatch, tmp_path):
    (tmp_path / "good_shapes.py").write_text('class Blob:\n    """A blob."""\n')
    (tmp_path / "bad_shapes.py").write_text("import a_module_that_is_not_there\n")
    info = tmp_path / "blobs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: blobs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        textwrap.dedent("""\
        [lebench.shapes]
        blob = good_shapes:Blob
        broken = bad_shapes:Blob
        """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert any(point.name == "blob" for point in metadata.entry_points(group="lebench.shapes"))
    monkeypatch.setattr("lebench.registering.read_index", dict)
    shapes = Registry("shape")
    assert shapes.names() == ["blob", "broken"]
    assert shapes.get("blob").__name__ == "Blob"
    with pytest.raises(LebenchError, match=r"'broken' of blobs cannot be loaded: ModuleNotFoundError"):
        shapes.get("broken")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fresh = Registry("shape")
        assert fresh.select(["b*"]) == ["blob", "broken"]
    assert ["broken" in str(w.message) for w in caught] == [True]


def test_a_plugin_file_registers_once(tmp_path):
    plugin = tmp_path / "extra_dataset.py"
    plugin.write_text("from lebench import registry\nregistry.datasets.register('extra', object(), summary='More')\n")
    registry.load_plugin(plugin)
    registry.load_plugin(plugin)
    assert registry.datasets.item("extra").summary == "More"
