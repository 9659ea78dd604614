"""Tables of values that say in a notebook what they hold, and draw what stands behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from markupsafe import Markup

from lebench import board, pictures, registry
from lebench.pictures import Arrays
from lebench.reading.drawn import Section, chart, of_entries, of_results, sections
from lebench.reading.sources import interval, number, primary_of, titled

_MOST_ROWS = 60

#: A caption, the columns, the rows, and what a reader must know.
Shown = tuple[str, Sequence[str], Iterable[Sequence[str]], str]


class Frame(pd.DataFrame):
    """A ``pandas.DataFrame`` with a representation for notebooks, and pictures of the arrays behind its values.

    What is selected from it is one, too, as long as it has the columns.
    """

    #: Columns without which it is shown as any other data frame.
    needed: ClassVar[frozenset[str]] = frozenset()

    _metadata: ClassVar[list[str]] = ["behind"]
    #: What makes the pictures of the rows that are left.
    behind: Callable[[pd.DataFrame], Sequence[Section]] | None = None

    @property
    def _constructor(self) -> Any:
        return type(self)

    def plot(self) -> Any:  # type: ignore[override]
        """Return the arrays behind these values as an Altair chart, which a notebook shows.

        Raises
        ------
        MissingDependencyError
            If Altair is not installed.
        LebenchError
            If no arrays were kept.
        """
        return chart(self.behind(self) if self.behind is not None else [])

    def _repr_html_(self) -> str | None:
        if not self.needed <= set(self.columns):
            found: str | None = super()._repr_html_()  # type: ignore[misc]
            return found
        caption, columns, rows, note = self._shown()
        shown = list(rows)
        if len(shown) > _MOST_ROWS:
            note = f"{len(shown) - _MOST_ROWS} more rows. {note}"
        return _table(caption, columns, shown[:_MOST_ROWS], note)

    def _shown(self) -> Shown:
        raise NotImplementedError

    def _rows(self) -> Iterator[Any]:
        return iter(self.itertuples(index=False))


class Scores(Frame):
    """What :func:`lebench.score` returns: ``question``, ``track``, ``metric``, ``value``, ``reason``."""

    needed = frozenset({"question", "metric", "value", "reason"})

    def _shown(self) -> Shown:
        rows, before = [], ""
        for row in self._rows():
            text = number(row.value) if row.value == row.value else f"– {row.reason}"
            rows.append((row.question if row.question != before else "", titled(row.metric), text))
            before = row.question
        names = [name for name in dict.fromkeys(self["question"]) if name in registry.questions]
        about = "; ".join(f"{name}: {registry.questions.item(name).summary}" for name in names)
        return "Scores of a trained model", ("question", "value of", "value"), rows, about


class Results(Frame):
    """Values of records, as :func:`lebench.load` and :func:`lebench.run` return them."""

    needed = frozenset({"task", "model", "seed", "metric", "value", "status", "reason", "track"})

    def _shown(self) -> Shown:
        table = pd.DataFrame(self)
        rows = []
        primary = {task: primary_of(table, task) for task in sorted(set(table["task"]))}
        for each in Results(board.summary(table))._rows():
            if each.metric == primary[each.task]:
                estimate = (number(each.mean), interval(each.lower, each.upper), str(each.seeds))
                rows.append((each.task, titled(each.metric), each.model, *estimate))
        failed = table[~table["status"].isin(["ok", "skipped"])]
        note = "Means over seeds with 95% intervals, of the value that ranks; the frame has every value of every seed."
        if len(failed):
            note += f" {len(failed)} cells have none, the first because: {failed['reason'].iloc[0]}"
        return "Results", ("task", "value of", "model", "mean", "95% interval", "seeds"), rows, note


class Comparison(Frame):
    """What :func:`lebench.compare` returns: paired differences of two models, a row for each value."""

    needed = frozenset({"task", "metric", "a", "b", "difference", "lower", "upper", "seeds", "verdict"})

    _metadata: ClassVar[list[str]] = ["behind", "models"]
    #: The two models.
    models: tuple[str, str] = ("a", "b")

    def _shown(self) -> Shown:
        rows = [
            (
                *(row.task, titled(row.metric), number(row.a), number(row.b), number(row.difference, True)),
                *(interval(row.lower, row.upper, True), str(row.seeds), row.verdict),
            )
            for row in self._rows()
        ]
        columns = ("task", "value of", *self.models, "difference", "95% interval", "seeds", "verdict")
        return " against ".join(self.models), columns, rows, "Differences are paired over seeds."


class Board(Frame):
    """What :func:`lebench.board` returns: models by score, with ranks as intervals."""

    needed = frozenset({"question", "model", "score", "lower", "upper", "best_rank", "worst_rank", "seeds"})

    def _shown(self) -> Shown:
        rows = [
            (row.question, row.model, number(row.score), interval(row.lower, row.upper), _rank(row), str(row.seeds))
            for row in self._rows()
        ]
        note = "A rank is a 95% range, corrected for the number of comparisons; what is not ranked is shown beside."
        return "Leaderboard", ("track or task", "model", "score", "95% interval", "rank", "seeds"), rows, note

    def plot(self) -> Any:  # type: ignore[override]
        """Return scores with their intervals as an Altair chart, a panel for each track or task."""
        made = pictures.ranked(
            {
                question: [(row.model, row.score, row.lower, row.upper, row.best_rank == row.best_rank) for row in rows]
                for question in dict.fromkeys(self["question"])
                for rows in [list(self[self["question"] == question].itertuples(index=False))]
            }
        )
        return chart([("", [made])])


def _rank(row: Any) -> str:
    if row.best_rank != row.best_rank:
        return "not ranked"
    best, worst = int(row.best_rank), int(row.worst_rank)
    return str(best) if best == worst else f"{best} to {worst}"


def of_scores(rows: Sequence[Mapping[str, Any]], arrays: Mapping[str, Arrays]) -> Scores:
    """Return the frame of scores with the arrays behind each question."""
    frame = Scores(pd.DataFrame(rows, columns=["question", "track", "metric", "value", "reason"]))
    frame.behind = partial(_of_questions, arrays)
    return frame


def of_records(frame: pd.DataFrame, results: str | Path) -> Results:
    """Return the frame of records of a results folder."""
    made = Results(frame)
    made.behind = partial(_of_cells, Path(results))
    return made


def _of_questions(arrays: Mapping[str, Arrays], frame: pd.DataFrame) -> Sequence[Section]:
    chosen = [question for question in dict.fromkeys(frame["question"]) if question in arrays]
    found = [(question, pictures.of_model(arrays[question])) for question in chosen]
    return [(question, made) for question, made in found if made]


def _of_cells(results: Path, frame: pd.DataFrame) -> Sequence[Section]:
    arrays = of_results(results, set(frame["key"]))
    return sections(arrays, sorted({task for task, _ in arrays}), list(dict.fromkeys(label for _, label in arrays)))


def of_models(results: Path, entries: Path | None, models: Sequence[str], frame: pd.DataFrame) -> Sequence[Section]:
    """Return the pictures that compare some models, of a results folder or the leaderboard, on the tasks of a frame."""
    own = of_results(results)
    arrays = of_entries(entries, {label for _, label in own}) | own
    return sections(arrays, dict.fromkeys(frame["task"]), models)


def _table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str) -> str:
    head = Markup("").join(Markup("<th>{}</th>").format(name) for name in columns)
    body = Markup("\n").join(
        Markup("<tr>{}</tr>").format(Markup("").join(Markup("<td>{}</td>").format(cell) for cell in row))
        for row in rows
    )
    return str(
        Markup(
            '<table class="lebench"><caption>{}</caption><thead><tr>{}</tr></thead>'
            "<tbody>\n{}\n</tbody></table>\n<p>{}</p>"
        ).format(caption, head, body, note)
    )
