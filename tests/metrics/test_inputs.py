"""Bad input: one clear line, whichever metric is asked."""

import numpy as np
import pytest

from lebench import metrics
from lebench.errors import DataError

GOOD = {"features": np.eye(4)[[0, 1, 0, 1]], "labels": np.array([0, 1, 0, 1])}

BAD = [
    ({"labels": np.array([0, 1, 0])}, "3 labels for 4 points"),
    ({"labels": np.array([0, 0, 0, 0])}, "only one class"),
    ({"labels": np.array([0, 2, 0, 2])}, "class 1 of 3 has no points"),
    ({"labels": np.array([0, 1, -1, 1])}, "contain -1: integers 0 to C-1"),
    ({"labels": np.array([0.0, 1.0, 0.0, 1.0])}, "dtype float64: integers 0 to C-1"),
    ({"labels": np.array([[0, 1], [0, 1]])}, "one dimension"),
    ({"features": np.eye(4, dtype=int)}, "dtype int64: convert them to float32 or float64"),
    ({"features": np.eye(4, dtype=np.float16)}, "dtype float16: convert them to float32 or float64"),
    ({"features": np.eye(4, dtype=bool)}, "dtype bool"),
    ({"features": np.zeros(4)}, "2 dimensions are needed"),
    ({"features": np.zeros((0, 3)), "labels": np.zeros(0, dtype=int)}, "they are empty"),
    ({"features": np.full((4, 4), np.nan)}, "NaN or infinity"),
    ({"features": np.diag([np.inf, 1, -np.inf, 1])}, "NaN or infinity"),
    ({"classes": 3}, "class 2 of 3 has no points"),
    ({"labels": np.array([0, 1, 2, 1]), "classes": 2}, "contain 2, but there are 2 classes"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
@pytest.mark.parametrize("metric", ["nc1_pinv_over_C", "cdnv", "nc2_equinorm", "ncc_accuracy", "collapse", "gnc1"])
def test_features_and_labels_that_no_metric_can_use(metric, change, message):
    with pytest.raises(DataError, match=message):
        getattr(metrics, metric)(**{**GOOD, **change})


def test_an_error_is_one_line_and_a_value_error():
    with pytest.raises(ValueError) as caught:
        metrics.accuracy(np.eye(3), np.arange(2))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int32"])
def test_torch_and_jax_arrays_of_other_dtypes_are_refused(dtype):
    torch, jnp = pytest.importorskip("torch"), pytest.importorskip("jax.numpy")
    for array in (torch.eye(4, dtype=getattr(torch, dtype)), jnp.eye(4, dtype=getattr(jnp, dtype))):
        with pytest.raises(DataError, match="convert them to float32 or float64"):
            metrics.cdnv(array, GOOD["labels"])


def test_a_torch_tensor_that_needs_its_gradient_is_read():
    torch = pytest.importorskip("torch")
    scores = torch.eye(3, requires_grad=True)
    assert metrics.accuracy(scores, torch.arange(3)) == 1


def test_integers_of_any_width_are_labels():
    for dtype in (np.int8, np.uint8, np.int32, np.uint64):
        assert metrics.accuracy(np.eye(3), np.arange(3, dtype=dtype)) == 1


def test_inputs_are_left_as_they_are():
    rng = np.random.default_rng(0)
    features, labels, weights = rng.standard_normal((20, 3)), np.arange(20) % 2, rng.standard_normal((2, 3))
    copies = features.copy(), labels.copy(), weights.copy()
    metrics.collapse(features, labels, weights)
    for array, copy in zip((features, labels, weights), copies, strict=True):
        np.testing.assert_array_equal(array, copy)
