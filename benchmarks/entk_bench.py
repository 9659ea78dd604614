"""Empirical tangent kernels: layer-wise structure against the Jacobian contraction of torch.func and neural-tangents.

Ratios of CPU seconds, one thread, interleaved in one run, median [min, max] of the rounds; errors relative to the
largest entry of the kernel of 4 inputs by Jacobians in float64; peaks of memory beyond network and inputs, each in a
process of its own. Of neural-tangents, where it is installed, all three implementations: compiled, the compilation not
counted, on the same weights.

    python benchmarks/entk_bench.py [--rounds 5] [--only loop|mlp|mlp512|digits|resnet]
"""

import argparse
import copy
import subprocess
import sys
from pathlib import Path

import timing

if __name__ == "__main__":
    timing.single_thread()

import torch
from torch import nn

from lebench.backends.torch_tangents import empirical_ntk


class Block(nn.Module):
    def __init__(self, fan_in, fan_out, stride):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False), nn.BatchNorm2d(fan_out), nn.ReLU(),
            nn.Conv2d(fan_out, fan_out, 3, 1, 1, bias=False), nn.BatchNorm2d(fan_out),
        )  # fmt: skip
        same = fan_in == fan_out and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(fan_in, fan_out, 1, stride, bias=False)

    def forward(self, x):
        return torch.relu(self.branch(x) + self.shortcut(x))


def mlp():
    return nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))


def strided():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(), nn.Conv2d(64, 128, 3, 2, 1),
        nn.ReLU(), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip


def resnet20():
    blocks = []
    for fan_in, fan_out, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)):
        blocks += [Block(fan_in, fan_out, stride), Block(fan_out, fan_out, 1), Block(fan_out, fan_out, 1)]
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


CASES = {
    "loop": ("MLP 784-1024-1024-10, n=8, trace", mlp, (8, 784)),
    "mlp": ("MLP 784-1024-1024-10, n=64, trace", mlp, (64, 784)),
    "mlp512": ("MLP 784-1024-1024-10, n=512, trace", mlp, (512, 784)),
    "digits": ("strided CNN on 8x8, n=128, trace", strided, (128, 1, 8, 8)),
    "resnet": ("ResNet20 on 32x32, n=32, trace", resnet20, (32, 3, 32, 32)),
}
#: Jacobians of 38 GB.
WITHOUT_PEER = {"mlp512"}


def jacobian_contraction(net, x):
    """Contract per-sample Jacobians, as the tutorial of torch.func does."""
    parameters = {name: p.detach() for name, p in net.named_parameters()}

    def scores(values, sample):
        return torch.func.functional_call(net, values, (sample[None],))[0]

    jacobians = torch.func.vmap(torch.func.jacrev(scores), (None, 0))(parameters, x)
    flat = [j.flatten(2) for j in jacobians.values()]
    return sum(torch.einsum("Naf,Maf->NM", j, j) for j in flat) / flat[0].shape[1]


def double_loop(net, x):
    """Compute the gradients of both inputs of every pair, as one does who writes the definition down."""
    parameters = list(net.parameters())

    def gradients(sample):
        scores = net(sample[None])[0]
        return [torch.autograd.grad(score, parameters, retain_graph=True) for score in scores]

    kernel = torch.zeros(len(x), len(x), dtype=x.dtype)
    for i in range(len(x)):
        for j in range(i + 1):
            pairs = [
                (a * b).sum()
                for one, other in zip(gradients(x[i]), gradients(x[j]), strict=True)
                for a, b in zip(one, other, strict=True)
            ]
            kernel[i, j] = kernel[j, i] = sum(pairs) / len(net(x[:1])[0])
    return kernel


METHODS = {"torch.func": jacobian_contraction, "double loop": double_loop, "ours": empirical_ntk}
#: The double loop takes minutes elsewhere.
WITH_LOOP = {"loop"}


def contestants(case, net, x):
    """Return functions of a network and inputs by name."""
    left_out = {"torch.func"} if case in WITHOUT_PEER else set()
    left_out |= set() if case in WITH_LOOP else {"double loop"}
    methods = {name: method for name, method in METHODS.items() if name not in left_out}
    return methods | neural_tangents_kernels(case, net, x)


def deviation(kernel, exact):
    """Return the largest deviation from the exact kernel of the first inputs, relative to its largest entry."""
    n = len(exact)
    return float((kernel[:n, :n].double() - exact).abs().max() / exact.abs().max())


def exact_kernel(net, x):
    """Return the kernel of 4 inputs in float64."""
    return jacobian_contraction(copy.deepcopy(net).double(), x[:4].double())


#: Implementations of neural-tangents that finish in seconds, for the plain networks that are written down in JAX here.
NEURAL_TANGENTS = {
    "mlp": ("JACOBIAN_CONTRACTION", "NTK_VECTOR_PRODUCTS", "STRUCTURED_DERIVATIVES"),
    "mlp512": ("STRUCTURED_DERIVATIVES",),
    "digits": ("JACOBIAN_CONTRACTION", "STRUCTURED_DERIVATIVES"),
}


def neural_tangents_kernels(case, net, x):
    """Return compiled kernels of the same network on the same inputs by neural-tangents, by name; none without it."""
    from lebench.backends.neural_tangents_import import load
    from lebench.errors import MissingDependencyError

    if case not in NEURAL_TANGENTS:
        return {}
    try:
        nt = load()
    except MissingDependencyError as error:
        print(f"{CASES[case][0]}: without neural-tangents ({error})")
        return {}
    import jax

    layers = [layer for layer in net if not isinstance(layer, nn.ReLU)]
    # Dense weights stand as in stax: a transposition would keep the structured derivatives from seeing a product.
    parameters = [
        [jax.numpy.asarray((p.T if p.ndim == 2 else p).detach().numpy()) for p in layer.parameters()]
        for layer in layers
    ]
    inputs = jax.numpy.asarray(x.numpy())

    def scores(parameters, h):
        for layer, values in zip(layers, parameters, strict=True):
            if isinstance(layer, nn.Flatten):
                h = h.reshape(len(h), -1)
            elif isinstance(layer, nn.Conv2d):
                padding = [(size, size) for size in layer.padding]
                h = jax.lax.conv_general_dilated(h, values[0], layer.stride, padding) + values[1][:, None, None]
            else:
                h = h @ values[0] + values[1]
            h = h if layer is layers[-1] else jax.nn.relu(h)
        return h

    def compiled(implementation):
        # Batch normalization and dropout aside, rows do not depend on each other, which this tells.
        kernel = nt.empirical_ntk_fn(
            scores, trace_axes=(-1,), vmap_axes=0, implementation=nt.NtkImplementation[implementation]
        )
        run = jax.jit(lambda parameters, inputs: kernel(inputs, None, parameters))
        return lambda *_: torch.from_numpy(run(parameters, inputs).block_until_ready().__array__().copy())

    return {f"neural-tangents {name}": compiled(name) for name in NEURAL_TANGENTS[case]}


def made(case):
    torch.manual_seed(0)
    _, make, shape = CASES[case]
    net = make().train()
    if case == "resnet":
        net(torch.randn(64, *shape[1:]))  # running statistics
    return net.eval(), torch.randn(*shape)


def peak(case, method):
    """Return the peak memory in MB of one method beyond network and inputs, from a process of its own."""
    command = [sys.executable, __file__, "--peak", case, method]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def highest_resident_mb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def print_peak(case, method):
    net, x = made(case)
    with torch.no_grad():
        net(x[:2])
    before = highest_resident_mb()
    METHODS[method](net, x)
    print(highest_resident_mb() - before)


def main(case, rounds):
    title = CASES[case][0]
    net, x = made(case)
    kernels = {}

    methods = contestants(case, net, x)

    def call(name):
        kernels[name] = methods[name](net, x)

    seconds = timing.interleaved({name: lambda name=name: call(name) for name in methods}, rounds)
    exact = exact_kernel(net, x)
    for name in methods:
        off = deviation(kernels[name], exact)
        memory = f", {peak(case, name):.0f} MB" if name in METHODS else ""
        print(f"{title}: {name} {timing.spread(seconds[name])} CPU s, error {off:.1e}{memory}")
    for name in methods:
        if name != "ours":
            print(f"{title}: {name} / ours = {timing.spread(timing.ratios(seconds, name, 'ours'))}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.peak:
        print_peak(*arguments.peak)
    else:
        for case in CASES:
            if arguments.only in (None, case):
                main(case, arguments.rounds)
