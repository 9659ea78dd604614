"""Exact changes by one step against a plain loop, closed forms, the first-order limit and published numbers."""

import copy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lebench.backends import torch_flips, torch_steps
from lebench.backends.torch_chains import Trace, relu_layers
from lebench.backends.torch_steps import loss_gradient, step_changes
from lebench.backends.torch_tangents import tangent_products
from lebench.errors import LebenchError

REFERENCE = Path(__file__).parents[1] / "reference" / "local_elasticity_digits.npz"


def changes_by_loop(
    module: nn.Module, sources: Tensor, labels: Tensor, loss: str, targets: Tensor, step: float
) -> tuple[Tensor, Tensor]:
    """Independent implementation: copy, backward, SGD, evaluate, subtract."""
    at_targets, at_sources = [], []
    for x, y in zip(sources, labels, strict=True):
        network = copy.deepcopy(module)
        before, own = network(targets).detach(), network(x[None]).detach()
        optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=step)
        scores = network(x[None])
        (F.cross_entropy(scores, y[None]) if loss == "cross_entropy" else 0.5 * (scores - y).square().sum()).backward()
        optimizer.step()
        with torch.no_grad():
            at_targets.append(network(targets) - before)
            at_sources.append((network(x[None]) - own)[0])
    return torch.stack(at_targets), torch.stack(at_sources)


def dense(*widths: int, bias: bool = True) -> nn.Sequential:
    parts: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        parts += [nn.Linear(fan_in, fan_out, bias=bias), nn.ReLU()]
    return nn.Sequential(*parts[:-1])


class Wrapped(nn.Module):
    def __init__(self, layers: nn.Sequential, gain: float = 1.0) -> None:
        super().__init__()
        self.layers, self.gain = layers, gain

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * self.layers(x)


def convolutional() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 3))
    net[1].running_var.uniform_(0.5, 2)
    return net


def partly_frozen() -> nn.Module:
    net = dense(9, 12, 3)
    net[0].weight.requires_grad_(False)
    return net


MODULES = {
    "linear": lambda: dense(9, 3),
    "one hidden layer": lambda: dense(9, 40, 3),
    "one hidden layer, no bias": lambda: dense(9, 40, 3, bias=False),
    "three hidden layers": lambda: dense(9, 20, 15, 10, 3),
    "flatten": lambda: nn.Sequential(nn.Flatten(), *dense(9, 20, 3)),
    "wrapped": lambda: Wrapped(dense(9, 20, 3)),
    "wrapped and changed": lambda: Wrapped(dense(9, 20, 3), gain=2.0),
    "convolutional": convolutional,
    "partly frozen": partly_frozen,
    "tanh": lambda: nn.Sequential(nn.Linear(9, 8), nn.Tanh(), nn.Linear(8, 3)),
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
# From a step at which almost no unit changes sign to one at which most do.
@pytest.mark.parametrize("step", [1e-4, 1e-2, 1.0])
def test_changes_equal_those_of_a_loop(name: str, loss: str, step: float) -> None:
    torch.manual_seed(0)
    module = MODULES[name]().double().eval()
    shape = (1, 3, 3) if name in ("flatten", "convolutional") else (9,)
    sources, targets = torch.randn(6, *shape, dtype=torch.float64), torch.randn(11, *shape, dtype=torch.float64)
    labels = torch.randint(3, (6,)) if loss == "cross_entropy" else torch.randn(6, 3, dtype=torch.float64)
    expected = changes_by_loop(module, sources, labels, loss, targets, step)
    for got, want in zip(step_changes(module, sources, labels, loss, targets, step), expected, strict=True):
        # The loop subtracts numbers of size 1 in float64.
        torch.testing.assert_close(got, want, rtol=1e-9, atol=2e-15)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("step", [2e-2, 5e-2])
def test_corrected_sum_equals_propagation_where_units_change_sign(outputs: int, step: float) -> None:
    torch.manual_seed(1)
    module = dense(9, 300, outputs).double().eval()
    x, y = torch.randn(12, 9, dtype=torch.float64), torch.randn(12, outputs, dtype=torch.float64)
    layers = relu_layers(module)
    assert layers is not None
    with torch.no_grad():
        trace = Trace.of(layers, x)
        g = [gradient[:, 0] for gradient in trace.backward(layers, loss_gradient(trace.z[-1], y, "mse")[:, None])]
        moved = trace.z[0][None] - step * (x @ x.T + 1)[:, :, None] * g[0][:, None]
        assert ((trace.z[0] > 0)[None] != (moved > 0)).sum() >= 5
        corrected = torch_flips.one_hidden_layer(layers, trace, g, trace, step)
        propagated = torch_steps._all_units(layers, trace, g, trace, step)
    assert corrected is not None
    torch.testing.assert_close(corrected, propagated, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("widths", [(9, 40, 3), (9, 20, 20, 3)])
def test_a_tiny_step_keeps_all_digits(widths: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    module = dense(*widths).double().eval()
    sources, targets = torch.randn(5, 9, dtype=torch.float64), torch.randn(7, 9, dtype=torch.float64)
    labels = torch.randint(3, (5,))
    # At this step a difference of two evaluations would be all rounding error.
    step = 1e-14
    got, _ = step_changes(module, sources, labels, "cross_entropy", targets, step)
    cotangents = loss_gradient(module(sources).detach(), labels, "cross_entropy")
    limit = -step * tangent_products(module, sources, cotangents, targets)
    torch.testing.assert_close(got, limit, rtol=1e-11, atol=0)


def test_linear_model_has_the_closed_form() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 1)).double().eval()
    x, y = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 1, dtype=torch.float64)
    at_targets, at_sources = step_changes(module, x, y, "mse", x, 0.3)
    # f = w.x + b: a step changes f(x') by -step (f(x) - y) (<x, x'> + 1).
    expected = -0.3 * (module(x) - y).detach() * (x @ x.T + 1)
    torch.testing.assert_close(at_targets[:, :, 0], expected)
    torch.testing.assert_close(at_sources[:, 0], expected.diagonal())


def test_changes_of_the_reference_network() -> None:
    stored = np.load(REFERENCE)
    module = dense(64, 64, 1).double().eval()
    for layer, name in ((module[0], "fc1"), (module[2], "fc2")):
        layer.weight.data = torch.from_numpy(stored[f"MLPNet.{name}.weight"])
        layer.bias.data = torch.from_numpy(stored[f"MLPNet.{name}.bias"])
    primary = stored["index_list"]
    x = torch.from_numpy(stored["X"][primary])
    y = torch.from_numpy(stored["label"][primary]).double()[:, None]
    at_targets, at_sources = (d.numpy() for d in step_changes(module, x, y, "mse", x, 1e-6))
    relative = np.abs(at_targets[:, :, 0] / at_sources)
    np.testing.assert_allclose(relative, stored["MLPNet_f64_ripple_raw"], rtol=1e-5, atol=2e-6)
    # The kernel is the change per step and gradient of the loss.
    kernel = at_targets[:, :, 0] / (-1e-6 * (module(x).detach() - y).numpy())
    np.testing.assert_allclose(kernel, stored["MLPNet_f64_kernel_raw"], rtol=1e-5, atol=2e-5)


def test_structure_is_recognized_only_where_it_is() -> None:
    shared = nn.Linear(4, 4)
    tied = dense(4, 4, 4)
    tied[2].weight = tied[0].weight
    hooked = dense(4, 3)
    hooked[0].register_forward_hook(lambda *_: None)
    recognized = {
        "dense": dense(4, 5, 3),
        "flatten": nn.Sequential(nn.Flatten(), nn.Linear(4, 3)),
        "wrapped": Wrapped(dense(4, 3)),
    }
    others = {
        "dropout": nn.Sequential(nn.Linear(4, 3), nn.Dropout(), nn.Linear(3, 3)),
        "ends in relu": nn.Sequential(nn.Linear(4, 3), nn.ReLU()),
        "used twice": nn.Sequential(shared, nn.ReLU(), shared),
        "tied": tied,
        "hooked": hooked,
        "empty": nn.Sequential(),
        "partial flatten": nn.Sequential(nn.Flatten(2), nn.Linear(4, 3)),
    }
    assert all(relu_layers(module) is not None for module in recognized.values())
    assert [name for name, module in others.items() if relu_layers(module) is not None] == []


def test_a_float32_module_is_measured_in_float64_and_left_alone() -> None:
    torch.manual_seed(0)
    module = dense(9, 20, 3).eval()
    before = copy.deepcopy(module.state_dict())
    x, labels = torch.randn(4, 9), torch.randint(3, (4,))
    got = step_changes(module, x, labels, "cross_entropy", x, 1e-3)
    expected = step_changes(copy.deepcopy(module).double(), x.double(), labels, "cross_entropy", x.double(), 1e-3)
    for single, double in zip(got, expected, strict=True):
        assert single.dtype == torch.float64
        torch.testing.assert_close(single, double, rtol=0, atol=0)
    assert all(
        torch.equal(value, before[key]) and value.dtype == torch.float32 for key, value in module.state_dict().items()
    )


def test_refusals() -> None:
    module, x = dense(2, 4, 3).eval(), torch.ones(4, 2)
    with pytest.raises(LebenchError, match="must be 'cross_entropy' or 'mse', got 'hinge'"):
        step_changes(module, x, torch.zeros(4, dtype=torch.int64), "hinge", x, 0.1)  # type: ignore[arg-type]
    with pytest.raises(LebenchError, match="needs 4 integer labels from 0 to 2"):
        step_changes(module, x, torch.full((4,), 3), "cross_entropy", x, 0.1)
    with pytest.raises(LebenchError, match=r"needs encoded targets .* of shape \(4, 3\)"):
        step_changes(module, x, torch.zeros(4, dtype=torch.int64), "mse", x, 0.1)
    with pytest.raises(LebenchError, match="needs at least two scores"):
        step_changes(dense(2, 4, 1).eval(), x, torch.zeros(4, dtype=torch.int64), "cross_entropy", x, 0.1)
    with pytest.raises(LebenchError, match="training mode"):
        step_changes(module.train(), x, torch.zeros(4, dtype=torch.int64), "cross_entropy", x, 0.1)
