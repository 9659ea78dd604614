"""Pictures of the arrays behind a score: arrays in, Vega-Lite specifications with their data out.

Which pictures there are follows from the names of the arrays that a score keeps (see
:class:`lebench.tasks.base.Scored`), so a task of one's own has them too:

===============================================  ==================================================================
arrays                                           picture
===============================================  ==================================================================
``similarity``, ``distance``, ``signed``         similarity against geodesic distance; ``signed`` may be absent
``similarity``, ``labels``                       similarities as a heat map; the points are sorted by class
``means``, ``points``, ``labels``, ``shares``,   class means on their principal axes, and the cosines between them
``cosines``
``epochs``, any others of the same length        courses over training: ``nc1_train``, ``nc1_test``, ``ratio``, ...
``cells_...``                                    mean similarities between cells of a design, each of shape (k, k)
===============================================  ==================================================================
"""

from __future__ import annotations

from collections.abc import Mapping

from lebench.pictures import cells, class_means, courses, distance, heat
from lebench.pictures.base import COLOURS, Arrays, Picture

__all__ = ["COLOURS", "Arrays", "Picture", "comparisons", "of_model"]

_KINDS = (distance, heat, class_means, courses, cells)


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
