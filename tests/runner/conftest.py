from pathlib import Path

import pytest

from lebench.runner.plan import make_plan
from lebench.runner.store import Store

TOY = Path(__file__).with_name("toy.py")


class Workshop:
    """A results folder and a diary of fits, with what the tests ask of them."""

    def __init__(self, folder):
        self.diary = folder / "diary"
        self.folder = folder / "results"
        self.store = Store(self.folder)

    def spec(self, **parameters):
        parts = [f"diary={self.diary}", *(f"{name}={value}" for name, value in parameters.items())]
        return f"toy[{','.join(parts)}]"

    def plan(self, *tasks, seeds=(0,), model=None, **parameters):
        return make_plan(tasks or ["toy/accuracy"], [model or self.spec(**parameters)], seeds, plugins=[TOY])

    def fits(self):
        """Return (process, seed, training points) of each fit so far."""
        lines = self.diary.read_text().splitlines() if self.diary.exists() else []
        return [tuple(int(word) for word in line.split()) for line in lines]

    def lines(self):
        """Return the lines of all files of records."""
        return [line for path in self.folder.glob("records/*.jsonl") for line in path.read_text().splitlines()]


@pytest.fixture
def workshop(tmp_path):
    return Workshop(tmp_path)


@pytest.fixture(autouse=True)
def _toys_forgotten(plugins_forgotten):
    """Other tests choose among all that is registered, and know nothing of toys."""
