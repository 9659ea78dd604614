"""Random modules of layers beside dense ones, and of what a forward pass does to its inputs and gradients."""

from __future__ import annotations

import random
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_zoo import Made, Own, activation, dense, images, kind, vectors


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
