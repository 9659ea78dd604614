"""Scores of hostile recordings: they end at a limit, are named in one line, and the next is computed all the same."""

import sys
from pathlib import Path

import numpy as np
import pytest

from lebench import registry
from lebench.runner.recording import Recorder
from lebench.runner.rescoring import Limits, Rescorer, RescoringError
from lebench.tasks.base import Fit

GREEDY = Path(__file__).with_name("greedy.py")
#: Numbers of a recording in one answer, about as many as one may have.
MANY = 500_000


class Answering:
    """A model that predicts an array whatever it is asked."""

    def __init__(self, answer):
        self.answer = answer

    def predict(self, x):
        return self.answer


@pytest.fixture(scope="module")
def greedy():
    """The task of the plug-in, which the other process has to load by itself."""
    registry.load_plugin(GREEDY)
    return registry.tasks.get("greedy/pairs")


@pytest.fixture(scope="module")
def recording():
    """A function that returns what would be recorded of a model that predicts an array."""
    split = registry.datasets.get("digits").split(0)

    def recording(answer):
        recorder = Recorder()
        (fit,) = recorder.fits({"default": Fit(split, Answering(answer), 0)}).values()
        fit.fitted.predict(split.x_test)
        arrays = recorder.arrays()
        assert arrays, recorder.gap
        return arrays

    return recording


@pytest.fixture
def honest(recording):
    """Half of these predictions are right, as the task sees it."""
    return recording(np.array([[1.0], [0.0]]))


def test_a_recording_is_scored_by_a_process_of_its_own(greedy, recording, honest):
    with Rescorer() as rescorer:
        assert rescorer.score(greedy, 0, honest) == {"accuracy": 0.5}
        with pytest.raises(RescoringError, match="the score fails: the score asks what the recording has no answer to"):
            rescorer.score(greedy, 1, honest)
        with pytest.raises(RescoringError, match="the score fails: there is no recording"):
            rescorer.score(greedy, 0, {})
        assert rescorer.score(registry.tasks.get("greedy/pairs"), 0, honest) == {"accuracy": 0.5}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(
            np.ones((MANY, 1)),
            "the score takes more than 2 GiB of memory, the limit",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory"),
            id="memory",
        ),
        pytest.param(np.ones(MANY), "the score takes more than 3 CPU seconds, the limit for a record", id="time"),
        pytest.param(np.ones((1, 1, 1)), "the score fails: the worker crashed (SIGABRT)", id="crash"),
    ],
)
def test_a_hostile_recording_ends_at_a_limit_and_the_next_is_scored(greedy, recording, honest, answer, message):
    with Rescorer(Limits(record_s=3)) as rescorer:
        with pytest.raises(RescoringError) as found:
            rescorer.score(greedy, 0, recording(answer))
        assert str(found.value) == message
        assert rescorer.score(greedy, 0, honest) == {"accuracy": 0.5}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory")
def test_the_limit_is_on_memory_not_on_what_the_machine_has(greedy, recording):
    # The products of 8,000 numbers take 512 MB, which the machine has.
    large = recording(np.ones((8_000, 1)))
    with Rescorer(Limits(memory_bytes=2**30)) as rescorer:
        assert rescorer.score(greedy, 0, large) == {"accuracy": 1.0}
    with (
        Rescorer(Limits(memory_bytes=2**29)) as rescorer,
        pytest.raises(RescoringError, match=r"more than 0\.5 GiB of memory, the limit"),
    ):
        rescorer.score(greedy, 0, large)


def test_what_all_scores_of_an_entry_may_take_is_limited_too(greedy, recording, honest):
    slow = recording(np.ones(MANY))
    with Rescorer(Limits(record_s=3, entry_s=4)) as rescorer:
        with pytest.raises(RescoringError, match="more than 3 CPU seconds, the limit for a record"):
            rescorer.score(greedy, 0, slow)
        with pytest.raises(RescoringError, match="more than 1 CPU seconds, the limit for an entry"):
            rescorer.score(greedy, 0, slow)
        with pytest.raises(RescoringError, match="is not computed again: scores before it took 4 CPU seconds"):
            rescorer.score(greedy, 0, honest)
