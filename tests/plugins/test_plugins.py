"""Plug-ins: files, packages and modules, each with what it imports, known by what they hold."""

import sys

import pytest

from lebench import plugins, registry
from lebench.errors import LebenchError

MODEL = """
from lebench import registry
registry.models.register({name}, lambda: None, summary="A model")
"""


@pytest.fixture
def written(tmp_path, own_registries):
    """A function that writes files below a folder and returns that."""

    def write(files, under="plugin"):
        for name, text in files.items():
            (tmp_path / under / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / under / name).write_text(text)
        return tmp_path / under

    return write


def digest_of(path):
    registry.load_plugin(path)
    return plugins.as_loaded(plugins.find(path)).digest


HELPED = {
    "mine.py": "import helper\nimport parts.deep\nfrom helper import NAME\nfrom . import helper as again\n"
    "assert again is helper and parts.deep.NAME == NAME" + MODEL.format(name="NAME"),
    "helper.py": "NAME = 'helped'",
    "parts/deep.py": "from helper import NAME",
    "unrelated.py": "raise RuntimeError",
}


def test_a_file_imports_what_stands_beside_it_and_two_of_one_name_do_not_meet(written):
    first = written(HELPED)
    second = written({**HELPED, "helper.py": "NAME = 'helped too'"}, "other")
    registry.load_plugin(first / "mine.py")
    registry.load_plugin(second / "mine.py")
    assert {"helped", "helped too"} <= set(registry.models.names())
    assert registry.models.item("helped").source == str(first / "mine.py")
    assert "helper" not in sys.modules
    assert list(plugins.find(first / "mine.py").closure()) == ["helper.py", "mine.py", "parts/deep.py"]


def test_the_identity_is_the_content_of_what_is_imported_and_of_nothing_else(written):
    before = digest_of(written(HELPED) / "mine.py")
    assert digest_of(written({"unrelated.py": "1"}) / "mine.py") == before
    assert plugins.digest(plugins.find(written(HELPED, "copy") / "mine.py")) == before
    assert digest_of(written({"parts/deep.py": "from helper import NAME  #"}) / "mine.py") != before


@pytest.mark.parametrize(
    "mention",
    [
        "def later():\n    import late",
        "def later():\n    from . import late",
        "import importlib\nimportlib.import_module('.late', __package__)",
        "import importlib\nname = 'la'\nimportlib.import_module(f'{__package__}.{name}te')",
        "from importlib.util import spec_from_file_location\nfrom pathlib import Path\n"
        "spec_from_file_location('late', Path(__file__).with_name('late.py'))",
    ],
)
def test_imports_are_found_wherever_they_are(written, mention):
    folder = written({"mine.py": mention, "late.py": "V = 1"})
    before = digest_of(folder / "mine.py")
    (folder / "late.py").write_text("V = 2")
    assert digest_of(folder / "mine.py") != before


def test_the_name_of_a_file_that_stands_alone_does_not_count(written):
    assert digest_of(written({"mine.py": "V = 1"}) / "mine.py") == digest_of(
        written({"plugin.py": "V = 1"}) / "plugin.py"
    )


def test_a_plugin_that_changed_is_loaded_again_with_its_helper(written):
    folder = written(HELPED)
    registry.load_plugin(folder / "mine.py")
    (folder / "helper.py").write_text("NAME = 'renamed'")
    registry.load_plugin(folder / "mine.py")
    assert "renamed" in registry.models
    assert "helped" not in registry.models


def test_a_plugin_that_changed_since_it_was_planned_is_refused(written):
    folder = written(HELPED)
    registry.load_plugin(folder / "mine.py")
    planned = plugins.as_loaded(plugins.find(folder / "mine.py"))
    registry.load_plugin(planned)
    (folder / "helper.py").write_text("NAME = 'renamed'")
    with pytest.raises(LebenchError, match="has changed while the run went on"):
        registry.load_plugin(planned)


PACKAGE = {
    "pack/__init__.py": "from . import models",
    "pack/models.py": "from pack.sub.names import NAME\nimport pack.sub.names\n__lebench_data__ = ['w.bin']\n"
    "assert pack.sub.names.NAME" + MODEL.format(name="NAME"),
    "pack/sub/__init__.py": "",
    "pack/sub/names.py": "from ..other import NAME",
    "pack/other.py": "NAME = 'packed'",
    "pack/w.bin": "0",
}


@pytest.mark.parametrize("given", ["pack", "pack/models.py"])
def test_a_package_is_its_folder_with_the_data_that_it_declares(written, given):
    folder = written(PACKAGE)
    before = digest_of(folder / given)
    assert "packed" in registry.models
    assert list(plugins.find(folder / given).closure()) == sorted(PACKAGE)
    (folder / "pack/w.bin").write_text("1")
    assert plugins.digest(plugins.find(folder / given)) != before


def test_a_module_is_given_by_its_name(written, monkeypatch):
    monkeypatch.chdir(written({**PACKAGE, "single.py": "from beside import V", "beside.py": "V = 1"}))
    before = digest_of("single")
    assert plugins.find("pack.models").file.name == "models.py"
    monkeypatch.syspath_prepend(".")
    monkeypatch.delitem(sys.modules, "beside", raising=False)
    assert not plugins.find("single").by_path
    assert digest_of("single") == before
    for name in ("single", "beside"):
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize(
    ("files", "given", "said"),
    [
        ({}, "none.py", "is not a file, a package folder or a module that can be imported"),
        ({}, "no.such.module", "is not a file, a package folder or a module"),
        ({"mine.txt": ""}, "mine.txt", "its name must end in .py"),
        ({"one.py": ""}, ".", r"is a folder without __init__\.py: .* \(one\.py\)"),
        ({"mine.py": "def (:"}, "mine.py", "mine.py line 1 is not Python"),
        ({"mine.py": "1 / 0"}, "mine.py", "fails to import: ZeroDivisionError"),
        ({"mine.py": "import sys; sys.exit()"}, "mine.py", "fails to import: SystemExit"),
        ({"mine.py": "from . import nothing"}, "mine.py", "fails to import: ImportError"),
        ({"mine.py": "__lebench_data__ = ['w.npz']; 1 / 0"}, "mine.py", "'w.npz' that mine.py declares is not there"),
        ({"mine.py": "__lebench_data__ = ['d']", "d/w": ""}, "mine.py", "is a folder; name its files"),
        ({"mine.py": "__lebench_data__ = ['../w']"}, "mine.py", "lies outside of plugin/"),
        ({"mine.py": "__lebench_data__ = [str(1)]"}, "mine.py", "must be a list of file names, written out"),
    ],
)
def test_what_is_no_plugin_is_said(written, files, given, said):
    folder = written({"a": "", **files})
    with pytest.raises(LebenchError, match=said):
        registry.load_plugin(folder / given if "." in given and given != "no.such.module" else given)


def test_what_a_broken_plugin_registered_is_forgotten(written):
    folder = written({"mine.py": MODEL.format(name="'mine'") + "1 / 0"})
    with pytest.raises(LebenchError, match="ZeroDivisionError"):
        registry.load_plugin(folder / "mine.py")
    assert "mine" not in registry.models
    (folder / "mine.py").write_text(MODEL.format(name="'mine'"))
    registry.load_plugin(folder / "mine.py")
    assert "mine" in registry.models
