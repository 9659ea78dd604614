"""Changes of networks with two hidden layers as corrected sums, against exact propagation and the stated bound."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lebench.backends import torch_flips, torch_steps
from lebench.backends.torch_chains import Trace, relu_layers
from lebench.backends.torch_flips import spectral_bound, two_hidden_layers
from lebench.backends.torch_steps import loss_gradient, step_changes


def dense(*widths: int, bias: bool = True) -> list[nn.Linear]:
    parts: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        parts += [nn.Linear(fan_in, fan_out, bias=bias), nn.ReLU()]
    layers = relu_layers(nn.Sequential(*parts[:-1]).double().eval())
    assert layers is not None
    return layers


class Case:
    """A network with its sources and targets, and the exact changes."""

    def __init__(
        self,
        seed: int,
        *widths: int,
        n: int = 12,
        m: int = 15,
        step: float = 1e-3,
        same: bool = False,
        bias: bool = True,
    ) -> None:
        torch.manual_seed(seed)
        self.layers, self.step = dense(*widths, bias=bias), step
        x = torch.randn(n, widths[0], dtype=torch.float64)
        with torch.no_grad():
            self.source = Trace.of(self.layers, x)
            self.target = self.source
            if not same:
                self.target = Trace.of(self.layers, torch.randn(m, widths[0], dtype=torch.float64))
            self.e = loss_gradient(self.source.z[-1], torch.randn(n, widths[-1], dtype=torch.float64), "mse")
            self.g = [rows[:, 0] for rows in self.source.backward(self.layers, self.e[:, None])]
            self.exact = torch_steps._all_units(self.layers, self.source, self.g, self.target, step)
            self.own = torch_steps._at_sources(self.layers, self.source, self.g, step)

    def corrected(self, tolerance: float, limited: bool = True) -> tuple[Tensor, Tensor] | None:
        own = None if self.target is self.source else self.own
        with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
            if not limited:
                # It is right, only slow, where many units change sign.
                patch.setattr(torch_flips, "_MANY_CANDIDATES", 1.0)
                patch.setattr(torch_flips, "_MANY_DOUBTFUL", 1.0)
            return two_hidden_layers(self.layers, self.source, self.e, self.target, self.step, own, tolerance)

    def flips(self) -> list[int]:
        """Count the units that change sign, in both hidden layers, over all pairs."""
        (first, second, _), counts = self.layers, [0, 0]
        with torch.no_grad():
            for a0, a1, g0, g1 in zip(*self.source.a[:2], *self.g[:2], strict=True):
                w0, w1 = (
                    w - self.step * torch.outer(g, a) for w, g, a in ((first.weight, g0, a0), (second.weight, g1, a1))
                )
                b0, b1 = first.bias - self.step * g0, second.bias - self.step * g1
                z0 = self.target.a[0] @ w0.T + b0
                z1 = z0.relu() @ w1.T + b1
                for index, (after, before) in enumerate(zip((z0, z1), self.target.z[:2], strict=True)):
                    counts[index] += int(((after > 0) != (before > 0)).sum())
        return counts


def assert_within(got: Tensor, bound: Tensor, exact: Tensor) -> None:
    # Rounding comes on top of the bound.
    rounding = 1e-13 * exact.norm(dim=2).amax()
    assert ((got - exact).norm(dim=2) <= bound + rounding).all()


@pytest.mark.parametrize("step", [1e-7, 1e-6, 1e-5, 1e-4, 1e-3])
@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("same", [True, False])
def test_error_is_within_the_bound_and_the_bound_within_the_tolerance(step: float, outputs: int, same: bool) -> None:
    case = Case(0, 20, 70, 60, outputs, step=step, same=same)
    tolerance = 1e-6
    loose, strict = case.corrected(torch.inf), case.corrected(tolerance)
    assert loose is not None
    assert_within(*loose, case.exact)
    # The estimate is worth something: the bound shrinks with the step.
    assert (loose[1] <= 10 * step * case.exact.norm(dim=2).amax(1, keepdim=True)).all()
    if strict is not None:
        assert_within(*strict, case.exact)
        assert (strict[1] <= tolerance * (1 + 1e-6) * case.own.norm(dim=1)[:, None]).all()
    assert (strict is None) == (step >= 1e-4)


@pytest.mark.parametrize("same", [True, False])
def test_units_that_change_sign_are_corrected(same: bool) -> None:
    case = Case(2, 20, 120, 100, 3, n=20, m=30, step=5e-2, same=same)
    assert min(case.flips()) >= 50
    shares = []
    for tolerance in (torch.inf, 3e-3, 1e-9):
        got = case.corrected(tolerance, limited=False)
        assert got is not None
        assert_within(*got, case.exact)
        shares.append(float((got[1] == 0).double().mean()))
    # The term of third order is estimated, computed for some pairs, and computed for nearly all.
    assert shares[0] < 0.1
    assert 0.1 < shares[1] < 0.9 < shares[2]


@given(
    seed=st.integers(0, 2**20),
    widths=st.tuples(*[st.integers(1, 40)] * 3, st.integers(1, 4)),
    exponent=st.floats(-8, 0),
    tolerance=st.sampled_from([torch.inf, 1e-2, 1e-4, 1e-6]),
    same=st.booleans(),
    bias=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_bound_holds_for_any_network(
    seed: int, widths: tuple[int, ...], exponent: float, tolerance: float, same: bool, bias: bool
) -> None:
    case = Case(seed, *widths, n=5, m=6, step=10**exponent, same=same, bias=bias)
    got = case.corrected(tolerance, limited=False)
    assert got is not None
    assert_within(*got, case.exact)


def test_where_the_bound_vanishes_nothing_is_estimated() -> None:
    """At the source itself all of g0 and of a2 is active, so the change there is exact without a computed term."""
    case = Case(3, 20, 70, 60, 2, step=1e-5, same=True)
    got = case.corrected(torch.inf)
    assert got is not None
    changes, bound = (values.diagonal() for values in got)
    assert min(case.flips()) == 0
    torch.testing.assert_close(bound, torch.zeros_like(bound), rtol=0, atol=0)
    torch.testing.assert_close(changes.T, case.own, rtol=1e-11, atol=0)


@pytest.mark.parametrize("shape", [(1, 1), (30, 50), (50, 30), (200, 200)])
def test_spectral_bound_is_above_the_norm_and_not_far(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    for matrix in (torch.randn(shape), torch.outer(torch.randn(shape[0]), torch.randn(shape[1])), torch.zeros(shape)):
        norm = torch.linalg.matrix_norm(matrix.double(), 2)
        assert norm <= spectral_bound(matrix.double()) <= 2 * norm


@pytest.mark.parametrize(("step", "taken"), [(1e-7, True), (1e-4, False), (0.3, False)])
def test_step_changes_takes_sums_where_they_are_certified(
    step: float, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    propagated = []
    monkeypatch.setattr(torch_steps, "_all_units", lambda *a, f=torch_steps._all_units: propagated.append(1) or f(*a))
    case = Case(0, 20, 70, 60, 2, n=40, m=50, step=step)
    propagated.clear()
    module = nn.Sequential(case.layers[0], nn.ReLU(), case.layers[1], nn.ReLU(), case.layers[2]).eval()
    x, x_to = case.source.a[0], case.target.a[0]
    labels = case.source.z[-1] - case.e
    changes, own = step_changes(module, x, labels, "mse", x_to, step)
    assert (not propagated) == taken
    scale = case.own.norm(dim=1)[:, None]
    assert ((changes - case.exact).norm(dim=2) <= 1e-6 * scale).all()
    torch.testing.assert_close(own, case.own, rtol=1e-11, atol=1e-18)
    exact, _ = step_changes(module, x, labels, "mse", x_to, step, tolerance=0)
    torch.testing.assert_close(exact, case.exact, rtol=1e-9, atol=1e-15 * float(scale.max()))


def test_too_many_candidates_are_refused() -> None:
    assert Case(0, 20, 70, 60, 2, step=1.0).corrected(torch.inf) is None


def test_tables_cut_into_pieces_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(2, 20, 80, 60, 3, step=3e-3)
    whole = case.corrected(torch.inf)
    monkeypatch.setattr(torch_flips, "_TABLE_ELEMENTS", 500)
    pieces = case.corrected(torch.inf)
    assert whole is not None
    assert pieces is not None
    for one, other in zip(whole, pieces, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-17)
