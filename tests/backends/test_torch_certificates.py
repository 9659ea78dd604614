"""What is certified about a torch module before a fast form is used, and what is refused."""

import itertools
import random
import resource
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lebench.backends import torch_certificates, torch_factors
from lebench.backends.torch_chains import relu_chain
from lebench.backends.torch_tangents import empirical_ntk, tangent_products
from lebench.errors import LebenchError, LebenchWarning


class Own(nn.Module):
    def __init__(self, run, **parts) -> None:
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *args):
        return self.run(self, *args)


def weighted(module: nn.Module, **weights: list) -> nn.Module:
    """Set weights by name and all other parameters to zero."""
    with torch.no_grad():
        for name, p in module.named_parameters():
            p.copy_(torch.tensor(weights[name.replace(".", "_")])) if name.replace(".", "_") in weights else p.zero_()
    return module.double().eval()


def t(*rows: object) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_a_forward_of_ones_own_around_a_sequential(order: list[int]) -> None:
    layers = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    module = Own(lambda m, x: m.layers(x.clamp(-1, 1)), layers=layers)
    weighted(module, layers_0_weight=[[1, 0], [0, 1], [1, 1]], layers_2_weight=[[1, -1, 2]])
    expected = t([11.5, 16], [16, 25])[order][:, order]
    torch.testing.assert_close(empirical_ntk(module, t([0.5, 0.5], [3, 2])[order]), expected)


def test_a_class_of_ones_own_that_is_called_flatten() -> None:
    class Flatten(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.permute(0, 2, 3, 1).flatten(1)

    module = nn.Sequential(Flatten(), nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 1))
    weighted(module, **{"1_weight": [[1, 2, 3, 4], [1, -1, 1, -1]], "3_weight": [[1, 1]]})
    x = t([[[1, 3]], [[0, 2]]], [[[0, 1]], [[1, 1]]])
    torch.testing.assert_close(empirical_ntk(module, x), t([359, 169], [169, 86]))


@pytest.mark.parametrize("chunk", [None, 2, 1])
@pytest.mark.parametrize(
    "mix",
    [
        lambda h: (h - h.mean(0)) ** 2,
        lambda h: h / h.norm(dim=0),
        lambda h: h + h.mean(0) - h.mean(0).detach(),
        lambda h: h * torch.arange(len(h))[:, None],
        lambda h: h * len(h),
    ],
)
def test_scores_that_depend_on_other_rows_are_refused(mix, chunk: int | None) -> None:
    module = Own(lambda m, x: mix(m.a(x)), a=nn.Linear(2, 1, bias=False)).double().eval()
    with pytest.raises(LebenchError, match="depend on the other inputs of its batch"):
        empirical_ntk(module, t([1, 0], [0, 2], [3, 0]), chunk=chunk)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("much", [0.1, 1e-3, 1e-5])
def test_weak_dependence_is_found_in_any_precision(much: float, dtype: torch.dtype) -> None:
    """Rounding would hide it, so that modules are certified in float64 where they can be."""
    body, x = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)), torch.randn(6, 3)
    module = Own(lambda m, x: m.a(x) + much * m.a(x).mean(0), a=body).to(dtype).eval()
    before = {name: p.clone() for name, p in module.named_parameters()}
    with pytest.raises(LebenchError, match="depend on the other inputs of its batch"):
        empirical_ntk(module, x)
    assert all(torch.equal(p, before[name]) and p.dtype == dtype for name, p in module.named_parameters())
    noisy = Own(lambda m, x: m.a(x) * (1 + much * torch.randn(2)), a=body).float().eval()
    with pytest.raises(LebenchError, match="depend on chance"):
        empirical_ntk(noisy, x)


def test_dependence_that_only_a_larger_batch_shows() -> None:
    """As a mixture of experts drops tokens beyond its capacity."""
    module = Own(lambda m, x: m.a(x) * (torch.arange(len(x)) < 10)[:, None], a=nn.Linear(3, 2)).eval()
    with pytest.raises(LebenchError, match="depend on the other inputs of its batch"):
        empirical_ntk(module, torch.randn(40, 3))


def test_gradients_in_half_precision_that_a_hook_changes_a_little() -> None:
    module, x = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).bfloat16().eval(), torch.randn(4, 3)
    plain = empirical_ntk(module, x)
    module[0].weight.register_hook(lambda g: g * 1.2)
    with pytest.warns(LebenchWarning, match=r"product form of 0\.weight"):
        assert float((empirical_ntk(module, x) - plain).abs().max()) > 0.01


def test_a_module_that_holds_to_its_own_precision() -> None:
    """It fails in float64, and is certified as it is."""
    parts = {"a": nn.Linear(3, 4).bfloat16(), "b": nn.Linear(4, 2)}
    module, x = Own(lambda m, x: m.b(m.a(x.bfloat16()).tanh().float()), **parts).eval(), torch.randn(5, 3)
    wide = Own(lambda m, x: m.b(m.a(x).tanh()), a=nn.Linear(3, 4), b=nn.Linear(4, 2)).eval()
    wide.load_state_dict(module.state_dict())
    expected = empirical_ntk(wide, x)
    torch.testing.assert_close(empirical_ntk(module, x), expected, rtol=0.05, atol=0.05 * float(expected.max()))


def test_gradients_within_a_forward_pass_and_sparse_ones() -> None:
    def force(m, x: Tensor) -> Tensor:
        x = x.requires_grad_()
        return torch.autograd.grad(m.energy(x).sum(), x, create_graph=True)[0]

    energy = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Softplus(), nn.Linear(3, 1, bias=False))
    module, x = Own(force, energy=energy).double().eval(), torch.randn(3, 2, dtype=torch.float64)
    first, last = energy[0].weight.detach(), energy[2].weight.detach()[0]

    def by_hand(w: Tensor, v: Tensor, row: Tensor) -> Tensor:
        return (v * (w @ row).sigmoid()) @ w

    jacobians = [torch.func.jacrev(by_hand, argnums=(0, 1))(first, last, row) for row in x]
    rows = torch.stack([torch.cat([part.flatten(1) for part in one], dim=1) for one in jacobians])
    expected = torch.einsum("icp,jcp->ij", rows, rows) / 2
    with pytest.warns(LebenchWarning, match="product form of energy"):
        torch.testing.assert_close(empirical_ntk(module, x), expected)
    sparse, words = nn.Embedding(4, 3, sparse=True).double().eval(), torch.tensor([[0], [2], [2]])
    found = empirical_ntk(nn.Sequential(sparse, nn.Flatten()).eval(), words)
    torch.testing.assert_close(found, torch.tensor([[1.0, 0, 0], [0, 1, 1], [0, 1, 1]], dtype=torch.float64))


def test_inputs_without_features_and_buffers_that_are_complex_or_quantized() -> None:
    module = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 2)).eval()
    assert empirical_ntk(module, torch.tensor([0, 1, 4])).shape == (3, 3)
    turned = Own(
        lambda m, x: torch.view_as_real(torch.view_as_complex(x) * m.turn).flatten(1) @ m.w, w=nn.Linear(1, 4).weight
    )
    turned.register_buffer("turn", torch.ones(2, dtype=torch.complex128))
    x = torch.randn(4, 2, 2, dtype=torch.float64)
    torch.testing.assert_close(empirical_ntk(turned.double().eval(), x), x.flatten(1) @ x.flatten(1).T)
    frozen = Own(lambda m, x: m.a(x) * m.q, q=nn.Parameter(torch.ones(2, dtype=torch.int8), False), a=nn.Linear(3, 2))
    assert empirical_ntk(frozen.eval(), torch.randn(4, 3)).dtype == torch.float32


def test_names_of_inputs_belong_to_the_certificate() -> None:
    module, x = nn.Sequential(nn.Linear(2, 3), nn.Tanh()).eval(), torch.randn(3, 2)
    empirical_ntk(module, {"input": x})
    with pytest.raises(LebenchError, match="unexpected keyword argument 'inputs'"):
        empirical_ntk(module, {"inputs": x})


def test_inference_mode_around_the_call_or_around_everything() -> None:
    module, x = weighted(nn.Sequential(nn.Linear(2, 1, bias=False), nn.Tanh())), t([1, 0], [1, 1])
    with torch.inference_mode():
        torch.testing.assert_close(empirical_ntk(module, x), t([1, 1], [1, 2]))
        inside = weighted(nn.Sequential(nn.Linear(2, 1, bias=False), nn.Tanh()))
        torch.testing.assert_close(empirical_ntk(inside, x.clone()), t([1, 1], [1, 2]))


def test_squeezed_scores() -> None:
    module = Own(lambda m, x: m.a(x).squeeze(), a=nn.Linear(2, 1, bias=False)).double().eval()
    x = t([1, 0], [0, 1], [1, 1])
    torch.testing.assert_close(empirical_ntk(module, x, chunk=2), x @ x.T)
    torch.testing.assert_close(empirical_ntk(module, x[:1], x), x[:1] @ x.T)


@pytest.mark.parametrize(
    "noise",
    [
        lambda h: F.dropout(h, 0.5, training=True),
        lambda h: h + torch.randn(()),
        lambda h: h * float(np.random.rand()),  # noqa: NPY002
        lambda h: h + random.random(),
    ],
)
def test_scores_that_depend_on_chance_are_refused_and_generators_put_back(noise) -> None:
    module, x = Own(lambda m, x: noise(m.a(x)), a=nn.Linear(2, 3)).eval(), torch.randn(3, 2)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    with pytest.raises(LebenchError, match="depend on chance"):
        empirical_ntk(module, x)
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    assert random.getstate() == before[2]


def test_what_has_no_kernel_is_refused_with_the_reason() -> None:
    linear, x = nn.Linear(2, 3).eval(), torch.randn(4, 2)
    with pytest.raises(LebenchError, match="no trainable parameters"):
        empirical_ntk(nn.Linear(2, 3).requires_grad_(False).eval(), x)
    with pytest.raises(LebenchError, match="depend on no trainable parameter"):
        empirical_ntk(Own(lambda m, x: m.a(x).detach(), a=linear).eval(), x)
    with pytest.raises(LebenchError, match=r"cannot be differentiated: .* look for changes in place"):
        empirical_ntk(Own(lambda m, x: m.a(x).sigmoid().mul_(2), a=linear).eval(), x)
    with pytest.raises(LebenchError, match="complex parameters"):
        empirical_ntk(nn.Linear(2, 3, dtype=torch.complex64).eval(), x)
    with pytest.raises(LebenchError, match="inputs are complex"):
        empirical_ntk(linear, x.to(torch.complex64))
    with pytest.raises(LebenchError, match="scores are complex"):
        empirical_ntk(Own(lambda m, x: torch.fft.fft(m.a(x)), a=linear).eval(), x)
    with pytest.raises(LebenchError, match="scores of the module are NaN or infinite"):
        empirical_ntk(Own(lambda m, x: m.a(x).log(), a=linear).eval(), -x.abs())
    with pytest.raises(LebenchError, match="returned str; let it return its scores"):
        empirical_ntk(Own(lambda m, x: "scores", a=linear).eval(), x)
    with pytest.raises(LebenchError, match=r"a torch.nn.Module is needed, got function"):
        empirical_ntk(lambda x: x, x)
    with pytest.raises(LebenchError, match="parameters without values"):
        empirical_ntk(nn.LazyLinear(3).eval(), x)
    with pytest.raises(LebenchError, match="parameters without values"):
        empirical_ntk(nn.Linear(2, 3, device="meta").eval(), x)
    with pytest.raises(LebenchError, match=r"does not take inputs of shape \(2,\): KeyError: 'mask'"):
        empirical_ntk(Own(lambda m, x: {}["mask"], a=linear).eval(), x)
    far = torch.randn(5, 2)
    far[3] = 1e30
    with pytest.raises(LebenchError, match=r"not finite at x1\[3\]: .* overflow float32"):
        empirical_ntk(nn.Sequential(nn.Linear(2, 3), nn.Tanh()).eval(), far)
    with pytest.raises(LebenchError, match=r"not finite at x2\[3\]"):
        empirical_ntk(linear, 1e20 * x, far)
    counts = iter(range(1, 100))
    with pytest.raises(LebenchError, match="another number of scores each time"):
        empirical_ntk(Own(lambda m, x: m.a(x).repeat(1, next(counts)), a=linear).eval(), x)
    with pytest.raises(LebenchError, match="same number of samples, got 4 and 5"):
        empirical_ntk(Own(lambda m, x, y: m.a(x), a=linear).eval(), (x, torch.randn(5, 2)))


def test_a_budget_that_holds_no_pair_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lebench.backends.torch_tangents.free_disk", lambda: 10)
    module = nn.Sequential(nn.Linear(2, 3), nn.Tanh()).eval()
    with pytest.raises(LebenchError, match=r"take .* more than the .* pass more memory="):
        empirical_ntk(module, torch.randn(4, 2), memory=10)


@pytest.mark.parametrize("contraction", ["trace", "full"])
def test_factors_on_disk_and_a_disk_that_is_full(contraction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 3)).double().eval()
    x, made = torch.randn(20, 2, 6, 6, dtype=torch.float64), []
    original = torch_factors.reserve
    monkeypatch.setattr(torch_factors, "reserve", lambda file, size: made.append(size) or original(file, size))
    inside = empirical_ntk(module, x, contraction=contraction)
    assert made == []
    torch.testing.assert_close(empirical_ntk(module, x, contraction=contraction, memory=1000), inside)
    assert sum(made) > 20 * 8 * 64
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(LebenchError, match=r"has no .* GB left for factors of gradients .* pass memory="):
            empirical_ntk(module, x, contraction=contraction, memory=1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_form_that_disagrees_is_left_and_said_so_once() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2)).double().eval()
    # Autograd sees the hook, products of factors do not.
    module[0].weight.register_hook(lambda g: 2 * g)
    x = torch.randn(5, 2, dtype=torch.float64)
    with pytest.warns(LebenchWarning, match=r"product form of 0\.weight.* and torch\.func disagree"):
        found = empirical_ntk(module, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.testing.assert_close(empirical_ntk(module, x), found)


def test_a_certificate_is_made_once_for_weights_wiring_and_kind_of_input(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    original = torch_certificates._certify
    monkeypatch.setattr(torch_certificates, "_certify", lambda *args: made.append(1) or original(*args))
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).eval()
    x = torch.randn(5, 4)

    def count(*args) -> int:
        before = len(made)
        empirical_ntk(module, *args)
        tangent_products(module, args[0], torch.ones(len(args[0]), 2), args[0])
        return len(made) - before

    assert count(x) == 1
    assert count(x + 1, x) == 0
    assert count(x.view(5, 2, 2)) == 1
    with torch.no_grad():
        module[1].weight.add_(0.1)
    assert count(x) == 1
    module[1].weight.data.mul_(2)
    assert count(x) == 1
    module[3].forward = lambda x: x @ module[3].weight.T
    assert count(x) == 1
    module[1].requires_grad_(False)
    assert count(x) == 1
    module[1].register_full_backward_pre_hook(lambda module, gradients: gradients)
    assert count(x) == 1
    for switch in (True, 2, 3, 0.5, "mode"):
        module.a_switch_of_ones_own = switch
        assert count(x) == 1
    assert count(x) == 0


def test_layers_that_later_inputs_use_otherwise_get_explicit_gradients() -> None:
    """The certificate's few samples never take the branch that one of many does."""

    def run(m, x: Tensor) -> Tensor:
        twice = bool((x[:, 0] == 3).any())
        return torch.where(x[:, :1] == 3, m.a(m.a(x)), m.a(x)) if twice else m.a(x)

    torch.manual_seed(0)
    module = Own(run, a=nn.Linear(2, 2)).double().eval()
    x = torch.randn(600, 2, dtype=torch.float64)
    x[550, 0] = 3
    jacobian = torch.stack([
        torch.cat([g.flatten(1) for g in torch.autograd.functional.jacobian(
            lambda w, b, row=row: torch.func.functional_call(module, {"a.weight": w, "a.bias": b}, (row[None],))[0],
            (module.a.weight.detach(), module.a.bias.detach()))], dim=1)
        for row in x[540:560]
    ])  # fmt: skip
    found = empirical_ntk(module, x)[540:560, 540:560]
    torch.testing.assert_close(found, torch.einsum("icp,jcp->ij", jacobian, jacobian) / 2)


@pytest.mark.parametrize("n", [5, 200])
def test_modules_that_sort_their_batch(n: int) -> None:
    """The certificate's few samples may come sorted, and so may the first of many."""

    def run(m, x: Tensor) -> Tensor:
        order = x[:, 0].argsort(stable=True)
        return m.b(m.a(x[order]).tanh())[order.argsort()]

    torch.manual_seed(0)
    module = Own(run, a=nn.Linear(2, 3), b=nn.Linear(3, 2)).double().eval()
    plain = nn.Sequential(module.a, nn.Tanh(), module.b).eval()
    x = torch.randn(n, 2, dtype=torch.float64)
    x[:40, 0] = 0.5
    torch.testing.assert_close(empirical_ntk(module, x), empirical_ntk(plain, x))
    x = x[x[:, 1].argsort()][:5]
    torch.testing.assert_close(empirical_ntk(module, x), empirical_ntk(plain, x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precisions_sum_in_single_precision(dtype: torch.dtype) -> None:
    """Half a million products of ones: float16 overflows at 65,504, bfloat16 stops adding at 256."""
    x = torch.ones(2, 500_000, dtype=dtype)
    for last in (nn.Tanh(), nn.Identity()), ():
        module = nn.Sequential(nn.Linear(500_000, 2, bias=False), *last).to(dtype).eval()
        nn.init.zeros_(module[0].weight)
        kernel = empirical_ntk(module, x)
        assert kernel.dtype == torch.float32
        torch.testing.assert_close(kernel, torch.full((2, 2), 500_000.0))


def test_a_training_loop_in_half_precision_around_the_call_changes_nothing() -> None:
    torch.manual_seed(0)
    module, x = nn.Sequential(nn.Linear(30, 50), nn.ReLU(), nn.Linear(50, 3)).eval(), torch.randn(6, 30)
    expected = empirical_ntk(module, x)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(empirical_ntk(module, x), expected)
        torch.testing.assert_close(empirical_ntk(module, x.clone().requires_grad_()).detach(), expected)


def test_only_exact_chains_of_layers_are_dense_relu_networks() -> None:
    def dense(*widths: int) -> nn.Sequential:
        parts = [p for a, b in itertools.pairwise(widths) for p in (nn.Linear(a, b), nn.ReLU())]
        return nn.Sequential(*parts[:-1])

    shared, tied, hooked, patched, masked = nn.Linear(4, 4), dense(4, 4, 4), *(dense(4, 3) for _ in range(3))
    masked[0].weight.register_hook(lambda gradient: 0 * gradient)
    tied[2].weight = tied[0].weight
    hooked[0].register_forward_hook(lambda *_: None)
    patched[0].forward = lambda x: x
    others = {
        "dropout": nn.Sequential(nn.Linear(4, 3), nn.Dropout(), nn.Linear(3, 3)),
        "ends in relu": nn.Sequential(nn.Linear(4, 3), nn.ReLU()),
        "used twice": nn.Sequential(shared, nn.ReLU(), shared),
        "tied": tied,
        "hooked": hooked,
        "patched": patched,
        "masked": masked,
        "half": dense(4, 3).half(),
        "wrapped": Own(lambda m, x: m.layers(x), layers=dense(4, 3)),
        "frozen": dense(4, 3).requires_grad_(False),
        "empty": nn.Sequential(),
        "partial flatten": nn.Sequential(nn.Flatten(2), nn.Linear(4, 3)),
    }
    assert relu_chain(dense(4, 5, 3)) is not None
    assert relu_chain(nn.Sequential(nn.Flatten(), nn.Linear(4, 3))) is not None
    assert [name for name, module in others.items() if relu_chain(module) is not None] == []
