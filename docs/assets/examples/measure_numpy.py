"""Collapse of NumPy arrays, at once and as a stream that need not fit into memory."""

import numpy as np
from sklearn.datasets import load_digits

from lebench import metrics

x, y = load_digits(return_X_y=True)
weights = np.random.default_rng(0).normal(size=(64, 300)) / 8


def features(x):
    return np.maximum(x @ weights, 0)


def batches():
    return ((features(x[rows]), y[rows]) for rows in np.array_split(np.arange(len(x)), 20))


whole = metrics.collapse(features(x), y)

first = metrics.CollapseAccumulator(classes=10)
for batch, labels in batches():
    first.update(batch, labels)
# Which class mean is nearest is known once all have been seen: a second pass counts it.
second = metrics.CollapseAccumulator(classes=10, means=first.class_means)
for batch, labels in batches():
    second.update(batch, labels)
streamed = second.result()

for name in ("nc1_pinv_over_C", "nc2_equinorm", "cdnv", "ncc_accuracy"):
    print(f"{name:15s}  {whole[name]:.6f} at once  {streamed[name]:.6f} streamed")
