"""Fits beside the records of a results folder: states of those under way, and on request those that are made."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, fields
from pathlib import Path

from lebench.canonical import digest
from lebench.checkpoints import KeptFit
from lebench.data.base import Variant
from lebench.records import Cell
from lebench.runner.results import Origin

#: Folder of a results folder in which they are.
FOLDER = "fits"
#: Seconds of training between two states.
EVERY_S = 120.0

#: What of a cell a fit depends on: all but the question.
_OF_FIT = {
    *("dataset", "dataset_version", "dataset_sha256"),
    *("model", "model_version", "params", "plugin"),
    *("backend", "backend_version", "precision", "seed"),
}


@dataclass(frozen=True)
class Keeping:
    """Where and how fits are kept.

    Attributes
    ----------
    folder : Path
        Of all of them.
    to_the_end : bool
        Whether those that are made are kept, too.
    every_s : float
        Seconds between two states.
    """

    folder: Path
    to_the_end: bool = False
    every_s: float = EVERY_S

    def fit(self, cell: Cell, label: str, variant: Variant, origin: Origin) -> KeptFit:
        """Return where a fit of a variant, which a cell needs, is kept."""
        described = {
            "label": label,
            "backend": cell.backend,
            "dataset": cell.dataset,
            "seed": cell.seed,
            "variant": variant.name,
        }
        made_by = {**origin.environment.packages, "cpu": origin.environment.cpu, "commit": origin.source.commit}
        return KeptFit(self.folder / fit_key(cell, variant), described, made_by, self.every_s, self.to_the_end)


def fit_key(cell: Cell, variant: Variant) -> str:
    """Return the identity of a fit: what is declared of it, without the question that is asked of it."""
    changes = {field.name: getattr(variant, field.name) for field in fields(variant) if field.name != "name"}
    return digest({**cell.model_dump(mode="json", include=_OF_FIT), "variant": json.loads(json.dumps(changes))})


@dataclass(frozen=True)
class Found:
    """A fit that is kept.

    Attributes
    ----------
    folder : Path
        Its own.
    label, backend, dataset, seed, variant
        What it is.
    bytes : int
        Its size.
    """

    folder: Path
    label: str
    backend: str
    dataset: str
    seed: int
    variant: str
    bytes: int

    def remove(self) -> None:
        """Forget it: it is made again where it is needed."""
        shutil.rmtree(self.folder)


def kept_fits(results: Path) -> list[Found]:
    """Return the fits that are kept in a results folder, in the order of what they are."""
    found = []
    for file in results.glob(f"{FOLDER}/*/fit.json"):
        try:
            described = json.loads(file.read_text(encoding="utf-8"))
            size = sum(each.stat().st_size for each in file.parent.iterdir())
            found.append(Found(file.parent, **described, bytes=size))
        except (OSError, ValueError, TypeError):
            # One that a run has just ended.
            continue
    return sorted(found, key=lambda fit: (fit.label, fit.backend, fit.dataset, fit.seed, fit.variant))
