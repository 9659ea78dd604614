"""Label-aware kernel machines: between the kernel of a network and the network (Chen, He & Su 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lebench import registry
from lebench.architectures import Architecture
from lebench.arrays import FloatArray, IntArray
from lebench.data.base import Split
from lebench.errors import ParameterError
from lebench.kernels import one_hot_targets
from lebench.kernels.label_aware import (
    LabelAgreement,
    LabelAwareRegression,
    Variant,
    label_aware_regression,
)
from lebench.models.kernel_machine import FittedKernelMachine, Kernel, KernelMachine, flat
from lebench.models.spec import build_model
from lebench.seeds import generator

#: As for the course of every kernel machine.
_PROBES = 50


@dataclass(frozen=True)
class LabelAwareMachine:
    """Ridge regression with a kernel and a cross-fitted estimate of label agreement, LANTK-HR.

    Attributes
    ----------
    base : KernelMachine
        Whose kernel it starts from.
    variant : str
        How agreement is estimated, see :class:`lebench.kernels.label_aware.LabelAgreement`.
    permuted : bool
        Whether the labels are permuted before agreement is estimated from them: a control, which must gain nothing. The
        targets of the regression stay.
    backend : str
        What computes the kernel.
    backends : tuple of str
        What can.
    """

    base: KernelMachine
    variant: Variant
    permuted: bool
    backend: str
    backends: tuple[str, ...]

    capabilities: ClassVar[frozenset[str]] = KernelMachine.capabilities

    @property
    def network(self) -> Architecture | None:
        """The architecture whose kernel it starts from, if it is one's."""
        return self.base.network

    def fit(self, split: Split, seed: int) -> FittedLabelAware:
        """Estimate agreement, choose its weight and the ridge by leave-one-out, and solve for the coefficients."""
        base = self.base.family.kernel(split, seed, self.backend)
        x, labels = split.x_train, split.y_train
        targets = one_hot_targets(labels, split.classes)
        gram = np.ascontiguousarray(base.gram(x, x), dtype=np.float64)
        rng = generator(seed, "init")
        folds, order = rng.spawn(2)
        seen: IntArray = order.permutation(labels) if self.permuted else labels
        agreement = LabelAgreement(gram, flat(x), seen, self.variant, folds)
        estimate = agreement(gram, flat(x), flat(x))
        estimate = (estimate + estimate.T) / 2
        chosen = label_aware_regression(gram, estimate, targets)
        probe = np.sort(generator(seed, "probe").permutation(len(targets))[:_PROBES])
        kernel = _LabelAwareKernel(base, agreement, chosen.scale)
        return FittedLabelAware(kernel, x, gram + chosen.scale * estimate, targets, chosen, probe)


class FittedLabelAware(FittedKernelMachine):
    """A label-aware kernel machine after its training.

    Attributes
    ----------
    label_aware : LabelAwareRegression
        The chosen label ratio, the smallest eigenvalue of the kernel, and what was found on the way.
    """

    def __init__(
        self,
        kernel: Kernel,
        x: FloatArray,
        gram: FloatArray,
        targets: FloatArray,
        label_aware: LabelAwareRegression,
        probe: IntArray,
    ) -> None:
        super().__init__(kernel, x, gram, targets, label_aware.regression, probe)
        self.label_aware = label_aware


@dataclass(frozen=True)
class _LabelAwareKernel:
    base: Kernel
    agreement: LabelAgreement
    scale: float

    def gram(self, x1: FloatArray, x2: FloatArray) -> FloatArray:
        same = x1 is x2 or (x1.shape == x2.shape and np.array_equal(x1, x2))
        base = np.ascontiguousarray(self.base.gram(x1, x2), dtype=np.float64)
        estimate = self.agreement(base, flat(x1), flat(x2))
        result: FloatArray = base + self.scale * ((estimate + estimate.T) / 2 if same else estimate)
        return result

    def diagonal(self, x: FloatArray) -> FloatArray:
        # In small blocks: only the diagonals of the blocks are wanted.
        blocks = (x[start : start + 16] for start in range(0, len(x), 16))
        return np.concatenate([np.diagonal(self.gram(block, block)) for block in blocks])


def _on(base: str, variant: Variant, permuted: bool) -> LabelAwareMachine:
    # Imported here, so that the code of every kernel it may start from is part of the model's fingerprint.
    from lebench.models import kernel_machine, tangent_kernels  # noqa: F401

    machine = build_model(base).model
    if not isinstance(machine, KernelMachine):
        raise ParameterError(f"base={base} is no kernel machine; ntk-mlp, nngp-cnn, entk-mlp-trained, rbf, ... are")
    return LabelAwareMachine(machine, variant, permuted, machine.backend, machine.backends)


@registry.models.register("lantk-hr-mlp", tags=("kernel", "lantk"))
def lantk_hr_mlp(base: str = "ntk-mlp", variant: Variant = "fjlt-v1", permuted: bool = False) -> LabelAwareMachine:
    """Ridge regression with the tangent kernel of mlp plus an estimate of label agreement (LANTK-HR).

    Parameters
    ----------
    base : str
        The kernel machine whose kernel it starts from, with its parameters: ``ntk-mlp[depth=3]``, ``rbf``.
    variant : str
        How label agreement is estimated.
    permuted : bool
        Whether the labels inside the estimate are permuted, a control.
    """
    return _on(base, variant, permuted)


@registry.models.register("lantk-hr-cnn", tags=("kernel", "lantk"))
def lantk_hr_cnn(base: str = "ntk-cnn", variant: Variant = "fjlt-v1", permuted: bool = False) -> LabelAwareMachine:
    """Ridge regression with the tangent kernel of cnn plus an estimate of label agreement (LANTK-HR).

    Parameters
    ----------
    base : str
        The kernel machine whose kernel it starts from, with its parameters: ``ntk-cnn[bias_variance=0]``, ``rbf``.
    variant : str
        How label agreement is estimated.
    permuted : bool
        Whether the labels inside the estimate are permuted, a control.
    """
    return _on(base, variant, permuted)
