"""What the store costs: CPU seconds to put, to open and to show, and their ratio to reading the same JSON.

A folder of many records, as a cluster makes them, of one model a thousandth each; each figure is from a process of its
own. The limits are those of a laptop: 0.3 ms to put a record, 3 s to open 50,000 of them without an index, 1 s and 300
MB to show one model.

    python benchmarks/store_bench.py [--records 50000] [--writers 20]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lebench import board
from lebench.runner.store import Store

ENTRIES = Path(__file__).parents[1] / "leaderboard/entries"


def put(folder, count, writers):
    """Put records, made from those of the leaderboard, and return the CPU seconds that each took."""
    known = [record for entry in board.read_entries(ENTRIES)[:20] for record in entry.records]
    stores = [Store(folder) for _ in range(writers)]
    stores[0].prepare()
    spent = 0.0
    for number in range(count):
        first = known[number % len(known)]
        cell = first.cell.model_copy(update={"seed": number})
        label = f"{first.label}-{number // 50}"
        record = first.model_copy(update={"cell": cell, "label": label}).sealed()
        began = time.process_time()
        stores[number * writers // count].put(record)
        spent += time.process_time() - began
    return spent / count, label


def measured(code):
    """Run code in a process of its own; return its CPU seconds and the bytes of memory that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = "; import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    done = subprocess.run([sys.executable, "-c", code + report], check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, int(done.stdout.splitlines()[-1]) * unit


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--writers", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        each, label = put(folder, arguments.records, arguments.writers)
        files = sorted((folder / "records").iterdir())
        size = sum(file.stat().st_size for file in files)
        began = time.process_time()
        for file in files:
            with file.open("rb") as lines:
                for line in lines:
                    json.loads(line)
        reading = time.process_time() - began
        of_all = f"from lebench.runner.store import Store; s = Store({name!r}); n = len(s.labels())"
        started, _ = measured("from lebench.runner.store import Store")
        opened, memory = measured(of_all)
        again, _ = measured(of_all)
        loaded, large = measured(of_all + "; n = s.load()")
        show = ["show", label, "-o", name]
        shown, little = measured(
            f"import sys; sys.argv[1:] = {show!r}\nfrom lebench.cli.app import app\n"
            "try: app()\nexcept SystemExit: pass\nimport sys"
        )
    print(f"{arguments.records} records of {size / 1e6:.0f} MB, CPU seconds, as multiples of json.loads, and memory:")
    rows = (
        ("put, each", each, 0),
        ("open without an index", opened - started, memory),
        ("open with an index", again - started, memory),
        ("load all as records", loaded - started, large),
        ("show one model", shown, little),
    )
    for what, seconds, most in rows:
        print(f"  {what:24} {seconds:9.5f} s  {seconds / reading:7.3f}  {most / 1e6:6.0f} MB")
    print(f"  {'json.loads of all':24} {reading:9.5f} s")


if __name__ == "__main__":
    main()
