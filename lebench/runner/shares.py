"""Which seeds a run has, and which share of its jobs: so that machines divide a plan without talking to each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lebench.canonical import digest
from lebench.errors import LebenchError

_Group = TypeVar("_Group", bound=tuple[object, ...])

#: Seeds that one run may have: beyond lies a slip of the pen.
_MOST = 100_000


def parse_seeds(asked: int | str | Iterable[int]) -> list[int]:
    """Return root seeds, sorted and each once.

    Parameters
    ----------
    asked : int, str or iterable of int
        A number of seeds, ``3`` or ``"3"`` for 0, 1 and 2; or a list: ``"0-9,12"``, ``"12,"``, ``[0, 3]``.

    Raises
    ------
    LebenchError
        If it is none of these, or there are no seeds or too many.

    Examples
    --------
    >>> parse_seeds("0-2,12")
    [0, 1, 2, 12]
    """
    if isinstance(asked, str):
        seeds = _listed(asked)
    elif isinstance(asked, int):
        seeds = range(asked)
    else:
        seeds = list(asked)
    if not 0 < len(seeds) <= _MOST:
        raise LebenchError(f"nothing to run: the number of seeds must be from 1 to {_MOST:,}, not {asked!r}")
    if min(seeds) < 0:
        raise LebenchError(f"seed {min(seeds)} is negative; a seed is a whole number from 0")
    return sorted(set(seeds))


def _listed(text: str) -> Sequence[int]:
    # int() would also take "1_0" and the digits of other scripts.
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", text):
        return range(int(text))
    seeds: list[int] = []
    for part in filter(None, text.replace(" ", "").split(",")):
        found = re.fullmatch("([0-9]{1,9})(?:-([0-9]{1,9}))?", part)
        if not found:
            raise LebenchError(f"seeds {text!r}: {part!r} is no seed; give a number of seeds, 3, or a list: 0-9,12")
        first, last = int(found[1]), int(found[2] or found[1])
        if first > last or last - first >= _MOST:
            raise LebenchError(f"seeds {text!r}: {part!r} has no seeds, or more than {_MOST:,}")
        seeds += range(first, last + 1)
    return seeds


@dataclass(frozen=True)
class Shard:
    """One of several equal shares of the jobs of a plan.

    Attributes
    ----------
    number, count : int
        ``2/8`` is the second of eight.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that a text such as ``2/8`` names.

        Raises
        ------
        LebenchError
            If it names none.
        """
        found = re.fullmatch(r"\s*([0-9]{1,9})\s*/\s*([0-9]{1,9})\s*", text)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise LebenchError(f"shard {text!r}: give its number and how many there are, from 1/8 to 8/8 for eight")
        return cls(int(found[1]), int(found[2]))

    def of(self, groups: Iterable[_Group]) -> set[_Group]:
        """Return those of some groups that are in this shard.

        They are dealt in an order by checksum: the same for everybody, and blind to what is costly.
        """
        return set(sorted(groups, key=lambda group: digest(list(group)))[self.number - 1 :: self.count])
