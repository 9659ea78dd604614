"""A backend of one's own: perceptrons with ReLU in NumPy. All capabilities come from three methods."""

import itertools

import numpy as np

import lebench
from lebench.architectures import Activation, Dense, Flatten
from lebench.backends.fitted import FittedNetwork
from lebench.capabilities import Trajectory
from lebench.errors import LebenchError
from lebench.seeds import generator


class Perceptron:
    """Layers of weights, the bias as the last row."""

    def __init__(self, layers):
        self.layers = layers

    def inputs(self, x):
        found = [_with_one(x.reshape(len(x), -1))]
        for w in self.layers[:-1]:
            found.append(_with_one(np.maximum(found[-1] @ w, 0)))
        return found

    def scores(self, x):
        return self.inputs(x)[-1] @ self.layers[-1]

    def features(self, x):
        return self.inputs(x)[-1][:, :-1]

    def head(self):
        return self.layers[-1][:-1].T.copy(), self.layers[-1][-1].copy()

    def gradients(self, x, cotangents):
        inputs, back, found = self.inputs(x), cotangents, []
        for a, w in zip(reversed(inputs), reversed(self.layers), strict=True):
            found.append(np.einsum("ni,nko->nkio", a, back).reshape(*cotangents.shape[:2], -1))
            back = (back @ w[:-1].T) * (a[:, None, :-1] > 0)
        return np.concatenate(found[::-1], axis=2)

    def moved(self, change):
        parts = np.split(change, np.cumsum([w.size for w in self.layers])[:-1])
        return Perceptron([w + part.reshape(w.shape) for w, part in zip(self.layers, parts, strict=True)])


def _with_one(a):
    return np.hstack([a, np.ones((len(a), 1))])


class NumpyBackend:
    name = "numpy-mlp"
    capabilities = frozenset(
        ("predict", "predict_proba", "features", "similarity", "gram", "trajectory", "checkpoints")
    )

    def fit(self, network, recipe, x, y, classes, seed, removed=None):
        layers = [layer for layer in network.layers if not isinstance(layer, Flatten)]
        if not all(isinstance(layer, Dense) or layer == Activation("relu") for layer in layers):
            raise LebenchError("this backend trains perceptrons with ReLU only")
        rng, widths = generator(seed, "init"), [x[0].size, *(d.units or classes for d in layers[::2])]
        drawn = [rng.standard_normal((a, b)) * (2 / a) ** 0.5 for a, b in itertools.pairwise(widths)]
        start = [np.vstack([w, np.zeros(w.shape[1])]) for w in drawn]
        states, kept, count = [Perceptron(start)], [0], max(1, -(-len(x) // recipe.batch_size))
        epochs = max(recipe.epochs, -(-recipe.min_steps // count))
        order = generator(seed, "batches")
        for epoch in range(epochs):
            model = states[-1]
            for batch in np.array_split(order.permutation(len(x)), count):
                scores = model.scores(x[batch])
                error = np.exp(scores - scores.max(1, keepdims=True))
                error /= error.sum(1, keepdims=True)
                error[range(len(batch)), y[batch]] -= 1
                slope = model.gradients(x[batch], error[:, None]).mean((0, 1))
                model = model.moved(-recipe.lr_at(epoch / epochs) * slope)
            states.append(model)
            kept.append(epoch + 1)
        probe = np.arange(min(50, len(x)))
        found = [state.scores(x) for state in states]
        losses = [float((np.log(np.exp(s).sum(1)) - s[range(len(y)), y]).mean()) for s in found]
        errors = [float((s.argmax(1) != y).mean()) for s in found]
        scores = np.stack([s[probe] for s in found])
        course = Trajectory(np.array(kept, float), np.array(losses), np.array(errors), probe, scores)
        moments = [lambda state=state: state for state in states]
        return FittedNetwork(states[-1], "cross_entropy", classes, course, moments)


lebench.register_backend(NumpyBackend.name, NumpyBackend)
