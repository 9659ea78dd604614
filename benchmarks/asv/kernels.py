"""What a kernel costs, in time and in memory. Over commits: 'make bench-history'."""

import numpy as np
import torch
from torch import nn

from lebench.architectures import Architecture, Conv, Dense, Flatten, GlobalAvgPool, Relu, mlp
from lebench.backends.torch_tangents import empirical_ntk
from lebench.kernels import infinite_width_kernel


def dense():
    return nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))


def convolutional():
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, 1, 1), nn.ReLU(), nn.Conv2d(32, 32, 3, 1, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


class EmpiricalKernel:
    """The tangent kernel of a network at its weights, averaged over ten scores."""

    params = ("dense", "convolutional")
    param_names = ("network",)
    timeout = 300

    def setup(self, network):
        torch.set_num_threads(1)
        torch.manual_seed(0)
        make, shape = {"dense": (dense, (64, 784)), "convolutional": (convolutional, (32, 3, 32, 32))}[network]
        self.net, self.x = make().eval(), torch.randn(*shape)

    def time_kernel(self, network):
        empirical_ntk(self.net, self.x)

    def peakmem_kernel(self, network):
        empirical_ntk(self.net, self.x)


BODY = (Conv(8), Relu) * 3
LIMITS = {
    "dense": (mlp(depth=4), (2000, 784)),
    "flatten": (Architecture((*BODY, Flatten(), Dense()), weight_variance=1.0), (50, 32, 32, 3)),
    "pooled": (Architecture((*BODY, GlobalAvgPool(), Dense()), weight_variance=1.0), (24, 8, 8, 3)),
}


class InfiniteWidthKernel:
    """The tangent kernel of the limit, in single precision."""

    params = tuple(LIMITS)
    param_names = ("network",)
    timeout = 300

    def setup(self, network):
        self.architecture, shape = LIMITS[network]
        self.x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        infinite_width_kernel(self.architecture, self.x[:2])  # compiles, or loads what was compiled

    def time_kernel(self, network):
        infinite_width_kernel(self.architecture, self.x)
