"""Label-aware kernel machines: between the kernel of a network and the network (Chen, He & Su 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Le

from lebench import metrics, registry
from lebench.architectures import Architecture
from lebench.arrays import FloatArray, IntArray
from lebench.data.base import Split
from lebench.errors import DataError, ParameterError
from lebench.kernels import RidgeRegression, one_hot_targets
from lebench.kernels.hierarchy import (
    HierarchyCorrection,
    hierarchy_weights,
    two_layer_diagonal,
    two_layer_kernel,
)
from lebench.kernels.label_aware import (
    INVERSE_RIDGE,
    LabelAgreement,
    LabelAwareRegression,
    Variant,
    label_aware_regression,
    restricted_regression,
)
from lebench.metrics.arrays import as_labels
from lebench.models.kernel_machine import FittedKernelMachine, Kernel, KernelMachine
from lebench.models.kernel_scores import flat
from lebench.models.spec import build_model, parse_spec
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
    references : tuple of str
        Registered name of the model that `base` is: its version is part of the identity of a record.
    """

    base: KernelMachine
    variant: Variant
    permuted: bool
    backend: str
    backends: tuple[str, ...]
    references: tuple[str, ...] = ()

    capabilities: ClassVar[frozenset[str]] = KernelMachine.capabilities

    @property
    def network(self) -> Architecture | None:
        """The architecture whose kernel it starts from, if it is one's."""
        return self.base.network

    def fit(self, split: Split, seed: int) -> FittedLabelAware:
        """Estimate agreement, choose its weight and the ridge by leave-one-out, and solve for the coefficients."""
        _check_classes(split)
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
        part = chosen.scale * estimate
        found = {
            "label_ratio": metrics.label_ratio(part, gram),
            "label_weight": metrics.label_weight(chosen.scale, np.diagonal(gram)),
        }
        if self.variant.startswith("kr-v2"):
            found["relative_ridge@inverse"] = INVERSE_RIDGE
        return FittedLabelAware(kernel, x, gram + part, targets, chosen, probe, found)


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
        found: Mapping[str, float],
    ) -> None:
        super().__init__(kernel, x, gram, targets, label_aware.regression, probe)
        self.label_aware = label_aware
        self._found = found

    def diagnostics(self) -> dict[str, float]:
        """Return also label ratio and weight, and the ridge with which a V2 variant inverts its kernel."""
        return super().diagnostics() | dict(self._found)


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


def _check_classes(split: Split) -> None:
    """Raise if a class has no training points: nothing can be estimated of whether a point is in it."""
    counts = np.bincount(as_labels("the labels", split.y_train, classes=split.classes), minlength=split.classes)
    if not counts.all():
        missing = int(np.argmin(counts))
        raise DataError(
            f"class {missing} ({split.class_names[missing]}) has no training points: take more of them, or leave the "
            "class out (groups of a variant)"
        )


def _on(base: str, variant: Variant, permuted: bool) -> LabelAwareMachine:
    machine = build_model(base).model
    if not isinstance(machine, KernelMachine):
        raise ParameterError(f"base={base} is no kernel machine; ntk-mlp, nngp-cnn, entk-mlp-trained, rbf, ... are")
    name, _ = parse_spec(base)
    return LabelAwareMachine(machine, variant, permuted, machine.backend, machine.backends, (name,))


@registry.models.register("lantk-hr-mlp", tags=("kernel", "lantk"))
def lantk_hr_mlp(base: str = "ntk-mlp", variant: Variant = "fjlt-v2", permuted: bool = False) -> LabelAwareMachine:
    """Ridge regression with the tangent kernel of mlp plus an estimate of label agreement (LANTK-HR).

    Parameters
    ----------
    base : str
        The kernel machine whose kernel it starts from, with its parameters: ``ntk-mlp[depth=3]``, ``rbf``.
    variant : str
        How label agreement is estimated. Only ``fjlt-v2`` and ``fjlt-v4-6`` look at directions in the inputs, so that
        their estimate can follow one labelling of the points rather than another.
    permuted : bool
        Whether the labels inside the estimate are permuted, a control.
    """
    return _on(base, variant, permuted)


@registry.models.register("lantk-hr-cnn", tags=("kernel", "lantk"))
def lantk_hr_cnn(base: str = "ntk-cnn", variant: Variant = "fjlt-v2", permuted: bool = False) -> LabelAwareMachine:
    """Ridge regression with the tangent kernel of cnn plus an estimate of label agreement (LANTK-HR).

    Parameters
    ----------
    base : str
        The kernel machine whose kernel it starts from, with its parameters: ``ntk-cnn[bias_variance=0]``, ``rbf``.
    variant : str
        How label agreement is estimated. Only ``fjlt-v2`` and ``fjlt-v4-6`` look at directions in the inputs, so that
        their estimate can follow one labelling of the points rather than another.
    permuted : bool
        Whether the labels inside the estimate are permuted, a control.
    """
    return _on(base, variant, permuted)


@registry.models.register("lantk-nth-mlp", tags=("kernel", "lantk"))
@dataclass(frozen=True)
class HierarchyMachine:
    """Ridge regression with the label-aware kernel of the neural tangent hierarchy of two layers (LANTK-NTH).

    The network has ReLU units and no biases; the inputs get a constant 1 appended. With more than two classes the
    kernels of one network a class against the rest are averaged. The fourth-order kernel is the almost-everywhere
    derivative, as published, which leaves out units that switch while their weights move (see
    :mod:`lebench.kernels.hierarchy`).

    Parameters
    ----------
    width : int
        Hidden units m: the label-aware part is proportional to 1/m. The paper has 40,960, ``mlp`` has 512.
        A huge one leaves the kernel without labels: what this model is to be compared with.
    ridge : float
        Added to the kernel that the hierarchy divides by, relative to its mean diagonal; 0 is the published form.
    draws : int
        Monte Carlo draws for the fourth-order kernel.
    permuted : bool
        Whether the labels are permuted inside the kernel, a control. The targets of the regression stay.
    """

    width: Annotated[int, Ge(1)] = 512
    ridge: Annotated[float, Ge(0)] = 0.0
    draws: Annotated[int, Ge(32), Le(1_000_000)] = 1024
    permuted: bool = False

    capabilities: ClassVar[frozenset[str]] = KernelMachine.capabilities

    def fit(self, split: Split, seed: int) -> FittedHierarchy:
        """Weigh the fourth-order kernel by the labels, choose the ridge by leave-one-out, and solve."""
        _check_classes(split)
        targets = one_hot_targets(split.y_train, split.classes)
        x = _with_one(split.x_train)
        rng, order = generator(seed, "init").spawn(2)
        labels = order.permutation(split.y_train) if self.permuted else split.y_train
        signs = 2.0 * np.eye(split.classes)[labels] - 1.0
        base = two_layer_kernel(x)
        weights = hierarchy_weights(base, signs, self.ridge)
        correction = HierarchyCorrection(x, weights, self.width, self.draws, int(rng.integers(2**63)))
        added, error = correction.gram(x, x)
        gram = base + (added + added.T) / 2
        regression, smallest = restricted_regression(gram, targets)
        if regression is None:
            raise DataError(
                f"the label-aware kernel has eigenvalues down to {smallest:.3g}, below what the largest ridge admits: "
                "raise the width, or give the hierarchy a ridge"
            )
        probe = np.sort(generator(seed, "probe").permutation(len(targets))[:_PROBES])
        found = Hierarchy(
            smallest, metrics.label_ratio(added, base), metrics.kernel_standard_error(error, base), self.ridge
        )
        return FittedHierarchy(_HierarchyKernel(correction), split.x_train, gram, targets, regression, probe, found)


@dataclass(frozen=True)
class Hierarchy:
    """What the label-aware part of a kernel amounts to on the training points.

    Attributes
    ----------
    smallest_eigenvalue : float
        Of the whole kernel. Negative: it is indefinite.
    label_ratio : float
        mean|label-aware part| / mean|H|.
    standard_error : float
        Mean standard error of the label-aware part by Monte Carlo, in the same units.
    ridge : float
        Added to the kernel that the hierarchy divides by, relative to its mean diagonal.
    """

    smallest_eigenvalue: float
    label_ratio: float
    standard_error: float
    ridge: float


class FittedHierarchy(FittedKernelMachine):
    """A machine with the kernel of the hierarchy after its training.

    Attributes
    ----------
    hierarchy : Hierarchy
        Size and standard error of the label-aware part, and the smallest eigenvalue.
    """

    def __init__(
        self,
        kernel: Kernel,
        x: FloatArray,
        gram: FloatArray,
        targets: FloatArray,
        regression: RidgeRegression,
        probe: IntArray,
        hierarchy: Hierarchy,
    ) -> None:
        super().__init__(kernel, x, gram, targets, regression, probe)
        self.hierarchy = hierarchy

    def diagnostics(self) -> dict[str, float]:
        """Return also size and standard error of the label-aware part, and the ridge that the hierarchy divides by."""
        return super().diagnostics() | {
            "label_ratio": self.hierarchy.label_ratio,
            "kernel_standard_error": self.hierarchy.standard_error,
            "relative_ridge@inverse": self.hierarchy.ridge,
        }


@dataclass(frozen=True)
class _HierarchyKernel:
    correction: HierarchyCorrection

    def gram(self, x1: FloatArray, x2: FloatArray) -> FloatArray:
        a, b = _with_one(x1), _with_one(x2)
        same = a.shape == b.shape and np.array_equal(a, b)
        added = self.correction.gram(a, b)[0]
        return two_layer_kernel(a, None if same else b) + ((added + added.T) / 2 if same else added)

    def diagonal(self, x: FloatArray) -> FloatArray:
        a = _with_one(x)
        return two_layer_diagonal(a) + self.correction.diagonal(a)[0]


def _with_one(x: FloatArray) -> FloatArray:
    rows = flat(x)
    return np.column_stack([rows, np.ones(len(rows))])
