"""Records: what a cell produced. Typed documents that are the product of a run.

A record is sealed with a checksum over everything in it, so that a truncated or edited file is noticed. What it is a
record of, its :class:`Cell`, is made of declared names, versions and parameters; the text of lebench's code is not
part of it. Records of earlier schemas are read by :mod:`lebench.runner.migrations`.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lebench.canonical import digest

SCHEMA = 2
#: Begin of the names of artifacts from which the score can be computed again; all others are what pictures show.
RECORDED = "recorded_"

#: Parameter of a model whose weights were not trained by lebench: the sha256 of their file. It takes no rank.
OUTSIDE = "weights_sha256"

Status = Literal["ok", "failed", "timeout", "out_of_memory", "skipped"]
Scalar = str | int | float | bool | None


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("a number must be finite; what cannot be computed has a reason under 'missing'")
    return value


Finite = Annotated[float, AfterValidator(_finite)]


def _is_default(value: object) -> bool:
    """Return whether a later field says nothing: left out, it leaves older records the checksums that they have."""
    return value is None or value in ("", (), {})


class Document(BaseModel):
    """A frozen document that refuses unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def model_post_init(self, context: Any, /) -> None:
        """Share the set of given fields, which pydantic keeps in each record: kilobytes, and nearly always the same."""
        given = self.__pydantic_fields_set__
        object.__setattr__(self, "__pydantic_fields_set__", _GIVEN.setdefault(frozenset(given), given))


_GIVEN: dict[frozenset[str], set[str]] = {}


class Cell(Document):
    """One (task, model, backend, seed): everything the outcome depends on, and nothing else.

    A version is raised by whoever changes numbers; in what is read from an earlier schema, 0 is a version of which is
    known only that it is none of today's.

    Attributes
    ----------
    task, task_version
        Registered name and version.
    dataset, dataset_version, dataset_sha256
        Registered name, version and a checksum of its arrays.
    model, model_version, params
        Registered name, version, and all parameters with their values.
    plugin : str
        Sha256 of the code that is not lebench's own, empty if all is.
    references : dict of str to int
        Models that the task or the model itself fits, and the backends of those, with their versions.
    backend, backend_version, precision, seed
        Where and how it is computed: ``"torch"``, 1, ``"float32"``, 0.
    """

    task: str
    task_version: int = Field(ge=0)
    dataset: str
    dataset_version: int = Field(ge=0)
    dataset_sha256: str
    model: str
    model_version: int = Field(ge=0)
    params: dict[str, Scalar]
    plugin: str = ""
    references: dict[str, int] = {}
    backend: str
    backend_version: int = Field(ge=0)
    precision: str
    seed: int = Field(ge=0)

    @property
    def key(self) -> str:
        """Sha256 of the canonical form (RFC 8785): the identity of the cell."""
        return digest(self.model_dump(mode="json"))


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
    """The machine and the software.

    Attributes
    ----------
    device : str or None
        On which networks were computed if not on the processor, as ``"cuda:0 NVIDIA H200"``.
    driver : str or None
        Versions of what drives the device.
    deterministic : bool or None
        Whether the device was asked for algorithms that have the same result twice.
    """

    lebench: str
    python: str
    packages: dict[str, str]
    os: str
    cpu: str
    gpu: str | None
    threads: int
    device: str | None = Field(default=None, exclude_if=_is_default)
    driver: str | None = Field(default=None, exclude_if=_is_default)
    deterministic: bool | None = Field(default=None, exclude_if=_is_default)


class Source(Document):
    """The state of the code: shown, but no part of what a record is.

    Attributes
    ----------
    commit : str or None
        Of git, None outside of a checkout.
    dirty : bool or None
        Whether files differed from it.
    code : str
        Sha256 of lebench's source files; empty in records of schema 1.
    """

    commit: str | None
    dirty: bool | None
    code: str = Field("", exclude_if=_is_default)


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
    replaces : tuple of str
        Checksums of records of the same cell in whose place this one was made on request.
    fingerprints : dict of str to str
        In a record that was read from schema 1: what it had in place of versions, checksums of the code of the task and
        of the model. In one whose task has another name today: its ``checksum`` before.
    deterministic : bool or None
        Whether a second fit of the model was equal, if that was looked at.
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
    replaces: tuple[str, ...] = Field(default=(), exclude_if=_is_default)
    fingerprints: dict[str, str] = Field(default={}, exclude_if=_is_default)
    deterministic: bool | None = Field(default=None, exclude_if=_is_default)
    checksum: str = ""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @property
    def outside(self) -> str:
        """Sha256 of the weights that were trained elsewhere; empty if lebench trained them."""
        return str(self.cell.params.get(OUTSIDE, ""))

    @property
    def pictured(self) -> dict[str, Artifact]:
        """The artifacts that pictures are made from."""
        return {name: artifact for name, artifact in self.artifacts.items() if not name.startswith(RECORDED)}

    @property
    def recorded(self) -> dict[str, Artifact]:
        """The artifacts from which the score can be computed again."""
        return {name: artifact for name, artifact in self.artifacts.items() if name.startswith(RECORDED)}

    def _digest(self) -> str:
        return digest(self.model_dump(mode="json", by_alias=True, exclude={"checksum"}))

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
