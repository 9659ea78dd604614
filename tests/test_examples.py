"""The examples of the documentation: each is checked independently, and prints what the page shows."""

import importlib.util
import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lebench
from lebench import registry
from lebench.data.base import Variant
from lebench.runner.plan import make_plan

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs/assets/examples"
PAGE = ROOT / "docs/use-our-metrics.md"


@pytest.fixture
def run_example(capsys):
    """A function that runs an example, compares what it prints with the page, and returns its variables."""

    def run(name):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
        variables = runpy.run_path(str(EXAMPLES / f"measure_{name}.py"))
        _assert_shown(name, capsys.readouterr().out)
        return variables

    return run


def _assert_shown(name, printed):
    _assert_same(printed, _output(PAGE, f"measure_{name}.py"))


def _output(page, example):
    """Return what a page shows below an example."""
    _, after = page.read_text().split(f'--8<-- "assets/examples/{example}"\n```\n', 1)
    return re.match(r"\n+```text\n(.*?)```", after, re.DOTALL)[1]


def _assert_same(printed, shown):
    """Compare two texts, the decimal fractions in them as numbers."""
    number = re.compile(r"\d+\.\d+")
    assert number.sub("#", printed) == number.sub("#", shown)
    # Another processor rounds otherwise and training amplifies it; a page that is out of date is farther off.
    np.testing.assert_allclose(
        [float(text) for text in number.findall(printed)],
        [float(text) for text in number.findall(shown)],
        rtol=0.1,
        atol=0.005,
    )


def test_a_torch_module(run_example):
    import torch

    example = run_example("torch")
    before, after = example["before"], example["after"]
    assert 0 < after["nc1"] < before["nc1"]
    assert 0 < after["nc3"] < before["nc3"]
    assert after["elasticity ratio"] > before["elasticity ratio"] > 0.5
    network, x_test, y_test = example["network"], example["x_test"], example["y_test"]
    assert after["accuracy"] == (network(x_test).argmax(dim=1) == y_test).double().mean().item()

    # The elasticity ratio once more, from the whole Jacobian.
    parameters = {name: value.detach() for name, value in network.named_parameters()}
    some, labels = x_test[:100], y_test[:100].numpy()
    jacobian = torch.func.vmap(
        torch.func.jacrev(lambda values, x: torch.func.functional_call(network, values, (x,))), (None, 0)
    )(parameters, some)
    rows = torch.cat([value.flatten(2) for value in jacobian.values()], dim=2)
    loss_gradient = network(some).softmax(dim=1).detach()
    loss_gradient[torch.arange(100), y_test[:100]] -= 1
    steps = torch.einsum("icp,ic->ip", rows, loss_gradient)
    change = torch.einsum("jcp,ip->ijc", rows, steps).norm(dim=2).numpy()
    similarity = change / change.diagonal()[:, None]
    same = labels[:, None] == labels
    within, between = similarity[same & ~np.eye(100, dtype=bool)].mean(), similarity[~same].mean()
    assert after["elasticity ratio"] == pytest.approx(within / (within + between), rel=1e-9)


def test_a_jax_function(run_example):
    example = run_example("jax")
    before, after = example["before"], example["after"]
    assert 0 < after["nc1 of the features"] < before["nc1 of the features"]
    assert 0 < after["nc1 of the kernel"] < before["nc1 of the kernel"]
    assert after["elasticity ratio of the kernel"] > before["elasticity ratio of the kernel"] > 0.5

    # The tangent kernel of two layers in closed form: 10 h.h' + x.x' sum_k h_k' h'_k' |w_k|^2.
    x = np.asarray(example["x"][:100], dtype=np.float64)
    first, last = (np.asarray(example["parameters"][name], dtype=np.float64) for name in ("first", "last"))
    hidden = np.tanh(x @ first)
    slope = 1 - hidden**2
    kernel = 10 * hidden @ hidden.T + (x @ x.T) * ((slope * (last**2).sum(axis=1)) @ slope.T)
    computed = np.asarray(example["tangent_kernel"](example["parameters"], example["x"][:100]))
    np.testing.assert_allclose(computed, kernel, rtol=1e-4)


def test_a_scikit_learn_estimator(run_example):
    from sklearn.metrics import log_loss

    example = run_example("sklearn")
    values, estimator = example["values"], example["estimator"]
    assert values["accuracy"] == estimator.score(example["x_test"], example["y_test"])
    assert values["log loss"] == pytest.approx(log_loss(example["y_test"], example["probabilities"]), rel=1e-9)

    # Discriminants are as many as the ranks of the means, so the plain inverse gives NC1 there.
    z, y = estimator.transform(example["x"]), example["y"]
    means = np.stack([z[y == c].mean(axis=0) for c in range(10)])
    within = (z - means[y]).T @ (z - means[y]) / len(z)
    centred = means - means.mean(axis=0)
    expected = np.trace(within @ np.linalg.inv(centred.T @ centred / 10)) / 10
    assert values["nc1 of the discriminants"] == pytest.approx(expected, rel=1e-9)
    assert values["nc1 of the discriminants"] < values["nc1 of the pixels"]


def test_numpy_arrays_in_batches(run_example):
    example = run_example("numpy")
    whole, streamed = example["whole"], example["streamed"]
    assert set(streamed) == set(whole)
    assert streamed == pytest.approx(whole, rel=1e-10)


def test_a_torch_module_of_ones_own_is_scored(tmp_path):
    pytest.importorskip("torch")
    command = ["run", "--plugin", EXAMPLES / "torch_module.py", "--model", "my-net[epochs=2,width=8]"]
    tasks = ["--task", "digits/accuracy", "--task", "digits/elasticity", "--task", "digits/collapse"]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from lebench.cli import main; main()",
            *command,
            *tasks,
            "--seeds",
            "1",
            "--jobs",
            "1",
            "--results",
            tmp_path,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for path in tmp_path.glob("records/*.jsonl") for line in path.read_text().splitlines()]
    records = {record["cell"]["task"].split("/")[1]: record for record in map(json.loads, lines)}
    assert set(records) == {"accuracy", "elasticity", "collapse"}
    assert {record["label"] for record in records.values()} == {"my-net[epochs=2,width=8]"}
    values = {task: record["metrics"] for task, record in records.items()}
    # Chance is 0.1 and 0.5.
    assert values["accuracy"]["accuracy"] > 0.3
    assert values["elasticity"]["elasticity_ratio"] > 0.5
    assert 0 < values["collapse"]["nc1_pinv_over_C@train"] < np.inf


def test_a_network_is_looked_at_before_a_long_run(own_registries, tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs/getting-started.md").read_text(encoding="utf-8")
    (block,) = [body for body in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "check_model" in body]
    shutil.copy(EXAMPLES / "torch_module.py", tmp_path / "my_net.py")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_net", raising=False)
    exec(block, {})
    assert capsys.readouterr().out == "[]\n"
    sys.modules.pop("my_net")


def _narrow():
    """The same module without such a method has no other width."""
    gated = registry.models.get("gated")()
    return lebench.Network(gated.network, gated.recipe)


def test_a_network_of_ones_own_is_trained_at_the_width_that_a_task_asks_for(own_registries):
    pytest.importorskip("torch")
    registry.load_plugin(EXAMPLES / "gated_units.py")
    gated = registry.models.get("gated")
    registry.models.register("narrow", _narrow)
    plan = make_plan(["overparam/width"], ["gated", "narrow"], [0])
    assert [job.label for job in plan.jobs] == ["gated"]
    assert [(cell.label, cell.unmet.partition(" and has ")[2]) for cell in plan.skipped] == [
        ("narrow", "no method with_width of its own")
    ]
    split = Variant(n_train=20).apply(registry.datasets.get("digits").split(0), 0)
    brief = gated().with_recipe((("epochs", 1), ("min_steps", 0)))
    for width in (4, 9):
        assert brief.with_width(width).fit(split, 0).features(split.x_test[:3]).shape == (3, width)


def test_a_theory_of_ones_own_imitates_runs_that_it_has_not_seen(capsys):
    pytest.importorskip("torch")
    example = runpy.run_path(str(EXAMPLES / "imitate.py"))
    printed = capsys.readouterr().out
    _assert_same(printed, _output(PAGE, "imitate.py"))
    # By hand, for the run that is held out last: a law that reaches the end of the others from another start.
    first, second, held = example["runs"]
    others = (first + second) / 2
    straight = example["saturation"](held[0], others)
    np.testing.assert_allclose(straight[0], held[0], atol=1e-12)
    np.testing.assert_allclose(straight[-1], others[-1], atol=1e-12)
    error = np.linalg.norm(straight - held) / np.linalg.norm(held - held[0])
    assert example["errors"][-1] == pytest.approx(np.linalg.norm(others - held) / np.linalg.norm(held - held[0]))
    assert error > 0.5


def test_ranks_by_hand(capsys):
    """The page says that the first two are told apart although their intervals overlap."""
    example = runpy.run_path(str(EXAMPLES / "rank_models.py"))
    assert capsys.readouterr().out == _output(ROOT / "docs/statistics.md", "rank_models.py")
    ranks, found = example["ranks"], example["found"]
    assert ranks.lower.tolist() == ranks.upper.tolist() == [1, 2, 3, 4]
    assert found.lower[0] < found.upper[1]


def test_the_page_of_kernels(capsys, own_registries):
    """The code of the page is one session, and what it prints stands below it."""
    for name in ("torch", "numba"):
        pytest.importorskip(name)
    page = (ROOT / "docs/kernels.md").read_text(encoding="utf-8")
    steps = re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", page, re.DOTALL)
    assert sum(bool(shown) for _, shown in steps) >= 8
    session = {}
    for code, shown in steps:
        exec(compile(code, "docs/kernels.md", "exec"), session)
        _assert_same(capsys.readouterr().out, shown)
    kernels = [session["ntk"], session["nngp"]]
    # The tangent kernel is the sum of the layers' own, of which the last one's is the NNGP.
    assert all(np.array_equal(kernel, kernel.T) for kernel in kernels)
    assert (np.diagonal(kernels[0]) > np.diagonal(kernels[1])).all()
