"""The empirical tangent kernel as an operator: what needs products, rows or the diagonal never holds n x n numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lebench.backends.torch_factors import slices
from lebench.backends.torch_functions import Inputs, prepared, samples, scores_of, take
from lebench.backends.torch_tangents import empirical_ntk
from lebench.errors import LebenchError

#: Samples of one pass of a product.
_CHUNK = 128

#: Samples on which products are certified.
_CERTIFIED = 4


class EmpiricalNTK:
    """The kernel of :func:`~lebench.backends.torch_tangents.empirical_ntk`, averaged over outputs, as an operator.

    A product with a vector takes two passes of every sample for each output, whatever n: with J_c the Jacobian of score
    c, ``K v = (1/C) sum_c J_c (J_c^T v)``, the second factor by differentiating backward passes once more. It is
    certified against blocks of the kernel when it is made; where it disagrees, or a part of the module cannot be
    differentiated twice, products are made of blocks.

    Parameters
    ----------
    module : torch.nn.Module
        As for :func:`~lebench.backends.torch_tangents.empirical_ntk`; its weights must stay as they are.
    x : Tensor of shape (n, ...), or tuple or dict of them
        Inputs.

    Attributes
    ----------
    shape : tuple of int
        (n, n).
    by_blocks : bool
        Whether products are made of blocks.

    Raises
    ------
    LebenchError
        As :func:`~lebench.backends.torch_tangents.empirical_ntk`.

    Examples
    --------
    >>> linear = nn.Linear(2, 3, bias=False).eval()
    >>> kernel = EmpiricalNTK(linear, torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    >>> kernel @ torch.tensor([1.0, -1.0])
    tensor([ -6., -14.])
    >>> kernel.diagonal()
    tensor([ 5., 25.])
    """

    def __init__(self, module: nn.Module, x: Inputs) -> None:
        few = take(prepared(module, x), slice(0, _CERTIFIED))
        # It refuses what has no kernel.
        expected = empirical_ntk(module, few)
        self.module, self.x = module, prepared(module, x)
        self.shape = (samples(self.x), samples(self.x))
        self.dtype, self.device = expected.dtype, expected.device
        self.by_blocks = False
        drawn = torch.Generator().manual_seed(0)
        vector = torch.randn(len(expected), 1, generator=drawn, dtype=torch.float64).to(expected)
        try:
            found = self._product(few, vector)
            scale = float((expected.diagonal().max() * vector.norm()).abs())
            tolerance = 10 * torch.finfo(expected.dtype).eps ** 0.5
            self.by_blocks = float((found - expected @ vector).abs().max()) > tolerance * scale
        except (RuntimeError, LebenchError):
            self.by_blocks = True

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """Return the products (n,) or (n, k) with vectors (n,) or (n, k)."""
        if vectors.ndim not in (1, 2) or len(vectors) != self.shape[0]:
            raise LebenchError(f"vectors must have shape ({self.shape[0]},) or ({self.shape[0]}, k)")
        with torch.inference_mode(False):
            columns = vectors.detach().clone().to(self.device, self.dtype).reshape(len(vectors), -1)
            result = self._product(self.x, columns) if not self.by_blocks else self._product_of_blocks(columns)
        return result.reshape(vectors.shape)

    def block(self, rows: slice | list[int], columns: slice | list[int]) -> Tensor:
        """Return the kernel of some inputs with others."""
        return empirical_ntk(self.module, take(self.x, rows), take(self.x, columns))

    def rows(self, rows: slice | list[int]) -> Tensor:
        """Return rows (k, n) of the kernel."""
        return empirical_ntk(self.module, take(self.x, rows), self.x)

    def diagonal(self) -> Tensor:
        """Return the diagonal (n,)."""
        # In small blocks: only their diagonals are wanted.
        parts = slices(self.shape[0], 16)
        return torch.cat([empirical_ntk(self.module, take(self.x, part)).diagonal() for part in parts])

    def _product_of_blocks(self, columns: Tensor) -> Tensor:
        return torch.cat([self.rows(part) @ columns for part in slices(self.shape[0], _CHUNK)])

    def _product(self, x: Inputs, columns: Tensor) -> Tensor:
        parameters = [p for p in self.module.parameters() if p.requires_grad]
        result = torch.zeros_like(columns)
        n = samples(x)
        for k in range(columns.shape[1]):
            # By output: a sum over outputs of products of two Jacobians pairs each output with itself.
            gradients = self._backward(x, columns[:, k], parameters)
            for part in slices(n, _CHUNK):
                result[part, k] = self._forward(take(x, part), gradients, parameters)
        return result / len(gradients)

    def _backward(self, x: Inputs, weights: Tensor, parameters: list[nn.Parameter]) -> list[list[Tensor]]:
        """Return ``J_c^T v`` for every output c, by parameter."""
        total: list[list[Tensor]] = []
        for part in slices(samples(x), _CHUNK):
            with torch.enable_grad():
                scores = scores_of(self.module, take(x, part))
            for c in range(scores.shape[1]):
                found = torch.autograd.grad(
                    scores[:, c],
                    parameters,
                    weights[part],
                    retain_graph=True,
                    allow_unused=True,
                    materialize_grads=True,
                )
                if c == len(total):
                    total.append([g.clone() for g in found])
                else:
                    for kept, g in zip(total[c], found, strict=True):
                        kept += g
        return total

    def _forward(self, x: Inputs, directions: list[list[Tensor]], parameters: list[nn.Parameter]) -> Tensor:
        """Return the sum over outputs c of ``J_c u_c``, by differentiating ``<J_c^T w, u_c>`` in w."""
        with torch.enable_grad():
            scores = scores_of(self.module, x)
            total = torch.zeros_like(scores[:, 0])
            for c, direction in enumerate(directions):
                w = torch.zeros_like(scores[:, c], requires_grad=True)
                gradients = torch.autograd.grad(
                    scores[:, c], parameters, w, create_graph=True, allow_unused=True, materialize_grads=True
                )
                product = sum(((g * u).sum() for g, u in zip(gradients, direction, strict=True)), w.sum() * 0)
                total = total + torch.autograd.grad(product, w, retain_graph=True)[0]
        return total.detach()
