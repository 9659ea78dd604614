"""Inputs as Neurashed sees them (Su 2021): which nodes of a graph of features each of them activates.

Four classes of two sub-classes each. An input activates all nodes that its class shares, all that its sub-class has
for itself, and each node of the background, which belongs to nobody, with a small probability. How often a node fires
decides what becomes of it, so there are three kinds: in every input of a class, in half of them, and rarely.
"""

from __future__ import annotations

import numpy as np

from lebench import registry
from lebench.arrays import FloatArray, IntArray
from lebench.data.base import Dataset, balanced_subset

CLASSES, SUBCLASSES = 4, 2
#: Nodes that a class shares, nodes of a sub-class, nodes of the background.
SHARED, OWN, BACKGROUND = 4, 4, 100
#: Probability with which a node of the background fires for an input.
RARE = 0.02
_FINE = CLASSES * SUBCLASSES
NODES = CLASSES * SHARED + _FINE * OWN + BACKGROUND
#: Sub-classes that are one class, as :attr:`lebench.data.base.Variant.groups` takes them.
GROUPS = tuple(tuple(range(SUBCLASSES * c, SUBCLASSES * (c + 1))) for c in range(CLASSES))
_POOL, _TRAIN, _TEST = 200, 50, 50


def load() -> tuple[FloatArray, IntArray]:
    """Return the pool of inputs, the same every time: 0 or 1 for each node (1600, 148), and sub-classes (1600,)."""
    rng = np.random.default_rng(np.random.SeedSequence(list(b"feature-graph")))
    fine = np.repeat(np.arange(_FINE), _POOL)
    shared = np.repeat(fine[:, None] // SUBCLASSES == np.arange(CLASSES), SHARED, axis=1)
    own = np.repeat(fine[:, None] == np.arange(_FINE), OWN, axis=1)
    background = rng.random((len(fine), BACKGROUND)) < RARE
    return np.concatenate([shared, own, background], axis=1).astype(np.float64), fine


def draw(x: FloatArray, y: IntArray, rng: np.random.Generator) -> tuple[FloatArray, IntArray, FloatArray, IntArray]:
    """Draw 50 training and 50 test inputs of each sub-class from the pool."""
    chosen = balanced_subset(y, _FINE * (_TRAIN + _TEST), _FINE, rng)
    first = np.concatenate([chosen[y[chosen] == fine][:_TRAIN] for fine in range(_FINE)])
    rest = np.concatenate([chosen[y[chosen] == fine][_TRAIN:] for fine in range(_FINE)])
    train, test = rng.permutation(first), rng.permutation(rest)
    return x[train], y[train], x[test], y[test]


registry.datasets.register(
    "feature-graph",
    Dataset(
        name="feature-graph",
        summary="Which of 148 feature nodes fire: 4 classes of 2 sub-classes; of each, 50 for training and 50 for test",
        licence="CC0-1.0",
        citation="after the pictures of W. J. Su. Neurashed: A Phenomenological Model for Imitating Deep Learning "
        "Training. 2021, arXiv 2112.09741",
        version=1,
        input_shape=(NODES,),
        class_names=tuple(f"{c}{'ab'[s]}" for c in range(CLASSES) for s in range(SUBCLASSES)),
        load=load,
        splitter=draw,
    ),
    tags=("neurashed",),
)
