"""The process in the sandbox: it imports a plug-in and does what it is asked, ``python -m lebench.sandbox.guest FILE``.

Requests come through standard input and are answered, one each, through what was standard output.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lebench import registry
from lebench.capabilities import CAPABILITIES, offers
from lebench.data.base import Split
from lebench.errors import LebenchError, TrainingError
from lebench.models.spec import build_model, parameters
from lebench.runner.worker import reproducibly
from lebench.sandbox.wire import Message, encode, receive, write

_REASON_LENGTH = 2000
#: Its limits are those of the sandbox.
_LARGEST_REQUEST = 2**40
_OPTIONS = ("with_recipe", "with_width")


class Guest:
    """What a plug-in registers, and what was fitted so far.

    Parameters
    ----------
    plugin : str
        The file or folder.
    """

    def __init__(self, plugin: str) -> None:
        before = {item.name for item in registry.models.items()}
        registry.load_plugin(plugin)
        self.names = sorted({item.name for item in registry.models.items()} - before)
        self.fitted: dict[int, Any] = {}

    def describe(self, request: Message) -> Message:
        """Return the registered models with their parameters and defaults."""
        shown = {
            name: {
                "summary": registry.models.item(name).summary,
                "version": registry.models.item(name).version,
                "parameters": {p.name: None if p.required else _scalar(p.default) for p in parameters(name).values()},
                "required": [p.name for p in parameters(name).values() if p.required],
            }
            for name in self.names
        }
        return Message("models", shown)

    def build(self, request: Message) -> Message:
        """Return what a model of a specification is and offers."""
        configured = build_model(request.values["spec"], request.values["backend"])
        model = configured.model
        return Message(
            "model",
            {
                "backend": getattr(model, "backend", None),
                "backends": list(getattr(model, "backends", ())),
                "precision": configured.precision,
                "fits_targets": bool(getattr(model, "fits_targets", False)),
                "capabilities": sorted(model.capabilities),
                "options": [name for name in _OPTIONS if hasattr(model, name)],
            },
        )

    def fit(self, request: Message) -> Message:
        """Fit a model; of the test points it gets the inputs alone."""
        values, arrays = request.values, request.arrays
        model = build_model(values["spec"], values["backend"]).model
        for name, change in values["changes"]:
            model = (
                model.with_recipe([tuple(one) for one in change]) if name == "with_recipe" else model.with_width(change)
            )
        fields = {field.name for field in dataclasses.fields(Split)} & set(arrays)
        unknown = np.full(len(arrays["x_test"]), -1)
        split = Split(
            **{name: arrays[name] for name in fields},
            y_test=unknown,
            class_names=tuple(values["class_names"]),
            removed=values["removed"],
        )
        return self._keep(reproducibly(lambda: model.fit(split, values["seed"]), values["seed"], "fit"))

    def restore(self, request: Message) -> Message:
        """Return the model as it was at a moment of its training."""
        return self._keep(self.fitted[request.values["fit"]].checkpoints()[request.values["index"]].fitted)

    def call(self, request: Message) -> Message:
        """Call a method of a fitted model."""
        values = request.values
        if values["method"] not in ANSWERS:
            raise LebenchError(f"a fitted model is not asked for {values['method']!r}")
        found = getattr(self.fitted[values["fit"]], values["method"])(**request.arrays, **values["options"])
        return Message("answer", *ANSWERS[values["method"]](found))

    def forget(self, request: Message) -> Message:
        """Let go of a fitted model."""
        self.fitted.pop(request.values["fit"], None)
        return Message("done")

    def _keep(self, fitted: object) -> Message:
        number = max(self.fitted, default=-1) + 1
        self.fitted[number] = fitted
        return Message("fitted", {"fit": number, "offers": [name for name in CAPABILITIES if offers(fitted, name)]})


def _array(found: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    return {}, {"value": np.asarray(found)}


#: By method: what it returned as values and arrays.
ANSWERS: dict[str, Callable[[Any], tuple[Mapping[str, Any], Mapping[str, Any]]]] = {
    "predict": _array,
    "predict_proba": _array,
    "features": _array,
    "similarity": _array,
    "gram": _array,
    "head": lambda found: ({}, {"weights": np.asarray(found[0]), "bias": np.asarray(found[1])}),
    "trajectory": lambda found: ({}, {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}),
    "checkpoints": lambda found: ({}, {"times": np.array([float(one.time) for one in found])}),
    "diagnostics": lambda found: ({str(name): float(value) for name, value in found.items()}, {}),
}


def _scalar(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | bool) else repr(value)


def main() -> int:
    """Serve requests until there are no more."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What the plug-in prints goes where errors go, and it reads nothing.
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    guest: Guest | None = None
    while True:
        try:
            request = receive(requests, _LARGEST_REQUEST)
        except EOFError:
            return 0
        try:
            guest = guest or Guest(sys.argv[1])
            served = {"describe": guest.describe, "build": guest.build, "fit": guest.fit, "restore": guest.restore}
            answer = encode({**served, "call": guest.call, "forget": guest.forget}[request.kind](request))
        except Exception as error:
            kind = (
                "training" if isinstance(error, TrainingError) else "lebench" if isinstance(error, LebenchError) else ""
            )
            text = str(error) if kind else f"{type(error).__name__}: {error}"
            answer = encode(Message("error", {"kind": kind, "text": " ".join(text.split())[:_REASON_LENGTH]}))
        write(answers, answer)


if __name__ == "__main__":
    sys.exit(main())
