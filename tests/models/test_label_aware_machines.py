"""Label-aware kernel machines: what they offer against plain linear algebra, their controls, and two labellings."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from lebench import metrics, registry
from lebench.data.base import Variant
from lebench.errors import LebenchError, ParameterError
from lebench.kernels import LABEL_RATIOS
from lebench.models.spec import build_model
from lebench.runner.plan import make_plan


def digits(seed=0, n=100):
    return Variant("small", n_train=n).apply(registry.datasets.get("digits").split(seed), seed)


def fit(spec, split, seed=0):
    return build_model(spec).model.fit(split, seed)


def test_predictions_are_those_of_ridge_regression_with_the_label_aware_kernel():
    split = digits()
    fitted, base = fit("lantk-hr-mlp", split), fit("ntk-mlp", split)
    gram, ridge = fitted.gram(split.x_train, split.x_train), fitted.regression.ridge
    targets = np.eye(10)[split.y_train] - 0.1
    cross = fitted.gram(split.x_test, split.x_train)
    np.testing.assert_allclose(
        fitted.predict(split.x_test), cross @ np.linalg.solve(gram + ridge * np.eye(100), targets), rtol=1e-7, atol=1e-9
    )
    chosen = fitted.label_aware
    assert chosen.label_ratio in LABEL_RATIOS
    added = gram - base.gram(split.x_train, split.x_train)
    assert np.abs(added).mean() == pytest.approx(chosen.label_ratio * np.abs(gram - added).mean(), rel=1e-6)
    assert chosen.smallest_eigenvalue == pytest.approx(np.linalg.eigvalsh(gram)[0], rel=1e-6)
    assert chosen.smallest_eigenvalue >= -ridge / 2


def test_what_was_chosen_is_reported_relative_to_the_kernel():
    split = digits()
    fitted, base = fit("lantk-hr-mlp", split), fit("ntk-mlp", split)
    x = split.x_train
    gram, plain = fitted.gram(x, x), base.gram(x, x)
    found = fitted.diagnostics()
    assert found["relative_ridge"] == pytest.approx(fitted.regression.ridge / np.diagonal(gram).mean(), rel=1e-12)
    assert found["smallest_eigenvalue"] == pytest.approx(np.linalg.eigvalsh(gram)[0] / np.diagonal(gram).mean())
    assert found["label_ratio"] == pytest.approx(np.abs(gram - plain).sum() / np.abs(plain).sum(), rel=1e-6)
    assert found["label_weight"] == pytest.approx(fitted.label_aware.scale / np.diagonal(plain).mean(), rel=1e-6)
    assert base.diagnostics().keys() == {"relative_ridge", "smallest_eigenvalue"}
    assert fit("lantk-hr-mlp[variant=kr-v2-cntk]", split).diagnostics()["relative_ridge@inverse"] == 1e-6
    hierarchy = fit("lantk-nth-mlp[ridge=0.01,draws=64]", split)
    assert hierarchy.diagnostics() == {
        "relative_ridge": pytest.approx(hierarchy.regression.relative_ridge),
        "smallest_eigenvalue": pytest.approx(
            hierarchy.hierarchy.smallest_eigenvalue / hierarchy.regression.mean_diagonal
        ),
        "label_ratio": hierarchy.hierarchy.label_ratio,
        "kernel_standard_error": hierarchy.hierarchy.standard_error,
        "relative_ridge@inverse": 0.01,
    }


@pytest.mark.parametrize("variant", ["kr-v1", "fjlt-v2"])
def test_the_kernel_is_one_function_of_two_inputs(variant):
    """A training point is the same in whatever set it is asked for, so test and training kernels match."""
    split = digits()
    fitted = fit(f"lantk-hr-mlp[base=rbf,variant={variant}]", split)
    x = np.concatenate([split.x_test[:5], split.x_train[:20]])
    whole = fitted.gram(x, x)
    np.testing.assert_array_equal(whole, whole.T)
    np.testing.assert_allclose(fitted.gram(split.x_train, split.x_train)[:20, :20], whole[5:, 5:], atol=1e-6)
    np.testing.assert_allclose(fitted.gram(x[:5], x[5:]), whole[:5, 5:], atol=1e-6)
    similar = fitted.similarity(x, np.zeros(25, dtype=int), x, kind="signed")
    np.testing.assert_allclose(similar, whole / np.diagonal(whole)[:, None], atol=1e-6)


def test_the_course_is_gradient_flow_of_the_regularized_loss():
    split = digits()
    fitted = fit("lantk-hr-mlp[base=rbf[scale=2]]", split)
    gram, ridge = fitted.gram(split.x_train, split.x_train), fitted.regression.ridge
    targets = np.eye(10)[split.y_train] - 0.1
    course = fitted.trajectory()

    def slope(_, c):
        return (-((gram + ridge * np.eye(100)) @ c.reshape(100, 10) - targets) / 100).ravel()

    end = solve_ivp(slope, (0, course.times[8]), np.zeros(1000), method="DOP853", rtol=1e-10, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(course.scores[8], (gram @ end.reshape(100, 10))[course.probe], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(
        fitted.checkpoints()[-1].fitted.predict(split.x_test), fitted.predict(split.x_test), atol=1e-6
    )


def test_label_awareness_raises_elasticity_and_permuted_labels_gain_nothing():
    """Paired over seeds, against the same kernel without labels; five seeds, the Student interval of the mean."""
    gains = {"false": [], "true": []}
    elasticity = []
    for seed in range(5):
        split = digits(seed)
        x, y = split.x_test[:150], split.y_test[:150]
        base = fit("ntk-mlp", split, seed)
        accuracy = metrics.accuracy(base.predict(split.x_test), split.y_test)
        for permuted, found in gains.items():
            machine = fit(f"lantk-hr-mlp[permuted={permuted}]", split, seed)
            found.append(metrics.accuracy(machine.predict(split.x_test), split.y_test) - accuracy)
            if permuted == "false":
                ratios = [metrics.elasticity_ratio(m.similarity(x, y, x), y) for m in (machine, base)]
                elasticity.append(ratios[0] - ratios[1])
    assert min(elasticity) > 0
    mean, spread = np.mean(gains["true"]), np.std(gains["true"], ddof=1) / np.sqrt(5)
    assert mean - 2.776 * spread <= 0 <= mean + 2.776 * spread


def test_of_two_labellings_only_the_label_aware_kernel_hears():
    """LA-7: a kernel that knows no labels is bitwise the same under both, this one follows each of them."""
    cells = registry.datasets.get("two-factor").split(0)
    systems = [replace(cells, y_train=y, class_names=("low", "high")) for y in (cells.y_train // 2, cells.y_train % 2)]
    x, factors = cells.x_test, [cells.y_test // 2, cells.y_test % 2]
    agnostic = [fit("ntk-mlp", system).gram(x, x) for system in systems]
    np.testing.assert_array_equal(*agnostic)
    for own, system in enumerate(systems):
        gram = fit("lantk-hr-mlp", system).gram(x, x)
        scale = np.sqrt(np.diagonal(gram))
        assert metrics.label_following(gram / np.outer(scale, scale), factors[own], factors[1 - own]) > 0.01


def test_two_classes_and_another_base():
    split = Variant("pair", n_train=60, groups=((3,), (8,))).apply(registry.datasets.get("digits").split(0), 0)
    fitted = fit("lantk-hr-cnn[base=laplace]", split)
    assert metrics.accuracy(fitted.predict(split.x_test), split.y_test) > 0.9


def test_the_backends_and_the_architecture_are_those_of_the_base():
    model = build_model("lantk-hr-cnn").model
    assert model.network == build_model("ntk-cnn").model.network
    assert build_model("lantk-hr-mlp[base=entk-mlp]", "torch").backend == "torch"
    plan = make_plan(["manifold/torus"], ["lantk-hr-cnn", "lantk-hr-mlp"], [0])
    assert [job.label for job in plan.jobs] == ["lantk-hr-mlp"]
    assert all("needs images" in cell.unmet for cell in plan.skipped)


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("lantk-hr-mlp[base=mlp]", ParameterError, "base=mlp is no kernel machine"),
        ("lantk-hr-mlp[variant=kr-v3]", ParameterError, "variant=kr-v3 is not allowed"),
        ("lantk-hr-mlp[base=nothing]", LebenchError, "unknown model 'nothing'"),
    ],
)
def test_bad_specifications_are_named(spec, error, message):
    with pytest.raises(error, match=message):
        build_model(spec)


def test_too_few_points_for_cross_fitting_are_named():
    few = Variant("few", n_train=8, groups=((3,), (8,))).apply(registry.datasets.get("digits").split(0), 0)
    with pytest.raises(LebenchError, match="needs at least 3 folds and 10 different training points, there are 8"):
        fit("lantk-hr-mlp", few)


def test_hierarchy_predicts_with_its_kernel_and_reports_its_size_and_error():
    split = digits()
    fitted = fit("lantk-nth-mlp", split)
    gram, ridge = fitted.gram(split.x_train, split.x_train), fitted.regression.ridge
    cross = fitted.gram(split.x_test[:50], split.x_train)
    targets = np.eye(10)[split.y_train] - 0.1
    expected = cross @ np.linalg.solve(gram + ridge * np.eye(100), targets)
    np.testing.assert_allclose(fitted.predict(split.x_test[:50]), expected, rtol=1e-7, atol=1e-9)
    x = np.concatenate([split.x_test[:5], split.x_train[:20]])
    whole = fitted.gram(x, x)
    np.testing.assert_allclose(whole[5:, 5:], gram[:20, :20], rtol=1e-9)
    similar = fitted.similarity(x, np.zeros(25, dtype=int), x, kind="signed")
    np.testing.assert_allclose(similar, whole / np.diagonal(whole)[:, None], rtol=1e-9)
    found = fitted.hierarchy
    assert found.smallest_eigenvalue == pytest.approx(np.linalg.eigvalsh(gram)[0], rel=1e-8)
    assert 0 < found.standard_error < 0.2 * found.label_ratio


def test_the_part_of_the_labels_falls_with_the_width_and_hears_the_labels():
    split = digits()
    parts = [fit(f"lantk-nth-mlp[width={width},draws=64]", split) for width in (100, 400)]
    assert parts[0].hierarchy.label_ratio == pytest.approx(4 * parts[1].hierarchy.label_ratio, rel=1e-9)
    permuted = fit("lantk-nth-mlp[width=100,draws=64,permuted=true]", split)
    x = split.x_test[:10]
    assert np.abs(permuted.gram(x, x) - parts[0].gram(x, x)).max() > 1e-4 * np.abs(parts[0].gram(x, x)).max()


def test_what_the_hierarchy_cannot_do_is_named():
    split = digits()
    twice = replace(split, x_train=np.concatenate([split.x_train] * 2), y_train=np.concatenate([split.y_train] * 2))
    with pytest.raises(LebenchError, match="remove points that occur twice, or give a ridge"):
        fit("lantk-nth-mlp", twice)
    assert fit("lantk-nth-mlp[ridge=0.01,draws=64]", twice).hierarchy.label_ratio > 0
    with pytest.raises(ParameterError, match="draws=3 is not allowed"):
        build_model("lantk-nth-mlp[draws=3]")


@pytest.mark.parametrize("spec", ["lantk-hr-mlp", "lantk-nth-mlp[draws=32]"])
def test_a_class_without_training_points_and_a_label_out_of_range_are_named(spec):
    split = digits()
    with pytest.raises(LebenchError, match=r"class 3 \(3\) has no training points"):
        fit(spec, replace(split, y_train=np.where(split.y_train == 3, 4, split.y_train)))
    with pytest.raises(LebenchError, match="contain 12, but there are 10 classes"):
        fit(spec, replace(split, y_train=split.y_train + 3))
