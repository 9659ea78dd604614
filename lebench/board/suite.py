"""The core suite as it was released: which tasks rank, and the anchors of their scores.

Which tasks are in it stands in their declarations; this file of numbers is frozen with the suite's version and made by
``benchmarks/suite_reliability.py``, from the records of the reference models it names.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from lebench.records import Document

_FILE = Path(__file__).with_name("core.json")


class CoreTask(Document):
    """What is frozen of a task.

    Attributes
    ----------
    track : str
        Where it ranks.
    version : int
        Of the task.
    centre, scale : float
        Median, and interquartile range over 1.349, of the reference models' means, in the unit of the task's primary
        value, with its sign changed where less is better.
    reliability : float
        Share of the variance of bounded scores between the reference models that is not noise of seeds.
    """

    track: str
    version: int
    centre: float
    scale: float
    reliability: float


class Suite(Document):
    """A release of the core suite.

    Attributes
    ----------
    version : int
        Raised when tasks or anchors change; ranks of two versions are not comparable.
    seeds : int
        Seeds that a model is asked to run.
    minimum_seeds : int
        Seeds of every task that a rank needs.
    reliability : float
        What a task must have at least.
    references : list of str
        Entries whose records the anchors are from.
    tasks : dict
        By name.
    left_out : dict of str to float
        Reliability of tasks that were measured and are not in the suite.
    """

    version: int
    seeds: int
    minimum_seeds: int
    reliability: float
    references: list[str]
    tasks: dict[str, CoreTask]
    left_out: dict[str, float]


@cache
def core_suite() -> Suite:
    """Return the core suite of this version of lebench."""
    return Suite.model_validate_json(_FILE.read_bytes())


def write_suite(suite: Suite, path: Path = _FILE) -> None:
    """Write a new release."""
    path.write_text(suite.model_dump_json(indent=1) + "\n", encoding="utf-8")
    core_suite.cache_clear()
