"""Where things stand on the plots of ranks, in percent of the width, so that they fit their page without a script."""

from __future__ import annotations

#: Share of a critical-difference diagram that mean ranks take; beside them stand the bars of who is not apart.
_MEAN_RANKS = 82.0


def on_ladder(place: int, most: int) -> float:
    """Return where a place from 0 stands on a ladder of ranks.

    Examples
    --------
    >>> on_ladder(0, 5), on_ladder(4, 5)
    (2.0, 98.0)
    """
    return round(2 + 96 * place / max(most - 1, 1), 2)


def on_mean_ranks(rank: float, most: int) -> float:
    """Return where a mean rank from 1 to `most` stands on a critical-difference diagram.

    Examples
    --------
    >>> on_mean_ranks(1.0, 5), on_mean_ranks(3.0, 5)
    (2.0, 42.0)
    """
    return round(2 + (_MEAN_RANKS - 2) * (rank - 1) / max(most - 1, 1), 2)


def beside_mean_ranks(clique: int, count: int) -> float:
    """Return where the bar of the first, second, ... of `count` cliques stands, at the right of the mean ranks.

    Examples
    --------
    >>> beside_mean_ranks(0, 2), beside_mean_ranks(1, 2)
    (88.0, 96.0)
    """
    left = _MEAN_RANKS + 2
    return round(left + (100 - left) * (clique + 0.5) / count, 2)
