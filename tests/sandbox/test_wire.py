"""Messages survive the pipe; what is none is refused before anything is set aside for it."""

import io
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lebench.sandbox.wire import Message, WireError, receive, send


def there_and_back(message, most=2**20):
    pipe = io.BytesIO()
    send(pipe, message)
    pipe.seek(0)
    return receive(pipe, most)


@given(
    st.dictionaries(st.text(max_size=5), st.integers() | st.floats(allow_nan=False) | st.text(), max_size=3),
    hnp.arrays(st.sampled_from([np.float64, np.int64]), hnp.array_shapes(min_dims=0, max_side=4, min_side=0)),
)
def test_messages_come_out_as_they_went_in(values, array):
    found = there_and_back(Message("call", values, {"x": array}))
    assert (found.kind, found.values) == ("call", values)
    np.testing.assert_array_equal(found.arrays["x"], array)
    assert found.arrays["x"].dtype == array.dtype


@given(st.binary(max_size=200))
def test_noise_is_refused(noise):
    with pytest.raises((EOFError, WireError, struct.error)):
        receive(io.BytesIO(noise), 2**20)


def pipe_of(header, body=b""):
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return io.BytesIO(struct.pack("<Q", len(text)) + text + body)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"kind": "a", "values": {}, "arrays": [["x", "<f8", [2**30, 2**30]]]}, "larger than"),
        ({"kind": "a", "values": {}, "arrays": [["x", "|O", [1]]]}, "described wrongly"),
        ({"kind": "a", "values": {}, "arrays": [["x", "<f8", [-1]]]}, "impossible shape"),
        ({"kind": "a", "values": {}, "arrays": [["x", "<f8", [1] * 99]]}, "impossible shape"),
        ({"kind": "a", "values": {}, "arrays": [["x", "<f8", [True]]]}, "impossible shape"),
        ({"kind": 1, "values": {}, "arrays": []}, "wrong kind"),
        ({"kind": "a"}, "damaged"),
        (b"[" * 100_000, "damaged"),
        (b"{" * 2_000_000, "too large"),
    ],
)
def test_what_is_no_message_is_refused(header, said):
    with pytest.raises(WireError, match=said):
        receive(pipe_of(header), 2**20)
