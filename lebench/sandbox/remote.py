"""Models that stand in for those of a plug-in, which only a guest in the sandbox imports."""

from __future__ import annotations

import atexit
import inspect
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lebench import plugins, registry
from lebench.arrays import FloatArray, IntArray
from lebench.capabilities import CAPABILITIES, Checkpoint, SimilarityKind, Trajectory
from lebench.data.base import Split
from lebench.errors import LebenchError, TrainingError
from lebench.plugins import Plugin
from lebench.sandbox.confinement import confined, why_not
from lebench.sandbox.wire import Message, WireError, receive, send

#: Bytes of what is small whatever the data: facts of a model, a trajectory's numbers.
_SMALL = 64 * 2**20
_MOST_FEATURES = 2**17
_MOST_MOMENTS = 2**16
_REASON_LENGTH = 300


class Connection:
    """A guest and the pipe to it, of this process alone.

    Parameters
    ----------
    plugin : Plugin
        What the guest imports; it can read nothing but the files of its closure.

    Raises
    ------
    LebenchError
        If no sandbox can be made here.
    """

    def __init__(self, plugin: Plugin) -> None:
        if reason := why_not():
            raise LebenchError(f"a submitted model is run in a sandbox only, and {reason}")
        given = plugin.root if plugin.package else plugin.file
        command = confined([sys.executable, "-m", "lebench.sandbox.guest", str(given)], [*plugin.closure().values()])
        # What it prints would stand among the lines of the check.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._owner = os.getpid()
        atexit.register(self.close)

    def ask(self, request: Message, most_bytes: int = _SMALL) -> Message:
        """Return the answer to a request.

        Parameters
        ----------
        request : Message
            See :mod:`lebench.sandbox.guest`.
        most_bytes : int
            What the arrays of the answer may have together.

        Raises
        ------
        TrainingError, LebenchError
            As the guest says, or if it has ended or does not keep to the form.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            send(self._process.stdin, request)  # type: ignore[arg-type]
            answer = receive(self._process.stdout, most_bytes)  # type: ignore[arg-type]
        except (EOFError, OSError) as error:
            raise LebenchError(f"the model's process has ended (exit code {self._process.wait()})") from error
        except WireError:
            self.close()
            raise
        if answer.kind == "error":
            raise (TrainingError if answer.values.get("kind") == "training" else LebenchError)(
                _line(answer.values.get("text", ""))
            )
        return answer

    @property
    def ended(self) -> bool:
        """Whether the guest is no more, for this process: a fork must not write into the pipe of its parent."""
        return os.getpid() != self._owner or self._process.poll() is not None

    def close(self) -> None:
        """End the guest and all it has started."""
        if not self.ended:
            self._process.kill()
            self._process.wait()


_connections: dict[tuple[int, Plugin], Connection] = {}


def connection(plugin: Plugin) -> Connection:
    """Return the connection of this process to a guest of a plug-in; a fork has one of its own."""
    key = os.getpid(), plugin
    if key not in _connections or _connections[key].ended:
        _connections[key] = Connection(plugin)
    return _connections[key]


@dataclass(frozen=True)
class RemoteModel:
    """A model of a plug-in, by its specification.

    Attributes
    ----------
    plugin : Path
        Where it is registered.
    spec : str
        Name and parameters.
    backend : str or None
        Where it is computed; None if it needs no framework.
    backends, precision, fits_targets, capabilities
        What it says of itself.
    """

    plugin: Plugin
    spec: str
    backend: str | None
    backends: tuple[str, ...]
    precision: str
    fits_targets: bool
    capabilities: frozenset[str]
    changes: tuple[tuple[str, Any], ...] = ()

    def fit(self, split: Split, seed: int) -> RemoteFitted:
        """Let the guest fit a split, of whose test points it gets the inputs alone.

        Its predictions for them are asked for at once, before a question shows it a label of any.
        """
        named = ("x_train", "y_train", "x_test", "fine_train", "clean_train", "target_train")
        arrays = {name: array for name in named if (array := getattr(split, name)) is not None}
        values = {"spec": self.spec, "backend": self.backend, "seed": seed, "changes": self.changes}
        guest = connection(self.plugin)
        about = {**values, "class_names": split.class_names, "removed": split.removed}
        fitted = RemoteFitted(
            guest, guest.ask(Message("fit", about, arrays)), split.classes, len(split.y_train), self.capabilities
        )
        if "predict" in self.capabilities:
            fitted.remember(split.x_test)
        return fitted


class RemoteNetwork(RemoteModel):
    """A model whose training can be varied."""

    def with_recipe(self, changes: Iterable[tuple[str, str | int | float]]) -> RemoteNetwork:
        """Return the same model, trained in another way."""
        return replace(self, changes=(*self.changes, ("with_recipe", [list(change) for change in changes])))

    def with_width(self, width: int) -> RemoteNetwork:
        """Return the same model with another width."""
        return replace(self, changes=(*self.changes, ("with_width", width)))


class RemoteFitted:
    """A fitted model that a guest holds; every answer has the shape that was asked for and finite numbers."""

    def __init__(
        self, guest: Connection, answer: Message, classes: int, points: int, capabilities: frozenset[str]
    ) -> None:
        number, offered = answer.values.get("fit"), answer.values.get("offers")
        if not (isinstance(number, int) and isinstance(offered, list)):
            raise WireError("the model's process does not say what it has fitted")
        self._guest, self._number, self._classes, self._points = guest, number, classes, points
        self._capabilities = capabilities
        self._known: list[tuple[FloatArray, FloatArray]] = []
        for capability in {name for name in offered if name in CAPABILITIES} & capabilities:
            for method in _METHODS.get(capability, ()):
                # On the object, where a check of a protocol looks; what is not offered must not be there.
                setattr(self, method, getattr(self, f"_{method}"))
        weakref.finalize(self, _forget, guest, number)

    def remember(self, x: FloatArray) -> None:
        """Ask for the predictions at some points now, and answer with them when they are asked for."""
        self._known.append((x, self._predict(x)))

    def _ask(
        self,
        method: str,
        shapes: Mapping[str, tuple[int | None, ...]],
        arrays: Mapping[str, NDArray[Any]] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Return the arrays that a method answers; None in a shape is a length that the guest decides."""
        values = {"fit": self._number, "method": method, "options": dict(options or {})}
        most = sum(8 * int(np.prod([_MOST_FEATURES if n is None else n for n in shape])) for shape in shapes.values())
        answer = self._guest.ask(Message("call", values, arrays or {}), most)
        for name, shape in shapes.items():
            found = answer.arrays.get(name)
            if found is None or found.ndim != len(shape):
                raise WireError(f"{method} did not return {len(shape)} dimensions")
            if any(n not in (None, m) for n, m in zip(shape, found.shape, strict=True)):
                raise WireError(f"{method} returned the shape {found.shape}, not {shape}")
            if not np.isfinite(found).all():
                raise LebenchError(f"{method} returned numbers that are not finite")
        return dict(answer.arrays)

    def _predict(self, x: FloatArray) -> FloatArray:
        for points, scores in self._known:
            if points is x:
                return scores
        return self._ask("predict", {"value": (len(x), self._classes)}, {"x": x})["value"]

    def _predict_proba(self, x: FloatArray) -> FloatArray:
        return self._ask("predict_proba", {"value": (len(x), self._classes)}, {"x": x})["value"]

    def _features(self, x: FloatArray) -> FloatArray:
        return self._ask("features", {"value": (len(x), None)}, {"x": x})["value"]

    def _head(self) -> tuple[FloatArray, FloatArray]:
        found = self._ask("head", {"weights": (self._classes, None), "bias": (self._classes,)})
        return found["weights"], found["bias"]

    def _similarity(
        self,
        sources: FloatArray,
        labels: IntArray,
        targets: FloatArray,
        kind: SimilarityKind = "relative",
        step: float | None = None,
    ) -> FloatArray:
        arrays = {"sources": sources, "labels": labels, "targets": targets}
        shape = (len(sources), len(targets))
        return self._ask("similarity", {"value": shape}, arrays, {"kind": kind, "step": step})["value"]

    def _gram(self, x1: FloatArray, x2: FloatArray) -> FloatArray:
        return self._ask("gram", {"value": (len(x1), len(x2))}, {"x1": x1, "x2": x2})["value"]

    def _trajectory(self) -> Trajectory:
        shapes: dict[str, tuple[int | None, ...]] = dict.fromkeys(("times", "loss", "error", "probe"), (None,))
        found = self._ask("trajectory", {**shapes, "scores": (None, None, self._classes)})
        moments, followed = len(found["times"]), len(found["probe"])
        lengths = {len(found[name]) for name in ("loss", "error")} | {found["scores"].shape[0]}
        probe = found["probe"]
        if lengths != {moments} or found["scores"].shape[1] != followed or probe.dtype.kind != "i":
            raise WireError("the parts of a trajectory do not fit each other")
        if probe.size and not (probe.min() >= 0 and probe.max() < self._points):
            raise WireError("a trajectory follows points that are not in the training set")
        return Trajectory(**{name: found[name] for name in (*shapes, "scores")})

    def _checkpoints(self) -> tuple[Checkpoint, ...]:
        times = self._ask("checkpoints", {"times": (None,)})["times"]
        if len(times) > _MOST_MOMENTS:
            raise WireError("there are too many checkpoints")
        return tuple(Checkpoint(float(time), partial(self._restored, index)) for index, time in enumerate(times))

    def _restored(self, index: int) -> RemoteFitted:
        answer = self._guest.ask(Message("restore", {"fit": self._number, "index": index}))
        return RemoteFitted(self._guest, answer, self._classes, self._points, self._capabilities)

    def _diagnostics(self) -> dict[str, float]:
        values = {"fit": self._number, "method": "diagnostics", "options": {}}
        found = self._guest.ask(Message("call", values)).values
        with _form():
            return {name: float(value) for name, value in found.items()}


#: Methods of each capability that can be had over the pipe; weights and complexity cannot.
_METHODS = {
    "predict": ("predict",),
    "predict_proba": ("predict_proba",),
    "features": ("features", "head"),
    "similarity": ("similarity",),
    "gram": ("gram",),
    "trajectory": ("trajectory",),
    "checkpoints": ("checkpoints",),
    "diagnostics": ("diagnostics",),
}


def _forget(guest: Connection, number: int) -> None:
    if not guest.ended:
        with suppress(LebenchError):
            guest.ask(Message("forget", {"fit": number}))


@dataclass(frozen=True)
class StandIns:
    """The models of a plug-in, each registered as one that a guest does the work of: its code is not imported here.

    Attributes
    ----------
    plugin : Plugin
        As :func:`lebench.plugins.find` returns it.
    """

    plugin: Plugin

    def packages(self) -> frozenset[str]:
        """Return the names of the packages that its code imports."""
        return self.plugin.packages()

    def register(self) -> None:
        """Register them in this process.

        Raises
        ------
        LebenchError
            If no sandbox can be made here, the plug-in fails to import in it, or a name is taken.
        """
        content = plugins.digest(self.plugin)
        described = connection(self.plugin).ask(Message("describe")).values
        with _form():
            made = [
                (
                    registry.Item(
                        name,
                        _line(about["summary"]),
                        target=__name__,
                        source=self.plugin.given,
                        version=int(about["version"]),
                        plugin=self.plugin.module,
                        digest=content,
                    ),
                    _factory(self.plugin, name, about),
                )
                for name, about in described.items()
            ]
        for item, factory in made:
            registry.models.adopt(item, factory)


@contextmanager
def _form() -> Iterator[None]:
    """Raise a WireError where what a guest says of its models has not the form that it must have."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WireError("the model's process does not say what it must of its models") from error


def _factory(plugin: Plugin, name: str, about: Mapping[str, Any]) -> Callable[..., RemoteModel]:
    def factory(**given: Any) -> RemoteModel:
        spec = f"{name}[{','.join(f'{key}={_text(value)}' for key, value in given.items())}]" if given else name
        return _model(plugin, spec, None)

    required = set(about["required"])
    signature = [
        inspect.Parameter(
            key, inspect.Parameter.KEYWORD_ONLY, default=inspect.Parameter.empty if key in required else value
        )
        for key, value in about["parameters"].items()
    ]
    factory.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
    return factory


def _model(plugin: Plugin, spec: str, backend: str | None) -> RemoteModel:
    found = connection(plugin).ask(Message("build", {"spec": spec, "backend": backend})).values
    with _form():
        kind = RemoteNetwork if found["options"] else RemoteModel
        return kind(
            plugin,
            spec,
            None if found["backend"] is None else str(found["backend"]),
            tuple(map(str, found["backends"])),
            str(found["precision"]),
            bool(found["fits_targets"]),
            frozenset(found["capabilities"]) & frozenset(CAPABILITIES),
        )


def _line(text: object) -> str:
    """Return what a guest says as one line that can be shown."""
    return "".join(c for c in str(text) if c.isprintable())[:_REASON_LENGTH]


def _text(value: Any) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
