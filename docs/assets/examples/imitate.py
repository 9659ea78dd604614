"""A theory of training of your own against the locally elastic equations: each imitates runs it has not seen."""

import numpy as np

from lebench import metrics, registry
from lebench.data.base import Variant
from lebench.dynamics import estimate_impacts, solve_le_ode
from lebench.tasks.geomnist import class_courses


def locally_elastic(model):
    """The law of Zhang, Wang & Su: A and B from other runs, the start from this one."""

    def imitate(start, others):
        intra, inter = estimate_impacts(others, model, method="norms")
        return solve_le_ode(start, intra, inter, model)

    return imitate


def saturation(start, others):
    """Yours: class means go straight to where those of other runs end, as fast as these come nearer."""
    left = np.linalg.norm(others - others[-1], axis=(1, 2)) / np.linalg.norm(others[0] - others[-1])
    return others[-1] + left[:, None, None] * (start - others[-1])


steps = {"batch_size": 1, "lr": 0.01, "momentum": 0.0, "weight_decay": 0.0, "schedule": "constant"}
network = registry.models.get("mlp")(width=64, epochs=4, min_steps=0, record_steps=20, **steps)
split = Variant(n_train=150, groups=((0,), (1,), (2,))).apply(registry.datasets.get("digits").split(0), 0)
runs = []
for seed in range(3):
    course = network.fit(split, seed).trajectory()
    # From when the means have left where they happened to be at initialization.
    runs.append(class_courses(course, split)[course.times >= 0.5])

theories = {"L-model": locally_elastic("L"), "I-model": locally_elastic("I"), "saturation": saturation}
for name, imitate in (theories | {"a copy": lambda start, others: others}).items():
    errors = [
        metrics.imitation_error(run, imitate(run[0], np.mean(runs[:held] + runs[held + 1 :], axis=0)))
        for held, run in enumerate(runs)
    ]
    print(f"{name:10}  {np.mean(errors):.2f}")
