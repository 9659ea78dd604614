"""lebench: a benchmark of generalization, local elasticity and neural collapse.

The public API is what is listed in ``__all__``. Importing lebench imports no framework: each name is loaded when
it is first used.

Examples
--------
>>> import lebench
>>> frame = lebench.run(models=["knn"], tasks=["digits/accuracy"], seeds=1, results=folder)  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lebench import architectures as architectures
    from lebench import metrics as metrics
    from lebench.backends.base import Recipe as Recipe
    from lebench.backends.wrapping import wrap as wrap
    from lebench.callbacks import Follow as Follow
    from lebench.data.base import Dataset as Dataset
    from lebench.data.base import Split as Split
    from lebench.data.base import Variant as Variant
    from lebench.data.own import dataset as dataset
    from lebench.errors import LebenchError as LebenchError
    from lebench.metrics.base import metric as metric
    from lebench.models.network import Network as Network
    from lebench.reading.comparing import compare as compare
    from lebench.scoring import score as score
    from lebench.tasks.base import Task as Task

_ORIGIN = {
    "Dataset": "lebench.data.base",
    "Follow": "lebench.callbacks",
    "LebenchError": "lebench.errors",
    "Network": "lebench.models.network",
    "Recipe": "lebench.backends.base",
    "Split": "lebench.data.base",
    "Task": "lebench.tasks.base",
    "Variant": "lebench.data.base",
    "compare": "lebench.reading.comparing",
    "dataset": "lebench.data.own",
    "load": "lebench.api",
    "merge": "lebench.api",
    "metric": "lebench.metrics.base",
    "register_backend": "lebench.api",
    "register_dataset": "lebench.api",
    "register_model": "lebench.api",
    "register_task": "lebench.api",
    "run": "lebench.api",
    "score": "lebench.scoring",
    "submit": "lebench.cli.submitting",
    "wrap": "lebench.backends.wrapping",
}
#: The last four are functions as well, see :mod:`lebench.callables`.
_MODULES = ("architectures", "metrics", "agree", "board", "calibrate", "verify")

__all__ = [*_ORIGIN, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _ORIGIN:
        return getattr(importlib.import_module(_ORIGIN[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"lebench.{name}")
    raise AttributeError(f"module 'lebench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
