"""How far an entry is checked, in words."""

from __future__ import annotations

from lebench.board.verification import Verified


def sentence(found: Verified) -> str:
    """Return what was checked of an entry, and what was not, for a reader who knows no names of statuses.

    Examples
    --------
    >>> sentence(Verified(status="re-run", rerun=3, recomputed=0, recordings=0, total=9, differing=0))
    '3 of 9 records, drawn at random, were run again from scratch and agree.'
    """
    parts = []
    if found.rerun:
        drawn = "" if found.rerun == found.total else ", drawn at random,"
        parts.append(f"{found.rerun} of {found.total} records{drawn} were run again from scratch and agree")
    if found.recomputed:
        of = "" if found.rerun else f" of {found.total} records"
        parts.append(f"{found.recomputed}{of} were computed again from recordings and agree")
    if found.exempt:
        parts.append(f"{found.exempt} are not drawn, since their fits take more than 20 minutes")
    if found.differing:
        parts.append(f"{found.differing} did not agree")
    elif found.reason:
        parts.append(found.reason)
    said = "; ".join(parts)
    return f"{said[:1].upper()}{said[1:]}."
