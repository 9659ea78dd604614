"""What is trained already, scored in one call: the values of a run, and bad input in one line."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import lebench
from lebench import metrics, registry
from lebench.errors import LebenchError, LebenchWarning


def values(frame):
    return frame.set_index(["question", "metric"])["value"]


@pytest.fixture(scope="module")
def digits():
    return registry.datasets.get("digits").split(0)


def test_a_trained_network_has_the_values_of_a_run(digits, tmp_path):
    model = lebench.Network(lebench.architectures.mlp(width=16), lebench.Recipe(epochs=2, min_steps=0))
    tasks = ["digits/accuracy", "digits/elasticity", "digits/collapse"]
    run = lebench.run("mlp[width=16,epochs=2,min_steps=0,lr=0.05]", tasks, seeds=1, results=tmp_path, jobs=1)
    module = model.fit(digits, 0).function.module
    found = values(lebench.score(module, "digits"))
    assert len(found) > 20
    for (question, metric), value in found.items():
        recorded = run[(run["task"] == f"digits/{question}") & (run["metric"] == metric)]["value"].item()
        np.testing.assert_allclose(value, recorded, rtol=1e-6, atol=1e-9, equal_nan=True)


def test_a_plain_module_on_arrays_of_ones_own():
    torch.manual_seed(0)
    x = torch.randn(60, 3, 6, 6) + torch.arange(3).repeat(20)[:, None, None, None]
    y = torch.arange(3).repeat(20)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    found = values(lebench.score(net, x, y, x[:30], y[:30]))
    scores = net.eval()(x[:30]).detach()
    assert found["accuracy", "accuracy"] == pytest.approx(float((scores.argmax(1) == y[:30]).double().mean()))
    features = net[:4].double()(x.double()).detach()
    expected = metrics.collapse(features, y, net[4].weight.detach(), net[4].bias.detach())
    assert found["collapse", "nc1_quotient@train"] == pytest.approx(expected["nc1_quotient"], rel=1e-6)
    assert 0 < found["elasticity", "elasticity_ratio"] < 1


def test_each_point_is_passed_once_for_all_questions():
    passed = []

    class Counting(nn.Sequential):
        def forward(self, x):
            if not torch.is_grad_enabled():
                passed.append(len(x))
            return super().forward(x)

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((90, 4)), np.arange(90) % 2
    lebench.score(Counting(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), x[:50], y[:50], x[50:], y[50:])
    assert (passed.count(50), passed.count(40)) == (1, 1)


def test_a_prediction_does_not_keep_features_that_are_wider_than_the_inputs(monkeypatch):
    monkeypatch.setattr("lebench.backends.fitted._LITTLE", 0)
    x = np.random.default_rng(0).standard_normal((6, 4))
    for width, kept in ((4, 1), (5, 0)):
        fitted = lebench.wrap(nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2)).eval(), x)
        scores = fitted.predict(x)
        assert len(fitted._passed) == kept
        weight, bias = fitted.head()
        np.testing.assert_allclose(fitted.features(x) @ weight.T + bias, scores, rtol=1e-12)


@pytest.mark.parametrize("names", [None, list("abcdefghij")])
@pytest.mark.parametrize("kind", ["boosting", "pipeline"])
def test_a_fitted_estimator_with_labels_of_any_kind(names, kind):
    x, y = load_digits(return_X_y=True)
    labels = y if names is None else np.array(names)[y]
    made = HistGradientBoostingClassifier(max_iter=5) if kind == "boosting" else pipeline()
    made.fit(x[:300], labels[:300])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", LebenchWarning)
        frame = lebench.score(made, x[:300], labels[:300], x[300:600], labels[300:600])
    assert [str(w.message) for w in said if issubclass(w.category, LebenchWarning)] == (
        [] if names is None else ["labels are encoded: 'a' is 0, 'b' is 1, 'c' is 2, ..."]
    )
    assert values(frame)["accuracy", "accuracy"] == pytest.approx(made.score(x[300:600], labels[300:600]))
    unmet = frame[frame["question"] == "elasticity"]
    assert "needs the capability similarity" in unmet["reason"].item()


def pipeline():
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))


def test_features_without_a_model():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(4), 10)
    features = rng.standard_normal((4, 6))[y] + 0.1 * rng.standard_normal((40, 6))
    frame = lebench.score(None, features, y, questions="collapse")
    expected = metrics.collapse(features, y)
    assert values(frame)["collapse", "nc1_quotient@train"] == pytest.approx(expected["nc1_quotient"])
    assert "no last layer" in frame[frame["metric"] == "nc4@train"]["reason"].item()


def test_data_that_cannot_answer_gets_the_reason():
    x, y = np.eye(6), np.array([0, 0, 0, 1, 1, 1])
    frame = lebench.score(nn.Linear(6, 2), x, y)
    assert "needs 10 test points of each class" in frame[frame["question"] == "elasticity"]["reason"].item()
    assert np.isfinite(values(frame)["accuracy", "accuracy"])


def test_bad_input_names_the_argument(digits):
    net, x, y = nn.Linear(4, 2), np.ones((4, 4)), np.array([0, 1, 0, 1])
    cases = [
        ((net, x), "y is missing"),
        ((net, x, y, x), "x_test and y_test belong together"),
        ((net, x, y[:3]), "y has 3 labels for 4 points"),
        ((net, x, y + 0.5), "y: labels must be integers or strings"),
        ((net, [[1, 2], [3]], y), "x: the inputs cannot be made an array"),
        ((net, x, np.array([0, 1, 2, 0])), "the model has 2 scores, the labels go up to 2"),
        ((nn.Linear(3, 2), x, y), r"model: the module does not take inputs of shape \(4,\)"),
        ((LogisticRegression(), x, y), "LogisticRegression is not fitted yet"),
        (("weights", x, y), "builder is missing: what makes the module of the weights 'weights'"),
        (([], x, y), "model holds no moment of training"),
        ((7, x, y), "model: cannot wrap int"),
        ((net, "nosuch"), "unknown dataset"),
    ]
    for arguments, message in cases:
        with pytest.raises(LebenchError, match=message):
            lebench.score(*arguments)
    with pytest.raises(LebenchError, match="unknown question 'beauty'"):
        lebench.score(net, x, y, questions="beauty")
    with pytest.raises(LebenchError, match="'small-n' trains models of its own"):
        lebench.score(net, "digits", questions="small-n")
