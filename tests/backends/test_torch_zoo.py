"""Tangent kernels of random modules, forty of every kind of wiring, against automatic differentiation."""

from __future__ import annotations

import random
import warnings
import zlib
from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch_zoo_layers  # noqa: F401
from torch import Tensor, nn
from torch_zoo import KINDS, Pair

from lebench.backends.torch_tangents import empirical_ntk, first_order_changes
from lebench.errors import LebenchError

pytestmark = pytest.mark.filterwarnings("ignore")


def scores(answer: Any) -> list[Tensor]:
    """Flatten what a module returns, as a reader would."""
    if isinstance(answer, Tensor):
        return [answer] if answer.is_floating_point() else []
    named = answer.get("logits") if isinstance(answer, Mapping) else getattr(answer, "logits", None)
    if named is not None:
        return [named]
    parts = answer.values() if isinstance(answer, Mapping) else answer
    return [s for part in (vars(parts).values() if isinstance(parts, Pair) else parts) for s in scores(part)]


def kernel_by_autograd(module: nn.Module, x: Any) -> Tensor:
    """Return (n, n, C, C) by automatic differentiation, sample by sample."""

    def one(part: Tensor, i: int) -> Tensor:
        return torch.stack([part[i], part[i]])

    parameters = [p for p in module.parameters() if p.requires_grad]
    n = len(next(iter(x.values())) if isinstance(x, dict) else x[0] if isinstance(x, tuple) else x)
    rows = []
    for i in range(n):
        if isinstance(x, dict):
            answer = module(**{name: one(part, i) for name, part in x.items()})
        else:
            answer = module(*(one(part, i) for part in x)) if isinstance(x, tuple) else module(one(x, i))
        found = torch.cat([part.reshape(2, -1) for part in scores(answer)], dim=1)[0]
        rows.append([])
        for score in found:
            for p in parameters:
                p.grad = None
            # backward() and not grad(): reentrant checkpoints know no other.
            score.backward(retain_graph=True)
            zeros = (torch.zeros_like(p) if p.grad is None else p.grad for p in parameters)
            rows[-1].append(torch.cat([g.flatten() for g in zeros]))
    jacobian = torch.stack([torch.stack(row) for row in rows])
    return torch.einsum("icp,jdp->ijcd", jacobian, jacobian)


def agrees(name: str, number: int) -> bool:
    """Compare one random module; return whether it was taken."""
    seed = zlib.crc32(f"{name} {number}".encode())
    rng = random.Random(seed)
    torch.manual_seed(seed)
    module, x = KINDS[name](rng)
    module = module.double().eval()
    wide = {k: v.double() for k, v in x.items()} if isinstance(x, dict) else x
    wide = tuple(v.double() for v in wide) if isinstance(wide, tuple) else wide
    wide = wide.double() if isinstance(wide, Tensor) and wide.is_floating_point() else wide
    expected = kernel_by_autograd(module, wide)
    chunk = rng.choice([None, 1, 2])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = empirical_ntk(module, wide, contraction="full", chunk=chunk)
            trace = empirical_ntk(module, wide, chunk=chunk)
            cotangents = torch.randn(expected.shape[::3], dtype=torch.float64)
            changes, own = first_order_changes(module, wide, cotangents, wide)
    except LebenchError as error:
        print(name, number, error)
        return False
    scale = expected.abs().max()
    label = f"{name} {number}"
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10 * scale, msg=label)
    mean = torch.einsum("ijcc->ij", expected) / expected.shape[-1]
    torch.testing.assert_close(trace, mean, rtol=1e-10, atol=1e-10 * scale, msg=label)
    products = torch.einsum("ijdc,id->ijc", expected, cotangents)
    torch.testing.assert_close(changes, products, rtol=1e-10, atol=1e-9 * scale, msg=label)
    torch.testing.assert_close(own, products.diagonal().T, rtol=1e-10, atol=1e-9 * scale, msg=label)
    return True


@pytest.mark.parametrize("name", KINDS)
def test_a_few_modules_of_every_kind(name: str) -> None:
    assert all(agrees(name, number) for number in range(2))


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_forty_modules_of_every_kind(name: str) -> None:
    taken = [agrees(name, number) for number in range(40)]
    assert sum(taken) >= 38
