"""GeoMNIST: areas in closed form, corners of the paper, factors that are apart or one."""

import numpy as np
import pytest

from lebench import registry
from lebench.data.geomnist import (
    CLASS_NAMES,
    Factors,
    confounded_factors,
    independent_factors,
    load,
    outlines,
    pictures,
)
from lebench.errors import DataError

DATASETS = ("geomnist", "geomnist-confounded")


def plain(n=1, **changes):
    values = {"turn": np.zeros(n), "size": np.ones(n), "shift": np.zeros((n, 2)), "blur": np.full(n, 1.0)}
    return Factors(**{**values, **changes})


def test_outlines_are_the_shapes_of_the_paper():
    ellipse, rectangle, triangle = (outlines(label, plain())[0] for label in range(3))
    np.testing.assert_array_equal(np.flatnonzero(ellipse[:, 16]), np.arange(11, 22))
    np.testing.assert_array_equal(np.flatnonzero(ellipse[16]), np.arange(5, 28))
    expected = np.zeros((32, 32), dtype=bool)
    expected[12:21, 8:25] = True
    np.testing.assert_array_equal(rectangle, expected)
    # Corners (16, 16 - 8 sqrt 3), (26, 24), (6, 24).
    np.testing.assert_array_equal(np.flatnonzero(triangle[:, 24]), np.arange(6, 27))
    np.testing.assert_array_equal(np.flatnonzero(triangle[16]), np.arange(3, 25))


@pytest.mark.parametrize(
    ("label", "area"), [(0, np.pi * 6 * 12), (2, (16 * np.sqrt(3) + 16) / 2 * 20 / 2)], ids=["ellipse", "triangle"]
)
def test_areas_are_those_of_the_shapes_on_average_over_places(label, area):
    # Over uniform places the number of pixel centres inside is the area without bias.
    n = 4000
    shift = np.random.default_rng(0).uniform(-1, 1, (n, 2))
    for size in (5 / 6, 1.0):
        counts = outlines(label, plain(n, shift=shift, size=np.full(n, size))).sum(axis=(1, 2))
        assert counts.mean() == pytest.approx(size**2 * area, abs=5 * counts.std() / np.sqrt(n))


def test_a_shift_by_whole_pixels_moves_the_outline():
    for label in range(3):
        moved = outlines(label, plain(shift=np.array([[1.0, -1.0]])))[0]
        np.testing.assert_array_equal(np.roll(outlines(label, plain())[0], (1, -1), axis=(0, 1)), moved)


def test_turning_by_a_right_angle_exchanges_the_axes():
    for label in range(3):
        upright, turned = (pictures(label, plain(turn=np.array([angle])))[0, ..., 0] for angle in (0.0, 90.0))
        difference = np.abs(np.rot90(upright).astype(float) - turned)
        assert difference.max() <= 2


def test_the_blur_keeps_the_mass_and_more_of_it_lowers_the_edges():
    for label in range(3):
        sharp, soft = pictures(label, plain(2, blur=np.array([0.9, 1.1]))) / 255
        area = outlines(label, plain())[0].sum()
        assert sharp.sum() == pytest.approx(area, rel=5e-3)
        assert soft.sum() == pytest.approx(area, rel=5e-3)
        assert np.abs(np.diff(soft[..., 0], axis=0)).max() < np.abs(np.diff(sharp[..., 0], axis=0)).max()


def test_ours_are_independent_and_the_papers_are_one_factor():
    factors = independent_factors(4000, np.random.default_rng(0))
    table = np.column_stack([factors.turn, factors.size, factors.shift, factors.blur])
    correlations = np.corrcoef(table.T)[~np.eye(5, dtype=bool)]
    assert np.abs(correlations).max() < 5 / np.sqrt(4000)
    for label in range(3):
        paper = confounded_factors(label, 500, np.random.default_rng(0))
        grown = paper.size if label == 0 else paper.shift[:, 0]
        assert np.corrcoef(paper.turn, grown)[0, 1] == pytest.approx(1, abs=1e-12)
    assert paper.turn[-1] == 176 * 499 / 500
    np.testing.assert_allclose(confounded_factors(0, 3, np.random.default_rng(0)).size * 6, [5, 6, 7])


@pytest.mark.parametrize("name", DATASETS)
def test_a_split_draws_500_and_500_of_each_class_apart(name):
    dataset = registry.datasets.get(name)
    x, y = dataset.arrays
    assert (x.shape, x.dtype) == ((3000, 32, 32, 1), np.uint8)
    assert len(np.unique(x.reshape(3000, -1), axis=0)) == 3000
    x_train, y_train, x_test, y_test = dataset.splitter(x, y, np.random.default_rng(0))
    assert np.bincount(y_train).tolist() == np.bincount(y_test).tolist() == [500] * 3
    assert not {p.tobytes() for p in x_train} & {p.tobytes() for p in x_test}
    assert x_train.min() == 0
    assert 0.95 < x_train.max() <= 1


def test_the_pool_is_the_same_every_time_and_no_corner_leaves_the_frame():
    x, y = load()
    np.testing.assert_array_equal(load()[0], x)
    mass = x.sum(axis=(1, 2, 3)) / 255
    for label in range(3):
        rim = x[y == label, :, :, 0].astype(float) / 255
        outside = rim[:, [0, -1]].sum(axis=(1, 2)) + rim[:, :, [0, -1]].sum(axis=(1, 2))
        assert (outside / mass[y == label]).max() < 0.01
    assert registry.datasets.get("geomnist").class_names == CLASS_NAMES


def test_bad_inputs_are_named():
    for n in (0, -1):
        with pytest.raises(DataError, match="at least 1 is needed"):
            independent_factors(n, np.random.default_rng(0))
        with pytest.raises(DataError, match="at least 1 is needed"):
            confounded_factors(0, n, np.random.default_rng(0))
    with pytest.raises(DataError, match="class 3 of GeoMNIST does not exist"):
        pictures(3, plain())
