"""Records that could be true, of a model that was never fitted: what is wrong with them is what a test puts in."""

import pytest

from lebench.board import EntryInfo
from lebench.records import Cost, Environment, Record, RunInfo, Source
from lebench.runner.plan import make_plan

COULD_BE_TRUE = {
    "accuracy": 441 / 450,
    "error": 9 / 450,
    "log_loss": 0.1,
    "brier": 0.04,
    "expected_calibration_error": 0.01,
    "generalization_gap": 0.01,
}
MACHINE = Environment(
    lebench="0.1.0",
    python="3.11.7",
    packages={"numpy": "2.4.6"},
    os="Linux",
    cpu="two cores",
    gpu=None,
    threads=1,
)


@pytest.fixture(scope="session")
def claimed():
    """Two records as a run of this version would plan them, with planted values."""
    return [
        Record(
            schema=2,
            cell=planned.cell,
            track=planned.track,
            label=planned.label,
            status="ok",
            metrics=COULD_BE_TRUE,
            cost=Cost(fit_s=2.0, score_s=0.1, cpu_s=2.2, peak_memory_bytes=300_000_000, fits=1),
            environment=MACHINE,
            source=Source(commit="0" * 40, dirty=False),
            run=RunInfo(
                started="2026-01-01T00:00:00+00:00", finished="2026-01-01T00:00:03+00:00", command="lebench run -m knn"
            ),
        ).sealed()
        for planned in make_plan(["digits/accuracy"], ["knn"], [0, 1]).cells
    ]


@pytest.fixture(scope="session")
def described():
    """The description of their entry."""
    return EntryInfo(name="mine", model="knn", authors=["A"], lebench="0.1.0", command="lebench run --model knn")
