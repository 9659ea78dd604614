"""Local elasticity: first-order changes against loops over sources.

Ratios of CPU seconds, one thread, interleaved in one run, median [min, max] of the rounds; errors relative to the
largest change of a loop in float64.

    python benchmarks/elasticity_bench.py [--rounds 5] [--only first|conv]
"""

import argparse
import copy
from itertools import pairwise

import timing

timing.single_thread()

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from torch import nn  # noqa: E402

from lebench.backends.fitted import FittedNetwork  # noqa: E402
from lebench.backends.torch_function import TorchFunction  # noqa: E402
from lebench.backends.torch_tangents import tangent_products  # noqa: E402


def dense(*widths):
    parts = []
    for fan_in, fan_out in pairwise(widths):
        parts += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*parts[:-1]).eval()


def half_squared_error(scores, y):
    return 0.5 * (scores - y).square().sum()


def clean_loop(net, x, y, loss, targets, step):
    """Copy the network, take one SGD step, evaluate all targets in one batch; once per source."""
    with torch.no_grad():
        before = net(targets)
    changes = []
    for source, label in zip(x, y, strict=True):
        stepped = copy.deepcopy(net)
        optimizer = torch.optim.SGD(stepped.parameters(), lr=step)
        loss(stepped(source[None]), label[None]).backward()
        optimizer.step()
        with torch.no_grad():
            changes.append(stepped(targets) - before)
    return torch.stack(changes)


def released_loop(net, updates, x, y, step):
    """Do what the released code of He & Su does for each update, on the CPU.

    Reload the state, take one SGD step, evaluate all points in minibatches of 50 that are built from NumPy each time.
    """
    start = copy.deepcopy(net.state_dict())
    stepped = copy.deepcopy(net)
    data, labels = x.numpy(), y.numpy()

    def predictions():
        parts = []
        for begin in range(0, len(data), 50):
            batch = torch.from_numpy(np.array([data[k] for k in range(begin, min(begin + 50, len(data)))]))
            parts.append(stepped(batch).data.numpy())
        return np.concatenate(parts)

    before = predictions()
    changes = []
    for index in range(updates):
        stepped.load_state_dict(start)
        optimizer = torch.optim.SGD(stepped.parameters(), lr=step)
        optimizer.zero_grad()
        batch = torch.from_numpy(np.array([data[index]]))
        half_squared_error(stepped(batch), torch.from_numpy(np.array([labels[index]]))).backward()
        optimizer.step()
        changes.append(predictions() - before)
    return torch.from_numpy(np.stack(changes))


def error(got, exact):
    return float((got.double() - exact).abs().max() / exact.abs().max())


def report(title, seconds, slow, fast, **notes):
    ratio = timing.spread(timing.ratios(seconds, slow, fast))
    extra = "  ".join(f"{name.replace('_', ' ')} {value}" for name, value in notes.items())
    print(f"{title}: {slow} / {fast} = {ratio}; {fast} {timing.spread(seconds[fast])} CPU s  {extra}", flush=True)


def fitted(net, x, y, steps):
    """Train by full-batch gradient descent with momentum, as the networks are whose similarity one wants."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    return net


def first_order(rounds):
    """Time what a task calls: first-order similarity of 200 sources on 200 targets, in float64 as always.

    The loop costs n m H^2 multiply-adds for its evaluations, ours m C H^2 for taking C scores of every target
    backwards: with n = 200 and C = 10 the arithmetic alone allows a ratio of about 20, with C = 2 of 100.
    """
    step = 1e-6
    digits = load_digits()
    images = torch.from_numpy((digits.data - digits.data.mean(0)) / np.maximum(digits.data.std(0), 0.1)).double()
    enlarged = F.interpolate(images.view(-1, 1, 8, 8), size=28, mode="bilinear").flatten(1)
    for inputs, data, classes in ((64, images, 2), (64, images, 10), (784, enlarged, 2), (784, enlarged, 10)):
        torch.manual_seed(0)
        labels = torch.from_numpy(digits.target) % classes
        net = fitted(dense(inputs, 1024, 1024, classes).double(), data[:1000], labels[:1000], 5)
        x, y, targets = data[:200], labels[:200], data[1000:1200]
        kept = {}

        def ours(net=net, x=x, y=y, targets=targets, classes=classes, kept=kept):
            model = FittedNetwork(TorchFunction(net, x[:1].numpy()), "cross_entropy", classes)
            kept["ours"] = model.similarity(x.numpy(), y.numpy(), targets.numpy())

        def loop(net=net, x=x, y=y, targets=targets, kept=kept):
            kept["loop"] = clean_loop(net, x, y, F.cross_entropy, targets, step)

        seconds = timing.interleaved({"loop": loop, "ours": ours}, rounds)
        pairs = [(a[None], b[None]) for a, b in zip(x, y, strict=True)]
        own = torch.cat([clean_loop(net, a, b, F.cross_entropy, a, step)[0] for a, b in pairs])
        exact = (kept["loop"].norm(dim=2) / own.norm(dim=1)[:, None]).numpy()
        off = np.abs(kept["ours"] - exact)
        report(
            f"first-order similarity, {inputs}-1024-1024-{classes}, 200 x 200, float64",
            seconds,
            "loop",
            "ours",
            error=f"{np.linalg.norm(off) / np.linalg.norm(exact):.1e} (Frobenius)",
            median_error=f"{np.median(off):.1e}",
            largest_error=f"{off.max():.1e} of {exact.max():.2g}",
        )


def convolutional(rounds):
    n, updates, step = 200, 20, 1e-6
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(10, 20, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(320, 50), nn.ReLU(), nn.Linear(50, 1),
    ).eval()  # fmt: skip
    x, y = torch.randn(n, 1, 28, 28), torch.randn(n, 1).sign()
    kept = {}

    def ours():
        kept["ours"] = -step * tangent_products(net, x, net(x).detach() - y, x)

    def released():
        kept["released"] = released_loop(net, updates, x, y, step)

    seconds = timing.interleaved({"released loop": released, "first order": ours}, rounds)
    seconds["released loop"] = [s * (n + 1) / (updates + 1) for s in seconds["released loop"]]
    wide = copy.deepcopy(net).double()
    exact = clean_loop(wide, x[:5].double(), y[:5].double(), half_squared_error, x.double(), step)
    report(
        f"first order, 2 convolutions, 28x28, n={n}, float32 (loop: {updates} of {n} updates, scaled)",
        seconds,
        "released loop",
        "first order",
        error=f"{error(kept['ours'][:5], exact):.1e}",
        of_released=f"{error(kept['released'][:5], exact):.1e}",
    )


PARTS = {"first": first_order, "conv": convolutional}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=PARTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name, part in PARTS.items():
        if arguments.only in (None, name):
            part(arguments.rounds)
