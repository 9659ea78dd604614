"""The committed baselines make sense to someone in the field; real runs, read from leaderboard/entries."""

from pathlib import Path

import numpy as np
import pytest

from lebench import board, registry
from lebench.board.frame import by_seed
from lebench.board.suite import core_suite
from lebench.cli.baselines import MOST_SEEDS, SEEDS, stand
from lebench.tasks.facts import broken
from lebench.verify import FEWEST_SEEDS

ENTRIES = Path(__file__).parents[2] / "leaderboard" / "entries"
NETWORKS = ("mlp", "lenet", "cnn", "resnet", "resnet-nf", "vgg")
TASKS = registry.tasks.names()
CONTROLS = ("constant", "random-features", "permuted-labels")


@pytest.fixture(scope="module")
def entries():
    return {entry.name: entry for entry in board.read_entries(ENTRIES)}


@pytest.fixture(scope="module")
def frame(entries):
    return board.frame(record for entry in entries.values() for record in entry.records)


def mean(frame, task, metric, model):
    return float(np.mean(list(by_seed(frame, task, metric)[model].values())))


def test_every_baseline_has_the_tasks_of_its_suites_with_the_same_seeds_for_each(entries):
    for label, tasks in stand().items():
        entry = entries[board.entry_name(label)]
        seeds = {}
        for record in entry.records:
            seeds.setdefault(record.cell.task, set()).add(record.cell.seed)
        assert set(seeds) >= set(tasks)
        assert all(found == set(range(len(found))) for found in seeds.values())
        assert all(FEWEST_SEEDS <= len(found) <= MOST_SEEDS for found in seeds.values())
        assert {r.status for r in entry.records} <= {"ok", "skipped"}


def test_every_task_has_a_baseline_but_the_large_ones_on_photographs():
    """And those of teachers and concepts more kernels than one, so that the best of six is more than a name."""
    on = {task: {model for model, tasks in stand().items() if task in tasks} for task in TASKS}
    assert {task for task, found in on.items() if not found} == {
        "lantk/cifar-multiclass-large",
        "lantk/cifar-pairs-large",
    }
    for task in ("overparam/teacher-8", "overparam/concept-sin", "overparam/concept-tanh"):
        assert {"mlp", "mlp[depth=1]", "linear", "ntk-mlp", "nngp-mlp", "rbf", "laplace"} <= on[task]


def test_every_value_that_ranks_can_be_computed_again_for_at_least_one_seed(entries):
    for entry in entries.values():
        held = {}
        for record in entry.records:
            task = record.cell.task
            if task in core_suite().tasks and registry.tasks.get(task).primary in record.metrics:
                held.setdefault(task, []).append(entry.recording_path(record).is_file())
        assert all(any(found) for found in held.values()), (entry.name, held)


def test_values_keep_within_their_bounds_and_what_is_declared_to_hold_between_them(entries):
    """Real runs: a relation declared wrongly, or a value that does not follow from others, is found here."""
    checked = 0
    for entry in entries.values():
        for record in entry.records:
            if record.status == "ok":
                checked += 1
                found = list(broken(registry.tasks.get(record.cell.task), record.cell.seed, record.metrics))
                assert found == [], (entry.name, record.cell.task, record.cell.seed)
    assert checked > 1_500


def test_accuracy_is_a_whole_number_of_test_points_and_agrees_with_the_error(entries):
    for entry in entries.values():
        for record in entry.records:
            if record.cell.task == "digits/accuracy":
                correct = record.metrics["accuracy"] * 450
                assert correct == pytest.approx(round(correct), abs=1e-9)
                assert record.metrics["accuracy"] + record.metrics["error"] == pytest.approx(1)


@pytest.mark.parametrize("model", ["cnn", "resnet", "vgg"])
def test_convolutional_networks_exceed_97_5_percent_on_digits(model, frame):
    assert mean(frame, "digits/accuracy", "accuracy", model) > 0.975


@pytest.mark.parametrize("model", CONTROLS)
def test_controls_are_at_chance(model, frame):
    # Five seeds of 450 points: the standard deviation of a binomial mean at chance is 0.0063.
    assert mean(frame, "digits/accuracy", "accuracy", model) == pytest.approx(0.1, abs=4 * 0.0063)


def test_controls_lose_and_a_leak_is_seen(entries):
    board.check_controls(board.make_board(entries.values()))


def test_the_leak_is_right_every_time_and_marked(entries, frame):
    for task in ("digits/accuracy", "digits/small-n"):
        assert set(by_seed(frame, task, registry.tasks.get(task).primary)["leak-kernel"].values()) == {1.0}
    (entry,) = [e for e in board.make_board(entries.values()).entries if e.info.name == "leak-kernel"]
    assert entry.control


def test_elastic_stability_is_at_most_uniform_and_far_below(entries):
    """Deng, He & Su 2021: worst-case sensitivity far exceeds average sensitivity, in every model that was measured."""
    found = [r.metrics for e in entries.values() for r in e.records if r.cell.task == "digits/stability" and r.metrics]
    assert len(found) >= 10 * SEEDS
    for values in found:
        assert values["elastic_stability"] <= values["uniform_stability"]
        assert values["elastic_to_uniform_ratio"] < 0.1
        assert values["loss_gap"] <= min(values["elastic_bound"], values["uniform_bound"])


def test_removing_a_point_moves_a_constant_alike_everywhere(frame):
    """And training that is repeated with the same randomness changes nothing."""
    sensitivity = by_seed(frame, "digits/class-sensitivity", "class_sensitivity")
    assert list(sensitivity["constant"].values()) == pytest.approx([1.0] * SEEDS)
    for floor in by_seed(frame, "digits/class-sensitivity", "removal_change@nothing").values():
        assert set(floor.values()) == {0.0}


@pytest.mark.parametrize("model", NETWORKS)
def test_networks_are_more_elastic_than_the_linear_model(model, frame):
    linear = mean(frame, "digits/elasticity", "elasticity_ratio", "linear")
    assert mean(frame, "digits/elasticity", "elasticity_ratio", model) > linear


def test_noise_features_are_not_elastic_and_reveal_no_digits(frame):
    """Similarities of independent features differ within and between classes by chance only."""
    assert mean(frame, "digits/elasticity", "elasticity_ratio", "random-features") == pytest.approx(0.5, abs=0.02)
    assert mean(frame, "digits/clustering", "adjusted_rand_index@mean", "random-features") == pytest.approx(0, abs=0.05)


def test_training_collapses_a_residual_network(frame):
    from lebench.models.spec import build_model

    split = registry.datasets.get("digits").split(0)
    untrained = build_model("resnet[epochs=0]").model.fit(split, 0)
    before = registry.metrics.get("nc1_pinv_over_C")(untrained.features(split.x_train), split.y_train)
    after = mean(frame, "digits/collapse", "nc1_pinv_over_C@train", "resnet")
    assert after < before / 20


def test_on_the_torus_the_network_follows_distance_and_its_linear_counterpart_does_not(frame):
    """He & Su 2020, figure 3, in every seed; and the signed similarity, in which the contrast all but disappears."""
    relative = by_seed(frame, "manifold/torus", "distance_pearson")
    signed = by_seed(frame, "manifold/torus", "distance_pearson@signed")
    for seed in range(FEWEST_SEEDS):
        assert relative["mlp"][seed] < relative["deep-linear"][seed] - 0.3
        assert abs(signed["mlp"][seed] - signed["deep-linear"][seed]) < 0.3
