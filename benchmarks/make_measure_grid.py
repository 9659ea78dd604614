"""Train the networks behind ``overparam/measures`` and write them to lebench/data/measure_grid.npz.

    python benchmarks/make_measure_grid.py [processes]

320 perceptrons on digits: two values of each of six hyper-parameters, five seeds. Each is taken where its training
cross-entropy first falls to 0.01 at a recorded moment; 288 of them get there, the others are left out when the file is
read. Weights are rounded to half precision, and the errors in the file are those of the rounded networks. About 3 CPU
minutes.
"""

from __future__ import annotations

import itertools
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from lebench import registry
from lebench.data import measure_grid
from lebench.data.measure_grid import AXES, SEEDS, GridNetwork, split_of


def trained(job: tuple[int, tuple[float, ...]]) -> tuple[list[np.ndarray], list[np.ndarray], float]:
    """Return final and initial arrays (weight, bias, weight, ...) and the training loss of one network."""
    seed, setting = job
    values = dict(zip(AXES, setting, strict=True))
    split = split_of(seed, int(values["n_train"]))
    recipe = (
        ("lr", values["lr"]),
        ("batch_size", int(values["batch_size"])),
        ("weight_decay", values["weight_decay"]),
        ("schedule", "constant"),
        ("epochs", 100),
        ("min_steps", 1500),
    )
    model = registry.models.get("mlp")(width=int(values["width"]), depth=int(values["depth"])).with_recipe(recipe)
    fitted = model.fit(split, seed)
    course, kept = fitted.trajectory(), fitted.checkpoints()
    reached = np.flatnonzero(course.loss <= measure_grid.STOP)
    moment = int(reached[0]) if len(reached) else -1
    arrays = [
        [part.astype(np.float16) for layer in kept[at].fitted.weights() for part in (layer.weight, layer.bias)]
        for at in (moment, 0)
    ]
    return arrays[0], arrays[1], float(course.loss[moment])


def main() -> None:
    """Train all networks and write the file."""
    processes = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    jobs = list(itertools.product(SEEDS, itertools.product(*AXES.values())))
    with ProcessPoolExecutor(processes) as pool:
        found = list(pool.map(trained, jobs, chunksize=4))
    arrays: dict[str, np.ndarray] = {}
    for index, ((seed, setting), (final, initial, _)) in enumerate(zip(jobs, found, strict=True)):
        arrays[f"final-{index}"] = np.concatenate([part.ravel() for part in final])
        values = dict(zip(AXES, setting, strict=True))
        arrays[measure_grid.initial_key(seed, int(values["width"]), int(values["depth"]))] = np.concatenate(
            [part.ravel() for part in initial]
        )
    arrays["seeds"] = np.array([seed for seed, _ in jobs])
    arrays["settings"] = np.array([setting for _, setting in jobs])
    arrays["loss"] = np.array([loss for _, _, loss in found])
    networks = [GridNetwork.read(arrays, index) for index in range(len(jobs))]
    arrays["errors"] = np.array([network.measured_errors() for network in networks])
    np.savez_compressed(Path(measure_grid.FILE), **arrays)
    print(f"{len(jobs)} networks, {(arrays['loss'] <= measure_grid.STOP).sum()} of them fitted")


if __name__ == "__main__":
    main()
