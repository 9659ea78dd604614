"""Kernel machines by tiles and by Nyström's approximation against the one that has the whole kernel."""

from types import SimpleNamespace

import numpy as np
import pytest

from lebench import registry
from lebench.data.base import Variant
from lebench.models import large_kernel_machine
from lebench.models.spec import build_model


@pytest.fixture(scope="module")
def digits():
    return Variant("small", n_train=120).apply(registry.datasets.get("digits").split(0), 0)


def fit(spec, split):
    return build_model(spec).model.fit(split, 0)


def test_which_solver_fits(monkeypatch):
    def machine(memory, disk):
        monkeypatch.setattr(
            large_kernel_machine.psutil, "virtual_memory", lambda: SimpleNamespace(available=memory * 2**30)
        )
        monkeypatch.setattr(
            large_kernel_machine.shutil, "disk_usage", lambda folder: SimpleNamespace(free=disk * 2**30)
        )

    machine(24, 100)
    assert large_kernel_machine.solver_for(10_000) == "whole"
    assert large_kernel_machine.solver_for(10_001) == "tiles"
    assert large_kernel_machine.solver_for(60_000) == "tiles"
    machine(8, 100)
    assert large_kernel_machine.solver_for(60_000) == "tiles in a file"
    machine(8, 5)
    assert large_kernel_machine.solver_for(60_000) == "nystrom"


@pytest.mark.parametrize("spec", ["ntk-mlp", "nngp-mlp", "rbf", "laplace", "ntk-cnn", "linear-kernel"])
@pytest.mark.parametrize("solver", ["tiles", "tiles in a file", "nystrom"])
def test_scores_are_those_of_the_whole_kernel(spec, solver, digits, monkeypatch, tmp_path):
    if spec == "linear-kernel" and solver == "nystrom":
        pytest.skip("its rank is below the number of points")
    whole = fit(spec, digits)
    monkeypatch.setattr("lebench.models.kernel_machine.solver_for", lambda n: solver)
    monkeypatch.setattr(large_kernel_machine.tempfile, "gettempdir", lambda: str(tmp_path))
    large = fit(spec, digits)
    assert isinstance(large, large_kernel_machine.LargeKernelMachine)
    found, before = large.diagnostics(), whole.diagnostics()
    assert found["relative_ridge"] == pytest.approx(before["relative_ridge"])
    assert found["smallest_eigenvalue@subset"] == pytest.approx(before["smallest_eigenvalue"], rel=1e-2, abs=1e-5)
    scores = whole.predict(digits.x_test)
    # The machine has float32 tiles, and the ridge may be 1e-8 of the diagonal.
    assert np.sqrt(np.square(large.predict(digits.x_test) - scores).mean()) < 2e-2 * np.sqrt(np.square(scores).mean())
    np.testing.assert_allclose(
        large.similarity(digits.x_test[:3], digits.y_test[:3], digits.x_test),
        whole.similarity(digits.x_test[:3], digits.y_test[:3], digits.x_test),
        rtol=1e-10,
    )
    assert set(large.unavailable) == {"trajectory", "checkpoints"}
    by = {"tiles": "tiles", "tiles in a file": "tiles-in-file", "nystrom": "centres"}[solver]
    assert {name: value for name, value in found.items() if name.startswith("solver_rank")} == {
        f"solver_rank@{by}": 1.0
    }
    assert list(tmp_path.iterdir()) == []
