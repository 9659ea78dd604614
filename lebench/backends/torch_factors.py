"""Inner products of per-sample gradients, from the factors that each layer's gradients are products of.

With ``dW = G P^T``, the inner product of two samples' gradients is ``sum_{t,t'} (P_t . P'_t') (G_t . G'_t')`` over
positions t (one for a dense layer, the pixels for a convolution). Per layer the cheaper of two forms is taken: this
one, through tables of position pairs, or the inner product of explicit gradients, a block of them at a time.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product as every_choice
from operator import methodcaller
from typing import Any

import torch
from torch import Tensor

from lebench.arrays import reserve
from lebench.errors import LebenchError

#: Rows from which a symmetric product is worth cutting into blocks.
_SYMMETRIC_BLOCK = 64

#: Patches or signals that exist at once, in elements, for gradients that are formed: a few megabytes.
_PATCH_ELEMENTS = 2**20

#: Largest table of position pairs, in elements.
_TABLE_ELEMENTS = 2**23

#: Gradients that are formed at once, in elements.
_FORMED_ELEMENTS = 2**25

#: Cost of one elementwise operation on a table of position pairs, in multiply-adds of a matrix product.
ELEMENTWISE_COST = 16


def product(rows1: Tensor, rows2: Tensor | None = None) -> Tensor:
    """Return ``rows1 @ rows2.T``; without `rows2` the symmetric ``rows1 @ rows1.T``, its lower blocks copied."""
    n = len(rows1)
    if rows2 is not None or n < 2 * _SYMMETRIC_BLOCK:
        return rows1 @ (rows1 if rows2 is None else rows2).T
    result = rows1.new_empty((n, n))
    for block in slices(n, -(-n // max(n // 128, min(4, n // _SYMMETRIC_BLOCK)))):
        result[block, block.start :] = rows1[block] @ rows1[block.start :].T
        result[block.stop :, block] = result[block, block.stop :].T
    return result


def slices(total: int, size: int) -> Iterator[slice]:
    """Cut ``range(total)`` into slices of at most `size`, which counts as 1 if it is less."""
    size = max(1, size)
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


class Store:
    """Tensors in memory, or in temporary files that are gone when the process ends."""

    def __init__(self, on_disk: bool) -> None:
        self.on_disk = on_disk

    def empty(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Return a tensor of a shape that is not filled yet, with the dtype of another; a full disk is refused."""
        size = int(torch.Size(shape).numel()) * like.element_size()
        if not self.on_disk or size == 0:
            return like.new_empty(tuple(shape))
        with tempfile.NamedTemporaryFile(prefix="lebench-") as file:
            try:
                reserve(file, size)
            except OSError as error:
                raise LebenchError(
                    f"{tempfile.gettempdir()} has no {size / 1e9:.3g} GB left for factors of gradients ({error}); "
                    "set TMPDIR to a larger disk, give fewer inputs, or pass memory="
                ) from error
            flat = torch.from_file(file.name, shared=True, size=size // like.element_size(), dtype=like.dtype)
        return flat.view(tuple(shape))


def free_disk() -> int:
    """Return how many bytes temporary files may take: 30 GB, or half of what is free."""
    return min(30 * 10**9, shutil.disk_usage(tempfile.gettempdir()).free // 2)


@dataclass
class Factor:
    """Gradients of k scores of each of n samples in the parameters of one layer.

    Either `inputs` and `signals` of every call of the layer, whose products summed over positions and calls are the
    gradients, or `rows` (n, k, P), the gradients themselves. Stored where they fit, used on `device` in `dtype`.

    Attributes
    ----------
    inputs : list of Tensor, (n, ...)
        For each call.
    signals : list of Tensor, (n, k, groups, q, T)
        For each call.
    unfold : list of callable
        For each call, its inputs to the patches (n, groups, p, T) that the layer multiplies, of some of its features.
    features : int
        Channels of a group, or numbers that a dense layer multiplies.
    rows : Tensor or None
        (n, k, P).
    """

    dtype: torch.dtype
    device: torch.device
    inputs: list[Tensor] = field(default_factory=list)
    signals: list[Tensor] = field(default_factory=list)
    unfold: list[Callable[[Tensor, slice], Tensor]] = field(default_factory=list)
    features: int = 1
    rows: Tensor | None = None

    def patches(self, rows: slice, features: slice = slice(None)) -> Tensor:
        """Return the patches (b, groups, p, T) of b samples, T over all calls."""
        calls = zip(self.unfold, self.inputs, strict=True)
        return _side_by_side([make(self._here(a[rows]), features) for make, a in calls])

    def some_signals(self, *index: Any) -> Tensor:
        """Return signals at an index of (n, k, groups, q)."""
        return _side_by_side([self._here(part[index]) for part in self.signals])

    def some_rows(self, columns: slice) -> Tensor:
        """Return columns (n, k, b) of the rows."""
        assert self.rows is not None
        return self._here(self.rows[:, :, columns])

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Return samples n, scores k, groups, q and positions T."""
        first = self.signals[0].shape
        return first[0], first[1], first[2], first[3], sum(part.shape[4] for part in self.signals)

    @property
    def entries(self) -> int:
        """Entries p of a patch."""
        return self.patches(slice(0, 1)).shape[2]

    def formed(self, scores: slice, outputs: slice, features: slice, space: Tensor) -> Tensor:
        """Return gradients (n, scores, groups * outputs * p) of some weights in a space that is used again."""
        n, k, groups, _, positions = self.shape
        p = self.patches(slice(0, 1), features).shape[2]
        k, q = len(range(k)[scores]), outputs.stop - outputs.start
        gradients = space[: n * groups * k * q * p].view(n, groups, k * q, p)
        # Patches repeat every input, so only as many exist at once as a cache holds.
        for block in slices(n, _PATCH_ELEMENTS // (groups * max(p, k * q) * positions)):
            patches = self.patches(block, features).flatten(0, 1).transpose(1, 2)
            signals = self.some_signals(block, scores, slice(None), outputs)
            signals = signals.transpose(1, 2).reshape(-1, k * q, positions)
            torch.bmm(signals, patches, out=gradients[block].flatten(0, 1))
        return gradients.view(n, groups, k, q * p).transpose(1, 2).reshape(n, k, -1)

    def _here(self, values: Tensor) -> Tensor:
        return values.to(self.device, self.dtype)


def _side_by_side(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim=-1)


def contract(left: Factor, right: Factor, trace: bool) -> Tensor:
    """Return inner products of gradients: (n, m) summed over paired scores, or (n, m, k1, k2) for all pairs."""
    if left.rows is not None or right.rows is not None:
        return _rows_product(left, right, trace)
    n, k1, groups, q, t1 = left.shape
    m, k2, _, _, t2 = right.shape
    p = left.entries
    if t1 == t2 == 1 and groups == 1:
        return _dense_product(left, right, trace)
    pairs = k1 if trace else k1 * k2
    saved = 0.625 if left is right else 1.0
    explicit = p * q * groups * (pairs * n * m * saved + n * k1 * t1 + m * k2 * t2)
    # A table of one position per sample is the result itself, so its elementwise work is not extra.
    elementwise = ELEMENTWISE_COST * (1 if trace else pairs) if t1 * t2 > 1 else 0
    tables = n * m * t1 * t2 * saved * groups * (p + pairs * q + elementwise)
    return (_formed_product if explicit < tables else _tables_product)(left, right, trace)


def own_products(left: Factor, right: Factor) -> Tensor:
    """Return inner products (n, k) of one gradient of each sample on the left with k of the same one on the right."""
    if left.rows is not None or right.rows is not None:
        assert left.rows is not None
        total = torch.zeros(right.rows.shape[:2], dtype=left.dtype, device=left.device)  # type: ignore[union-attr]
        for part in slices(left.rows.shape[2], _block(left.rows)):
            total += torch.einsum("np,nkp->nk", left.some_rows(part)[:, 0], right.some_rows(part))
        return total
    n, k, groups, q, positions = right.shape
    result = []
    for block in slices(n, _PATCH_ELEMENTS // (groups * positions * max(left.entries, k * q))):
        patches = left.patches(block)
        gradient = torch.einsum("ngqt,ngpt->ngqp", left.some_signals(block)[:, 0], patches)
        moved = torch.einsum("ngqp,ngpt->ngqt", gradient, patches)
        result.append(torch.einsum("ngqt,nkgqt->nk", moved, right.some_signals(block)))
    return torch.cat(result)


def _all_pairs(rows1: Tensor, rows2: Tensor | None) -> Tensor:
    """Return (n, m, k1, k2) of rows (n, k1, P) and (m, k2, P)."""
    n, k1 = rows1.shape[:2]
    m, k2 = (rows1 if rows2 is None else rows2).shape[:2]
    pairs = product(rows1.flatten(0, 1), None if rows2 is None else rows2.flatten(0, 1))
    return pairs.view(n, k1, m, k2).transpose(1, 2)


def _summed(rows1: Tensor, rows2: Tensor | None, trace: bool) -> Tensor:
    if not trace:
        return _all_pairs(rows1, rows2)
    return product(rows1.flatten(1), None if rows2 is None else rows2.flatten(1))


def _blockwise(left: Factor, right: Factor, trace: bool, blocks: Iterator[Callable[[Factor], Tensor]]) -> Tensor:
    """Sum the products of blocks of gradients, in float64 where there are several: single precision adds up errors."""
    total: Tensor | None = None
    for make in blocks:
        rows = make(left)
        found = _summed(rows, None if left is right else make(right), trace)
        if total is None:
            total = found
            continue
        wide = total.to(torch.float64) if total.device.type != "mps" else total
        total = wide.add_(found)
    assert total is not None
    return total.to(left.dtype)


def _block(rows: Tensor) -> int:
    """Return how many entries of rows (n, k, P) are used at once."""
    return max(1, _FORMED_ELEMENTS // max(1, rows.shape[0] * rows.shape[1]))


def _rows_product(left: Factor, right: Factor, trace: bool) -> Tensor:
    assert left.rows is not None
    assert right.rows is not None
    size = min(_block(left.rows), _block(right.rows))
    parts = slices(left.rows.shape[2], size)
    return _blockwise(left, right, trace, (methodcaller("some_rows", part) for part in parts))


def _formed_product(left: Factor, right: Factor, trace: bool) -> Tensor:
    n, k1, groups, q, _ = left.shape
    m, k2 = right.shape[:2]
    together = max(n, m) * groups
    taps = -(-left.entries // left.features)
    fit = _FORMED_ELEMENTS // (together * taps)
    # A block is about square, as every patch is made again for other signals, and the other way round.
    rows = min(max(k1, k2) * q, max(1, int((fit * taps) ** 0.5)))
    features = max(1, min(left.features, fit // rows))
    rows = max(1, fit // features)
    # A trace is a sum over scores, too, so that they can come block by block.
    scores, outputs = (max(1, rows // q), min(q, rows)) if trace else (max(k1, k2), max(1, rows // max(k1, k2)))
    outputs = -(-q // -(-q // min(q, outputs)))
    size = together * min(scores, max(k1, k2)) * outputs * (features * taps + 1)
    spaces = [torch.empty(size, dtype=left.dtype, device=left.device) for _ in range(1 if left is right else 2)]

    def make(some: slice, part: slice, of: slice, factor: Factor) -> Tensor:
        return factor.formed(some, part, of, spaces[factor is not left])

    some = slices(k1, scores) if trace else [slice(None)]
    blocks = every_choice(some, slices(q, outputs), slices(left.features, features))
    return _blockwise(left, right, trace, (partial(make, *block) for block in blocks))


def _dense_product(left: Factor, right: Factor, trace: bool) -> Tensor:
    same, every = left is right, slice(None)
    similar = product(left.patches(every)[:, 0, :, 0], None if same else right.patches(every)[:, 0, :, 0])
    rows1 = left.some_signals(every)[:, :, 0, :, 0]
    rows2 = None if same else right.some_signals(every)[:, :, 0, :, 0]
    aligned = _summed(rows1, rows2, trace)
    return aligned.mul_(similar if trace else similar[:, :, None, None])


def _tables_product(left: Factor, right: Factor, trace: bool) -> Tensor:
    """Contract through tables of position pairs, (P_t . P'_t') (G_t . G'_t'), group by group."""
    n, k1, groups, _, t1 = left.shape
    m, k2, _, _, t2 = right.shape
    same = left is right
    total = torch.zeros((n, m) if trace else (n, m, k1, k2), dtype=left.dtype, device=left.device)
    side = max(1, int((_TABLE_ELEMENTS / (t1 * t2 * (1 if trace else k1 * k2))) ** 0.5))
    for rows in slices(n, side):
        patches1, signals1 = left.patches(rows), left.some_signals(rows)
        for columns in slices(m, side):
            if same and columns.start < rows.start:
                continue
            diagonal = same and columns == rows
            patches2 = patches1 if diagonal else right.patches(columns)
            signals2 = signals1 if diagonal else right.some_signals(columns)
            for g in range(groups):
                block = _table(patches1[:, g], signals1[:, :, g], patches2[:, g], signals2[:, :, g], trace)
                total[rows, columns] += block
                if same and not diagonal:
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
