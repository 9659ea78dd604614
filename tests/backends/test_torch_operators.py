"""The tangent kernel as an operator against the kernel itself."""

import pytest
import torch
from torch import Tensor, nn

from lebench.backends.torch_operators import EmpiricalNTK
from lebench.backends.torch_tangents import empirical_ntk
from lebench.errors import LebenchError


class OnceOnly(torch.autograd.Function):
    """A function that refuses to be differentiated twice."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor) -> Tensor:
        return 2 * ctx.saved_tensors[0] * gradient


class Squares(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return OnceOnly.apply(x)


@pytest.mark.parametrize(
    ("activation", "by_blocks"), [(nn.Tanh, False), (nn.ReLU, False), (Squares, True)], ids=["tanh", "relu", "once"]
)
def test_products_rows_and_diagonal_equal_those_of_the_kernel(activation, by_blocks, monkeypatch) -> None:
    monkeypatch.setattr("lebench.backends.torch_operators._CHUNK", 4)
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(2, 3, 3),
        nn.BatchNorm2d(3),
        activation(),
        nn.Flatten(),
        nn.Linear(12, 5),
        activation(),
        nn.Linear(5, 3),
    )
    module = module.double().eval()
    module[4].weight.requires_grad_(False)
    x = torch.randn(9, 2, 4, 4, dtype=torch.float64)
    expected, kernel = empirical_ntk(module, x), EmpiricalNTK(module, x)
    assert kernel.shape == (9, 9)
    assert kernel.by_blocks == by_blocks
    vectors = torch.randn(9, 2, dtype=torch.float64)
    torch.testing.assert_close(kernel @ vectors, expected @ vectors, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(kernel @ vectors[:, 0], expected @ vectors[:, 0], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(kernel.rows([3, 1]), expected[[3, 1]])
    torch.testing.assert_close(kernel.block(slice(2, 4), slice(5, 9)), expected[2:4, 5:9])
    torch.testing.assert_close(kernel.diagonal(), expected.diagonal())


def test_bad_vectors_and_modules_are_refused() -> None:
    linear, x = nn.Linear(2, 3).eval(), torch.randn(4, 2)
    with pytest.raises(LebenchError, match=r"vectors must have shape \(4,\) or \(4, k\)"):
        EmpiricalNTK(linear, x) @ torch.ones(3)
    with pytest.raises(LebenchError, match="training mode"):
        EmpiricalNTK(nn.Linear(2, 3), x)
