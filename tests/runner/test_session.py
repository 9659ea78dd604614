"""Classes and functions of a script or a notebook, and estimators, as models."""

import os
import subprocess
import sys

import numpy as np
import pytest

import lebench
from lebench.data.base import Split
from lebench.errors import LebenchError
from lebench.models.estimator import make_estimator, name_of
from lebench.models.objects import named

SCRIPT = """
import sys
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from sklearn.linear_model import LogisticRegression
import lebench

FACTOR = 1.0  # of no consequence

def scaled(x):
    return FACTOR * x.reshape(len(x), -1)

class Means:
    def __init__(self, means):
        self.means = means

    def predict(self, x):
        return -np.linalg.norm(scaled(x)[:, None] - self.means, axis=-1)

@lebench.register_model("means")
@dataclass(frozen=True)
class MeansOfClasses:
    capabilities: ClassVar[frozenset] = frozenset({"predict"})

    def fit(self, split, seed):
        return Means(np.stack([scaled(split.x_train[split.y_train == c]).mean(axis=0) for c in range(split.classes)]))

lebench.run(["means", MeansOfClasses(), LogisticRegression(max_iter=5)], "digits/accuracy", 1, results=sys.argv[1])
from lebench.runner.store import Store
for record in Store(sys.argv[1]).load():
    print(record.label, record.status, record.cell.plugin, record.cell.key)
"""


@pytest.fixture
def ran(tmp_path):
    """A function that runs a script and returns the words of each line that it prints."""

    def run(text, results="results"):
        file = tmp_path / f"script_{len(list(tmp_path.iterdir()))}.py"
        file.write_text(text)
        done = subprocess.run(
            [sys.executable, str(file), str(tmp_path / results)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": str(len(list(tmp_path.iterdir())))},
        )
        assert done.returncode == 0, done.stderr
        return {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}

    return run


@pytest.mark.filterwarnings("ignore")
def test_what_a_script_defines_runs_in_workers_and_is_known_again(ran):
    first = ran(SCRIPT)
    assert set(first) == {"means", "MeansOfClasses()", "LogisticRegression(max_iter=5)"}
    assert {status for status, _, _ in first.values()} == {"ok"}
    assert all(plugin.startswith("session:") for _, plugin, _ in first.values())
    assert ran(SCRIPT.replace("  # of no consequence", "\n\n"), "other") == first
    changed = ran(SCRIPT.replace("FACTOR = 1.0", "FACTOR = 2.0"), "third")
    assert changed["LogisticRegression(max_iter=5)"] == first["LogisticRegression(max_iter=5)"]
    assert all(changed[name] != first[name] for name in ("means", "MeansOfClasses()"))


def split_of(x, y, classes):
    return Split(x, y, x, y, tuple("abcdef"[:classes]))


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=90)
    return rng.standard_normal((90, 2, 2)) + y[:, None, None], y


def estimators():
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression, RidgeClassifier
    from sklearn.model_selection import GridSearchCV
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    return [
        LogisticRegression(),
        RidgeClassifier(),
        make_pipeline(StandardScaler(), SVC(decision_function_shape="ovo")),
        GridSearchCV(SVC(), {"C": [1, 10]}, cv=2),
        HistGradientBoostingClassifier(max_iter=3),
        RandomForestClassifier(5, max_depth=2),
        DecisionTreeClassifier(max_depth=1),
        KNeighborsClassifier(2),
    ]


@pytest.mark.parametrize("estimator", estimators(), ids=lambda estimator: type(estimator).__name__)
@pytest.mark.parametrize("labels", [(0, 1, 2), (1, 3, 4), (0, 2, 2)])
def test_an_estimator_predicts_what_it_predicts_by_itself(points, estimator, labels):
    x, y = points
    y = np.array(labels)[y]
    model = make_estimator(estimator)
    fitted = model.fit(split_of(x, y, 5), seed=3)
    scores = fitted.predict(x)
    assert scores.shape == (90, 5)
    assert np.isfinite(scores).all()
    predicted = np.unique(y)[fitted._estimator.predict(x.reshape(90, -1))]
    assert (scores.argmax(axis=1) == predicted).all()
    assert ((scores == scores.max(axis=1, keepdims=True)).sum(axis=1) == 1).all()
    assert (model.fit(split_of(x, y, 5), seed=3).predict(x) == scores).all()
    assert ("predict_proba" in model.capabilities) == hasattr(fitted, "predict_proba")
    if hasattr(fitted, "predict_proba"):
        np.testing.assert_allclose(fitted.predict_proba(x).sum(axis=1), 1)
        assert (fitted.predict_proba(x)[:, ~np.isin(np.arange(5), y)] == 0).all()


def test_the_seed_decides_what_an_estimator_draws(points):
    from sklearn.ensemble import RandomForestClassifier

    x, y = points
    model = make_estimator(RandomForestClassifier(3, max_depth=2))
    first, second = (model.fit(split_of(x, y, 3), seed).predict_proba(x) for seed in (0, 1))
    assert (first != second).any()


def test_what_an_estimator_has_learned_does_not_count(points):
    from sklearn.linear_model import LogisticRegression

    x, y = points
    fitted = LogisticRegression().fit(x.reshape(90, -1), np.array(list("abc"))[y])
    assert not hasattr(make_estimator(fitted).estimator, "coef_")


def test_names_of_estimators():
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    assert name_of(SVC(C=3, class_weight={0: 1})) == "SVC(C=3, class_weight={0: 1})"
    assert name_of(make_pipeline(StandardScaler(), SVC())) == "StandardScaler() + SVC()"


def bad_models():
    from sklearn.cluster import DBSCAN
    from sklearn.linear_model import LogisticRegression, Ridge

    return [
        ([Ridge()], r"models\[0\]: Ridge predicts numbers: a classifier is needed"),
        (["knn", DBSCAN()], r"models\[1\]: DBSCAN has no method predict"),
        (3, r"models is of type int, which is no model; a name, an estimator, or an object with fit"),
        ([Ridge], r"models\[0\] is the class Ridge: give an object of it, Ridge\(...\)"),
        ({"a[b]": LogisticRegression()}, r"models\['a\[b\]'\]: the name 'a\[b\]' must be without brackets"),
        ([LogisticRegression(), LogisticRegression()], r"models\[1\] has the name of another"),
        ({"knn": LogisticRegression()}, "model 'knn' is registered by lebench: give yours another name"),
    ]


@pytest.mark.parametrize(("models", "said"), bad_models())
def test_what_is_no_model_is_named_by_its_argument(models, said, own_registries):
    with pytest.raises(LebenchError, match=said):
        named(models)


@pytest.mark.parametrize(
    ("tasks", "said"), [([3], r"tasks\[0\] must be the name of a task, not int 3"), (3, "tasks must be")]
)
def test_tasks_that_are_no_names(tasks, said):
    with pytest.raises(LebenchError, match=said):
        lebench.run("knn", tasks)
