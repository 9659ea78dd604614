"""What the dearest submissions cost that fit into the size limits: ``make worst-case`` (Linux; some minutes).

Each is made to cost much in one way, and checked as a pull request is: validated and verified beside the board. The
script fails if one costs more than :data:`CPU_S` CPU seconds or :data:`BYTES` of memory in any process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from start import NAME, Start, key_of, sealed, written

from lebench.artifacts import pack
from lebench.runner.recording_format import FACTOR

ROOT = Path(__file__).parents[2]
CPU_S, BYTES = 120.0, 2 * 2**30
#: Bytes that the records, an environment, and all arrays may have, a little less than the limits.
RECORDS, ENVIRONMENT, ARRAYS = 9_900_000, 4_500, 2_900_000
Content = dict[str, bytes]


def of_records(start: Start, records: list[Any], arrays: Content | None = None) -> Content:
    """Return the files of an entry with these records."""
    seeds: dict[str, int] = {}
    for record in records:
        seeds[record["cell"]["task"]] = seeds.get(record["cell"]["task"], 0) + 1
    return written(start.info | {"seeds": dict(sorted(seeds.items()))}, records) | (arrays or {})


def somebody_s(start: Start) -> None:
    """Make the records those of a model that only its author has: nothing refuses them before they are scored."""
    own = {"model": "worst", "params": {}, "plugin": "1" * 64}
    for place, each in enumerate(start.records):
        cost = each["cost"] | {"fit_s": each["cost"]["fit_s"] + 1.0}
        start.records[place] = sealed(each | {"label": "worst", "cell": each["cell"] | own, "cost": cost})
    start.info |= {"name": "worst", "model": "worst", "command": "lebench run --model worst"}


def seeds_of(start: Start, task: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield records of a task, a seed each, as many as are asked for."""
    made = next(record for record in start.records if record["cell"]["task"] == task)
    for seed in range(1_000_000):
        yield sealed(made | {"cell": made["cell"] | {"seed": seed}} | change(made))


def many_records(start: Start) -> Content:
    """As many records as fit, each with an environment of its own that is as large as it may be."""
    packages = {f"package-{place:04}-{'x' * 60}": "1" * 20 for place in range(ENVIRONMENT // 110)}
    records, size = [], 0
    for record in seeds_of(start, "digits/accuracy", lambda made: {"artifacts": {}}):
        if not len(records) % 200:
            machine = record["environment"] | {"packages": packages, "os": f"os {len(records)}"}
        records.append(sealed(record | {"environment": machine}))
        size += len(str(records[-1])) - ENVIRONMENT
        if size > 0.8 * RECORDS:
            return of_records(start, records)
    raise AssertionError


def recordings(start: Start, task: str, make: Callable[[int], dict[str, np.ndarray]]) -> Content:
    """As many recordings as fit into an entry."""
    records, files, size = [], {}, 0
    content, about = pack(make(0))
    described = {name: each.model_dump(mode="json") for name, each in about.items()}
    for record in seeds_of(start, task, lambda made: {"artifacts": described}):
        if size + len(content) > ARRAYS or len(records) >= 900:
            return of_records(start, records, files)
        records.append(record)
        files[f"artifacts/{key_of(record)}.recording.npz"] = content
        size += len(content)
    raise AssertionError


def zeros(start: Start) -> Content:
    """Recordings of zeros, which take no room: as many numbers as one may have."""
    calls = np.zeros((1, 8), dtype=np.int32)
    calls[0, 4:6] = 1, 600_000
    return recordings(
        start,
        "digits/accuracy",
        lambda place: {"recorded_calls": calls, "recorded_answers": np.zeros((3, 600_000), np.uint8)},
    )


def kernels(start: Start) -> Content:
    """Kernels that are written as factors: each of ten million numbers."""
    calls = np.zeros((1, 8), dtype=np.int32)
    calls[0, 4:7] = FACTOR, 3_160, 100
    return recordings(
        start,
        "digits/collapse",
        lambda place: {"recorded_calls": calls, "recorded_answers": np.full((3, 316_000), 60, np.uint8)},
    )


def honest_answers(start: Start) -> Content:
    """The recordings of a good entry for as many seeds as fit, so that each is scored in full."""
    place = next(place for place, kind in start.arrays if kind)
    arrays = dict(start.arrays[place, ".recording"])
    arrays["recorded_answers"] = arrays["recorded_answers"].copy()
    # The lowest bit of one number, so that it is nobody's recording.
    arrays["recorded_answers"][2, 0] ^= 1
    return recordings(start, start.records[place]["cell"]["task"], lambda _: arrays)


def code(line: Callable[[int], str]) -> Callable[[Start], Content]:
    """Return a case with as much code as an entry may have."""

    def content(start: Start) -> Content:
        text = "".join(line(number) for number in range(200_000))[:95_000].rsplit("\n", 1)[0] + "\n"
        files = {f"plugin/m{place}.py": text.encode() for place in range(10)}
        return of_records(start, list(start.records)) | files | {"plugin/__init__.py": b""}

    return content


def nested(start: Start) -> Content:
    """Documents that are nested as deeply as their sizes allow."""
    files = of_records(start, list(start.records))
    return files | {"records.jsonl": b"[" * RECORDS + b"\n", "entry.toml": b"x = " + b"[" * 19_000}


def checks(start: Start) -> Content:
    """A document of checks as large as one may be."""
    return of_records(start, list(start.records)) | {"verification.json": start.verification[:-10] * 400}


CASES: dict[str, Callable[[Start], Content]] = {
    "records and environments": many_records,
    "recordings of zeros": zeros,
    "kernels as factors": kernels,
    "good recordings, many": honest_answers,
    "code, many short lines": code(lambda number: f"a{number} = exec\n"),
    "code, deep expressions": code(lambda number: "x = " + "-" * 110 + "1\n"),
    "nested documents": nested,
    "checks": checks,
}


def cost(command: list[str], environment: dict[str, str]) -> tuple[float, int, str]:
    """Return CPU seconds and bytes of a command with all its processes, and the last line that it says."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, env=environment)
        _, _, used = os.wait4(process.pid, 0)
        said.seek(0)
        lines = said.read().decode(errors="replace").splitlines()
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, lines[-1] if lines else ""


def main() -> int:
    """Make, check and measure; return the exit code."""
    chosen = {name: make for name, make in CASES.items() if not sys.argv[1:] or any(a in name for a in sys.argv[1:])}
    start, worst = Start(), 0
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    lebench = str(Path(sys.executable).with_name("lebench"))
    with tempfile.TemporaryDirectory() as folder:
        start.write(Path(folder) / "start" / NAME)
        somebody_s(start)
        for name, make in chosen.items():
            entry = Path(folder) / name.replace(" ", "-") / "worst"
            for path, content in make(start).items():
                (entry / path).parent.mkdir(parents=True, exist_ok=True)
                (entry / path).write_bytes(content)
            began = time.monotonic()
            base = ["--base", str(ROOT / "leaderboard/entries")]
            cpu_s, memory, line = cost([lebench, "verify", str(entry), *base], environment)
            wrong = cpu_s > CPU_S or memory > BYTES
            worst |= wrong
            spent = f"{cpu_s:6.1f} CPU s  {memory / 2**30:5.2f} GiB  {time.monotonic() - began:5.0f} s"
            print(f"{name:26} {spent}  {'TOO MUCH  ' if wrong else ''}{line[:90]}", flush=True)
    return int(worst)


if __name__ == "__main__":
    sys.exit(main())
