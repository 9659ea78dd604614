"""The learning rate over training."""

import pytest

from lebench.backends.base import Recipe
from lebench.errors import ParameterError


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        # Papyan, Han & Donoho 2020: a tenth after one third, a hundredth after two thirds.
        ("step", [0.2, 0.2, 0.02, 0.002, 0.002]),
        ("constant", [0.2] * 5),
        # (1 + cos(pi t)) / 2: the cosine of 60, 90 and 120 degrees.
        ("cosine", [0.2, 0.15, 0.1, 0.05, 0.0]),
    ],
)
def test_learning_rate_over_training(schedule, expected):
    recipe = Recipe(lr=0.2, schedule=schedule)
    moments = [0.0, 1 / 3, 0.5, 2 / 3, 1.0] if schedule == "cosine" else [0.0, 0.3, 0.34, 0.67, 0.999]
    assert [recipe.lr_at(t) for t in moments] == pytest.approx(expected, abs=1e-12)


def test_changes_are_values_or_factors():
    recipe = Recipe(lr=0.2, epochs=100, min_steps=500)
    changed = recipe.changed([("lr", "x4"), ("epochs", "x0.3"), ("loss", "mse"), ("min_steps", 10)])
    assert (changed.lr, changed.epochs, changed.loss, changed.min_steps) == (0.8, 30, "mse", 10)
    assert isinstance(changed.epochs, int)
    assert changed.momentum == recipe.momentum
    with pytest.raises(ParameterError, match="no 'rate'; it has epochs"):
        recipe.changed([("rate", 1)])


def test_moments_are_at_ends_of_epochs_and_after_every_so_many_steps():
    assert Recipe().recorded_steps(epochs=4, batches=10) == {0, 10, 20, 30, 40}
    # 24 of them, evenly in log(1 + epoch), where the first fall together.
    many = Recipe().recorded_steps(epochs=1000, batches=10)
    assert many >= {0, 10, 20, 10_000}
    assert 18 <= len(many) <= 24
    assert {step % 10 for step in many} == {0}
    assert Recipe(record_steps=15).recorded_steps(epochs=4, batches=10) == {0, 10, 15, 20, 30, 40}
    assert Recipe(record_steps=15).recorded_steps(epochs=0, batches=10) == {0}


def test_a_longer_schedule_changes_the_network_that_is_trained():
    """The step schedule is in force: with it the last epochs move the weights far less than at a constant rate."""
    import numpy as np

    from lebench import architectures
    from lebench.backends.torch_backend import TorchBackend

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 5)), np.arange(60) % 3
    moved = {}
    for schedule in ("step", "constant"):
        recipe = Recipe(epochs=30, lr=0.1, batch_size=10, min_steps=0, schedule=schedule)
        course = TorchBackend().fit(architectures.mlp(width=16), recipe, x, y, 3, 0).trajectory()
        moved[schedule] = np.linalg.norm(course.scores[-1] - course.scores[-2])
    assert moved["step"] < moved["constant"] / 5
