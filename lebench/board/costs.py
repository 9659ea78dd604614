"""What cells cost, as the records of the leaderboard say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from lebench.runner.migrations import earlier_names


@dataclass(frozen=True)
class Costs:
    """Wall times of cells in seconds, medians over seeds.

    Attributes
    ----------
    of_labels : dict of (str, str) to float
        By the label of a model and a task.
    of_models : dict of (str, str) to float
        By the name of a model, whatever its parameters, and a task.
    """

    of_labels: dict[tuple[str, str], float]
    of_models: dict[tuple[str, str], float]

    def expected(self, label: str, task: str) -> tuple[float | None, bool]:
        """Return the seconds of a cell, None if nothing is known, and whether they are of that very model."""
        own = self.of_labels.get((label, task))
        return (own, True) if own is not None else (self.of_models.get((label.split("[")[0], task)), False)


def recorded_costs(entries: Path) -> Costs:
    """Return the costs in a folder of entries; what cannot be read says nothing.

    Records are not checked, and their machines are not those of a reader: it is an expectation.
    """
    by_label: dict[tuple[str, str], list[float]] = {}
    by_model: dict[tuple[str, str], list[float]] = {}
    for file in sorted(entries.glob("[!.]*/records.jsonl")):
        try:
            for line in file.read_text(encoding="utf-8").splitlines():
                record = json.loads(line)
                if record["cost"] is None:
                    continue
                task = earlier_names().get(record["cell"]["task"], record["cell"]["task"])
                seconds = float(record["cost"]["fit_s"]) + float(record["cost"]["score_s"])
                by_label.setdefault((record["label"], task), []).append(seconds)
                by_model.setdefault((record["cell"]["model"], task), []).append(seconds)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    medians = ({key: median(values) for key, values in found.items()} for found in (by_label, by_model))
    return Costs(*medians)
