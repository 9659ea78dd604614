"""Devices and precisions of torch: what is chosen, what it can, and how it is set for a computation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from lebench.backends.base import Precision
from lebench.errors import LebenchError


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
