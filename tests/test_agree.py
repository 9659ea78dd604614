"""The implementations agree within their tolerances, and what the comparison says when one does not."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from lebench import agree as agreement
from lebench.agree import agree, checks, ill_conditioned, infinite_width, measured, names, networks
from lebench.agree.checks import Check, rounding
from lebench.cli.app import app
from lebench.errors import UnknownNameError

QUICK = ["mlp-erf", "small-mlp"]


def make(found, expected=(1.0, -4.0), needs=(), dtype="float64"):
    return Check(
        "kernel",
        "net",
        "mine",
        dtype,
        "theirs",
        rounding(dtype),
        needs,
        lambda: np.array(found),
        lambda: np.array(expected),
    )


def identity(check):
    return check["quantity"], check["network"], check["implementation"], check["dtype"]


@pytest.mark.parametrize("network", [*QUICK, pytest.param("*", marks=pytest.mark.slow)])
def test_every_implementation_is_within_its_tolerance(network):
    results = agree([network])
    assert [result for result in results if result["state"] != "ok"] == []
    json.dumps(results, allow_nan=False)
    # Of a computation in single precision, so the dtype was not ignored.
    single = [r for r in results if r["dtype"] == "float32" and r["quantity"] in ("nngp", "ntk", "empirical-ntk")]
    assert single
    assert all(result["deviation"] > 1e-10 for result in single)


@pytest.mark.parametrize("implementation", ["NumPy", "NumPy compiled", "torch"])
def test_all_architectures_by_what_need_not_be_compiled_by_jax(implementation):
    results = agree([implementation])
    assert {result["network"] for result in results} == {*infinite_width.NETWORKS, *ill_conditioned.descriptions()}
    assert [result for result in results if result["state"] != "ok"] == []


def test_what_the_site_shows_is_a_measurement_of_all_checks_of_today():
    shown = measured()
    today = [*infinite_width.checks(), *ill_conditioned.checks(), *networks.checks()]
    assert [identity(check) for check in shown["checks"]] == [identity(vars(check)) for check in today]
    assert [check["tolerance"] for check in shown["checks"]] == [check.tolerance for check in today]
    assert {check["state"] for check in shown["checks"]} == {"ok"}
    assert all(check["deviation"] <= check["tolerance"] for check in shown["checks"])
    assert {"lebench", "NumPy", "torch", "JAX", "neural-tangents"} <= set(shown["versions"])


def test_the_tolerance_comes_from_the_dtype():
    by_kind = {(c.quantity, c.dtype): c.tolerance for c in infinite_width.checks()}
    for dtype in ("float64", "float32"):
        eps = np.finfo(dtype).eps
        assert by_kind["ntk", dtype] == by_kind["nngp", dtype] == 32 * eps
        assert by_kind["ntk-diagonal", dtype] == math.sqrt(eps)


def test_the_recursion_is_what_is_compared_not_the_compiled_loops(monkeypatch):
    expected = agree(["NumPy"])
    monkeypatch.setattr(infinite_width, "infinite_width_kernel", None)
    infinite_width._numpy.cache_clear()
    assert agree(["NumPy"]) == expected


def test_a_slightly_different_kernel_is_out(monkeypatch):
    inputs, network = infinite_width.ARCHITECTURES["mlp-erf"]
    changed = replace(network, bias_variance=network.bias_variance * (1 + 1e-12))
    infinite_width._numpy.cache_clear()
    monkeypatch.setitem(infinite_width.ARCHITECTURES, "mlp-erf", (inputs, changed))
    results = agree(["NumPy"])
    infinite_width._numpy.cache_clear()
    out = [identity(result) for result in results if result["state"] == "out"]
    assert out == [(kind, "mlp-erf", "NumPy", "float64") for kind in ("nngp", "ntk")]


def test_a_deviation_is_relative_to_the_largest_value():
    off = make([1.0 + 4e-13, -4.0]).result()
    assert off["state"] == "out"
    assert off["deviation"] == pytest.approx(1e-13, rel=1e-2)
    assert make([1.0 + 4e-13, -4.0], dtype="float32").result()["state"] == "ok"
    assert make([1.0, -4.0]).result()["deviation"] == 0


@pytest.mark.parametrize(
    ("found", "reason"),
    [([1.0, np.nan], "1 of 2 values are not finite"), ([1.0], "ValueError: shape (1,) instead of (2,)")],
)
def test_what_gives_no_comparable_values_is_out_with_the_reason(found, reason):
    result = make(found).result()
    assert (result["state"], result["deviation"]) == ("out", None)
    assert reason in result["reason"]


def test_what_is_not_installed_is_missing_and_not_out():
    result = make([1.0, -4.0], needs=("numpy", "no_such_package")).result()
    assert (result["state"], result["reason"]) == ("missing", "no_such_package not installed")


def test_without_jax_the_rest_is_compared(monkeypatch):
    monkeypatch.setattr(checks, "installed", lambda package: package in ("numba", "torch"))
    done = CliRunner().invoke(app, ["agree", "mlp-erf", "small-mlp"])
    assert done.exit_code == 0, done.output
    assert "left out: neural-tangents: jax and neural_tangents and frozendict not installed" in done.output
    assert "18 checks, 0 out of tolerance, 21 left out" in done.output


def test_names_are_quantities_networks_and_implementations():
    assert {"ntk", "small-mlp", "neural-tangents"} <= set(names())
    chosen = agree(["NumPy*"])
    assert {result["implementation"] for result in chosen} == {"NumPy", "NumPy compiled"}
    with pytest.raises(UnknownNameError, match="nothing to compare is called 'small-mpl'; did you mean 'small-mlp'"):
        agree(["small-mpl"])
    with pytest.raises(UnknownNameError, match="there are nngp, ntk"):
        agree(["?"])


def test_the_table_and_the_exit_code(monkeypatch):
    wrong = [make([1.0, -4.0]), make([1.0, -4.1]), make([1.0, math.inf])]
    monkeypatch.setattr(agreement, "_checks", lambda: wrong[:1])
    assert CliRunner().invoke(app, ["agree"]).exit_code == 0
    monkeypatch.setattr(agreement, "_checks", lambda: wrong)
    done = CliRunner().invoke(app, ["agree"])
    assert done.exit_code == 1
    assert "out of tolerance: kernel of net, mine float64: deviation 2.5e-02, tolerance 7.1e-15" in done.output
    assert "out of tolerance: kernel of net, mine float64: ValueError: 1 of 2 values are not finite" in done.output
    assert "3 checks, 2 out of tolerance" in done.output
    as_json = CliRunner().invoke(app, ["agree", "--json"])
    assert as_json.exit_code == 1
    assert [check["state"] for check in json.loads(as_json.output)["checks"]] == ["ok", "out", "out"]
