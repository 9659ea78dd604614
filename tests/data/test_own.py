"""Datasets of one's own: arrays, tables, folders of images, datasets of torch and of Hugging Face."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest

from lebench import dataset, registry
from lebench.data.own import encode
from lebench.errors import DataError, LebenchWarning
from lebench.runner.execution import execute
from lebench.runner.plan import make_plan
from lebench.runner.store import Store

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((40, 3)), np.arange(40) % 4


@pytest.fixture(autouse=True)
def own(own_registries):
    """What a test registers does not outlive it."""


class Items:
    """A torch dataset of pairs, channels first."""

    classes = ("cat", "dog")

    def __init__(self, shapes=((3, 4, 5),) * 8):
        self.items = [(np.full(shape, place, dtype=np.float32), place % 2) for place, shape in enumerate(shapes)]

    def __len__(self):
        return len(self.items)

    def __getitem__(self, place):
        return self.items[place]


class Feature:
    def __init__(self, names=None):
        self.names = names


class Columns:
    """A dataset of Hugging Face."""

    def __init__(self, columns, names=None):
        self._columns, self.column_names = columns, list(columns)
        self.features = {name: Feature(names if name == "label" else None) for name in columns}

    def __getitem__(self, name):
        return self._columns[name]


def picture(value, mode="RGB", size=(5, 4)):
    from PIL import Image

    return Image.new(mode, size, value)


def folder_of(root, pictures):
    for name, image in pictures.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(root / name)
    return root


def test_arrays_are_divided_by_a_share_of_each_class():
    found = dataset("mine", X, Y, test=0.3, class_names=["a", "b", "c", "d"])
    assert registry.datasets.get("mine") is found
    assert (found.class_names, found.input_shape) == (("a", "b", "c", "d"), (3,))
    split = found.split(0)
    assert np.bincount(split.y_test).tolist() == [3] * 4
    assert np.bincount(split.y_train).tolist() == [7] * 4
    both = np.concatenate([split.y_train, split.y_test])
    assert len(both) == 40
    assert (found.split(0).x_train == split.x_train).all()
    assert not np.array_equal(found.split(1).x_train, split.x_train)
    np.testing.assert_allclose(split.x_train.mean(axis=0), 0, atol=1e-12)


def test_points_that_are_held_out_stay_so():
    found = dataset("mine", X[:30], Y[:30], test=(X[30:], Y[30:]), standardized=False)
    for seed in (0, 1):
        split = found.split(seed)
        assert (split.x_test == X[30:]).all()
        assert (np.sort(split.x_train, axis=0) == np.sort(X[:30], axis=0)).all()


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_a_table_is_a_file_with_a_column_of_labels(tmp_path, ending):
    pytest.importorskip("pyarrow")
    table = pd.DataFrame(X, columns=["p", "q", "r"]).assign(kind=np.array(list("wxyz"))[Y], flag=Y > 1)
    file = tmp_path / f"mine.{ending}"
    if ending == "parquet":
        table.to_parquet(file)
    else:
        table.to_csv(file, index=False, sep="\t" if ending == "tsv" else ",")
    with pytest.warns(LebenchWarning, match="dataset 'mine': its labels 'w', 'x', 'y', 'z' are encoded as 0 to 3"):
        found = dataset("mine", file, "kind")
    np.testing.assert_allclose(found.arrays[0], np.column_stack([X, Y > 1]))
    assert (found.arrays[1] == Y).all()
    assert found.class_names == ("w", "x", "y", "z")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert dataset("frame", table, "kind").sha256 == found.sha256


def test_a_folder_of_images_has_a_folder_for_each_class(tmp_path):
    pictures = {f"{name}/{n}.png": picture((n, 10, 20)) for name in ("cat", "dog") for n in range(4)}
    root = folder_of(tmp_path / "whole", pictures | {"dog/grey.png": picture(7, "L")})
    found = dataset("mine", root)
    assert (found.class_names, found.input_shape) == (("cat", "dog"), (4, 5, 3))
    x, y = found.arrays
    assert x.dtype == np.uint8
    assert y.tolist() == [0] * 4 + [1] * 5
    assert x[1, 0, 0].tolist() == [1, 10, 20]
    assert x[-1, 0, 0].tolist() == [7, 7, 7]
    folder_of(tmp_path / "parts/train", pictures)
    folder_of(tmp_path / "parts/test", {"dog/z.png": picture((0, 0, 255))})
    split = dataset("divided", tmp_path / "parts", standardized=False).split(0)
    assert split.y_test.tolist() == [1]
    assert split.x_test[0, 0, 0].tolist() == [0, 0, 1]
    (tmp_path / "whole/cat/large.png").write_bytes((tmp_path / "whole/cat/0.png").read_bytes())
    picture(0, size=(9, 9)).save(tmp_path / "whole/cat/large.png")
    with pytest.raises(DataError, match=r"several sizes: cat/0.png has 4 x 5 x 3, cat/large.png has 9 x 9 x 3; size="):
        dataset("bad", root)
    assert dataset("resized", root, size=(6, 6)).input_shape == (6, 6, 3)
    (root / "cat/broken.png").write_text("no image")
    with pytest.raises(DataError, match=r"cat/broken\.png is no image"):
        dataset("broken", root)


def test_a_torch_dataset_is_pairs_with_channels_first():
    found = dataset("mine", Items())
    assert (found.class_names, found.input_shape) == (("cat", "dog"), (4, 5, 3))
    assert found.arrays[0][3, 0, 0, 0] == 3
    with pytest.raises(DataError, match="several sizes: item 0 has 4 x 5 x 3, item 1 has 7 x 5 x 3"):
        dataset("bad", Items(((3, 4, 5), (3, 7, 5))))


def test_a_dataset_of_hugging_face_is_columns():
    labels = [0, 1, 1, 0]
    found = dataset("mine", Columns({"image": [picture((n, 0, 0)) for n in range(4)], "label": labels}, ["no", "yes"]))
    assert (found.class_names, found.input_shape) == (("no", "yes"), (4, 5, 3))
    part = Columns({"p": [1.0, 2.0, 3.0, 5.0], "q": [0, 1, 2, 4], "label": labels}, ["no", "yes"])
    divided = dataset("divided", {"train": part, "validation": part}, standardized=False)
    assert divided.split(0).x_test.tolist() == [[1, 0], [2, 1], [3, 2], [5, 4]]
    with pytest.raises(DataError, match=r"which column has the labels.* there are p, q"):
        dataset("bad", Columns({"p": [1], "q": [2]}))


@pytest.mark.parametrize(
    ("labels", "names", "y", "classes", "said"),
    [
        ([0, 1, 1], None, [0, 1, 1], ("0", "1"), ""),
        ([0.0, 1.0, 1.0], None, [0, 1, 1], ("0", "1"), ""),
        ([1, 2, 3], None, [0, 1, 2], ("1", "2", "3"), "its labels 1, 2, 3 are encoded as 0 to 2"),
        ([1, 2, 2], ["a", "b"], [0, 1, 1], ("a", "b"), "its labels 1, 2 are encoded as 0 to 1"),
        ([True, False, True], None, [1, 0, 1], ("False", "True"), "its labels False, True are encoded as 0 to 1"),
        (["b", "a", "b"], None, [1, 0, 1], ("a", "b"), "its labels 'a', 'b' are encoded as 0 to 1"),
        (["b", "a", "b"], ["b", "a"], [0, 1, 0], ("b", "a"), ""),
        (
            list("fedcba"),
            None,
            [5, 4, 3, 2, 1, 0],
            tuple("abcdef"),
            "its labels 'a', 'b', 'c', 'd', ... are encoded as 0 to 5",
        ),
    ],
)
def test_labels_are_encoded_in_their_order(labels, names, y, classes, said):
    found = encode(np.array(labels), names)
    assert (found[0].tolist(), found[1], found[2]) == (y, classes, said)
    assert found[0].dtype == np.int64


@pytest.mark.parametrize(
    ("data", "labels", "more", "said"),
    [
        (X, None, {}, "it has no labels: give them as labels="),
        (X, Y[:-1], {}, r"inputs of shape \(40, 3\) and labels of shape \(39,\)"),
        (X[:, 0], Y, {}, r"is x\[:, None\]"),
        (X[:0], Y[:0], {}, "it has no points"),
        (X, np.where(Y == 3, np.arange(40) == 3, 0), {}, "class '1' has one point: a split needs at least two of each"),
        (X, np.zeros(40, int), {}, "its labels are all 0; at least two classes are needed"),
        (X, Y + 0.5, {}, "its labels are real numbers and no classes"),
        (X, np.where(Y == 3, np.nan, Y), {}, "10 of its labels are missing, the first of point 3"),
        (X, [None, *"ab" * 19, "a"], {}, "1 of its labels are missing, the first of point 0"),
        (X, Y, {"class_names": ["a", "b"]}, "it has 4 classes and 2 names of classes"),
        (X, Y, {"class_names": list("abcde")}, "class 'e' has no points"),
        (np.where(X[7, 1] == X, np.nan, X), Y, {}, "a NaN or an infinite number, first in point 7"),
        ([[1], [2, 3]], [0, 1], {}, "several sizes"),
        (X.astype(str), Y, {}, "inputs must be numbers"),
        (X, Y, {"test": 1.5}, "test=1.5 must be a share between 0 and 1"),
        (X, Y, {"test": (X[:, :2], Y)}, r"its test points are of shape \(2,\), those for training of \(3,\)"),
        ("nowhere.csv", "y", {}, "there is no file or folder nowhere.csv"),
        (pd.DataFrame(X), None, {}, "which column has the labels.* there are 0, 1, 2"),
        (pd.DataFrame(X), "y", {}, "there is no column 'y' with labels; there are 0, 1, 2"),
        (pd.DataFrame({"a": ["p"], "y": [0]}), "y", {}, "column 'a' holds no numbers"),
        (pd.DataFrame({"a": [1.0, None], "y": [0, 1]}), "y", {}, "column 'a' lacks 1 of its values"),
        ([], None, {}, "it has no labels"),
    ],
)
def test_what_cannot_be_a_dataset_is_said(data, labels, more, said):
    with pytest.raises(DataError, match=f"dataset 'mine': .*{said}"):
        dataset("mine", data, labels, **more)
    assert "mine" not in registry.datasets


def test_folders_and_files_that_are_none(tmp_path):
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "a.csv").write_text("")
    for name, said in ((".", "holds no images in folders"), ("a.txt", "is no .csv"), ("a.csv", "cannot be read")):
        with pytest.raises(DataError, match=said):
            dataset("mine", tmp_path / name, "y")


def test_arrays_reach_workers_as_a_file_of_the_session(tmp_path):
    found = dataset("mine", X + 3 * Y[:, None], Y)
    again = pickle.loads(pickle.dumps(found))
    assert again.sha256 == found.sha256
    assert len(pickle.dumps(found.load)) < 300


PLUGIN = """
import numpy as np
from dataclasses import replace
import lebench
from lebench import registry
y = np.arange(40) % 4
lebench.dataset("mine", np.random.default_rng(0).standard_normal((40, 3)) + 9 * y[:, None], y + 1)
like = registry.tasks.get("digits/accuracy")
registry.tasks.register("mine/accuracy", replace(like, name="mine/accuracy", dataset="mine"))
"""


def test_a_plugin_registers_a_dataset_in_one_call(tmp_path):
    (tmp_path / "plugin.py").write_text(PLUGIN)
    with pytest.warns(LebenchWarning, match="labels 1, 2, 3, 4 are encoded as 0 to 3"):
        plan = make_plan(["mine/accuracy"], ["knn"], [0], plugins=[tmp_path / "plugin.py"])
    (record,) = execute(plan, Store(tmp_path / "results"), jobs=1).records
    assert (record.status, record.metrics["accuracy"]) == ("ok", 1.0)
    assert record.cell.dataset_sha256 == registry.datasets.get("mine").sha256
