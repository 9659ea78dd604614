"""Tangent kernels of random modules, forty of every kind of wiring, against automatic differentiation."""

from __future__ import annotations

import itertools
import random
import types
import warnings
import zlib
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from torch.utils.checkpoint import checkpoint

from lebench.backends.torch_tangents import empirical_ntk, first_order_changes
from lebench.errors import LebenchError

pytestmark = pytest.mark.filterwarnings("ignore")

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


@kind
def recurrent(rng: random.Random) -> Made:
    d, h, steps = rng.randint(1, 3), rng.randint(2, 4), rng.randint(1, 4)
    which = rng.choice([nn.RNN, nn.GRU, nn.LSTM, nn.GRUCell, nn.LSTMCell])
    if issubclass(which, nn.RNNCellBase):

        def cell(m: Any, x: Tensor) -> Tensor:
            state = None
            for t in range(steps):
                state = m.cell(x[:, t], state)
            return m.head(state[0] if isinstance(state, tuple) else state)

        return Own(cell, cell=which(d, h), head=nn.Linear(h, 2)), torch.randn(rng.randint(2, 4), steps, d)
    both = rng.random() < 0.3
    body = which(d, h, batch_first=True, num_layers=rng.randint(1, 2), bidirectional=both)
    module = Own(lambda m, x: m.head(m.body(x)[0][:, -1]), body=body, head=nn.Linear(h * (1 + both), 2))
    return module, torch.randn(rng.randint(2, 4), steps, d)


@kind
def attention(rng: random.Random) -> Made:
    d, steps, n = 4, rng.randint(1, 4), rng.randint(2, 4)
    how = rng.randint(0, 2)
    if how == 0:
        body: nn.Module = nn.TransformerEncoderLayer(
            d, 2, 6, batch_first=True, dropout=0.1, norm_first=rng.random() < 0.5
        )
        return Own(lambda m, x: m.head(m.body(x).mean(1)), body=body, head=nn.Linear(d, 2)), torch.randn(n, steps, d)
    if how == 1:
        body = nn.MultiheadAttention(d, 2, batch_first=True)
        return Own(lambda m, x: m.head(m.body(x, x, x)[0][:, 0]), body=body, head=nn.Linear(d, 2)), torch.randn(
            n, steps, d
        )

    def run(m: Any, words: Tensor) -> Tensor:
        x = m.table(words) + m.place[: words.shape[1]]
        q, k, v = m.qkv(x).chunk(3, dim=-1)
        x = m.norm(x + m.out(F.scaled_dot_product_attention(q, k, v)))
        return m.head(x[:, 0])

    module = Own(run, table=nn.Embedding(7, d), place=nn.Parameter(torch.randn(steps, d)), qkv=nn.Linear(d, 3 * d),
                 out=nn.Linear(d, d), norm=nn.LayerNorm(d), head=nn.Linear(d, 3))  # fmt: skip
    return module, torch.randint(0, 7, (n, steps))


@kind
def convolutions(rng: random.Random) -> Made:
    channels, groups = rng.choice([2, 4]), rng.choice([1, 2])
    stride, dilation = rng.randint(1, 2), rng.randint(1, 2)
    padding = rng.choice(["same", "valid"]) if stride == 1 else rng.randint(0, 2)
    mode = rng.choice(["zeros", "circular", "reflect"])
    conv = nn.Conv2d(channels, 4, rng.randint(1, 3), stride, padding, dilation, groups, rng.random() < 0.5, mode)
    norm = rng.choice([nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.Identity(), nn.InstanceNorm2d(4, affine=True)])
    pool = rng.choice([nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(2)])
    net = nn.Sequential(conv, norm, activation(rng), nn.Conv2d(4, 3, 1), pool, nn.Flatten(), nn.LazyLinear(2)).double()
    x = images(rng, channels)
    net.eval()(x.double())
    if isinstance(norm, nn.BatchNorm2d):
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
    return net, x


@kind
def hooked(rng: random.Random) -> Made:
    d = rng.randint(2, 5)
    net = dense(rng, d, 3)
    layer = rng.choice([part for part in net if isinstance(part, nn.Linear)])
    how = rng.randint(0, 3)
    if how == 0:
        layer.register_forward_hook(lambda m, args, out: out * 2 + 1)
    elif how == 1:
        layer.register_forward_pre_hook(lambda m, args: (args[0].tanh(),))
    elif how == 2:
        layer.register_full_backward_hook(lambda m, gin, gout: (3 * gin[0],) if gin[0] is not None else None)
    else:
        layer.weight.register_hook(lambda g: 2 * g)
    return net, vectors(rng, d)


@kind
def gradients_within_the_forward_pass(rng: random.Random) -> Made:
    d, how = rng.randint(2, 4), rng.randint(0, 2)

    def run(m: Any, x: Tensor) -> Tensor:
        if how == 2:
            return torch.func.vmap(torch.func.jacrev(lambda row: m.energy(row).sum()))(x)
        x = x.detach().requires_grad_()
        with torch.enable_grad() if how else nullcontext():
            return torch.autograd.grad(m.energy(x).sum(), x, create_graph=True)[0]

    smooth = [nn.Linear(d, 4), rng.choice([nn.Tanh, nn.Softplus, nn.GELU])(), nn.Linear(4, 1)]
    return Own(run, energy=nn.Sequential(*smooth)), vectors(rng, d)


@kind
def mixtures_of_experts(rng: random.Random) -> Made:
    d, steps, most = rng.randint(2, 4), rng.randint(1, 4), rng.randint(1, 2)

    def run(m: Any, x: Tensor) -> Tensor:
        rows = x.flatten(0, 1)
        weights, chosen = m.gate(rows).softmax(1).topk(most, dim=1)
        total = torch.zeros_like(rows)
        for number, expert in enumerate(m.experts):
            row, place = (chosen == number).nonzero(as_tuple=True)
            if len(row):
                total = total.index_add(0, row, expert(rows[row]) * weights[row, place, None])
        return m.head(total.view_as(x).mean(1))

    experts = nn.ModuleList(dense(rng, d, d) for _ in range(3))
    module = Own(run, gate=nn.Linear(d, 3), experts=experts, head=nn.Linear(d, 2))
    return module, torch.randn(rng.randint(2, 8), steps, d)


@kind
def rows_that_are_joined_or_moved(rng: random.Random) -> Made:
    d, h, how = rng.randint(2, 4), rng.randint(2, 4), rng.randint(0, 5)

    def run(m: Any, x: Tensor) -> Tensor:
        n = len(x)
        if how == 0:
            return m.head(m.body(torch.cat([x, -x, x.flip(1)])).view(3, n, -1).tanh().mean(0))
        if how == 1:
            order = x[:, 0].argsort()
            return m.head(m.body(x[order]))[order.argsort()]
        if how == 2:
            return torch.stack([m.head(m.body(row)) for row in x])
        if how == 3:
            return torch.cat([m.head(m.body(part)) for part in x.split(2)])
        if how == 4:
            return torch.func.vmap(lambda row: m.head(m.body(row)))(x)
        return m.head(m.body(torch.stack([x, 2 * x], dim=1).flatten(0, 1)).view(n, 2, -1).prod(1))

    return Own(run, body=dense(rng, d, h), head=nn.Linear(h, 2)), vectors(rng, d)


@kind
def generated_weights(rng: random.Random) -> Made:
    d, how = rng.randint(2, 4), rng.randint(0, 3)

    def run(m: Any, x: Tensor) -> Tensor:
        if how == 0:
            return torch.bmm(m.net(x).view(len(x), 2, 3), m.base(x)[:, :, None])[:, :, 0]
        if how == 1:
            return F.linear(m.base(x), m.net(m.code).view(2, 3))
        values = dict(m.base.named_parameters())
        if how == 2:
            values = {name: 2 * value for name, value in values.items()}
        return torch.func.functional_call(m.base, values, (x,)) + m.base(x.tanh())

    code = nn.Parameter(torch.randn(d))
    return Own(run, net=dense(rng, d, 6), base=nn.Linear(d, 3), code=code), vectors(rng, d)


class Signs(torch.autograd.Function):
    """Straight through, and steeper than it should be."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.sign()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 1.5 * gradient


@kind
def gradients_of_ones_own(rng: random.Random) -> Made:
    d, how = rng.randint(2, 4), rng.randint(0, 2)

    def run(m: Any, x: Tensor) -> Tensor:
        a = m.body(x)
        if how == 0:
            return F.linear(Signs.apply(a), m.head.weight)
        if how == 1:
            return F.linear(a, Signs.apply(m.head.weight), m.head.bias)
        if a.requires_grad:
            a.register_hook(lambda g: -2 * g)
        return m.head(a)

    return Own(run, body=dense(rng, d, 3), head=nn.Linear(3, 2)), vectors(rng, d)


@kind
def changes_in_place(rng: random.Random) -> Made:
    d, how = rng.randint(2, 4), rng.randint(0, 4)

    def run(m: Any, x: Tensor) -> Tensor:
        if how == 0:
            x += 1
            return m.head(F.relu_(m.body(x)))
        a = m.body(x)
        if how == 1:
            a += m.other(x)
            a.mul_(2)
        if how == 2:
            kept = a.new_zeros(len(x), 6)
            kept[:, :3], kept[:, 3:] = a, m.other(x).sigmoid()
            a = kept[:, ::2]
        if how == 3:
            m.calls += 1
        if how == 4:
            a[:, 0] = 0
        return m.head(a)

    module = Own(run, body=dense(rng, d, 3), other=nn.Linear(d, 3), head=nn.Linear(3, 2))
    module.register_buffer("calls", torch.zeros(()))
    return module, vectors(rng, d)


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
