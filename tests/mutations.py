"""Changes of formulas that golden values must catch, and refactorings that they must not: ``make mutations``.

Each change is made in a scratch copy, in which the named golden cases run (`tests/golden`). Texts are looked for in all
files of a part, so that code may move.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Change:
    """A text of a part of lebench and what takes its place.

    Attributes
    ----------
    part : str
        Folder below ``lebench``, or a module.
    old, new : str
        `old` occurs once in the part; if it is empty, `new` is a new file.
    case : str
        Part of the names of golden cases of which one must notice.
    whose : str
        The version that it must ask for, empty if more than one will do.
    """

    part: str
    old: str
    new: str
    case: str = ""
    whose: str = ""


_MOVED = '''"""The largest of each row."""

import numpy as np


def unique_argmax(scores):
    first = np.argmax(scores, axis=1)
    last = scores.shape[1] - 1 - np.argmax(scores[:, ::-1], axis=1)
    return np.where(first == last, first, -1)
'''

_MLP, _RBF = "mlp|torch|digits", "rbf|numpy|digits"

FORMULAS = (
    Change("metrics", "norms.std(ddof=1) / norms.mean()", "norms.std(ddof=0) / norms.mean()", "deep-linear|torch"),
    Change("metrics", "float(within.mean() - between.mean())", "float(within.mean() - 2 * between.mean())", _RBF),
    Change(
        "metrics",
        "kernel_rotation(gram, other) / elapsed",
        "kernel_rotation(gram, other) / (elapsed + 1)",
        "mlp|torch|digits",
    ),
    Change("metrics", "-np.mean(np.log(true))", "-np.mean(np.log2(true))", "deep-linear|torch", "task digits/accuracy"),
    Change("metrics", "len(values) * values.max()", "(len(values) - 1) * values.max()", _RBF),
    Change("kernels", "inverse = 1.0 / (values + ridge)", "inverse = 1.0 / (values + 2 * ridge)", _RBF),
    Change("kernels", "np.eye(count)[known] - 1.0 / count", "np.eye(count)[known]", _RBF),
    Change(
        "kernels",
        "t * (slope + weight * where_less(cosine, c.zero",
        "t * (slope + 2 * weight * where_less(cosine, c.zero",
        "ntk-mlp|numpy|manifold-torus",
    ),
    Change(
        "backends",
        "math.sqrt(self.architecture.weight_variance / fan_in), generator",
        "2 * math.sqrt(self.architecture.weight_variance / fan_in), generator",
        _MLP,
        "backend torch",
    ),
    # The network that a kernel is compared with.
    Change(
        "backends",
        "math.sqrt(self.architecture.weight_variance / fan_in), generator",
        "2 * math.sqrt(self.architecture.weight_variance / fan_in), generator",
        _RBF,
        "backend torch",
    ),
    Change("backends", "to(dtype) - 1.0 / classes", "to(dtype)", "loss=mse]|torch"),
    Change("backends", "recipe.momentum * m + g", "recipe.momentum * m + 1.001 * g", "lin-mlp|jax"),
    Change(
        "backends", "0.5 * (1 + math.cos(math.pi * progress))", "math.cos(math.pi * progress) ** 2", "schedule=cosine"
    ),
    Change("backends", "self.lr * 0.1 ** int(progress * 3)", "self.lr * 0.1 ** int(progress * 4)", "deep-linear|torch"),
    Change("data", "std = x_train.std(axis=axes)", "std = x_train.std(axis=axes) + 1e-3", _RBF, "dataset digits"),
    Change("data", "(y[wrong] + shift[wrong]) % classes", "(y[wrong] + 1) % classes", _RBF),
    Change(
        "data", "table[list(group)] = label", "table[list(group)] = len(groups) - 1 - label", "rbf|numpy|two-factor"
    ),
    Change("data", "round(len(members) / ratio)", "round(len(members) / ratio**2)", _RBF),
    Change("tasks", "k=2, seed=self.seed", "k=3, seed=self.seed", _RBF, "task digits/clustering"),
    Change(
        "tasks",
        "metrics.accuracy(test, split.y_test),",
        "metrics.error(test, split.y_test),",
        _RBF,
        "task digits/accuracy",
    ),
    Change(
        "tasks", "d * min(kernel_errors", "d * max(kernel_errors", "rbf|numpy|teacher-8", "task overparam/teacher-8"
    ),
    Change("tasks", "_BEGIN = 1.0", "_BEGIN = 0.0", "mlp|torch|geomnist", "task geomnist/imitation"),
    Change(
        "runner", "seed = variant.fit_seed(self.seed)", "seed = variant.fit_seed(self.seed + 1)", "deep-linear|torch"
    ),
    Change("runner", "variant.apply(self.split, self.seed)", "variant.apply(self.split, self.seed + 1)", _RBF),
    Change("runner", "if variant.width is None else model.with_width(variant.width)", "", "mlp|torch|digits"),
    Change("runner", "with_recipe(changes)", "with_recipe(changes[:1])", "mlp|torch|geomnist"),
    Change("models", "(self.scale * math.sqrt(a.shape[1]))", "self.scale", _RBF, "model rbf"),
    Change(
        "models", "a @ b.T / a.shape[1] + 1.0", "a @ b.T / a.shape[1]", "linear-kernel|numpy", "model linear-kernel"
    ),
)


#: Improvements that change no number, made all at once: texts that take the place of others in one part.
REFACTORINGS: dict[str, tuple[Change, ...]] = {
    "an error text": (
        Change("metrics", "convert them to float32 or float64 first", "give them as float32 or float64"),
    ),
    "two statements change places": (
        Change(
            "metrics",
            "    mean_within, mean_between = within.mean(), between.mean()\n",
            "    mean_between = between.mean()\n    mean_within = within.mean()\n",
        ),
    ),
    "a helper has another name": (
        Change("metrics", "def _cosine(a: FloatArray", "def _cosine_of_kernels(a: FloatArray"),
        Change("metrics", "return _cosine(*_pair", "return _cosine_of_kernels(*_pair"),
        Change("metrics", "return _cosine(*centred", "return _cosine_of_kernels(*centred"),
    ),
    "a local variable has another name": (
        Change("kernels", "targets: FloatArray = np.eye(count)[known]", "encoded: FloatArray = np.eye(count)[known]"),
        Change("kernels", "- 1.0 / count\n    return targets", "- 1.0 / count\n    return encoded"),
    ),
    "a docstring": (Change("kernels", "Return the targets of kernel regression: one-hot", "Encode labels: one-hot"),),
    "a helper is split off": (
        Change("data", "    std = np.where(std > 0, std, 1.0)\n", "    std = _positive(std)\n"),
        Change(
            "data",
            "def _standardized(x_train",
            "def _positive(std: Any) -> Any:\n    return np.where(std > 0, std, 1.0)\n\n\ndef _standardized(x_train",
        ),
    ),
    "a function moves to a module of its own": (
        Change(
            "metrics",
            "def unique_argmax(scores: FloatArray) -> IntArray:",
            "def _former(scores: FloatArray) -> IntArray:",
        ),
        Change(
            "metrics",
            "\n_EPS = float(np.finfo(np.float64).eps)\n",
            "\nfrom lebench.metrics.moved import unique_argmax\n\n_EPS = float(np.finfo(np.float64).eps)\n",
        ),
        Change("metrics/moved.py", "", _MOVED),
    ),
    "a comment": (
        Change(
            "runner",
            "    # Not at the top: there is nothing to take back",
            "    # Later: there is nothing to take back",
        ),
    ),
    "a number has a name": (
        Change(
            "metrics",
            "    matrix = in_units(matrix)\n",
            "    in_its_units = in_units(matrix)\n    matrix = in_its_units\n",
        ),
    ),
    "a condition is turned round": (
        Change(
            "backends",
            'if self.schedule == "constant":\n            return self.lr\n        if self.schedule == "cosine":\n',
            'if not self.schedule != "constant":\n            return self.lr\n        if "cosine" == self.schedule:\n',
        ),
    ),
    "the words of a task": (
        Change("tasks", "Score the predictions on the test points, and", "Score predictions on test points and"),
    ),
}
_ALL = "rbf|numpy|digits", "deep-linear|torch", "mlp|torch|geomnist", "schedule=cosine"


class StaleError(Exception):
    """A change that can no longer be made."""


def place_of(change: Change, tree: Path) -> Path:
    """Return the file of a copy of the repository that a change is made in.

    Raises
    ------
    StaleError
        If its text does not occur once.
    """
    place = tree / "lebench" / change.part
    if change.old == "":
        return place
    found = [file for file in place.rglob("*.py") if change.old in file.read_text(encoding="utf-8")]
    if len(found) != 1 or found[0].read_text(encoding="utf-8").count(change.old) != 1:
        raise StaleError(
            f"{change.old!r} does not occur once in lebench/{change.part}: bring tests/mutations.py up to date"
        )
    return found[0]


def make(change: Change, tree: Path) -> None:
    """Make a change in a copy of the repository."""
    place = place_of(change, tree)
    text = place.read_text(encoding="utf-8").replace(change.old, change.new) if change.old else change.new
    place.write_text(text, encoding="utf-8")


@contextmanager
def copy_of_the_repository() -> Iterator[Path]:
    """Yield a scratch copy of the package and the golden values."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "lebench", tree / "lebench", ignore=ignored)
        shutil.copytree(ROOT / "tests" / "golden", tree / "golden", ignore=ignored)
        yield tree


def python(tree: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python on a copy."""
    environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-B", *command], env=environment, cwd=tree, capture_output=True, text=True, check=False
    )


def caught(change: Change) -> str:
    """Return what the golden values say about a change, empty if they do not notice."""
    with copy_of_the_repository() as tree:
        make(change, tree)
        done = python(tree, "-m", "golden.check", change.case)
        if done.returncode not in (0, 1) or bool(done.stdout) != bool(done.returncode):
            raise StaleError(f"{change.new!r} cannot be checked:\n{done.stderr[-2000:]}")
        return done.stdout if done.returncode else ""


_KEYS = """
from lebench.runner.plan import make_plan
for cell in make_plan(["digits*", "kernel*"], ["mlp", "rbf", "ntk-mlp"], [0]).cells:
    print(cell.cell.key)
"""


def refactored(names: Iterable[str]) -> str:
    """Return what the golden values say about refactorings, made all at once, and whether keys of cells differ."""
    with copy_of_the_repository() as tree:
        keys = python(tree, "-c", _KEYS)
        for name in names:
            for change in REFACTORINGS[name]:
                make(change, tree)
        done = python(tree, "-m", "golden.check", *_ALL)
        if done.returncode:
            return done.stdout + done.stderr[-2000:]
        after = python(tree, "-c", _KEYS)
        return "" if keys.stdout and keys.stdout == after.stdout else f"the keys of cells differ {after.stderr[-2000:]}"


def main() -> int:
    """Make changes in an order that a seed draws, and say which are not noticed, and which refactorings are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=len(FORMULAS), help="formulas to change")
    parser.add_argument("--seed", type=int, default=0, help="which, and in which order")
    parser.add_argument("--part", help="only those of a part")
    options = parser.parse_args()
    chosen = [change for change in FORMULAS if options.part in (None, change.part)]
    random.Random(options.seed).shuffle(chosen)
    wrong = 0
    for change in chosen[: options.count]:
        said = caught(change)
        good = bool(said) and change.whose in said
        wrong += not good
        outcome = "caught" if good else "OTHERS BLAMED" if said else "MISSED"
        print(f"{outcome}  {change.part}: {change.old} -> {change.new}", flush=True)
        if said:
            print("   ", said.strip().splitlines()[0][:200], flush=True)
    if options.part is None:
        said = refactored(REFACTORINGS)
        wrong += bool(said)
        print(f"{len(REFACTORINGS)} refactorings: {said or 'nothing moved, and no key of a cell'}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
