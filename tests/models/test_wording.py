"""What a parameter may be, in words."""

import inspect
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Interval, Le
from pydantic import Field

from lebench import registry
from lebench.models.spec import Parameter, parameters
from lebench.models.wording import values_in_words


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Annotated[int, Ge(1), Le(100_000)], "int ≥ 1, ≤ 100,000"),
        (Annotated[float, Interval(gt=0, lt=0.5)], "float > 0, < 0.5"),
        (Annotated[float, Field(gt=0)] | None, "float > 0 or None"),
        (Literal["step", "constant", "cosine"], "step, constant or cosine"),
        (Literal["only"], "only"),
        (Annotated[str, "no bound"], "str"),
        (tuple[int, ...], "tuple[int, ...]"),
        (inspect.Parameter.empty, "any"),
    ],
)
def test_values_of_a_parameter(annotation, words):
    assert values_in_words(Parameter("p", annotation, None)) == words


def test_no_parameter_of_a_registered_model_shows_python():
    words = [values_in_words(each) for name in registry.models.names() for each in parameters(name).values()]
    assert len(words) > 100
    assert [each for each in words if "[" in each or "(" in each] == []
