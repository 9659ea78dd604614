"""The conformance checks accept what is right and say what is wrong."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

import lebench
from lebench import registry
from lebench.capabilities import Checkpoint
from lebench.data.base import Split, Variant
from lebench.errors import DataError
from lebench.metrics.base import KnownAnswer, Metric
from lebench.tasks.base import Task
from lebench.testing import check_metric, check_model, check_task

ANSWER = KnownAnswer("two", lambda: {"x": np.array([2.0])}, 2.0, "by construction")
GOOD = Metric(
    "good", "g", "g", "a test", "higher", (0.0, 9.0), "1", (), (ANSWER,), lambda x: float(x[0]), "Return the first"
)


def changing(x):
    value = float(x[0])
    x[0] = 7
    return value if value == 2 else 2.0


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"known_answers": ()}, "no known answer"),
        ({"equation": ""}, "no equation"),
        ({"summary": ""}, "needs a docstring"),
        ({"direction": "up"}, "direction is 'up'"),
        ({"bounds": (3.0, 9.0)}, "outside the bounds"),
        ({"bounds": (1.0, 1.0)}, "not a smallest and a largest"),
        ({"function": lambda x: 2.5}, "expected 2.0, got 2.5"),
        ({"function": lambda x: x[0]}, "a Python float is needed"),
        ({"function": changing}, "changes its inputs"),
        ({"function": lambda x: 1 / 0}, "ZeroDivisionError"),
        ({"known_answers": (replace(ANSWER, source=""),)}, "where it comes from"),
    ],
)
def test_metrics(change, complaint):
    assert check_metric(GOOD) == []
    complaints = check_metric(replace(GOOD, **change))
    assert any(complaint in text for text in complaints), complaints


def test_a_metric_of_a_list_of_arrays_must_leave_it_alone():
    answer = KnownAnswer("two", lambda: {"x": [np.array([2.0])]}, 2.0, "by construction")
    listed = replace(GOOD, known_answers=(answer,), function=lambda x: float(x[0][0]))
    assert check_metric(listed) == []
    complaints = check_metric(replace(listed, function=lambda x: changing(x[0])))
    assert any("changes its inputs" in text for text in complaints), complaints


def test_a_function_that_is_no_metric():
    def nothing():
        pass

    assert "not registered" in check_metric(nothing)[0]


class Centres:
    """A fitted nearest-centre classifier; `wrong` names what it does badly."""

    def __init__(self, split, wrong, noise=0.0):
        x = split.x_train.reshape(len(split.x_train), -1)
        self.means = np.array([x[split.y_train == c].mean(axis=0) for c in range(split.classes)])
        self.bias = -0.5 * (self.means**2).sum(axis=1) + noise
        self.wrong = wrong

    def features(self, x):
        return x.reshape(len(x), -1).astype(np.float32 if self.wrong == "dtype" else np.float64)

    def head(self):
        return self.means, self.bias

    def predict(self, x):
        scores = self.features(x) @ self.means.T + self.bias
        return scores[:, ::-1] if self.wrong == "order" else scores


@dataclass(frozen=True)
class Model:
    wrong: str = ""
    capabilities: ClassVar[frozenset[str]] = frozenset({"predict", "features"})

    def fit(self, split, seed):
        noise = np.random.default_rng().random() if self.wrong == "seed" else 0.0
        return Centres(split, self.wrong, noise)


@dataclass(frozen=True)
class Peeking(Model):
    """A model that reads the test labels: all of them, or only those before a variant merged classes."""

    fine: bool = False

    def fit(self, split, seed):
        seen = split.fine_test if self.fine else split.y_test
        return Centres(split, "", 1e-6 * seen[0])


@dataclass(frozen=True)
class Boastful(Model):
    capabilities: ClassVar[frozenset[str]] = frozenset({"predict", "features", "gram"})


@dataclass(frozen=True)
class Frozen(Model):
    """A model whose checkpoints do not end where its training ends."""

    capabilities: ClassVar[frozenset[str]] = frozenset({"predict", "features", "checkpoints"})
    first: float = 0.0

    def fit(self, split, seed):
        fitted = Centres(split, "", 0.0)
        moments = [(self.first, lambda: Centres(split, "order", 0.0)), (5.0, lambda: Centres(split, "", 1.0))]
        fitted.checkpoints = lambda: tuple(Checkpoint(time, restore) for time, restore in moments)
        return fitted


@dataclass(frozen=True)
class Talkative(Model):
    """A model that reports what nobody has defined."""

    capabilities: ClassVar[frozenset[str]] = frozenset({"predict", "features", "diagnostics"})
    found: tuple[tuple[str, float], ...] = (("mood", 1.0),)

    def fit(self, split, seed):
        fitted = Centres(split, "", 0.0)
        fitted.diagnostics = lambda: dict(self.found)
        return fitted


@dataclass(frozen=True)
class Shy(Model):
    capabilities: ClassVar[frozenset[str]] = frozenset({"predict"})


class Plain(Model):
    def __init__(self):
        object.__setattr__(self, "wrong", "")

    def __repr__(self):
        return "another every time"


@pytest.fixture
def split():
    rng = np.random.default_rng(0)
    y = np.arange(12) % 3
    fine = np.arange(12)
    return Split(rng.standard_normal((12, 4)), y, rng.standard_normal((6, 4)), y[:6], ("a", "b", "c"), fine, fine[:6])


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (Boastful(), "declares gram, but"),
        (Shy(), "offers features without declaring it"),
        (Model("dtype"), "dtype float32, float64 is needed"),
        (Frozen(), "the last one does not predict what the fitted model predicts"),
        (Frozen(first=1.0), "they must begin with 0"),
        (Talkative(), "mood: no registered metric says what it is"),
        (Talkative(found=(("relative_ridge", np.inf),)), "relative_ridge is inf, a finite float is needed"),
        (Peeking(), "predict: depends on the test labels: a leak"),
        (Peeking(fine=True), "predict: depends on the test labels: a leak"),
        (Model("order"), "not C-contiguous"),
        (Model("seed"), "differs between two fits with the same seed"),
    ],
)
def test_models(model, complaint, split):
    assert check_model(Model(), split) == []
    complaints = check_model(model, split)
    assert any(complaint in text for text in complaints), complaints


def test_what_is_no_model(split):
    class NoModel:
        capabilities = frozenset({"telepathy"})

    complaints = check_model(NoModel(), split)
    assert "frozen dataclass" in complaints[0]
    assert "unknown capabilities ['telepathy']" in complaints[1]


@pytest.mark.parametrize("name", ["constant", "knn", "rbf"])
def test_registered_models_conform_on_digits(name):
    assert check_model(registry.models.get(name)()) == []


def _network(*last):
    nn = pytest.importorskip("torch").nn

    def build(input_shape, outputs):
        size = int(np.prod(input_shape))
        return nn.Sequential(
            nn.Flatten(), nn.Linear(size, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, outputs), *last
        )

    return lebench.Network(build, lebench.Recipe(epochs=2, lr=0.05, min_steps=0))


def test_a_layer_without_a_capacity_is_no_fault():
    model = _network()
    fitted = model.fit(Variant(n_train=50).apply(registry.datasets.get("digits").split(0), 0), 0)
    assert "capacities are defined for such layers only" in fitted.unavailable["weights"]
    assert check_model(model) == []


def test_a_network_that_does_not_end_in_its_last_layer_is_noticed():
    relu = pytest.importorskip("torch").nn.ReLU()
    (complaint,) = check_model(_network(relu))
    assert complaint.startswith("features: the network does not end in a torch.nn.Linear")


def test_what_a_capability_refuses_is_said_and_not_raised(split):
    class Undefined:
        def similarity(self, sources, labels, targets, kind="relative", step=None):
            raise DataError("similarity is undefined for source 0")

    @dataclass(frozen=True)
    class Odd:
        capabilities = frozenset({"similarity"})

        def fit(self, split, seed):
            return Undefined()

    assert check_model(Odd(), split) == ["similarity: similarity is undefined for source 0"]


TASK = Task(
    "family/question", "collapse", "A question", "A. Author 2026", 1, "digits", ("predict",), "cdnv", ("cdnv",), dict
)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"name": "question"}, "not 'family/question'"),
        ({"track": "speed"}, "the track 'speed'"),
        ({"version": 0}, "the version is 0"),
        ({"primary": "nc4"}, "not among its metrics"),
        ({"metrics": ("cdnv", "cdmv@train")}, "did you mean 'cdnv'"),
        ({"primary": "within_class_similarity", "metrics": ("within_class_similarity",)}, "it cannot rank"),
        ({"needs": (("gram", "psychic"),)}, "needs 'psychic'"),
        ({"dataset": "imaginary"}, "the dataset 'imaginary'"),
        ({"variants": (Variant("pair", groups=((3,), (12,))),)}, "variant 'pair' groups class 12"),
        ({"reference": ""}, "no reference"),
        ({"variants": ()}, "no variants"),
    ],
)
def test_tasks(change, complaint):
    assert check_task(TASK) == []
    complaints = check_task(replace(TASK, **change))
    assert any(complaint in text for text in complaints), complaints


def test_registered_tasks_conform():
    assert [complaint for name in registry.tasks.names() for complaint in check_task(name)] == []
