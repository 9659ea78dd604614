"""How reliable each task is on the records of the leaderboard, and the anchors of the core suite.

The reliability of a task is the share of the variance of its scores between models that is not noise of seeds, on the
bounded scale of the ranks. Tasks that are declared core are written to lebench/board/core.json with their anchors, if
they have at least 0.8; who wins has no part in it. A task that fewer than ten models have is not listed.

    python benchmarks/suite_reliability.py [--entries leaderboard/entries] [--write]
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.special import ndtr

from lebench import registry, stats
from lebench.board import is_control, read_entries
from lebench.board.frame import direction_of, has_tag
from lebench.board.ranking import SIGNS
from lebench.board.scores import collect
from lebench.board.suite import CoreTask, Suite, core_suite, write_suite

LEAST, MODELS, SEEDS, MINIMUM_SEEDS = 0.8, 5, 10, 3


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=Path, default=Path("leaderboard/entries"))
    parser.add_argument("--write", action="store_true", help="write the core suite as its next version")
    asked = parser.parse_args()
    entries = [
        entry
        for entry in read_entries(asked.entries)
        if not is_control(entry.info.model) and not has_tag(entry.info.model, "measure")
    ]
    values = collect({entry.name: entry.current.records for entry in entries})
    core, left_out, references = {}, {}, set()
    for name in sorted(item.name for item in registry.tasks.items()):
        task = registry.tasks.get(name)
        sign = SIGNS[direction_of(task.primary)]
        of = {m: seeds for m, seeds in values.get((name, task.primary), {}).items() if len(seeds) >= MINIMUM_SEEDS}
        if not sign or len(of) < MODELS:
            continue
        scores = sign * stats.as_array(of, sorted(of), sorted({seed for seeds in of.values() for seed in seeds}))
        (centre,), (scale,) = stats.anchors(np.nanmean(scores, axis=1)[None])
        reliability = round(stats.reliability(ndtr((scores - centre) / scale)), 3)
        print(f"{task.track:15} {name:32} {task.suite:8} reliability {reliability:.3f} of {len(of)} models")
        if task.suite == "core":
            if reliability < LEAST:
                print(f"  {name} is declared core and is not reliable enough")
                return 1
            references |= set(of)
            core[name] = CoreTask(
                track=task.track,
                version=task.version,
                centre=float(f"{centre:.6g}"),
                scale=float(f"{scale:.6g}"),
                reliability=reliability,
            )
        else:
            left_out[name] = reliability
    if asked.write:
        try:
            version = core_suite().version + 1
        except FileNotFoundError:
            version = 1
        write_suite(
            Suite(
                version=version,
                seeds=SEEDS,
                minimum_seeds=MINIMUM_SEEDS,
                reliability=LEAST,
                references=sorted(references),
                tasks=core,
                left_out=left_out,
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
