"""Empirical tangent kernel of a ResNet-18 for 32x32 images, 11 million parameters: passes, CPU time and memory.

    python benchmarks/large_entk_bench.py [--n 100] [--classes 10] [--memory 2e9] [--contraction full] [--dtype float64]
        [--cifar]

Prints the forward passes a sample makes, the CPU seconds of the kernel, those of one forward pass and C backward passes
of every sample alone and of the products of all pairs' gradients at the speed of a large matrix product, and the peak
memory without mapped files, which the system may drop.
"""

import argparse
import threading
import time
from pathlib import Path

import torch
from torch import nn

from lebench.backends.torch_tangents import empirical_ntk
from lebench.data.images import CIFAR_10, load_cifar


class Block(nn.Module):
    def __init__(self, fan_in, width, stride):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(fan_in, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential()
        if stride > 1 or fan_in != width:
            self.shortcut = nn.Sequential(nn.Conv2d(fan_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        branch = self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))
        return (branch + self.shortcut(x)).relu()


def resnet18(classes):
    parts, width = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()], 64
    for out, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        parts.append(Block(width, out, stride))
        width = out
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)).eval()


class Peak(threading.Thread):
    """Samples the memory of the process that is not mapped from files."""

    def __init__(self):
        super().__init__(daemon=True)
        self.kilobytes = 0
        self.start()

    def run(self):
        while True:
            status = Path("/proc/self/status").read_text()
            self.kilobytes = max(self.kilobytes, int(status.split("RssAnon:")[1].split()[0]))
            time.sleep(0.05)


def products(n, size):
    """Return the CPU seconds of the inner products of n rows of a size in float32, by one block of columns."""
    rows = torch.randn(n, 2**15)
    begin = time.process_time()
    for part in rows.split(128):
        part @ rows.T
    return (time.process_time() - begin) / 2 * size / 2**15


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--memory", type=float, help="bytes for factors; by default half of what is free")
    parser.add_argument("--contraction", choices=("trace", "full"), default="trace")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--cifar", action="store_true", help="on images of CIFAR-10 in place of noise")
    given = parser.parse_args()
    torch.manual_seed(0)
    dtype = getattr(torch, given.dtype)
    net = resnet18(given.classes).to(dtype)
    x = torch.randn(given.n, 3, 32, 32, dtype=dtype)
    if given.cifar:
        images = load_cifar(CIFAR_10)[0][: given.n].transpose(0, 3, 1, 2) / 255
        x = torch.from_numpy((images - images.mean((0, 2, 3), keepdims=True)) / images.std()).to(dtype)
    memory = None if given.memory is None else int(given.memory)
    empirical_ntk(net, x[:2], memory=memory)  # certified once

    passed = []
    handle = net.register_forward_pre_hook(lambda _, inputs: passed.append(len(inputs[0])))
    # The hook is a change of the wiring, so that what follows is certified anew.
    empirical_ntk(net, x[:2], memory=memory)
    passed.clear()
    peak = Peak()
    begin = time.process_time()
    kernel = empirical_ntk(net, x, contraction=given.contraction, memory=memory)
    taken = time.process_time() - begin
    print(f"kernel {taken:.1f} CPU s, largest entry {float(kernel.abs().max()):.6g}", flush=True)
    handle.remove()
    begin = time.process_time()
    some = x[:200]
    for part in some.split(16):
        scores = net(part.requires_grad_())
        for score in scores.sum(0):
            torch.autograd.grad(score, part, retain_graph=True)
    passes = (time.process_time() - begin) * len(x) / len(some)
    size = sum(p.numel() for p in net.parameters()) * given.classes
    pairs = products(given.n, size if given.contraction == "trace" else size * given.classes)
    print(
        f"{given.contraction}, n={given.n}, C={given.classes}, {given.dtype}: {sum(passed) / given.n:.2f} forward "
        f"passes a sample; kernel {taken:.1f} CPU s; passes alone {passes:.1f} and products of pairs {pairs:.1f}, "
        f"ratio {taken / (passes + pairs):.2f}; peak {peak.kilobytes / 2**20:.2f} GiB"
    )


if __name__ == "__main__":
    main()
