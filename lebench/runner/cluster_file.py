"""The file that says which cluster to start for a run, and how Dask starts it."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lebench.errors import LebenchError, MissingDependencyError, ParameterError, install_hint
from lebench.runner.environment import cores

#: Module and class of each kind.
KINDS = {
    "local": "distributed:LocalCluster",
    "ssh": "distributed:SSHCluster",
    "slurm": "dask_jobqueue:SLURMCluster",
    "pbs": "dask_jobqueue:PBSCluster",
    "lsf": "dask_jobqueue:LSFCluster",
    "sge": "dask_jobqueue:SGECluster",
    "kubernetes": "dask_kubernetes.operator:KubeCluster",
}
#: Dask's page for people, which nobody sees here, else wants one port for all clusters of a machine.
_ANY_PORT = {"dashboard_address": ":0"}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "local": {"n_workers": 0, "threads_per_worker": 1, **_ANY_PORT},
    **{kind: {"scheduler_options": _ANY_PORT} for kind in ("ssh", "slurm", "pbs", "lsf", "sge")},
}


class ClusterFile(BaseModel):
    """Content of the file.

    Attributes
    ----------
    kind : str
        One of :data:`KINDS`.
    minimum, maximum : int
        How many workers there are, as there is work. One machine has as many as processors by default, and SSH one for
        each host that is named.
    options : dict of str to object
        Arguments of the class in Dask.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["local", "ssh", "slurm", "pbs", "lsf", "sge", "kubernetes"]
    minimum: int = Field(0, ge=0)
    maximum: int | None = Field(None, ge=1)
    options: dict[str, Any] = {}


def dask(module: str) -> Any:
    """Return a module of Dask's.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0].replace("_", "-")
        how = f"pip install {package}" if package == "dask-kubernetes" else install_hint("cluster")
        raise MissingDependencyError(f"a cluster needs {package}: {how} ({error})") from error


def start(path: Path) -> Any:
    """Start the cluster of a file and return it, one of Dask's.

    Raises
    ------
    LebenchError
        If the file cannot be read, has a key that means nothing, or Dask cannot start what it says.
    """
    file = read(path)
    if file.maximum is None and file.kind not in ("local", "ssh"):
        raise ParameterError(f"{path}: say how many workers there may be at a time: maximum: 8")
    module, name = KINDS[file.kind].split(":")
    make = getattr(dask(module), name)
    known = _parameters(make)
    for option in file.options:
        if option not in known:
            near = ", ".join(sorted(known - {"self", "loop", "asynchronous"}))
            raise ParameterError(f"{path}: options: {name} of Dask has no {option!r}; it has {near}")
    try:
        cluster = make(**{**_DEFAULTS.get(file.kind, {}), **file.options})
        if file.kind != "ssh":
            # As many as there are jobs: Dask believes that what it does not know takes half a second, and asks for as
            # many as get it done in this time.
            cluster.adapt(minimum=file.minimum, maximum=file.maximum or cores(), target_duration="1ms")
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise LebenchError(f"{path}: Dask cannot start a cluster of kind {file.kind}: {reason}") from error
    return cluster


def read(path: Path) -> ClusterFile:
    """Return what a file says.

    Raises
    ------
    LebenchError
        If it cannot be read, or is none.
    """
    yaml = dask("yaml")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return ClusterFile.model_validate(content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ParameterError(
            f"{path}: {where or 'the file'}: {problem['msg']}; its keys are {', '.join(ClusterFile.model_fields)}"
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise LebenchError(
            f"cluster {str(path)!r} is neither the address of a scheduler (tcp://host:8786) nor a file of one: {reason}"
        ) from None


def _parameters(make: Any) -> frozenset[str]:
    """Return the names of what a class or function takes, and of what it passes on."""
    takes = [make, getattr(make, "job_cls", None)]
    if make.__name__ == "LocalCluster":
        takes += [dask("distributed").Nanny, dask("distributed").Worker]
    takes = [each for one in takes for each in (inspect.getmro(one)[:-1] if inspect.isclass(one) else [one]) if each]
    return frozenset(name for each in takes for name in inspect.signature(each).parameters) - {"args", "kwargs"}
