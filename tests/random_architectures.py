"""Random architectures of small images, as strategies of hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from lebench.architectures import (
    Architecture,
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    MaxPool,
    Relu,
    Residual,
)


def after(size, conv):
    """Return the side of an image after a convolution."""
    pad = conv.kernel // 2 if conv.padding == "same" else 0
    return (size + 2 * pad - conv.kernel) // conv.stride + 1


@st.composite
def convolutions(draw, sides, channels=3):
    """A convolution that leaves something of an image."""
    padding = draw(st.sampled_from(["same", "valid"]))
    kernels = [1, 3, 5] if padding == "same" else [k for k in (1, 2, 3) if k <= min(sides)]
    return Conv(draw(st.integers(1, channels)), draw(st.sampled_from(kernels)), draw(st.integers(1, 3)), padding)


@st.composite
def networks(draw, *, normalized=True, activation=Relu, pools=(AvgPool, MaxPool), residual=True, depth=3, channels=3):
    """An architecture and the shape (height, width, channels) of its inputs."""
    shape = (draw(st.integers(2, 7)), draw(st.integers(2, 7)), draw(st.integers(1, 2)))
    layers, sides = [], shape[:2]
    for _ in range(draw(st.integers(1, depth))):
        conv = draw(convolutions(sides, channels))
        norm = (BatchNorm(),) if normalized and draw(st.booleans()) else ()
        if residual and draw(st.booleans()):
            body = (conv, *norm, activation, Conv(conv.channels, draw(st.sampled_from([1, 3]))))
            projection = Conv(conv.channels, 1, conv.stride)
            same = all(after(s, conv) == after(s, projection) for s in sides)
            layers += [Residual(body, (projection,))] if same else body
        else:
            layers += [conv, *norm, activation]
        sides = tuple(after(s, conv) for s in sides)
        if min(sides) >= 2 and pools and draw(st.booleans()):
            layers.append(draw(st.sampled_from(pools))(2))
            sides = tuple(s // 2 for s in sides)
    layers.append(draw(st.sampled_from([Flatten(), GlobalAvgPool()])))
    if draw(st.booleans()):
        layers += [Dense(2), activation]
    return Architecture((*layers, Dense()), weight_variance=1.3), shape


def without_normalization(architecture):
    """Return the architecture without its batch normalizations."""

    def stripped(layers):
        return tuple(
            Residual(stripped(layer.body), stripped(layer.shortcut)) if isinstance(layer, Residual) else layer
            for layer in layers
            if not isinstance(layer, BatchNorm)
        )

    return Architecture(stripped(architecture.layers), architecture.weight_variance, architecture.bias_variance)
