"""Where data of one's own come from: arrays, tables, folders of images, datasets of torch and of Hugging Face.

Nothing of torch or Hugging Face is imported: their datasets are known by what they offer.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lebench.errors import DataError, MissingDependencyError

if TYPE_CHECKING:
    import pandas as pd

_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
_TABLES = {".csv": ",", ".tsv": "\t", ".parquet": ""}
#: Names of the parts of a dataset that comes divided.
_TRAIN, _TEST = ("train", "training"), ("test", "validation", "valid", "val")
_IMAGE_COLUMNS = ("image", "img", "pixel_values")
_LABEL_COLUMNS = ("label", "labels", "class", "target", "y", "fine_label")


@dataclass(frozen=True)
class Points:
    """Inputs with labels, as they were found.

    Attributes
    ----------
    x : ndarray of shape (n, ...)
        Numbers; images are (height, width, channels), bytes where they were so.
    labels : ndarray of shape (n,)
        Whatever names a class.
    class_names : tuple of str or None
        Names of the classes 0, 1, ... where the source says them.
    """

    x: NDArray[Any]
    labels: NDArray[Any]
    class_names: tuple[str, ...] | None = None


def read(data: Any, labels: Any, size: tuple[int, int] | None) -> tuple[Points, Points | None]:
    """Return the points of a source, and those held out for test if it comes divided.

    Parameters
    ----------
    data, labels
        See :func:`lebench.dataset`.
    size : (int, int), optional
        Height and width to which images are brought.

    Raises
    ------
    DataError
        If it cannot be read, or has no labels.
    """
    if isinstance(data, str | Path):
        return _at(Path(data).expanduser(), labels, size)
    if isinstance(data, Mapping) and (found := _parts(data)):
        return _divided([read(data[name], labels, size)[0] for name in found])
    if hasattr(data, "columns") and hasattr(data, "dtypes"):
        return _of_table(data, labels), None
    if hasattr(data, "column_names") and hasattr(data, "features"):
        return _of_columns(data, labels, size), None
    if labels is None and isinstance(data, tuple) and len(data) == 2:
        data, labels = data
    if labels is None and hasattr(data, "__getitem__") and not isinstance(data, np.ndarray | list):
        return _of_items(data, size), None
    if labels is None:
        raise DataError("it has no labels: give them as labels=..., one for each point")
    return Points(_numbers(data), _plain(labels)), None


def _parts(names: Any) -> list[str]:
    """Return the names of the training and of the test part, nothing if there are not both."""
    found = [next((name for name in wanted if name in names), None) for wanted in (_TRAIN, _TEST)]
    return [name for name in found if name is not None] if None not in found else []


def _divided(parts: Sequence[Points]) -> tuple[Points, Points | None]:
    train, test = parts
    return train, test


def _at(path: Path, labels: Any, size: tuple[int, int] | None) -> tuple[Points, Points | None]:
    if path.is_dir():
        folders = {folder.name: folder for folder in path.iterdir() if folder.is_dir() and folder.name[0] != "."}
        if found := _parts(folders):
            return _divided([_of_folder(folders[name], size) for name in found])
        return _of_folder(path, size), None
    if not path.is_file():
        raise DataError(f"there is no file or folder {path}")
    if path.suffix not in _TABLES:
        raise DataError(f"{path.name} is no {', '.join(_TABLES)} file and no folder of images")
    import pandas as pd

    try:
        if path.suffix == ".parquet":
            if importlib.util.find_spec("pyarrow") is None:
                raise MissingDependencyError("Parquet files need pyarrow; pip install pyarrow")
            return _of_table(pd.read_parquet(path), labels), None
        return _of_table(pd.read_csv(path, sep=_TABLES[path.suffix]), labels), None
    except (ValueError, OSError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path.name} cannot be read: {' '.join(str(error).split())}") from error


def _of_table(table: pd.DataFrame, labels: Any) -> Points:
    """Return the columns of a table as coordinates."""
    names = [str(name) for name in table.columns]
    if labels is None:
        raise DataError(f"which column has the labels? Give its name as labels=...; there are {', '.join(names)}")
    if isinstance(labels, str):
        if labels not in names:
            raise DataError(f"there is no column {labels!r} with labels; there are {', '.join(names)}")
        found = table[labels].to_numpy()
        table = table.drop(columns=[labels])
    else:
        found = _plain(labels)
    for name in table.columns:
        column = table[name]
        if column.dtype.kind not in "biuf":
            raise DataError(f"column {str(name)!r} holds no numbers; leave it out, or make numbers of it")
        if column.isna().any():
            raise DataError(f"column {str(name)!r} lacks {int(column.isna().sum())} of its values")
    return Points(table.to_numpy(dtype=np.float64), found)


def _of_folder(path: Path, size: tuple[int, int] | None) -> Points:
    """Return the images in a folder that has a folder for each class."""
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir() and folder.name[0] != ".")
    files = [(file, label) for label, folder in enumerate(folders) for file in sorted(folder.rglob("*"))]
    files = [(file, label) for file, label in files if file.suffix.lower() in _PICTURES]
    if not files:
        raise DataError(f"{path} holds no images in folders, one for each class, so that there are no labels")
    if importlib.util.find_spec("PIL") is None:
        raise MissingDependencyError("images need Pillow; pip install pillow")
    from PIL import Image, UnidentifiedImageError

    def opened() -> Iterator[tuple[str, Any]]:
        for file, _ in files:
            try:
                with Image.open(file) as image:
                    yield str(file.relative_to(path)), image.copy()
            except (UnidentifiedImageError, OSError) as error:
                raise DataError(f"{file.relative_to(path)} is no image that can be read") from error

    return Points(
        _stacked(opened(), size),
        np.array([folders[label].name for _, label in files]),
        tuple(folder.name for folder in folders),
    )


def _of_items(data: Any, size: tuple[int, int] | None) -> Points:
    """Return the items of a torch dataset: pairs of an input and a label."""
    if len(data) == 0:
        raise DataError("it has no points")
    inputs, labels = [], []
    for place in range(len(data)):
        item = data[place]
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise DataError(f"its items must be pairs of an input and a label; item {place} is a {type(item).__name__}")
        inputs.append(item[0])
        labels.append(_plain(item[1]))
    names = getattr(data, "classes", None)
    names = tuple(map(str, names)) if isinstance(names, list | tuple) else None
    named = ((f"item {place}", value) for place, value in enumerate(inputs))
    return Points(_stacked(named, size), np.array(labels), names)


def _of_columns(data: Any, labels: Any, size: tuple[int, int] | None) -> Points:
    """Return the columns of a dataset of Hugging Face."""
    names = list(data.column_names)
    wanted = (labels,) if isinstance(labels, str) else _LABEL_COLUMNS
    column = next((name for name in wanted if name in names), None)
    if column is None:
        raise DataError(f"which column has the labels? Give its name as labels=...; there are {', '.join(names)}")
    class_names = getattr(data.features[column], "names", None)
    inputs = [name for name in names if name != column]
    image = next((name for name in _IMAGE_COLUMNS if name in inputs), inputs[0] if len(inputs) == 1 else None)
    if image is not None:
        named = ((f"row {place}", value) for place, value in enumerate(data[image]))
        x = _stacked(named, size)
    else:
        x = np.stack([_numbers(data[name], f"column {name!r}") for name in inputs], axis=1)
    return Points(x, _plain(data[column]), tuple(map(str, class_names)) if class_names else None)


def _stacked(named: Iterator[tuple[str, Any]], size: tuple[int, int] | None) -> NDArray[Any]:
    """Return inputs of one shape as an array; images of several kinds are made one kind, sizes are not."""
    arrays: list[NDArray[Any]] = []
    first = ""
    for name, value in named:
        array = _of_image(value, size) if hasattr(value, "getbands") else _channels_last(value, name)
        if arrays and {array.ndim, arrays[0].ndim} == {3} and array.shape[:2] == arrays[0].shape[:2]:
            # A grey image among coloured ones.
            channels = max(array.shape[2], arrays[0].shape[2])
            if arrays[0].shape[2] == 1 < channels:
                arrays = [np.repeat(each, channels, axis=2) for each in arrays]
            array = np.repeat(array, channels, axis=2) if array.shape[2] == 1 < channels else array
        if arrays and array.shape != arrays[0].shape:
            shapes = [" x ".join(map(str, each.shape)) for each in (arrays[0], array)]
            hint = "; size=(height, width) brings images to one" if array.ndim == 3 else ""
            raise DataError(f"inputs of several sizes: {first} has {shapes[0]}, {name} has {shapes[1]}{hint}")
        first = first or name
        arrays.append(array)
    if not arrays:
        raise DataError("it has no points")
    return np.stack(arrays)


def _of_image(image: Any, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Return an image of Pillow's (height, width, channels), grey or in colour, as bytes."""
    image = image.convert("L" if image.mode in ("1", "L", "I", "I;16", "F") else "RGB")
    if size is not None:
        image = image.resize((size[1], size[0]))
    array = np.asarray(image, dtype=np.uint8)
    return array[..., np.newaxis] if array.ndim == 2 else array


def _channels_last(value: Any, name: str) -> NDArray[Any]:
    array = _numbers(value, name)
    # torch has images as (channels, height, width).
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3):
        array = np.moveaxis(array, 0, -1)
    return array


def _plain(value: Any) -> NDArray[Any]:
    """Return labels as an array, also those of a tensor on a device."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return np.asarray(value)


def _numbers(value: Any, name: str = "the data") -> NDArray[Any]:
    try:
        array = _plain(value)
    except ValueError as error:
        raise DataError(f"{name}: inputs of several sizes") from error
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name}: inputs must be numbers, not {array.dtype.name}")
    return array if array.dtype == np.uint8 else array.astype(np.float64)
