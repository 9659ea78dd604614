"""The live display of a run."""

import io

from rich.console import Console

from lebench.cli.progress import display
from lebench.runner.events import FitProgress, JobStarted
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
