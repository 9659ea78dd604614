"""Arrays behind scores whose pictures are known, for the tests of pictures, pages and the browser."""

import numpy as np


def distance(n=12):
    """Points on a line; the relative similarity is one minus the distance, the signed one rises with it."""
    place = np.linspace(0, 1, n)
    apart = np.abs(place[:, None] - place)
    return {"distance": apart, "similarity": 1 - apart, "signed": apart - 0.5}


def similarity(classes=3, per_class=4, within=0.9, between=0.1):
    labels = np.repeat(np.arange(classes), per_class)
    return {"similarity": np.where(np.equal.outer(labels, labels), within, between), "labels": labels}


def class_means(classes=4, points=20):
    """Means at the corners of a tetrahedron, points close to them."""
    rng = np.random.default_rng(0)
    means = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=float)[:classes]
    labels = np.arange(points) % classes
    return {
        "means": means,
        "points": means[labels] + 0.1 * rng.normal(size=(points, 3)),
        "labels": labels,
        "shares": np.full(3, 1 / 3),
        "cosines": np.where(np.eye(classes), 1.0, -1 / 3),
    }


def courses():
    epochs = np.array([0.0, 1, 3, 10, 30, 100])
    return {
        "epochs": epochs,
        "nc1_train": 2.0 / (1 + epochs) ** 2,
        "nc1_test": 2.0 / (1 + epochs),
        "nc2_equinorm_weights": np.full(6, 0.25),
        "error_train": np.array([0.9, 0.5, 0.1, 0.0, 0.0, 0.0]),
        "unheard_of": np.arange(6.0),
    }


def cells():
    return {"cells_first": np.diag([0.5, 0.25]), "cells_second": np.eye(2)}


def sensitivity():
    return {"sensitivity": np.array([[0.1, 0.5, 0.4], [0.1, 0.2, 0.7]]), "removed_classes": np.array([1, 2])}


ALL = {
    "distance": distance,
    "similarity": similarity,
    "class-means": class_means,
    "courses": courses,
    "cells": cells,
    "sensitivity": sensitivity,
}
