"""What the pages say is so: numbers are those of the records and of the code, commands exist."""

import re
import shlex
from functools import cache
from pathlib import Path

import click
import numpy as np
import pytest
from scipy.stats import t

from lebench import registry
from lebench.board import entry_name, read_entry
from lebench.cli.app import app
from lebench.models.spec import parse_spec
from lebench.verify import tolerance

ROOT = Path(__file__).parents[1]
#: Words of docs/concepts.md, and the value that they quote: number, task, value, label of the model.
QUOTED = [
    ("1.9 times as much as the average", 1.9, "stability/bound", "class_sensitivity", "mlp"),
    ("3.6 times for a Gaussian kernel", 3.6, "stability/bound", "class_sensitivity", "rbf"),
    ("between 5 (`vgg`) and 37 (`rbf`)", 5, "stability/bound", "uniform_bound", "vgg"),
    ("between 5 (`vgg`) and 37 (`rbf`)", 37, "stability/bound", "uniform_bound", "rbf"),
    ("3.6 for the kernel", 3.6, "stability/class-sensitivity", "class_sensitivity", "rbf"),
    ("1.1 for the perceptron", 1.1, "stability/class-sensitivity", "class_sensitivity", "mlp"),
    ("0.38 with true labels", 0.38, "digits/elasticity", "elasticity_difference", "mlp"),
    ("0.21 for the kernel", 0.21, "digits/elasticity", "elasticity_difference", "rbf"),
    ("0.11 with permuted labels", 0.11, "digits/elasticity", "elasticity_difference", "permuted-labels"),
    ("0.52 for the convolutional", 0.52, "clustering/learning-rate", "adjusted_rand_index@x0.1", "cnn"),
    ("0.86 for the perceptron", 0.86, "clustering/learning-rate", "adjusted_rand_index@x0.1", "mlp"),
    ("NC1 to 0.43 and 0.70", 0.43, "collapse/trajectory", "terminal_ratio@nc1-train", "resnet"),
    ("NC1 to 0.43 and 0.70", 0.70, "collapse/trajectory", "terminal_ratio@nc1-train", "vgg"),
    ("and 1.08 (`cnn`)", 1.08, "collapse/trajectory", "terminal_ratio@nc1-train", "cnn"),
    ("from -0.11 to 0.17 for `mlp`", 0.17, "collapse/imbalance", "minority_cosine@R=25", "mlp"),
    (
        "to 0.25 for a network with permuted labels",
        0.25,
        "collapse/imbalance",
        "minority_cosine@R=25",
        "permuted-labels",
    ),
    ("of `resnet`, and 98% of those of `vgg`", 0.98, "collapse/label-noise", "ncc_accuracy@p=0.4-noisy", "vgg"),
    ("all\ntraining points of `resnet`", 1, "collapse/label-noise", "ncc_accuracy@p=0.4-noisy", "resnet"),
    ("93% of its points", 0.93, "collapse/label-noise", "ncc_accuracy@p=0.4-clean", "mlp"),
    ("only 69% to that", 0.69, "collapse/label-noise", "ncc_accuracy@p=0.4-noisy", "mlp"),
    ("(0.15 against 0.18 for `mlp`)", 0.18, "elasticity/over-training", "elasticity_growth@ratio", "mlp"),
    ("(0.15 against 0.18 for `mlp`)", 0.15, "elasticity/over-training", "elasticity_growth@ratio", "permuted-labels"),
    ("grows by 0.23 and shrinks", 0.23, "elasticity/over-training", "elasticity_growth@difference", "mlp"),
    ("`mlp` 0.24, `deep-linear` 0.12", 0.24, "elasticity/label-systems", "label_following@mean", "mlp"),
    ("`mlp` 0.24, `deep-linear` 0.12", 0.12, "elasticity/label-systems", "label_following@mean", "deep-linear"),
    ("(correlation -0.62)", -0.62, "manifold/torus", "distance_pearson", "mlp"),
    ("does not (-0.08)", -0.08, "manifold/torus", "distance_pearson", "deep-linear"),
    ("signed similarity of `deep-linear` has -0.79", -0.79, "manifold/torus", "distance_pearson@signed", "deep-linear"),
    ("`linear` has -0.69", -0.69, "manifold/torus", "distance_pearson", "linear"),
    ("0.50 before, 0.81 after", 0.81, "kernel/alignment", "centred_target_alignment@end", "vgg"),
    ("to 0.48", 0.48, "kernel/alignment", "centred_target_alignment@end", "permuted-labels"),
    ("(ratio 0.57 for `ntk-mlp`", 0.57, "kernel/gap", "elasticity_ratio@model", "ntk-mlp"),
    ("3.5 points *better*", -0.035, "kernel/gap", "difference_to_kernel@accuracy-network", "mlp"),
    ("a hundredth of the\nbest kernel's", 0.01, "overparam/teacher-8", "loss_ratio", "mlp[depth=1]"),
    ("1.3 at 8 units to 2.2 at 16", 1.3, "overparam/width", "log_loss@noisy-h=8", "mlp[depth=1]"),
    ("1.3 at 8 units to 2.2 at 16", 2.2, "overparam/width", "log_loss@noisy-h=16", "mlp[depth=1]"),
    ("falls to 0.8 at 512", 0.8, "overparam/width", "log_loss@noisy-h=512", "mlp[depth=1]"),
    ("-0.09 of the width", -0.09, "overparam/width", "width_exponent@unit_bound", "mlp[depth=1]"),
    ("0.680 +- 0.071 for `linear`", 0.680, "geomnist/noise-transition", "noise_crossing", "linear"),
    ("0.672 +- 0.033 for `mlp`", 0.672, "geomnist/noise-transition", "noise_crossing", "mlp"),
]


@cache
def means():
    """Return mean over seeds, its standard error and the number of seeds, by task, value and label."""
    seeds = {}
    for model in {row[-1] for row in QUOTED}:
        for record in read_entry(ROOT / "leaderboard/entries" / entry_name(model)).records:
            for name, value in record.metrics.items():
                seeds.setdefault((record.cell.task, name, record.label), []).append(value)
    return {key: (np.mean(v), np.std(v, ddof=1) / len(v) ** 0.5, len(v)) for key, v in seeds.items() if len(v) > 1}


@pytest.mark.parametrize(("words", "number", "task", "value", "model"), QUOTED)
def test_a_number_of_the_concepts_is_that_of_the_records(words, number, task, value, model):
    assert words in (ROOT / "docs/concepts.md").read_text(encoding="utf-8")
    mean, error, count = means()[task, value, model]
    # Records are made anew on other machines, where networks train otherwise: the page may be off by that.
    digits = len(f"{number}".partition(".")[2])
    assert abs(mean - number) <= 0.51 * 10.0**-digits + t.ppf(0.975, count - 1) * error


def commands():
    """Return the calls of lebench that stand in console blocks, each with its page."""
    found = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for block in re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            found += [(page.name, line) for line in re.findall(r"^\$ (?:\S*/)?lebench (.+)$", block, re.MULTILINE)]
    return found


def test_commands_of_the_pages_are_known():
    """Their options exist, and so do the models and tasks that they name, unless a plug-in brings them."""
    assert len(commands()) > 30
    for page, line in commands():
        words = shlex.split(line, comments=True)
        command = app
        while isinstance(command, click.Group) and not words[0].startswith("-"):
            command = command.get_command(click.Context(command), words.pop(0))
            assert command is not None, (page, line)
        if isinstance(command, click.Group):
            continue
        parser = command.make_parser(click.Context(command))
        try:
            options, _, _ = parser.parse_args(words)
        except click.UsageError as error:
            pytest.fail(f"{page}: {line}: {error.message}")
        if "plugin" in options or "plugins" in options:
            continue
        for kind in (registry.models, registry.tasks):
            names = options.get(f"{kind.kind}s")
            for chosen in names if isinstance(names, list) else []:
                assert kind.select([parse_spec(chosen)[0] if "[" in chosen else chosen]), (page, line)


def test_tolerances_of_the_page_are_those_of_the_code():
    table = re.findall(
        r"^\| (\w[\w ]*) \| [^|]* \| ([^|]*) \|", (ROOT / "docs/trust.md").read_text("utf-8"), re.MULTILINE
    )
    said = dict(table)
    for rule, (relative, absolute) in tolerance._ALLOWED.items():
        for number in (relative, absolute) if rule != "seeds" else (relative,):
            power = str(round(np.log10(number))).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
            assert f"10{power}" in said[rule], rule
    assert "three standard deviations" in said["seeds"]
    assert tolerance.SPREADS == 3
