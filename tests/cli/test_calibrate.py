"""``lebench calibrate``: the table of known answers, and the exit code for one that is out of tolerance."""

import json


def test_calibrate_passes_and_an_altered_metric_does_not(lebench, tmp_path):
    code, out, _ = lebench("calibrate", "nc1_quotient", "--json")
    assert code == 0
    assert {result["dtype"] for result in json.loads(out)} == {"float64", "float32"}

    plugin = tmp_path / "altered.py"
    plugin.write_text(ALTERED)
    code, out, _ = lebench("calibrate", "altered_mean", "--plugin", plugin)
    assert code == 1
    assert "out of tolerance: altered_mean, two numbers, numpy float64: 2.0 instead of 1.5" in out


ALTERED = '''
import numpy as np
from lebench import metric
from lebench.metrics.base import KnownAnswer


@metric(
    symbol="m", equation="m", source="a test", direction="none",
    known_answers=(KnownAnswer("two numbers", lambda: {"x": np.array([1.0, 2.0])}, 1.5, "their mean"),),
)
def altered_mean(x):
    """A mean that is off."""
    return float(x[-1])
'''
