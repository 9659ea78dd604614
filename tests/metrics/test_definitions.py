"""Every registered metric is complete, and the package is lazy and consistent."""

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys

import pytest

from lebench import metrics, registry
from lebench.testing import check_metric

REGISTERED = sorted(
    name
    for name in metrics.__all__
    # Helpers such as `collapse` return more than a number and are no metrics.
    if name in registry.metrics
)


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys; from lebench import metrics; "
        "assert not {'numpy', 'scipy', 'sklearn', 'torch', 'jax'} & set(sys.modules); "
        "assert 'nc4' in dir(metrics); metrics.nc4; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="nc5"):
        _ = metrics.nc5


def test_every_name_exists_and_every_metric_is_exported():
    for name in metrics.__all__:
        assert getattr(metrics, name) is not None
    ours = {item.name for item in registry.metrics.items() if item.target.startswith("lebench.metrics.")}
    assert ours <= set(metrics.__all__)
    assert len(ours) >= 40


@pytest.mark.parametrize("name", REGISTERED)
def test_conformance(name):
    assert check_metric(name) == []


@pytest.mark.parametrize("name", REGISTERED)
def test_docstring_says_what_goes_in_or_where_that_is_said(name):
    doc = getattr(metrics, name).__doc__
    for other in re.findall(r"Takes (?:what|weights as) :func:`(?:~lebench\.metrics\.)?(\w+)`", doc):
        assert "Parameters\n" in getattr(metrics, other).__doc__
    assert "Parameters\n" in doc or re.search(r"Takes (what|weights as) :func:`|Takes the kernel ", doc)


def test_what_all_refuse_is_said_once():
    assert "DataError" in metrics.__doc__


def test_no_module_hides_a_function_of_the_same_name():
    assert not {module.name for module in pkgutil.iter_modules(metrics.__path__)} & set(metrics.__all__)


@pytest.mark.parametrize("module", sorted(module.name for module in pkgutil.iter_modules(metrics.__path__)))
def test_examples(module):
    assert doctest.testmod(importlib.import_module(f"lebench.metrics.{module}")).failed == 0
