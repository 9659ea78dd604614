"""The table of known answers is true: every test, task and metric that it names exists, and no entry is missing."""

import re
from pathlib import Path

import pytest

from lebench import registry

TESTS = Path(__file__).parent
ROWS = re.findall(r"^\| ([A-Z]+-\d+|\d+(?:\.\d+)?) \|(.*)$", (TESTS / "known_answers.md").read_text(), re.MULTILINE)
#: How many entries each family of the catalogue has.
FAMILIES = {"LE": 5, "LA": 7, "ST": 4, "SDE": 5, "NR": 4, "NB": 4, "AZ": 3, "BN": 4, "NC": 5, "GM": 5, "KD": 6}


def test_every_entry_of_the_catalogue_has_one_row():
    expected = [f"{family}-{number}" for family, size in FAMILIES.items() for number in range(1, size + 1)]
    assert len(expected) == 52
    assert [name for name, _ in ROWS if "-" in name] == expected


@pytest.mark.parametrize(("name", "row"), ROWS, ids=[name for name, _ in ROWS])
def test_what_checks_an_answer_exists(name, row):
    named = re.findall(r"`([\w/.-]+)::(\w+)`", row)
    for path, function in named:
        assert re.search(rf"^def {function}\(", (TESTS / path).read_text(), re.MULTILINE), f"{path}::{function}"
    tasks = re.findall(r"`([a-z0-9-]+/[a-z0-9-]+)`", row)
    assert set(tasks) <= set(registry.tasks.names())
    metrics = row.partition("calibrated")[2].partition(";")[0]
    for metric in re.findall(r"`(\w+)`", metrics):
        assert registry.metrics.get(metric).known_answers
    assert named or metrics
