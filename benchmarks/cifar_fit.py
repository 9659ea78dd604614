"""A fit of ``resnet18`` on all of CIFAR-10 that is killed within an epoch and goes on, beside one that is not.

``python benchmarks/cifar_fit.py FOLDER`` needs the files of ``cifar-10-full`` (LEBENCH_DATA) and about 80 core-minutes.
The first fit begins anew, is killed with SIGKILL past 93% of its epoch and started again. The second begins with a
state that the first had kept past 87%, and is left alone. Weights, momentum, losses and scores of both must be equal
to the last bit. Trained on all images; the course of training is evaluated on the first thousand, which saves a third
of the time and changes no weight.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

#: Shares of the epoch at which a state is copied and the fit is killed; images that are evaluated.
COPIED, KILLED, EVALUATED = 0.87, 0.93, 1000


def fit(folder: Path, model: str, dataset: str, every_s: float) -> None:
    """Train in this process, with its state kept in a folder."""
    import torch

    from lebench import progress, registry
    from lebench.backends import torch_training
    from lebench.checkpoints import KeptFit, keeping
    from lebench.models.spec import build_model

    class Training(torch_training._Training):
        def record(self, time: float) -> None:
            everything = self.x, self.y, self.data
            self.x, self.y = self.x[:EVALUATED], self.y[:EVALUATED]
            self.data = replace(self.data, probe=self.data.probe % EVALUATED)
            super().record(time)
            self.x, self.y, self.data = everything

    torch_training._Training = Training  # type: ignore[misc]
    torch.set_num_threads(1)
    split = registry.datasets.get(dataset).split(0)
    began = time.time()

    def show(values: dict[str, float]) -> None:
        print(f"{time.time() - began:7.0f} s", {k: round(v, 4) for k, v in values.items()}, file=log, flush=True)

    with (folder / "log.txt").open("a") as log, progress.listen(show):
        kept = KeptFit(folder / "fit", {"label": model}, {"torch": torch.__version__}, every_s, to_the_end=True)
        with keeping(kept):
            build_model(model).model.fit(split, 0)


def place(folder: Path) -> tuple[int, int]:
    """Return epoch and batches of the state that is kept, (0, 0) if there is none."""
    try:
        with np.load(folder / "fit" / "1.npz") as kept:
            state = json.loads(kept["facts"].tobytes())["state"]
    except (OSError, ValueError, KeyError):
        return 0, 0
    return state["epoch"], state["batches"]


def main() -> None:
    """Run both fits and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="resnet18[epochs=1]")
    parser.add_argument("--dataset", default="cifar-10-full")
    parser.add_argument("--batches", type=int, default=391, help="updates in an epoch")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two states")
    parser.add_argument("--fit", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder: Path = options.folder
    if options.fit:
        fit(folder, options.model, options.dataset, options.every)
        return

    if folder.exists():
        raise SystemExit(f"{folder} is there already: name a new folder, as fits begin anew")

    def started(where: Path) -> subprocess.Popen[bytes]:
        where.mkdir(parents=True, exist_ok=True)
        arguments = ["--fit", "--model", options.model, "--dataset", options.dataset, "--every", str(options.every)]
        return subprocess.Popen([sys.executable, __file__, str(where), *arguments], env=os.environ)

    def wait_for(process: subprocess.Popen[bytes], share: float) -> tuple[int, int]:
        while place(folder / "killed")[1] < share * options.batches:
            if process.poll() is not None:
                raise SystemExit("the fit has ended before its time")
            time.sleep(min(5.0, options.every))
        return place(folder / "killed")

    killed = started(folder / "killed")
    half = wait_for(killed, COPIED)
    (folder / "alone" / "fit").mkdir(parents=True)
    shutil.copy(folder / "killed" / "fit" / "1.npz", folder / "alone" / "fit")
    alone = started(folder / "alone")
    print(f"state at {half} copied; its fit goes on alone", flush=True)
    reached = wait_for(killed, KILLED)
    assert reached > half, "the comparison needs different states"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    print(f"killed with a state at {reached}", flush=True)
    resumed = started(folder / "killed")
    if resumed.wait() or alone.wait():
        raise SystemExit("a fit has failed")
    with np.load(folder / "killed/fit/1.npz") as one, np.load(folder / "alone/fit/1.npz") as other:
        names = [name for name in one.files if name != "facts"]
        assert names == [name for name in other.files if name != "facts"]
        assert place(folder / "killed") == place(folder / "alone") == (2, 0), "both have reached the end"
        different = [name for name in names if not np.array_equal(one[name], other[name])]
        print("course (epoch, loss, error):", one["course"].tolist())
        print("largest weight:", max(float(abs(one[name]).max()) for name in names if name.endswith("weight")))
    print(f"{len(names) - len(different)} of {len(names)} arrays are equal to the last bit; different: {different[:5]}")
    raise SystemExit(bool(different))


if __name__ == "__main__":
    main()
