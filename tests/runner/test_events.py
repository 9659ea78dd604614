"""Events as messages: what comes out is what went in, and what is none is refused."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lebench.runner.channel import DamagedError
from lebench.runner.events import CellEnded, CellStarted, FitDone, FitProgress, FitStarted, decode, encode
from lebench.runner.plan import make_plan
from lebench.runner.results import Origin, make_result


@pytest.fixture(scope="module")
def job():
    (job,) = make_plan(["digits/accuracy", "digits/small-n"], ["constant"], [0]).jobs
    return job


def test_events_arrive_as_they_were_sent(job):
    first, second = job.cells
    result = make_result(second, Origin.here("lebench run"), 0.0, "failed", "bad \udcff", "log", arrays=b"\xff\x00")
    sent = [
        CellStarted(job, second, clean=False),
        FitStarted(job, first, "n=50"),
        FitDone(job, first, "n=50", 1.5, 0.1 + 0.2),
        FitProgress(job, {"loss": math.inf}),
        CellEnded(job, second, result),
    ]
    assert [decode(job, encode(event)) for event in sent] == sent
    unknown = decode(job, encode(FitProgress(job, {"loss": math.nan})))
    assert math.isnan(unknown.values["loss"])


def test_result_of_another_cell_is_refused(job):
    first, second = job.cells
    message = json.loads(encode(CellEnded(job, first, make_result(first, Origin.here(""), 0.0))))
    message["cell"] = 1
    with pytest.raises(DamagedError):
        decode(job, json.dumps(message).encode())
    del message["result"]
    with pytest.raises(DamagedError):
        decode(job, json.dumps(message).encode())
    assert second.cell != first.cell


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_LIKELY = st.fixed_dictionaries(
    {"event": st.sampled_from(["CellStarted", "FitStarted", "FitDone", "CellEnded", "RunStarted", "type"])},
    optional=dict.fromkeys(("cell", "clean", "variant", "values", "wall_s", "result", "other"), _ANYTHING),
)


@given(content=st.binary() | _ANYTHING.map(json.dumps).map(str.encode) | _LIKELY.map(json.dumps).map(str.encode))
def test_what_is_no_event_is_refused_and_raises_nothing_else(job, content):
    try:
        event = decode(job, content)
    except DamagedError:
        return
    assert type(event).__name__ == json.loads(content)["event"]
