"""What a model is: anything that can be fitted to a split."""

from __future__ import annotations

from typing import Protocol

from lebench.data.base import Split


class Model(Protocol):
    """Anything that can be fitted to a split: a frozen dataclass whose fields are its parameters.

    ``repr(model)`` identifies the configuration: two models with the same repr are the same model.
    A network has in addition a field ``backend``, which the runner sets. A model with a method
    ``check_dataset(dataset)`` is asked before a run whether it can take the data, and raises a ``LebenchError`` if not.
    """

    #: Capabilities that what :meth:`fit` returns will offer; known before fitting, so that a task whose needs
    #: cannot be met is skipped at once.
    @property
    def capabilities(self) -> frozenset[str]:
        """Names of capabilities, keys of :data:`lebench.capabilities.CAPABILITIES`."""
        ...

    def fit(self, split: Split, seed: int) -> object:
        """Return the fitted model. Deterministic for a split and a seed on one machine.

        The split holds the test labels too; what is returned must not depend on them, or the score is a leak.
        :func:`lebench.testing.check_model` looks for it.
        """
        ...
