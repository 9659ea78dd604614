"""The live display of a run."""

import io

from rich.console import Console

from lebench.cli.progress import display
from lebench.runner.events import FitProgress, FitStarted, JobStarted
from lebench.runner.plan import Job


def shown(values):
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    job = Job("ntk-mlp", "numpy", "digits", 0, ())
    with display(console) as show:
        show(JobStarted(job))
        show(FitProgress(job, values))
    return console.file.getvalue()


def test_a_kernel_shows_its_blocks():
    assert "kernel, block 3/10" in shown({"block": 3, "blocks": 10})


def test_a_network_shows_its_epochs_and_its_loss():
    assert "epoch 3/10  loss 0.25" in shown({"epoch": 3, "epochs": 10, "loss": 0.25})


def test_without_a_terminal_a_long_fit_says_now_and_then_how_far_it_is(monkeypatch):
    clock = iter([0.0, 10.0, 70.0, 80.0, 140.0])
    monkeypatch.setattr("lebench.cli.progress.time.monotonic", lambda: next(clock))
    console = Console(file=io.StringIO(), force_terminal=False, width=120)
    job = Job("resnet18", "torch", "digits", 3, ())
    with display(console) as show:
        show(FitStarted(job, None, "default"))
        # One that goes on at epoch 5: an epoch takes 30 s.
        for epoch in (5.0, 7.0, 7.3, 9.3):
            show(FitProgress(job, {"epoch": epoch, "epochs": 10, "loss": 0.25}))
        show(FitProgress(Job("knn", "numpy", "digits", 3, ()), {"block": 1, "blocks": 2}))
    assert console.file.getvalue().splitlines() == [
        "resnet18 seed 3: epoch 7 of 10, loss 0.25, about 90 s left",
        "resnet18 seed 3: epoch 9.3 of 10, loss 0.25, about 21 s left",
    ]
