"""The canonical form: byte for byte that of the library for RFC 8785."""

import hashlib

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from lebench.canonical import canonical, digest

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(1 - 2**53, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(-1e-3, 1e-3)
    | st.floats(1e14, 1e23)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.text('ab"\\\0\n\x7f', max_size=4)
)
DOCUMENTS = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner))


@given(DOCUMENTS)
@example({"a": 1e-5, "b": "\0 1", "c": [1e-7, 2.0, -0.0, 1e21, 0.1, 9007199254740993.0]})
@example({"\U0001f600": 1, "\ufb33": 2})
@example("\0")
def test_canonical_form_is_that_of_the_library(document):
    try:
        expected = rfc8785.dumps(document)
    except UnicodeEncodeError:
        pytest.skip("the library cannot sort it")
    assert canonical(document) == expected
    assert digest(document) == hashlib.sha256(expected).hexdigest()


@pytest.mark.parametrize("document", [float("nan"), [float("inf")], {"x": 2**53}, "\udcff"])
def test_what_json_has_not_is_refused(document):
    with pytest.raises(ValueError):
        canonical(document)
