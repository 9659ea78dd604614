"""Every known answer on every array library, and what the calibration says when one is wrong."""

import importlib.util
import json

import numpy as np
import pytest

from lebench import registry
from lebench.calibrate import LIBRARIES, calibrate, check
from lebench.errors import ParameterError, UnknownNameError
from lebench.metrics.base import KnownAnswer, Metric

INSTALLED = [name for name in LIBRARIES if importlib.util.find_spec(name)]


def wrong(function, rtol=1e-12):
    answer = KnownAnswer("one point", lambda: {"x": np.array([3.0])}, 3.0, "by construction", rtol=rtol)
    return Metric("wrong", "w", "w", "a test", "none", (0.0, 9.0), "1", (), (answer,), function, "Wrong"), answer


@pytest.mark.parametrize("library", INSTALLED)
def test_every_metric_gives_its_known_answers(library):
    results = calibrate(backends=[library])
    assert [result for result in results if not result["ok"]] == []
    assert {result["metric"] for result in results} == set(registry.metrics.names())
    assert {result["dtype"] for result in results} == {"float32", "float64"}
    json.dumps(results, allow_nan=False)


def test_selection():
    results = calibrate(["nc2_*"], ["numpy"])
    assert {result["metric"] for result in results} == {
        "nc2_equiangular",
        "nc2_equiangular_weights",
        "nc2_equinorm",
        "nc2_equinorm_weights",
        "nc2_weights",
    }
    with pytest.raises(UnknownNameError, match="did you mean"):
        calibrate(["acuracy"])
    with pytest.raises(ParameterError, match="cupy"):
        calibrate(["accuracy"], ["cupy"])


@pytest.mark.parametrize("library", INSTALLED)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_metric_gets_arrays_of_the_library_and_dtype(library, dtype):
    seen = []
    metric, answer = wrong(lambda x: seen.append(x) or float(x[0]))
    assert check(metric, answer, library, dtype)["ok"]
    assert type(seen[0]).__module__.split(".")[0].startswith(library[:3])
    assert str(seen[0].dtype).removeprefix("torch.") == dtype


@pytest.mark.parametrize("library", INSTALLED)
def test_the_arrays_of_a_list_are_of_the_library_and_dtype(library):
    seen = []
    metric, _ = wrong(lambda x: seen.extend(x) or float(x[1][0]))
    answer = KnownAnswer("two points", lambda: {"x": [np.array([2.0]), np.array([3.0])]}, 3.0, "by construction")
    assert check(metric, answer, library, "float32")["ok"]
    assert [type(array).__module__.split(".")[0][:3] for array in seen] == [library[:3]] * 2
    assert {str(array.dtype).removeprefix("torch.") for array in seen} == {"float32"}


def test_a_wrong_metric_is_out():
    metric, answer = wrong(lambda x: float(x[0]) + 1e-6)
    result = check(metric, answer)
    assert not result["ok"]
    assert result["deviation"] == pytest.approx(1e-6)
    assert result["tolerance"] == pytest.approx(3e-12, rel=1e-2)
    # float32 cannot tell 3 from 3.000001 by more than its rounding, scaled like the tolerance in float64.
    assert check(metric, answer, dtype="float32")["ok"]


def test_a_metric_that_fails_or_gives_nan_is_out_with_the_reason():
    for function, reason in ((lambda x: 1 / 0, "ZeroDivisionError"), (lambda x: float("nan"), "the value is nan")):
        result = check(*wrong(function))
        assert not result["ok"]
        assert result["value"] is None
        assert reason in result["reason"]
