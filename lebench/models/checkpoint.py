"""Weights that were trained elsewhere, as a model: nothing is trained, and records say where they came from."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lebench.data.base import Split
from lebench.errors import DataError, ParameterError


@dataclass(frozen=True)
class TrainedElsewhere:
    """A torch module of a builder with the weights of a file, the same for every seed.

    Attributes
    ----------
    builder : str
        ``"net.py:make"``: a function in a Python file that returns the module, without arguments or from
        ``(input_shape, outputs)``.
    weights : str
        The file of weights.
    sha256, builder_sha256 : str
        Of the file of weights and of that of the builder.
    """

    builder: str
    weights: str
    sha256: str
    builder_sha256: str

    #: It may lack features or layers, in which case a cell is skipped with the reason.
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"predict", "predict_proba", "features", "weights", "similarity", "gram"}
    )

    def fit(self, split: Split, seed: int) -> object:
        """Return the fitted network; the split says the shape of inputs and the number of classes only."""
        from lebench.backends.wrapping import wrap

        path = Path(self.weights)
        if _sha256(path) != self.sha256:
            raise DataError(f"{path.name} has changed since the run began")
        load: Any = importlib.import_module("lebench.backends.torch_weight_files").load_module
        module = load(_function(self.builder), path, split.input_shape, split.classes)
        return wrap(module, split.x_train[:2], channels_last=True)


def trained_elsewhere(weights: str | Path, builder: str) -> dict[str, TrainedElsewhere]:
    """Return the model of a file of weights by its name: that of the file and digits of a checksum.

    Parameters
    ----------
    weights : path
        ``.safetensors``, or a ``state_dict`` saved by torch.
    builder : str
        ``"net.py:make"``.

    Raises
    ------
    LebenchError
        If there is no such file or function.
    """
    path = Path(weights).resolve()
    if not path.is_file():
        raise DataError(f"there is no file {weights}")
    file, _, name = builder.rpartition(":")
    if not file:
        raise ParameterError(f"the builder {builder!r} must be FILE:FUNCTION, for example net.py:make")
    where = f"{Path(file).resolve()}:{name}"
    _function(where)
    digests = _sha256(path), _sha256(Path(file))
    both = hashlib.sha256(" ".join((*digests, name)).encode()).hexdigest()
    return {f"{path.stem}-{both[:8]}": TrainedElsewhere(where, str(path), *digests)}


def _function(builder: str) -> Callable[..., Any]:
    file, _, name = builder.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise DataError(f"there is no file {file}")
    spec = importlib.util.spec_from_file_location(f"lebench_builder_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function: Any = getattr(module, name, None)
    if not callable(function):
        raise ParameterError(f"{path.name} has no function {name!r}")
    return function  # type: ignore[no-any-return]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
