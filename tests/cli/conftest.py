import sys

import pytest

from lebench import registry
from lebench.cli import main


@pytest.fixture
def lebench(capsys, monkeypatch):
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
