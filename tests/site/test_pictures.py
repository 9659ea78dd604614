"""Pictures on the pages, of entries that hold planted arrays and of entries that hold none; and in one file."""

import json
import re

import planted_pictures as planted
import pytest

from lebench import pictures
from lebench.artifacts import pack
from lebench.board import EntryError, EntryInfo, read_entries, write_entry
from lebench.errors import LebenchError
from lebench.site import build, standalone
from lebench.site.pictures import spread


@pytest.fixture
def drawn(tmp_path, make_record, monkeypatch):
    """The folder of the leaderboard's pages of two entries with arrays, one without, and a control with some."""
    monkeypatch.setattr("lebench.site.reference.pages", dict)
    folder = tmp_path / "entries"
    for place, name in enumerate(("mlp", "linear", "cnn", "constant")):
        content, described = pack(planted.similarity() | planted.courses())
        kept = {} if name == "cnn" else described
        records = [make_record("toy/accuracy", name, s, {"accuracy": 0.9 - place / 10}, artifacts=kept) for s in (0, 1)]
        arrays = {record.cell.key: content for record in records if kept}
        info = EntryInfo(name=name, model=name, authors=["A"], lebench="0.1.0", command="lebench run")
        write_entry(folder, name, records, info, arrays)
    build(folder, tmp_path / "docs")
    return tmp_path / "docs" / "leaderboard"


def test_an_entry_with_arrays_has_its_pictures_and_their_data(drawn):
    text = (drawn / "entries" / "mlp.md").read_text()
    shown = re.findall(r'<figure class="le-picture" data-spec="../../(.*?)">', text)
    assert shown == [f"pictures/mlp/toy-accuracy-{kind}.vl.json" for kind in ("similarity", "courses")]
    assert "0.90 within classes and 0.10 between them, over 12 points" in text
    for path in shown:
        assert f'<a href="../../{path}" download>' in text
        assert json.loads((drawn / path).read_text())["$schema"].endswith("/vega-lite/v6.json")


def test_an_entry_without_arrays_has_no_pictures(drawn):
    assert "Pictures" not in (drawn / "entries" / "cnn.md").read_text()
    assert not (drawn / "pictures" / "cnn").exists()


def test_a_task_compares_the_models_that_have_arrays_and_no_control(drawn):
    text = (drawn / "tasks" / "toy-accuracy.md").read_text()
    assert re.findall(r'--le-series-\d\)">(.*?)</li>', text) == ["mlp", "linear"]
    assert "within and between classes is 0.90 and 0.10 for mlp and 0.90 and 0.10 for linear" in text
    for path in re.findall(r'data-spec="../../(.*?)"', text):
        assert (drawn / path).is_file()


def test_arrays_that_are_not_those_of_the_record_stop_the_build(drawn, tmp_path):
    entry = next(e for e in read_entries(tmp_path / "entries") if e.name == "mlp")
    entry.artifacts_path(entry.records[0]).write_bytes(b"damaged")
    with pytest.raises(EntryError, match="damaged"):
        build(tmp_path / "entries", tmp_path / "docs")


def test_many_models_are_shown_from_the_best_to_the_last():
    assert spread(range(18), 6) == [0, 3, 7, 10, 14, 17]
    assert spread("abc", 6) == ["a", "b", "c"]


def test_a_file_of_pictures_needs_no_other_and_escapes_what_it_is_given(tmp_path):
    hostile = "</script><script>alert(1)</script>"
    path = tmp_path / "out.html"
    standalone.write(path, hostile, [(hostile, pictures.comparisons({hostile: planted.distance()}))])
    text = path.read_text()
    assert "<script>alert" not in text
    assert re.findall(r'<(?:link|script)[^>]*(?:src|href)="', text) == []
    (spec,) = re.findall(r'<script type="application/json">(.*?)</script>', text)
    assert hostile in json.loads(spec)["description"]
    with pytest.raises(LebenchError, match="cannot write the pictures to"):
        standalone.write(tmp_path / "nowhere" / "out.html", "x", [])
