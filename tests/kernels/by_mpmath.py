"""The tangent kernel of a dense ReLU network in many digits; run it to store what `lebench agree` reads."""

from pathlib import Path

import mpmath
import numpy as np

from lebench.agree import ill_conditioned
from lebench.architectures import Dense


def tangent_kernel(network, x, digits=60):
    """Return the tangent kernel (n, n) of float inputs (n, d) as float64."""
    with mpmath.workdps(digits):
        rows = [[mpmath.mpf(float(value)) for value in row] for row in x]
        w, b = mpmath.mpf(network.weight_variance), mpmath.mpf(network.bias_variance)

        def pair(first, second):
            k, v1, v2 = (
                mpmath.fsum(p * q for p, q in zip(a, c, strict=True)) / len(first)
                for a, c in ((first, second), (first, first), (second, second))
            )
            t = mpmath.mpf(0)
            for layer in network.layers:
                if isinstance(layer, Dense):
                    k, v1, v2 = (w * value + b for value in (k, v1, v2))
                    t = k + w * t
                    continue
                norm = mpmath.sqrt(v1 * v2)
                cosine = min(max(k / norm, -1), 1) if norm else mpmath.mpf(0)
                angle = mpmath.acos(cosine)
                k = norm * (mpmath.sin(angle) + (mpmath.pi - angle) * cosine) / (2 * mpmath.pi)
                t *= (mpmath.pi - angle) / (2 * mpmath.pi)
                v1, v2 = v1 / 2, v2 / 2
            return float(t)

        return np.array([[pair(first, second) for second in rows] for first in rows])


if __name__ == "__main__":
    kernels = {
        name: tangent_kernel(ill_conditioned.NETWORK, make(ill_conditioned.FEATURES).astype(np.float32))
        for name, make in ill_conditioned.INPUTS.items()
    }
    np.savez_compressed(Path(ill_conditioned.__file__).with_name("ill_conditioned_kernels.npz"), **kernels)
