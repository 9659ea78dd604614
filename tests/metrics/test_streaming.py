"""Collapse of batches equals collapse of all points at once."""

import numpy as np
import pytest

from lebench import metrics
from lebench.errors import DataError
from lebench.metrics.planted import isotropic_clusters, simplex_frame


def planted(classes=4, p=9, n=200):
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.r_[np.arange(classes), np.arange(classes), rng.integers(0, classes, n)])
    features = 2 * rng.standard_normal((classes, p))[labels] + 1 + rng.standard_normal((len(labels), p))
    return features, labels, rng.standard_normal((classes, p)), rng.standard_normal(classes)


def split(features, labels, batch):
    return [(features[start : start + batch], labels[start : start + batch]) for start in range(0, len(labels), batch)]


@pytest.mark.parametrize("batch", [1, 7, 64, 1000])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_stream_gives_the_same(batch, dtype):
    h, y, w, b = planted()
    h = h.astype(dtype)
    means = metrics.class_means(h, y)
    stream = metrics.CollapseAccumulator(4, w, b, means=means)
    for start in range(0, len(h), batch):
        stream.update(h[start : start + batch], y[start : start + batch])
    np.testing.assert_allclose(stream.class_means, means, rtol=1e-12)
    whole, streamed = metrics.collapse(h, y, w, b), stream.result()
    assert whole.keys() == streamed.keys()
    for name, value in whole.items():
        assert streamed[name] == pytest.approx(value, rel=1e-11 if dtype is np.float64 else 1e-6), name


def test_a_stream_of_collapsed_features_far_from_the_origin_does_not_cancel():
    features, labels = isotropic_clusters(simplex_frame(4, 6), 1e-6)
    stream = metrics.CollapseAccumulator(4)
    for start in range(0, len(features), 5):
        stream.update(features[start : start + 5] + 100, labels[start : start + 5])
    # s^2 (C-1)^2/(C rho^2); adding 100 alone costs 1e-14/1e-6 of the deviations.
    assert stream.result()["nc1_pinv_over_C"] == pytest.approx(1e-12 * 9 / 4, rel=1e-7)


def test_what_a_stream_refuses():
    stream = metrics.CollapseAccumulator(3)
    with pytest.raises(DataError, match="no features were added"):
        stream.result()
    stream.update(np.eye(3)[:2], np.array([0, 1]))
    with pytest.raises(DataError, match="class 2 of 3 has no points"):
        stream.result()
    with pytest.raises(DataError, match="5 dimensions, those before had 3"):
        stream.update(np.ones((1, 5)), np.array([2]))
    with pytest.raises(DataError, match="NaN"):
        stream.update(np.full((1, 3), np.nan), np.array([2]))
    stream.update(np.eye(3)[2:], np.array([2]))
    assert "second accumulator" in stream.result()["ncc_accuracy"].reason
    with pytest.raises(DataError, match="weights have shape"):
        metrics.CollapseAccumulator(3, np.ones((3, 4))).update(np.eye(3), np.arange(3))


def agree(values, expected, rel=1e-11):
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, rel=rel), name


@pytest.mark.parametrize(("classes", "p"), [(4, 9), (12, 5), (300, 40)])
@pytest.mark.parametrize("batch", [1, 64, 700])
def test_two_passes_give_the_same_for_any_number_of_classes(classes, p, batch):
    h, y, w, b = planted(classes, p)
    agree(metrics.collapse_stream(split(h, y, batch), classes, w, b), metrics.collapse(h, y, w, b), rel=1e-9)


def test_more_rows_than_a_block_holds():
    h, y, w, b = planted(30, 20, 9000)
    stream = metrics.CollapseAccumulator(30, w, b, means=metrics.class_means(h, y))
    for batch in split(h, y, 5000):
        stream.update(*batch)
    expected = metrics.collapse(h, y, w, b)
    agree(stream.result(), expected)
    agree(metrics.collapse_stream(split(h, y, 5000), 30, w, b), expected)


def test_two_passes_over_collapsed_features_far_from_the_origin_do_not_cancel():
    features, labels = isotropic_clusters(simplex_frame(4, 6), 1e-6)
    values = metrics.collapse_stream(split(features + 100, labels, 5), 4)
    assert values["nc1_pinv_over_C"] == pytest.approx(1e-12 * 9 / 4, rel=1e-7)


def test_float32_batches_are_summed_in_float64():
    h, y, w, b = planted()
    h = h.astype(np.float32)
    agree(metrics.collapse_stream(split(h, y, 7), 4, w, b), metrics.collapse(h.astype(np.float64), y, w, b))


def test_the_order_may_differ_between_the_passes_and_the_points_may_not():
    h, y, _, _ = planted()
    rng = np.random.default_rng(0)

    def shuffled():
        order = rng.permutation(len(y))
        return split(h[order], y[order], 16)

    agree(metrics.collapse_stream(shuffled, 4), metrics.collapse_stream(split(h, y, 16), 4), rel=1e-12)
    with pytest.raises(DataError, match="augmentation"):
        metrics.collapse_stream(lambda: split(h + rng.standard_normal(h.shape), y, 16), 4)
    with pytest.raises(DataError, match="208 points and the second 0"):
        metrics.collapse_stream(iter(split(h, y, 16)), 4)


def test_what_two_passes_refuse():
    h, y, w, _ = planted()
    with pytest.raises(DataError, match="no batches"):
        metrics.collapse_stream([], 4)
    with pytest.raises(DataError, match="class 4 of 5 has no points"):
        metrics.collapse_stream(split(h, y, 16), 5)
    with pytest.raises(DataError, match="weights have shape"):
        metrics.collapse_stream(split(h, y, 16), 4, w[:, 1:])
    h[3] = np.nan
    with pytest.raises(DataError, match="NaN"):
        metrics.collapse_stream(split(h, y, 16), 4)


def test_a_file_of_features_is_read_block_by_block(tmp_path):
    h, y, w, b = planted()
    np.save(tmp_path / "features.npy", h)
    agree(metrics.collapse(np.load(tmp_path / "features.npy", mmap_mode="r"), y, w, b), metrics.collapse(h, y, w, b), 0)


@pytest.mark.parametrize("factor", [2.0**-500, 2.0**500])
def test_streams_of_huge_and_tiny_features(factor):
    h, y, w, b = planted()
    expected = metrics.collapse(h, y, w, b)
    expected["nc3_bias"] *= factor
    batches = split(h * factor, y, 7)
    agree(metrics.collapse_stream(batches, 4, w, b * factor), expected)
    stream = metrics.CollapseAccumulator(4, w, b * factor, means=metrics.class_means(h, y) * factor)
    for batch in batches:
        stream.update(*batch)
    agree(stream.result(), expected)
