"""The examples in the docstrings of the dynamics run."""

import doctest
import importlib
import pkgutil

import pytest

from lebench import dynamics


@pytest.mark.parametrize("module", sorted(module.name for module in pkgutil.iter_modules(dynamics.__path__)))
def test_examples(module):
    assert doctest.testmod(importlib.import_module(f"lebench.dynamics.{module}")).failed == 0


def test_every_name_is_loaded_when_it_is_used():
    for name in dynamics.__all__:
        assert getattr(dynamics, name).__module__.startswith("lebench.dynamics.")
    with pytest.raises(AttributeError, match="no attribute 'le_pde'"):
        _ = dynamics.le_pde
