"""Pictures of the arrays behind a score: arrays in, Vega-Lite specifications with their data out.

Which pictures there are follows from the names of the arrays that a score keeps (see
:class:`lebench.tasks.base.Scored`), so a task of one's own has them too:

- ``similarity``, ``distance`` and perhaps ``signed``, each of shape (n, n): similarity against geodesic distance;
- ``similarity`` (n, n) and ``labels`` (n,): similarities as a heat map, sorted by class;
- ``means`` (C, 3), ``points`` (m, 3), ``labels`` (m,), ``shares`` (3,), ``cosines`` (C, C): class means on their
  principal axes, and the cosines between them;
- ``epochs`` (T,) and any others of that length: courses over training, where ``nc1_train`` and ``nc1_test`` are drawn
  together;
- ``sensitivity`` (A, C) and ``removed_classes`` (A,): class-level sensitivity;
- ``cells_...``, each of shape (k, k): mean similarities between the cells of a design.
"""

from __future__ import annotations

from collections.abc import Mapping

from lebench.pictures import cells, class_means, courses, distance, heat, sensitivity
from lebench.pictures.base import COLOURS, Arrays, Picture
from lebench.pictures.ranked import ranked

__all__ = ["COLOURS", "Arrays", "Picture", "comparisons", "of_model", "ranked"]

_KINDS = (distance, heat, class_means, courses, cells, sensitivity)


def of_model(arrays: Arrays) -> list[Picture]:
    """Return the pictures of one model on one task.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Artifacts of a record.
    """
    return [kind.single(arrays) for kind in _KINDS if kind.fits(arrays)]


def comparisons(models: Mapping[str, Arrays]) -> list[Picture]:
    """Return the pictures that show several models on one task together.

    Parameters
    ----------
    models : mapping of str to mapping
        Artifacts by the model's label, at most :data:`COLOURS` of them. A model without the arrays of a picture is
        not in it.
    """
    if len(models) > COLOURS:
        raise ValueError(f"{len(models)} models cannot be told apart by colour, {COLOURS} can")
    pictures = []
    for kind in _KINDS:
        fitting = {label: arrays for label, arrays in models.items() if kind.fits(arrays)}
        if fitting:
            pictures.append(kind.several(fitting))
    return pictures
