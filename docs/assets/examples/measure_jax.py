"""Collapse of a JAX function's features and of its empirical tangent kernel."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from sklearn.datasets import load_digits

from lebench import metrics

images, digits = load_digits(return_X_y=True)
x, y = jnp.asarray(images[:500] / 16, jnp.float32), jnp.asarray(digits[:500])


def features(parameters, x):
    return jnp.tanh(x @ parameters["first"])


def scores(parameters, x):
    return features(parameters, x) @ parameters["last"]


@jax.jit
@jax.grad
def gradient(parameters):
    return -jax.nn.log_softmax(scores(parameters, x))[jnp.arange(len(y)), y].mean()


@jax.jit
def tangent_kernel(parameters, x):
    flat, restore = ravel_pytree(parameters)
    jacobian = jax.jacrev(lambda values, point: scores(restore(values), point))
    jacobian = jax.vmap(jacobian, (None, 0))(flat, x)  # (n, outputs, parameters)
    return jnp.einsum("icp,jcp->ij", jacobian, jacobian)


def measure(parameters):
    some, labels = x[:100], y[:100]
    kernel = tangent_kernel(parameters, some)
    similarity = metrics.normalize(kernel)
    return {
        "nc1 of the features": metrics.collapse(features(parameters, x), y)["nc1_pinv_over_C"],
        "nc1 of the kernel": metrics.collapse_from_gram(kernel, labels)["nc1_pinv_over_C"],
        "elasticity ratio of the kernel": metrics.elasticity_ratio(similarity, labels),
    }


rng = np.random.default_rng(0)
parameters = {
    "first": jnp.asarray(rng.normal(size=(64, 50)) / 8, jnp.float32),
    "last": jnp.asarray(rng.normal(size=(50, 10)) / 7, jnp.float32),
}
before = measure(parameters)
for _ in range(300):
    slopes = gradient(parameters)
    parameters = jax.tree.map(lambda value, slope: value - 0.5 * slope, parameters, slopes)
after = measure(parameters)

for name in before:
    print(f"{name:30s}  {before[name]:6.3f} untrained  {after[name]:6.3f} trained")
