"""The agreement page: of what was measured, of something that is out, and without a package."""

import re

import pytest

from lebench.agree import measured
from lebench.site import agreement


@pytest.fixture
def shown():
    """A copy of the measurement, to be changed."""
    found = measured()
    return {"versions": found["versions"], "checks": [dict(check) for check in found["checks"]]}


def change(shown, which, **values):
    for check in shown["checks"]:
        if which.items() <= check.items():
            check.update(values)


def rows(text, quantity):
    body = re.search(rf'<tbody id="[a-z-]*-{quantity}">(.*?)</tbody>', text, re.DOTALL).group(1)
    found = re.findall(r"<tr>\n<th scope=\"row\">(.*?)<span.*?</th>(.*?)</tr>", body, re.DOTALL)
    return {
        name: [re.sub("<[^>]+>", " ", cell).strip() for cell in re.findall(r"<td.*?</td>", cells)]
        for name, cells in found
    }


def test_every_check_is_a_cell(shown):
    text = agreement.page(shown)
    assert f"<strong>{len(shown['checks'])} checks, all within tolerance</strong>" in text
    assert f"torch {shown['versions']['torch']}" in text
    assert re.findall("^## (.*)", text, re.MULTILINE) == [
        "Kernels of infinite width",
        "Nearly collinear inputs",
        "Trained networks",
    ]
    ids = re.findall(r'<tbody id="(.*?)">', text)
    asked = {(check["reference"], check["quantity"]) for check in shown["checks"]}
    assert len(set(ids)) == len(ids) == len(asked)
    body = re.sub("<thead>.*?</thead>", "", text, flags=re.DOTALL)
    cells = sum("colspan" not in cell and ">–<" not in cell for cell in re.findall(r"<td.*?</td>", body, re.DOTALL))
    tolerances = {
        tuple(check[name] for name in ("reference", "quantity", "network", "dtype")) for check in shown["checks"]
    }
    assert cells == len(shown["checks"]) + len(tolerances)
    assert "le-out" not in text


def test_a_row_has_deviations_and_the_tolerance_of_each_dtype(shown):
    change(shown, {"quantity": "ntk", "network": "cnn"}, deviation=2e-15)
    row = rows(agreement.page(shown), "ntk")["cnn"]
    assert row == [*["2×10⁻¹⁵"] * 5, "7×10⁻¹⁵", *["2×10⁻¹⁵"] * 5, "4×10⁻⁶"]


def test_what_is_out_or_has_no_value_is_said_in_words(shown):
    change(shown, {"quantity": "ntk", "network": "cnn", "implementation": "JAX"}, deviation=0.5, state="out")
    change(shown, {"quantity": "features"}, deviation=None, state="out", reason="ValueError: a <b> & c")
    text = agreement.page(shown)
    assert f"{len(shown['checks'])} checks, 5 out of tolerance" in text
    assert rows(text, "ntk")["cnn"][3] == "0.5 out"
    assert rows(text, "features")["small-mlp"][0] == "no value out ValueError: a &lt;b&gt; &amp; c"


def test_what_is_not_installed_is_named_and_not_out(shown):
    change(shown, {"implementation": "neural-tangents"}, deviation=None, state="missing", reason="not installed")
    text = agreement.page(shown)
    assert "Not installed where this was measured: neural-tangents." in text
    assert "all within tolerance" in text
    assert rows(text, "ntk")["cnn"][4] == "not installed"
