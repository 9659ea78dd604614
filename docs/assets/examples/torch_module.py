"""A torch.nn.Module of your own, trained by lebench."""

from torch import nn

import lebench


@lebench.register_model("my-net")
def my_net(width: int = 32, epochs: int = 100, lr: float = 0.05):
    """Two convolutions, the average over the image, and a linear layer."""

    def build(input_shape, outputs):
        _, _, channels = input_shape
        return nn.Sequential(
            *(nn.Conv2d(channels, width, 3), nn.ReLU()),
            *(nn.Conv2d(width, width, 3), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            nn.Linear(width, outputs),
        )

    return lebench.Network(build, lebench.Recipe(epochs=epochs, lr=lr))
