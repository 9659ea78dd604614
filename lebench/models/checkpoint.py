"""Weights that were trained elsewhere, as a model: nothing is trained, and records say where they came from."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lebench import plugins, registry
from lebench.backends.fitted import FittedNetwork
from lebench.backends.wrapping import wrap_course
from lebench.data.base import Dataset, Split
from lebench.errors import DataError, LebenchError, LebenchWarning, ParameterError
from lebench.records import OUTSIDE

#: What a folder may hold of one moment: files of weights, and folders as the Trainer of Hugging Face writes them.
_FILES = ("*.pt", "*.pth", "*.ckpt", "*.bin", "*.safetensors", "*/model.safetensors", "*/pytorch_model.bin")


@dataclass(frozen=True)
class TrainedElsewhere:
    """A torch module of a builder with weights from files, the same for every seed.

    Attributes
    ----------
    builder : str
        ``"net.py:make"``: a function in a Python file that returns the module, without arguments or from
        ``(input_shape, outputs)``.
    weights : tuple of (float, str, str)
        Time, file and its sha256 of every moment of training that was kept, in order; the last is the model.
    builder_sha256 : str
        Of the builder's file and what it imports from beside it.
    """

    builder: str
    weights: tuple[tuple[float, str, str], ...]
    builder_sha256: str

    #: Tasks that train variants are no questions about it.
    is_trained = True

    @property
    def capabilities(self) -> frozenset[str]:
        """What it may have; where features or layers are missing, a cell is skipped with the reason."""
        always = {"predict", "predict_proba", "features", "weights", "similarity", "gram"}
        return frozenset(always | ({"checkpoints"} if len(self.weights) > 1 else set()))

    @property
    def declared(self) -> dict[str, str]:
        """What records say of it, and what its identity is."""
        several = json.dumps([[time, sha256] for time, _, sha256 in self.weights])
        return {
            OUTSIDE: self.weights[0][2] if len(self.weights) == 1 else hashlib.sha256(several.encode()).hexdigest(),
            "builder": self.builder.rpartition(":")[2],
            "builder_sha256": self.builder_sha256,
        }

    @property
    def digest(self) -> str:
        """Identity of what is not lebench's own: that of the declared files, wherever they are."""
        return hashlib.sha256(json.dumps(self.declared, sort_keys=True).encode()).hexdigest()

    def check_dataset(self, dataset: Dataset) -> None:
        """Refuse files that hold no weights, or weights that do not fit the builder or a dataset, before a run.

        Raises
        ------
        LebenchError
            Says which file and why.
        """
        classes = len(dataset.class_names)
        for time, file, _ in self.weights:
            try:
                fitted = self._course({time: file}, np.zeros((2, *dataset.input_shape)), classes)
            except DataError:
                raise
            except LebenchError as error:
                raise ParameterError(f"{Path(file).name} with {Path(self.builder).name}: {error}") from error
            if fitted.classes < classes:
                raise DataError(
                    f"{Path(self.builder).name} returns {fitted.classes} scores, {dataset.name} has {classes} classes"
                )

    def fit(self, split: Split, seed: int) -> object:
        """Return the fitted network; the split says the shape of inputs and the number of classes only."""
        for _, file, sha256 in self.weights:
            if _sha256(Path(file)) != sha256:
                raise DataError(f"{Path(file).name} has changed since the run began")
        return self._course({time: file for time, file, _ in self.weights}, split.x_train[:2], split.classes)

    def _course(self, files: Mapping[float, str], example: Any, classes: int) -> FittedNetwork:
        found = {time: Path(file) for time, file in files.items()}
        return _course(builder_of(self.builder), found, example, classes, channels_last=True)


def trained_elsewhere(weights: str | Path, builder: str) -> dict[str, TrainedElsewhere]:
    """Return the model of a file of weights, or of a folder of them, by its name: that and digits of a checksum.

    Parameters
    ----------
    weights : path
        ``.safetensors``, or a ``state_dict`` saved by torch; or a folder of them, see :func:`files_of`.
    builder : str
        ``"net.py:make"``.

    Raises
    ------
    LebenchError
        If there is no such file or function.
    """
    kept = tuple((time, str(file), _sha256(file)) for time, file in files_of(weights).items())
    builder_of(builder)
    file, _, name = builder.rpartition(":")
    found = plugins.find(file)
    model = TrainedElsewhere(f"{found.file}:{name}", kept, plugins.digest(found))
    path = Path(weights).resolve()
    return {f"{path.name if path.is_dir() else path.stem}-{model.digest[:8]}": model}


def files_of(weights: str | Path | Iterable[str | Path]) -> dict[float, Path]:
    """Return the files of the moments of a training by their time, in order.

    Parameters
    ----------
    weights : path or iterable of path
        One file; several in order; or a folder, whose files or ``checkpoint-N/model.safetensors`` are ordered by the
        last number in their names, an epoch or a step: that is their time. Without numbers they are numbered by name.

    Raises
    ------
    DataError
        If there is none.
    """
    if not isinstance(weights, str | Path):
        files = [Path(each).resolve() for each in weights]
    elif Path(weights).is_dir():
        folder = Path(weights).resolve()
        files = sorted({file for pattern in _FILES for file in folder.glob(pattern)})
        if not files:
            raise DataError(f"the folder {weights} holds no file of weights (.pt, .pth, .ckpt, .bin, .safetensors)")
    else:
        files = [Path(weights).resolve()]
    for file in files:
        if not file.is_file():
            raise DataError(f"there is no file {file.name} in {file.parent}")
    numbers = {file: _number(file) for file in files}
    dated = {file: number for file, number in numbers.items() if number is not None}
    if len(files) < 2 or len(dated) < 2 or len(set(dated.values())) < len(dated):
        return {float(place): file for place, file in enumerate(files)}
    if left := [file.name for file in files if file not in dated]:
        warnings.warn(f"{', '.join(left)}: left out, no number in the name says when", LebenchWarning, stacklevel=2)
    return {number: file for file, number in sorted(dated.items(), key=lambda pair: pair[1])}


def _number(file: Path) -> float | None:
    """Return the last number in the name of a file of weights, or of its folder where all files have one name."""
    name = file.parent.name if file.stem in ("model", "pytorch_model") else file.stem
    found = re.findall(r"\d+", name)
    return float(found[-1]) if found else None


def loaded_weights(
    weights: str | Path | Iterable[str | Path],
    builder: str | Callable[..., Any],
    example: Any,
    classes: int,
    **how: Any,
) -> FittedNetwork:
    """Return the fitted network of files of weights in this process.

    Parameters
    ----------
    weights : path or iterable of path
        See :func:`files_of`.
    builder : str or callable
        ``"net.py:make"``, or the function itself.
    example : array of shape (n, ...)
        Inputs as the module takes them.
    classes : int
        Number of scores, for a builder that asks for it.
    **how
        See :func:`lebench.wrap`.

    Raises
    ------
    LebenchError
        If a file is missing or its weights do not fit.
    """
    build = builder if callable(builder) else builder_of(builder)
    return _course(build, files_of(weights), example, classes, **how)


def _course(
    build: Callable[..., Any], files: Mapping[float, Path], example: Any, classes: int, **how: Any
) -> FittedNetwork:
    load: Any = importlib.import_module("lebench.backends.torch_weight_files").load_module
    shape = tuple(example.shape[1:])
    makers = {time: partial(load, build, file, shape, classes) for time, file in files.items()}
    return wrap_course(makers, example, **how)


def builder_of(builder: str) -> Callable[..., Any]:
    """Return the function that ``"net.py:make"`` names; the file may import what stands beside it.

    Raises
    ------
    LebenchError
        If there is no such file or function, or the file cannot be imported.
    """
    file, _, name = builder.rpartition(":")
    if not file:
        raise ParameterError(f"the builder {builder!r} must be FILE:FUNCTION, for example net.py:make")
    try:
        plugin = plugins.find(file)
        registry.load_plugin(plugin)
    except LebenchError as error:
        raise ParameterError(str(error).replace("plug-in", "builder", 1)) from error
    function: Any = getattr(importlib.import_module(plugin.module), name, None)
    if not callable(function):
        raise ParameterError(f"{plugin.file.name} has no function {name!r}")
    return function  # type: ignore[no-any-return]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
