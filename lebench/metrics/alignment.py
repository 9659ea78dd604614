"""Kernels compared: alignment with labels and with each other, and how far a kernel moves in training."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from lebench.arrays import FloatArray
from lebench.errors import DataError
from lebench.metrics.arrays import as_labels, as_symmetric, class_counts
from lebench.metrics.base import KnownAnswer, metric

_TAGS = ("kernel",)
_SAMPLE = 100
_ALIGNMENT = r"\frac{\langle K, K'\rangle_F}{\|K\|_F\,\|K'\|_F}"
_CRISTIANINI = "Cristianini, Shawe-Taylor, Elisseeff & Kandola 2001, definition 1"
_CORTES = "Cortes, Mohri & Rostamizadeh 2012, definition 4; Kornblith et al. 2019 (linear CKA)"


def centre(gram: Any) -> FloatArray:
    """Return H K H with H = I - 11^T/n: the kernel of features whose mean is taken away, float64.

    Parameters
    ----------
    gram : array of shape (n, n), float32 or float64
        Symmetric kernel matrix.
    """
    k = as_symmetric("kernel entries", gram)
    means = k.mean(axis=0)
    return np.asarray(k - means[:, None] - means[None, :] + means.mean())


def label_kernel(labels: Any) -> FloatArray:
    """Return the kernel y y^T of the encoded labels, one-hot minus 1/C: (C-1)/C within a class, -1/C between, float64.

    For two classes it is half of the kernel of labels -1 and +1, which an alignment does not see.

    Parameters
    ----------
    labels : array of shape (n,), integer
        Labels 0 to C-1, every class present.
    """
    y = as_labels("labels", labels)
    classes = len(class_counts("labels", y))
    return np.equal.outer(y, y) - 1.0 / classes


def _pair(first: Any, second: Any) -> tuple[FloatArray, FloatArray]:
    a, b = as_symmetric("kernel entries", first), as_symmetric("other kernel entries", second)
    if a.shape != b.shape:
        raise DataError(f"kernels of shapes {a.shape} and {b.shape} are of different points")
    return a, b


def _cosine(a: FloatArray, b: FloatArray) -> float:
    # Scaled first, so that squares of the norms neither overflow nor vanish.
    sizes = np.abs(a).max(), np.abs(b).max()
    if min(sizes) == 0:
        raise DataError("a kernel is zero, or constant where it is centred: its alignment is undefined")
    a, b = a / sizes[0], b / sizes[1]
    return float(np.clip(np.vdot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)), -1, 1))


def _balanced() -> FloatArray:
    return np.where(np.arange(_SAMPLE) < _SAMPLE // 2, -1.0, 1.0)


def _identity_and_labels() -> dict[str, Any]:
    y = _balanced()
    return {"gram": np.eye(_SAMPLE), "other": np.outer(y, y)}


def _constant_and_labels() -> dict[str, Any]:
    y = _balanced()
    return {"gram": 1 + np.outer(y, y), "other": np.outer(y, y)}


def _identity_and_constant() -> dict[str, Any]:
    return {"gram": np.eye(_SAMPLE), "other": np.ones((_SAMPLE, _SAMPLE))}


def _scaled() -> dict[str, Any]:
    k = np.array([[2.0, 1.0], [1.0, 3.0]])
    return {"gram": k, "other": 7 * k}


def _three_classes(kernel: str) -> dict[str, Any]:
    labels = np.repeat([0, 1, 2], 2)
    grams = {"labels": np.equal.outer(labels, labels) - 1 / 3, "identity": np.eye(6)}
    return {"gram": grams[kernel], "labels": labels}


_metric = partial(metric, direction="none", invariant_to=("permutation", "scale"), tags=_TAGS)


@_metric(
    symbol="A",
    equation=_ALIGNMENT,
    source=_CRISTIANINI,
    bounds=(-1.0, 1.0),
    known_answers=(
        KnownAnswer("identity and labels of -1 and +1, n = 100", _identity_and_labels, 0.1, "1/sqrt(n)"),
        KnownAnswer("a kernel and seven times it", _scaled, 1.0, "blind to scale"),
    ),
)
def kernel_alignment(gram: Any, other: Any) -> float:
    """Cosine between two kernels as vectors; 1 if they are the same up to scale.

    Parameters
    ----------
    gram, other : array of shape (n, n), float32 or float64
        Symmetric kernel matrices of the same points.

    Raises
    ------
    DataError
        If a kernel is zero, not symmetric or not finite, or the shapes differ.
    """
    return _cosine(*_pair(gram, other))


@_metric(
    symbol=r"\mathrm{CKA}",
    equation=r"A(HKH, HK'H),\quad H = I - \tfrac1n \mathbf 1\mathbf 1^\top",
    source=_CORTES,
    bounds=(-1.0, 1.0),
    invariant_to=("permutation", "scale", "translation"),
    known_answers=(
        KnownAnswer(
            "identity and labels of -1 and +1, n = 100", _identity_and_labels, 1 / math.sqrt(99), "1/sqrt(n - 1)"
        ),
        KnownAnswer("labels with and without a constant", _constant_and_labels, 1.0, "centring removes the constant"),
    ),
)
def centred_kernel_alignment(gram: Any, other: Any) -> float:
    """Alignment of two centred kernels (CKA): a constant added to all features does not count.

    Biased upwards for few points in many dimensions, see :func:`~lebench.metrics.debiased_centred_kernel_alignment`.
    Takes what :func:`kernel_alignment` takes.

    Raises
    ------
    DataError
        If a kernel is constant, not symmetric or not finite, or the shapes differ.
    """
    a, b = _pair(gram, other)
    centred = centre(a), centre(b)
    # What rounding leaves of a constant kernel has no direction.
    for before, after in zip((a, b), centred, strict=True):
        after[np.abs(after) <= 1e-14 * np.abs(before).max()] = 0.0
    return _cosine(*centred)


@_metric(
    symbol=r"A(K, yy^\top)",
    equation=r"A(K, YY^\top),\quad Y = \mathrm{onehot} - 1/C",
    source=f"{_CRISTIANINI}; for C classes with the encoding of the kernel machines (our choice)",
    direction="higher",
    bounds=(-1.0, 1.0),
    known_answers=(
        KnownAnswer("the label kernel", lambda: _three_classes("labels"), 1.0, "identity"),
        KnownAnswer(
            "identity, 3 classes of 2",
            lambda: _three_classes("identity"),
            1 / math.sqrt(3),
            "trace (C-1)/C n over sqrt(n) times (n/C) sqrt(C-1): sqrt((C-1)/n)",
        ),
    ),
)
def kernel_target_alignment(gram: Any, labels: Any) -> float:
    """Alignment of a kernel with the kernel of the labels: how well it tells the classes apart.

    Parameters
    ----------
    gram : array of shape (n, n), float32 or float64
        Symmetric kernel matrix.
    labels : array of shape (n,), integer
        Labels 0 to C-1, every class present.
    """
    return kernel_alignment(gram, label_kernel(labels))


@_metric(
    symbol=r"\mathrm{CKA}(K, yy^\top)",
    equation=r"\mathrm{CKA}(K, YY^\top),\quad Y = \mathrm{onehot} - 1/C",
    source=f"{_CORTES}; for C classes with the encoding of the kernel machines (our choice)",
    direction="higher",
    bounds=(-1.0, 1.0),
    invariant_to=("permutation", "scale", "translation"),
    known_answers=(
        KnownAnswer("the label kernel", lambda: _three_classes("labels"), 1.0, "identity"),
        KnownAnswer(
            "identity, 3 classes of 2",
            lambda: _three_classes("identity"),
            2 / math.sqrt(10),
            "sqrt((C-1)/(n-1)): the centred identity has norm sqrt(n-1)",
        ),
    ),
)
def centred_target_alignment(gram: Any, labels: Any) -> float:
    """Centred alignment of a kernel with the kernel of the labels.

    Takes what :func:`kernel_target_alignment` takes.
    """
    return centred_kernel_alignment(gram, label_kernel(labels))


@_metric(
    symbol="S",
    equation=rf"1 - {_ALIGNMENT}",
    source="Fort et al. 2020, kernel distance",
    bounds=(0.0, 2.0),
    known_answers=(
        KnownAnswer("identity and constant, n = 100", _identity_and_constant, 0.9, "1 - 1/sqrt(n)"),
        KnownAnswer("a kernel and seven times it", _scaled, 0.0, "blind to scale"),
    ),
)
def kernel_rotation(gram: Any, other: Any) -> float:
    """Kernel distance of Fort et al.: one minus the alignment, how far a kernel has turned in training.

    Takes the kernel at two times, on the same points.
    """
    return 1.0 - kernel_alignment(gram, other)


@_metric(
    symbol=r"v",
    equation=r"\frac{S(K_t, K_{t+\Delta t})}{\Delta t}",
    source="Fort et al. 2020, kernel velocity",
    bounds=(0.0, math.inf),
    unit="1/epoch",
    known_answers=(
        KnownAnswer(
            "identity and constant, n = 100, 4 epochs",
            lambda: {**_identity_and_constant(), "elapsed": 4.0},
            0.225,
            "(1 - 1/sqrt(n))/4",
        ),
    ),
)
def kernel_velocity(gram: Any, other: Any, elapsed: float) -> float:
    """Kernel distance between two times, over the time between them; it depends on how long that is.

    Parameters
    ----------
    gram, other : array of shape (n, n), float32 or float64
        The kernel at two times, on the same points.
    elapsed : float
        Epochs between them, positive.

    Raises
    ------
    DataError
        If `elapsed` is not positive, or as :func:`kernel_alignment`.
    """
    if not (math.isfinite(elapsed) and elapsed > 0):
        raise DataError(f"elapsed is {elapsed}: a positive time is needed")
    return kernel_rotation(gram, other) / elapsed


@_metric(
    symbol=r"\Delta_\Theta",
    equation=r"\frac{\|\Theta_T - \Theta_0\|_F}{\|\Theta_0\|_F}",
    source="Geiger, Spigler, Jacot & Wyart 2019, relative change of the kernel",
    bounds=(0.0, math.inf),
    known_answers=(
        KnownAnswer("a kernel and seven times it", _scaled, 6.0, "7 - 1: sees the scale that the alignment does not"),
        KnownAnswer("identity and constant, n = 100", _identity_and_constant, math.sqrt(99), "sqrt(n (n-1)/n)"),
    ),
)
def kernel_change(gram: Any, other: Any) -> float:
    """Norm of the change of a kernel in training over its norm before: small in the lazy regime.

    Takes the kernel before and after training, on the same points.

    Raises
    ------
    DataError
        If the kernel before is zero, a kernel is not symmetric or not finite, or the shapes differ.
    """
    before, after = _pair(gram, other)
    size = np.abs(before).max()
    if size == 0:
        raise DataError("the kernel before training is zero: its relative change is undefined")
    return float(np.linalg.norm((after - before) / size) / np.linalg.norm(before / size))
