"""Reproduce from their public table the sign errors of Dziugaite et al. 2020: catalogue entry GM-4.

The table, ``data/nin.cifar10_svhn.csv`` of the authors' repository nitarshan/robust-generalization-measures
(Apache-2.0), holds 10,000 networks: 1,000 settings of five hyper-parameters, ten seeds each. It is not shipped with
lebench and this script downloads nothing: it reads the file at the path given, after checking its sha256. Networks are
kept, and their columns read, as the released code does: those that converged to the training accuracy asked for, rows
without gaps or infinities, learning rates rounded to four digits, measures by the fast Fourier transform where there
are two versions. Prints how many environments there are and, for each measure, mean, 90th percentile and maximum of the
sign error, best mean first. The released code counts an environment in both orders of its two settings.

    python benchmarks/robust_measures_table.py nin.cifar10_svhn.csv
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from lebench.errors import DataError
from lebench.metrics import Environments, sign_errors

SHA256 = "1fc11e07bd3826cbf887004c1d5cbf5450102a34bd99d368f05a5c1cd603a9fc"
#: What a third party's reproduction found: environments in both orders, best mean sign error, its measure.
KNOWN = (9242, 0.097, "pacbayes_orig")
AXES = ("hp.lr", "hp.model_depth", "hp.model_width", "train_dataset_size", "hp.dataset")
_KEPT = ("is.converged", "is.high_train_accuracy")
_GAP, _MEASURE = "gen.gap", "complexity."
#: The released code keeps an effective sample of 12 up to the tolerance of ``numpy.isclose``.
SMALLEST_SAMPLE = 12 - (1e-8 + 1e-5 * 12)


def read_table(path: Path, sha256: str) -> pd.DataFrame:
    """Return the networks that count.

    Raises
    ------
    DataError
        If there is no such file, it is not the public table, or a column is missing.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}: download data/nin.cifar10_svhn.csv of the authors' repository")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise DataError(f"{path} is not the public table: its sha256 is {found}, not {sha256}")
    table = pd.read_csv(path)
    missing = [name for name in (*AXES, *_KEPT, _GAP) if name not in table]
    if missing or not measures(table):
        raise DataError(f"{path} has no column {', '.join(missing) or _MEASURE + '*'}")
    for name in _KEPT:
        table = table.loc[table[name].astype(bool)]
    table = table.replace([np.inf, -np.inf], np.nan).dropna()
    return table.assign(**{"hp.lr": table["hp.lr"].round(4)})


def measures(table: pd.DataFrame) -> list[str]:
    """Return the columns of the measures, by the fast Fourier transform where there are two versions."""
    columns = [name for name in table if name.startswith(_MEASURE)]
    return [name for name in columns if f"{name}_fft" not in columns]


def environments(table: pd.DataFrame, measure: str) -> Environments:
    """Return the sign errors of a measure, which promises a small gap by low values, in all environments."""
    settings = np.stack([pd.factorize(table[axis])[0] for axis in AXES], axis=1)
    return sign_errors(
        table[measure].to_numpy(float), table[_GAP].to_numpy(float), settings, smallest_sample=SMALLEST_SAMPLE
    )


def main(arguments: list[str] | None = None) -> int:
    """Print the table of measures; return 0 if it is that of the third party, 1 if not, 2 if the file is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="nin.cifar10_svhn.csv")
    options = parser.parse_args(arguments)
    try:
        table = read_table(options.table, SHA256)
        found = {name.removeprefix(_MEASURE): environments(table, name) for name in measures(table)}
    except DataError as error:
        print(error, file=sys.stderr)
        return 2
    names = sorted(found, key=lambda name: found[name].errors.mean())
    best = found[names[0]]
    count, error = 2 * len(best.errors), best.errors.mean()
    sizes = ", ".join(f"{size:,} {name}" for name, size in Counter(table["hp.dataset"]).items())
    print(f"{len(table):,} networks ({sizes}); {count:,} environments in both orders, of which")
    print(", ".join(f"{2 * (best.axes == i).sum():,} {axis.removeprefix('hp.')}" for i, axis in enumerate(AXES)))
    print(f"{'measure':32}  mean   90 %   maximum")
    for name in names:
        errors = found[name].errors
        print(f"{name:32}  {errors.mean():.3f}  {np.quantile(errors, 0.9):.3f}  {errors.max():.3f}")
    same = (count, round(error, 3), names[0]) == KNOWN
    print(f"{'as' if same else 'NOT as'} known: {KNOWN[0]} environments, {KNOWN[1]} for {KNOWN[2]}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
