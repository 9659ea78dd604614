"""Changes of scores by one step as sums over all units at once, corrected at the units whose sign changes.

As long as no ReLU changes its sign, a step on a source moves the scores of all targets by sums over units that matrix
products compute for all pairs. After a small step few signs have changed; the units near enough to zero are listed by
a bound that none can escape, and each is then corrected by itself.

With one hidden layer this is exact. With two, one term is left that no matrix product computes for all pairs, in which
all three layers change at once; it is of third order in the step, is replaced by its best estimate, and what that
may be wrong by is bounded for each pair.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from lebench.backends.torch_chains import Trace
from lebench.backends.torch_factors import product, slices

#: Elements of an intermediate table; larger ones fill the memory.
_TABLE_ELEMENTS = 2**22

#: Share of (target, unit) pairs that may change sign from which propagating all units is cheaper.
_MANY_CANDIDATES = 0.1

#: Share of (target, source) pairs whose third-order term must be computed from which propagating all is cheaper.
_MANY_DOUBTFUL = 0.5

#: Random vectors and (an odd number of) multiplications by the matrix for a bound of its spectral norm, and the alpha
#: of :func:`spectral_bound`.
_PROBES = 16
_MULTIPLICATIONS = 9
_SHORTFALL = 10.0


def products(left: Trace, right: Trace, index: int) -> Tensor:
    """Return the inner products of the inputs of one layer."""
    return product(left.a[index], None if left is right else right.a[index])


def bias(layer: nn.Linear) -> float:
    """Return what a bias adds to the inner products of the layer's inputs: it is the weight of a constant input 1."""
    return 0.0 if layer.bias is None else 1.0


def one_hidden_layer(
    layers: list[nn.Linear], source: Trace, g: list[Tensor], target: Trace, step: float
) -> Tensor | None:
    """Return the changes (n, m, C) in a network with one hidden layer, or None if too many units may change sign.

    The step moves the preactivations of target j by ``t_ij g_i``. As long as no unit changes sign the change of the
    scores is a sum over units that matrix products compute for all pairs; then the few units that do change sign are
    corrected one by one. A unit whose preactivation is larger than any possible movement needs no look.

    Parameters
    ----------
    layers : list of torch.nn.Linear
        Two of them.
    source, target : Trace
        Of n sources and m targets.
    g : list of Tensor
        Gradients (n, width) of each source's loss in the preactivations of every layer.
    step : float
    """
    first, last = layers
    weight = last.weight
    hidden, e, a, z = g[0], g[1], source.a[1], target.z[0]
    n, m, outputs = len(e), len(z), len(weight)
    # Targets come first here, so that the corrections below add up whole rows of scores.
    t = -step * (products(target, source, 0) + bias(first))
    candidates = z.abs() <= _reach(t, hidden, e)
    if int(candidates.sum()) > _MANY_CANDIDATES * z.numel():
        return None

    active = (z > 0).to(z)
    second = products(target, source, 1) + bias(last) + t * (active @ (a * hidden).T)
    changes = z.new_empty((m, n, outputs))
    for rows in slices(n, _TABLE_ELEMENTS // (outputs * max(m, z.shape[1]))):
        linear = active @ (hidden[rows, None] * weight).flatten(0, 1).T
        torch.mul(linear.view(m, -1, outputs), t[:, rows, None], out=changes[:, rows])
        changes[:, rows] -= step * second[:, rows, None] * e[rows]

    flat = changes.view(m * n, outputs)
    for j, h in _chunks(candidates, _TABLE_ELEMENTS // n):
        k, i, missed = _flipped(z[j, h], t[j] * hidden.T[h])
        flat.index_add_(0, j[k] * n + i, missed[:, None] * (weight.T[h[k]] - step * e[i] * a[i, h[k]][:, None]))
    return changes.transpose(0, 1).contiguous()


def two_hidden_layers(
    layers: list[nn.Linear],
    source: Trace,
    e: Tensor,
    target: Trace,
    step: float,
    own: Tensor | None,
    tolerance: float,
) -> tuple[Tensor, Tensor] | None:
    """Return the changes (n, m, C) in a network with two hidden layers and a bound (n, m) of their error.

    The step changes the preactivations of target j by ``t_ij g0_i`` in the first layer, by ``W1 dh + c_ij g1_i`` in
    the second and by ``W2 dh' + c'_ij e_i`` in the last, where ``c' = -step (a2_i . (a2_j + dh') + 1)``. All of it is
    exact but ``a2_i . dh'``, which contains ``t_ij (M1_j a2_i) . W1 (M0_j g0_i)`` with the active units M of the
    target. Of ``M0_j g0_i`` only the part along ``g0_i`` is used, and the product with what is left is at most the
    product of the lengths and the norm of W1. Where that is too much, the term is computed.

    Parameters
    ----------
    layers : list of torch.nn.Linear
        Three of them.
    source, target : Trace
        Of n sources and m targets.
    e : Tensor of shape (n, C)
        Gradient of each source's loss in its scores.
    step : float
    own : Tensor of shape (n, C) or None
        The change at each source of the step on itself; None if the sources are the targets.
    tolerance : float
        Largest bound that is accepted, relative to the norm of the source's own change.

    Returns
    -------
    changes : Tensor of shape (n, m, C)
    bound : Tensor of shape (n, m)
        Of the Euclidean norm of the error of ``changes[i, j]``, apart from rounding. It holds with a probability of
        at least 1 - 1e-16, since the norm of W1 is bounded by its effect on 16 random vectors.

    None is returned in their place if too many units may change sign or too many pairs exceed the tolerance.
    """
    first, second, last = layers
    w1, w2 = second.weight, last.weight
    (_, a1, a2), (z0, z1, _) = source.a, target.z
    n, m, outputs = len(e), len(z0), len(w2)
    active0, active1 = (z0 > 0).to(z0), (z1 > 0).to(z1)
    # Gradients of every score at the targets, in the preactivations of the second and the activations of the first.
    at_second = active1[:, None] * w2
    at_first = (at_second.flatten(0, 1) @ w1).view(m, outputs, -1)
    if source is target:
        g1, g0 = (torch.bmm(e[:, None], rows)[:, 0] for rows in (at_second, at_first))
        g0 *= active0
    else:
        g0, g1 = (gradient[:, 0] for gradient in source.backward(layers, e[:, None])[:2])

    t = -step * (products(target, source, 0) + bias(first))
    candidates = z0.abs() <= _reach(t, g0, e)
    if int(candidates.sum()) > _MANY_CANDIDATES * z0.numel():
        return None
    below = _Flips.empty(z0)
    for j, h in _chunks(candidates, _TABLE_ELEMENTS // n):
        k, i, missed = _flipped(z0[j, h], t[j] * g0.T[h])
        below.append(j[k], i, h[k], missed)
    c1 = products(target, source, 1) + bias(second) + t * (active0 @ (a1 * g0).T)
    c1 = -step * (c1 + below.summed(a1[below.i, below.h], n, m))

    # M0 g0 is a part along g0, whose image under W1 is known, and a rest, of which only the length is.
    image, norm = g0 @ w1.T, w1.norm(dim=1)
    along, rest = _split(g0, active0)
    reach = _reach(t * along, image, e) + _reach(c1, g1, e)
    reach += (t.abs() * rest + below.summed(None, n, m)).amax(1)[:, None] * norm
    candidates = z1.abs() <= reach
    if int(candidates.sum()) > _MANY_CANDIDATES * z1.numel():
        return None
    above = _Flips.empty(z1)
    for j, h in _chunks(candidates, _TABLE_ELEMENTS // max(n, *w1.shape)):
        dz = torch.addcmul(t[j] * ((w1[h] * active0[j]) @ g0.T), c1[j], g1.T[h])
        below.add_through(w1, j, h, dz)
        k, i, missed = _flipped(z1[j, h], dz)
        above.append(j[k], i, h[k], missed)

    third = t * along * (active1 @ (a2 * image).T)
    active_size = (active1 @ a2.square().T).sqrt()
    largest = t.abs() * rest * spectral_bound(w1)
    through_flips = below.summed(torch.linalg.vecdot(w1, w1, dim=0).sqrt()[below.h], n, m) * active_size
    bound = largest * active_size + through_flips
    c2 = products(target, source, 2) + bias(last) + third + c1 * (active1 @ (a2 * g1).T)
    c2 = -step * (c2 + above.summed(a2[above.i, above.h], n, m))

    changes = z0.new_empty((m, n, outputs))
    for rows in slices(m, _TABLE_ELEMENTS // (outputs * max(w1.shape))):
        linear = (at_first[rows] * active0[rows, None]).flatten(0, 1) @ g0.T
        linear = linear.view(-1, outputs, n) * t[rows, None]
        linear.addcmul_((at_second[rows].flatten(0, 1) @ g1.T).view(-1, outputs, n), c1[rows, None])
        torch.addcmul(linear.transpose(1, 2), c2[rows, :, None], e, out=changes[rows])
    flat = changes.view(m * n, outputs)
    flat.index_add_(0, below.j * n + below.i, below.missed[:, None] * at_first[below.j, :, below.h])
    flat.index_add_(0, above.j * n + above.i, above.missed[:, None] * w2.T[above.h])

    # Refined only as far as the tolerance asks for: by the part along a2, which costs as much as n pairs, then exactly.
    allowed = tolerance * _ratio((changes.diagonal().T if own is None else own).norm(dim=1), step * e.norm(dim=1))
    estimate = third.clone()
    if int((bound > allowed).sum()) > n:
        along_a2, rest_of_a2 = _split(a2, active1)
        first_part = (a2 @ w1) * g0
        third += t * along_a2 * (active0 @ first_part.T - along * first_part.sum(1))
        bound = largest * rest_of_a2 + through_flips
    doubtful = bound > allowed
    if int(doubtful.sum()) > _MANY_DOUBTFUL * m * n:
        return None
    for j, i in _chunks(doubtful, _TABLE_ELEMENTS // max(w1.shape)):
        dh = torch.maximum(t[j, i, None] * g0[i] + z0[j].clamp(max=0), -z0[j].relu())
        third[j, i] = torch.linalg.vecdot(dh @ w1.T, active1[j] * a2[i])
        bound[j, i] = 0
    changes.addcmul_((estimate - third)[:, :, None], step * e)
    return changes.transpose(0, 1).contiguous(), (step * e.norm(dim=1) * bound).T.contiguous()


def spectral_bound(matrix: Tensor) -> float:
    """Return a number that the spectral norm of a matrix exceeds with a probability of at most 1e-16.

    By Halko, Martinsson & Tropp (2011, SIAM Review 53, lemma 4.1), with probability ``1 - alpha**-r`` the norm of B is
    at most ``alpha sqrt(2/pi)`` times the longest of r vectors B w, w standard normal. Applied to
    ``B = W W^T W ... W`` the factor is that root of it which brings B back to W.
    """
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(_PROBES, matrix.shape[1], generator=generator, dtype=torch.float64).to(matrix)
    for index in range(_MULTIPLICATIONS):
        vectors = vectors @ (matrix if index % 2 else matrix.T)
    longest = float(vectors.norm(dim=1).amax())
    return float((_SHORTFALL * math.sqrt(2 / math.pi) * longest) ** (1 / _MULTIPLICATIONS))


class _Flips:
    """The (target j, source i, unit h) at which a unit changes sign, and what the linear sum misses there.

    Whichever way the sign changes, the linear sum is short of |z + dz| at this unit. Ordered by j.
    """

    def __init__(self, j: Tensor, i: Tensor, h: Tensor, missed: Tensor) -> None:
        self.j, self.i, self.h, self.missed = j, i, h, missed

    @classmethod
    def empty(cls, like: Tensor) -> _Flips:
        none = torch.empty(0, dtype=torch.int64, device=like.device)
        return cls(none, none, none, like.new_empty(0))

    def append(self, j: Tensor, i: Tensor, h: Tensor, missed: Tensor) -> None:
        self.j, self.i, self.h = torch.cat([self.j, j]), torch.cat([self.i, i]), torch.cat([self.h, h])
        self.missed = torch.cat([self.missed, missed])

    def summed(self, weights: Tensor | None, n: int, m: int) -> Tensor:
        """Return the sums (m, n) over units of what is missed, times weights if there are any."""
        values = self.missed if weights is None else self.missed * weights
        return self.missed.new_zeros(m * n).index_add_(0, self.j * n + self.i, values).view(m, n)

    def add_through(self, weight: Tensor, j: Tensor, h: Tensor, dz: Tensor) -> None:
        """Add to dz (k, n) of the units h at targets j, ordered by j, what was missed in the layer below."""
        start, stop = torch.searchsorted(j, self.j), torch.searchsorted(j, self.j, right=True)
        count = stop - start
        flip = torch.repeat_interleave(count)
        unit = torch.arange(len(flip), device=j.device) - (count.cumsum(0) - count - start)[flip]
        values = self.missed[flip] * weight[h[unit], self.h[flip]]
        dz.view(-1).index_add_(0, unit * dz.shape[1] + self.i[flip], values)


def _chunks(chosen: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Cut the row and column indices of the chosen elements of a table into pieces of at most `size`."""
    rows, columns = chosen.nonzero().unbind(1)
    for part in slices(len(rows), size):
        yield rows[part], columns[part]


def _flipped(before: Tensor, movement: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return where (k, n) movements change the sign of k preactivations, as indices, and |z + dz| there."""
    after = before[:, None] + movement
    k, i = ((after > 0) != (before > 0)[:, None]).nonzero().unbind(1)
    return k, i, after[k, i].abs()


def _reach(strength: Tensor, g: Tensor, e: Tensor) -> Tensor:
    """Return a bound (m, H) of how far ``strength_ji g_ih`` moves unit h at target j, for any source i."""
    size: Tensor = e.norm(dim=1)
    per_size = torch.where(size[:, None] > 0, g.abs() / size[:, None], 0.0).amax(0)
    return (strength.abs() * size).amax(1)[:, None] * per_size


def _split(vectors: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
    """Return the share (m, n) of each vector along itself in its active part at each target, and the rest's length."""
    squares = vectors.square()
    length = squares.sum(1)
    off = (1 - active) @ squares.T
    along = _ratio((length - off).clamp(min=0), length)
    return along, (along * off).sqrt()


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    return torch.where(denominator > 0, numerator / denominator, 0.0)
