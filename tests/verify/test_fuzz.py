"""Whatever is in the files of an entry: it is refused, in one printable line for each violation, or says the same."""

import json
import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lebench.artifacts import ArtifactError, pack, unpack
from lebench.board import EntryInfo, read_entry, write_entry
from lebench.board.documents import DocumentError, parse_json, parse_toml
from lebench.verify import validate

BOUNDED = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ARRAYS, DESCRIBED = pack({"x": [[1.0, 2.0], [3.0, 4.0]], "y": [1, 2, 3]})
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)


@st.composite
def edits(draw, content):
    """Bytes of a file with a few of them replaced, inserted or cut out."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 40)))
        content = content[:start] + draw(st.binary(max_size=12)) + content[end:]
    return content


@pytest.fixture
def entry(claimed, described, tmp_path):
    """The folder of a valid entry of two records, with arrays."""
    records = [record.model_copy(update={"artifacts": DESCRIBED}).sealed() for record in claimed]
    folder = write_entry(tmp_path, "mine", records, described, {record.cell.key: ARRAYS for record in records}).folder
    assert validate(folder) == []
    return folder


def content(folder):
    """Return all that the records of an entry say, arrays included, and of which model and version it says so."""
    entry = read_entry(folder)
    arrays = [entry.artifacts(record) for record in entry.records]
    numbers = [{name: array.tolist() for name, array in each.items()} for each in arrays]
    return entry.records, numbers, entry.name, entry.info.model


def check(folder, before):
    """A changed entry is refused, or what it says is the same."""
    found = validate(folder)
    assert all(str(violation).isprintable() for violation in found)
    if not found:
        assert content(folder) == before
        # Authors, summary, links, licence and command are free; they are what every reader of TOML reads.
        info = read_entry(folder).info.model_dump(by_alias=True)
        assert info == tomllib.loads((folder / "entry.toml").read_text())


def refused(parse, text):
    """Return whether a text is refused, in one printable line."""
    try:
        parse(text)
    except DocumentError as error:
        return str(error).isprintable() or pytest.fail(f"not printable: {error!r}")
    return False


@BOUNDED
@given(st.data())
def test_edited_bytes_of_any_file(entry, data):
    path = data.draw(st.sampled_from(sorted(p for p in entry.rglob("*") if p.is_file())), label="file")
    said, before = content(entry), path.read_bytes()
    after = data.draw(edits(before))
    try:
        path.write_bytes(after)
        check(entry, said)
    finally:
        path.write_bytes(before)


@BOUNDED
@given(st.data())
def test_another_value_in_any_field_of_a_record(entry, data):
    path = entry / "records.jsonl"
    said, before = content(entry), path.read_text()
    first, *rest = before.split("\n")
    document = json.loads(first)
    owner = document
    while isinstance(owner, dict) and owner:
        key = data.draw(st.sampled_from(sorted(owner)), label="field")
        if not isinstance(owner[key], dict) or not owner[key] or data.draw(st.booleans()):
            break
        owner = owner[key]
    owner[key] = data.draw(VALUES)
    try:
        # In the form in which lebench writes it, so that it is the value that is refused.
        line = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
        path.write_text("\n".join([line, *rest]), encoding="utf-8")
        check(entry, said)
    finally:
        path.write_text(before)


@BOUNDED
@given(st.dictionaries(st.sampled_from([*EntryInfo.model_fields, "schema", "more"]), VALUES, min_size=1))
def test_other_values_in_the_description(entry, fields):
    path = entry / "entry.toml"
    said, before = content(entry), path.read_text()
    lines = [line for line in before.splitlines() if line.split(" ")[0] not in fields]
    lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()] + lines
    try:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="replace")
        check(entry, said)
    finally:
        path.write_text(before)


@settings(BOUNDED, max_examples=300)
@given(edits(ARRAYS))
def test_edited_archives_are_refused_or_hold_the_same_arrays(content):
    try:
        found = unpack(content, DESCRIBED)
    except ArtifactError:
        return
    # A change in a date or an attribute of a member is none of the arrays.
    assert found["x"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert found["y"].tolist() == [1, 2, 3]


@settings(BOUNDED, max_examples=300)
@given(st.text(alphabet='{}[]",:0123456789eE+-.tfnNI\\u ab\n', max_size=60))
def test_json_is_read_as_elsewhere_or_refused(text):
    assert refused(parse_json, text) or parse_json(text) == json.loads(text)


@settings(BOUNDED, max_examples=300)
@given(st.text(alphabet="ab.=[]{}\"'#0123456789-:T \n\\", max_size=60))
def test_toml_is_read_as_elsewhere_or_refused(text):
    # A number that is none differs from itself.
    assert refused(parse_toml, text) or repr(parse_toml(text)) == repr(tomllib.loads(text))


@pytest.mark.parametrize("part", ["a", '"\\""', "'='", "a "])
def test_keys_whose_cost_grows_with_the_square_of_their_parts_are_refused(part):
    assert refused(parse_toml, ".".join([part] * 5000) + " = 1")
    assert refused(parse_toml, f"[{'.'.join([part] * 51)}]")
    assert parse_toml(".".join([part] * 50) + " = 1")
