"""Pictures of planted arrays: valid Vega-Lite, with the numbers in them and in their sentences."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import planted_pictures as planted
import pytest

from lebench import pictures


@pytest.fixture(scope="module")
def validator():
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed (altair, extra 'dev')")
    # altair ships the schema of the Vega-Lite whose scripts the site has; importing it is not needed.
    altair = importlib.util.find_spec("altair")
    assert altair is not None
    (folder,) = altair.submodule_search_locations
    schema = json.loads((Path(folder) / "vegalite/v6/schema/vega-lite-schema.json").read_text(encoding="utf-8"))
    return jsonschema.Draft7Validator(schema)


def _single(name, **changes):
    (picture,) = pictures.of_model(planted.ALL[name]() | changes)
    assert picture.name == name
    return picture


def _several(name):
    (picture,) = pictures.comparisons({"mlp[width=8]": planted.ALL[name](), "linear": planted.ALL[name]()})
    assert picture.name == name
    return picture


def _data(picture, panel=0, layer=None):
    shown = picture.spec["concat"][panel]
    return (shown if layer is None else shown["layer"][layer])["data"]["values"]


@pytest.mark.parametrize("name", planted.ALL)
def test_a_picture_is_valid_vega_lite_without_nan_and_small(name, validator):
    for picture in (_single(name), _several(name)):
        text = json.dumps(picture.spec, allow_nan=False)
        errors = [error.message[:200] for error in validator.iter_errors(json.loads(text))]
        assert errors == []
        assert picture.spec["description"] == picture.sentence
        assert len(text) < 20_000


def test_the_schema_knows_a_wrong_picture(validator):
    picture = _single("cells")
    picture.spec["concat"][0]["layer"][0]["mark"] = {"type": "blob"}
    assert not validator.is_valid(picture.spec)


def test_similarity_that_falls_with_distance_lies_on_its_line():
    picture = _single("distance")
    assert picture.sentence.startswith(
        "Correlation with geodesic distance: of relative similarity −1.0 and of signed similarity 1.0. "
    )
    pairs = _data(picture)
    assert len(pairs) == 12 * 11 / 2
    assert [p["s"] for p in pairs] == pytest.approx([1 - p["d"] for p in pairs], abs=2e-3)
    for mean in _data(picture, layer=1):
        assert mean["s"] == pytest.approx(1 - mean["d"], abs=1e-3)
    assert [p["s"] for p in _data(picture, 1)] == pytest.approx([p["d"] - 0.5 for p in _data(picture, 1)], abs=2e-3)


def test_a_similarity_that_is_everywhere_the_same_has_no_correlation():
    constant = planted.distance() | {"similarity": np.ones((12, 12)), "signed": np.zeros((12, 12))}
    (picture,) = pictures.of_model(constant)
    assert picture.sentence == "Relative similarity is 1.0 in the mean at distance 0.091 and 1.0 at 1.0."


def test_the_heat_map_has_its_numbers_row_by_row_sorted_by_class():
    shuffled = np.array([3, 8, 0, 11, 5, 1, 2, 10, 4, 9, 6, 7])
    sorted_arrays = planted.similarity()
    sorted_arrays["similarity"] = sorted_arrays["similarity"] + np.arange(12)[:, None] / 50
    arrays = {
        "similarity": sorted_arrays["similarity"][np.ix_(shuffled, shuffled)],
        "labels": sorted_arrays["labels"][shuffled],
    }
    (picture,) = pictures.of_model(arrays)
    shown = np.reshape(_data(picture), (12, 12))
    # Points of a class keep the order they came in.
    order = np.array([x for c in range(3) for x in shuffled if x // 4 == c])
    assert shown == pytest.approx(sorted_arrays["similarity"][np.ix_(order, order)], abs=6e-3)
    assert "1.0 within classes and 0.21 between them, over 12 points" in picture.sentence


def test_of_two_classes_none_is_called_the_most_similar():
    (picture,) = pictures.of_model(planted.similarity(classes=2))
    assert picture.sentence.endswith("over 8 points.")
    arrays = planted.similarity()
    arrays["similarity"][:4, 8:] = arrays["similarity"][8:, :4] = 0.3
    assert pictures.of_model(arrays)[0].sentence.endswith("the most similar classes are 0 and 2 (0.30).")


def test_many_points_are_drawn_by_class():
    (picture,) = pictures.of_model(planted.similarity(classes=4, per_class=60))
    assert {(c["i"], c["j"]): c["s"] for c in _data(picture)} == {
        (i, j): 0.9 if i == j else 0.1 for i in range(4) for j in range(4)
    }


def test_class_means_say_how_far_they_are_from_a_simplex():
    picture = _single("class-means")
    assert "hold 100% of the variance of the class means, 100% in a simplex of 4 classes" in picture.sentence
    assert "lie between −0.33 and −0.33, in a simplex all are −0.33" in picture.sentence
    assert picture.series == ("0", "1", "2", "3")
    ends = _data(picture, layer=2)
    assert {(p["x"], p["y"]) for p in ends} == {(1, 1), (1, -1), (-1, 1), (-1, -1)}
    assert [p["v"] for p in _data(picture, 2)] == [-0.333] * 6


def test_courses_have_a_panel_each_and_a_logarithmic_axis_where_they_fall_far():
    picture = _single("courses")
    titles = [panel["title"] for panel in picture.spec["concat"]]
    assert titles == [
        "NC1, variability within classes",
        "NC2, differing norms of the means",
        "error",
        "unheard of",
    ]
    scales = [panel["layer"][0]["encoding"]["y"]["scale"].get("type") for panel in picture.spec["concat"]]
    assert scales == ["log", None, None, None]
    assert picture.series == ("training points", "test points", "classifier weights")
    assert (
        "Over 100 epochs: NC1, variability within classes (training points) from 2.0 to 2.0×10^−4;" in picture.sentence
    )
    assert {"t": 3, "v": 0.5, "part": "test points"} in _data(picture)


def test_models_are_compared_on_training_points():
    picture = _several("courses")
    assert picture.series == ("mlp[width=8]", "linear")
    assert {"t": 3, "v": 0.125, "model": "linear"} in _data(picture)
    assert picture.sentence == (
        "At the end of training, NC1, variability within classes (training points) is 2.0×10^−4 for mlp[width=8] and "
        "2.0×10^−4 for linear."
    )


def test_sensitivity_tells_the_own_class_from_the_others():
    picture = _single("sensitivity")
    assert "of its class by 0.60 in the mean, at those of other classes by 0.20." in picture.sentence
    assert {(c["i"], c["j"]): c["s"] for c in _data(picture)}[1, 2] == 0.7
    rows = picture.spec["concat"][0]["layer"][0]["encoding"]["y"]["axis"]["labelExpr"]
    assert rows == "['1', '2'][datum.value]"


def test_a_model_without_the_arrays_is_left_out_and_too_many_are_refused():
    (picture,) = pictures.comparisons({"a": planted.distance(), "b": {"other": np.ones(3)}})
    assert picture.series == ("a",)
    assert pictures.comparisons({"b": {}}) == []
    with pytest.raises(ValueError, match="11 models"):
        pictures.comparisons({str(k): planted.distance() for k in range(11)})


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"similarity": np.ones((3, 4)), "labels": np.array([0, 0, 1])},
        {"similarity": np.ones((3, 3)), "labels": np.array([0, 1, 2])},
        {"similarity": np.ones((3, 3)), "distance": np.ones((4, 4))},
        {"epochs": np.arange(3.0), "nc1_train": np.ones(4)},
        planted.class_means() | {"cosines": np.ones((3, 3))},
        {"cells_first": np.ones((2, 3))},
        {"sensitivity": np.ones((2, 3)), "removed_classes": np.array([1, 3])},
    ],
)
def test_arrays_that_do_not_fit_together_have_no_picture(arrays):
    assert pictures.of_model(arrays) == []


def test_kept_arrays_of_single_precision_are_drawn():
    for name in planted.ALL:
        arrays = {k: v.astype(np.float32 if v.dtype.kind == "f" else np.int32) for k, v in planted.ALL[name]().items()}
        json.dumps(pictures.of_model(arrays)[0].spec, allow_nan=False)
