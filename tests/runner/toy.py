"""A plug-in for the tests: a small dataset, tasks on it, and a model that misbehaves on demand.

The model writes a line into a diary for each fit: process, seed, number of training points.
"""

import ctypes
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le

from lebench import progress, registry
from lebench.data.base import Dataset, Variant
from lebench.errors import TrainingError
from lebench.metrics import generalization as metrics
from lebench.tasks.base import Missing, NotFitted, Scored, Task
from lebench.tasks.facts import Share

POINTS = 40


def _load():
    y = np.arange(POINTS) % 2
    x = np.random.default_rng(0).normal(size=(POINTS, 2))
    x[:, 0] += 10 * y
    return x, y


def _halves(x, y, rng):
    order = rng.permutation(POINTS)
    train, test = order[: POINTS // 2], order[POINTS // 2 :]
    return x[train], y[train], x[test], y[test]


registry.datasets.register("toy", Dataset("toy", "Two far blobs", "CC0", "none", 1, (2,), ("a", "b"), _load, _halves))


def _accuracies(fits):
    return {
        f"accuracy@{name}": metrics.accuracy(fit.fitted.predict(fit.split.x_test), fit.split.y_test)
        for name, fit in fits.items()
    }


def _one_is_missing(fits):
    return {"accuracy": float("nan"), "error": Missing("it is not asked for")}


def _breaks(fits):
    raise ZeroDivisionError("the score divides by zero")


def _beside_a_constant(fits):
    (fit,) = fits.values()
    constant = registry.models.get("constant")().fit(fit.split, fit.seed)
    return {"accuracy": metrics.accuracy(constant.predict(fit.split.x_test), fit.split.y_test)}


def _with_arrays(fits):
    (fit,) = fits.values()
    return Scored({"accuracy": 1.0}, {"points": fit.split.x_train, "labels": fit.split.y_train})


def _of_what_was_fitted(fits):
    fitted = {name: fit for name, fit in fits.items() if not isinstance(fit.fitted, NotFitted)}
    reasons = {f"accuracy@{name}": Missing(fit.fitted.reason) for name, fit in fits.items() if name not in fitted}
    return _accuracies(fitted) | reasons


_WHOLE = (Variant(),)


def _task(name, score, metrics, variants=_WHOLE, needs=("predict",), references=()):
    facts = (Share(lambda split: 0, metrics),)
    task = Task(
        name,
        "generalization",
        name,
        "none",
        1,
        "toy",
        needs,
        metrics[0],
        metrics,
        score,
        variants,
        references,
        facts=facts,
    )
    registry.tasks.register(name, task, tags=("generalization",))


_task("toy/accuracy", _accuracies, ("accuracy@default",))
_task("toy/few", _accuracies, ("accuracy@default", "accuracy@n=6"), (*_WHOLE, Variant("n=6", n_train=6)))
_task("toy/small", _accuracies, ("accuracy@n=6",), (Variant("n=6", n_train=6),))
_task("toy/arrays", _with_arrays, ("accuracy",))
_task("toy/slow", _accuracies, ("accuracy@slow",), (Variant("slow", recipe=(("seconds", 0.2),)),))
_task(
    "toy/some",
    _of_what_was_fitted,
    ("accuracy@default", "accuracy@n=6"),
    (Variant(may_fail=True), Variant("n=6", n_train=6, may_fail=True)),
)
_task(
    "toy/again",
    _accuracies,
    ("accuracy@default", "accuracy@again"),
    (*_WHOLE, Variant("again", repetition=1)),
)
_task("toy/missing", _one_is_missing, ("accuracy", "error"))
_task("toy/breaks", _breaks, ("accuracy",))
_task("toy/outside", lambda fits: {"accuracy": 1.5}, ("accuracy",))
_task("toy/gram", _accuracies, ("accuracy",), needs=("gram",))
_task("toy/referring", _beside_a_constant, ("accuracy",), references=("constant",))
_task("toy/secretive", _beside_a_constant, ("accuracy",))
_task("toy/undeclared", lambda fits: {"accuracy": 1.0, "error": 0.0}, ("accuracy",))


def _exit():
    os._exit(3)


def _leave():
    raise SystemExit(4)


def _segfault():
    print("about to crash", flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)


def _hang():
    time.sleep(600)


def _hang_in_c():
    # PyDLL keeps the interpreter's lock: no other thread of the process runs meanwhile.
    ctypes.PyDLL(None).sleep(600)


def _linger():
    threading.Thread(target=time.sleep, args=(600,)).start()


def _eat():
    eaten = []
    while True:
        eaten.append(np.ones(2**20))
        time.sleep(0.001)


def _refuse():
    np.ones(2**55)


def _starve():
    raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")


def _killed():
    os.kill(os.getpid(), signal.SIGKILL)


def _diverges():
    raise TrainingError("training diverged by epoch 3")


def _raises():
    raise ValueError("no such thing\nas a second line")


class _Unshowable(BaseException):
    """No exception that a program expects, and nothing can be said of it or done with it."""

    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__

    def __reduce__(self):
        raise RuntimeError("no pickle")


def _unshowable():
    raise _Unshowable


def _surrogate():
    raise ValueError("bad \udcff text\x1b[31m\x00")


def _recurse():
    return _recurse()


def _open_files():
    return [int(name) for name in os.listdir("/dev/fd") if int(name) > 2]


def _scribble():
    for file in _open_files():
        with suppress(OSError):
            os.write(file, b"LEB\x01" + b"x" * 100)


def _begin_a_message():
    for file in _open_files():
        with suppress(OSError):
            os.write(file, b"LEB\x01\x00\x00\xff\xff....half")


def _close():
    for file in _open_files():
        with suppress(OSError):
            os.close(file)


def _close_and_wait():
    _close()
    time.sleep(600)


def _leave_a_bomb():
    threading.Timer(0.3, os._exit, args=(7,)).start()


def _leave_children():
    shell = "sleep 600 & setsid sleep 600 & echo > /dev/null"
    subprocess.run(["sh", "-c", shell], check=True, start_new_session=True)
    # One that says nothing more to anybody.
    subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def _leave_children_and_crash():
    _leave_children()
    os.abort()


def _kill_server():
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)


def _stand_still():
    os.kill(os.getpid(), signal.SIGSTOP)


def _chatter():
    for _ in range(3000):
        print("a word " * 10_000)


_DEEDS = {
    "unshowable": _unshowable,
    "surrogate": _surrogate,
    "recurse": _recurse,
    "scribble": _scribble,
    "begin-a-message": _begin_a_message,
    "close": _close,
    "close-and-wait": _close_and_wait,
    "bomb": _leave_a_bomb,
    "children": _leave_children,
    "children-and-crash": _leave_children_and_crash,
    "kill-server": _kill_server,
    "stand-still": _stand_still,
    "chatter": _chatter,
    "vary": lambda: None,
    "none": lambda: None,
    "exit": _exit,
    "leave": _leave,
    "segfault": _segfault,
    "hang": _hang,
    "hang-in-c": _hang_in_c,
    "linger": _linger,
    "eat": _eat,
    "refuse": _refuse,
    "starve": _starve,
    "diverge": _diverges,
    "killed": _killed,
    "raise": _raises,
}


@registry.models.register("toy")
@dataclass(frozen=True)
class Toy:
    """Nearest class mean, or what is asked for when it is fitted to `on` points."""

    diary: str
    deed: Literal[(*_DEEDS, "write", "write-past-protection")] = "none"
    on: Annotated[int, Ge(1), Le(POINTS)] = POINTS // 2
    seconds: Annotated[float, Ge(0)] = 0.0

    capabilities: ClassVar[frozenset[str]] = frozenset({"predict"})

    def fit(self, split, seed):
        with Path(self.diary).open("a") as diary:
            diary.write(f"{os.getpid()} {seed} {len(split.x_train)}\n")
        progress.report(epoch=1, loss=0.5)
        time.sleep(self.seconds)
        if len(split.x_train) == self.on:
            if self.deed == "write":
                split.x_train[:] = 0
            elif self.deed == "write-past-protection":
                _write_past_protection(split.x_train)
            else:
                _DEEDS[self.deed]()
        if self.deed == "vary":
            return _Means(np.random.default_rng().normal(size=(2, 2)))
        return _Means(np.stack([split.x_train[split.y_train == c].mean(axis=0) for c in range(2)]))


def _write_past_protection(array):
    # As torch.from_numpy does, which hands out the memory with a warning at most.
    ctypes.memset(array.ctypes.data, 0, array.nbytes)


class _Means:
    def __init__(self, means):
        self.means = means

    def predict(self, x):
        return -np.linalg.norm(x[:, None] - self.means, axis=2)


@registry.models.register("liar")
@dataclass(frozen=True)
class Liar:
    """Says that it predicts."""

    capabilities: ClassVar[frozenset[str]] = frozenset({"predict"})

    def fit(self, split, seed):
        return object()
