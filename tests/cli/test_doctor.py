"""``lebench doctor`` and ``--device``, as a user meets them."""

import json

import numpy as np
import pytest

from lebench.cli import doctor
from lebench.devices import Device


@pytest.fixture
def torch_only(monkeypatch):
    """Only torch is looked at, and its computation is replaced."""
    monkeypatch.setattr(doctor, "_missing", lambda: {"jax"})
    monkeypatch.setattr(doctor, "_computed", lambda backend: (np.ones(3), np.ones(3)))


def test_what_is_there_is_shown_and_checked(lebench, torch_only):
    code, out, _ = lebench("doctor", "--json")
    assert code == 0
    found = {finding["what"]: finding for finding in json.loads(out)}
    assert found["torch on cpu"]["right"] is True
    assert found["torch on cpu"]["found"].startswith("the same twice: kernel 0.0e+00")
    assert "GB are free" in found["memory"]["found"]
    assert found["numpy"]["found"] == np.__version__


def test_a_device_that_computes_something_else_is_said(lebench, torch_only, monkeypatch):
    gpus = [Device("cuda:0", "NVIDIA H200", "driver 1"), Device("cuda:1", "NVIDIA H200", "driver 1")]
    monkeypatch.setattr(doctor, "devices_of", lambda backend: gpus)

    def computed(backend):
        if doctor.devices.chosen() == "cuda:1":
            raise RuntimeError("no kernel image\nis available")
        return np.ones(3), np.ones(3) + 0.1 * (doctor.devices.chosen() == "cuda:0")

    monkeypatch.setattr(doctor, "_computed", computed)
    code, out, _ = lebench("doctor", "--json")
    assert code == 1
    said = [finding for finding in json.loads(out) if finding["what"].startswith("torch on cuda")]
    assert said[0]["found"] == "NVIDIA H200, driver 1"
    wrong = [finding["found"] for finding in said if finding["right"] is False]
    assert wrong[0].startswith("not as the processor: kernel 0.0e+00, scores after training 1.0e-01 apart")
    assert wrong[1] == "RuntimeError: no kernel image"


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda:77", "there is no device 'cuda:77' for the torch backend here; it has cpu"),
        ("gpu", "device 'gpu' is none of auto, cpu, cuda, cuda:0, cuda:1, ..., mps"),
    ],
)
def test_a_device_that_is_not_there_is_one_line(lebench, tmp_path, device, message):
    code, _, err = lebench("run", "-m", "mlp", "-t", "digits/accuracy", "--device", device, "-o", tmp_path / "out")
    assert code == 2
    assert err.startswith(f"lebench: {message}")
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()
