"""Answers at many points in what counts of them: the class of each point, and of probabilities the true class's, too.

Accuracy looks at which class has the largest score; proper scores and calibration look at the probability of the true
class, at the largest one, and at the sum of squares of the others. That is five numbers a point, whatever the number of
classes; scores and probabilities made of them again have the same metrics.
"""

from __future__ import annotations

import numpy as np

from lebench.arrays import FloatArray, IntArray

#: Points from which on an answer is kept so: fewer leave room for all of it.
MANY = 1000


def classes_of(scores: FloatArray) -> FloatArray:
    """Return the class with the largest score for each point (n,), C where there is a tie, which counts as wrong."""
    best = scores.argmax(axis=1)
    others = scores.copy()
    others[np.arange(len(best)), best] = -np.inf
    found: FloatArray = np.where(others.max(axis=1) < scores.max(axis=1), best, scores.shape[1]).astype(np.float64)
    return found


def essence_of(probabilities: FloatArray, labels: IntArray) -> FloatArray:
    """Return five rows (5, n): two classes, and the sum over the others, the second's probability, and their squares.

    The first class has the largest probability. The second is the true one where that is another, else the first again
    with 0 for its probability; a tie is no right answer, so that the first class is another one then.
    """
    rows = np.arange(len(labels))
    others = probabilities.copy()
    others[rows, labels] = -np.inf
    missed = others.max(axis=1) >= probabilities[rows, labels]
    first = np.where(missed, others.argmax(axis=1), labels)
    second = np.where(missed, probabilities[rows, labels], 0.0)
    others = probabilities.copy()
    others[rows, first] = others[rows, labels] = 0.0
    return np.stack([first, labels, others.sum(axis=1), second, np.square(others).sum(axis=1)])


def scores_again(kept: FloatArray, classes: int) -> FloatArray:
    """Return scores (n, C), or probabilities, from :func:`classes_of` as (1, n), or :func:`essence_of`.

    Raises
    ------
    ValueError
        If `kept` is neither.
    """
    named = kept[:2].astype(np.int64)
    if (named != kept[:2]).any() or kept.min(initial=0) < 0 or named.max(initial=0) > classes - (len(kept) > 1):
        raise ValueError("classes are whole numbers, and probabilities are not negative")
    if len(kept) == 1:
        # A tie has no class of its own: the row stays zero.
        return np.asarray(np.eye(classes + 1)[named[0]][:, :classes])
    first, second = named
    total, true, squares = kept[2:]
    if (total + true > 1 + 1e-3).any():
        raise ValueError("probabilities sum to 1")
    rows, found = np.arange(len(first)), np.ones((len(first), classes))
    found[rows, first] = found[rows, second] = 0.0
    place = np.where(found > 0, found.cumsum(axis=1) - 1, classes)
    # Of all that have this sum and these squares, j equal numbers and one below them have the smallest maximum.
    with np.errstate(divide="ignore", invalid="ignore"):
        j = np.nan_to_num(np.floor(total**2 / squares), nan=1.0, posinf=classes)
    j = np.clip(j, 1, np.maximum(found.sum(axis=1) - 1, 1))
    equal = (total * j + np.sqrt(np.maximum(j * ((j + 1) * squares - total**2), 0.0))) / (j * (j + 1))
    equal = np.where(found.sum(axis=1) > 1, np.minimum(equal, total / j), total)
    found = np.where(place < j[:, None], equal[:, None], 0.0)
    found += np.where(place == j[:, None], (total - j * equal)[:, None], 0.0)
    best = np.maximum(1 - total - true, 0.0)
    # Rounding makes of a tie no right answer.
    tied = (first != second) & (true > best)
    found[rows, second] = np.where(tied, (best + true) / 2, true)
    found[rows, first] = np.where(tied, (best + true) / 2, best)
    return found
