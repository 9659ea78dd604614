"""What some models must score on a task, beside what they do score; the task declares it.

The answers of metrics on planted arrays are another matter, see :mod:`lebench.site.calibration`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lebench.board import Score
from lebench.tasks.facts import KnownAnswer


@dataclass(frozen=True)
class Answered:
    """A known answer and the scores that it speaks of.

    Attributes
    ----------
    answer : KnownAnswer
        What is known.
    scores : tuple of (str, Score)
        Labels of models and their scores, at most a few; those farthest from the answer.
    """

    answer: KnownAnswer
    scores: tuple[tuple[str, Score], ...]

    @property
    def holds(self) -> bool:
        """Whether every score is as it must be."""
        return all(self.answer.holds(score.mean) for _, score in self.scores)


def answered(answer: KnownAnswer, scores: Sequence[tuple[str, str, Score]], most: int = 4) -> Answered:
    """Return an answer with the scores that it speaks of, those farthest from it first.

    Parameters
    ----------
    answer : KnownAnswer
        What is known.
    scores : sequence of (name, label, Score)
        Of the answer's value: registered name of the model, how it is called on the board, and its score.
    most : int, default 4
        Scores at most.
    """
    found = [(label, score) for name, label, score in scores if name in answer.models or "*" in answer.models]

    def beyond(item: tuple[str, Score]) -> tuple[float, str]:
        off = item[1].mean - answer.number
        return -(off if answer.relation == "is at most" else abs(off)), item[0]

    return Answered(answer, tuple(sorted(found, key=beyond)[:most]))
