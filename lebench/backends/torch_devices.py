"""Devices and precisions of torch: what is chosen, what it can, and how it is set for a computation."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch

from lebench import devices
from lebench.backends.base import Precision
from lebench.devices import Device
from lebench.errors import LebenchError, LebenchWarning

#: What cuBLAS needs for sums in one order; read when a GPU is first used.
_WORKSPACE = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}


def found() -> list[Device]:
    """Return the devices that torch has beside the processor."""
    there = []
    for number in range(torch.cuda.device_count()):
        try:
            driver = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").split("Module")[1].split()[0]
        except (OSError, IndexError):
            driver = "unknown"
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        versions = f"driver {driver}, CUDA {torch.version.cuda}, cuDNN {cudnn}"
        there.append(Device(f"cuda:{number}", torch.cuda.get_device_name(number), versions))
    if torch.backends.mps.is_available():
        there.append(Device("mps", "Apple GPU"))
    return there


def device() -> torch.device:
    """Return the device that is chosen."""
    return torch.device(devices.chosen())


def make_room() -> None:
    """Say that the device is out of memory, so that measurements go on in half the batch; give back what is cached."""
    warnings.warn("out of memory on the device: measured in batches of half the size", LebenchWarning, stacklevel=2)
    torch.cuda.empty_cache()


def measuring(module: torch.nn.Module) -> torch.nn.Module:
    """Return a module in float64 and in evaluation mode, on its device or, if that has no float64, on the processor."""
    where = device()
    return (module.cpu() if where.type == "mps" else module).double().eval()


def use(name: str) -> None:
    """Compute on a device from now on, on a GPU by deterministic algorithms where there are any."""
    os.environ.update(_WORKSPACE)
    torch.use_deterministic_algorithms(True, warn_only=True)
    devices.use(name)


@contextmanager
def computing(precision: Precision, device: torch.device) -> Iterator[None]:
    """Compute products in a precision inside the ``with`` block; on a GPU float32 is float32 there.

    Raises
    ------
    LebenchError
        If the device has no such precision.
    """
    if precision == "tf32" and device.type != "cuda":
        raise LebenchError(f"precision tf32 is for GPUs of NVIDIA, not for {device.type}: choose one by --device cuda")
    matmul, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        if device.type == "cuda":
            torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
            torch.backends.cudnn.allow_tf32 = precision == "tf32"
        with torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext():
            yield
    finally:
        if device.type == "cuda":
            torch.set_float32_matmul_precision(matmul)
            torch.backends.cudnn.allow_tf32 = convolutions
