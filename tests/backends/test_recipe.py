"""The learning rate over training."""

import pytest
import torch

from lebench.backends.base import Recipe
from lebench.errors import ParameterError
from lebench.models.spec import build_model


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        # Papyan, Han & Donoho 2020: a tenth after one third, a hundredth after two thirds.
        ("step", [0.2, 0.2, 0.02, 0.002, 0.002]),
        ("constant", [0.2] * 5),
        # Zagoruyko & Komodakis 2016: a fifth after 30, 60 and 80%.
        ("multistep", [0.2, 0.04, 0.04, 0.008, 0.0016]),
        # (1 + cos(pi t)) / 2: the cosine of 60, 90 and 120 degrees.
        ("cosine", [0.2, 0.15, 0.1, 0.05, 0.0]),
    ],
)
def test_learning_rate_over_training(schedule, expected):
    recipe = Recipe(lr=0.2, schedule=schedule)
    moments = [0.0, 1 / 3, 0.5, 2 / 3, 1.0] if schedule == "cosine" else [0.0, 0.3, 0.34, 0.67, 0.999]
    assert [recipe.lr_at(t) for t in moments] == pytest.approx(expected, abs=1e-12)


def rates_of_torch(lr, updates, make):
    """Return the rates of a scheduler of torch, update by update."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler, found = make(optimizer), []
    for _ in range(updates):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_one_cycle_is_that_of_torch():
    found = rates_of_torch(0.3, 60, lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.3, 60, cycle_momentum=False))
    recipe = Recipe(lr=0.3, schedule="one-cycle")
    assert [recipe.rate(update, 6, 10) for update in range(60)] == pytest.approx(found, rel=1e-12)


def test_warm_up_and_cosine_are_those_of_torch():
    def make(optimizer):
        rise = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / 15, total_iters=14)
        fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=45)
        return torch.optim.lr_scheduler.SequentialLR(optimizer, [rise, fall], milestones=[15])

    recipe = Recipe(lr=0.3, schedule="cosine", warmup=1.5)
    found = [recipe.rate(update, 6, 10) for update in range(60)]
    assert found == pytest.approx(rates_of_torch(0.3, 60, make), rel=1e-9, abs=1e-12)


def test_multistep_is_that_of_torch_and_warm_up_only_changes_its_begin():
    def make(optimizer):
        return torch.optim.lr_scheduler.MultiStepLR(optimizer, [30, 60, 80], gamma=0.2)

    recipe = Recipe(lr=0.1, schedule="multistep")
    assert [recipe.rate(epoch * 5, 100, 5) for epoch in range(100)] == pytest.approx(rates_of_torch(0.1, 100, make))
    warm = Recipe(lr=0.1, schedule="multistep", warmup=10)
    assert [warm.rate(update, 100, 5) for update in range(50, 500)] == [recipe.rate(u, 100, 5) for u in range(50, 500)]
    assert warm.rate(0, 100, 5) == pytest.approx(0.1 / 50)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"nesterov": True, "optimizer": "adam"}, "nesterov needs the optimizer 'sgd'"),
        ({"nesterov": True, "momentum": 0.0}, "with a momentum above 0"),
        ({"schedule": "one-cycle", "warmup": 1}, "leave out warmup"),
    ],
)
def test_what_does_not_go_together_is_refused(wrong, message):
    with pytest.raises(ParameterError, match=message):
        Recipe(**wrong)


def test_a_warm_up_that_is_all_of_training_is_refused():
    with pytest.raises(ParameterError, match="a warm-up of 5 epochs leaves nothing of a training of 3"):
        Recipe(warmup=5).rate(0, 3, 10)


def test_later_options_are_no_part_of_what_is_declared_where_they_say_nothing():
    later = {"warmup", "nesterov", "augmentation", "label_smoothing", "clip_norm", "precision"}
    assert not later & build_model("mlp").params.keys()
    assert not any(name in repr(Recipe()) for name in later)
    said = build_model("mlp[warmup=2,precision=bfloat16]")
    assert (said.params["warmup"], said.params["precision"], said.precision) == (2, "bfloat16", "bfloat16")
    assert build_model(said.label).params == said.params
    # A default of the model that says something is declared.
    assert build_model("resnet18").params["augmentation"] == "flip-crop"
    assert build_model("resnet18[augmentation=none]").params.keys() == build_model("resnet18").params.keys() - {
        "augmentation"
    }


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
