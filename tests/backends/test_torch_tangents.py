"""Layer-wise tangent kernels against Jacobians of torch.func, closed forms and the published code's numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lebench.backends import torch_factors, torch_tangents
from lebench.backends.torch_tangents import empirical_ntk, first_order_changes, tangent_products
from lebench.errors import LebenchError

# Of vmap inside jacrev, for lack of a batched backward formula.
pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop")

REFERENCE = Path(__file__).parents[1] / "reference" / "local_elasticity_digits.npz"


def full_kernel_by_jacobians(module: nn.Module, x1: Tensor, x2: Tensor) -> Tensor:
    """Independent implementation: Jacobians by automatic differentiation, sample by sample, and their products."""

    def jacobian(x: Tensor) -> Tensor:
        rows = []
        parameters = {k: v.detach() for k, v in module.named_parameters() if v.requires_grad}
        for sample in x:
            jac = torch.func.jacrev(lambda p, s=sample: torch.func.functional_call(module, p, (s[None],)).reshape(-1))(
                parameters
            )
            rows.append(torch.cat([j.flatten(1) for j in jac.values()], dim=1))
        return torch.stack(rows)

    return torch.einsum("icp,jdp->ijcd", jacobian(x1), jacobian(x2))


class Residual(nn.Module):
    def __init__(self, branch: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, x: Tensor) -> Tensor:
        out = self.branch(x)
        out += self.shortcut(x)
        return F.relu_(out)


class CalledTwice(nn.Module):
    """One layer at two depths and, through its weight, once more without being called."""

    def __init__(self, functional: bool) -> None:
        super().__init__()
        self.inner, self.head, self.functional = nn.Linear(6, 6), nn.Linear(6, 3), functional

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.inner(torch.tanh(self.inner(x))))
        if self.functional:
            x = F.linear(x, self.inner.weight)
        return self.head(x)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = nn.Linear(6, 6), nn.Linear(6, 6, bias=False), nn.Linear(6, 3)
        self.decoder.weight = self.encoder.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.decoder(torch.tanh(self.encoder(x)))))


class OwnParameters(nn.Module):
    """Parameters of a custom kind, beside layers of a known one."""

    def __init__(self) -> None:
        super().__init__()
        self.gain, self.body, self.prelu = nn.Parameter(torch.randn(6)), nn.Linear(6, 4), nn.PReLU(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.prelu(self.body(x * self.gain)) ** 2


class DataDependent(OwnParameters):
    def forward(self, x: Tensor) -> Tensor:
        return (
            super().forward(x) * (2.0 if float(x.detach().sum()) > 0 else 1.0)
            if len(x) == 1
            else torch.cat([self(row[None]) for row in x])
        )


class Words(nn.Module):
    """An embedding, attention (which reads a layer's weight without calling it) and positions before a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.dense, self.norm, self.head = nn.Linear(4, 5), nn.LayerNorm(5), nn.Linear(5, 3)

    def forward(self, words: Tensor) -> Tensor:
        x = self.embedding(words)
        x = self.attention(x, x, x, need_weights=False)[0]
        return self.head(self.norm(self.dense(x)).mean(1))


class SequenceFirst(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense, self.head = nn.Linear(2, 5), nn.Linear(15, 3)

    def forward(self, x: Tensor) -> Tensor:
        steps = torch.tanh(self.dense(x.view(len(x), 3, 2).transpose(0, 1)))
        return self.head(steps.transpose(0, 1).flatten(1))


class Scalar(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)[:, 0]


def batch_norm(norm: nn.Module) -> nn.Module:
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(0.5, 2)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.uniform_(norm.bias, -1, 1)
    return norm


def frozen_first(module: nn.Sequential) -> nn.Module:
    module[0].requires_grad_(False)
    return module


def weight_frozen(module: nn.Sequential) -> nn.Module:
    module[0].weight.requires_grad_(False)
    module[2].bias.requires_grad_(False)
    return module


IMAGE, VECTOR = (3, 8, 8), (6,)
MODULES = {
    "dense": (lambda: nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 3)), VECTOR),
    "in-place activation": (lambda: nn.Sequential(nn.Linear(6, 9), nn.ELU(inplace=True), nn.Linear(9, 3)), VECTOR),
    "frozen layer": (lambda: frozen_first(nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))), VECTOR),
    "frozen weight": (lambda: weight_frozen(nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))), VECTOR),
    "scalar": (Scalar, VECTOR),
    "shared": (lambda: CalledTwice(functional=False), VECTOR),
    "shared and functional": (lambda: CalledTwice(functional=True), VECTOR),
    "tied": (Tied, VECTOR),
    "own parameters": (OwnParameters, VECTOR),
    "data dependent": (DataDependent, VECTOR),
    "sequence first": (SequenceFirst, VECTOR),
    "parametrized": (
        lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 5)), nn.ReLU(), nn.Linear(5, 3)),
        VECTOR,
    ),
    "batch norm of vectors": (
        lambda: nn.Sequential(nn.Linear(6, 5), batch_norm(nn.BatchNorm1d(5)), nn.ReLU(), nn.Linear(5, 3)),
        VECTOR,
    ),
    "strided": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, stride=2, padding=1), nn.ReLU(),
            nn.AvgPool2d(2), nn.Flatten(), nn.Linear(5, 3),
        ),
        IMAGE,
    ),
    "padding, dilation, groups": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, (2, 3), padding="same", padding_mode="circular"), nn.Tanh(),
            nn.Conv2d(6, 4, 3, dilation=2, padding=(1, 2), groups=2, bias=False), nn.MaxPool2d(2),
            nn.Conv2d(4, 4, 2, groups=4, padding="valid"), nn.Flatten(), nn.Linear(4 * 2 * 3, 3),
        ),
        IMAGE,
    ),
    "residual with batch norm": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1, bias=False), batch_norm(nn.BatchNorm2d(4)), nn.ReLU(),
            Residual(
                nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1), batch_norm(nn.BatchNorm2d(6))),
                nn.Conv2d(4, 6, 1, stride=2),
            ),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
        ),
        IMAGE,
    ),
    "group and layer norm": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.LayerNorm([6, 6]), nn.Flatten(2), nn.Conv1d(4, 3, 5),
            nn.Flatten(), nn.LayerNorm(96), nn.Linear(96, 3),
        ),
        IMAGE,
    ),
}  # fmt: skip


@pytest.fixture(params=MODULES, ids=str)
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    make, shape = MODULES[request.param]
    module = make().double().eval()
    return module, torch.randn(5, *shape, dtype=torch.float64), torch.randn(3, *shape, dtype=torch.float64)


@pytest.mark.parametrize("chunk", [None, 2])
def test_kernel_equals_product_of_jacobians(case: tuple[nn.Module, Tensor, Tensor], chunk: int | None) -> None:
    module, x1, x2 = case
    for other in (None, x2):
        expected = full_kernel_by_jacobians(module, x1, x1 if other is None else other)
        torch.testing.assert_close(
            empirical_ntk(module, x1, other, contraction="full", chunk=chunk), expected, rtol=1e-9, atol=1e-10
        )
        trace = torch.einsum("ijcc->ij", expected) / expected.shape[-1]
        torch.testing.assert_close(empirical_ntk(module, x1, other, chunk=chunk), trace, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("elementwise_cost", [-1e12, 1e12], ids=["tables", "gradients"])
def test_both_forms_of_every_layer_are_exact(
    case: tuple[nn.Module, Tensor, Tensor], elementwise_cost: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, x1, _ = case
    monkeypatch.setattr(torch_factors, "ELEMENTWISE_COST", elementwise_cost)
    monkeypatch.setattr(torch_factors, "_TABLE_ELEMENTS", 3000)
    monkeypatch.setattr(torch_factors, "_FORMED_ELEMENTS", 300)
    monkeypatch.setattr(torch_factors, "_SYMMETRIC_BLOCK", 2)
    expected = full_kernel_by_jacobians(module, x1, x1)
    torch.testing.assert_close(empirical_ntk(module, x1, contraction="full"), expected, rtol=1e-9, atol=1e-10)
    trace = torch.einsum("ijcc->ij", expected) / expected.shape[-1]
    torch.testing.assert_close(empirical_ntk(module, x1), trace, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("budget", [1, 40_000])
def test_a_small_budget_changes_nothing(
    case: tuple[nn.Module, Tensor, Tensor], budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, x1, x2 = case
    expected = empirical_ntk(module, x1, x2)
    monkeypatch.setattr(torch_tangents, "BUDGET_BYTES", budget)
    torch.testing.assert_close(empirical_ntk(module, x1, x2), expected, rtol=1e-10, atol=1e-11)


def test_products_equal_contracted_jacobians(case: tuple[nn.Module, Tensor, Tensor]) -> None:
    module, sources, targets = case
    kernel = full_kernel_by_jacobians(module, sources, targets)
    cotangents = torch.randn(len(sources), kernel.shape[-1], dtype=torch.float64)
    expected = torch.einsum("ijdc,id->ijc", kernel, cotangents)
    torch.testing.assert_close(tangent_products(module, sources, cotangents, targets), expected, rtol=1e-9, atol=1e-10)


def test_first_order_changes_at_targets_and_at_the_sources_themselves(case: tuple[nn.Module, Tensor, Tensor]) -> None:
    module, sources, targets = case
    kernel = full_kernel_by_jacobians(module, sources, torch.cat([targets, sources]))
    cotangents = torch.randn(len(sources), kernel.shape[-1], dtype=torch.float64)
    products = torch.einsum("ijdc,id->ijc", kernel, cotangents)
    own = products[:, len(targets) :].diagonal().T
    at_targets, at_sources = first_order_changes(module, sources, cotangents, targets)
    torch.testing.assert_close(at_targets, products[:, : len(targets)], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(at_sources, own, rtol=1e-9, atol=1e-10)
    at_targets, at_sources = first_order_changes(module, sources, cotangents, sources)
    torch.testing.assert_close(at_targets, products[:, len(targets) :], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(at_sources, own, rtol=1e-9, atol=1e-10)


def test_embedding_attention_and_positions() -> None:
    torch.manual_seed(0)
    module, words = Words().double().eval(), torch.randint(0, 11, (4, 6))
    expected = full_kernel_by_jacobians(module, words, words)
    torch.testing.assert_close(empirical_ntk(module, words, contraction="full"), expected, rtol=1e-9, atol=1e-10)


def test_linear_model_has_the_kernel_of_its_inputs() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, -1.0]], dtype=torch.float64)
    # Closed form: <x, x'> + 1 for a linear map with bias, for every output.
    expected = torch.tensor([[6.0, 2.0], [2.0, 11.0]], dtype=torch.float64)
    torch.testing.assert_close(empirical_ntk(nn.Linear(2, 4).double().eval(), x), expected)


@pytest.mark.parametrize("model", ["MLPNet", "MLPProb"])
def test_kernel_of_the_reference_networks(model: str) -> None:
    stored = np.load(REFERENCE)
    layers: list[nn.Module] = [nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)]
    module = nn.Sequential(*layers, *([nn.Sigmoid()] if model == "MLPProb" else [])).double().eval()
    for layer, name in ((module[0], "fc1"), (module[2], "fc2")):
        layer.weight.data = torch.from_numpy(stored[f"{model}.{name}.weight"])
        layer.bias.data = torch.from_numpy(stored[f"{model}.{name}.bias"])
    x = torch.from_numpy(stored["X"])
    kernel = empirical_ntk(module, x).numpy()
    np.testing.assert_allclose(kernel, stored[f"{model}_f64_ntk"], rtol=1e-5, atol=1e-10)

    primary = stored["index_list"]
    kernel = kernel[np.ix_(primary, primary)]
    relative = np.abs(kernel) / np.diag(kernel)[:, None]
    np.testing.assert_allclose(relative, stored[f"{model}_f64_ripple_raw"], rtol=1e-5, atol=2e-6)
    # The released code divides by 2 (f - y), the gradient of the squared error, for cross-entropy too, whose gradient
    # has no 2: its kernel is half of the true one there.
    factor = 0.5 if model == "MLPProb" else 1.0
    scale = np.abs(kernel).max()
    np.testing.assert_allclose(factor * kernel, stored[f"{model}_f64_kernel_raw"], rtol=1e-5, atol=1e-6 * scale)


def test_single_precision_keeps_single_precision() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(30, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 10)).eval()
    x = torch.randn(40, 30)
    single = empirical_ntk(module, x)
    double = empirical_ntk(module.double(), x)
    assert single.dtype == torch.float32
    assert double.dtype == torch.float64
    assert (single - double).abs().max() < 1e-6 * double.abs().max()


def test_refusals() -> None:
    linear, x = nn.Linear(2, 3), torch.ones(4, 2)
    with pytest.raises(LebenchError, match=r"training mode; call module\.eval\(\)"):
        empirical_ntk(linear, x)
    linear.eval()
    with pytest.raises(LebenchError, match="contraction must be"):
        empirical_ntk(linear, x, contraction="sum")  # type: ignore[arg-type]
    with pytest.raises(LebenchError, match="chunk must be at least 1"):
        empirical_ntk(linear, x, chunk=0)
    with pytest.raises(LebenchError, match="no inputs"):
        empirical_ntk(linear, x[:0])
    with pytest.raises(LebenchError, match=r"cotangents must have shape \(n, C\) = \(4, 3\), got \(4, 2\)"):
        tangent_products(linear, x, torch.ones(4, 2), x)
    with pytest.raises(LebenchError, match="keeps no running statistics"):
        empirical_ntk(nn.Sequential(linear, nn.BatchNorm1d(3, track_running_stats=False)).eval(), x)
    with pytest.raises(LebenchError, match=r"must return scores of shape .* got shape \(3, 1, 3\)"):
        empirical_ntk(nn.Sequential(linear, nn.Unflatten(1, (1, 3))).eval(), x)
    with pytest.raises(LebenchError, match="no parameters"):
        empirical_ntk(nn.ReLU().eval(), x)
    with pytest.raises(LebenchError, match=r"must be a torch tensor, got ndarray; torch\.as_tensor"):
        empirical_ntk(linear, x.numpy())  # type: ignore[arg-type]
    with pytest.raises(LebenchError, match=r"does not take inputs of shape \(5,\): mat1 and mat2"):
        empirical_ntk(linear, torch.ones(4, 5))
    with pytest.raises(LebenchError, match=r"of one shape, got \(2,\) and \(5,\)"):
        empirical_ntk(linear, x, torch.ones(4, 5))
    with pytest.raises(LebenchError, match="NaN or infinite"):
        empirical_ntk(linear, x / 0)


@pytest.mark.parametrize("contraction", ["trace", "full"])
@pytest.mark.parametrize("two", [False, True])
def test_the_kernel_is_differentiable_in_its_inputs(two: bool, contraction: str) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Softplus(), nn.Flatten(), nn.Linear(8, 3)).double().eval()
    x, z = torch.randn(3, 1, 3, 3, dtype=torch.float64), torch.randn(2, 1, 3, 3, dtype=torch.float64)
    signs = torch.randn((3, 2 if two else 3, 3, 3)[: 2 if contraction == "trace" else 4], dtype=torch.float64)

    def total(a: Tensor, b: Tensor) -> Tensor:
        kernel = empirical_ntk(module, a, b) if two else empirical_ntk(module, a)
        if contraction == "full":
            kernel = empirical_ntk(module, a, b if two else None, contraction="full")
        return (signs * kernel).sum()

    sides = [x.clone().requires_grad_(), z.clone().requires_grad_()]
    value = total(*sides)
    torch.testing.assert_close(value.detach(), total(x, z))
    slopes = torch.autograd.grad(value, sides, allow_unused=True)
    for side, slope in enumerate(slopes[: 1 + two]):
        assert slope is not None
        direction = torch.randn_like(slope)
        ends = [total(*(s + h * direction if i == side else s for i, s in enumerate((x, z)))) for h in (1e-6, -1e-6)]
        torch.testing.assert_close((slope * direction).sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-7)
