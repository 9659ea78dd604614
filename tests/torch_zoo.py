"""Random modules of every kind of wiring: what is called, and in what order, beside layers in a row."""

from __future__ import annotations

import itertools
import random
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from torch.utils.checkpoint import checkpoint

Made = tuple[nn.Module, Any]
KINDS: dict[str, Callable[[random.Random], Made]] = {}


def kind(make: Callable[[random.Random], Made]) -> Callable[[random.Random], Made]:
    KINDS[make.__name__.replace("_", " ")] = make
    return make


class Own(nn.Module):
    """A module whose forward method is a function of itself and its inputs."""

    def __init__(self, run: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.run(self, *args, **kwargs)


def activation(rng: random.Random) -> nn.Module:
    return rng.choice([nn.ReLU, nn.Tanh, nn.ELU, nn.GELU, nn.Softplus, nn.LeakyReLU, nn.Sigmoid])()


def dense(rng: random.Random, d: int, outputs: int | None = None) -> nn.Sequential:
    widths = [d, *(rng.randint(2, 6) for _ in range(rng.randint(0, 2))), outputs or rng.randint(1, 4)]
    parts: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        parts += [nn.Linear(fan_in, fan_out, bias=rng.random() < 0.7), activation(rng)]
    return nn.Sequential(*parts[:-1])


def vectors(rng: random.Random, d: int, n: int | None = None) -> Tensor:
    return torch.randn(n or rng.randint(2, 6), d)


def images(rng: random.Random, channels: int, size: int = 6) -> Tensor:
    return torch.randn(rng.randint(2, 5), channels, size, rng.choice([size, size + 1]))


@kind
def forward_around_a_container(rng: random.Random) -> Made:
    before = rng.choice(
        [lambda x: x.clamp(-0.5, 0.5), lambda x: x.abs(), lambda x: torch.where(x > 1, x, 0 * x), lambda x: x.flip(1)]
    )
    after = rng.choice([lambda s: s, lambda s: 2 * s, lambda s: s.sigmoid(), lambda s: s.clamp(max=0.3)])
    d = rng.randint(2, 5)
    return Own(lambda m, x: after(m.layers(before(x))), layers=dense(rng, d)), vectors(rng, d)


@kind
def parts_under_no_grad(rng: random.Random) -> Made:
    d, h = rng.randint(2, 5), rng.randint(2, 5)

    def run(m: Any, x: Tensor) -> Tensor:
        with torch.no_grad():
            frozen = m.body(x)
        mixed = m.body(x) * frozen if m.mixed else frozen
        mixed = F.linear(mixed, m.reused.weight) + m.reused(frozen).detach() if m.again else mixed
        return m.head(mixed)

    parts = {"body": dense(rng, d, h), "head": dense(rng, h), "reused": nn.Linear(h, h)}
    return Own(run, mixed=rng.random() < 0.5, again=rng.random() < 0.5, **parts), vectors(rng, d)


@kind
def replaced_forward(rng: random.Random) -> Made:
    d = rng.randint(2, 5)
    net = dense(rng, d)
    layer = rng.choice([part for part in net if isinstance(part, nn.Linear)])
    how = rng.randint(0, 3)
    if how == 0:
        layer.forward = lambda x, m=layer: F.linear(x.tanh(), m.weight, m.bias)
    elif how == 1:
        layer.forward = types.MethodType(lambda m, x: x @ m.weight.T * 3, layer)
    elif how == 2:
        kept = layer.weight
        layer.forward = lambda x: x @ kept.T
    else:
        original = layer.forward
        layer.forward = lambda x: original(x).flip(0).flip(0) + original(2 * x)
    return net, vectors(rng, d)


class Flatten(nn.Module):
    def __init__(self, order: tuple[int, ...]) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, *self.order).flatten(1)


class Linear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight**2, self.bias)


class ReLU(nn.ReLU):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) ** 2


class Sequential(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.tanh()) * 0.5


@kind
def own_classes_of_known_names(rng: random.Random) -> Made:
    order = rng.choice([(1, 2, 3), (2, 3, 1), (3, 1, 2)])
    x = images(rng, 2, 2)
    d = x[0].numel()
    linear, relu = rng.choice([Linear, nn.Linear]), rng.choice([ReLU, nn.ReLU])
    parts = [Flatten(order), linear(d, 4), relu(), nn.Linear(4, rng.randint(1, 3))]
    return rng.choice([nn.Sequential, Sequential])(*parts) if rng.random() < 0.8 else Sequential(*parts[:2]), x


@kind
def reparametrized(rng: random.Random) -> Made:
    d = rng.randint(2, 5)
    net = dense(rng, d)
    for part in net:
        if not isinstance(part, nn.Linear):
            continue
        how = rng.randint(0, 5)
        if how == 0:
            parametrizations.weight_norm(part)
        elif how == 1:
            parametrizations.spectral_norm(part)
        elif how == 2 and part.out_features <= part.in_features:
            parametrizations.orthogonal(part)
        elif how == 3:
            parametrize.register_parametrization(part, "weight", Own(lambda m, w: w.tanh() * 2))
        elif how == 4:
            nn.utils.weight_norm(part)
        elif how == 5:
            nn.utils.spectral_norm(part)
    return net, vectors(rng, d)


@kind
def tied_weights(rng: random.Random) -> Made:
    d, h = rng.randint(2, 4), rng.randint(2, 4)
    first, again = nn.Linear(d, h), nn.Linear(d, h, bias=rng.random() < 0.5)
    if rng.random() < 0.5:
        again.weight = first.weight
    how = rng.randint(0, 2)

    def run(m: Any, x: Tensor) -> Tensor:
        a = m.first(x).tanh()
        if how == 0:
            return F.linear(a, m.first.weight.T) + m.again(x).sum(1, keepdim=True)
        if how == 1:
            return m.again(F.linear(a, m.first.weight.T).tanh())
        return m.first(m.down(a)) + m.again(x)

    return Own(run, first=first, again=again, down=nn.Linear(h, d)), vectors(rng, d)


@kind
def frozen_weights(rng: random.Random) -> Made:
    d = rng.randint(2, 5)
    net = nn.Sequential(dense(rng, d, 4), nn.LayerNorm(4), nn.Linear(4, 3))
    parameters = list(net.parameters())
    for p in rng.sample(parameters, rng.randint(1, len(parameters) - 1)):
        p.requires_grad_(False)
    return net, vectors(rng, d)


@kind
def layers_that_see_something_else(rng: random.Random) -> Made:
    d, h = rng.randint(2, 4), rng.randint(2, 4)
    n = rng.randint(2, 5)
    how = rng.randint(0, 4)

    def run(m: Any, x: Tensor) -> Tensor:
        a = m.body(x)
        if how == 0:
            return m.head(a) @ m.other(m.table).sum(0)[:, None]
        if how == 1:
            # As many rows as samples, but not theirs.
            return m.head(a) * m.other(m.table).tanh().mean(0)
        if how == 2:
            return m.head(a.flip(0)).flip(0)
        if how == 3:
            return m.head(a.roll(1, 0)).roll(-1, 0) + m.other(a)
        return m.head(a.T.contiguous().T) * m.other(m.table)[0]

    parts = {"body": dense(rng, d, h), "head": nn.Linear(h, h), "other": nn.Linear(h, h)}
    module = Own(run, **parts)
    module.register_buffer("table", torch.randn(n, h))
    return module, vectors(rng, d, n)


@kind
def sequence_first(rng: random.Random) -> Made:
    n, steps = (rng.randint(2, 4),) * 2 if rng.random() < 0.5 else (rng.randint(2, 5), rng.randint(2, 5))
    d, h = rng.randint(1, 3), rng.randint(2, 4)
    how = rng.randint(0, 2)
    parts: dict[str, nn.Module] = {"dense": nn.Linear(d, h), "head": nn.Linear(h, rng.randint(1, 3))}
    parts["mix"] = nn.Linear(h, h) if how == 0 else nn.GRU(h, h) if how == 1 else nn.MultiheadAttention(h, 1)

    def run(m: Any, x: Tensor) -> Tensor:
        s = m.dense(x.transpose(0, 1)).tanh()
        s = m.mix(s) if how == 0 else m.mix(s)[0] if how == 1 else m.mix(s, s, s)[0]
        return m.head(s[-1] if rng_last else s.mean(0))

    rng_last = rng.random() < 0.5
    return Own(run, **parts), torch.randn(n, steps, d)


@kind
def several_inputs(rng: random.Random) -> Made:
    d, e, n = rng.randint(2, 4), rng.randint(2, 4), rng.randint(2, 5)
    module = Own(lambda m, left, right: m.head(m.a(left) * m.b(right)), a=dense(rng, d, 3), b=dense(rng, e, 3),
                 head=nn.Linear(3, rng.randint(1, 3)))  # fmt: skip
    x = {"right": vectors(rng, e, n), "left": vectors(rng, d, n)}
    return module, x if rng.random() < 0.5 else (x["left"], x["right"])


@dataclass
class Output:
    logits: Tensor | None = None
    hidden: Tensor | None = None


@dataclass
class Pair:
    first: Tensor
    second: Tensor


@kind
def structured_outputs(rng: random.Random) -> Made:
    d = rng.randint(2, 4)
    form = rng.choice(
        [
            lambda a, b: (a, b),
            lambda a, b: {"one": a, "two": b},
            lambda a, b: Output(logits=a, hidden=b),
            lambda a, b: {"logits": a, "loss": None},
            lambda a, b: Pair(a, b),
            lambda a, b: [a, (b, a.argmax(1))],
            lambda a, b: (a,),
        ]
    )
    module = Own(lambda m, x: form(m.a(m.body(x)), m.b(m.body(x))), body=dense(rng, d, 3), a=nn.Linear(3, 2),
                 b=nn.Linear(3, 3))  # fmt: skip
    return module, vectors(rng, d)


@kind
def squeezed_scores(rng: random.Random) -> Made:
    d = rng.randint(2, 4)
    if rng.random() < 0.5:
        return Own(lambda m, x: m.net(x).squeeze(), net=dense(rng, d, rng.randint(1, 3))), vectors(rng, d)
    x = images(rng, 1, 4)
    return Own(
        lambda m, x: m.head(F.adaptive_avg_pool2d(m.conv(x), 1).squeeze()),
        conv=nn.Conv2d(1, 3, 3), head=nn.Linear(3, 2),
    ), x  # fmt: skip


@kind
def checkpointed_blocks(rng: random.Random) -> Made:
    d, reentrant = rng.randint(2, 4), rng.random() < 0.5
    module = Own(
        lambda m, x: m.head(checkpoint(m.block, m.body(x), use_reentrant=reentrant)),
        body=dense(rng, d, 3), block=dense(rng, 3, 4), head=nn.Linear(4, 2),
    )  # fmt: skip
    return module, vectors(rng, d)
