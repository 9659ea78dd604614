"""The check that the board can tell: controls lose, and a leak of test labels is seen."""

from __future__ import annotations

from lebench.board.board import Board, BoardEntry
from lebench.board.frame import has_tag
from lebench.board.scores import Score
from lebench.errors import LebenchError
from lebench.stats import paired_difference
from lebench.tasks.base import metric_of

#: What says how well labels were learnt. Other values of generalization tasks, such as how far a network is from its
#: linearization, say nothing about a control.
_LEARNT = frozenset({"accuracy", "error", "log_loss", "brier"})


class ControlError(LebenchError):
    """A control does what a control must not do."""


def check_controls(board: Board) -> None:
    """Refuse a board on which a control beats a model that learnt from the data, or a leak goes unseen.

    Controls have to lose where labels must have been learnt: in generalization tasks whose primary value is an
    accuracy, an error, a log-loss or a Brier score. Elsewhere some score well for good reasons: similarities follow
    the geometry of the inputs whatever the labels, and a network that memorizes permuted labels collapses.

    Parameters
    ----------
    board : Board
        See :func:`lebench.board.make_board`; its level is that of the intervals.

    Raises
    ------
    ControlError
        If the interval of the paired difference says that a control is better than a model; if a model with the tag
        ``leak`` has not accuracy 1 in every seed, or is not marked as a control; or if a model that is no control has
        accuracy 1 in every seed of every task on which a leak has it.
    """
    names = {
        task.name: task.primary
        for task in board.tasks
        if task.track == "generalization" and metric_of(task.primary) in _LEARNT
    }
    scores = {(s.task, s.entry): s for s in board.scores if names.get(s.task) == s.value}
    leaks = [entry for entry in board.entries if has_tag(entry.info.model, "leak")]
    controls = [entry.info.name for entry in board.entries if entry.control and entry not in leaks]
    models = [entry.info.name for entry in board.entries if not entry.control and entry not in leaks]
    directions = {metric.name: metric.direction for metric in board.metrics}
    for task, value in names.items():
        higher = directions[metric_of(value)] == "higher"
        for control, model in ((c, m) for c in controls for m in models):
            if {(task, control), (task, model)} <= scores.keys():
                _compare(scores[task, control], scores[task, model], higher, board.level)
    accuracies = {key: score for key, score in scores.items() if metric_of(score.value) == "accuracy"}
    for leak in leaks:
        _check_leak(leak, [score for (_, entry), score in accuracies.items() if entry == leak.info.name])
        tasks = {task for task, entry in accuracies if entry == leak.info.name}
        for model in models:
            if all((task, model) in accuracies and _perfect(accuracies[task, model]) for task in tasks):
                raise ControlError(
                    f"{model} has accuracy 1 in every seed of {', '.join(sorted(tasks))}, like the control "
                    f"{leak.info.name}: does it read the test labels? See lebench.testing.check_model"
                )


def _perfect(score: Score) -> bool:
    return all(value == 1 for value in score.by_seed.values())


def _compare(control: Score, model: Score, higher: bool, level: float) -> None:
    difference = paired_difference(control.by_seed, model.by_seed, level)
    if difference is None or not difference.excludes_zero or (difference.mean > 0) != higher:
        return
    raise ControlError(
        f"control {control.entry} beats {model.entry} on {control.task}: {control.value} {control.mean:.4g} against "
        f"{model.mean:.4g}, difference {difference.mean:.4g} [{difference.lower:.4g}, {difference.upper:.4g}] over "
        f"{difference.seeds} seeds; the task measures something else than it says, or the model has learnt nothing"
    )


def _check_leak(leak: BoardEntry, accuracies: list[Score]) -> None:
    name = leak.info.name
    if not leak.control:
        raise ControlError(f"{name} leaks test labels and is not marked as a control: give it the tag 'control'")
    if not accuracies:
        raise ControlError(f"control {name} has no accuracy on a generalization task: nothing shows that it leaks")
    for score in accuracies:
        if not _perfect(score):
            raise ControlError(
                f"control {name} has {score.value} {score.mean:.4g} on {score.task} where test labels that leak give "
                "1: the task does not score what it says"
            )
