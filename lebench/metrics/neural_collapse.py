"""All collapse metrics at once: of features, of points known by a Gram matrix, and of a stream of features."""

from __future__ import annotations

from typing import Any

from lebench.arrays import FloatArray
from lebench.errors import DataError
from lebench.metrics import class_statistics
from lebench.metrics import collapse_values as formula
from lebench.metrics.arrays import as_floats, as_symmetric, in_units
from lebench.metrics.base import Missing


def class_means(features: Any, labels: Any, classes: int | None = None) -> FloatArray:
    """Return the class means (C, p), float64, to pass as `means` when other points are scored.

    Takes what :func:`~lebench.metrics.nc1_pinv_over_C` takes.
    """
    means = class_statistics.means_of_classes(features, labels, classes).means
    assert means is not None
    return means


def collapse(
    features: Any,
    labels: Any,
    weights: Any | None = None,
    bias: Any | None = None,
    means: Any | None = None,
    classes: int | None = None,
) -> dict[str, float | Missing]:
    """Return all collapse metrics of features, sharing two passes over them.

    Parameters
    ----------
    features, labels, classes
        As in :func:`~lebench.metrics.nc1_pinv_over_C`.
    weights, bias : array of shapes (C, p) and (C,), optional
        The last layer, for NC2 of the weights, NC3 and NC4; a layer without bias has a bias of zero.
    means : array of shape (C, p), optional
        Class centres for ``nc4`` and ``ncc_accuracy``, of the training points when the features are of others.

    Returns
    -------
    dict
        By name of the metric; :class:`~lebench.metrics.base.Missing` with the reason where a value is undefined.
    """
    if bias is not None and weights is None:
        raise DataError("a bias is given without weights")
    data, statistics = class_statistics.about_centres(features, labels, None, classes)
    unit = class_statistics.unit_of(statistics, features)
    if unit != 1:

        def smaller(name: str, array: Any, ndim: int) -> FloatArray | None:
            return None if array is None else as_floats(name, array, ndim) / unit

        others = smaller("biases", bias, 1), smaller("class means", means, 2)
        values = collapse(smaller("features", features, 2), labels, weights, *others, classes)
        in_units_of_scores = values.get("nc3_bias")
        if isinstance(in_units_of_scores, float):
            values["nc3_bias"] = in_units_of_scores * unit
        return values
    head = None
    if weights is not None:
        head = formula.read_head(weights, bias, statistics.classes, statistics.dimension)
    statistics = class_statistics.look_again(data, statistics, head)
    values = formula.values_of(statistics, *(head or ()))
    if means is not None:
        seen = class_statistics.look_again(*class_statistics.about_centres(features, labels, means, classes), head)
        values |= {"ncc_accuracy": seen.nearest or 0.0}
        if seen.disagreement is not None:
            values["nc4"] = seen.disagreement
    return values


def collapse_from_gram(
    gram: Any, labels: Any, classes: int | None = None, dimension: int | None = None
) -> dict[str, float | Missing]:
    """Return the collapse metrics that need class means only, of points known by their inner products.

    They equal those of :func:`collapse` for K = H H^T: NC1 in its variants, class-distance normalized variance, NC2 of
    the means, and nearest-class-centre accuracy.

    Parameters
    ----------
    gram : array of shape (n, n), float32 or float64
        Symmetric kernel matrix.
    labels : array of shape (n,), integer
        Labels 0 to C-1.
    classes : int, optional
        C; by default the largest label plus one.
    dimension : int, optional
        Dimension of the feature space, if it is known to be smaller than C-1.

    Returns
    -------
    dict
        By name of the metric; :class:`~lebench.metrics.base.Missing` with the reason where a value is undefined.
    """
    return formula.values_of(
        class_statistics.from_gram(in_units(as_symmetric("kernel entries", gram)), labels, classes, dimension)
    )
