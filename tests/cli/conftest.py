import sys

import pytest

from lebench import registry
from lebench.cli import main
from lebench.runner.execution import execute
from lebench.runner.plan import make_plan
from lebench.runner.store import Store


@pytest.fixture
def lebench(capsys, monkeypatch, plugins_forgotten):
    """Run the command line in this process; return exit code, output and errors."""
    before = {kind: set(known.names()) for kind, known in registry.REGISTRIES.items()}

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["lebench", *map(str, args)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    yield run
    # What a plug-in registered must not be there for the next test.
    for kind, known in registry.REGISTRIES.items():
        for name in set(known.names()) - before[kind]:
            del known._items[name], known._objects[name]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder of real records of three models, one of them a control."""
    store = Store(tmp_path_factory.mktemp("run") / "results")
    models = ["knn", "logistic-regression", "random-features"]
    execute(make_plan(["digits/accuracy", "digits/small-n"], models, [0, 1, 2]), store, jobs=1)
    return store.folder


@pytest.fixture
def submit(lebench, results):
    """Run ``lebench submit`` on these records."""
    return lambda *args: lebench("submit", results, *args)
