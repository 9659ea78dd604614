"""The calibration page: of metrics that are right, of one that is wrong, and without a library."""

import re
from importlib.metadata import version

import numpy as np
import pytest

from lebench import calibrate, registry
from lebench.metrics.base import KnownAnswer, Metric
from lebench.registry import Registry
from lebench.site import calibration


@pytest.fixture
def ruler(monkeypatch):
    """A catalogue of two metrics, one of which is wrong in float32 and fails on one of its answers; NumPy only."""

    def mean(x):
        return float(np.mean(x))

    def third(x):
        return 1 / 3 if x.dtype == np.float64 and x[0] else 1 / int(x[0])

    answers = KnownAnswer("a <b>constant</b>", lambda: {"x": np.array([2.0])}, 2.0, "x & nothing else")
    thirds = (
        KnownAnswer("one", lambda: {"x": np.array([1.0])}, 1 / 3, "1/3"),
        KnownAnswer("zero", lambda: {"x": np.array([0.0])}, 1 / 3, "1/3"),
    )
    metrics = Registry("metric", index={})
    for function, known, tags in ((third, thirds, ("elasticity", "clustering")), (mean, (answers,), ("collapse",))):
        name = function.__name__
        metrics.register(
            name, Metric(name, "m", "m", "a test", "none", (0, 9), "1", (), known, function, "A test"), tags=tags
        )
    monkeypatch.setattr(registry, "metrics", metrics)
    monkeypatch.setattr(calibrate, "_installed", lambda library: library == "numpy")
    return [metrics.get(name) for name in metrics.names()]


def _rows(text):
    rows = re.findall(r"<tr>\n<th scope=\"row\">(.*?)</th>(.*?)</tr>", text, re.DOTALL)
    return {
        head.split("<span")[0]: [re.sub("<[^>]+>", " ", cell).strip() for cell in re.findall(r"<td.*?</td>", cells)]
        for head, cells in rows
    }


def test_tables_are_by_topic_in_the_order_of_the_tracks(ruler):
    text = calibration.page(ruler)
    assert re.findall(r"^## (.*)", text, re.MULTILINE) == ["Clustering", "Collapse"]
    assert re.findall(r'<a href="\.\./metrics/#(\w+)">', text) == ["third", "mean"]


def test_a_row_has_answer_state_deviation_and_tolerance_in_words(ruler):
    rows = _rows(calibration.page(ruler))
    # 1e-13 x 2 + 1e-14 in float64; 2^29 times that in float32, whose epsilon is that much larger.
    assert rows["a &lt;b&gt;constant&lt;/b&gt;"] == ["2", "ok", "0", "0", "2×10⁻¹³, 1×10⁻⁴"]
    assert rows["one"] == ["0.333333", "out NumPy float32: 1.0", "0", "0.7 out", "4×10⁻¹⁴, 2×10⁻⁵"]
    assert rows["zero"][2:] == ["no value out", "no value out", "4×10⁻¹⁴, 2×10⁻⁵"]
    assert rows["zero"][1].startswith("out NumPy float64: ZeroDivisionError: ")


def test_the_page_counts_checks_and_names_versions_and_what_is_missing(ruler):
    text = calibration.page(ruler)
    assert f"3 known answers of 2 metrics in float64 and float32, on NumPy {version('numpy')}: " in text
    assert "<strong>6 checks, 3 out of tolerance</strong>" in text
    assert "torch and JAX were not installed where this page was built, so their columns are missing." in text
    assert "<b>" not in text


def test_all_is_well_with_the_real_ruler(monkeypatch):
    monkeypatch.setattr(calibrate, "_installed", lambda library: library == "numpy")
    metrics = [registry.metrics.get(name) for name in registry.metrics.names()]
    text = calibration.page(metrics)
    answers = sum(len(metric.known_answers) for metric in metrics)
    # In float64 and float32; those of metrics that are invariant to scale in two other units as well.
    scaled = sum(len(metric.known_answers) for metric in metrics if "scale" in metric.invariant_to)
    assert f"<strong>{2 * answers + 4 * scaled} checks, all within tolerance</strong>" in text
    assert text.count("<td>ok</td>") == text.count('<th scope="row">') == answers
    assert "le-out" not in text
