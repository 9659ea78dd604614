"""Specifications from the command line: what is read, converted, refused, and how it is said."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import pytest
from annotated_types import Ge, Lt
from pydantic import Field

from lebench import registry
from lebench.errors import LebenchError, MissingDependencyError, ParameterError, UnknownNameError, install_hint
from lebench.models import spec as spec_module
from lebench.models.spec import build_model, expand, parameters, parse_spec
from lebench.registry import Registry


@dataclass(frozen=True)
class Plain:
    """Needs no framework."""

    width: Annotated[int, Ge(1)] = 64
    rate: Annotated[float, Field(gt=0)] = 0.1
    shape: tuple[int, ...] = (8, 8)
    kind: Literal["sgd", "adam"] = "sgd"
    limit: int | None = 5
    bias: bool = True
    note: str = "x"
    sizes: tuple[int, ...] = field(default_factory=lambda: (3,))
    capabilities: ClassVar[frozenset[str]] = frozenset()


@dataclass(frozen=True)
class Net:
    """Runs on torch."""

    width: int
    backend: str = "torch"
    backends: ClassVar[tuple[str, ...]] = ("torch", "jax")
    precision: ClassVar[str] = "float32"


def net(width: Annotated[int, Ge(1), Lt(100)] = 7, twice=1):
    """A factory function with a parameter that has no annotation."""
    if width == 13:
        raise ValueError("thirteen brings bad luck")
    return Net(width * twice)


@pytest.fixture(autouse=True)
def models(monkeypatch):
    models = Registry("model", index={})
    models.register("plain", Plain, tags=("classical",))
    models.register("net", net, tags=("network",))
    models.register("raw", Net)
    monkeypatch.setattr(registry, "models", models)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mlp", ("mlp", {})),
        ("mlp[]", ("mlp", {})),
        (" mlp [ width = 4 , depth=2 ] ", ("mlp", {"width": "4", "depth": "2"})),
        ("cnn[shape=(3,3),k=[1,2]]", ("cnn", {"shape": "(3,3)", "k": "[1,2]"})),
        ("a/b-c[path=x=y]", ("a/b-c", {"path": "x=y"})),
    ],
)
def test_parse(text, expected):
    assert parse_spec(text) == expected


@pytest.mark.parametrize("text", ["", "[a=1]", "mlp[a=1", "mlp]", "mlp[a=1]b"])
def test_parse_refuses_another_form(text):
    with pytest.raises(ParameterError, match="is not of the form"):
        parse_spec(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mlp[width]", "model 'mlp[width]': 'width' is not of the form parameter=value"),
        ("mlp[width=]", "model 'mlp[width=]': 'width=' is not of the form parameter=value"),
        ("mlp[a=1,a=2]", "model 'mlp[a=1,a=2]': parameter 'a' is given twice"),
    ],
)
def test_parse_names_the_faulty_parameter(text, message):
    with pytest.raises(ParameterError) as error:
        parse_spec(text)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("width=12", "width", 12),
        ("width=1e3", "width", 1000),
        ("rate=1", "rate", 1.0),
        ("shape=(3,4)", "shape", (3, 4)),
        ("shape=[3]", "shape", (3,)),
        ("kind=adam", "kind", "adam"),
        ("limit=none", "limit", None),
        ("limit=3", "limit", 3),
        ("bias=false", "bias", False),
        ("note=12", "note", "12"),
        ("note=none", "note", "none"),
    ],
)
def test_values_have_the_type_of_the_annotation_and_the_label_says_them_again(text, name, value):
    configured = build_model(f"plain[{text}]")
    assert getattr(configured.model, name) == value
    assert type(getattr(configured.model, name)) is type(value)
    assert build_model(configured.label) == configured


def test_params_are_all_parameters_as_scalars_and_the_label_what_differs_from_the_default():
    configured = build_model("plain[width=3,bias=true,kind=adam]")
    assert configured.label == "plain[kind=adam,width=3]"
    assert configured.params == {
        "width": 3,
        "rate": 0.1,
        "shape": "(8,8)",
        "kind": "adam",
        "limit": 5,
        "bias": True,
        "note": "x",
        "sizes": "(3,)",
    }
    assert (configured.backend, configured.precision) == ("numpy", "float64")
    assert build_model("plain[width=64]").label == "plain"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "plain[widht=3]",
            "model 'plain' has no parameter 'widht'; did you mean 'width'? "
            "its parameters: bias, kind, limit, note, rate, shape, sizes, width",
        ),
        ("plain[width=0]", "model 'plain': parameter width=0 is not allowed; it must be greater than or equal to 1"),
        ("plain[rate=inf]", "model 'plain': parameter rate=inf must be a finite number"),
        ("plain[kind=lbfgs]", "model 'plain': parameter kind=lbfgs is not allowed; it must be 'sgd' or 'adam'"),
        (
            "plain[width=2.5]",
            "model 'plain': parameter width=2.5 is not allowed; "
            "it must be a valid integer, got a number with a fractional part",
        ),
        ("net[width=100]", "model 'net': parameter width=100 is not allowed; it must be less than 100"),
        ("net[width=13]", "model 'net': thirteen brings bad luck"),
        ("net[backend=jax]", "model 'net': the backend is no parameter; choose it with --backend"),
        ("raw", "model 'raw' needs a value for its parameter 'width'"),
    ],
)
def test_faults_are_named_in_one_line(text, message):
    with pytest.raises(ParameterError) as error:
        build_model(text)
    assert str(error.value) == message


def test_unknown_model_gets_a_suggestion():
    with pytest.raises(UnknownNameError, match="unknown model 'plian'; did you mean 'plain'"):
        build_model("plian[width=3]")


def test_parameter_without_annotation_is_read_as_a_literal():
    assert build_model("net[twice=2,width=3]").model == Net(6)


def test_backend_is_the_models_own_or_the_one_asked_for():
    configured = build_model("net", "jax")
    assert (configured.backend, configured.model.backend, configured.precision) == ("jax", "jax", "float32")
    assert build_model("net").backend == "torch"
    assert build_model("plain", "jax").backend == "numpy"
    with pytest.raises(ParameterError, match="model 'net' does not run on backend 'numpy'; it supports torch, jax"):
        build_model("net", "numpy")


def test_backend_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(spec_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError) as error:
        build_model("net", "jax")
    assert str(error.value) == f"backend 'jax' is not installed; {install_hint('jax')} installs it"


def test_parameters_are_described():
    described = parameters("raw") | parameters("plain")
    assert [(p.name, p.type_name, p.required) for p in described.values()][:2] == [
        ("width", "int", False),
        ("rate", "float", False),
    ]
    assert described["kind"].type_name == "Literal['sgd', 'adam']"
    assert parameters("raw")["width"].required
    assert "backend" not in parameters("raw")


def test_annotation_that_does_not_resolve():
    def broken(width: "Wdith" = 3): ...  # noqa: F821

    registry.models.register("broken", broken)
    with pytest.raises(LebenchError, match="model 'broken': its parameters cannot be read: name 'Wdith'"):
        build_model("broken")


def test_expand():
    assert expand("p*") == ["plain"]
    assert expand("network") == ["net"]
    assert expand("net[width=3]") == ["net[width=3]"]
    with pytest.raises(UnknownNameError):
        expand("nt[width=3]")
