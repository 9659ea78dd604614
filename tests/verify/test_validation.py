"""What is wrong with one record: its cost, its times, and the model that it says it is of."""

import pytest

from lebench.board import write_entry
from lebench.verify import validate


@pytest.fixture
def said(claimed, described, tmp_path):
    """A function that changes a record, seals it as a forger would, and returns what is wrong with it."""

    def said(part=None, **changes):
        if part is not None:
            changes = {part: getattr(claimed[0], part).model_copy(update=changes)}
        where = "records.jsonl: digits/accuracy seed 0, "
        return [line.removeprefix(where) for line in map(str, every(**changes)) if line.startswith(where)]

    def every(**changes):
        first, *others = claimed
        records = [first.model_copy(update=changes).sealed(), *others]
        return validate(write_entry(tmp_path, "mine", records, described).folder)

    said.all = every
    return said


def test_a_record_that_could_be_true_is_valid(claimed, described, tmp_path):
    assert validate(write_entry(tmp_path, "mine", claimed, described).folder) == []


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"fit_s": 0.0, "score_s": 0.0}, "wall time is 0; it must be at least 0.001 and at most 3.2e+07"),
        ({"fit_s": 4e7}, "wall time is 4e+07; it must be at least 0.001 and at most 3.2e+07"),
        ({"cpu_s": 1e-9}, "cpu_s is 1e-09; it must be at least 0.0001 and at most 3100"),
        # Two seconds on a thousand cores.
        ({"cpu_s": 3101.0}, "cpu_s is 3101; it must be at least 0.0001 and at most 3100"),
        ({"peak_memory_bytes": 4096}, "peak_memory_bytes is 4096; it must be at least 1e+07 and at most 1e+15"),
        ({"peak_memory_bytes": 2 * 10**15}, "peak_memory_bytes is 2e+15; it must be at least 1e+07 and at most 1e+15"),
        ({"fits": 2}, "fits are 2, but the task has 1"),
    ],
)
def test_a_cost_that_cannot_be(said, changes, line):
    assert said("cost", **changes) == [f"cost: {line}"]


def test_what_is_missing_has_a_reason(said, claimed):
    metrics = {name: value for name, value in claimed[0].metrics.items() if name != "brier"}
    assert said(metrics=metrics, missing={"brier": " "})[-1] == "missing.brier: has no reason"
    assert said(metrics=metrics, missing={"brier": "the scores are no probabilities"}) == []


def test_a_record_has_a_cost(said):
    assert said(cost=None) == ["cost: is missing"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"started": "yesterday"}, "run.started: is not a time such as 2026-01-01T12:00:00+00:00"),
        ({"finished": "2026-13-01T00:00:00+00:00"}, "run.finished: is not a time such as 2026-01-01T12:00:00+00:00"),
        ({"started": "2026-01-01T00:00:00"}, "run.started: is not in UTC"),
        ({"finished": "2026-01-01T01:00:03+01:00"}, "run.finished: is not in UTC"),
        ({"started": "2026-01-01T00:00:04+00:00"}, "run.finished: is before run.started"),
        ({"started": "2024-12-31T23:59:59+00:00"}, "run.started: is before 2025, when there was no lebench"),
        ({"finished": "2999-01-01T00:00:00+00:00"}, "run.finished: is in the future"),
    ],
)
def test_times_that_cannot_be(said, changes, line):
    assert said("run", **changes) == [line]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"model": "rbf"}, "model: is 'rbf', but the label is 'knn'"),
        ({"params": {"k": 5}}, "params: are not those of the label"),
        ({"params": {}}, "params: are not those of the label"),
        ({"precision": "float32"}, "precision: is 'float32', that of the model is 'float64'"),
        ({"references": {"mlp": 1}}, "references: are not the models that the task and the model fit"),
        ({"plugin": "0" * 64}, "plugin: is not empty, but knn and digits/accuracy are lebench's own"),
        ({"model_version": 2}, "cell: version 2 of knn is none yet, today's is 1"),
        ({"dataset_sha256": "0" * 64}, "dataset_sha256: was made on other data"),
    ],
)
def test_a_cell_is_that_of_its_model_task_and_data(said, changes, line):
    assert said("cell", **changes) == [line]


@pytest.mark.parametrize("threads", [-7, 0, 5000])
def test_threads_that_cannot_be(said, claimed, threads):
    machine = claimed[0].environment.model_copy(update={"threads": threads})
    assert said(environment=machine) == [f"environment.threads: are {threads}; they must be 1 to 4,096"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"precision": "float32"}, "digits/accuracy seed 1, precision: is another than in the first record"),
        ({"params": {"width": 9}}, "digits/accuracy seed 1, params: is another than in the first record"),
        ({"plugin": "1" * 64}, "digits/accuracy seed 1, plugin: is another than in the first record"),
        ({"backend": "fast"}, "digits/accuracy seed 1, backend: is another than in the first record"),
        ({"seed": 0, "backend": "fast"}, "digits/accuracy seed 0: is there twice; keep one record of each seed"),
    ],
)
def test_an_entry_is_one_configuration_and_each_seed_is_there_once(claimed, described, tmp_path, changes, line):
    own = {"model": "mine", "params": {"width": 8}, "plugin": "0" * 64}
    cells = [record.cell.model_copy(update=own) for record in claimed]
    cells[1] = cells[1].model_copy(update=changes)
    records = [
        record.model_copy(update={"label": "mine", "cell": cell}).sealed()
        for record, cell in zip(claimed, cells, strict=True)
    ]
    info = described.model_copy(update={"model": "mine", "command": "lebench run --model mine"})
    assert line in "\n".join(map(str, validate(write_entry(tmp_path, "mine", records, info).folder)))


def test_a_seed_is_not_skipped_where_others_ran(said, claimed):
    (line,) = (str(each) for each in said.all(status="skipped", reason="no time", metrics={}, artifacts={}, cost=None))
    assert line.startswith("records.jsonl: digits/accuracy: has seeds that were skipped and others that were not")


def test_the_manifest_has_the_design_of_the_records(claimed, described, tmp_path):
    folder = write_entry(tmp_path, "mine", claimed, described).folder
    text = (folder / "entry.toml").read_text()
    assert text.endswith('backend = "numpy"\n\n[seeds]\n"digits/accuracy" = 2\n')
    (folder / "entry.toml").write_text(text.replace(" = 2", " = 5"))
    assert "entry.toml: seeds: declares 5 seeds of digits/accuracy, but there are 2" in str(validate(folder)[0])


def test_names_and_checksums_in_a_cell_are_such(said):
    assert "plugin: is not a sha256 in hexadecimal digits" in said("cell", plugin="none")
    assert "references: '<b>' is not a name" in said("cell", references={"<b>": 1})


@pytest.mark.parametrize("label", ["knn[neighbours=5]", "knn[k=many]"])
def test_a_label_is_one_that_the_model_knows(said, label):
    (line,) = said(label=label)
    assert line.startswith("label: ")


def test_a_model_of_somebody_s_own_has_parameters_and_code_of_its_own(claimed, described, tmp_path):
    own = {"model": "mine", "params": {"width": 8}, "plugin": "0" * 64, "precision": "float32"}
    records = [
        record.model_copy(update={"label": "mine[width=8]", "cell": record.cell.model_copy(update=own)}).sealed()
        for record in claimed
    ]
    info = described.model_copy(update={"model": "mine[width=8]", "command": "lebench run --model 'mine[width=8]'"})
    assert validate(write_entry(tmp_path, "mine", records, info).folder) == []
