"""What a model may change of its process is as it was before."""

import locale
import os
import random
import resource
import signal
import subprocess
import sys
import warnings

import jax
import numpy as np
import pytest
import torch

from lebench.runner.isolation import busy, restored
from lebench.seeds import seeded


def meddle(folder):
    os.chdir(folder)
    os.environ["LEBENCH_DATA"] = "elsewhere"
    os.environ.pop("PATH")
    os.umask(0o077)
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    signal.setitimer(signal.ITIMER_REAL, 1000)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
    np.seterr(all="raise")
    np.seterrcall(print)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.set_grad_enabled(False)
    torch.set_default_device("meta")
    jax.config.update("jax_enable_x64", not jax.config.values["jax_enable_x64"])
    warnings.simplefilter("ignore")
    sys.setrecursionlimit(5000)
    sys.path.insert(0, str(folder))
    sys.stdout = None
    locale.setlocale(locale.LC_ALL, "C")


def state():
    mask = os.umask(0o022)
    os.umask(mask)
    return (
        os.getcwd(),
        dict(os.environ),
        mask,
        signal.getsignal(signal.SIGUSR1),
        signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        signal.getitimer(signal.ITIMER_REAL),
        resource.getrlimit(resource.RLIMIT_NOFILE),
        np.geterr(),
        np.geterrcall(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.get_default_device(),
        jax.config.values["jax_enable_x64"],
        list(warnings.filters),
        sys.getrecursionlimit(),
        list(sys.path),
        sys.stdout,
        locale.setlocale(locale.LC_ALL),
    )


def test_state_of_the_process_is_taken_back(tmp_path):
    mask = os.umask(0o022)
    try:
        before = state()
        with restored():
            meddle(tmp_path)
            changed = state()
        assert state() == before
        same = [a == b for a, b in zip(before, changed, strict=True)]
        # The locale may have been this one.
        assert not any(same[:-1])
    finally:
        os.umask(mask)


def test_exception_passes_and_the_state_is_taken_back(tmp_path):
    @restored()
    def leave():
        os.chdir(tmp_path)
        raise SystemExit

    before = os.getcwd()
    with pytest.raises(SystemExit):
        leave()
    assert os.getcwd() == before


def test_torch_that_is_imported_meanwhile_gets_its_usual_state():
    code = (
        "from lebench.runner.isolation import restored\n"
        "with restored():\n"
        "    import torch; torch.set_default_dtype(torch.float64); torch.set_num_threads(2)\n"
        "print(torch.get_default_dtype(), torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["torch.float32", "1"]


def test_busy_counts_children():
    before = busy()
    child = subprocess.Popen(["sleep", "60"])
    assert busy() == before + 1
    child.kill()
    child.wait()


def draws():
    return (
        random.random(),
        np.random.rand(),  # noqa: NPY002
        float(torch.rand(())),
        float(torch.nn.functional.dropout(torch.ones(50)).sum()),
    )


def test_global_generators_draw_from_a_stream_of_the_seed_and_are_left_alone():
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    undisturbed = draws()
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    with seeded(0, "fit"):
        first = draws()
    assert draws() == undisturbed
    with seeded(0, "fit"):
        assert draws() == first
    found = {first}
    for seed, axis in ((0, "score"), (1, "fit")):
        with seeded(seed, axis):
            found.add(draws())
    assert len(found) == 3
