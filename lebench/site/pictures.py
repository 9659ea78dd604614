"""The pictures of the board: which entries and tasks have some, and the files that hold them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from lebench import pictures
from lebench.board import Entry
from lebench.pictures import Arrays, Picture
from lebench.site.pages import slug

#: Models in one picture.
_TOGETHER = 6

T = TypeVar("T")


@dataclass(frozen=True)
class Figure:
    """A picture, and where its specification stands inside the leaderboard's folder."""

    picture: Picture
    path: str

    @property
    def text(self) -> str:
        """The content of the specification's file."""
        return json.dumps(self.picture.spec, ensure_ascii=False, separators=(",", ":")) + "\n"


@dataclass(frozen=True)
class Gallery:
    """Arrays of entries, by entry and task, and the figures made from them."""

    arrays: Mapping[str, Mapping[str, Arrays]] = field(default_factory=dict)

    def of_entry(self, entry: str, task: str) -> list[Figure]:
        """Return the figures of one model on one task."""
        arrays = self.arrays.get(entry, {}).get(task, {})
        return [
            Figure(picture, f"pictures/{entry}/{slug(task)}-{picture.name}.vl.json")
            for picture in pictures.of_model(arrays)
        ]

    def of_task(self, task: str, ranked: Sequence[tuple[str, str]]) -> list[Figure]:
        """Return the figures that show some models together.

        Parameters
        ----------
        task : str
            Name of the task.
        ranked : sequence of (entry, label)
            The models, the best first. If they are too many for one picture, the best, the last and some evenly
            between them are shown.
        """
        drawn = [(label, self.arrays[entry][task]) for entry, label in ranked if task in self.arrays.get(entry, {})]
        return [
            Figure(picture, f"pictures/{slug(task)}-{picture.name}.vl.json")
            for picture in pictures.comparisons(dict(spread(drawn, _TOGETHER)))
        ]


def spread(items: Sequence[T], count: int) -> list[T]:
    """Return at most `count` of the items, the first, the last and some evenly between them.

    Examples
    --------
    >>> spread("abcdefg", 4)
    ['a', 'c', 'e', 'g']
    """
    if len(items) <= count:
        return list(items)
    return [items[round(k * (len(items) - 1) / (count - 1))] for k in range(count)]


def gallery(entries: Iterable[Entry]) -> Gallery:
    """Return the pictures of entries; each shows the first seed whose arrays an entry holds.

    Raises
    ------
    EntryError
        If a file of arrays is not the one that its record describes.
    """
    found: dict[str, dict[str, Arrays]] = {}
    for entry in entries:
        of_entry = found.setdefault(entry.name, {})
        # Records are sorted by task and seed.
        for record in entry.current.records:
            if record.cell.task not in of_entry and (arrays := entry.artifacts(record)):
                of_entry[record.cell.task] = arrays
    return Gallery(found)
