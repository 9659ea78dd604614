"""A small catalogue of tasks, metrics and models, and records of them, for tests of what reads results."""

import importlib
import importlib.util
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

import lebench.api
from lebench import registry
from lebench.metrics.base import Metric
from lebench.records import Cell, Cost, Environment, Record, RunInfo, Source
from lebench.registry import Registry
from lebench.tasks.base import Task, metric_of
from lebench.tasks.facts import SHARES, Share

# Several test processes on few cores: threads that wait for each other would cost more than they save.
# How long an example takes says something of the machine only.
settings.register_profile("lebench", deadline=None)
settings.load_profile("lebench")
os.environ.setdefault("OMP_NUM_THREADS", "1")

MACHINE = Environment(
    lebench="0.1.0",
    python="3.11.7",
    packages={"numpy": "2.4.6", "torch": "2.13.0"},
    os="Linux",
    cpu="two cores",
    gpu=None,
    threads=1,
)


def _metric(name, symbol, equation, direction, bounds, summary):
    return Metric(name, symbol, equation, "a test", direction, bounds, "1", (), (), lambda: 0.0, summary)


def _task(name, track, primary, values, version=1):
    return Task(
        name=name,
        track=track,
        summary=f"What is the {primary} on {name}",
        reference="A. Author (2026), equation 1",
        version=version,
        dataset="digits",
        needs=("predict",),
        primary=primary,
        metrics=values,
        score=lambda fits: {},
        # Of values that a test makes up nothing is known.
        facts=(Share(lambda split: 0, tuple(v for v in values if metric_of(v) in SHARES)),),
        suite="explore" if name == "toy/small" else "core",
    )


@pytest.fixture(scope="session")
def everything_imported():
    """Every module that registers something: one imported first while a registry is replaced would be lost to it."""
    for known in registry.REGISTRIES.values():
        for item in known.items():
            if item.source == "lebench" and not item.target.startswith("lebench.backends."):
                importlib.import_module(item.target.split(":")[0])


@pytest.fixture(scope="session")
def script():
    """A function that returns a script of benchmarks/ as a module, so that what it measures is what a test checks."""

    def load(name):
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "benchmarks" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def plugins_forgotten():
    """Forget the plug-ins that a test loads: what they registered does not outlive it, and another may load them."""

    def plugins():
        return {name for name in sys.modules if name.startswith("lebench_plugin_")}

    before = plugins()
    yield
    for name in plugins() - before:
        registry._forget(name)
        del sys.modules[name]


@pytest.fixture
def own_registries(monkeypatch, everything_imported, plugins_forgotten):
    """Copies of the registries, so that what a test registers stays in it."""
    for kind in ("models", "metrics", "tasks", "datasets", "backends"):
        known = getattr(registry, kind)
        copy = Registry(known.kind, index={})
        copy._items, copy._objects = dict(known._items), dict(known._objects)
        monkeypatch.setattr(registry, kind, copy)
        # It is the registry's own method, bound when the module was imported.
        if hasattr(lebench.api, decorator := f"register_{known.kind}"):
            monkeypatch.setattr(lebench.api, decorator, copy.register)


@pytest.fixture
def catalogue(monkeypatch, everything_imported):
    """Registries that hold four tasks, three metrics and four models, one of them a control."""
    metrics = Registry("metric", index={})
    for metric in (
        _metric("accuracy", r"\mathrm{acc}", r"\frac{1}{n}\sum_i [\hat y_i = y_i]", "higher", (0, 1), "Share correct"),
        _metric("spread", r"\sigma", r"\sigma \ge 0", "lower", (0, float("inf")), "Within-class spread"),
        _metric("norm", r"\|w\|", r"\|w\|_2", "none", (0, float("inf")), "Norm of the weights"),
    ):
        metrics.register(metric.name, metric)
    tasks = Registry("task", index={})
    for task in (
        _task("toy/accuracy", "generalization", "accuracy", ("accuracy", "norm")),
        _task("toy/small", "generalization", "accuracy@n=100", ("accuracy@n=50", "accuracy@n=100"), version=2),
        _task("toy/collapse", "collapse", "spread", ("spread", "spread@test")),
        _task("toy/other", "generalization", "accuracy", ("accuracy", "norm")),
    ):
        tasks.register(task.name, task, tags=(task.track,))
    models = Registry("model", index={})
    for name in ("mlp", "linear", "cnn"):
        models.register(name, object(), summary=name)
    models.register("constant", object(), summary="The most frequent class", tags=("control",))
    for kind, value in (("metrics", metrics), ("tasks", tasks), ("models", models)):
        monkeypatch.setattr(registry, kind, value)
    return registry


@pytest.fixture
def make_record(catalogue):
    """A function that makes a sealed record of the catalogue's tasks."""

    def make(task="toy/accuracy", label="mlp", seed=0, metrics=None, **changes):
        known = catalogue.tasks.get(task)
        status = changes.pop("status", "ok")
        cell = Cell(
            task=task,
            task_version=changes.pop("task_version", known.version),
            dataset="digits",
            dataset_version=1,
            dataset_sha256="d" * 64,
            model=label.split("[")[0],
            model_version=changes.pop("model_version", 1),
            params={"width": 64, "label": label},
            plugin=changes.pop("plugin", ""),
            backend=changes.pop("backend", "torch"),
            backend_version=1,
            precision="float32",
            seed=seed,
        )
        content = {
            "schema": 2,
            "cell": cell,
            "track": known.track,
            "label": label,
            "status": status,
            "metrics": metrics or {},
            "cost": Cost(fit_s=2.0, score_s=0.1, cpu_s=2.2, peak_memory_bytes=300_000_000, fits=1)
            if status == "ok"
            else None,
            "environment": MACHINE,
            "source": Source(commit="0" * 40, dirty=False),
            "run": RunInfo(
                started="2026-01-01T00:00:00Z", finished="2026-01-01T00:00:03Z", command=f"lebench run --model {label}"
            ),
        }
        return Record(**(content | changes)).sealed()

    return make
