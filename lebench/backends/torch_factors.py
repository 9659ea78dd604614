"""Inner products of per-sample gradients, from the factors that each layer's gradients are products of.

With ``dW = G P^T``, the inner product of two samples' gradients is ``sum_{t,t'} (P_t . P'_t') (G_t . G'_t')`` over
positions t (one for a dense layer, the pixels for a convolution). Per layer the cheaper of two forms is taken: this
one, through tables of position pairs, or the inner product of explicit gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

#: Rows from which a symmetric product is worth cutting into blocks.
_SYMMETRIC_BLOCK = 64

#: Patches that exist at once, in elements, for gradients that are formed: a few megabytes.
_PATCH_ELEMENTS = 2**19

#: Largest table of position pairs, in elements.
_TABLE_ELEMENTS = 2**23

#: Cost of one elementwise operation on a table of position pairs, in multiply-adds of a matrix product.
ELEMENTWISE_COST = 16


def product(rows1: Tensor, rows2: Tensor | None = None) -> Tensor:
    """Return ``rows1 @ rows2.T``; without `rows2` the symmetric ``rows1 @ rows1.T``, its lower blocks copied."""
    n = len(rows1)
    if rows2 is not None or n < 2 * _SYMMETRIC_BLOCK:
        return rows1 @ (rows1 if rows2 is None else rows2).T
    result = rows1.new_empty((n, n))
    for block in slices(n, -(-n // min(4, n // _SYMMETRIC_BLOCK))):
        result[block, block.start :] = rows1[block] @ rows1[block.start :].T
        result[block.stop :, block] = result[block, block.stop :].T
    return result


def slices(total: int, size: int) -> Iterator[slice]:
    """Cut ``range(total)`` into slices of at most `size`, which counts as 1 if it is less."""
    size = max(1, size)
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


@dataclass
class Factor:
    """Per-sample gradients of one layer, or of the explicit parameters, for k scores of each sample.

    Either `patches`, which returns (b, groups, p, T) for a slice of b samples, and `signals` (n, k, groups, q, T), the
    gradients being their products summed over T; or `rows` (n, k, P), the gradients themselves.
    """

    patches: Callable[[slice], Tensor] | None = None
    signals: Tensor | None = None
    rows: Tensor | None = None

    @property
    def inputs(self) -> int:
        """Entries p of a patch."""
        assert self.patches is not None
        return self.patches(slice(0, 1)).shape[2]

    def explicit(self) -> Tensor:
        """Return the gradients themselves, (n, k, P)."""
        if self.rows is None:
            assert self.patches is not None
            assert self.signals is not None
            n, k, groups, q, positions = self.signals.shape
            p = self.inputs
            gradients = self.signals.new_empty((n, groups, k * q, p))
            # Patches repeat every input, so only as many exist at once as a cache holds.
            for block in slices(n, _PATCH_ELEMENTS // (groups * p * positions)):
                patches = self.patches(block).flatten(0, 1).transpose(1, 2)
                signals = self.signals[block].transpose(1, 2).reshape(-1, k * q, positions)
                torch.bmm(signals, patches, out=gradients[block].flatten(0, 1))
            self.rows = gradients.view(n, groups, k, q * p).transpose(1, 2).reshape(n, k, -1)
        return self.rows


def contract(left: Factor, right: Factor, trace: bool) -> Tensor:
    """Return inner products of gradients: (n, m) summed over paired scores, or (n, m, k1, k2) for all pairs."""
    if left.patches is None or left.signals is None or right.patches is None or right.signals is None:
        return _rows_product(left.explicit(), right.explicit(), trace)
    n, k1, groups, q, t1 = left.signals.shape
    m, k2, _, _, t2 = right.signals.shape
    p = left.inputs
    pairs = k1 if trace else k1 * k2
    saved = 0.625 if left is right else 1.0
    explicit = p * q * groups * (pairs * n * m * saved + n * k1 * t1 + m * k2 * t2)
    # A table of one position per sample is the result itself, so its elementwise work is not extra.
    elementwise = ELEMENTWISE_COST * (1 if trace else pairs) if t1 * t2 > 1 else 0
    tables = n * m * t1 * t2 * saved * groups * (p + pairs * q + elementwise)
    if explicit < tables:
        return _rows_product(left.explicit(), right.explicit(), trace)
    return _tables_product(left, right, trace)


def _rows_product(rows1: Tensor, rows2: Tensor, trace: bool) -> Tensor:
    n, k1 = rows1.shape[:2]
    m, k2 = rows2.shape[:2]
    if trace:
        return product(rows1.flatten(1), None if rows1 is rows2 else rows2.flatten(1))
    pairs = product(rows1.flatten(0, 1), None if rows1 is rows2 else rows2.flatten(0, 1))
    return pairs.view(n, k1, m, k2).transpose(1, 2)


def _tables_product(left: Factor, right: Factor, trace: bool) -> Tensor:
    """Contract through tables of position pairs, (P_t . P'_t') (G_t . G'_t'), group by group."""
    assert left.patches is not None
    assert left.signals is not None
    assert right.patches is not None
    assert right.signals is not None
    n, k1, groups, _, t1 = left.signals.shape
    m, k2, _, _, t2 = right.signals.shape
    same = left is right
    total = left.signals.new_zeros((n, m) if trace else (n, m, k1, k2))
    all_patches1 = left.patches(slice(n))
    all_patches2 = all_patches1 if same else right.patches(slice(m))
    for group in range(groups):
        patches1, patches2 = all_patches1[:, group], all_patches2[:, group]
        signals1, signals2 = left.signals[:, :, group], right.signals[:, :, group]
        if t1 == t2 == 1:
            similar = product(patches1[..., 0], None if same else patches2[..., 0])
            rows1, rows2 = signals1[..., 0], signals2[..., 0]
            aligned = _rows_product(rows1, rows1 if same else rows2, trace)
            total += similar * aligned if trace else similar[:, :, None, None] * aligned
            continue
        per_pair = t1 * t2 * (1 if trace else k1 * k2)
        side = max(1, int((_TABLE_ELEMENTS / per_pair) ** 0.5))
        for rows in slices(n, side):
            for columns in slices(m, side):
                if same and columns.start < rows.start:
                    continue
                block = _table(patches1[rows], signals1[rows], patches2[columns], signals2[columns], trace)
                total[rows, columns] += block
                if same and columns.start > rows.start:
                    total[columns, rows] += block.T if trace else block.permute(1, 0, 3, 2)
    return total


def _table(patches1: Tensor, signals1: Tensor, patches2: Tensor, signals2: Tensor, trace: bool) -> Tensor:
    n, k1, _, t1 = signals1.shape
    m, k2, _, t2 = signals2.shape
    similar = patches1.transpose(1, 2).flatten(0, 1) @ patches2.transpose(1, 2).flatten(0, 1).T
    if trace:
        aligned = signals1.flatten(1, 2).transpose(1, 2).flatten(0, 1) @ (
            signals2.flatten(1, 2).transpose(1, 2).flatten(0, 1).T
        )
        return aligned.mul_(similar).view(n * t1, m, t2).sum(2).view(n, t1, m).sum(1)
    aligned = signals1.permute(0, 1, 3, 2).flatten(0, 2) @ signals2.permute(0, 1, 3, 2).flatten(0, 2).T
    table = aligned.view(n, k1, t1, m, k2, t2).mul_(similar.view(n, 1, t1, m, 1, t2))
    return table.sum((2, 5)).transpose(1, 2)
