"""The script that reproduces a public table of networks, on a table of the same columns whose answers are known."""

import hashlib
import itertools

import pytest

HEADER = (
    "experiment_id,is.converged,is.high_train_accuracy,hp.lr,hp.model_depth,hp.model_width,hp.train_dataset_size,"
    "train_dataset_size,hp.dataset,gen.gap,complexity.lr,complexity.wrong,complexity.right,complexity.right_fft"
)


@pytest.fixture(scope="module")
def table_script(script):
    return script("robust_measures_table")


@pytest.fixture
def table(tmp_path):
    """Two learning rates on two datasets, four seeds each: two environments along each axis, each of 16 sure pairs."""
    rows = []
    for (lr, rate), (svhn, dataset) in itertools.product(enumerate((0.01, 0.0316)), enumerate(("cifar10", "svhn"))):
        gap = 0.5 * lr + 0.2 * svhn
        for seed in range(4):
            # One machine has computed the rate a little differently.
            shown = rate + 3e-5 * (seed == 0)
            rows.append(f"{lr}{svhn},True,True,{shown},2,8,.5,500,{dataset},{gap},{lr},{-gap},{-gap},{gap}")
    # Each would be a fifth seed with the order of all measures turned around, if it were not left out.
    for converged, accurate, last in (("False", "True", "9"), ("True", "False", "9"), *[("True", "True", "inf")] * 2):
        rows.append(f"00,{converged},{accurate},0.01,2,8,.5,500,cifar10,1.0,9,9,9,{last}")
    rows.append("00,True,True,0.01,2,8,.5,500,cifar10,1.0,9,,9,9")
    path = tmp_path / "table.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def test_what_a_table_says(table_script, table, monkeypatch, capsys):
    monkeypatch.setattr(table_script, "SHA256", hashlib.sha256(table.read_bytes()).hexdigest())
    # Ordered rightly; ordered by one axis, a tie along the other; ordered wrongly. In both orders 8 environments.
    monkeypatch.setattr(table_script, "KNOWN", (8, 0.0, "right_fft"))
    assert table_script.main([str(table)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == [
        "16 networks (8 cifar10, 8 svhn); 8 environments in both orders, of which",
        "4 lr, 0 model_depth, 0 model_width, 0 train_dataset_size, 4 dataset",
    ]
    assert [line.split() for line in printed[3:-1]] == [
        ["right_fft", "0.000", "0.000", "0.000"],
        ["lr", "0.250", "0.500", "0.500"],
        ["wrong", "1.000", "1.000", "1.000"],
    ]
    assert printed[-1] == "as known: 8 environments, 0.0 for right_fft"


def test_a_table_that_says_something_else_than_is_known(table_script, table, monkeypatch, capsys):
    monkeypatch.setattr(table_script, "SHA256", hashlib.sha256(table.read_bytes()).hexdigest())
    assert table_script.main([str(table)]) == 1
    assert "NOT as known: 9242 environments, 0.097 for pacbayes_orig" in capsys.readouterr().out


def test_files_that_are_not_the_table(table_script, table, tmp_path, monkeypatch, capsys):
    assert table_script.main([str(tmp_path / "none.csv")]) == 2
    assert "there is no file" in capsys.readouterr().err
    assert table_script.main([str(table)]) == 2
    assert "is not the public table: its sha256 is" in capsys.readouterr().err
    table.write_text(table.read_text().replace("gen.gap", "gap"))
    monkeypatch.setattr(table_script, "SHA256", hashlib.sha256(table.read_bytes()).hexdigest())
    assert table_script.main([str(table)]) == 2
    assert "has no column gen.gap" in capsys.readouterr().err
