"""Records: what a cell produced. Typed documents that are the product of a run.

A record is sealed with a checksum over everything in it, so that a truncated or edited file is noticed.
"""

from __future__ import annotations

import hashlib
import math
from typing import Annotated, Any, Literal

import rfc8785
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

SCHEMA = 1
#: Begin of the names of artifacts from which the score can be computed again; all others are what pictures show.
RECORDED = "recorded_"

Status = Literal["ok", "failed", "timeout", "out_of_memory", "skipped"]
Scalar = str | int | float | bool | None


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("a number must be finite; what cannot be computed has a reason under 'missing'")
    return value


Finite = Annotated[float, AfterValidator(_finite)]


class Document(BaseModel):
    """A frozen document that refuses unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Cell(Document):
    """One (task, model, backend, seed): everything the outcome depends on, and nothing else.

    Attributes
    ----------
    task, task_version, task_fingerprint
        The task and a checksum of its declaration and of the code of its score.
    dataset, dataset_sha256
        The data and a checksum of its arrays.
    model, params, model_fingerprint
        Registered name, all parameters with their values, and a checksum of the resolved configuration.
    backend, precision, seed
        Where and how it is computed: ``"torch"``, ``"float32"``, 0.
    """

    task: str
    task_version: int
    task_fingerprint: str
    dataset: str
    dataset_sha256: str
    model: str
    params: dict[str, Scalar]
    model_fingerprint: str
    backend: str
    precision: str
    seed: int = Field(ge=0)

    @property
    def key(self) -> str:
        """Sha256 of the canonical form (RFC 8785): the identity of the cell."""
        return hashlib.sha256(rfc8785.dumps(self.model_dump(mode="json"))).hexdigest()


class Cost(Document):
    """What a cell cost, as if it had been computed alone: shared fits are counted in full.

    Attributes
    ----------
    fit_s, score_s : float
        Wall time of the fits and of scoring, in seconds.
    cpu_s : float
        CPU time of both, in seconds.
    peak_memory_bytes : int
        Largest resident memory of the worker so far.
    fits : int
        Number of fits the cell used.
    """

    fit_s: float = Field(ge=0)
    score_s: float = Field(ge=0)
    cpu_s: float = Field(ge=0)
    peak_memory_bytes: int = Field(ge=0)
    fits: int = Field(ge=0)


class Artifact(Document):
    """A file that belongs to a record, by checksum."""

    sha256: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int = Field(ge=0)


class Environment(Document):
    """The machine and the software."""

    lebench: str
    python: str
    packages: dict[str, str]
    os: str
    cpu: str
    gpu: str | None
    threads: int


class Source(Document):
    """The state of the code: git commit, and whether files differed from it."""

    commit: str | None
    dirty: bool | None


class RunInfo(Document):
    """When and by which command (ISO 8601, UTC)."""

    started: str
    finished: str
    command: str


class Record(Document):
    """The outcome of one cell.

    Attributes
    ----------
    track : str
        Track of the task.
    label : str
        The model as it was asked for: ``"mlp[width=4096]"``.
    metrics : dict
        Values by name ``"metric"`` or ``"metric@qualifier"``; finite numbers only.
    missing : dict
        Why a metric of the task has no value.
    status, reason
        ``"ok"``, or what happened and why.
    checksum : str
        Sha256 of the canonical form without this field; empty until :meth:`sealed`.
    """

    schema_version: int = Field(SCHEMA, alias="schema")
    cell: Cell
    track: str
    label: str
    status: Status
    reason: str = ""
    metrics: dict[str, Finite] = {}
    missing: dict[str, str] = {}
    artifacts: dict[str, Artifact] = {}
    cost: Cost | None = None
    environment: Environment
    source: Source
    run: RunInfo
    checksum: str = ""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @property
    def pictured(self) -> dict[str, Artifact]:
        """The artifacts that pictures are made from."""
        return {name: artifact for name, artifact in self.artifacts.items() if not name.startswith(RECORDED)}

    @property
    def recorded(self) -> dict[str, Artifact]:
        """The artifacts from which the score can be computed again."""
        return {name: artifact for name, artifact in self.artifacts.items() if name.startswith(RECORDED)}

    def _digest(self) -> str:
        content: dict[str, Any] = self.model_dump(mode="json", by_alias=True, exclude={"checksum"})
        return hashlib.sha256(rfc8785.dumps(content)).hexdigest()

    def sealed(self) -> Record:
        """Return the same record with its checksum."""
        return self.model_copy(update={"checksum": self._digest()})

    @property
    def intact(self) -> bool:
        """Whether the checksum is the one of the content."""
        return self.checksum == self._digest()

    def to_json(self) -> str:
        """Return the document as one line of JSON."""
        return self.model_dump_json(by_alias=True)
