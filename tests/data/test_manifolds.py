"""Points lie on their manifolds, and distances along them are those of a fine polygon or a closed form."""

import numpy as np
import pytest

from lebench import registry
from lebench.data.manifolds import MANIFOLDS, manifold
from lebench.errors import DataError
from lebench.registry import REGISTRIES

RNG = np.random.default_rng(0)


def points(name, n=40, label=1):
    return MANIFOLDS[name].sample(n, label, np.random.default_rng(1))


def polygon(curve, start, end, steps=200_000):
    """Return parameters and cumulative chord lengths of a fine polygon inscribed in a curve."""
    t = np.linspace(start, end, steps + 1)
    return t, np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(curve(t), axis=0), axis=1))])


CURVES = {
    "torus": (
        lambda t: np.stack([(8 + np.sin(4 * t)) * np.cos(t), (8 + np.sin(4 * t)) * np.sin(t), np.cos(4 * t)], axis=1),
        lambda x: np.arctan2(x[:, 1], x[:, 0]),
        (-np.pi, np.pi),
        True,
    ),
    "helix": (
        lambda t: np.stack([np.cos(1.5 * t), np.sin(1.5 * t), t], axis=1),
        lambda x: x[:, 2],
        (-np.pi / 2, np.pi / 2),
        False,
    ),
    "cosines": (
        lambda t: np.stack([t, np.cos(t) + 0.2], axis=1),
        lambda x: x[:, 0],
        (-0.6 * np.pi, 0.6 * np.pi),
        False,
    ),
    "circles": (
        lambda t: 10 * np.stack([np.cos(t), np.sin(t)], axis=1),
        lambda x: np.arctan2(x[:, 1], x[:, 0]),
        (-np.pi, np.pi),
        True,
    ),
}


@pytest.mark.parametrize("name", CURVES)
def test_distance_along_a_curve_is_the_length_of_a_fine_polygon(name):
    curve, parameter, ends, closed = CURVES[name]
    x = points(name)
    np.testing.assert_allclose(curve(parameter(x)), x, atol=1e-12)
    t, length = polygon(curve, *ends)
    along = np.interp(parameter(x), t, length)
    expected = np.abs(along[:, None] - along)
    if closed:
        expected = np.minimum(expected, length[-1] - expected)
    np.testing.assert_allclose(MANIFOLDS[name].geodesic(x, x), expected, atol=1e-6)


def test_distance_on_a_sphere_is_radius_times_angle():
    x = points("spheres")
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 10)
    angle = np.arccos(np.clip(x @ x.T / 100, -1, 1))
    np.fill_diagonal(angle, 0)
    np.testing.assert_allclose(MANIFOLDS["spheres"].geodesic(x, x), 10 * angle, atol=1e-6)
    # Antipodal points, and points so near that the arc cosine sees none of their distance.
    pole = np.array([[0.0, 0.0, 10.0]])
    assert MANIFOLDS["spheres"].geodesic(pole, -pole)[0, 0] == pytest.approx(10 * np.pi)
    near = 10 * np.array([[np.sin(1e-9), 0.0, np.cos(1e-9)]])
    assert MANIFOLDS["spheres"].geodesic(pole, near)[0, 0] == pytest.approx(1e-8)


def test_points_on_a_sphere_are_uniform():
    """Archimedes: each coordinate of a uniform point is uniform, so its variance is r^2 / 3."""
    z = MANIFOLDS["spheres"].sample(20_000, 1, np.random.default_rng(0))[:, 2]
    # The standard deviation of the sample variance of a uniform on (-10, 10) is about 0.21.
    assert z.var() == pytest.approx(100 / 3, abs=1.0)


def test_distance_on_the_folded_box_is_that_of_the_papers_formula():
    """science: the same sheet sqrt(k^2 + 1)|x1 - x2|, another sheet by the nearer of the two folds."""
    x = points("boxes", 60)
    slope, half = np.sqrt(1.2**2 + 1), 13 / 1.2
    np.testing.assert_allclose(np.abs(x[:, 1]), 13 - 1.2 * np.abs(x[:, 0]), atol=1e-12)
    expected = np.empty((60, 60))
    for i, p in enumerate(x):
        for j, q in enumerate(x):
            if (p[1] >= 0) == (q[1] >= 0):
                s = slope * abs(p[0] - q[0])
            else:
                s = slope * min(2 * half - p[0] - q[0], 2 * half + p[0] + q[0])
            expected[i, j] = np.hypot(s, p[2] - q[2])
    np.testing.assert_allclose(MANIFOLDS["boxes"].geodesic(x, x), expected, atol=1e-9)


@pytest.mark.parametrize("name", MANIFOLDS)
def test_distances_are_a_metric_not_shorter_than_the_chord(name):
    x = points(name, 25)
    distance = MANIFOLDS[name].geodesic(x, x)
    np.testing.assert_allclose(distance, distance.T, atol=1e-9)
    np.testing.assert_allclose(np.diag(distance), 0, atol=1e-9)
    chord = np.linalg.norm(x[:, None] - x, axis=2)
    assert (distance >= chord - 1e-9).all()
    assert (distance[:, :, None] <= distance[:, None] + distance.T[None] + 1e-9).all()


@pytest.mark.parametrize("name", MANIFOLDS)
def test_the_training_points_of_a_seed_are_those_of_its_split(name):
    dataset = registry.datasets.get(f"manifold-{name}")
    split = dataset.split(2)
    x, y = manifold(dataset.name).training_points(2)
    np.testing.assert_array_equal(split.y_train, y)
    np.testing.assert_allclose(split.x_train, (x - x.mean(axis=0)) / x.std(axis=0), atol=1e-12)
    assert np.bincount(y).tolist() == [50, 50]
    assert len(split.x_test) == 100


def test_a_dataset_without_geodesics_is_refused():
    with pytest.raises(DataError, match="no geodesic distances; choose manifold-torus"):
        manifold("digits")
    assert "manifold-torus" in REGISTRIES["dataset"]
