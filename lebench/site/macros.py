"""Numbers in prose: a page asks for one by a call between double braces, and the records of the board answer.

``lebench site build`` finds the calls in the pages of ``docs`` and writes the answers to ``leaderboard/figures.json``;
this module is also the extension of Markdown that puts them into the pages. So no page holds a result that was typed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, TemplateError
from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor
from markupsafe import Markup

from lebench.board import Estimate, entry_name
from lebench.errors import LebenchError
from lebench.site import home
from lebench.site.leaderboard import View
from lebench.site.numbers import show, signed
from lebench.site.papers import Judged
from lebench.site.papers.base import Evidence, NotMeasured
from lebench.site.pictures import Gallery

#: Where the answers stand, from the folder of pages.
FIGURES = Path("leaderboard") / "figures.json"
_CALL = re.compile(r"\{\{\s*(.+?)\s*\}\}")
_MISSING = "not measured yet"
#: Snippets are included at 32; white space is normalized, and code is found, after.
_PRIORITY = 31


class Figures:
    """What pages may ask for. Models are named by their labels; a value is the primary one of a task by default."""

    def __init__(self, view: View, judged: Judged = ()) -> None:
        self._view = view
        self._evidence = Evidence(view.board, Gallery())
        self._verdicts = {claim.title: finding.verdict for _, claims in judged for claim, finding in claims}

    def calls(self) -> dict[str, Any]:
        """Return the functions and constants by name."""
        board = self._view.board
        functions = (self.mean, self.difference, self.against, self.agreement, self.told, self.leads, self.verdict)
        constants = {
            "version": board.version,
            "date": board.date or "a day without records",
            "suite": board.suite.version,
            "entries": len(board.entries),
            "tasks": len(board.tasks),
            "scores": f"{len(board.scores):,}",
            "claims": len(self._verdicts),
        }
        return {function.__name__: _or_missing(function) for function in functions} | constants

    def mean(self, model: str, task: str, value: str = "") -> Markup:
        """Return the mean of a model with its interval and seeds."""
        value = value or self._primary(task)
        found = self._evidence.mean(entry_name(model), task, value)
        return self._said(found, lambda x: show(x, self._view.bounded(value)), f"{model}, {value} on {task}")

    def difference(self, a: str, b: str, task: str, value: str = "") -> Markup:
        """Return the mean of ``a`` minus ``b``, paired by seed."""
        return self._said(self._paired(a, b, task, value), signed, f"{a} minus {b} on {task}")

    def against(self, a: str, b: str, task: str, value: str = "", more: str = "above", less: str = "below") -> Markup:
        """Return whether ``a`` lies above or below ``b``, or neither, with the difference."""
        found = self._paired(a, b, task, value)
        word = "not told apart from" if not found.excludes_zero else more if found.mean > 0 else less
        return Markup("{} ({})").format(word, self._said(found, signed, f"{a} minus {b} on {task}"))

    def agreement(self, track: str) -> Markup:
        """Return the mean rank correlation between the tasks of a track."""
        found = home.agreement(self._view, track)
        if found is None:
            raise NotMeasured
        return Markup('<span class="le-figure">{}</span>').format(f"{found:.2f}".replace("-", "−"))

    def told(self, track: str) -> str:
        """Return what the ranks of a track rest on, and how many models they tell apart."""
        return home.basis(self._ranking(track))

    def leads(self, track: str) -> str:
        """Return who could be first in a track."""
        return home.card(self._view, self._ranking(track)).title

    def verdict(self, claim: str) -> str:
        """Return the verdict on a claim."""
        if claim not in self._verdicts:
            raise LebenchError(f"there is no claim {claim!r}")
        return self._verdicts[claim]

    def _ranking(self, track: str) -> Any:
        ranking = self._view.rankings.get(track)
        if ranking is None or not ranking.ranks:
            raise NotMeasured
        return ranking

    def _primary(self, task: str) -> str:
        found = next((each.primary for each in self._view.board.tasks if each.name == task), None)
        if found is None:
            raise NotMeasured
        return found

    def _paired(self, a: str, b: str, task: str, value: str) -> Estimate:
        value = value or self._primary(task)
        return self._evidence.difference((entry_name(a), task, value), (entry_name(b), task, value))

    def _said(self, found: Estimate, shown: Callable[[float], Markup], what: str) -> Markup:
        seeds = f"{found.seeds} seed{'' if found.seeds == 1 else 's'}"
        ends = ""
        if found.lower is not None and found.upper is not None:
            ends = Markup("{} to {}; ").format(shown(found.lower), shown(found.upper))
        return Markup('<span class="le-figure" title="{}">{} <small>[{}{}]</small></span>').format(
            what, shown(found.mean), ends, seeds
        )


def _or_missing(function: Callable[..., Any]) -> Callable[..., Any]:
    def called(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except NotMeasured:
            return _MISSING

    return called


def answers(pages: Iterable[Path], figures: Figures) -> dict[str, str]:
    """Return the answers to all calls in pages.

    Raises
    ------
    LebenchError
        If a call cannot be understood.
    """
    environment, calls = Environment(autoescape=True, undefined=StrictUndefined), figures.calls()
    found = {}
    for page in sorted(pages):
        for call in _CALL.findall(page.read_text(encoding="utf-8")):
            try:
                answer = environment.compile_expression(call, undefined_to_none=False)(**calls)
                if not isinstance(answer, str | int):
                    raise LebenchError("it is neither a text nor a number")
                found[call] = str(answer)
            except (TemplateError, TypeError, LebenchError) as error:
                raise LebenchError(f"{page}: {{{{ {call} }}}} cannot be answered: {error}") from error
    return found


class _Answer(Preprocessor):  # type: ignore[misc]
    def __init__(self, md: Markdown, file: Path) -> None:
        super().__init__(md)
        self._file = file

    def run(self, lines: list[str]) -> list[str]:
        if not any("{{" in line for line in lines):
            return lines
        figures: Mapping[str, str] = json.loads(self._file.read_text(encoding="utf-8")) if self._file.is_file() else {}

        def answer(match: re.Match[str]) -> str:
            if match[1] not in figures:
                raise LebenchError(f"{self._file} has no answer to {match[0]}: run 'lebench site build' first")
            return figures[match[1]]

        return [_CALL.sub(answer, line) for line in lines]


class Macros(Extension):  # type: ignore[misc]
    """Put the answers in place of the calls."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Register the preprocessor."""
        md.preprocessors.register(_Answer(md, Path("docs") / FIGURES), "figures", _PRIORITY)


def makeExtension(**options: Any) -> Macros:
    """Return the extension; the name is Markdown's."""
    return Macros(**options)
