"""What is said of an entry that is not as it must be."""

from __future__ import annotations

from dataclasses import dataclass

from lebench.board.documents import printable


@dataclass(frozen=True)
class Violation:
    """What is wrong with an entry.

    Attributes
    ----------
    file : str
        Path within the entry's folder, or within the repository for what lies outside of it.
    field : str
        Part of the file.
    rule : str
        What must be otherwise.
    """

    file: str
    field: str
    rule: str

    def __str__(self) -> str:
        """Return one printable line, whatever file and field are called."""
        return ": ".join(printable(part) for part in (self.file, self.field, self.rule) if part)
